"""The proxy of a server, as the environment names it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

The rules are those of requests (`requests.utils`: names in lower case win, NO_PROXY takes hosts, domains, ports, IPv4
networks and *), so that what works for curl and other Python programs on a machine works here.
"""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from cdn2s3.errors import FatalError, TransientError, UsageError
from cdn2s3.http.dialing import Origin
from cdn2s3.text import printable, redact

_DEFAULT_PORTS = {"http": 80, "https": 443}  # as in requests, not as in curl (1080)
_WANTS_A_PASSWORD = frozenset({401, 407})  # tinyproxy answers 401 where the password is wrong
_SAID = 200  # characters of a proxy's own words
# Programs whose own error pages have their name in the Server header; a response that they pass on has the server's.
_PROXY_NAMES = ("squid", "tinyproxy", "proxy.py", "mitmproxy", "privoxy")
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Proxy(NamedTuple):
    """A proxy to reach a server through."""

    origin: Origin
    authorization: str  # the value of Proxy-Authorization; "" for none
    variable: str  # that names it
    tls: ssl.SSLContext | None  # for the connection to the proxy itself, where its scheme is https

    def __str__(self) -> str:
        user = "***@" if self.authorization else ""
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        return f"{self.origin.scheme}://{user}{host}:{self.origin.port} ({self.variable})"

    def __repr__(self) -> str:
        return f"Proxy({self})"


def are_named() -> bool:
    """Return whether the environment names a proxy for anything."""
    return any(
        name.lower() in ("https_proxy", "http_proxy", "all_proxy") and value
        for name, value in os.environ.items()
    )


def proxy_for(url: str, tls: ssl.SSLContext | None = None) -> Proxy | None:
    """Return the proxy that the environment names for url, None where it is reached directly.

    tls is for the connection to a proxy over https. Raise UsageError, without the value, for one that cannot be used.
    """
    value = select_proxy(url, get_environ_proxies(url))
    if not value:
        return None
    variable = _variable(urlsplit(url).scheme)
    parts = urlsplit(value if "://" in value else f"http://{value.lstrip('/')}")
    if parts.scheme.startswith("socks"):
        raise UsageError(
            f"{variable} names a SOCKS proxy ({parts.scheme}://), which this tool does not speak. Set {variable} to an "
            "HTTP proxy (http://host:port), or unset it, or put the hosts to reach directly into NO_PROXY."
        )
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise UsageError(
            f"{variable} isn't the URL of a proxy. Set it to http://host:port, with user:password@ before the host "
            "where it wants them (@ : / # and % of the password percent-encoded); or unset it."
        )
    origin = Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], is_proxy=True)
    return Proxy(
        origin,
        _basic(parts.username, parts.password),
        variable,
        tls if parts.scheme == "https" else None,
    )


def _variable(scheme: str) -> str:
    """Return the variable that names the proxy for scheme, for people; lower-case names win (requests.utils)."""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), "ALL_PROXY")


def _basic(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    try:
        raw = pair.encode("latin-1")  # as requests does
    except UnicodeEncodeError:
        raw = pair.encode()
    return f"Basic {b64encode(raw).decode()}"


def is_from_proxy(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a response to a request that a proxy forwards is the proxy's own, as far as it shows."""
    if status == 407:
        return True
    by = headers.get("server", "").lower()
    return status >= 400 and (
        "x-squid-error" in headers
        or "error=" in headers.get("proxy-status", "")  # RFC 9209
        or by.startswith(_PROXY_NAMES)
    )


def refusal(
    proxy: Proxy, origin: Origin, status: int, headers: Mapping[str, str], body: bytes
) -> FatalError | TransientError:
    """Return what a proxy's own error response means: every URL of the server would get it."""
    said = f"the proxy {proxy} answered {status} for {origin}{_words(headers, body)}"
    if status in _WANTS_A_PASSWORD:
        remedy = (
            "does not accept this user and password: correct them in"
            if proxy.authorization
            else "wants a user and password: put them into"
        )
        return FatalError(
            f"{said}. It {remedy} {proxy.variable} (user:password@ before the host), then run it again."
        )
    if status in (408, 429) or status >= 500:
        return TransientError("connection", said)
    return FatalError(
        f"{said}. Let the proxy's administrator allow {origin}, or put {origin.host} into NO_PROXY if this machine "
        "reaches it directly; then run it again."
    )


def _words(headers: Mapping[str, str], body: bytes) -> str:
    """Return what a proxy says of its refusal, on one line; "" if nothing."""
    page = body.decode("utf-8", "replace")
    words = " ".join(_UNSEEN.sub(" ", page).split())
    known = headers.get("x-squid-error") or headers.get("proxy-status") or ""
    said = redact(printable(": ".join(filter(None, (known, words)))))
    return f" ({said[:_SAID]}{'…' if len(said) > _SAID else ''})" if said else ""
