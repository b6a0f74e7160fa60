"""The parts of a JMESPath expression that give URLs beside each other, and which of them never gave any. Pure.

In `items[].[image_url, thumb_ulr][]` a mistyped name loses half of the URLs without an error: JMESPath gives null for
a field that does not exist. So each part of a list `[a, b]`, and the left side of each `a || b`, must find something
once, unless what it looks for is there and empty wherever it looks: null, "" or a list of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jmespath

from cdn2s3.collection.expressions import search

Node = Mapping[str, Any]  # of a parsed JMESPath expression

# How many of the children lead to values; the others are conditions and arguments.
_VALUES_IN = {
    "filter_projection": 2,
    "function_expression": 0,
    "comparator": 0,
    "not_expression": 0,
    "and_expression": 0,
}


class Unfound(NamedTuple):
    """Which parts have found nothing, a bit for each."""

    parts: int
    lacked: int = 0  # of them: those whose name some object did not have


class Alternatives:
    """The parts of an expression that must each find something on some page."""

    def __init__(self, text: str) -> None:
        self._nodes = list(_variants(jmespath.compile(text or "@").parsed))
        self.all = (1 << len(self._nodes)) - 1  # nothing was found yet

    def unfound(self, page: object, before: Unfound) -> Unfound:
        """Return which of the parts in before find nothing on this page either."""
        parts, lacked = before
        for number, (_, node) in enumerate(self._nodes):
            bit = 1 << number
            if not parts & bit:
                continue
            found, lacks = _found(node, page)
            if found:
                parts &= ~bit
            elif lacks:
                lacked |= bit
        return Unfound(parts & self.all, lacked & parts)

    def doubts(self, unfound: Unfound, where: str) -> tuple[str, ...]:
        """Return a sentence for each part that may be mistyped; where is where it was looked for."""
        return tuple(
            f"`{part}` in API_URLS_FIELD finds nothing {where}. Correct it, or leave it out if no item has it."
            for part in self.named(unfound)
        )

    def named(self, unfound: Unfound) -> list[str]:
        """Return the parts that may be mistyped, as they may be shown."""
        wrong = unfound.parts & unfound.lacked
        return [_shown(part) for number, (part, _) in enumerate(self._nodes) if wrong >> number & 1]


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


def _found(node: Node, page: object) -> tuple[bool, bool]:
    """Return whether an expression finds something, and whether a name of it is missing somewhere."""
    try:
        values, lacks = _reached(node, page)
    except (ValueError, TypeError, RecursionError):
        return False, True
    return any(map(_is_something, values)), lacks


def _is_something(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_is_something, value))
    return not _is_empty(value)


def _is_empty(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})


def _reached(node: Node, value: Any) -> tuple[list[Any], bool]:
    """Return the values that an expression reaches from value, and whether it meets something without its name."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        if isinstance(value, dict) and node["value"] in value:
            return [value[node["value"]]], False
        return [], not _is_empty(value)
    if kind in ("identity", "current"):
        return [value], False
    if kind in ("subexpression", "pipe"):
        return _along(children, value)
    if kind == "multi_select_list":
        each = [_reached(child, value) for child in children]
        return [[found for values, _ in each for found in values]], any(lacks for _, lacks in each)
    if kind == "flatten":
        lists, lacks = _reached(children[0], value)
        return [_merged(lists)], lacks or not all(_is_empty(one) or isinstance(one, list) for one in lists)
    if kind in ("projection", "value_projection", "filter_projection"):
        return _projected(node, value)
    found = search(node, value)
    return [found], found is None and not _is_empty(value)


def _along(nodes: Sequence[Node], value: Any) -> tuple[list[Any], bool]:
    values, lacks = [value], False
    for node in nodes:
        each = [_reached(node, one) for one in values]
        values = [found for some, _ in each for found in some]
        lacks = lacks or any(lacked for _, lacked in each)
    return values, lacks


def _projected(node: Node, value: Any) -> tuple[list[Any], bool]:
    """Return what _reached() returns, for a projection."""
    left, right = node["children"][:2]
    lists, lacks = _reached(left, value)
    wanted = dict if node["type"] == "value_projection" else list
    elements: list[Any] = []
    for one in lists:
        if isinstance(one, wanted):
            elements += one.values() if isinstance(one, dict) else one
        else:
            lacks = lacks or not _is_empty(one)
    if node["type"] == "filter_projection":
        elements = [one for one in elements if search(node["children"][2], one)]
    each = [_reached(right, one) for one in elements]
    return [[found for some, _ in each for found in some]], lacks or any(lacked for _, lacked in each)


def _merged(lists: list[Any]) -> list[Any]:
    """Return the elements of lists, and of the lists among them, as a flatten gives them."""
    merged: list[Any] = []
    for one in lists:
        for element in one if isinstance(one, list) else []:
            merged += element if isinstance(element, list) else [element]
    return merged


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
