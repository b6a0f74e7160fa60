"""Redirects of the CDN: where each leads, whether SOURCE_REDIRECTS allows to follow it, and what goes along. Pure."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Callable
from urllib.parse import quote, urljoin, urlsplit

from cdn2s3.errors import PermanentError
from cdn2s3.http.dialing import Origin
from cdn2s3.http.pool import origin_of
from cdn2s3.text import printable, redact

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))  # what a URL may hold; the rest is percent-encoded
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEMES = ("http", "https")
_SHOWN = 200  # characters of a Location

SAME_HOST, ANY = "same-host", "any"


class Redirects:
    """Decide for one rule, a value of SOURCE_REDIRECTS; prefixes are those of URL_PREFIX, as they are asked for."""

    def __init__(self, rule: str, prefixes: Sequence[str], conceal: Callable[[str], str] = str) -> None:
        """conceal removes secrets from what the CDN says."""
        self._rule = rule
        self._prefixes = tuple(prefixes)
        self._conceal = conceal
        self._origins = frozenset(origin_of(prefix) for prefix in prefixes)

    def next_url(self, here: str, location: str, status: int) -> str:
        """Return the URL that a redirect from here leads to; raise PermanentError (forbidden) if it isn't followed."""
        there = target_of(here, location)
        if not there:
            said = "without a Location" if not location.strip() else "to what is no http(s) URL"
            raise PermanentError("forbidden", f"the CDN answered {status}, a redirect {said}", True, status)
        if self._follows(here, there):
            return there
        shown = self._conceal(redact(printable(there)))[:_SHOWN]
        said = f"the CDN answered {status}, a redirect to {shown}"
        if is_link_local(there):
            raise PermanentError(
                "forbidden", f"{said}, a link-local address, which is never followed", True, status
            )
        allowing = SAME_HOST if _stays(here, there) else ANY
        raise PermanentError(
            "forbidden",
            f"{said}, which SOURCE_REDIRECTS={self._rule} does not follow; SOURCE_REDIRECTS={allowing} does",
            True,
            status,
            remedy=f"To follow such redirects, set SOURCE_REDIRECTS={allowing}; or correct URL_PREFIX and the list",
        )

    def _follows(self, here: str, there: str) -> bool:
        if there.startswith(self._prefixes) and ".." not in urlsplit(there).path.split("/"):
            return True
        if self._rule == SAME_HOST:
            return _stays(here, there)
        return self._rule == ANY and not is_link_local(there)

    def carries_headers(self, url: str) -> bool:
        """Return whether SOURCE_HEADERS may go along to url: to URL_PREFIX's servers, and from http to their https."""
        origin = origin_of(url)
        if origin in self._origins:
            return True
        is_https = (origin.scheme, origin.port) == ("https", 443)
        return is_https and Origin("http", origin.host, 80) in self._origins


def target_of(here: str, location: str) -> str:
    """Return the absolute URL that a Location header means in a response to here, "" if it means none.

    What no URL may hold (blanks, letters beyond ASCII) is percent-encoded, as browsers do.
    """
    text = location.strip()
    once = text[: len(text) // 2 - 1]
    if text == f"{once}, {once}":  # the header came twice
        text = once
    if not text or _CONTROL.search(text):
        return ""
    try:
        raw = text.encode("latin-1")  # the bytes as they came
        there = urljoin(here, quote(raw, safe=_PRINTABLE)).partition("#")[0]
        parts = urlsplit(there)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    return there if valid and "@" not in parts.netloc and "\\" not in parts.netloc else ""


def is_link_local(url: str) -> bool:
    """Return whether url names a link-local address: an instance's metadata service, which has its credentials."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 0xA9FEA9FE, 169.254.43518
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_link_local) or str(address) == "fd00:ec2::254"


def _stays(here: str, there: str) -> bool:
    """Return whether a redirect stays on its host, and does not go from https to http."""
    before, after = origin_of(here), origin_of(there)
    return before.host == after.host and (before.scheme, after.scheme) != ("https", "http")
