"""The session of a script: requests on top, our pooled connections below, nothing remembered or leaked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
import requests

from cdn2s3.errors import Cancelled, FatalError, TransientError
from cdn2s3.http.requests_adapter import USER_AGENT, PooledAdapter, new_session
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial

Servers = Callable[..., SourceServer]


@pytest.fixture
def adapter(tls_material: TlsMaterial) -> Iterator[PooledAdapter]:
    adapter = PooledAdapter(4, tls_material.ca_bundle)
    yield adapter
    adapter.close()


@pytest.fixture
def session(adapter: PooledAdapter) -> requests.Session:
    return new_session(adapter)


def test_get_brings_the_body_and_keeps_the_connection(
    source_tls_server: Servers, session: requests.Session
) -> None:
    source = source_tls_server()
    for name in ("a.jpg", "b.jpg"):
        answer = session.get(source.url_of(name), timeout=5)
        assert (answer.status_code, answer.content) == (200, source.body(source.url_of(name)))
        assert answer.headers["Content-Type"] == "image/jpeg"
    assert source.network.connections == 1
    assert source.log[0].headers["user-agent"] == USER_AGENT
    assert source.log[0].headers["accept-encoding"] == "identity"


def test_head_answer_has_its_length_and_no_body(source_server: Servers, session: requests.Session) -> None:
    source = source_server(sizes=lambda target: 5000)
    answer = session.head(source.url_of("a.jpg"), timeout=5)
    assert (answer.headers["content-length"], answer.content) == ("5000", b"")


def test_cookies_are_neither_kept_nor_sent(source_server: Servers, session: requests.Session) -> None:
    source = source_server()
    for _ in range(3):
        session.get(source.url_of("a.jpg", "cookies"), timeout=5)
    assert not session.cookies
    assert all("cookie" not in entry.headers for entry in source.log)


def test_netrc_plays_no_part(
    source_server: Servers, session: requests.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    source = source_server()
    assert session.get(source.url_of("a.jpg"), timeout=5).status_code == 200
    assert "authorization" not in source.log[0].headers


def test_certificate_of_a_stranger_is_refused(source_tls_server: Servers) -> None:
    source, adapter = source_tls_server(), PooledAdapter(1)
    with pytest.raises(FatalError, match="CA_BUNDLE"):
        new_session(adapter).get(source.url_of("a.jpg"), timeout=5)
    adapter.close()


def test_verification_cannot_be_switched_off(source_tls_server: Servers, session: requests.Session) -> None:
    source = source_tls_server()
    with pytest.raises(ValueError, match="verification"):
        session.get(source.url_of("a.jpg"), timeout=5, verify=False)
    assert source.network.connections == 0


@pytest.mark.parametrize("timeout", [None, (1, 2)], ids=["none", "a pair"])
def test_request_needs_one_timeout_in_seconds(timeout: object, session: requests.Session) -> None:
    with pytest.raises(ValueError, match="timeout"):
        session.get("http://127.0.0.1:9/", timeout=timeout)  # type: ignore[arg-type]


def test_timeout_is_that_of_the_whole_exchange(source_server: Servers, session: requests.Session) -> None:
    source = source_server()
    began = time.monotonic()
    with pytest.raises(TransientError) as caught:
        session.get(source.url_of("a.jpg", "drip_body"), timeout=0.5)
    assert caught.value.cause == "timeout"
    assert time.monotonic() - began < 1.5


def test_stop_ends_a_request(source_server: Servers) -> None:
    source, stop = source_server(), threading.Event()
    adapter = PooledAdapter(1, stop=stop)
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(Cancelled):
        new_session(adapter).get(source.url_of("a.jpg", "stall_headers"), timeout=30)
    timer.join()
    adapter.close()


def test_short_body_is_never_returned(source_server: Servers, session: requests.Session) -> None:
    source = source_server()
    with pytest.raises(TransientError) as caught:
        session.get(source.url_of("a.jpg", "short_by_one"), timeout=5)
    assert caught.value.cause == "truncated"


def test_one_wire_for_each_server(adapter: PooledAdapter) -> None:
    assert adapter.pool("http://a.example/x") is adapter.pool("http://a.example:80/y?z")
    assert adapter.pool("http://a.example/") is not adapter.pool("https://a.example/")
    assert adapter.pool("http://a.example/") is not adapter.pool("http://b.example/")
