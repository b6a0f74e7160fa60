"""What a page says about the pages after it: a next link, a cursor, a total, a flag, numbers. Pure.

Names are compared without case, `_`, `-`, `.` and `@`: next_page_url is nextPageUrl.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from cdn2s3.collection.suggest.image_fields import ANY, EACH, Path, jmespath_of, leaves

NEXT_NAMES = frozenset(
    {"next", "nexturl", "nextlink", "nextpage", "nextpageurl", "nextpagelink", "nexthref", "nexturi", "nextrecordsurl",
     "odatanextlink", "hydra:next"}
)  # fmt: skip
CURSORS = {  # normal name of a field: the parameters that may take it, likeliest first
    "nextcursor": ("cursor", "next_cursor", "nextCursor", "after"),
    "cursor": ("cursor",),
    "next": ("cursor", "next", "after", "page_token", "token", "offset", "page"),
    "nextpage": ("page", "next_page", "cursor"),
    "nextpagetoken": ("pageToken", "page_token", "nextPageToken"),
    "nexttoken": ("nextToken", "next_token", "pageToken", "page_token", "token"),
    "nextpageid": ("page_id", "pageId", "page"),
    "nextoffset": ("offset",),
    "nextstart": ("start",),
    "nextmarker": ("marker",),
    "nextcontinuationtoken": ("continuation-token", "continuationToken", "continuation_token"),
    "continuationtoken": ("continuationToken", "continuation_token", "continuation"),
    "continuation": ("continuation",),
    "nextcursormark": ("cursorMark",),
    "endcursor": ("after",),
    "after": ("after",),
    "marker": ("marker",),
    "bookmark": ("bookmark",),
    "pageinfo": ("page_info",),
    "pagetoken": ("page_token", "pageToken"),
    "resumptiontoken": ("resumptionToken",),
    "offset": ("offset",),  # where it is text, not a number
    "scrollid": ("scroll_id",),
    "startcursor": ("start_cursor",),
}
TOTALS = (  # normal names, likeliest first
    "totalhits", "totalcount", "totalresults", "totalresultscount", "totalitems", "totalrecords", "totalelements",
    "totalnumberofresults", "totalsize", "totalobjects", "totalrows", "hydra:totalitems", "total", "numfound", "nbhits",
    "matches", "found", "hits", "recordcount", "resultcount", "itemcount", "count",
)  # fmt: skip
TOTAL_HEADERS = (
    "x-wp-total", "x-total-count", "x-total", "total-count", "x-total-results", "x-pagination-total-count",
    "x-pagination-total", "pagination-count", "x-count", "omeka-s-total-results", "content-range",
)  # fmt: skip
MORE_NAMES = frozenset(
    {"hasmore", "hasnextpage", "hasnext", "moreresults", "moreitemsavailable", "ismore", "morepages"}
)
PAGE_NAMES = frozenset(
    {
        "page",
        "currentpage",
        "pagenumber",
        "pageindex",
        "totalpages",
        "pagecount",
        "numpages",
        "lastpage",
        "pages",
    }
)
OFFSET_NAMES = frozenset({"offset", "skip", "start", "startindex", "from"})


class Marker(NamedTuple):
    """A name of the next page in a page."""

    style: str  # next_url, cursor or link_header
    field: str  # JMESPath; empty for link_header
    value: Any  # a URL, a cursor, or None where the name is there and null
    params: tuple[str, ...] = ()  # of a cursor: what may take it


class Scalars(NamedTuple):
    """The single values of a page, outside its lists."""

    by_path: Mapping[Path, Any]

    def named(self, names: frozenset[str]) -> list[Path]:
        return [path for path in self.by_path if normal(path[-1]) in names]


def normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def scalars_of(page: object) -> Scalars:
    """Return the values of a page that are in no list."""
    return Scalars({path: value for path, value in leaves(page) if path and not {EACH, ANY} & set(path)})


def marker_of(page: object, link: str) -> Marker | None:
    """Return what names the next page: link is the target of the header's rel=next, "" if it has none."""
    if link:
        return Marker("link_header", "", link)
    if isinstance(page, dict) and isinstance(page.get("continue"), dict) and page["continue"]:
        return Marker("cursor", "continue", page["continue"])  # MediaWiki: each member is a parameter
    scalars = scalars_of(page)
    found = [marker for path, value in scalars.by_path.items() for marker in _markers_at(path, value)]
    set_ones = [marker for marker in found if marker.value is not None]
    for marker in (*set_ones, *found):
        if marker.style == "next_url":
            return marker
    return next(iter(set_ones or found), None)


def _markers_at(path: Path, value: Any) -> list[Marker]:
    """Return what the value at a path may name."""
    name = normal(path[-1])
    if name in ("href", "url", "uri") and len(path) > 1:
        name = normal(path[-2])
        if name not in NEXT_NAMES:
            return []
    field = jmespath_of(path)
    is_text = isinstance(value, str) and value != ""
    if name in NEXT_NAMES and is_text and _is_address(value):
        return [Marker("next_url", field, value)]
    if name == "next" and value is None:
        return [Marker("next_url", field, None)]  # of a cursor's name it would say more
    if name not in CURSORS or (name == "offset" and not is_text) or isinstance(value, (bool, float)):
        return []
    if value is None or is_text or isinstance(value, int):
        return [Marker("cursor", field, value if value != "" else None, CURSORS[name])]
    return []


def _is_address(value: str) -> bool:
    return value.startswith(("http://", "https://", "/", "?"))


def total_of(page: object, items: int, has_next: bool) -> tuple[str, int] | None:
    """Return the field that looks like the API's total of items, and it; None if there is none."""
    best: tuple[tuple[int, int], str, int] | None = None
    for path, value in scalars_of(page).by_path.items():
        number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value) else value
        name = normal(path[-1])
        if name == "value" and len(path) > 1:  # Elasticsearch: hits.total.value
            name = normal(path[-2])
        if name not in TOTALS or isinstance(number, bool) or not isinstance(number, int) or number < items:
            continue
        if name == "count" and number == items and has_next:
            continue  # of this page
        rank = (TOTALS.index(name), len(path))
        if best is None or rank < best[0]:
            best = (rank, jmespath_of(path), number)
    return best[1:] if best else None


def total_header(headers: Mapping[str, str], items: int) -> tuple[str, int] | None:
    """Return the header that looks like the API's total of items, and it; headers have lower-case names."""
    for name in TOTAL_HEADERS:
        match = re.fullmatch(r"(?:.*/)?\s*(\d{1,15})", headers.get(name, ""))
        if match and int(match[1]) >= items:
            return _as_written(name), int(match[1])
    return None


def _as_written(name: str) -> str:
    return "-".join("WP" if word == "wp" else word.capitalize() for word in name.split("-"))


def more_of(page: object) -> str:
    """Return the field that says whether there are more pages, empty if there is none."""
    scalars = scalars_of(page)
    flags = [path for path in scalars.named(MORE_NAMES) if isinstance(scalars.by_path[path], bool)]
    return jmespath_of(flags[0]) if flags else ""


def lost_params(asked: str, following: str) -> list[str]:
    """Return the parameters of the URL that was asked which a link to the next page does not repeat.

    A link by a token (page_info and the like) needs none of them; one that only counts pages does.
    """
    names = [set(dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))) for url in (asked, following)]
    if not names[1]:
        return []  # the path itself is the cursor
    counts = {"page", "limit", "per_page", "offset", "page_size", "pagesize", "size", "start", "count"}
    if not {name.lower() for name in names[1]} <= counts:
        return []
    return sorted(names[0] - names[1])
