"""Which parts of an expression have found nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.collection.alternatives import Alternatives

PAGE = {
    "items": [
        {
            "image": "1",
            "thumb": None,
            "sizes": {"s": {"url": "2"}},
            "files": [{"u": "3"}, {"u": None}],
            "large": "",
        },
        {"image": None, "thumb": "", "sizes": [], "files": []},
    ]
}
EXPRESSIONS: list[Any] = [
    pytest.param("items[].image", [], id="one-part"),
    pytest.param("items[].thumb", [], id="one-part-is-the-shapes-business"),
    pytest.param("items[].[image, files[].u][]", [], id="both-found"),
    pytest.param("items[].[image, thumb][]", ["thumb"], id="always-null-or-empty"),
    pytest.param("items[].[imge, image][]", ["imge"], id="mistyped"),
    pytest.param("items[].[image, sizes.*.url][][]", [], id="values"),
    pytest.param("items[].[image, sizs.*.url][][]", ["sizs.*.url"], id="mistyped-in-a-path"),
    pytest.param("items[].[image, sizes.*.ulr][][]", ["sizes.*.ulr"], id="mistyped-at-its-end"),
    pytest.param("items[].[image, files[].x][][]", ["files[].x"], id="mistyped-in-a-list"),
    pytest.param("items[].[large || image][]", ["large"], id="left-of-or"),
    pytest.param("items[].[image || thumb][]", [], id="right-of-or-is-a-fallback"),
    pytest.param("items[].[image, large || thumb][]", ["large || thumb", "large"], id="or-in-a-list"),
    pytest.param("items[?image || x].[image, y][]", ["y"], id="condition-is-no-part"),
    pytest.param("items[].join('', ['x', image])", [], id="argument-is-no-part"),
    pytest.param("[items[].image, items[].y] | []", ["items[].y"], id="at-the-top"),
    pytest.param("", [], id="the-page-itself"),
]


@pytest.mark.parametrize(("text", "unfound"), EXPRESSIONS)
def test_part_that_finds_nothing(text: str, unfound: list[str]) -> None:
    parts = Alternatives(text)
    assert parts.named(parts.unfound(PAGE, parts.all)) == unfound


def test_what_was_found_once_is_found() -> None:
    parts = Alternatives("items[].[image, thumb][]")
    left = parts.unfound(PAGE, parts.all)
    assert parts.named(left) == ["thumb"]
    left = parts.unfound({"items": [{"thumb": "x"}]}, left)
    assert (left, parts.unfound({"items": [{}]}, left)) == (0, 0)
    assert parts.unfound({}, parts.all) == parts.all
