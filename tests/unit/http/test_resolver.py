"""Names: looked up once a minute, whatever the number of connections; old addresses serve while the resolver fails."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cdn2s3.errors import Cancelled, TransientError
from cdn2s3.http import resolver as module
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.resolver import AGAIN_AFTER_FAILURE, FAMILY_KEPT, FRESH, KEPT, Resolver

V4, V6 = socket.AF_INET, socket.AF_INET6
AWAY = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Names:
    """A stub for getaddrinfo: answers what it is told, counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: list[str] | Exception = ["192.0.2.1"]
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, host: str, port: int, **unused: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        self.goes_on.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [(V6 if ":" in ip else V4, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self.answer]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    stub = Names()
    monkeypatch.setattr(socket, "getaddrinfo", stub)
    yield stub
    stub.goes_on.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(names: Names, clock: Clock) -> Resolver:
    return Resolver(clock)


def ask(resolver: Resolver, host: str = "cdn.example", deadline: Deadline | None = None) -> list[str]:
    return [str(address.sockaddr[0]) for address in resolver.addresses(host, 443, deadline or Deadline(5))]


def test_name_is_looked_up_once_a_minute(names: Names, clock: Clock, resolver: Resolver) -> None:
    for _ in range(100):
        assert ask(resolver) == ["192.0.2.1"]
    assert names.asked == ["cdn.example"]
    clock.now += FRESH
    names.answer = ["192.0.2.9"]
    assert ask(resolver) == ["192.0.2.9"]
    assert names.asked == ["cdn.example"] * 2


def test_each_host_has_a_lookup_of_its_own(names: Names, resolver: Resolver) -> None:
    ask(resolver, "a.example"), ask(resolver, "b.example")
    assert names.asked == ["a.example", "b.example"]


def test_workers_that_ask_at_once_share_a_lookup(names: Names, resolver: Resolver) -> None:
    names.goes_on.clear()
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(ask(resolver))) for _ in range(20)]
    for thread in threads:
        thread.start()
    names.goes_on.set()
    for thread in threads:
        thread.join()
    assert (len(found), names.asked) == (20, ["cdn.example"])


@pytest.mark.parametrize(
    "error",
    [
        AWAY,
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        OSError(24, "Too many open files"),
    ],
    ids=["resolver away", "no such name", "no file left"],
)
def test_known_addresses_serve_while_the_resolver_fails(
    names: Names, clock: Clock, resolver: Resolver, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ask(resolver)
    names.answer = error
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            clock.now += FRESH
            assert ask(resolver) == ["192.0.2.1"]
    assert len(caplog.records) == 1  # said once, not for each connection
    assert "cdn.example cannot be looked up" in caplog.text
    names.answer = ["192.0.2.2"]
    clock.now += FRESH
    assert ask(resolver) == ["192.0.2.2"]


def test_resolver_that_fails_is_not_asked_for_each_connection(
    names: Names, clock: Clock, resolver: Resolver
) -> None:
    ask(resolver)
    clock.now += FRESH
    names.answer = AWAY
    for _ in range(50):
        ask(resolver)
    assert len(names.asked) == 2
    clock.now += AGAIN_AFTER_FAILURE
    ask(resolver)
    assert len(names.asked) == 3


def test_addresses_of_yesterday_are_not_used(names: Names, clock: Clock, resolver: Resolver) -> None:
    ask(resolver)
    names.answer = AWAY
    clock.now += KEPT
    with pytest.raises(socket.gaierror, match="Temporary failure"):
        ask(resolver)


def test_failure_without_known_addresses_is_raised_and_asked_again(names: Names, resolver: Resolver) -> None:
    names.answer = AWAY
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            ask(resolver)
    assert len(names.asked) == 2
    names.answer = ["192.0.2.1"]
    assert ask(resolver) == ["192.0.2.1"]


def test_name_without_any_address_is_an_error(names: Names, resolver: Resolver) -> None:
    names.answer = []
    with pytest.raises(OSError, match="no address"):
        ask(resolver)


def test_silent_resolver_ends_at_the_deadline(names: Names, resolver: Resolver) -> None:
    names.goes_on.clear()
    began = time.monotonic()
    with pytest.raises(TransientError) as caught:
        ask(resolver, deadline=Deadline(0.1))
    assert caught.value.cause == "timeout"
    assert time.monotonic() - began < 1


def test_silent_resolver_does_not_hold_up_a_stop(names: Names, resolver: Resolver) -> None:
    names.goes_on.clear()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        ask(resolver, deadline=Deadline(30, stop))


def test_silent_resolver_gives_way_to_known_addresses(
    names: Names, clock: Clock, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ask(resolver)
    clock.now += FRESH
    names.goes_on.clear()
    assert ask(resolver) == ["192.0.2.1"]


def test_connections_take_the_addresses_in_turn(names: Names, resolver: Resolver) -> None:
    names.answer = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert [ask(resolver)[0] for _ in range(4)] == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]
    assert sorted(ask(resolver)) == names.answer


def test_families_alternate_and_the_system_chooses_the_first(names: Names, resolver: Resolver) -> None:
    names.answer = ["2001:db8::1", "2001:db8::2", "192.0.2.1"]
    assert ask(resolver) == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]
    names.answer = ["192.0.2.1", "2001:db8::1"]
    assert ask(resolver, "other.example") == ["192.0.2.1", "2001:db8::1"]


def test_family_that_worked_comes_first_for_ten_minutes(
    names: Names, clock: Clock, resolver: Resolver
) -> None:
    names.answer = ["2001:db8::1", "192.0.2.1"]
    ask(resolver)
    resolver.note_family("cdn.example", 443, V4)
    clock.now += FRESH  # a new lookup does not change it
    assert ask(resolver) == ["192.0.2.1", "2001:db8::1"]
    assert ask(resolver, "other.example") == ["2001:db8::1", "192.0.2.1"]
    clock.now += FAMILY_KEPT
    assert ask(resolver) == ["2001:db8::1", "192.0.2.1"]


def test_address_that_is_there_twice_counts_once(names: Names, resolver: Resolver) -> None:
    names.answer = ["192.0.2.1", "192.0.2.1"]
    assert ask(resolver) == ["192.0.2.1"]
