"""The cluster executor (DASK_SCHEDULER): the same work on the workers of a Dask cluster, on other machines.

Each Dask worker process runs one long task, which is fed as it goes. This process alone has the state: it hands out
URLs, records what is told, and gives the URLs of a worker that is gone to others.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from cdn2s3.errors import RESUME, FatalError
from cdn2s3.executors.base import TaskQueue
from cdn2s3.executors.code_version import CODE
from cdn2s3.executors.dask_client import (
    START_WORKER,
    Connection,
    Lost,
    Present,
    Versions,
    WorkerLine,
    host_of,
)
from cdn2s3.executors.dask_messages import (
    PING_EVERY,
    SILENCE,
    Job,
    NewBandwidth,
    Received,
    Told,
    headers_digest,
)
from cdn2s3.executors.handing_out import AHEAD, HandingOut, WorkerHandle, error_of
from cdn2s3.keys import InvalidUrl
from cdn2s3.records import MOVE, Share, Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import without_secrets
from cdn2s3.state.ledger import Ledger
from cdn2s3.text import duration, pluralize
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done

log = logging.getLogger(__name__)

_AHEAD_SECONDS = 2.0  # of a worker's own rate: what it is to have, where that is more than the next two
_AHEAD_AT_LEAST = 100  # tasks; a fast worker with few threads would else wait for the next ones
_FIRST_WORKER = 60.0  # seconds to wait for a worker at the start of a pass
_DOWN_ALONE = 60.0  # seconds after which a worker that alone finds an endpoint down is set aside
_LAST_WORDS = 2.0  # seconds for the last report of a task that has ended
_ENDING = 10.0  # seconds besides UPLOAD_TIMEOUT for a worker to end its uploads
_HOLD = 1.0  # seconds to keep the farewell of a worker: if all go for one reason, it is said once


class Member(WorkerHandle):
    """The coordinator's handle on one Dask worker."""

    def __init__(self, line: WorkerLine, id_: int, address: str, share: Share, concurrency: int) -> None:
        super().__init__(line, share.number, share.workers(concurrency))
        self.ahead = self._ahead_at_least = max(AHEAD * self.workers, _AHEAD_AT_LEAST)
        self.line = line
        self.id = id_
        self.address = address
        self.host = host_of(address)
        self.is_ready = False  # it has told that it is
        self.gone_at: float | None = None  # when its task was seen to have ended
        self.down_since: float | None = None  # it alone finds an endpoint down
        self.pinged_at = time.monotonic()
        self._counted_from = time.monotonic()
        self._count = 0

    @property
    def takes_tasks(self) -> bool:
        return self.is_ready and super().takes_tasks

    def count(self, done: int, now: float) -> None:
        """Count what it has done, and let it have so much ahead as it does in _AHEAD_SECONDS."""
        self._count += done
        seconds = now - self._counted_from
        if seconds >= 1:
            self.ahead = max(self._ahead_at_least, int(_AHEAD_SECONDS * self._count / seconds))
            self._counted_from, self._count = now, 0


