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
from typing import Any, Callable, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import jmespath
from requests.utils import parse_header_links

from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.position import Asked
from cdn2s3.collection.api.templates import RequestTemplate
from cdn2s3.collection.expressions import UnexpectedShape, found, has_field, kind, plain_path
from cdn2s3.http.pool import origin_of
from cdn2s3.settings.collection_settings import CollectionSettings

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

    @property
    def has_size(self) -> bool:
        """Whether a request says how many items a page may have."""

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        """Return the request for a page; limit is a page size of its own, 0: RESULTS_PER_PAGE."""

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        """Return the page after the requested one; step is how many items further it begins.

        Raise UnexpectedShape when that is unknown.
        """


class _Base:
    """The request that API_BASE_URL, API_METHOD and API_BODY describe."""

    first: Asked = None
    setting = ""

    def __init__(self, settings: CollectionSettings) -> None:
        self._template = RequestTemplate(settings)
        self._base_url = settings.api_base_url or ""

    @property
    def has_size(self) -> bool:
        return self._template.has_size


class ByPage(_Base):
    """By number: {page}, or the parameter API_PAGE_PARAM."""

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_page_param
        self.first: Asked = settings.api_first_page

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        return self._template.sized("page", asked, {self._param: asked}, limit)

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(asked + 1, Says.NOTHING)


class ByOffset(_Base):
    """By the number of the first item: {offset}, or the parameter API_OFFSET_PARAM."""

    first: Asked = 0

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_offset_param

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        return self._template.sized("offset", asked, {self._param: asked}, limit)

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(asked + step, Says.NOTHING)


class ByCursor(_Base):
    """By what the page before gives: {cursor}, or the parameter API_CURSOR_PARAM.

    An object goes out as several parameters, or several places: {cursor.NAME}.
    """

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._param = settings.api_cursor_param
        self._field = settings.api_cursor_field
        self.setting = f"API_CURSOR_FIELD={self._field}"

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        if isinstance(asked, dict):
            parameters = {name: value for name, value in asked.items() if value is not None}
        else:
            parameters = {} if asked is None else {self._param: asked}
        return self._template.sized("cursor", asked, parameters, limit)

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        cursor = found(self._field, reply.content, "API_CURSOR_FIELD")
        if _is_nothing(cursor):
            return Next(None, _nothing_at(self._field, reply.content))
        if cursor is True:
            raise UnexpectedShape(f"{self.setting} should return a cursor or null, not {kind(cursor)}")
        return Next(cursor, Says.NEXT)


class ByLink(_Base):
    """By the URL of the next page, in the page or in its Link header."""

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(settings)
        self._field = settings.api_next_field if settings.api_pagination == "next_url" else ""
        self.setting = f"API_NEXT_FIELD={self._field}" if self._field else "the header Link: rel=next"
        self._has_said_elsewhere = False
        self.hidden: Callable[[str], str] = str  # makes a URL one without the secrets in its query

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        return self._template.sized(limit=limit) if asked is None else self._template.at(asked)

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
    """One page, requested as API_BASE_URL says."""

    def request(self, asked: Asked, limit: int = 0) -> PageRequest:
        return self._template.plain()

    def following(self, reply: ApiResponse, asked: Asked, step: int) -> Next:
        return Next(None, Says.NEXT if next_in(reply.headers.get("link")) else Says.ABSENT)


def next_in(header: str | None) -> str | None:
    """Return the target of rel=next in a Link header (RFC 8288), None when there is none."""
    for link in parse_header_links(header or ""):
        parameters = {name.lower(): value for name, value in link.items()}
        if "next" in parameters.get("rel", "").lower().split():
            return parameters["url"]
    return None


def _is_nothing(cursor: Any) -> bool:
    """Return whether a field gives no cursor: null, false, empty, or an object or list of nulls."""
    if isinstance(cursor, (dict, list)):
        return all(part is None for part in (cursor.values() if isinstance(cursor, dict) else cursor))
    return cursor is None or cursor is False or cursor == ""


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
