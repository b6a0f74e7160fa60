"""JMESPath on a page: where the items are, what a null does, which item an expression fails on."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.collection.expressions import Expression, ItemError, UnexpectedShape, found


def find(text: str, page: Any) -> tuple[Any, Any]:
    return Expression(text, "API_URLS_FIELD").find(page)


DEEP: list[Any] = [
    pytest.param("data.files.nodes[].image.url", {"data": {"files": {"nodes": [{"image": {"url": "a"}}]}}}),
    pytest.param("a.b.c.d[].e.f.g", {"a": {"b": {"c": {"d": [{"e": {"f": {"g": "a"}}}]}}}}),
    pytest.param("a[0].b.c[].d.e", {"a": [{"b": {"c": [{"d": {"e": "a"}}]}}]}),
    pytest.param("a.b.* | [].c.d.e", {"a": {"b": {"x": {"c": {"d": {"e": "a"}}}}}}),
]


@pytest.mark.parametrize(("text", "page"), DEEP)
def test_expression_of_many_names_is_one_like_any_other(text: str, page: Any) -> None:
    values, items = find(text, page)
    assert values == ["a"]
    assert len(items) == 1


ITEMS: list[Any] = [
    pytest.param(
        "data[0].images[].url", {"data": [{"images": [{"url": "1"}, {}]}]}, 2, id="an index on the way"
    ),
    pytest.param("pages.*.image", {"pages": {"7": {"image": "1"}, "9": {}}}, 2, id="values of an object"),
    pytest.param("items[1:].url", {"items": [{"url": "1"}, {"url": "2"}]}, 2, id="a slice"),
    pytest.param("[a[].u, b[].u][]", {"a": [], "b": []}, 0, id="two lists, both empty"),
    pytest.param("items[].url || data[].url", {"data": []}, None, id="either"),
    pytest.param("urls", {"urls": ["1"]}, None, id="no projection"),
]


@pytest.mark.parametrize(("text", "page", "count"), ITEMS)
def test_items_are_the_list_that_is_walked(text: str, page: Any, count: int | None) -> None:
    _, items = find(text, page)
    assert (None if items is None else len(items)) == count


NULLS: list[Any] = [
    pytest.param("items[].join('', ['x', f])", id="join"),
    pytest.param("items[?starts_with(f, '1')].f", id="in a filter"),
    pytest.param("items[].sort([f, '9'])[0]", id="sort"),
]


@pytest.mark.parametrize("text", NULLS)
def test_null_in_the_middle_of_a_page_is_an_item_without_a_url(text: str) -> None:
    values, items = find(text, {"items": [{"f": "1"}, {"f": None}, {"f": "1"}]})
    assert len(values) == 2
    assert len(items) == 3


ODD: list[Any] = [
    pytest.param(
        "items[].join('', ['x', f])",
        {"id": 812, "f": 5},
        "item 2 (id 812): join() takes a list of string, not a number; to_string()",
        id="number",
    ),
    pytest.param(
        "items[].[join('', ['x', f])][]",
        {"sku": "A-1", "f": {"a": "s3cret"}},
        "item 2 (sku A-1): join() takes a list of string, not an object",
        id="object",
    ),
    pytest.param(
        "items[?starts_with(f, '1')].f | [?@ != '9']",
        {"f": ["s3cret"]},
        "item 2: starts_with() takes string, not a list",
        id="in a filter, piped",
    ),
    pytest.param(
        "items[].max_by([{w: f, u: '1'}, {w: '1', u: '2'}], &w).u",
        {"f": True},
        "item 2: max_by() takes number or string, not a boolean",
        id="key of max_by",
    ),
]


@pytest.mark.parametrize(("text", "item", "said"), ODD)
def test_item_that_fails_is_named_without_its_content_and_the_others_stay(
    text: str, item: Any, said: str
) -> None:
    values, _ = find(text, {"items": [{"f": "1"}, item, {"f": "1"}]})
    errors = [value for value in values if isinstance(value, ItemError)]
    assert (len(values), len(errors)) == (3, 1)
    assert str(errors[0]).replace("API_URLS_FIELD: ", "").startswith(said)
    assert "s3cret" not in str(errors[0])


@pytest.mark.parametrize(
    "text", ["items[].join('', f)", "items[].f | join('', @)", "items[].f | [0] | join('', @)"]
)
def test_expression_that_fails_on_all_is_wrong(text: str) -> None:
    with pytest.raises(UnexpectedShape, match=r"API_URLS_FIELD=items.* cannot be evaluated \(join\(\) takes"):
        find(text, {"items": [{"f": 1}, {"f": 2}]})


def test_part_of_what_was_found_is_not_looked_for_in_each_item() -> None:
    with pytest.raises(UnexpectedShape, match="cannot be evaluated"):
        find("items[].join('', ['x', f]) | [0]", {"items": [{"f": "1"}, {"f": 5}]})


def test_cursor_may_be_null_and_nothing_else_that_its_function_does_not_take() -> None:
    assert found("sum([a, `1`])", {"a": None}, "API_CURSOR_FIELD") is None
    with pytest.raises(UnexpectedShape, match=r"API_CURSOR_FIELD=sum\(\[a, `1`\]\) cannot be evaluated"):
        found("sum([a, `1`])", {"a": "x"}, "API_CURSOR_FIELD")