class Cluster(HandingOut[Member]):
    """Dask workers that move tasks; used by the main thread of the coordinator."""

    def __init__(
        self,
        connection: Connection,
        settings: MigrationSettings,
        known: Mapping[str, object],
        ledger: Ledger,
        received_before: Iterable[str],
        env_file: Path,
        tick: float,
    ) -> None:
        """known is what this process has found out about the destinations, by place; tick as for ProcessPool."""
        super().__init__()
        self._connection = connection
        self._settings = without_secrets(settings)
        self._headers = headers_digest(settings.source_headers)
        self._known = known
        self._ledger = ledger
        self._received = list(received_before)
        self._env_file = env_file
        self._tick = tick
        self._keys = key_maker(settings)
        self._sources: set[int] = set()  # those that an URL of this run has been received from
        self._ids = itertools.count()
        self._present: frozenset[str] = frozenset()
        self._usable: set[str] = set()  # addresses with our code
        self._left_out: dict[str, FatalError] = {}  # by address
        self._farewells: list[tuple[float, str, str]] = []  # when to say, which address, what
        self._said: set[str] = set()
        self._nobody_since: float | None = None
        self._had_somebody = False
        self._end_was_told = False
        self._stopped_at = 0.0

    def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        """Move tasks; record what is done, and yield it every tick. Raise FatalError when all workers have ended."""
        queue = TaskQueue(tasks)
        self._end_was_told = False
        self._nobody_since = None
        try:
            while not self._is_over(queue):
                batch = self._recorded(self._heard(queue))
                self._look_after(queue)
                self._hand_out(queue)
                if self._handles and all(member.end_was_sent for member in self._handles):
                    self._end_was_told = True
                yield batch
        except BaseException:
            self.stop()
            self._wait_for_ends(queue)
            raise
        finally:
            for member in list(self._handles):
                self._dismiss(member)
        self._say_farewells(everything=self._error is None)
        if self._error is not None:
            raise self._error

    def _is_over(self, queue: TaskQueue) -> bool:
        if self._handles:
            return False
        return self._stopping or (self._end_was_told and not queue.has_more)

    # --- what comes

    def _heard(self, queue: TaskQueue) -> list[Done]:
        """Wait for news a tick, and take them; return what is done."""
        done: list[Done] = []
        for news in self._connection.news(self._tick):
            if isinstance(news, Told):
                done += self._told(news, queue)
            elif isinstance(news, Present):
                self._present = news.addresses
                self._usable &= self._present
            elif isinstance(news, Versions):
                self._take_versions(news.of)
            else:
                self._lost(news, queue)
        if self._connection.silent_for > SILENCE:
            self._lost(Lost(f"no answer for {SILENCE:.0f} s"), queue)
        return done

    def _told(self, told: Told, queue: TaskQueue) -> list[Done]:
        member = next((one for one in self._handles if one.id == told.member), None)
        if member is None:
            return []  # it was given up: its URLs are others'
        now = time.monotonic()
        member.is_ready = True
        error = error_of(told.report)
        done = self._take_report(member, told.report, lambda said: f"{member.host}: {said}")
        member.count(len(done), now)
        self._note_received(done)
        if error is not None:
            self._leave_out(member.address, error)
        if told.has_ended or error is not None:
            self._give_up(member, queue)
        return done

    def _take_versions(self, answers: Mapping[str, object]) -> None:
        for address, code in answers.items():
            if code == CODE:
                self._usable.add(address)
            elif isinstance(code, str):
                self._leave_out(
                    address,
                    FatalError(
                        f"the Dask worker has other code than this machine: there {code}, here {CODE}. Bring the same "
                        "commit and Python there, then start the worker again."
                    ),
                )
            else:
                start = START_WORKER.format(self._connection.address)
                self._leave_out(
                    address,
                    FatalError(
                        f"the Dask worker does not find this project's code ({type(code).__name__}). Start it in the "
                        f"project's folder, with its Python: `{start}`."
                    ),
                )

    def _lost(self, lost: Lost, queue: TaskQueue) -> None:
        """End the run: the scheduler is gone, and with it the workers, which stop by themselves."""
        for member in list(self._handles):
            self._give_up(member, queue)
        if self._error is None and not self._stopping:
            self._error = FatalError(
                f"the Dask scheduler at {self._connection.address} is gone ({lost.why}); its workers stop by "
                f"themselves. Start it and the workers again, then {RESUME}."
            )
        self._stopping = True

    # --- the workers

    def _look_after(self, queue: TaskQueue) -> None:
        """Let those begin that are there, give up those that are gone, and send everybody a sign of life."""
        now = time.monotonic()
        for member in list(self._handles):
            if member.address not in self._present and member.gone_at is None:
                member.gone_at = now - _LAST_WORDS
            elif member.line.has_ended and member.gone_at is None:
                member.gone_at = now
            if member.gone_at is not None and now - member.gone_at >= _LAST_WORDS:
                self._died(member, queue)
            elif now - member.pinged_at >= PING_EVERY:
                member.pinged_at = now
                member.send([])
        self._set_aside(queue, now)
        if not self._stopping and not (self._end_was_told and not queue.has_more):
            self._begin_all()
            self._check_somebody_is_there(now)
        is_late = self._stopping and now - self._stopped_at > self._settings.upload_timeout + _ENDING
        for member in list(self._handles):
            if is_late or (member.end_was_sent and not member.is_ready):
                self._dismiss(member)
        self._say_farewells()

    def _begin_all(self) -> None:
        busy = {member.address for member in self._handles}
        new = sorted(self._usable - busy - self._left_out.keys())
        if not new:
            return
        for address in new:
            self._begin(address, len(busy) + len(new))
        for member in self._handles:
            self._tell_bandwidth(member)

    def _begin(self, address: str, members: int) -> None:
        host, concurrency = host_of(address), self._settings.concurrency
        there = self._usable - self._left_out.keys()
        of = min(concurrency, sum(host_of(other) == host for other in there))
        taken = {member.number for member in self._handles if member.host == host}
        number = next((number for number in range(of) if number not in taken), of - 1)
        share = Share(number, max(of, 1))
        limit = self._bytes_a_second(members)
        job = Job(self._settings, self._headers, self._known, share, limit, self._received, self._env_file)
        id_ = next(self._ids)
        line = self._connection.begin(address, id_, job)
        self._handles.append(Member(line, id_, address, share, concurrency))
        log.info("Dask worker %s begins: %s", address, pluralize(share.workers(concurrency), "worker"))

    def _bytes_a_second(self, members: int) -> float:
        return self._settings.bandwidth_limit_mbps * 1e6 / 8 / max(1, members)

    def _tell_bandwidth(self, member: Member) -> None:
        if self._settings.bandwidth_limit_mbps:
            member.send(NewBandwidth(self._bytes_a_second(len(self._handles))))

    def _note_received(self, done: Iterable[Done]) -> None:
        """Let all know an URL of each source that works: a worker without one could take its faults for an outage."""
        if len(self._sources) == len(self._keys.origins):
            return
        for one in done:
            if one.result.stored is None:
                continue
            try:
                source = self._keys.address(one.task.url).source
            except InvalidUrl:  # pragma: no cover  # it was stored
                continue
            if source not in self._sources:
                self._sources.add(source)
                self._received.append(one.task.url)
                for member in self._handles:
                    member.send(Received(one.task.url))

    def _died(self, member: Member, queue: TaskQueue) -> None:
        left = 0 if self._stopping else len(member.tasks)
        if left:
            log.warning("the Dask worker %s is gone: others take over its %d URLs", member.address, left)
        self._give_up(member, queue)

    def _give_up(self, member: Member, queue: TaskQueue) -> None:
        """Let others have what a worker leaves."""
        if member.tasks and not self._stopping:
            queue.requeue(*member.tasks.values())
            self._end_was_told = False
        self._dismiss(member)
        for other in self._handles:
            self._tell_bandwidth(other)

    def _dismiss(self, member: Member) -> None:
        self._handles.remove(member)
        member.line.close()

    def _set_aside(self, queue: TaskQueue, now: float) -> None:
        """Give up a worker that alone finds an endpoint down for _DOWN_ALONE: the fault is on its machine."""
        if self._stopping:
            return
        down = {
            member.id: {one.endpoint for one in member.limiting if one.is_down} for member in self._handles
        }
        works = [member for member in self._handles if member.is_ready and not down[member.id]]
        for member in list(self._handles):
            if not down[member.id] or not works:
                member.down_since = None
                continue
            member.down_since = member.down_since or now
            if now - member.down_since >= _DOWN_ALONE:
                names = " and the ".join(sorted(down[member.id]))
                self._leave_out(
                    member.address,
                    FatalError(
                        f"it alone has found the {names} down for {duration(_DOWN_ALONE)}; others do its URLs. Check "
                        "that machine's network, then start its worker again."
                    ),
                )
                member.send("stop")
                self._give_up(member, queue)

    def _leave_out(self, address: str, error: FatalError) -> None:
        self._left_out[address] = error
        self._farewells.append((time.monotonic() + _HOLD, address, str(error)))

    def _say_farewells(self, everything: bool = False) -> None:
        """Say who has left and why, unless all have left: then the run ends with it."""
        now = time.monotonic()
        due = [one for one in self._farewells if everything or (one[0] <= now and self._handles)]
        for one in due:
            self._farewells.remove(one)
            _, address, why = one
            log.warning(
                "the Dask worker %s is left out: %s",
                address,
                "for the same reason" if why in self._said else why,
            )
            self._said.add(why)

    def _check_somebody_is_there(self, now: float) -> None:
        """Stop when all who are there are left out, or when nobody comes."""
        if self._handles:
            self._nobody_since, self._had_somebody = None, True
            return
        if self._present and self._present <= self._left_out.keys():
            address, error = next((a, e) for a, e in reversed(self._left_out.items()) if a in self._present)
            others = len(self._present) - 1
            also = f", and no other of the {others + 1} can be used" if others else ""
            left = FatalError(f"{error} (Dask worker {address}{also})")
            left.exit_code = error.exit_code
            same = {str(one) for one in self._left_out.values()} == {str(error)}
            self._say_farewells(everything=not same)
            self._stop_for(left)
            return
        self._nobody_since = self._nobody_since or now
        patience = self._settings.outage_limit
        if not self._had_somebody:
            patience = min(patience, _FIRST_WORKER)
        if now - self._nobody_since >= patience:
            start = START_WORKER.format(self._connection.address)
            self._stop_for(
                FatalError(
                    f"no Dask worker has been at {self._connection.address} for {duration(patience)}. Start one in the "
                    f"project's folder on each machine: `{start}`; then {RESUME}."
                )
            )

    # --- the results

    def _recorded(self, batch: list[Done]) -> list[Done]:
        """Record batch, and return what is recorded of it: all, unless the disk does not take it."""
        now, recorded = time.time(), []
        stored = [done for done in batch if done.result.stored is not None]
        failed = [done for done in batch if done.result.stored is None and done.task.purpose == MOVE]
        for part in (stored, failed):
            try:
                self._ledger.record_all(done.result.record(now) for done in part)
                recorded += part
            except FatalError as error:
                if self._error is None:
                    self._stop_for(error)
        return recorded

    # --- for the one who watches

    def stop(self) -> None:
        super().stop()
        self._stopped_at = time.monotonic()

    def limiting(self) -> list[Limiting]:
        if self._nobody_since is not None and not self._handles and not self._stopping:
            waited = time.monotonic() - self._nobody_since
            return [
                Limiting(
                    "Dask cluster",
                    note=f"waiting for Dask workers for {duration(waited)}",
                    is_down=True,
                    why="no worker",
                )
            ]
        return super().limiting()

    def _wait_for_ends(self, queue: TaskQueue) -> None:
        """Wait until the uploads in flight have ended, and record them."""
        while self._handles:
            self._recorded(self._heard(queue))
            self._look_after(queue)
