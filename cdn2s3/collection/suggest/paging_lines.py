"""How an API pages, as lines: found in its first page, and tried with a few requests more."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cdn2s3.collection.api.styles import next_in
from cdn2s3.collection.suggest import markers
from cdn2s3.collection.suggest.markers import Marker
from cdn2s3.collection.suggest.probing import (
    AFTER_PARAMS,
    OFFSET_PARAMS,
    PAGE_PARAMS,
    SIZE_PARAMS,
    Prober,
    Seen,
    params_of,
)
from cdn2s3.collection.suggest.proposal import Line

_FAR = 100_000  # the number of a page that no list has
_USUAL_SIZE = 100  # the default of RESULTS_PER_PAGE
_STARTS = ("*", "", "0")  # cursors that ask for the first page
_SIZES = frozenset(
    {10, 12, 15, 16, 18, 20, 24, 25, 30, 32, 36, 40, 48, 50, 60, 64, 75, 80, 96}
)  # and hundreds


class Paging(NamedTuple):
    """How the API pages."""

    lines: list[Line]
    params: list[str]  # that page, so they are no part of API_BASE_URL
    page: Seen  # a page that has others after it, where there is one
    has_next: bool
    notes: list[str]


def paging_of(prober: Prober, items: str) -> Paging:
    """Find out how the API pages; items is the JMESPath of the list, "" if there is none."""
    size_lines, size_params, small = _size(prober)
    if small is not None:
        prober.url = small.url
    page = small or prober.first
    found = (
        _by_marker(prober, page, size_params)
        or _by_last_id(prober, page, items)
        or _by_number(prober, page)
        or _whole(prober, page)
    )
    lines = found.lines + size_lines
    return found._replace(lines=lines, params=[*found.params, *size_params])


# -- the size of a page


def _size(prober: Prober) -> tuple[list[Line], list[str], Seen | None]:
    """Return the lines and parameters for the size of a page, and a page that was asked for smaller."""
    first = prober.first
    count = len(prober.items(first))
    given = [name for name in params_of(first.url) if name in SIZE_PARAMS]
    if given:
        why = "as in the URL"
        sized = params_of(first.url)[given[0]]
        whole = [Line("RESULTS_PER_PAGE", sized, why)] if sized.isdigit() else []
        return [Line("API_PER_PAGE_PARAM", given[0], why), *whole], given[:1], None
    marker = _marker(first)
    if marker is not None and marker.style != "cursor" and isinstance(marker.value, str):
        named = [
            name for name, value in params_of(marker.value).items() if name in SIZE_PARAMS and value.isdigit()
        ]
        if named:
            return (
                [Line("API_PER_PAGE_PARAM", named[0], "it is in the link to the next page")],
                named[:1],
                None,
            )
    smaller = min(2, count - 1)
    if smaller < 1:
        return [Line("API_PER_PAGE_PARAM", "", "too few items to find its name")], [], None
    for name in _said_first(SIZE_PARAMS, first.content):
        seen = prober.with_params({name: smaller})
        if len(prober.items(seen)) == smaller:
            line = Line(
                "API_PER_PAGE_PARAM", name, f"tried: {name}={smaller} gives {smaller} of {count} items"
            )
            return [line, *_size_allowed(prober, name)], [name], seen
    return [Line("API_PER_PAGE_PARAM", "", "none of the usual names changes the page size")], [], None


def _said_first(names: Sequence[str], page: Any) -> list[str]:
    """Return names, those first that the page itself has as names of values."""
    said = {str(path[-1]) for path in markers.scalars_of(page).by_path}
    return sorted(names, key=lambda name: name not in said)


def _size_allowed(prober: Prober, name: str) -> list[Line]:
    """Return the size to ask for where the API refuses the usual one."""
    seen = prober.with_params({name: _USUAL_SIZE})
    if seen is None or prober.items(seen):
        return []
    count = len(prober.items(prober.first))
    return [Line("RESULTS_PER_PAGE", str(count), f"tried: {_USUAL_SIZE} is refused, the default is {count}")]


# -- the next page


def _marker(seen: Seen) -> Marker | None:
    return markers.marker_of(seen.content, next_in(seen.headers.get("link")) or "")


def _by_marker(prober: Prober, page: Seen, sized: list[str]) -> Paging | None:
    """Return the paging by what a page names as its next one."""
    marker = _marker(page)
    if marker is None:
        return None
    if marker.style == "cursor":
        return _by_cursor(prober, page, marker)
    notes: list[str] = []
    has_next = marker.value is not None
    if has_next:
        lost = [name for name in markers.lost_params(page.url, str(marker.value)) if name not in sized]
        if lost:
            by_number = _by_number(prober, page)
            said = f"the next link ({marker.field or 'Link'}) loses {', '.join(lost)}"
            if by_number is not None:
                return by_number._replace(notes=[f"{said}, so it is not used"])
            notes.append(f"{said}: does the next page need it?")
    if marker.style == "link_header":
        lines = [Line("API_PAGINATION", "link_header", "the header Link names the next page")]
    else:
        said = "has the next page's URL" if has_next else "is null: the list ends here"
        lines = [
            Line("API_PAGINATION", "next_url", f"{marker.field} {said}", is_guess=not has_next),
            Line("API_NEXT_FIELD", marker.field, ""),
        ]
    return Paging([*lines, *_more_line(page)], _counting(prober), page, has_next, notes)


def _counting(prober: Prober) -> list[str]:
    """Return the parameters of the URL that say which page: the first page has none of them."""
    usual = {*PAGE_PARAMS, *OFFSET_PARAMS} - {"first", "from", "p"}
    return [name for name, value in params_of(prober.url).items() if name in usual and value in ("0", "1")]


def _by_scroll(page: Seen) -> Paging:
    """Return the paging of an Elasticsearch scroll: the same ID each time, at an address of its own."""
    following = "hits.hits && join('', ['/_search/scroll?scroll=1m&scroll_id=', _scroll_id])"
    lines = [
        Line(
            "API_PAGINATION",
            "next_url",
            "_scroll_id is an Elasticsearch scroll, which has its own address",
        ),
        Line("API_NEXT_FIELD", following, ""),
    ]
    return Paging(lines, [], page, True, [])


def _by_cursor(prober: Prober, page: Seen, marker: Marker) -> Paging | None:
    if marker.field == "_scroll_id":
        return _by_scroll(page)
    field = Line("API_CURSOR_FIELD", marker.field, "")
    more = _more_line(page)
    if isinstance(marker.value, dict):
        lines = [
            Line("API_PAGINATION", "cursor", f"each member of {marker.field} goes into the next request"),
            Line("API_CURSOR_PARAM", "", ""),
            field,
        ]
        return Paging(lines + more, [], page, True, [])
    style = Line("API_PAGINATION", "cursor", f"{marker.field} names the next page")
    if marker.value is None:
        guess = Line(
            "API_CURSOR_PARAM", marker.params[0], "none of the pages read has a next one", is_guess=True
        )
        return _by_number(prober, page) or Paging([style, guess, field, *more], [], page, False, [])
    last = marker.field.rpartition(".")[2]
    for name in dict.fromkeys([*_in_url(prober, marker), *marker.params, last]):
        if prober.moves({name: marker.value}):
            param = Line("API_CURSOR_PARAM", name, f"tried: {name}=… gives the next items")
            is_start = params_of(prober.url).get(name) in _STARTS  # what the first page needs, too
            return Paging([style, param, field, *more], [] if is_start else [name], page, True, [])
    in_variables = _variables(prober, marker)
    if in_variables:
        return Paging([style, *in_variables, *more], ["variables"], page, True, [])
    by_number = _by_number(prober, page)
    if by_number is not None:
        return by_number
    guess = Line(
        "API_CURSOR_PARAM", marker.params[0], "none of the usual names gave other items", is_guess=True
    )
    return Paging([style, guess, field, *more], [], page, True, [])


def _in_url(prober: Prober, marker: Marker) -> list[str]:
    """Return the parameters of the URL that sound like the cursor's."""
    known = {markers.normal(name) for name in (*marker.params, "cursor", "cursormark", "after")}
    return [name for name in params_of(prober.url) if markers.normal(name) in known]


