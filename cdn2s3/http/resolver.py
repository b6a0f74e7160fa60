"""The addresses of hosts: a name is looked up once a minute for the whole process, not once a connection.

A VPC's resolver drops what goes beyond 1,024 packets a second (Amazon VPC User Guide, "Amazon DNS quotas"), and
workers that open connections all the time get there. While the resolver fails, the last known addresses are used (RFC
8767). A lookup cannot be interrupted, so it has a thread of its own, and who waits for it waits until a deadline.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

from cdn2s3.http.deadline import SLICE, Deadline

log = logging.getLogger(__name__)

FRESH = 60.0  # seconds; after that a name is looked up again
KEPT = 86_400.0  # seconds; older addresses aren't used, however long the resolver fails (RFC 8767, 5: 1 to 3 days)
AGAIN_AFTER_FAILURE = (
    30.0  # seconds until the resolver is asked again while old addresses serve (RFC 8767, 5)
)
PATIENCE = 1.8  # seconds that a silent resolver has before the old addresses are used (RFC 8767, 5)
FAMILY_KEPT = (
    600.0  # seconds; how long to begin with the address family that worked (RFC 8305, 4: at most 10 minutes)
)


class Address(NamedTuple):
    """One address of a host, as getaddrinfo gives it."""

    family: int  # AF_INET or AF_INET6
    sockaddr: Any  # for connect(); its first part is the address as text


class _Lookup:
    """A lookup that is going on in a thread of its own."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: Exception | None = None


class _Name:
    """What is known of one host and port; guarded by the cache's lock."""

    def __init__(self) -> None:
        self.addresses: tuple[Address, ...] = ()
        self.looked_up_at = 0.0
        self.due_at = float("-inf")
        self.lookup: _Lookup | None = None
        self.turns = itertools.count()
        self.family: int | None = None  # the one that answered, where the host has two
        self.family_until = 0.0
        self.is_failing = False  # the resolver's failure has been logged


class Resolver:
    """Look names up and keep their addresses; shared by all threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._names: dict[tuple[str, int], _Name] = {}

    def addresses(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Return the addresses of host in the order to try them in, never none.

        Families alternate, beginning with the one that worked last time, or else with the system's choice; within
        a family each call begins with the next address. Raise OSError or UnicodeError as getaddrinfo does,
        TransientError (timeout) or Cancelled.
        """
        with self._lock:
            name = self._names.setdefault((host, port), _Name())
            if self._clock() >= name.due_at and name.lookup is None:
                self._begin(name, host, port)
            lookup = name.lookup
            if lookup is None:
                return self._in_turn(name)
            patience = PATIENCE if self._has_addresses(name) else float("inf")
        give_up_at = time.monotonic() + patience
        while not lookup.done.wait(min(SLICE, deadline.remaining(), max(0.0, give_up_at - time.monotonic()))):
            if time.monotonic() >= give_up_at:
                break
        with self._lock:
            if self._has_addresses(name):
                return self._in_turn(name)
        raise lookup.error or OSError("it has no address")

    def note_family(self, host: str, port: int, family: int) -> None:
        """Note the family of the address that answered: the next connections begin with it."""
        with self._lock:
            name = self._names.get((host, port))
            if name is not None:
                name.family, name.family_until = family, self._clock() + FAMILY_KEPT

    def forget(self) -> None:
        """Forget everything."""
        with self._lock:
            self._names.clear()

    def _has_addresses(self, name: _Name) -> bool:
        return bool(name.addresses) and self._clock() < name.looked_up_at + KEPT

    def _begin(self, name: _Name, host: str, port: int) -> None:
        name.lookup = _Lookup()
        threading.Thread(
            target=self._look_up, args=(name, name.lookup, host, port), name="resolver", daemon=True
        ).start()

    def _look_up(self, name: _Name, lookup: _Lookup, host: str, port: int) -> None:
        found: tuple[Address, ...] = ()
        try:
            found = _unique(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            lookup.error = error
        with self._lock:
            now = self._clock()
            name.lookup = None
            if found:
                name.addresses, name.looked_up_at, name.due_at = found, now, now + FRESH
                name.is_failing = False
            elif self._has_addresses(name):
                name.due_at = now + AGAIN_AFTER_FAILURE
                if not name.is_failing:
                    log.warning(
                        "%s cannot be looked up (%s): its last known addresses are used", host, lookup.error
                    )
                name.is_failing = True
        lookup.done.set()

    def _in_turn(self, name: _Name) -> list[Address]:
        turn = next(name.turns)
        families: dict[int, list[Address]] = {}
        if name.family is not None and self._clock() < name.family_until:
            families[name.family] = []
        for address in name.addresses:
            families.setdefault(address.family, []).append(address)
        return _interleaved([_rotated(members, turn) for members in families.values()])


def _unique(found: Iterable[tuple[Any, ...]]) -> tuple[Address, ...]:
    """Return what getaddrinfo found: /etc/hosts may name an address twice."""
    return tuple(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))


def _rotated(members: Sequence[Address], turn: int) -> Sequence[Address]:
    start = turn % len(members) if members else 0
    return [*members[start:], *members[:start]]


def _interleaved(families: Sequence[Sequence[Address]]) -> list[Address]:
    """Return the members of families in turn (RFC 8305, 4)."""
    rows = itertools.zip_longest(*families)
    return [address for row in rows for address in row if address is not None]


RESOLVER = Resolver()  # of this process
