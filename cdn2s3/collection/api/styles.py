"""The styles of pagination: which request asks for a page, and what a page says about the next one. Pure.

    page         ?page=1, 2, 3 …
    offset       ?offset=0, then plus the items received
    cursor       ?cursor=…, found in the previous page
    next_url     the next page's URL, found in the page
    link_header  the same in the header Link: <…>; rel=next
    none         one page

What a page says is not yet whether the list ends there: pagination.py decides that.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Mapping
from typing import Callable, NamedTuple, Protocol
from urllib.parse import quote, unquote_plus, urljoin, urlsplit

import jmespath
from requests.utils import parse_header_links

from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.position import Asked
from cdn2s3.collection.expressions import UnexpectedShape, found, has_field, kind, plain_path
from cdn2s3.http.pool import origin_of
from cdn2s3.settings.declarations import CollectionSettings

log = logging.getLogger(__name__)


class Says(enum.Enum):
    """What a page says about the next one."""

    NOTHING = "nothing"  # the style counts the pages by itself
    NEXT = "next"  # it names the next page
    NULL = "null"  # where earlier pages may name it, there is null, false or an empty text
    ABSENT = "absent"  # it names none


class Next(NamedTuple):
    """The page after another."""

    asked: Asked
    says: Says


class Style(Protocol):
    """One style of pagination."""

    first: Asked
    setting: str  # what names the next page, for messages; empty: nothing does

    def request(self, asked: Asked) -> PageRequest:
        """Return the request for a page."""

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        """Return the page after the requested one; step is how many items further it begins.

        Raise UnexpectedShape when that is unknown.
        """


class _Base:
    """API_BASE_URL, to whose query the paging parameters are added."""

    first: Asked = None
    setting = ""

    def __init__(self, settings: CollectionSettings) -> None:
        name = settings.api_per_page_param
        self._size = {name: settings.results_per_page} if name else {}
        self._base_url = settings.api_base_url or ""

    def with_query(self, more: Mapping[str, object]) -> PageRequest:
        """Return the URL with the page size and more in its query, replacing parameters of the same name."""
        new = {**self._size, **more}
        parts = urlsplit(self._base_url)
        pairs = [pair for pair in parts.query.split("&") if pair and _name_in(pair) not in new]
        pairs += [f"{quote(name, safe='[]')}={quote(str(value), safe='')}" for name, value in new.items()]
        return PageRequest(parts._replace(query="&".join(pairs), fragment="").geturl())


def _name_in(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


class ByPage(_Base):
    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_page_param
        self.first: Asked = settings.api_first_page

    def request(self, asked: Asked) -> PageRequest:
        return self.with_query({self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(asked + 1, Says.NOTHING)


class ByOffset(_Base):
    first: Asked = 0

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_offset_param

    def request(self, asked: Asked) -> PageRequest:
        return self.with_query({self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(asked + step, Says.NOTHING)


class ByCursor(_Base):
    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_cursor_param
        self._field = settings.api_cursor_field
        self.setting = f"API_CURSOR_FIELD={self._field}"

    def request(self, asked: Asked) -> PageRequest:
        return self.with_query({} if asked is None else {self._param: asked})

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        cursor = found(self._field, reply.content, "API_CURSOR_FIELD")
        if cursor is None or cursor is False or cursor == "":
            return Next(None, _nothing_at(self._field, reply.content))
        if type(cursor) not in (str, int):
            raise UnexpectedShape(f"{self.setting} should return text or null, not {kind(cursor)}")
        return Next(cursor, Says.NEXT)


class ByLink(_Base):
    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._field = settings.api_next_field if settings.api_pagination == "next_url" else ""
        self.setting = f"API_NEXT_FIELD={self._field}" if self._field else "the header Link: rel=next"
        self._has_said_elsewhere = False
        self.hidden: Callable[[str], str] = str  # makes a URL one without the secrets in its query

    def request(self, asked: Asked) -> PageRequest:
        return self.with_query({}) if asked is None else PageRequest(asked)

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        if not self._field:
            link = next_in(reply.headers.get("link"))
            return Next(None, Says.ABSENT) if not link else Next(self.resolved(link, reply.url), Says.NEXT)
        link = found(self._field, reply.content, "API_NEXT_FIELD")
        if link is None or link is False or link == "":
            return Next(None, _nothing_at(self._field, reply.content))
        if not isinstance(link, str):
            raise UnexpectedShape(f"{self.setting} should return a URL or null, not {kind(link)}")
        return Next(self.resolved(link, reply.url), Says.NEXT)

    def resolved(self, link: str, current: str) -> str:
        """Return link, relative to the current page's URL, as a complete URL at the origin of API_BASE_URL.

        Where it names another origin (an API behind a proxy knows itself by an inner name), that is said once,
        and its path and query are asked for at our own: the token goes nowhere else. Raise UnexpectedShape when
        it is no URL.
        """
        if re.search(r"[\x00-\x20\x7f-\x9f\\]", link):
            raise UnexpectedShape("the next page's link has characters that are not allowed in a URL")
        try:
            url = urlsplit(urljoin(current, link))
            there, here = origin_of(url.geturl()), origin_of(self._base_url)
        except (ValueError, KeyError):
            raise UnexpectedShape("the next page's link is not an http or https URL") from None
        if there != here or "@" in url.netloc:
            ours = urlsplit(self._base_url)
            self._say_elsewhere(f"{there.scheme}://{there}", f"{here.scheme}://{here}")
            url = url._replace(scheme=ours.scheme, netloc=ours.netloc)
        return self.hidden(url._replace(fragment="").geturl())

    def _say_elsewhere(self, there: str, here: str) -> None:
        if self._has_said_elsewhere:
            return
        self._has_said_elsewhere = True
        log.warning(
            "the API's links to the next page name %s; their path and query are requested at %s, the origin of "
            "API_BASE_URL, and the token is sent nowhere else",
            *(there, here),
        )


class OnePage(_Base):
    def request(self, asked: Asked) -> PageRequest:
        return PageRequest(urlsplit(self._base_url)._replace(fragment="").geturl())

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(None, Says.NEXT if next_in(reply.headers.get("link")) else Says.ABSENT)


def next_in(header: str | None) -> str | None:
    """Return the target of rel=next in a Link header (RFC 8288), None when there is none."""
    for link in parse_header_links(header or ""):
        parameters = {name.lower(): value for name, value in link.items()}
        if "next" in parameters.get("rel", "").lower().split():
            return parameters["url"]
    return None


def _nothing_at(expression: str, page: object) -> Says:
    """Return whether a field that gives no next page is there: NULL, or ABSENT.

    JMESPath gives null for both. Only a plain dotted path tells them apart, by its parent object's keys.
    """
    path = plain_path(jmespath.compile(expression).parsed)
    return Says.NULL if path is not None and has_field(page, path) else Says.ABSENT


STYLES: dict[str, type[ByPage | ByOffset | ByCursor | ByLink | OnePage]] = {
    "page": ByPage,
    "offset": ByOffset,
    "cursor": ByCursor,
    "next_url": ByLink,
    "link_header": ByLink,
    "none": OnePage,
}
