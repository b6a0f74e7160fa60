"""What a CDN answers to one URL of a list: whether the URLs, as they were found or built, are there at all.

A typo in API_URL_BASE or API_URL_TEMPLATE makes a list that is whole, and of which not one URL exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import requests

from cdn2s3.errors import MigrationError
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import printable, redact

_TIMEOUT = 15.0  # seconds for a request
_NO_IMAGE = frozenset({"text/html", "application/json"})
_GONE = frozenset({404, 410})
_SHOWN = 160  # characters of a URL


class CdnAnswer(NamedTuple):
    """The answer to one URL."""

    url: str
    status: int | None  # None: there was none
    content_type: str = ""
    edge: str | None = None  # CloudFront's edge location (x-amz-cf-pop); None if it names none
    why: str = ""  # why there is no answer

    def __str__(self) -> str:
        """Return it in words, without its URL."""
        if self.status is None:
            return f"no answer ({self.why})"
        return f"{self.status}, {self.content_type or 'no content type'}"

    @property
    def is_there(self) -> bool:
        """Whether it may be an image."""
        return self.status in (200, 206) and self.content_type not in _NO_IMAGE

    @property
    def looks_wrong(self) -> bool:
        """Whether the URL is not that of an image: nothing is there, or a page."""
        return self.status in _GONE or (self.status in (200, 206) and not self.is_there)


def ask(url: str, settings: CollectionSettings) -> CdnAnswer:
    """Return the answer to a HEAD of url, or where that is refused to a GET of its first byte; no token is sent."""
    with new_session(PooledAdapter(1, settings.ca_bundle)) as session:
        try:
            answer = session.head(url, timeout=_TIMEOUT, allow_redirects=False)
            if answer.status_code != 200:  # some servers refuse HEAD, or do not know it, and answer a GET
                first_byte = {"Range": "bytes=0-0"}
                answer = session.get(url, headers=first_byte, timeout=_TIMEOUT, allow_redirects=False)
        except (MigrationError, requests.RequestException, ValueError) as error:
            return CdnAnswer(url, None, why=getattr(error, "message", None) or type(error).__name__)
    content_type = printable(answer.headers.get("content-type", "").partition(";")[0].strip().lower()[:60])
    return CdnAnswer(url, answer.status_code, content_type, answer.headers.get("x-amz-cf-pop"))


def until_one_is_there(urls: Sequence[str], settings: CollectionSettings) -> list[CdnAnswer]:
    """Return the answers to urls, one after the other, up to the first that does not look wrong."""
    answers: list[CdnAnswer] = []
    for url in urls:
        answers.append(ask(url, settings))
        if not answers[-1].looks_wrong:
            break
    return answers


def are_wrong(answers: Sequence[CdnAnswer], settings: CollectionSettings) -> bool:
    """Return whether a list whose URLs our own settings have built begins with nothing that is there."""
    return bool(_built_by(settings)) and all(answer.looks_wrong for answer in answers)


def _built_by(settings: CollectionSettings) -> list[str]:
    return [name for name in ("API_URL_BASE", "API_URL_TEMPLATE") if getattr(settings, name.lower())]


def doubt(answer: CdnAnswer, settings: CollectionSettings) -> str:
    """Return what an answer that is no image says against the list, as a sentence or two; empty if nothing."""
    if answer.is_there or answer.status is None:
        return ""
    remedy = f"correct {' or '.join(_built_by(settings)) or 'where the URLs are found'}, then start over with --restart"
    if answer.status in (401, 403):
        remedy = "ask the CDN's owner what it wants: a header (SOURCE_HEADERS of migration.env), a signature"
    return (
        f"the CDN answered {answer} to {redact(printable(answer.url))[:_SHOWN]}, the first URL. Open some others in a "
        f"browser; if they are not there either, {remedy}."
    )
