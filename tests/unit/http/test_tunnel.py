"""Requests through a proxy: a tunnel whose TLS is the server's own, or requests that name their server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Callable

import pytest

from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import request_head
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from tests.fakes.proxy import ProxyServer
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.fakes.wire import Connection, Listener, response

Servers = Callable[..., SourceServer]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def adapter(tls_material: TlsMaterial, stack: ExitStack) -> PooledAdapter:
    return stack.enter_context(closing(PooledAdapter(4, tls_material.ca_bundle)))


@pytest.fixture(params=["http proxy", "https proxy"])
def proxy(
    request: pytest.FixtureRequest,
    tls_material: TlsMaterial,
    stack: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> ProxyServer:
    """A proxy that the environment names for everything."""
    tls = tls_material.context if request.param == "https proxy" else None
    server = stack.enter_context(ProxyServer(tls))
    monkeypatch.setenv("ALL_PROXY", server.url)
    return server


@pytest.fixture(params=["http server", "https server"])
def source(
    request: pytest.FixtureRequest, source_server: Servers, source_tls_server: Servers
) -> SourceServer:
    make = source_server if request.param == "http server" else source_tls_server
    return make(sizes=lambda target: 2_000_000)


def get(adapter: PooledAdapter, url: str) -> bytes:
    answer = new_session(adapter).get(url, timeout=10)  # the session's end would close the connections
    assert answer.status_code == 200
    return answer.content


def test_body_comes_through_unchanged(
    proxy: ProxyServer, source: SourceServer, adapter: PooledAdapter
) -> None:
    for name in ("a.jpg", "b.jpg?x=1"):
        assert get(adapter, source.url_of(name)) == source.body(source.url_of(name))
    origin = source.url.partition("://")[2]
    if source.url.startswith("https"):
        assert proxy.tunnels == [origin]  # one tunnel, used twice; what was asked for in it stays hidden
        assert source.network.connections == 1
    else:
        assert [seen.target for seen in proxy.log] == [source.url_of("a.jpg"), source.url_of("b.jpg?x=1")]
        assert [entry.headers["host"] for entry in source.log] == [origin] * 2


@pytest.mark.slow
def test_large_request_goes_through_unchanged(
    proxy: ProxyServer, adapter: PooledAdapter, tls_material: TlsMaterial, stack: ExitStack
) -> None:
    """3 MB are more than all buffers on the way hold, and not a whole number of TLS records."""
    body = bytes(range(256)) * 12_000 + b"end"

    def echo(peer: Connection) -> None:
        while (request := peer.read_request()) is not None:
            peer.send(response(200, [], peer.read(int(request.headers["content-length"]))))

    for scheme, tls in (("http", None), ("https", tls_material.context)):
        server = Listener(echo, tls)
        stack.callback(server.stop)
        pool = adapter.pool(f"{scheme}://127.0.0.1:{server.port}/")
        head = request_head("PUT", "/x", {"Host": "h", "Content-Length": str(len(body))})
        for _ in range(2):
            with pool.request("PUT", (head, memoryview(body)), Deadline(20)) as answer:
                assert answer.body() == body


@pytest.mark.parametrize("userinfo", ["user:pa%3Ass", "user:wrong"], ids=["right", "wrong"])
def test_user_and_password_go_to_the_proxy_alone(
    userinfo: str, source: SourceServer, adapter: PooledAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProxyServer(user="user", password="pa:ss") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url_with(userinfo))
        if "wrong" in userinfo:
            with pytest.raises(FatalError, match=r"407 .*Who are you.*correct them in ALL_PROXY"):
                get(adapter, source.url_of("a.jpg"))
            assert source.network.connections == 0
        else:
            get(adapter, source.url_of("a.jpg"))
            assert all("proxy-authorization" not in entry.headers for entry in source.log)


def test_certificate_behind_a_tunnel_is_verified(
    source_tls_server: Servers, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, proxy = source_tls_server(), stack.enter_context(ProxyServer())
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    adapter = stack.enter_context(closing(PooledAdapter(1)))
    with pytest.raises(
        FatalError, match=rf"certificate of 127\.0\.0\.1:{source.network.port} is not trusted"
    ):
        get(adapter, source.url_of("a.jpg"))


def test_certificate_of_a_proxy_is_verified(
    source_tls_server: Servers, tls_material: TlsMaterial, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, proxy = source_tls_server(), stack.enter_context(ProxyServer(tls_material.context))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    adapter = stack.enter_context(closing(PooledAdapter(1)))
    with pytest.raises(FatalError, match=r"certificate of the proxy 127\.0\.0\.1:\d+ is not trusted"):
        get(adapter, source.url_of("a.jpg"))
    assert proxy.log == []


@pytest.mark.parametrize("status", [403, 407, 502])
def test_refusal_is_the_proxy_s(
    status: int, proxy: ProxyServer, source: SourceServer, adapter: PooledAdapter
) -> None:
    proxy.answers = response(
        status, [("X-Squid-Error", "ERR_CANARY 0"), ("Connection", "close")], b"<p>No.</p>"
    )
    kind = TransientError if status == 502 else FatalError
    with pytest.raises(
        kind, match=rf"the proxy http.* answered {status} for 127\.0\.0\.1:\d+ \(ERR_CANARY 0: No\.\)"
    ):
        get(adapter, source.url_of("a.jpg"))
    assert source.network.connections == 0


@pytest.mark.parametrize(
    "answers",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["closes", "no HTTP", "200 and then no tunnel"],
)
def test_proxy_that_breaks_the_protocol_is_named_and_tried_again(
    answers: bytes, source_tls_server: Servers, proxy: ProxyServer, adapter: PooledAdapter
) -> None:
    source = source_tls_server()
    proxy.answers = answers
    with pytest.raises(TransientError) as caught:
        get(adapter, source.url_of("a.jpg"))
    assert caught.value.cause in ("connection", "server_error")


def test_proxy_that_is_not_there_is_named(
    source: SourceServer, adapter: PooledAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProxyServer() as gone:
        pass
    monkeypatch.setenv("ALL_PROXY", gone.url)
    with pytest.raises(
        TransientError, match=rf"the proxy 127\.0\.0\.1:{gone.network.port}: Connection refused"
    ) as caught:
        get(adapter, source.url_of("a.jpg"))
    assert caught.value.cause == "connection"


def test_silent_proxy_ends_at_the_deadline(
    proxy: ProxyServer, source: SourceServer, adapter: PooledAdapter
) -> None:
    proxy.network.black_hole()
    with pytest.raises(TransientError) as caught, new_session(adapter) as session:
        session.get(source.url_of("a.jpg"), timeout=0.3)
    assert caught.value.cause == "timeout"
    proxy.network.heal()


def test_idle_tunnel_that_the_proxy_closed_is_replaced(
    proxy: ProxyServer, source: SourceServer, adapter: PooledAdapter
) -> None:
    get(adapter, source.url_of("a.jpg"))
    proxy.network.drop_connections()
    assert get(adapter, source.url_of("b.jpg")) == source.body(source.url_of("b.jpg"))
    assert len(proxy.log) == 2


def test_no_proxy_keeps_a_server_direct(
    proxy: ProxyServer, source: SourceServer, adapter: PooledAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    get(adapter, source.url_of("a.jpg"))
    assert proxy.log == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy_url", ["http://127.0.0.1:{port}", "https://127.0.0.1:{port}"])
def test_proxy_that_cannot_be_reached_is_named_with_its_variable(
    scheme: str, proxy_url: str, adapter: PooledAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("ALL_PROXY", proxy_url.format(port=port))
        with pytest.raises(TransientError) as caught:
            get(adapter, f"{scheme}://cdn.example/a.jpg")
    assert caught.value.message == f"the proxy 127.0.0.1:{port}: Connection refused (ALL_PROXY)"


def test_way_through_a_proxy_is_told_once_a_process(
    proxy: ProxyServer, source: SourceServer, tls_material: TlsMaterial, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(3):
        with closing(PooledAdapter(1, tls_material.ca_bundle)) as another:
            another.pool(source.url)
    assert len(caplog.messages) == 1
