"""A sitemap as a source of URLs: SOURCE=sitemap. An index is followed to its sitemaps, each a batch.

Requests are made like those to an API: at API_RATE_LIMIT, with retries, and API_HEADERS and the token go to
SITEMAP_URL's own origin alone. XML is read by defusedxml.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import requests

from cdn2s3.collection.api import quota
from cdn2s3.collection.api.client import Api
from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.refusal import named
from cdn2s3.collection.base import Batch, Progress
from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.column_names import split
from cdn2s3.collection.files.picker import Picker
from cdn2s3.collection.files.xml_records import Elements, Sitemap, parse, root_of
from cdn2s3.collection.url_building import UrlBuilder
from cdn2s3.errors import FatalError
from cdn2s3.http.pool import origin_of
from cdn2s3.http.requests_adapter import adapter_of, new_session
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import printable, redact

log = logging.getLogger(__name__)

_LARGEST = 1 << 29  # bytes of a sitemap, decompressed; the protocol allows 50 MB
_MOST_REDIRECTS = 5
_IN_ROBOTS = re.compile(r"^\s*sitemap\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_WORTH_A_TRY = frozenset({408, 425})


class SitemapPosition(NamedTuple):
    """Which sitemap to read next."""

    number: int  # 0: the one at SITEMAP_URL, 1: the first that it names
    list_hash: str  # of those that it names; empty for number 0
    more: tuple[str, ...]  # those that others named, which are read at the end

    def __str__(self) -> str:
        return f"sitemap {self.number}" if self.number else "SITEMAP_URL"


class SitemapClient(Api):
    """Get sitemaps: bytes, also from other origins, to which no credentials go."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        """session is one by api_session, for SITEMAP_URL's origin."""
        super().__init__(settings, session)
        session.headers["Accept"] = "application/xml, text/xml, */*;q=0.5"
        self._own_origin = origin_of(settings.sitemap_url or "")
        self._elsewhere = new_session(adapter_of(session))
        self._elsewhere.headers["Accept"] = session.headers["Accept"]
        self._own = session

    def _answer(self, request: PageRequest) -> requests.Response:
        for _ in range(_MOST_REDIRECTS):
            self._session = self._own if origin_of(request.url) == self._own_origin else self._elsewhere
            answer = super()._answer(request)
            target = answer.headers.get("location", "")
            if not answer.is_redirect or not target:
                break
            request = request._replace(url=urljoin(request.url, target))
        return answer

    def _read(self, answer: requests.Response, request: PageRequest, page: str) -> ApiResponse:
        status = answer.status_code
        is_final = 300 <= status < 500 and status not in _WORTH_A_TRY
        if is_final and not quota.is_throttled(status, answer.headers, answer.content):
            refused = FatalError(f"the server answered {named(status)}")
            return ApiResponse(request.url, None, answer.headers, status, refused)
        return super()._read(answer, request, page)

    def _parsed(self, answer: requests.Response, url: str) -> object:
        return answer.content

    def _check_errors(self, content: object, answer: requests.Response) -> None:
        """Do nothing: a sitemap has none."""


