"""The headers of requests to the CDN: our own, and those of SOURCE_HEADERS, which are secret."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdn2s3.http.dialing import Origin
from cdn2s3.http.pool import host_header, request_head
from cdn2s3.http.requests_adapter import USER_AGENT

WANTS_HEADERS = "some CDNs want a Referer, User-Agent, cookie or token: set SOURCE_HEADERS"
WANTED = frozenset({401, 403})  # statuses of a CDN that may want one

# A CDN may repeat these in a Location without giving anything away.
_NO_SECRETS = frozenset({"accept", "accept-language", "origin", "referer", "user-agent"})
_SHORTEST_SECRET = 6  # characters; shorter words are in every text

Pairs = Sequence[tuple[str, str]]


def rest_of_head(origin: Origin, pairs: Pairs = ()) -> bytes:
    """Return a request's head after its first line: asked as curl does, unless pairs, SOURCE_HEADERS, say otherwise."""
    headers = {
        "Host": host_header(origin),
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    given = {name.lower() for name, _ in pairs}
    headers = {name: value for name, value in headers.items() if name.lower() not in given}
    return request_head("", "", {**headers, **dict(pairs)}).split(b"\r\n", 1)[1]


class Concealer:
    """Replace the secrets of SOURCE_HEADERS in what the CDN says: it may repeat a token or a cookie."""

    def __init__(self, pairs: Pairs = ()) -> None:
        secrets = set()
        for name, value in pairs:
            if name.lower() not in _NO_SECRETS:
                secrets |= {value, *re.split(r"[\s;,=\"]+", value)}
        found = sorted((word for word in secrets if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        """Return text with each secret in it replaced by `***`."""
        return self._secrets.sub("***", text) if self._secrets else text
