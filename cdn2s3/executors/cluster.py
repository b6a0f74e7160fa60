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
from cdn2s3.executors.dask_client import (
    START_WORKER,
    Connection,
    Lost,
    Present,
    Versions,
)
from cdn2s3.executors.dask_member import DOWN_ALONE, KnownUrls, Member, down_alone, share_of
from cdn2s3.executors.dask_messages import (
    SILENCE,
    Job,
    NewBandwidth,
    Received,
    Told,
    headers_digest,
)
from cdn2s3.executors.handing_out import HandingOut, error_of
from cdn2s3.executors.left_out import LeftOut, unfit
from cdn2s3.records import Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import without_secrets
from cdn2s3.state.ledger import Ledger
from cdn2s3.text import duration, pluralize
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done

log = logging.getLogger(__name__)

_FIRST_WORKER = 60.0  # seconds to wait for a worker at the start of a pass
_ENDING = 10.0  # seconds besides UPLOAD_TIMEOUT for a worker to end its uploads


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
        self._known_urls = KnownUrls(key_maker(settings), received_before)
        self._env_file = env_file
        self._tick = tick
        self._ids = itertools.count()
        self._present: frozenset[str] = frozenset()
        self._usable: set[str] = set()  # addresses with our code
        self._left_out = LeftOut()
        self._nobody_since: float | None = None
        self._had_somebody = False
        self._last_one_died = False  # the worker that went last: it may come back
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
            while self._handles:  # the uploads in flight end, and are recorded
                self._recorded(self._heard(queue))
                self._look_after(queue)
            raise
        finally:
            for member in list(self._handles):
                self._dismiss(member)
        self._left_out.say(everything=self._error is None)
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
        member.is_ready = True
        error = error_of(told.report)
        done = self._take_report(member, told.report, lambda said: f"{member.host}: {said}")
        member.count(len(done))
        for url in self._known_urls.new_in(done):
            for other in self._handles:
                other.send(Received(url))
        if error is not None:
            self._left_out.add(member.address, error)
        if told.has_ended or error is not None:
            self._last_one_died = False
            self._give_up(member, queue)
        return done

    def _take_versions(self, answers: Mapping[str, object]) -> None:
        for address, code in answers.items():
            why = unfit(code, self._connection.address)
            if why is None:
                self._usable.add(address)
            else:
                self._left_out.add(address, why)

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
            if member.is_gone(member.address in self._present):
                self._died(member, queue)
            else:
                member.ping()
        self._set_aside(queue, now)
        if not self._stopping and not (self._end_was_told and not queue.has_more):
            self._begin_all()
            self._check_somebody_is_there(now)
        is_late = self._stopping and now - self._stopped_at > self._settings.upload_timeout + _ENDING
        for member in list(self._handles):
            if is_late or (member.end_was_sent and not member.is_ready):
                self._dismiss(member)
        if self._handles:
            self._left_out.say(everything=False)

    def _begin_all(self) -> None:
        busy = {member.address for member in self._handles}
        new = sorted(self._usable - busy - self._left_out.addresses)
        if not new:
            return
        for address in new:
            self._begin(address, len(busy) + len(new))
        self._divide_bandwidth()

    def _begin(self, address: str, members: int) -> None:
        concurrency = self._settings.concurrency
        usable = self._usable - self._left_out.addresses
        share = share_of(address, usable, self._handles, concurrency)
        limit = self._bytes_a_second(members)
        job = Job(
            self._settings, self._headers, self._known, share, limit, self._known_urls.all, self._env_file
        )
        id_ = next(self._ids)
        line = self._connection.begin(address, id_, job)
        self._handles.append(Member(line, id_, address, share, concurrency))
        log.info("Dask worker %s begins: %s", address, pluralize(share.workers(concurrency), "worker"))

    def _bytes_a_second(self, members: int) -> float:
        return self._settings.bandwidth_limit_mbps * 1e6 / 8 / max(1, members)

    def _divide_bandwidth(self) -> None:
        if self._settings.bandwidth_limit_mbps:
            for member in self._handles:
                member.send(NewBandwidth(self._bytes_a_second(len(self._handles))))

    def _died(self, member: Member, queue: TaskQueue) -> None:
        left = 0 if self._stopping else len(member.tasks)
        if left:
            log.warning("the Dask worker %s is gone: others take over its %d URLs", member.address, left)
        self._last_one_died = True
        self._give_up(member, queue)

    def _give_up(self, member: Member, queue: TaskQueue) -> None:
        """Let others have what a worker leaves."""
        if member.tasks and not self._stopping:
            queue.requeue(*member.tasks.values())
            self._end_was_told = False
        self._dismiss(member)
        self._divide_bandwidth()

    def _dismiss(self, member: Member) -> None:
        self._handles.remove(member)
        member.line.close()

    def _set_aside(self, queue: TaskQueue, now: float) -> None:
        """Give up a worker that alone finds an endpoint down: the fault is on its machine."""
        if self._stopping:
            return
        for member, down in down_alone(self._handles, now):
            names, seconds = " and the ".join(down), duration(DOWN_ALONE)
            self._left_out.add(
                member.address,
                FatalError(
                    f"it alone has found the {names} down for {seconds}; others do its URLs. Check that machine's "
                    "network, then start its worker again."
                ),
            )
            member.send("stop")
            self._give_up(member, queue)

    def _check_somebody_is_there(self, now: float) -> None:
        """Stop when all who are there are left out and nobody may come back, or when nobody comes."""
        if self._handles:
            self._nobody_since, self._had_somebody = None, True
            return
        self._nobody_since = self._nobody_since or now
        patience = self._settings.outage_limit
        if not self._had_somebody:
            patience = min(patience, _FIRST_WORKER)
        is_over = now - self._nobody_since >= patience
        end = self._left_out.end_of(self._present) if is_over or not self._last_one_died else None
        if end is not None or is_over:
            start = START_WORKER.format(self._connection.address)
            self._stop_for(
                end
                or FatalError(
                    f"no Dask worker has been at {self._connection.address} for {duration(patience)}. Start one in the "
                    f"project's folder on each machine: `{start}`; then {RESUME}."
                )
            )

    # --- the results

    def _recorded(self, batch: list[Done]) -> list[Done]:
        """Record batch, and return what is recorded of it: all, unless the disk does not take it."""
        recorded: list[Done] = []
        stored = [done for done in batch if done.result.stored is not None]
        failed = [done for done in batch if done.result.stored is None]
        for part in (stored, failed):
            try:
                self._ledger.record_all(done.result.record(time.time()) for done in part)
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
