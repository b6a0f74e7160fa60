"""What a page holds: URLs, items, total; and how a page of another shape is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.api.page_shape import Shape
from cdn2s3.collection.expressions import UnexpectedShape
from cdn2s3.collection.notes import COMPLETED, ELSEWHERE, JOINED, TRIMMED
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from cdn2s3.url_text import are_whole


def shape(urls: str = "items[].url", **settings: str) -> Shape:
    values = {"API_BASE_URL": "https://api.test/", "API_URLS_FIELD": urls, **settings}
    return Shape(build(CollectionSettings, values, {}, Path("collection.env")))


TWO = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
ITEM_COUNTS: list[Any] = [
    pytest.param("", ["1", "2"], 2, 2, id="a-plain-list"),
    pytest.param("items[].a", {"items": TWO}, 2, 2, id="one-url-an-item"),
    pytest.param("items[].[a, b][]", {"items": TWO}, 4, 2, id="two-urls-an-item"),
    pytest.param("items[*].[a, b][]", {"items": TWO}, 4, 2, id="two-urls-by-star"),
    pytest.param("data.items[].[a, b][]", {"data": {"items": TWO}}, 4, 2, id="in-an-object"),
    pytest.param("data.items[*].a", {"data": {"items": TWO}}, 2, 2, id="in-an-object-by-star"),
    pytest.param("items[?a=='1'].a", {"items": TWO}, 1, 2, id="filtered"),
    pytest.param("items[?a=='9'].a", {"items": TWO}, 0, 2, id="all-filtered-out"),
    pytest.param("items | [].a", {"items": TWO}, 2, 2, id="piped"),
    pytest.param("items[].a | [?@ != '1']", {"items": TWO}, 1, 2, id="filtered-by-pipe"),
    pytest.param("lots[].images[].a", {"lots": [{"images": TWO}, {"images": TWO}]}, 4, 2, id="nested"),
    pytest.param("[].a", TWO, 2, 2, id="page-is-the-list"),
    pytest.param("map(&a, items)", {"items": TWO}, 2, 2, id="a-function"),
]


@pytest.mark.parametrize(("field", "page", "urls", "items"), ITEM_COUNTS)
def test_items_are_what_the_urls_were_taken_from(field: str, page: Any, urls: int, items: int) -> None:
    content = shape(field).read(page, is_first=True)
    assert (len(content.urls), len(content.items)) == (urls, items)


WRONG: list[Any] = [
    pytest.param("items[].url", {"error": "s3cret"}, "not null", id="error-page"),
    pytest.param("items[].url", {"items": None}, "not null", id="null-items"),
    pytest.param("items", {"items": "s3cret"}, "not a string", id="a-string"),
    pytest.param("items", {"items": {"a": 1}}, "not an object", id="an-object"),
    pytest.param("", {"items": []}, "not an object", id="no-field-and-no-list"),
    pytest.param("items", {"items": [{"url": "x"}]}, "a list with an object", id="items-instead-of-urls"),
    pytest.param("items", {"items": [1, 2]}, "a list with a number", id="numbers"),
    pytest.param("items[].ulr", {"items": [{"url": "s3cret"}]}, "finds no URL", id="misspelt-on-page-1"),
    pytest.param("sort(items)", {"items": {}}, "cannot be evaluated", id="type-error"),
]


@pytest.mark.parametrize(("field", "page", "said"), WRONG)
def test_page_of_another_shape_is_named_without_its_content(field: str, page: Any, said: str) -> None:
    with pytest.raises(UnexpectedShape, match=said) as caught:
        shape(field).read(page, is_first=True)
    assert "s3cret" not in str(caught.value)


def test_only_the_first_page_must_have_a_url() -> None:
    page = {"items": [{"url": None}] * 50}
    assert shape().read(page, is_first=False).urls == []
    with pytest.raises(UnexpectedShape, match="finds no URL"):
        shape().read(page, is_first=True)


@pytest.mark.parametrize("items", [None, {"a": 1}, "x"], ids=["null", "object", "string"])
def test_items_field_that_is_no_list_is_wrong(items: Any) -> None:
    with pytest.raises(UnexpectedShape, match="API_ITEMS_FIELD=things"):
        shape(API_ITEMS_FIELD="things").read({"items": [{"url": "x"}], "things": items}, is_first=True)


@pytest.mark.parametrize(
    ("given", "total"),
    [(7, 7), ("7", 7), (None, None), (-1, None), (0, 0)],
    ids=["number", "text", "null", "negative", "zero"],
)
def test_total_given(given: Any, total: Any) -> None:
    assert shape(API_TOTAL_FIELD="total").read({"items": [], "total": given}, is_first=True).total == total


@pytest.mark.parametrize("given", [True, 1.5, "many", [1], {}], ids=str)
def test_total_of_another_type_is_wrong(given: Any) -> None:
    with pytest.raises(UnexpectedShape, match="API_TOTAL_FIELD=total should return a whole number"):
        shape(API_TOTAL_FIELD="total").read({"items": [], "total": given}, is_first=True)


NO_IMAGE: list[Any] = ["", " ", False, [], {}]


@pytest.mark.parametrize("value", NO_IMAGE, ids=repr)
def test_item_may_say_in_several_ways_that_it_has_no_image(value: Any) -> None:
    content = shape().read({"items": [{"url": "1"}, {"url": value}, {"url": "3"}]}, is_first=True)
    assert content.urls == ["1", None, "3"]


@pytest.mark.parametrize("value", ["", " ", False], ids=repr)
@pytest.mark.parametrize(
    "settings", [{}, {"API_URL_TEMPLATE": "https://h/{@}"}, {"API_URL_BASE": "https://h/"}]
)
def test_page_whose_items_say_that_they_have_no_image_is_no_mistake(
    value: Any, settings: dict[str, str]
) -> None:
    content = shape(**settings).read({"items": [{"url": value}] * 3}, is_first=True)
    assert (content.urls, content.lacks_urls) == ([None] * 3, False)


@pytest.mark.parametrize("value", [None, [], {}], ids=repr)
def test_page_full_of_what_a_request_may_leave_out_is_suspicious(value: Any) -> None:
    page = {"items": [{"url": value}] * 3}
    assert shape().read(page, is_first=False).lacks_urls
    with pytest.raises(UnexpectedShape, match="finds no URL"):
        shape().read(page, is_first=True)


def test_lists_of_urls_in_the_items_are_taken_apart() -> None:
    page = {"items": [{"url": ["1", "2"]}, {"url": []}, {"url": [["3"], None]}]}
    assert shape().read(page, is_first=True).urls == ["1", "2", None, "3", None]


@pytest.mark.parametrize(
    ("urls", "settings", "page"),
    [
        ("items", {}, {"items": TWO}),
        ("", {"API_ITEMS_FIELD": "items"}, {"items": TWO}),
        ("", {}, TWO),
        ("items[?a].a", {"API_URL_TEMPLATE": "https://h/{@}"}, {"items": TWO}),
    ],
    ids=["records", "items", "the page", "texts"],
)
def test_template_is_filled_from_what_the_urls_field_selects(
    urls: str, settings: dict[str, str], page: Any
) -> None:
    content = shape(urls, **{"API_URL_TEMPLATE": "https://h/{a}", **settings}).read(page, is_first=True)
    assert content.urls == ["https://h/1", "https://h/3"]
    assert len(content.items) == 2


def test_page_that_is_one_record_fills_the_template() -> None:
    made = shape("", API_URL_TEMPLATE="https://h{dir}/{files[].name}")
    page = {"dir": "/d", "files": [{"name": "1"}, {"name": "2"}]}
    assert made.read(page, is_first=True).urls == ["https://h/d/1", "https://h/d/2"]


def test_misspelt_field_of_a_template_is_named() -> None:
    with pytest.raises(UnexpectedShape, match=r"\{bb\} finds nothing in the first one; .*the keys a, b"):
        shape("items", API_URL_TEMPLATE="https://h/{a}/{bb}").read({"items": TWO}, is_first=True)


C = "https://cdn.test/"
AS_THEY_COME: list[Any] = [
    # what an item's field holds, the settings, the URLs, the notes
    pytest.param(f" {C}a.jpg\xa0", {}, [f"{C}a.jpg"], {TRIMMED: 1}, id="blanks"),
    pytest.param(f"\u200b{C}a.jpg\ufeff", {}, [f"{C}a.jpg"], {TRIMMED: 1}, id="zero-width"),
    pytest.param(
        f"\u200b{C}a.jpg", {"API_URL_BASE": C + "media"}, [f"{C}a.jpg"], {TRIMMED: 1}, id="zero-width-and-a-base"
    ),
    pytest.param(f"{C}a.png?v=1, {C}b.png", {}, [f"{C}a.png?v=1", f"{C}b.png"], {JOINED: 1}, id="several"),
    pytest.param(f"{C}a\nb.jpg", {}, [f"{C}a\nb.jpg"], {}, id="line-break-inside"),
    pytest.param(f"{C}a.jpg\n{C}b.jpg", {}, [f"{C}a.jpg", f"{C}b.jpg"], {JOINED: 1}, id="lines"),
    pytest.param([f"{C}a.jpg", f"{C}b.jpg 2x"], {}, [f"{C}a.jpg", f"{C}b.jpg"], {TRIMMED: 1}, id="list"),
    pytest.param(f"{C}x?u=https://b.test/1.jpg", {}, [f"{C}x?u=https://b.test/1.jpg"], {}, id="nested"),
    pytest.param(f"{C}a b,c(1).jpg", {}, [f"{C}a b,c(1).jpg"], {}, id="blanks-inside"),
    pytest.param("\u200b", {}, [None], {}, id="nothing-but-zero-width"),
    pytest.param("/a.jpg", {}, ["/a.jpg"], {}, id="path-without-a-base"),
    pytest.param(
        "a.jpg, /u/b.png?v=1", {"API_URL_BASE": C}, [f"{C}a.jpg", f"{C}u/b.png?v=1"],
        {JOINED: 1, COMPLETED: 2}, id="paths",
    ),
    pytest.param("w_1,h_2/a.jpg", {"API_URL_BASE": C}, [f"{C}w_1,h_2/a.jpg"], {COMPLETED: 1}, id="commas-in-a-path"),
    pytest.param(" /a.jpg", {"API_URL_BASE": C}, [f"{C}a.jpg"], {TRIMMED: 1, COMPLETED: 1}, id="path"),
    pytest.param(
        "\u200ba.jpg ", {"API_URL_BASE": "", "API_URL_TEMPLATE": C + "{u}"}, [f"{C}a.jpg"], {}, id="template"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("field", "settings", "urls", "notes"), AS_THEY_COME)
def test_urls_are_read_as_those_of_an_export_are(
    field: Any, settings: dict[str, str], urls: list[Any], notes: dict[str, int]
) -> None:
    expression = "items" if "API_URL_TEMPLATE" in settings else "items[].u"
    page = {"items": [{"u": "0.jpg" if expression == "items" else C + "0.jpg"}, {"u": field}]}
    content = shape(expression, **settings).read(page, is_first=True)
    assert content.urls == [f"{C}0.jpg", *urls]
    assert {what: note.times for what, note in content.notes.items()} == notes
    assert content.lacking == 0


@pytest.mark.parametrize("texts", [[], [f"{C}a.jpg"], [f"{C}a.jpg", "http://b.test/%20x?y=1#z"]])
def test_page_of_whole_urls_is_not_read_one_by_one(texts: list[str]) -> None:
    assert are_whole(texts)


@pytest.mark.parametrize(
    "odd", ["", " ", f"{C}a,b.jpg", f"{C}a\nb", f"{C}a.jpg ", f"{C}x?u=http://b.test/", "/a"]
)
def test_text_with_something_to_read_is_not_whole(odd: str) -> None:
    assert not are_whole([f"{C}0.jpg", odd])


ELSEWHERES: list[Any] = [
    pytest.param(
        {"faces": [{"url": f"{C}2.jpg"}, {"url": f"{C}3.jpg"}]}, f"faces[].url: {C}2.jpg", id="deeper"
    ),
    pytest.param({"url": None, "large": f"{C}2.png?***"}, f"large: {C}2.png?***", id="another-name"),
    pytest.param({"page": f"{C}2.html", "text": "2.jpg"}, None, id="nothing-like-an-image"),
]


@pytest.mark.parametrize(("item", "example"), ELSEWHERES)
def test_image_of_an_item_that_the_expression_passes_over_is_shown(item: Any, example: str | None) -> None:
    """As Scryfall's cards with two faces, which have their images a level deeper."""
    page = {"items": [{"url": f"{C}1.jpg", "small": f"{C}s.jpg"}, item]}
    for settings in ({}, {"API_ITEMS_FIELD": "items"}):
        noted = shape(**settings).read(page, is_first=True).notes.get(ELSEWHERE)
        assert (noted and noted.example) == example


def test_image_elsewhere_is_not_looked_for_where_a_filter_chooses() -> None:
    page = {"items": [{"url": f"{C}1.jpg"}, {"large": f"{C}2.jpg"}]}
    assert ELSEWHERE not in shape("items[?url].url", API_ITEMS_FIELD="items").read(page, is_first=True).notes


def test_list_of_one_that_comes_as_the_object_itself_is_explained_and_found_in_brackets() -> None:
    page = {"Image": {"url": f"{C}1.jpg"}}
    with pytest.raises(UnexpectedShape, match=r"is it a list of one\? \[Image\]\[\] finds both"):
        shape("[Image][].url", API_ITEMS_FIELD="Image").read(page, is_first=False)
    assert shape("[Image][].url", API_ITEMS_FIELD="[Image][]").read(page, is_first=False).urls == [
        f"{C}1.jpg"
    ]
