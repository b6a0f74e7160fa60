"""Which parts of an expression have found nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.collection.alternatives import Alternatives, Unfound

FIRST = {
    "image": "1",
    "thumb": None,
    "sizes": {"s": {"url": "2"}},
    "files": [{"u": "3"}, {"u": None}],
    "large": "",
}
SECOND = {"image": None, "thumb": "", "sizes": {}, "files": [], "none": [], "large": None}
PAGE = {"items": [FIRST, SECOND]}
EXPRESSIONS: list[Any] = [
    pytest.param("items[].image", [], id="one-part"),
    pytest.param("items[].thumb", [], id="one-part-is-the-shapes-business"),
    pytest.param("items[].[image, files[].u][][]", [], id="both-found"),
    pytest.param("items[].[image, thumb][]", [], id="always-there-and-empty"),
    pytest.param("items[].[image, none[].url][][]", ["none[].url"], id="sometimes-missing-else-empty"),
    pytest.param("items[1:].[image, none[].url, thumb][][]", [], id="always-an-empty-list"),
    pytest.param("items[].[image, files.u][]", ["files.u"], id="a-name-on-a-list"),
    pytest.param("items[].[image, sizes[].url][][]", ["sizes[].url"], id="a-list-that-is-an-object"),
    pytest.param("items[].[imge, image][]", ["imge"], id="mistyped"),
    pytest.param("items[].[image, sizes.*.url][][]", [], id="values"),
    pytest.param("items[].[image, sizs.*.url][][]", ["sizs.*.url"], id="mistyped-in-a-path"),
    pytest.param("items[].[image, sizes.*.ulr][][]", ["sizes.*.ulr"], id="mistyped-at-its-end"),
    pytest.param("items[].[image, files[].x][][]", ["files[].x"], id="mistyped-in-a-list"),
    pytest.param("items[].[large || image][]", [], id="left-of-or-is-empty"),
    pytest.param("items[].[larg || image][]", ["larg"], id="left-of-or"),
    pytest.param("items[].[image || thumb][]", [], id="right-of-or-is-a-fallback"),
    pytest.param("items[].[image, larg || tumb][]", ["larg || tumb", "larg"], id="or-in-a-list"),
    pytest.param("items[?image || x].[image, y][]", ["y"], id="condition-is-no-part"),
    pytest.param("items[].join('', ['x', image])", [], id="argument-is-no-part"),
    pytest.param("[items[].image, items[].y] | []", ["items[].y"], id="at-the-top"),
    pytest.param("", [], id="the-page-itself"),
]


@pytest.mark.parametrize(("text", "unfound"), EXPRESSIONS)
def test_part_that_finds_nothing(text: str, unfound: list[str]) -> None:
    parts = Alternatives(text)
    assert parts.named(parts.unfound(PAGE, Unfound(parts.all))) == unfound


def test_what_was_found_once_is_found() -> None:
    parts = Alternatives("items[].[image, thmb][]")
    left = parts.unfound(PAGE, Unfound(parts.all))
    assert (left, parts.named(left)) == (Unfound(2, 2), ["thmb"])
    left = parts.unfound({"items": [{"thmb": "x"}]}, left)
    assert (left, parts.unfound({"items": [{}]}, left)) == (Unfound(0), Unfound(0))


def test_page_without_items_says_nothing() -> None:
    parts = Alternatives("items[].[image, thumb][]")
    assert parts.unfound({"items": []}, Unfound(parts.all)) == Unfound(3, 0)
