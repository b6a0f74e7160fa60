"""The outline of a page of JSON, for people: names, types and the lengths of lists, but no values of texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_MOST_LINES = 60
_MOST_NAMES = 25  # of one object
_INDENT = "  "


def outline_of(page: object) -> list[str]:
    """Return the outline of parsed JSON, one line a name; the elements of a list are shown as one.

    A number and a boolean are shown, for they tell a total and a flag; of a text only whether it is a URL.
    """
    lines: list[str] = []
    for line in _lines("", [page], 0):
        if len(lines) == _MOST_LINES:
            return [*lines, "…"]
        lines.append(line)
    return lines


def _lines(name: str, values: Sequence[Any], depth: int) -> Iterator[str]:
    """Yield the lines for what has one name: a single value, or the same one of each element of a list."""
    lists = [value for value in values if isinstance(value, list)]
    objects = [value for value in values if isinstance(value, dict)]
    start = _INDENT * depth + (f"{name}: " if name else "")
    if lists:
        elements = [element for inner in lists for element in inner]
        yield f"{start}{_lengths(lists)}"
        if any(isinstance(element, (dict, list)) for element in elements):
            yield from _lines("", elements, depth + 1)
        elif elements:
            yield f"{_INDENT * (depth + 1)}{_kinds(elements)}"
    elif objects:
        if name:
            yield f"{start}object{_how_many(objects, values)}"
        yield from _members(objects, depth + bool(name))
    else:
        yield f"{start}{_kinds(values)}"


def _members(objects: Sequence[dict[str, Any]], depth: int) -> Iterator[str]:
    names = list(dict.fromkeys(name for one in objects for name in one))
    for name in names[:_MOST_NAMES]:
        having = [one[name] for one in objects if name in one]
        lines = _lines(str(name)[:60], having, depth)
        share = f" (in {len(having)} of {len(objects)})" if len(having) < len(objects) else ""
        yield next(lines) + share
        yield from lines
    if len(names) > _MOST_NAMES:
        yield f"{_INDENT * depth}… and {len(names) - _MOST_NAMES} more names"


def _lengths(lists: Sequence[list[Any]]) -> str:
    sizes = sorted({len(one) for one in lists})
    if len(lists) == 1:
        return f"list of {sizes[0]}"
    return f"lists of {sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"lists of {sizes[0]}"


def _how_many(objects: Sequence[Any], values: Sequence[Any]) -> str:
    return f" (null in {len(values) - len(objects)})" if len(objects) < len(values) else ""


def _kinds(values: Sequence[Any]) -> str:
    """Return the types of some single values; the value itself where there is one number or boolean."""
    if len(values) == 1 and isinstance(values[0], (bool, int, float)):
        return str(values[0]).lower()
    found = list(dict.fromkeys(_kind(value) for value in values))
    return " or ".join(found)


def _kind(value: object) -> str:
    if isinstance(value, str):
        if not value:
            return '""'
        return "URL" if value.startswith(("http://", "https://", "//")) and " " not in value else "text"
    names = {bool: "boolean", type(None): "null", dict: "object", list: "list"}
    return names.get(type(value), "number")
