"""What a delta needs of the run that it is part of: passes over tasks, and counts of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from cdn2s3.console.progress import Count, Progress
from cdn2s3.errors import FatalError
from cdn2s3.records import Task
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done


class Counting(Protocol):
    """Count the results of one pass; for the main thread."""

    def count(self, done: Done) -> None:
        """Count the result of a task."""

    def progress(self) -> Count: ...

    def note_limits(self, limits: Sequence[Limiting]) -> None:
        """Take what limits the run now."""

    def verdict(self) -> FatalError | None:
        """Return why the pass must not go on, None if it may."""

    def note(self) -> str:
        """Return what the pass is, for the bar; "" if that needs no word."""


class Display(Protocol):
    """Show how far a pass is; for the main thread."""

    def show(self, note: str, limited_by: str, stopping: bool) -> None:
        """Show its counts, and a note; limited_by is "" if nothing limits it."""

    def close(self) -> None: ...


class Bar:
    """The bar of one pass; a Display."""

    def __init__(self, counting: Counting, total: int) -> None:
        self.counting = counting
        self.progress = Progress(total)

    def show(self, note: str, limited_by: str = "", stopping: bool = False) -> None:
        self.progress.show(self.counting.progress(), note)

    def close(self) -> None:
        self.progress.close()


class Passes(Protocol):
    """The passes of a run."""

    def run(self, tasks: Iterator[Task], total: int, counting: Counting) -> bool:
        """Do tasks, of which there are total; return False when a signal has stopped it. Raise FatalError."""

    def wait(self) -> bool:
        """Wait until a CDN has forgotten its errors; return False when a signal has come."""
