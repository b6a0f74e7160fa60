"""The five styles of pagination: which URL to request, and where a page has the next one. Pure.

    page         ?page=1, 2, 3 …                              ends at an empty page
    offset       ?offset=0, then plus the items received      ends at an empty page
    cursor       ?cursor=…, found in the previous page        ends without a cursor
    next_url     the next page's URL, found in the page       ends without one
    link_header  the same in the header Link: <…>; rel=next   ends without one

A page with fewer items than requested is not the end, nor is the API's total. If an empty page has a
cursor or link (from an API that filters after paging), it is followed, up to MOST_EMPTY times in a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Union
from urllib.parse import quote, unquote_plus, urljoin, urlsplit

from requests.utils import parse_header_links

from cdn2s3.collection.api.page_shape import Shape
from cdn2s3.collection.base import Batch
from cdn2s3.collection.expressions import UnexpectedShape, found, kind, outline
from cdn2s3.errors import FatalError
from cdn2s3.http.pool import origin_of
from cdn2s3.settings.declarations import CollectionSettings
from cdn2s3.state.key_index import Fingerprints

MOST_EMPTY = 10  # empty pages in a row, each with a next one, that count as the end

Asked = Union[int, str, None]  # a page's number, offset, cursor or URL; None: the first page


class ApiResponse(NamedTuple):
    """A response of the API."""

    url: str  # that was requested
    content: Any  # the JSON
    link: str | None  # the Link header


class PagePosition(NamedTuple):
    """Which page to request next."""

    asked: Asked
    pages: int = 0  # pages read before this one
    empty: int = 0  # how many of the last pages had no item

    def __str__(self) -> str:
        return f"page {self.pages + 1}"


class Paging:
    """Walk through the pages of one API; remember the pages seen, to detect a loop."""

    def __init__(self, settings: CollectionSettings) -> None:
        self._style = _STYLES[settings.api_pagination](settings)
        self._shape = Shape(settings)
        self._counts_items = bool(settings.api_items_field)
        self._asked_before = Fingerprints()
        self._items_before: list[Any] = []

    def first(self) -> PagePosition:
        return PagePosition(self._style.first)

    def resume(self, stored: Mapping[str, Any]) -> PagePosition:
        """Return the Position in a checkpoint; raise ValueError if it has none."""
        asked, pages, empty = (stored.get(name) for name in PagePosition._fields)
        allowed = (int,) if isinstance(self._style.first, int) else (str, type(None))
        if type(asked) not in allowed:
            raise ValueError("its position is not for this API_PAGINATION")
        if type(pages) is not int or type(empty) is not int or min(pages, empty) < 0:
            raise ValueError("its position has no page count")
        if isinstance(self._style, _ByLink) and asked is not None:
            try:
                whole = self._style.resolved(str(asked), self._style.url(None))
            except (FatalError, UnexpectedShape) as error:
                raise ValueError("its position is not a URL of the API") from error
            if whole != asked:
                raise ValueError("its position is not a complete URL")
        return PagePosition(asked, pages, empty)

    def url(self, position: PagePosition) -> str:
        """Return the URL to request."""
        return self._style.url(position.asked)

    def read(self, reply: ApiResponse, position: PagePosition) -> Batch:
        """Return the content of reply, which is the page at position.

        Raise FatalError when it does not have the expected shape, or repeats a page.
        """
        try:
            content = self._shape.read(reply.content, is_first=position.pages == 0)
            asked = self._style.following(reply, position.asked, len(content.items))
        except UnexpectedShape as error:
            raise FatalError(
                f"{position} does not have the expected shape: {error}. The page is {outline(reply.content)}. "
                "Correct the setting, or ask the API's owner."
            ) from error
        if content.items and content.items == self._items_before:
            raise FatalError(
                f"{position} repeats the previous page: the API does not page the way API_PAGINATION and its "
                "parameters describe. Correct them, or ask the API's owner."
            )
        self._items_before = content.items
        after = PagePosition(asked, position.pages + 1, 0 if content.items else position.empty + 1)
        return Batch(
            urls=content.urls,
            following=None if self._is_end(after, reply.url) else after,
            items=len(content.items if self._counts_items else content.urls),
            without_url=content.urls.count(None) + max(0, len(content.items) - len(content.urls)),
            total=content.total,
        )

    def _is_end(self, after: PagePosition, url: str) -> bool:
        """Return whether nothing follows the page at url; raise FatalError when that was already read."""
        if after.asked is None or after.empty > MOST_EMPTY:
            return True
        self._asked_before.add(url.encode())
        if self.url(after).encode() not in self._asked_before:
            return False
        if after.empty:
            return True
        raise FatalError(
            f"page {after.pages} names a next page that was already read (a repeated cursor or link): the API "
            "repeats itself in a loop. Correct API_PAGINATION and its settings, or ask the API's owner."
        )


class _Style(Protocol):
    """One style of pagination."""

    first: Asked

    def url(self, asked: Asked) -> str:
        """Return the URL of a page."""

    def following(self, reply: ApiResponse, asked: Asked, received: int) -> Asked:
        """Return the page after the requested one, which had `received` items; None: there are no more.

        Raise UnexpectedShape when that is unknown, FatalError when the token must not be sent there.
        """


class _Base:
    """API_BASE_URL, to whose query the paging parameters are added."""

    def __init__(self, settings: CollectionSettings) -> None:
        name = settings.api_per_page_param
        self._size = {name: settings.results_per_page} if name else {}
        self._base_url = settings.api_base_url or ""

    def with_query(self, more: Mapping[str, object]) -> str:
        """Return the URL with the page size and more in its query, replacing parameters of the same name."""
        new = {**self._size, **more}
        parts = urlsplit(self._base_url)
        pairs = [pair for pair in parts.query.split("&") if pair and _name_in(pair) not in new]
        pairs += [f"{quote(name, safe='[]')}={quote(str(value), safe='')}" for name, value in new.items()]
        return parts._replace(query="&".join(pairs), fragment="").geturl()


def _name_in(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


class _ByPage(_Base):
    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_page_param
        self.first: Asked = settings.api_first_page

    def url(self, asked: Asked) -> str:
        return self.with_query({self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, received: int) -> Asked:
        return int(asked or 0) + 1 if received else None


class _ByOffset(_Base):
    first: Asked = 0

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_offset_param

    def url(self, asked: Asked) -> str:
        return self.with_query({self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, received: int) -> Asked:
        return int(asked or 0) + received if received else None


class _ByCursor(_Base):
    first: Asked = None

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_cursor_param
        self._field = settings.api_cursor_field

    def url(self, asked: Asked) -> str:
        return self.with_query({} if asked is None else {self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, received: int) -> Asked:
        cursor = found(self._field, reply.content, "API_CURSOR_FIELD")
        if cursor is None or cursor is False or cursor == "":
            return None
        if type(cursor) not in (str, int):
            raise UnexpectedShape(
                f"API_CURSOR_FIELD={self._field} should return text or null, not {kind(cursor)}"
            )
        return str(cursor)


class _ByLink(_Base):
    first: Asked = None

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._field = settings.api_next_field if settings.api_pagination == "next_url" else ""

    def url(self, asked: Asked) -> str:
        return self.with_query({}) if asked is None else str(asked)

    def following(self, reply: ApiResponse, asked: Asked, received: int) -> Asked:
        link = found(self._field, reply.content, "API_NEXT_FIELD") if self._field else _next_in(reply.link)
        if link is None or link is False or link == "":
            return None
        if not isinstance(link, str):
            raise UnexpectedShape(
                f"API_NEXT_FIELD={self._field} should return a URL or null, not {kind(link)}"
            )
        return self.resolved(link, reply.url)

    def resolved(self, link: str, current: str) -> str:
        """Return link, relative to the current page's URL, as a complete URL.

        Raise FatalError when it leads to another origin, UnexpectedShape when it leads nowhere.
        """
        if re.search(r"[\x00-\x20\x7f-\x9f\\]", link):
            raise UnexpectedShape("the next page's link has characters that are not allowed in a URL")
        try:
            url = urljoin(current, link)
            there = origin_of(url)
            same = "@" not in urlsplit(url).netloc and there == origin_of(self._base_url)
        except (ValueError, KeyError):
            raise UnexpectedShape("the next page's link is not an http or https URL") from None
        if not same:
            raise FatalError(
                f"the API's next page is at another origin, {there.scheme}://{there}: refused, because the "
                "token would be sent there. If that address is correct, set API_BASE_URL to it."
            )
        return urlsplit(url)._replace(fragment="").geturl()


def _next_in(header: str | None) -> str | None:
    """Return the target of rel=next in a Link header (RFC 8288), None when there is none."""
    for link in parse_header_links(header or ""):
        parameters = {name.lower(): value for name, value in link.items()}
        if "next" in parameters.get("rel", "").lower().split():
            return parameters["url"]
    return None


_STYLES: dict[str, type[_ByPage | _ByOffset | _ByCursor | _ByLink]] = {
    "page": _ByPage,
    "offset": _ByOffset,
    "cursor": _ByCursor,
    "next_url": _ByLink,
    "link_header": _ByLink,
}
