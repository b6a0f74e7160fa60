"""Happy eyeballs (RFC 8305): connect to the first of a host's addresses that answers.

Without it, a host whose IPv6 addresses lead nowhere costs each new connection a wait. The second attempt begins a
quarter of a second after the first, or as soon as that has failed; the first socket to connect wins.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cdn2s3.http.deadline import SLICE, Deadline
from cdn2s3.http.resolver import Address

ATTEMPT_DELAY = 0.25  # seconds (RFC 8305, 5: the recommended Connection Attempt Delay)
_AT_ONCE = (
    2  # attempts of one connection; each is an open file, and the limit counts with one for each worker
)


class _Attempt(NamedTuple):
    """A socket that is connecting."""

    sock: socket.socket
    address: Address
    give_up_at: float  # of time.monotonic: its share of the time, if addresses are waiting then


def connected(addresses: Sequence[Address], deadline: Deadline) -> tuple[socket.socket, Address]:
    """Return a socket that is connected to the first of addresses that answers, and that address.

    Raise OSError as the last address did, TransientError (timeout) or Cancelled; no socket stays open then.
    """
    race = _Race(addresses, deadline)
    try:
        return race.run()
    finally:
        race.close_losers()


class _Race:
    def __init__(self, addresses: Sequence[Address], deadline: Deadline) -> None:
        self._waiting = deque(addresses)
        self._deadline = deadline
        self._attempts: dict[int, _Attempt] = {}  # by file descriptor, oldest first
        self._poll = select.poll()
        self._at_once = _AT_ONCE
        self._next_at = 0.0  # of time.monotonic: when the next attempt begins at the latest
        self._failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def run(self) -> tuple[socket.socket, Address]:
        while self._waiting or self._attempts:
            if self._waiting and (
                not self._attempts or (self._has_room and time.monotonic() >= self._next_at)
            ):
                self._begin(self._waiting.popleft())
                continue
            for fd, _ in self._poll.poll(self._wait_ms()):
                attempt = self._attempts[fd]
                refused = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not refused:
                    self._forget(attempt, close=False)
                    return attempt.sock, attempt.address
                self._failed(attempt, OSError(refused, os.strerror(refused)))
            self._end_the_oldest_if_due()
        raise self._failure

    @property
    def _has_room(self) -> bool:
        return len(self._attempts) < self._at_once

    def _begin(self, address: Address) -> None:
        now = time.monotonic()
        share = self._deadline.remaining() / (len(self._waiting) + 1)  # leave time for the addresses after it
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:  # no file left, or an address family that this machine lacks
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._attempts:
                self._waiting.appendleft(address)
                self._at_once = 1
            else:
                self._failure = error
            return
        attempt = _Attempt(sock, address, now + share)
        self._attempts[sock.fileno()] = attempt
        self._next_at = now + ATTEMPT_DELAY
        sock.setblocking(False)
        try:
            sock.connect(address.sockaddr)
        except BlockingIOError:
            pass
        except OSError as error:
            self._forget(attempt)
            self._failure = error
            self._next_at = now
            return
        self._poll.register(sock, select.POLLOUT)

    def _wait_ms(self) -> int:
        """Return how long to wait for a socket: until the deadline must be checked, or another attempt is due."""
        seconds = min(SLICE, self._deadline.remaining())
        if self._waiting:
            due = self._next_at if self._has_room else next(iter(self._attempts.values())).give_up_at
            seconds = min(seconds, max(0.0, due - time.monotonic()))
        return int(seconds * 1000) + 1

    def _end_the_oldest_if_due(self) -> None:
        if self._waiting and self._attempts and not self._has_room:
            oldest = next(iter(self._attempts.values()))
            if time.monotonic() >= oldest.give_up_at:
                self._failed(oldest, OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def _failed(self, attempt: _Attempt, error: OSError) -> None:
        self._forget(attempt)
        self._failure = error
        self._next_at = time.monotonic()

    def _forget(self, attempt: _Attempt, close: bool = True) -> None:
        fd = attempt.sock.fileno()
        del self._attempts[fd]
        with suppress(KeyError):  # it may have failed before it was registered
            self._poll.unregister(fd)
        if close:
            attempt.sock.close()

    def close_losers(self) -> None:
        for attempt in self._attempts.values():
            attempt.sock.close()
