"""The content of a page of JSON: its URLs, its items, the API's total, found by JMESPath expressions. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from cdn2s3.settings.declarations import CollectionSettings

_LEFT_IS_THE_LIST = frozenset(
    {"projection", "filter_projection", "value_projection", "flatten", "index_expression"}
)
_CHAINS = frozenset({"subexpression", "pipe"})


class UnexpectedShape(ValueError):
    """A page does not have the shape that the settings expect."""


class Content(NamedTuple):
    """The content of one page."""

    urls: list[Any]  # unmodified and not validated; None if an item's URL is null
    items: list[Any]  # what the URLs were taken from; the URLs themselves if that is unknown
    total: int | None  # the API's total number of items; None if it reports none


class Shape:
    """Find a page's content according to the settings."""

    def __init__(self, settings: CollectionSettings) -> None:
        self._urls_field = settings.api_urls_field
        self._items_field = settings.api_items_field
        self._total_field = settings.api_total_field
        self._list_in_urls_field = _list_part(jmespath.compile(self._urls_field or "@").parsed)

    def read(self, page: object, is_first: bool) -> Content:
        """Return the content of a page, or raise UnexpectedShape."""
        urls = self._urls(page)
        items = self._items(page, urls)
        if items and all(url is None for url in urls):
            self._check_lack_of_urls(items, is_first)
        return Content(urls, items, self._total(page))

    def _urls(self, page: object) -> list[Any]:
        urls = found(self._urls_field or "@", page, "API_URLS_FIELD")
        if not isinstance(urls, list):
            raise UnexpectedShape(f"{self._named()} should return a list of URLs, not {kind(urls)}")
        if urls and not any(isinstance(url, str) or url is None for url in urls):
            raise UnexpectedShape(
                f"{self._named()} should return a list of URLs, not a list with {kind(urls[0])}"
            )
        return urls

    def _items(self, page: object, urls: list[Any]) -> list[Any]:
        if self._items_field:
            items = found(self._items_field, page, "API_ITEMS_FIELD")
            if not isinstance(items, list):
                raise UnexpectedShape(
                    f"API_ITEMS_FIELD={self._items_field} should return a list of items, not {kind(items)}"
                )
            return items
        try:
            items = ParsedResult("", self._list_in_urls_field).search(page)
        except JMESPathError:
            return urls
        return items if isinstance(items, list) else urls

    def _check_lack_of_urls(self, items: list[Any], is_first: bool) -> None:
        """Raise UnexpectedShape when items without a URL mean that API_URLS_FIELD is wrong.

        An expression with a filter may legitimately skip all items of a page. On a later page it is a doubt at
        the end (Batch.blank).
        """
        if "[?" not in self._urls_field and is_first:
            raise UnexpectedShape(
                f"it has {len(items)} items, but {self._named()} finds no URL in any of them; "
                f"the first item is {outline(items[0])}"
            )

    def _named(self) -> str:
        return f"API_URLS_FIELD={self._urls_field}" if self._urls_field else "API_URLS_FIELD (empty)"

    def _total(self, page: object) -> int | None:
        if not self._total_field:
            return None
        total = found(self._total_field, page, "API_TOTAL_FIELD")
        if isinstance(total, str) and re.fullmatch("[0-9]{1,18}", total):
            return int(total)
        if total is None:
            return None
        if type(total) is not int:
            raise UnexpectedShape(
                f"API_TOTAL_FIELD={self._total_field} should return a whole number, not {kind(total)}"
            )
        return total if total >= 0 else None


def found(expression: str, page: object, setting: str) -> Any:
    """Return what a JMESPath expression finds in a page, or raise UnexpectedShape naming its setting."""
    try:
        return jmespath.search(expression, page)
    except JMESPathError as error:
        raise UnexpectedShape(
            f"{setting}={expression} cannot be evaluated ({type(error).__name__})"
        ) from error


def kind(value: object) -> str:
    """Return the JSON type of a value, with its article."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def outline(value: object) -> str:
    """Return the JSON type of a value and, for an object, the names of its keys, but no values."""
    if not isinstance(value, dict) or not value:
        return kind(value)
    return "an object with the keys " + ", ".join(str(key)[:30] for key in list(value)[:8])


Node = Mapping[str, Any]  # of a parsed JMESPath expression


def _list_part(node: Node) -> Any:
    """Return the part of an expression that selects the list of its outermost projection.

    `items` in `items[].[image_url, thumb_url][]`: its length is the number of items on the page, whatever URLs they
    have. An expression without a projection is returned whole.
    """
    if node["type"] in _LEFT_IS_THE_LIST:
        return _list_part(node["children"][0])
    if node["type"] in _CHAINS:
        left, right = node["children"]
        if _list_part(left) != left:
            return _list_part(left)
        return {**node, "children": [left, _list_part(right)]}
    return node