def _variables(prober: Prober, marker: Marker) -> list[Line]:
    """Return the lines for GraphQL over GET, whose cursor goes into the parameter variables."""
    if "query" not in params_of(prober.url) or not isinstance(marker.value, str):
        return []
    for name in ("after", "cursor", "first"):
        if prober.moves({"variables": json.dumps({name: marker.value})}):
            more = markers.more_of(prober.first.content)
            condition = f"{more} && " if more else ""
            built = f"""{condition}join('', ['{{"{name}":"', {marker.field}, '"}}'])"""
            return [
                Line("API_CURSOR_PARAM", "variables", f"tried: the variable {name} gives the next items"),
                Line("API_CURSOR_FIELD", built, ""),
            ]
    return []


def _more_line(page: Seen) -> list[Line]:
    field = markers.more_of(page.content)
    return [Line("API_HAS_MORE_FIELD", field, "false on the last page")] if field else []


def _by_last_id(prober: Prober, page: Seen, items: str) -> Paging | None:
    """Return the paging by the last item's ID, where a flag says that there is more."""
    more, here = _more_line(page), prober.items(page)
    if not more or not here or not isinstance(here[-1], dict):
        return None
    for key in ("id", "_id", "uid", "gid"):
        value = here[-1].get(key)
        if not isinstance(value, (str, int)):
            continue
        for name in AFTER_PARAMS:
            if prober.moves({name: value}):
                lines = [
                    Line(
                        "API_PAGINATION",
                        "cursor",
                        f"tried: {name}= with the last item's {key} gives the next items",
                    ),
                    Line("API_CURSOR_PARAM", name, ""),
                    Line("API_CURSOR_FIELD", f"{'' if items == '@' else items}[-1].{key}", ""),
                ]
                return Paging(lines + more, [name], page, True, [])
    return None


