"""The coordinator's handle on one Dask worker, and what it knows of all together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from cdn2s3.executors.dask_client import WorkerLine, host_of
from cdn2s3.executors.dask_messages import PING_EVERY
from cdn2s3.executors.handing_out import AHEAD, WorkerHandle
from cdn2s3.keys import KeyMaker
from cdn2s3.records import Share
from cdn2s3.transfer.outcome import Done

_AHEAD_SECONDS = 2.0  # of a worker's own rate: what it is to have, where that is more than the next two
_AHEAD_AT_LEAST = 100  # tasks; a fast worker with few threads would else wait for the next ones
DOWN_ALONE = 60.0  # seconds after which a worker that alone finds an endpoint down is set aside
_LAST_WORDS = 2.0  # seconds for the last report of a task that has ended


class Member(WorkerHandle):
    """A Dask worker of a run."""

    def __init__(self, line: WorkerLine, id_: int, address: str, share: Share, concurrency: int) -> None:
        """id_ is its number in the run, which no other has."""
        super().__init__(line, share.number, share.workers(concurrency))
        self.line = line
        self.id = id_
        self.address = address
        self.host = host_of(address)
        self.is_ready = False  # it has told that it is
        self.down_since: float | None = None  # it alone finds an endpoint down
        self.ahead = self._ahead_at_least = max(AHEAD * self.workers, _AHEAD_AT_LEAST)
        self._gone_at: float | None = None  # when its task was seen to have ended
        self._pinged_at = self._counted_from = time.monotonic()
        self._count = 0

    @property
    def takes_tasks(self) -> bool:
        return self.is_ready and super().takes_tasks

    def count(self, done: int) -> None:
        """Count what it has done, and let it have so much ahead as it does in _AHEAD_SECONDS."""
        now = time.monotonic()
        self._count += done
        seconds = now - self._counted_from
        if seconds >= 1:
            self.ahead = max(self._ahead_at_least, int(_AHEAD_SECONDS * self._count / seconds))
            self._counted_from, self._count = now, 0

    def is_gone(self, is_present: bool) -> bool:
        """Return whether nothing more will come from it: it is not there, or its task has ended a while ago."""
        now = time.monotonic()
        if self._gone_at is None and self.line.has_ended:
            self._gone_at = now
        return not is_present or (self._gone_at is not None and now - self._gone_at >= _LAST_WORDS)

    def ping(self) -> None:
        """Give it a sign of life, if the last one was a while ago."""
        if time.monotonic() - self._pinged_at >= PING_EVERY:
            self._pinged_at = time.monotonic()
            self.send([])


def share_of(address: str, usable: Iterable[str], members: Iterable[Member], concurrency: int) -> Share:
    """Return which part of its machine's workers and cores the Dask worker at address gets.

    usable are the addresses of all that can be used, and members those that have begun, of every machine.
    """
    host = host_of(address)
    of = max(1, min(concurrency, sum(host_of(other) == host for other in usable)))
    taken = {member.number for member in members if member.host == host}
    return Share(next((number for number in range(of) if number not in taken), of - 1), of)


def down_alone(members: Sequence[Member], now: float) -> Iterator[tuple[Member, list[str]]]:
    """Yield who has found endpoints down for DOWN_ALONE while another worker has not, and their names.

    The fault is on its machine then. now is on the monotonic clock; call it a few times a second.
    """
    down = {member.id: sorted(one.endpoint for one in member.limiting if one.is_down) for member in members}
    works = any(member.is_ready and not down[member.id] for member in members)
    for member in list(members):
        if not down[member.id] or not works:
            member.down_since = None
            continue
        member.down_since = member.down_since or now
        if now - member.down_since >= DOWN_ALONE:
            yield member, down[member.id]


class KnownUrls:
    """URLs that have been received, for the probes of sources.

    A worker that has received nothing itself could take a fault of its source for one of its URLs.
    """

    def __init__(self, keys: KeyMaker, received_before: Iterable[str]) -> None:
        self.all = list(received_before)
        self._keys = keys
        self._sources: set[int] = set()  # those that an URL of this run has been received from

    def new_in(self, batch: Iterable[Done]) -> list[str]:
        """Return an URL of each source that none was received from before in this run."""
        found: list[str] = []
        if len(self._sources) == len(self._keys.origins):
            return found
        for url in (done.task.url for done in batch if done.result.stored is not None):
            source = self._keys.address(url).source
            if source not in self._sources:
                self._sources.add(source)
                found.append(url)
        self.all += found
        return found
