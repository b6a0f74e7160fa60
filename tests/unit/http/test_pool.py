"""Exchanges over kept-alive connections: reused, replaced once when dead, never poisoned, never leaked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import Cancelled, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin
from cdn2s3.http.pool import ConnectionPool, host_header, origin_of, request_head
from cdn2s3.http.trust import tls_context
from tests.fakes.tls import TlsMaterial
from tests.fakes.wire import Connection, Listener, Request, response
from tests.properties import examples

GET = (b"GET / HTTP/1.1\r\nHost: cdn.example\r\n\r\n",)
PUT = (b"PUT / HTTP/1.1\r\nHost: s3.example\r\nContent-Length: 50000000\r\n\r\n",)
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
Answering = Callable[[Connection, Request], Optional[bool]]  # False ends the connection


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tls_material: TlsMaterial) -> TlsMaterial | None:
    return tls_material if request.param == "https" else None


@pytest.fixture(autouse=True)
def no_file_left_open() -> Iterator[None]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@contextmanager
def pooled(
    answer: Answering, tls: TlsMaterial | None = None, most_idle: int = 8
) -> Iterator[tuple[ConnectionPool, Listener]]:
    def serve(peer: Connection) -> None:
        while True:
            request = peer.read_request()
            if request is None or answer(peer, request) is False:
                return

    listener = Listener(serve, tls.context if tls else None)
    context = tls_context(str(tls.ca_bundle)) if tls else None
    pool = ConnectionPool(Origin("https" if tls else "http", "127.0.0.1", listener.port), context, most_idle)
    try:
        yield pool, listener
    finally:
        pool.close()
        listener.stop()


def get(pool: ConnectionPool, deadline: float = 5) -> bytes:
    with pool.request("GET", GET, Deadline(deadline)) as answer:
        return answer.body()


def hello(peer: Connection, request: Request) -> None:
    peer.send(response(200, [], b"hello"))


def first_then(then: Callable[[Connection], bool]) -> Answering:
    """Answer the first request of each connection well, and do then with the others."""

    def answer(peer: Connection, request: Request) -> bool | None:
        return hello(peer, request) if peer.served == 1 else then(peer)

    return answer


def close(peer: Connection) -> bool:
    return False


def reset(peer: Connection) -> bool:
    peer.reset()
    return False


def begin(peer: Connection) -> bool:
    peer.send(b"HTTP/1.1 200 O")
    return False


def stall(peer: Connection) -> bool:
    return not peer.stall(10)


def test_connection_is_used_again(tls: TlsMaterial | None) -> None:
    with pooled(hello, tls) as (pool, listener):
        assert [get(pool) for _ in range(5)] == [b"hello"] * 5
        assert listener.connections == 1


def test_connection_whose_body_was_left_is_not_used_again() -> None:
    with pooled(hello) as (pool, listener):
        pool.request("GET", GET, Deadline(5)).close()
        assert get(pool) == b"hello"
        assert listener.connections == 2


@pytest.mark.parametrize("end", [close, reset])
def test_kept_alive_connection_that_died_is_replaced(
    end: Callable[[Connection], bool], tls: TlsMaterial | None
) -> None:
    with pooled(first_then(end), tls) as (pool, listener):
        assert [get(pool) for _ in range(3)] == [b"hello"] * 3
        assert listener.connections == 3


def test_replacement_that_dies_too_is_a_failed_attempt() -> None:
    alive = True

    def answer(peer: Connection, request: Request) -> bool | None:
        return hello(peer, request) if alive else False

    with pooled(answer) as (pool, listener):
        get(pool)
        alive = False
        with pytest.raises(TransientError) as caught:
            get(pool)
        assert (caught.value.cause, listener.connections) == ("connection", 2)


def test_idle_connection_that_the_server_closed_is_replaced(tls: TlsMaterial | None) -> None:
    with pooled(hello, tls) as (pool, listener):
        get(pool)
        listener.drop_connections()
        assert get(pool) == b"hello"
        assert listener.connections == 2


@pytest.mark.parametrize(("then", "cause"), [(begin, "connection"), (stall, "timeout")])
def test_failure_after_the_request_was_taken_is_not_repeated(
    then: Callable[[Connection], bool], cause: str, tls: TlsMaterial | None
) -> None:
    with pooled(first_then(then), tls) as (pool, listener):
        get(pool)
        with pytest.raises(TransientError) as caught:
            get(pool, 0.3)
        assert (caught.value.cause, listener.connections) == (cause, 1)


@pytest.mark.parametrize("surplus", [b"X", EVIL], ids=["junk", "an answer"])
def test_surplus_never_answers_the_next_request(surplus: bytes, tls: TlsMaterial | None) -> None:
    def answer(peer: Connection, request: Request) -> None:
        peer.send(response(200, [], b"hello") + surplus)

    with pooled(answer, tls) as (pool, listener):
        assert [get(pool) for _ in range(4)] == [b"hello"] * 4
        assert listener.connections == 4


def test_surplus_behind_a_large_body_never_answers_the_next_request(tls: TlsMaterial | None) -> None:
    body = b"hello" * 10_000  # its end is received straight into the caller's view, not with the head

    def answer(peer: Connection, request: Request) -> None:
        peer.send(response(200, [], body) + EVIL)

    with pooled(answer, tls) as (pool, _):
        assert [get(pool) for _ in range(4)] == [body] * 4


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize("ended_by", ["deadline", "stop"])
def test_drip_ends(part: str, ended_by: str, tls: TlsMaterial | None) -> None:
    raw, stop = response(200, [], b"hello" * 100), threading.Event()
    split = 5 if part == "head" else raw.index(b"\r\n\r\n") + 10

    def answer(peer: Connection, request: Request) -> bool:
        peer.send(raw[:split])
        if ended_by == "stop":
            stop.set()
        return peer.drip(raw[split:], 0.05)

    deadline = Deadline(0.4 if ended_by == "deadline" else 30, stop)
    began = time.monotonic()
    with pooled(answer, tls) as (pool, _):
        with pytest.raises((TransientError, Cancelled)) as caught, pool.request("GET", GET, deadline) as got:
            got.body()
        assert time.monotonic() - began < 1.5
    assert isinstance(caught.value, Cancelled if ended_by == "stop" else TransientError)


@pytest.mark.parametrize("then", ["drain", "close"])
def test_answer_given_before_the_body_ended_is_taken(then: str, tls: TlsMaterial | None) -> None:
    size, error = 4_000_000, b"<Error><Code>EntityTooLarge</Code></Error>"
    head = f"PUT / HTTP/1.1\r\nHost: s3.example\r\nContent-Length: {size}\r\n\r\n".encode()

    def answer(peer: Connection, request: Request) -> bool:
        peer.read(100_000)
        peer.send(response(400, [("Connection", "close")], error))
        if then == "drain":  # the answer is given, the rest of the body is thrown away
            peer.read(size - 100_000)
        return False

    with pooled(answer, tls) as (pool, listener):
        try:
            with pool.request("PUT", (head, bytes(size)), Deadline(10)) as got:
                assert (got.status, got.body()) == (400, error)
        except (
            TransientError
        ) as failure:  # a close with unread bytes is a reset, which may destroy the answer
            assert (then, failure.cause) == ("close", "connection")
        assert listener.connections == 1


def test_idle_connections_are_bounded() -> None:
    barrier = threading.Barrier(6)

    def answer(peer: Connection, request: Request) -> None:
        barrier.wait(5)
        hello(peer, request)

    with pooled(answer, most_idle=2) as (pool, listener):
        threads = [threading.Thread(target=get, args=(pool,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (listener.connections, len(pool._idle)) == (6, 2)


def test_many_threads_get_their_own_answers(tls: TlsMaterial | None) -> None:
    right: list[bool] = []

    def answer(peer: Connection, request: Request) -> None:
        peer.send(response(200, [], request.target.encode() * 500))

    def ask(pool: ConnectionPool, number: int) -> None:
        for turn in range(20):
            target = f"/{number}-{turn}"
            head = request_head("GET", target, {"Host": "cdn.example"})
            with pool.request("GET", (head,), Deadline(10)) as got:
                right.append(got.body() == target.encode() * 500)

    with pooled(answer, tls) as (pool, listener):
        threads = [threading.Thread(target=ask, args=(pool, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [True] * 120
        assert listener.connections <= 6


FAULTS = [
    b"",
    b"garbage\r\n\r\n",
    response(200, [], b"12345")[:-1],
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
]


def test_failed_exchanges_leave_no_connection(tls: TlsMaterial | None) -> None:
    turn = iter(range(1000))

    def answer(peer: Connection, request: Request) -> bool:
        peer.send(FAULTS[next(turn) % len(FAULTS)])
        return False

    with pooled(answer, tls) as (pool, _):
        for _ in range(12):
            with pytest.raises(TransientError):
                get(pool)
        assert not pool._idle


# heads and origins


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://cdn.example/a", Origin("http", "cdn.example", 80), "cdn.example"),
        ("https://cdn.example/a", Origin("https", "cdn.example", 443), "cdn.example"),
        ("https://cdn.example:8443/", Origin("https", "cdn.example", 8443), "cdn.example:8443"),
        ("http://cdn.example:443/", Origin("http", "cdn.example", 443), "cdn.example:443"),
        ("http://[::1]:9000/", Origin("http", "::1", 9000), "[::1]:9000"),
    ],
)
def test_origin_and_host_header_of_a_url(url: str, origin: Origin, host: str) -> None:
    assert origin_of(url) == origin
    assert host_header(origin) == host


def test_request_head() -> None:
    head = request_head("GET", "/a?b", {"Host": "x", "X-Y": "é"})
    assert head == b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: \xe9\r\n\r\n"


@examples(200)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_text_makes_a_second_header_or_request(target: str, name: str, value: str) -> None:
    try:
        head = request_head("GET", target, {"Host": "x", f"X{name}": value})
    except ValueError:  # UnicodeEncodeError is one
        return
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == 4
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\rb"])
def test_header_with_a_line_break_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        request_head("GET", "/", {"X-Y": value})


def refusing(then: Callable[[Connection], bool], interim: bytes = b"") -> Answering:
    """Refuse a request by its head, its body unread, and do then."""

    def answer(peer: Connection, request: Request) -> bool:
        peer.send(interim + response(403, [], b"refused"))
        return then(peer)

    return answer


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["alone", "after 100"])
@pytest.mark.parametrize("then", [stall, close, reset])
def test_answer_that_comes_before_the_body_is_taken_counts_at_once(
    tls: TlsMaterial | None, then: Callable[[Connection], bool], interim: bytes
) -> None:
    body = bytes(50_000_000)  # more than all buffers on the way
    with pooled(refusing(then, interim), tls) as (pool, listener):
        began = time.monotonic()
        if then is reset:  # what was sent before it may be lost with it
            with pytest.raises(TransientError), pool.request("PUT", (*PUT, body), Deadline(30)) as answer:
                assert answer.status == 403
                raise TransientError("connection", "it was not lost")
        else:
            with pool.request("PUT", (*PUT, body), Deadline(30)) as answer:
                assert (answer.status, answer.body()) == (403, b"refused")
            with pool.request("PUT", (*PUT, body), Deadline(30)) as answer:
                assert answer.status == 403
            assert listener.connections == 2, "a connection with half a request on it was used again"
        assert time.monotonic() - began < 8


def test_server_that_takes_the_body_slowly_gets_all_of_it(tls: TlsMaterial | None) -> None:
    body, got = bytes(range(256)) * 40_000, []

    def answer(peer: Connection, request: Request) -> None:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while sum(map(len, got)) < len(body):
            got.append(peer.read(1_000_000 if sum(map(len, got)) + 1_000_000 < len(body) else 240_000))
            peer.stall(0.05)
        hello(peer, request)

    with pooled(answer, tls) as (pool, _), pool.request("PUT", (*PUT, body), Deadline(30)) as answered:
        assert answered.body() == b"hello"
    assert b"".join(got) == body


def test_server_that_takes_no_body_and_says_nothing_is_a_timeout(tls: TlsMaterial | None) -> None:
    with (
        pooled(lambda peer, request: not peer.stall(10), tls) as (pool, _),
        pytest.raises(TransientError) as raised,
    ):
        pool.request("PUT", (*PUT, bytes(50_000_000)), Deadline(1))
    assert raised.value.cause == "timeout"
