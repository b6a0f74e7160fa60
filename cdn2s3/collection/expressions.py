"""JMESPath on what a source sends: an API's page, a record of an export. Pure.

An expression for URLs is evaluated leniently: a function that meets null gives null, as a missing field does, so
that one item without an image does not end a page of a hundred. An item for which it cannot be evaluated at
all becomes an ItemError, and the others are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult

Node = Mapping[str, Any]  # of a parsed JMESPath expression

_PROJECTIONS = frozenset({"projection", "filter_projection", "value_projection", "flatten"})
_CHAINS = frozenset({"subexpression", "pipe"})
_FAILURES = (JMESPathError, TypeError, ValueError, RecursionError)  # what an evaluation may raise


class UnexpectedShape(ValueError):
    """A page or record does not have the shape that the settings expect."""


class ItemError(dict[str, Any]):
    """What stands in a list of URLs for an item from which none could be taken: `item`, `error`."""

    def __init__(self, item: str, error: str) -> None:
        super().__init__(item=item, error=error)

    def __str__(self) -> str:
        return f"{self['item']}: {self['error']}"


class Found(NamedTuple):
    """What an expression finds."""

    values: Any  # an ItemError in place of what an item's values would be
    items: list[Any] | None  # the list that the values were taken from; None if the expression names none


class Expression:
    """A JMESPath expression for values of a page's items."""

    def __init__(self, text: str, setting: str) -> None:
        """text may be empty, for the page itself; setting is its name in messages."""
        self.text = text
        self._setting = setting
        self._parsed = jmespath.compile(text or "@").parsed
        self._to_list = _path_to_list(self._parsed)

    @property
    def has_filter(self) -> bool:
        return "[?" in self.text

    def named(self) -> str:
        """Return the setting with its value, for messages."""
        return f"{self._setting}={self.text}" if self.text else f"{self._setting} (empty)"

    def find(self, page: object) -> Found:
        """Return what the expression finds in a page; raise UnexpectedShape when it cannot be evaluated."""
        items = self._items(page)
        try:
            return Found(search(self._parsed, page), items)
        except _FAILURES as error:
            if items is None or not _takes_items_one_by_one(self._parsed):
                raise self._cannot(error) from error
        found, errors = self._one_by_one(items)
        if len(errors) == len(items):  # the expression is wrong, not one item
            raise self._cannot(errors[0])
        return Found(found, items)

    def _items(self, page: object) -> list[Any] | None:
        if self._to_list is None:
            return None
        try:
            items = search(_list_node(self._parsed, self._to_list), page)
        except _FAILURES:
            return None
        if isinstance(items, dict):
            items = list(items.values())
        return items if isinstance(items, list) else None

    def _one_by_one(self, items: list[Any]) -> tuple[list[Any], list[Exception]]:
        """Return the values of each item by itself, and what could not be evaluated."""
        found: list[Any] = []
        errors: list[Exception] = []
        for number, item in enumerate(items, 1):
            node = _with_list(
                self._parsed, self._to_list or [], {"type": "literal", "value": [item], "children": []}
            )
            try:
                values = search(node, None)
            except _FAILURES as error:
                errors.append(error)
                found.append(ItemError(named(number, item), f"{self._setting}: {why_not(error)}"))
            else:
                found += values if isinstance(values, list) else [values]
        return found, errors

    def _cannot(self, error: Exception) -> UnexpectedShape:
        return UnexpectedShape(f"{self.named()} cannot be evaluated ({why_not(error)})")


def found(expression: str, page: object, setting: str) -> Any:
    """Return what a JMESPath expression finds in a page, or raise UnexpectedShape naming its setting."""
    try:
        return jmespath.search(expression, page)
    except _FAILURES as error:
        raise UnexpectedShape(f"{setting}={expression} cannot be evaluated ({why_not(error)})") from error


def plain_path(node: Node) -> list[str] | None:
    """Return the names of a parsed dotted path, None for any other expression."""
    if node["type"] == "field":
        return [node["value"]]
    if node["type"] != "subexpression":
        return None
    paths = [plain_path(child) for child in node["children"]]
    if None in paths:
        return None
    return [name for path in paths for name in path or []]