class SitemapSource:
    """The sitemap at SITEMAP_URL, and those that it names."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        self._client = SitemapClient(settings, session)
        self._url = settings.sitemap_url or ""
        self._columns = split(settings.url_columns)
        self._builder = UrlBuilder(settings.api_url_base, "")
        self._named: list[str] | None = None  # by the sitemap at SITEMAP_URL

    def first(self) -> SitemapPosition:
        return SitemapPosition(0, "", ())

    def resume(self, stored: Mapping[str, Any]) -> SitemapPosition:
        """Return the Position in a checkpoint; raise ValueError if it has none."""
        number, list_hash, more = (stored.get(name) for name in SitemapPosition._fields)
        are_urls = isinstance(more, (list, tuple)) and all(isinstance(url, str) for url in more)
        if type(number) is not int or number < 0 or not isinstance(list_hash, str) or not are_urls:
            raise ValueError("its position is not for SOURCE=sitemap")
        return SitemapPosition(number, list_hash, tuple(more or ()))

    def check_circle(self, position: SitemapPosition, stale: int) -> None:
        """Do nothing: each sitemap is read once."""

    def read(self, position: SitemapPosition) -> Batch:
        """Return the URLs of the sitemap at position; log one that cannot be read.

        Raise FatalError when the one at SITEMAP_URL cannot be read, or a server keeps failing.
        """
        if position.number == 0:
            return self._first_batch()
        if self._named is None:
            self._named = list(dict.fromkeys(self._sitemap(self._url).sitemaps))
        if _hash(self._named) != position.list_hash:
            log.info(
                "the sitemaps that SITEMAP_URL names have changed: reading all of them again; the URLs so far are kept"
            )
            self._named = None
            return Batch([], self.first(), begins_again=True)
        urls = [*self._named, *position.more]
        url = urls[position.number - 1]
        found = self._sitemap(url)
        new = [other for other in dict.fromkeys(found.sitemaps) if other not in urls and other != self._url]
        after = position._replace(number=position.number + 1, more=(*position.more, *new))
        is_last = after.number > len(urls) + len(new)
        progress = Progress(position.number, len(urls) + len(new), "sitemaps")
        return _batch(found, None if is_last else after, progress)

    def _first_batch(self) -> Batch:
        found = self._sitemap(self._url)
        if found.doubts:
            raise FatalError(
                f"SITEMAP_URL={redact(self._url)} cannot be read: {found.doubts[0]}. Correct SITEMAP_URL."
            )
        self._named = list(dict.fromkeys(found.sitemaps))
        following = SitemapPosition(1, _hash(self._named), ()) if self._named else None
        return _batch(found, following, Progress(0, len(self._named), "sitemaps"))

    def _sitemap(self, url: str) -> Sitemap:
        """Return what the sitemap at url holds; `doubts` say what cannot be read of it."""
        picker = Picker(self._columns, "", self._builder)
        handler = Sitemap(picker, has_key=False)
        answer = self._client.get(PageRequest(url), f"the sitemap {redact(url)}")
        try:
            if answer.refusal is not None:
                raise Unreadable(str(answer.refusal))
            _read_into(handler, _decompressed(answer.content), url)
        except Unreadable as error:
            handler.doubts.append(str(error))
        for doubt in handler.doubts:
            log.error("the sitemap %s: %s. URLs may be missing", printable(redact(url)), printable(doubt))
        handler.notes = picker.noted()
        return handler


def _batch(found: Elements, following: SitemapPosition | None, progress: Progress) -> Batch:
    return Batch(
        found.urls,
        following,
        items=len(found.urls),
        without_url=found.urls.count(None),
        unreadable=len(found.doubts),
        progress=progress,
        notes=found.notes,
    )


def _hash(urls: list[str]) -> str:
    return hashlib.sha256("\n".join(urls).encode()).hexdigest()


def _decompressed(content: bytes) -> bytes:
    """Return content, which may be gzip; raise Unreadable for what is cut or too large."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    found = b""
    while content:
        machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            found += machine.decompress(content, _LARGEST - len(found))
        except zlib.error as error:
            raise Unreadable(f"it begins like gzip, but cannot be decompressed ({error})") from error
        if not machine.eof:
            raise Unreadable("its compressed data ends early, or are too large")
        content = machine.unused_data
    return found


def _read_into(handler: Sitemap, content: bytes, url: str) -> None:
    """Read a sitemap: XML, robots.txt, or a URL a line. Raise Unreadable where it is none."""
    beginning = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if beginning.startswith(b"<"):
        if root_of(content[:100_000]).lower() == "html" or beginning[:14].lower() == b"<!doctype html":
            raise Unreadable("it is an HTML page, not a sitemap")
        file = io.BytesIO(content)
        for _ in parse(lambda: file.read(1 << 18), handler):
            pass
        handler.sitemaps[:] = [urljoin(url, sitemap) for sitemap in handler.sitemaps]
        return
    text = content.decode("utf-8-sig", "replace")
    named = _IN_ROBOTS.findall(text)
    handler.sitemaps += [urljoin(url, sitemap) for sitemap in named]
    if named:
        return
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise Unreadable("it is empty")
    if not all(line.lower().startswith(("http://", "https://")) for line in lines):
        raise Unreadable("it isn't a sitemap: it is neither XML nor a list of URLs")
    for line in lines:
        handler.take(("url", "loc"), line, {}, handler.urls)
