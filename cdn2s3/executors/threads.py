"""The thread executor: the workers of one process, fed one URL at a time.

A worker records a success itself; the main thread records a failure, once it is attributed.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Callable

from cdn2s3.errors import RESUME, Cancelled, FatalError, Parked
from cdn2s3.executors.base import TICK, InFlight, Recorder, TaskQueue, TransferTimes
from cdn2s3.keys import KeyMaker
from cdn2s3.records import MOVE, Task
from cdn2s3.transfer.delta import carry_out
from cdn2s3.transfer.limiting import Limiting, limiting
from cdn2s3.transfer.outcome import Done, FailureAttribution, Result
from cdn2s3.transfer.pipeline import Transfer

log = logging.getLogger(__name__)


class ThreadExecutor:
    """Run transfers on the count threads of pool; used by the main thread of its process."""

    def __init__(
        self, pool: ThreadPoolExecutor, count: int, keys: KeyMaker, transfer: Transfer, ledger: Recorder
    ) -> None:
        self._pool = pool
        self._count = count
        self._keys = keys
        self._transfer = transfer
        self._ledger = ledger
        self._queue: TaskQueue | None = None
        self._parking = transfer.endpoints.let_park()
        self._lots = {endpoint.name: number for number, endpoint in enumerate(self._parking)}
        self._attribution = FailureAttribution({endpoint.name: endpoint for endpoint in transfer.endpoints})
        self._results: collections.deque[Done] = collections.deque()
        self._times = TransferTimes()

    def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        return self.run_queue(TaskQueue(tasks))

    def run_queue(self, queue: TaskQueue) -> Generator[list[Done], None, None]:
        """Move what queue hands out; yield what is done and recorded every TICK, also when it is nothing.

        A failure that may be its endpoint's fault is deferred until that is known; then it is recorded or
        done again. Raise FatalError after all workers have ended.
        """
        self._queue = queue
        if self._parking:
            queue.park_at(self._parking, self._transfer.stop)
        while True:
            yield from self._drained(queue)
            if not queue.has_more:
                yield from self._endpoints_probed()
            if self._transfer.stop.is_set():
                return
            if not queue.has_more:
                certain, again = self._attribution.resolve_all()
                yield [self._recorded(done) for done in certain]
                queue.requeue(*again)
                if not again:
                    return

    def _drained(self, queue: TaskQueue) -> Iterator[list[Done]]:
        """Let the workers take from queue until it ends; yield what is certain every TICK."""
        workers = [self._pool.submit(self._work, queue) for _ in range(self._count)]
        try:
            while True:
                ended = all(worker.done() for worker in workers)
                yield self._settled(queue)
                if any(worker.done() and worker.exception() for worker in workers):
                    self.stop()
                    queue.close()
                if ended:
                    break
                wait(workers, TICK)
        except BaseException:
            self.stop()
            queue.close()
            wait(workers)
            raise
        for worker in workers:
            _raise_what_ended(worker)

    def _endpoints_probed(self) -> Iterator[list[Done]]:
        """Probe the endpoints that the last failures leave in doubt, once each; meanwhile yield nothing every TICK."""
        in_doubt = self._attribution.endpoints_in_doubt()
        with ThreadPoolExecutor(len(self._transfer.endpoints), thread_name_prefix="probe") as pool:
            asked = [pool.submit(_unless_stopped, endpoint.probe_now) for endpoint in in_doubt]
            while not all(future.done() for future in asked):
                yield []
                time.sleep(TICK)
        for future in asked:
            _raise_what_ended(future)

    def _work(self, queue: TaskQueue) -> None:
        """Run a worker: move one URL after the other until there is none, or the run is stopped."""
        for task in queue:
            self._times.begin(task.url)
            try:
                address = self._keys.address(task.url)
                result = carry_out(self._transfer, task, address)
                if result.stored is not None:
                    self._ledger.record(result.record(time.time()))
            except Cancelled:
                return
            except Parked as parked:
                queue.park(task, self._lots[parked.endpoint])
                continue
            except FatalError:
                raise
            except BaseException as error:  # noqa: BLE001  # a worker's death must cost one URL and be seen
                log.error("%s: a worker failed: %r", task.url, error)
                why = f"a worker failed: {type(error).__name__}"
                result = Result(task.url, "", cause="destination", message=why)
            finally:
                self._times.end(task.url)
            result = result._replace(attempts=result.attempts + task.attempts)
            self._results.append(Done(task, result))

    def _settled(self, queue: TaskQueue) -> list[Done]:
        """Take what the workers have done; return what is certain of it, failures recorded."""
        batch = []
        for _ in range(len(self._results)):
            done = self._results.popleft()
            if not self._attribution.defer(done):
                batch.append(self._recorded(done))
        certain, again = self._attribution.resolve()
        queue.requeue(*again)
        return batch + [self._recorded(done) for done in certain]

    def _recorded(self, done: Done) -> Done:
        """Record done where it is a failure (a worker has recorded it otherwise) and return it.

        A URL that a delta could not look at, or renew, stays completed.
        """
        if done.result.stored is None and done.task.purpose == MOVE:
            self._ledger.record(done.result.record(time.time()))
        return done

    def stop(self) -> None:
        self._transfer.stop.set()
        for endpoint in self._transfer.endpoints:
            endpoint.notify()

    def limiting(self) -> list[Limiting]:
        return limiting(self._transfer.endpoints)

    def in_flight(self) -> InFlight:
        return InFlight(self._transfer.endpoints.uploads, self._times.slowest())

    @property
    def deferred(self) -> int:
        """How many tasks nobody is working on: their failures are deferred, or they are parked."""
        return len(self._attribution) + (self._queue.parked if self._queue else 0)


def _unless_stopped(ask: Callable[[], None]) -> None:
    with suppress(Cancelled):
        ask()


def _raise_what_ended(worker: Future[None]) -> None:
    """Raise FatalError where worker ended before its work; SystemExit, say, must not end the run as done."""
    error = worker.exception()
    if isinstance(error, FatalError):
        raise error
    if error is not None:
        raise FatalError(f"a worker died: {error!r}. To continue, {RESUME}.") from error
