"""The parts of a JMESPath expression that give URLs beside each other, and which of them never gave any. Pure.

In `items[].[image_url, thumb_ulr][]` a mistyped name loses half of the URLs without an error: JMESPath gives null for
a field that does not exist. So each part of a list `[a, b]`, and the left side of each `a || b`, must find something
once. Which ones have not is a number, a bit for each, which a position stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath

from cdn2s3.collection.expressions import UnexpectedShape, search

Node = Mapping[str, Any]  # of a parsed JMESPath expression

# How many of the children lead to values; the others are conditions and arguments.
_VALUES_IN = {
    "filter_projection": 2,
    "function_expression": 0,
    "comparator": 0,
    "not_expression": 0,
    "and_expression": 0,
}


class Alternatives:
    """The parts of an expression that must each find something on some page."""

    def __init__(self, text: str) -> None:
        self._nodes = list(_variants(jmespath.compile(text or "@").parsed))
        self.all = (1 << len(self._nodes)) - 1  # nothing was found yet

    def unfound(self, page: object, before: int) -> int:
        """Return which of the parts in before find nothing on this page either."""
        left = before & self.all
        for number, (_, node) in enumerate(self._nodes):
            if left >> number & 1 and _finds_something(node, page):
                left &= ~(1 << number)
        return left

    def named(self, unfound: int) -> list[str]:
        """Return the parts in unfound as they may be shown."""
        return [_shown(part) for number, (part, _) in enumerate(self._nodes) if unfound >> number & 1]


def _variants(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield each part of an expression and the expression with that part alone."""
    children = node["children"]
    is_list = node["type"] == "multi_select_list" and len(children) > 1
    if is_list:
        for child in children:
            yield child, {**node, "children": [child]}
    elif node["type"] == "or_expression":
        yield children[0], children[0]
    for number, child in enumerate(children[: _VALUES_IN.get(node["type"], len(children))]):
        if not isinstance(child, Mapping):
            continue
        for part, variant in _variants(child):
            beside = ([], []) if is_list else (children[:number], children[number + 1 :])
            yield part, {**node, "children": [*beside[0], variant, *beside[1]]}


def _finds_something(node: Node, page: object) -> bool:
    try:
        return _is_something(search(node, page))
    except (UnexpectedShape, ValueError, TypeError, RecursionError):
        return False


def _is_something(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_is_something, value))
    return value is not None and value is not False and value != ""


def _shown(node: Node) -> str:
    """Return a part as it was written, more or less."""
    kind, inside = node["type"], [_shown(child) for child in node["children"] if isinstance(child, Mapping)]
    if kind == "field":
        return str(node["value"])
    if kind in ("identity", "current"):
        return ""
    if kind in ("projection", "value_projection", "filter_projection"):
        middle = {"projection": "[*]", "value_projection": ".*"}.get(kind, "[?…]")
        middle = "" if inside[0].endswith("[]") else middle
        return inside[0] + middle + (f".{inside[1]}" if inside[1] else "")
    if kind == "flatten":
        return inside[0] + "[]"
    return (" || " if kind == "or_expression" else ".").join(filter(None, inside))
