"""The process executor (PROCESSES above 1): the same work in several processes, which share only the append-only files.

The parent hands out tasks, adds up what is done and passes on orders; each process gets tasks as it goes, so one
that dies leaves only its current tasks, and a new one takes them over.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Callable

from cdn2s3.console.signals import held_back
from cdn2s3.errors import RESUME, FatalError
from cdn2s3.executors.base import InFlight, TaskQueue, together
from cdn2s3.executors.worker_process import InheritedFd, LogRecord, Report, in_child
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.keys import KEY_FIELD, divided
from cdn2s3.records import FOUND, Stored, Task
from cdn2s3.state import ledger
from cdn2s3.state.files import size_of
from cdn2s3.state.ledger import Completed, completed
from cdn2s3.state.lines import whole_lines
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done, Result

log = logging.getLogger(__name__)

_AHEAD = 4  # tasks handed to a process for each of its workers: a tick's worth and more
_MOST_DEATHS = 10  # in one pass; then something is wrong that a new process does not fix
_FORK_SAFE = multiprocessing.get_context("spawn")  # never fork after threads or clients exist


class ProcessPool:
    """Several processes that move tasks; used by the main thread of the parent.

    body runs in each process as body(channel, stop, *arguments), and is picklable.
    """

    def __init__(
        self,
        count: int,
        workers: int,
        tick: float,
        state_dir: Path,
        lock: int,
        body: Callable[..., None],
    ) -> None:
        """Start the processes, which wait for equip().

        workers is how many a process has at most; tick is how often, in seconds, something is yielded at least;
        lock is the descriptor of the run's lock, which is free only when the last process has ended.
        """
        self._count = count
        self._workers = workers
        self._ahead = _AHEAD * workers
        self._tick = tick
        self._state_dir = state_dir
        self._lock = InheritedFd(lock)
        self._body = body
        self._arguments: tuple[Any, ...] | None = None
        self._handles: list[WorkerHandle] = []
        self._error: FatalError | None = None
        self._deaths = 0
        self._warned: Counter[tuple[str, int, str]] = Counter()
        self._stopping = False

    def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        """Move tasks; yield what is done every tick. Raise FatalError after all processes have ended."""
        begin = {name: size_of(self._state_dir / name) for name in (COMPLETED_FILE, FAILED_FILE)}
        queue = TaskQueue(tasks)
        if not self._handles:
            self.start()
        try:
            while self._handles:
                self._hand_out(queue)
                batch: list[Done] = []
                for ready in multiprocessing.connection.wait([m.pipe for m in self._handles], self._tick):
                    handle = next(m for m in self._handles if m.pipe is ready)
                    batch += self._heard(handle, queue, begin)
                yield batch
        except BaseException:
            self.stop()
            raise
        finally:
            for handle in self._handles:
                handle.wait_for_end()
        if self._error is not None:
            raise self._error

    def start(self) -> None:
        """Start the processes; each takes a while to import what it needs, and then waits for equip()."""
        self._handles = [self._start(number) for number in range(self._count)]

    def equip(self, *arguments: Any) -> None:
        """Let the processes, and those that replace them, begin with body(channel, stop, *arguments)."""
        self._arguments = arguments
        for handle in self._handles:
            handle.send(arguments)

    def close(self) -> None:
        """End the processes that wait for equip() still."""
        for handle in self._handles:
            handle.pipe.close()
            handle.process.join()
        self._handles = []

    def _start(self, number: int) -> WorkerHandle:
        ours, theirs = _FORK_SAFE.Pipe()
        process = _FORK_SAFE.Process(target=in_child, args=(theirs, self._lock, self._body, number))
        with held_back():
            process.start()
        theirs.close()
        handle = WorkerHandle(process, ours, number)
        if self._arguments is not None:
            handle.send(self._arguments)
        return handle

    def _heard(self, handle: WorkerHandle, queue: TaskQueue, begin: dict[str, int]) -> list[Done]:
        """Take one report of a process; if it has ended, handle what it leaves behind."""
        try:
            report: Report = handle.pipe.recv()
        except (EOFError, OSError):
            return self._ended(handle, queue, begin)
        for record in report.records:
            if record.level != logging.WARNING or self._is_news(handle, record):
                log.log(record.level, "%s", record.message)
        if report.error is not None and self._error is None:
            error = FatalError(report.error[0])
            error.exit_code = report.error[1]
            self._stop_for(error)
        handle.limiting, handle.in_flight, handle.held = report.limiting, report.in_flight, report.held
        for done in report.done:
            handle.tasks.pop(done.task.url, None)
        return report.done

    def _is_news(self, handle: WorkerHandle, warning: LogRecord) -> bool:
        """Return whether no other process has given this warning as often: a warning common to all is logged once."""
        what = warning.identity
        handle.warned[what] += 1
        if handle.warned[what] <= self._warned[what]:
            return False
        self._warned[what] += 1
        return True

    def _ended(self, handle: WorkerHandle, queue: TaskQueue, begin: dict[str, int]) -> list[Done]:
        handle.process.join()
        handle.pipe.close()
        self._handles.remove(handle)
        if not handle.tasks:
            return []
        recorded = self._recorded(handle.tasks, begin)
        reported = list(recorded.values())
        if self._stopping:
            return reported
        code = handle.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            self._stop_for(
                FatalError(
                    f"worker processes keep dying (the last by {how}); check the kernel log (dmesg), lower "
                    f"PROCESSES, then {RESUME}."
                )
            )
            return reported
        left = [task for url, task in handle.tasks.items() if url not in recorded]
        log.error("a worker process died (%s): a new one takes over its %d URLs", how, len(left))
        queue.requeue(*left)
        self._handles.append(self._start(handle.number))
        return reported

    def _recorded(self, at: dict[str, Task], begin: dict[str, int]) -> dict[str, Done]:
        """Return what a dead process had recorded of its tasks, but not reported.

        A record does not say whether a redo has met the object as it was recorded: that counts as stored anew.
        """
        found: dict[str, Done] = {}
        for record in ledger.records(self._state_dir / FAILED_FILE, begin[FAILED_FILE]):
            if record.url in at:
                result = Result(record.url, "", cause=record.cause, message=record.message)
                found[record.url] = Done(at[record.url], result._replace(attempts=int(record.attempts)))
        for line in whole_lines(self._state_dir / COMPLETED_FILE, begin[COMPLETED_FILE]):
            row = completed(line)
            task = None if row is None else _task_of(row, at)
            if row is not None and task is not None:
                stored = Stored(row.etag, int(row.size), row.md5, row.how == FOUND, row.how, row.place)
                found[task.url] = Done(task, Result(task.url, row.key, stored, row.media_type))
        return found

    def _hand_out(self, queue: TaskQueue) -> None:
        """Give each process enough to do; tell all of them when there is nothing left.

        In turns, a task for each worker at a time: if there is not enough for all, it is shared. One that was told
        the end takes nothing more: what a process leaves behind then is for the new one.
        """
        ahead = self._ahead if not self._stopping else 0
        takers = [m for m in self._handles if not m.end_was_sent and m.busy <= ahead // 2]
        try:
            while takers:
                takers = [m for m in takers if m.take(queue, min(self._workers, ahead - m.busy))]
        except (
            FatalError
        ) as error:  # the list can no longer be read; reports of what is in flight still count
            self._stop_for(error)
        if not any(handle.busy for handle in self._handles):
            for handle in self._handles:
                handle.send(None)

    def _stop_for(self, error: FatalError) -> None:
        """Stop, and let run() raise error when all processes have ended."""
        self._error = error
        self.stop()

    def stop(self) -> None:
        """Let all processes drop their downloads, end their uploads and end."""
        self._stopping = True
        for handle in self._handles:
            handle.send("stop")

    def limiting(self) -> list[Limiting]:
        """Return what limits each of the processes, as far as they have reported."""
        return [limit for handle in self._handles for limit in handle.limiting]

    def in_flight(self) -> InFlight:
        """Return what is in flight, as far as the processes have reported."""
        return together(handle.in_flight for handle in self._handles)


class WorkerHandle:
    """The parent's handle on one process."""

    def __init__(self, process: Any, pipe: multiprocessing.connection.Connection, number: int) -> None:
        self.process = process
        self.pipe = pipe
        self.number = number
        self.tasks: dict[str, Task] = {}  # handed out and not reported
        self.limiting: list[Limiting] = []
        self.in_flight = InFlight()
        self.held = 0
        self.warned: Counter[tuple[str, int, str]] = Counter()  # how often it gave each warning
        self.end_was_sent = False

    @property
    def busy(self) -> int:
        """How many tasks the process has to do, without those whose failure is deferred."""
        return len(self.tasks) - self.held

    def take(self, queue: TaskQueue, most: int) -> bool:
        """Hand out up to most tasks; return False when there was none."""
        tasks = [task for _, task in zip(range(most), queue)]
        if tasks:
            self.tasks.update((task.url, task) for task in tasks)
            self.send(tasks)
        return bool(tasks)

    def wait_for_end(self) -> None:
        """Wait until the process has ended, reading its last reports, since it would otherwise block."""
        while True:
            try:
                self.pipe.recv()
            except (EOFError, OSError):
                break
        self.process.join()
        self.pipe.close()

    def send(self, order: object) -> None:
        """Send an order once; a process that has already ended is noticed when its report is awaited."""
        if order is None and self.end_was_sent:
            return
        self.end_was_sent = self.end_was_sent or order is None
        try:
            self.pipe.send(order)
        except OSError:
            log.debug("worker process %s has already ended", self.process.pid)


def _task_of(row: Completed, at: dict[str, Task]) -> Task | None:
    """Return which of the tasks at a process row is of, None if it is of none; a task may name its object."""
    for task in at.values():
        url, named = divided(task.url)
        if url == row.url and row.key.endswith(named[len(KEY_FIELD) :]):
            return task
    return None