def _by_number(prober: Prober, page: Seen) -> Paging | None:
    """Return the paging by page number or offset, if one of the usual names moves on."""
    scalars = markers.scalars_of(page.content)
    ways = [_by_page, _by_offset]
    if scalars.named(markers.OFFSET_NAMES) and not scalars.named(markers.PAGE_NAMES):
        ways.reverse()
    return ways[0](prober, page) or ways[1](prober, page)


def _by_page(prober: Prober, page: Seen) -> Paging | None:
    for name in _usual(prober, PAGE_PARAMS, page):
        if prober.moves({name: 2}):
            first = 0 if prober.moves({name: 1}) else 1
            lines = [
                Line(
                    "API_PAGINATION",
                    "page",
                    f"tried: {name}=2 gives other items; nothing names the next page",
                ),
                Line("API_PAGE_PARAM", name, ""),
                Line("API_FIRST_PAGE", str(first), f"tried: {name}={first} is the first page"),
            ]
            return Paging(
                lines + _more_line(page) + _end_status(prober, {name: _FAR}), [name], page, True, []
            )
    return None


def _by_offset(prober: Prober, page: Seen) -> Paging | None:
    step = len(prober.items(page))
    for name in _usual(prober, OFFSET_PARAMS, page):
        if prober.moves({name: step}):
            lines = [
                Line("API_PAGINATION", "offset", f"tried: {name}={step} gives other items"),
                Line("API_OFFSET_PARAM", name, ""),
            ]
            return Paging(
                lines + _more_line(page) + _end_status(prober, {name: _FAR}), [name], page, True, []
            )
    return None


def _usual(prober: Prober, names: Sequence[str], page: Seen) -> list[str]:
    """Return names, those first that the URL has, then those that the page has."""
    return sorted(_said_first(names, page.content), key=lambda name: name not in params_of(prober.url))


def _end_status(prober: Prober, far: dict[str, object]) -> list[Line]:
    """Return the status with which the API answers past its end, if it is none of a page."""
    seen = prober.with_params(far)
    if seen is None or seen.status not in (204, 400, 404, 410, 416, 422):
        return []
    return [Line("API_END_STATUS", str(seen.status), f"tried: past the end the API answers {seen.status}")]


def _whole(prober: Prober, page: Seen) -> Paging:
    """Return that the list is one page, where that is likely: what says so wrongly ends every list after its first."""
    first = prober.url = prober.first.url
    count = len(prober.items(prober.first))
    said = "nothing names a next page, and none of the usual parameters gives other items"
    total = markers.total_of(prober.first.content, count, False)
    is_asked_for = str(count) in re.findall(r"\d+", urlsplit(first).query)
    is_a_size = count in _SIZES or count % 100 == 0
    if (total and total[1] == count) or not (total or is_asked_for or is_a_size):
        return Paging([Line("API_PAGINATION", "none", said, is_guess=True)], [], prober.first, False, [])
    note = f"{said}. If these {count} items are all there is, set API_PAGINATION=none"
    return Paging([], [], prober.first, False, [note])
