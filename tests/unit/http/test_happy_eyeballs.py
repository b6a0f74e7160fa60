"""The first address that answers wins; a dead address family costs a quarter of a second, once."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from cdn2s3.errors import Cancelled, TransientError
from cdn2s3.http import happy_eyeballs
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin, connect
from cdn2s3.http.happy_eyeballs import ATTEMPT_DELAY, connected
from cdn2s3.http.resolver import Address
from tests.unit.http.test_connection import LATE, ends_in, open_files

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture(autouse=True)
def no_file_left_open() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() <= before


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@contextmanager
def server(family: int = socket.AF_INET, answers: bool = True) -> Iterator[Address]:
    """Give the address of a socket that accepts, or of one that drops whatever comes, as a dead route does."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((LOOPBACK[family], 0))
        listener.listen(16 if answers else 0)
        for _ in range(0 if answers else 4):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Address(family, listener.getsockname())


def refusing() -> Address:
    with server() as gone:
        return gone


def winner(*addresses: Address, seconds: float = 5.0) -> Address:
    sock, address = connected(addresses, Deadline(seconds))
    sock.close()
    return address


@needs_ipv6
def test_dead_ipv6_costs_a_quarter_of_a_second() -> None:
    with (
        server(socket.AF_INET6, answers=False) as dead,
        server() as alive,
        ends_in(0.9 * ATTEMPT_DELAY, LATE),
    ):
        assert winner(dead, alive) == alive


@needs_ipv6
def test_family_that_answers_is_remembered_for_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(socket.AF_INET6, answers=False) as dead, server() as alive:

        def lookup(*unused: Any, **options: Any) -> list[tuple[Any, ...]]:
            return [
                (address.family, socket.SOCK_STREAM, 6, "", address.sockaddr) for address in (dead, alive)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        origin = Origin("http", "cdn.example", 80)
        connect(origin, Deadline(5)).close()
        with ends_in(0, ATTEMPT_DELAY / 2):
            connect(origin, Deadline(5)).close()


def test_refusal_lets_the_next_begin_at_once() -> None:
    with server() as alive, ends_in(0, ATTEMPT_DELAY / 2):
        assert winner(refusing(), refusing(), alive) == alive


def test_first_address_is_given_its_head_start() -> None:
    with server() as first, server() as second:
        assert winner(first, second) == first


def test_addresses_that_all_stay_silent_end_at_the_deadline() -> None:
    with server(answers=False) as one, server(answers=False) as two, pytest.raises(TransientError) as caught:
        winner(one, two, seconds=0.4)
    assert caught.value.cause == "timeout"


def test_addresses_beyond_the_second_get_their_turn() -> None:
    with ExitStack() as stack:
        dead = [stack.enter_context(server(answers=False)) for _ in range(3)]
        alive = stack.enter_context(server())
        with ends_in(0, 1.5 + LATE):
            assert winner(*dead, alive, seconds=2.0) == alive


def test_no_more_than_two_sockets_are_open_at_once() -> None:
    with ExitStack() as stack:
        dead = [stack.enter_context(server(answers=False)) for _ in range(6)]
        before, most = open_files(), 0
        over = threading.Event()

        def look() -> None:
            nonlocal most
            while not over.wait(0.01):
                most = max(most, open_files())

        watcher = threading.Thread(target=look)
        watcher.start()
        with pytest.raises(TransientError):
            winner(*dead, seconds=1.0)
        over.set()
        watcher.join()
    assert most <= before + 2 + 1  # and the folder that open_files() reads


def test_all_addresses_refuse() -> None:
    with pytest.raises(ConnectionRefusedError):
        winner(refusing(), refusing())


def test_stop_ends_the_race() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    with server(answers=False) as dead, pytest.raises(Cancelled):
        timer.start()
        connected([dead, dead], Deadline(30, stop))
    timer.join()


def test_lack_of_files_for_a_second_attempt_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = socket.socket, []

    def one_at_a_time(*arguments: Any) -> socket.socket:
        if made and made[-1].fileno() >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(real(*arguments))
        return made[-1]

    with server(answers=False) as dead, server() as alive:
        monkeypatch.setattr(happy_eyeballs.socket, "socket", one_at_a_time)
        assert winner(dead, alive, seconds=1.0) == alive  # after the dead one's share of the time


def test_machine_without_the_family_takes_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def v4_only(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, kind)

    v6 = Address(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))
    with server() as alive:
        monkeypatch.setattr(happy_eyeballs.socket, "socket", v4_only)
        assert winner(v6, alive) == alive


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EADDRNOTAVAIL])
def test_host_with_ipv6_alone_on_a_machine_without_is_named(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 80, 0, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *unused, **options: [v6])

    def refuse(*unused: Any) -> socket.socket:
        raise OSError(code, "no IPv6")

    monkeypatch.setattr(happy_eyeballs.socket, "socket", refuse)
    with pytest.raises(
        TransientError, match=r"cdn\.example has only IPv6 addresses, and this machine has no IPv6"
    ):
        connect(Origin("http", "cdn.example", 80), Deadline(5))


def test_race_on_loopback_is_no_slower_than_a_plain_connect() -> None:
    """A bound that only a wait would break: a connection costs some 50 µs here."""
    with server() as alive:
        began = time.perf_counter()
        for _ in range(10):
            winner(alive)
        assert time.perf_counter() - began < 0.2
