"""The process executor (PROCESSES above 1): the same work in several processes, which share only the append-only files.

The parent hands out tasks, adds up what is done and passes on orders (handing_out.py); a new process takes over what
one that dies has left.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Callable

from cdn2s3.console.signals import held_back
from cdn2s3.errors import RESUME, FatalError
from cdn2s3.executors.base import TaskQueue
from cdn2s3.executors.handing_out import HandingOut, Report, WorkerHandle, error_of
from cdn2s3.executors.worker_process import InheritedFd, in_child
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.keys import KEY_FIELD, divided
from cdn2s3.records import FOUND, Stored, Task
from cdn2s3.state import ledger
from cdn2s3.state.files import size_of
from cdn2s3.state.ledger import Completed, completed
from cdn2s3.state.lines import whole_lines
from cdn2s3.transfer.outcome import Done, Result

log = logging.getLogger(__name__)

_MOST_DEATHS = 10  # in one pass; then something is wrong that a new process does not fix
_FORK_SAFE = multiprocessing.get_context("spawn")  # never fork after threads or clients exist


class ProcessPool(HandingOut["ProcessHandle"]):
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
        super().__init__()
        self._count = count
        self._workers = workers
        self._tick = tick
        self._state_dir = state_dir
        self._lock = InheritedFd(lock)
        self._body = body
        self._arguments: tuple[Any, ...] | None = None
        self._deaths = 0

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

    def _start(self, number: int) -> ProcessHandle:
        ours, theirs = _FORK_SAFE.Pipe()
        process = _FORK_SAFE.Process(target=in_child, args=(theirs, self._lock, self._body, number))
        with held_back():
            process.start()
        theirs.close()
        handle = ProcessHandle(process, ours, number, self._workers)
        if self._arguments is not None:
            handle.send(self._arguments)
        return handle

    def _heard(self, handle: ProcessHandle, queue: TaskQueue, begin: dict[str, int]) -> list[Done]:
        """Take one report of a process; if it has ended, handle what it leaves behind."""
        try:
            report: Report = handle.pipe.recv()
        except (EOFError, OSError):
            return self._ended(handle, queue, begin)
        error = error_of(report)
        done = self._take_report(handle, report)
        if error is not None and self._error is None:
            self._stop_for(error)
        return done

    def _ended(self, handle: ProcessHandle, queue: TaskQueue, begin: dict[str, int]) -> list[Done]:
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


class ProcessHandle(WorkerHandle):
    """The parent's handle on one process, at the other end of a pipe."""

    def __init__(
        self, process: Any, pipe: multiprocessing.connection.Connection, number: int, workers: int
    ) -> None:
        super().__init__(pipe, number, workers)
        self.process = process
        self.pipe = pipe

    def wait_for_end(self) -> None:
        """Wait until the process has ended, reading its last reports, since it would otherwise block."""
        while True:
            try:
                self.pipe.recv()
            except (EOFError, OSError):
                break
        self.process.join()
        self.pipe.close()


def _task_of(row: Completed, at: dict[str, Task]) -> Task | None:
    """Return which of the tasks at a process row is of, None if it is of none; a task may name its object."""
    for task in at.values():
        url, named = divided(task.url)
        if url == row.url and row.key.endswith(named[len(KEY_FIELD) :]):
            return task
    return None
