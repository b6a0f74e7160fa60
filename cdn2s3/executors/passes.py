"""One pass of a run over the workers of an executor: its results counted, shown, and ended where they are too bad."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Callable

from cdn2s3.console.signals import Signals
from cdn2s3.delta.passes import Bar, Counting, Display
from cdn2s3.errors import FatalError
from cdn2s3.executors.base import TICK, Executor
from cdn2s3.records import Task
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import duration
from cdn2s3.transfer.limiting import Limiting, text_of

log = logging.getLogger(__name__)

Show = Callable[[str, str, bool], object]  # a note, what limits the run, whether it is stopping


class Passes:
    """The passes of a run; for its main thread."""

    def __init__(
        self,
        settings: MigrationSettings,
        executor: Executor,
        signals: Signals,
        seconds_between: float,
        display: Callable[[Counting, int], Display] = Bar,
        waiting: Callable[[], object] = lambda: None,
    ) -> None:
        """seconds_between is the wait before a second pass, in which waiting is called several times a second.

        display makes what shows a pass that run() does, of so many tasks.
        """
        self._settings = settings
        self._executor = executor
        self._signals = signals
        self._seconds_between = seconds_between
        self._display = display
        self._waiting = waiting

    def run(self, tasks: Iterator[Task], total: int, counting: Counting) -> bool:
        """Do one pass with a display of its own; return False when a signal has stopped it. Raise FatalError."""
        with closing(self._display(counting, total)) as display:
            self.one(tasks, display.show, total, counting)
        return not self._signals.received

    def one(
        self, tasks: Iterator[Task], show: Show, total: int, counting: Counting, watch: bool = True
    ) -> None:
        """Do tasks and count their results, those too that end while it stops; raise FatalError.

        watch: counting may end it.
        """
        executor, signals, stopping = self._executor, self._signals, False
        ended_by: FatalError | None = None
        with closing(executor.run(tasks)) as batches:
            for batch in batches:
                for done in batch:
                    counting.count(done)
                limits = executor.limiting()
                counting.note_limits(limits)
                left = total - counting.progress().ended
                show(self._note(counting, limits, left, stopping), text_of(limits), stopping)
                if stopping:
                    continue
                ended_by = counting.verdict() if watch else None
                if signals.received or ended_by:
                    stopping = True
                    executor.stop()
                if signals.received:
                    log.warning(
                        "stopping: waiting for %d uploads in flight, up to %s (a second signal stops immediately)",
                        executor.in_flight().uploads,
                        duration(self._settings.upload_timeout),
                    )
        if ended_by:
            raise ended_by

    def _note(self, counting: Counting, limits: list[Limiting], left: int, stopping: bool) -> str:
        """Return a note on the current state: what the run waits for, which endpoint limits it."""
        if stopping:
            return f"stopping, {self._executor.in_flight().uploads} uploads in flight"
        notes = [counting.note(), text_of(limits)]
        if left <= self._settings.concurrency:
            slowest = str(self._executor.in_flight())
            notes.append(f"slowest: {slowest}" if slowest else "")
        return "; ".join(note for note in notes if note)

    def wait(self, show: Callable[[str], object] | None = None) -> bool:
        """Wait before a second pass, until a CDN has forgotten its errors; return False when a signal has come."""
        due = time.monotonic() + self._seconds_between
        while time.monotonic() < due and not self._signals.received:
            if show is not None:
                show(f"second pass in {due - time.monotonic():.0f} s")
            self._waiting()
            time.sleep(TICK)
        return not self._signals.received
