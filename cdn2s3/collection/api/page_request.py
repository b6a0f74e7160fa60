"""The request for a page, and the API's response to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdn2s3.errors import FatalError


class PageRequest(NamedTuple):
    """What to send for a page."""

    url: str
    body: bytes | None = None  # None: there is none
    method: str = "GET"
    content_type: str = ""  # of the body
    may_be_missing: bool = False  # whatever the API answers instead of this page is no error


class ApiResponse(NamedTuple):
    """A response of the API."""

    url: str  # that was requested
    content: Any  # the JSON; None for a refusal
    headers: Mapping[str, str]  # any case finds a name
    status: int = 200
    refusal: FatalError | None = None  # with any other status: what it is, unless it is the end of the list