def has_field(value: object, path: list[str]) -> bool:
    """Return whether the object that a path's last name is looked for in has that name."""
    for name in path[:-1]:
        value = value.get(name) if isinstance(value, dict) else None
    return isinstance(value, dict) and path[-1] in value


def why_not(error: Exception) -> str:
    """Return why an evaluation failed, without a value of the page."""
    if not isinstance(error, JMESPathTypeError):
        return type(error).__name__
    wanted = " or ".join(str(name).replace("array-", "a list of ") for name in error.expected_types)
    hint = (
        "; to_string() converts it" if wanted.endswith("string") and _is_number(error.current_value) else ""
    )
    return f"{error.function_name}() takes {wanted}, not {kind(error.current_value)}{hint}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


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


def named(number: int, item: object) -> str:
    """Return the name of an item for messages: its number on the page, and what tells it from others."""
    if isinstance(item, dict):
        for key in ("id", "_id", "uuid", "key", "sku", "slug", "identifier"):
            if isinstance(item.get(key), (str, int)):
                return f"item {number} ({key} {str(item[key])[:60]})"
    return f"item {number}"


class _NullInNullOut(Functions):
    """JMESPath's functions, of which one that cannot take a null gives null."""

    def call_function(self, function_name: str, resolved_args: Any) -> Any:
        try:
            return super().call_function(function_name, resolved_args)
        except JMESPathTypeError:
            if any(
                value is None or (isinstance(value, list) and any(element is None for element in value))
                for value in resolved_args
            ):
                return None
            raise


_LENIENT = jmespath.Options(custom_functions=_NullInNullOut())


def search(node: Any, page: object) -> Any:
    """Return what a parsed expression finds, leniently; raise what jmespath raises."""
    return ParsedResult("", node).search(page, options=_LENIENT)


def _path_to_list(node: Node) -> list[int] | None:
    """Return which children lead from an expression to the list of its outermost projection; None without one.

    `items` in `items[].[image_url, thumb_url][]`: its length is the number of items on the page, whatever URLs they
    have.
    """
    first = node["children"][0] if node["children"] else None
    if node["type"] in _PROJECTIONS or _is_slice(node):
        assert first is not None
        return [0, *(_path_to_list(first) or [])] if first["type"] != "multi_select_list" else None
    if node["type"] == "index_expression":
        assert first is not None
        inner = _path_to_list(first)
        return None if inner is None else [0, *inner]
    if node["type"] in _CHAINS:
        for number, child in enumerate(node["children"]):
            inner = _path_to_list(child)
            if inner is not None:
                return [number, *inner]
    return None


def _is_slice(node: Node) -> bool:
    return bool(node["type"] == "index_expression" and node["children"][1]["type"] == "slice")


def _list_node(node: Node, path: list[int]) -> Node:
    """Return the expression for the list that path leads to; names before it in a chain stay."""
    if not path:
        return node
    inner = _list_node(node["children"][path[0]], path[1:])
    if node["type"] not in _CHAINS:
        return inner
    return {**node, "children": [*node["children"][: path[0]], inner]}


def _with_list(node: Node, path: list[int], other: Node) -> Node:
    """Return the expression with other in place of the list that path leads to."""
    if not path:
        return other
    children = list(node["children"])
    children[path[0]] = _with_list(children[path[0]], path[1:], other)
    return {**node, "children": children}


def _takes_items_one_by_one(node: Node) -> bool:
    """Return whether an expression gives for a list what it gives for its items, one after the other.

    It does not where it takes a part of what was found, or puts all of it into a function: `items[].url | [0]`.
    """
    if node["type"] in _PROJECTIONS:
        first = node["children"][0]
        return not _is_slice(first) and (_path_to_list(first) is None or _takes_items_one_by_one(first))
    if node["type"] not in _CHAINS:
        return False
    steps = [child for child in node["children"] if _path_to_list(child) is not None]
    at = node["children"].index(steps[0]) if steps else 0
    return bool(steps) and node["children"][at:] == steps and all(map(_takes_items_one_by_one, steps))
