"""A requests session over pooled connections with a total deadline.

requests lets a session choose how a URL is sent: an adapter is mounted for its prefix. PooledAdapter is such
an adapter. `session.get()` works through it as usual; the hot path asks it for the `ConnectionPool` of a server and
sends bytes there, without a requests object for each of millions of images.
"""

from __future__ import annotations

import io
import logging
import threading
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin
from cdn2s3.http.pool import ConnectionPool, host_header, origin_of, request_head
from cdn2s3.http.proxies import proxy_for
from cdn2s3.http.trust import tls_context

log = logging.getLogger(__name__)

USER_AGENT = "cdn2s3/1"
_told: set[str] = set()  # of the ways to servers: a script makes several adapters


class PooledAdapter(HTTPAdapter):
    """Send a session's requests over connection pools; `timeout` is the seconds for the whole exchange.

    One for all threads. TLS is always verified, against certifi's list, ca_bundle (a path) and the bundles of
    the environment (trust.py), which names the proxies, too (proxies.py). Nothing else in it plays a part.
    """

    def __init__(
        self, connections: int, ca_bundle: Path | None = None, stop: threading.Event | None = None
    ) -> None:
        super().__init__()
        self._connections = connections
        self._tls = tls_context(str(ca_bundle) if ca_bundle else None)
        self._stop = stop
        self._pools: dict[Origin, ConnectionPool] = {}
        self._lock = threading.Lock()

    def pool(self, url: str) -> ConnectionPool:
        """Return the ConnectionPool of the server of url; the same one for the same server.

        Raise UsageError when the environment names a proxy that cannot be used.
        """
        origin = origin_of(url)
        with self._lock:
            if origin not in self._pools:
                tls = self._tls if origin.scheme == "https" else None
                proxy = proxy_for(url, self._tls)
                if proxy is not None:
                    _tell(f"{origin} is reached through the proxy {proxy}")
                self._pools[origin] = ConnectionPool(origin, tls, self._connections, proxy)
            return self._pools[origin]

    def unpooled(self, url: str) -> ConnectionPool:
        """Return a ConnectionPool of the server of url that keeps no connection, for servers met by chance.

        Raise UsageError as pool() does.
        """
        origin = origin_of(url)
        tls = self._tls if origin.scheme == "https" else None
        return ConnectionPool(origin, tls, 0, proxy_for(url, self._tls))

    def send(self, request: requests.PreparedRequest, *unused: Any, **options: Any) -> requests.Response:
        """Send request and return its response with the whole body; raise TransientError as the pool does."""
        timeout = options.get("timeout")
        if not isinstance(timeout, (int, float)) or request.url is None or request.method is None:
            raise ValueError("a request needs a timeout in seconds")
        if options.get("verify") is False:
            raise ValueError("TLS verification cannot be switched off")
        pool = self.pool(request.url)
        body = request.body or b""
        headers = {"Host": host_header(pool.origin), **dict(request.headers)}
        head = request_head(request.method, request.path_url, headers)
        pieces = (head, body.encode() if isinstance(body, str) else body)
        with pool.request(request.method, pieces, Deadline(timeout, self._stop)) as answer:
            content = answer.body()
        raw = HTTPResponse(
            io.BytesIO(content),
            headers=answer.headers,
            status=answer.status,
            preload_content=False,
            request_method=request.method,  # a HEAD response's Content-Length has no body
        )
        return self.build_response(request, raw)

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.close()


def _tell(way: str) -> None:
    """Log the way to a server, once a process."""
    if way not in _told:
        _told.add(way)
        log.info("%s", way)


def adapter_of(session: requests.Session) -> PooledAdapter:
    """Return the adapter of a session by new_session(), for what is to be closed with it."""
    adapter = session.get_adapter("https://")
    if not isinstance(adapter, PooledAdapter):
        raise TypeError("the session is not one by new_session()")
    return adapter


def new_session(adapter: PooledAdapter) -> requests.Session:
    """Return a requests session over adapter without state: no cookies, proxies, netrc."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
