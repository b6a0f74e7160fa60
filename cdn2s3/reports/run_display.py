"""How far a run is, shown while it goes on: on the screen, in the log, and to --status in another window."""

from __future__ import annotations

from cdn2s3.console.progress import Count, Progress
from cdn2s3.delta.passes import Bar, Counting
from cdn2s3.reports.accounting import RunAccounting
from cdn2s3.state.status_file import ENDING, MOVING, SECOND_PASS, STOPPING, Pace, StatusFile, Step


class RunDisplay:
    """Show the counts of accounting; used by the run's main thread alone. Close it at the end."""

    def __init__(self, accounting: RunAccounting, status: StatusFile) -> None:
        work = accounting.plan.work
        self._accounting = accounting
        self._status = status
        self._progress = Progress(accounting.plan.todo, before=work.done, all_urls=work.done + work.pending)

    def show(self, note: str, limited_by: str = "", stopping: bool = False) -> None:
        """Show how far the run is, and a note; call it a few times per second.

        limited_by is what limits it, "" if nothing does.
        """
        count = self._accounting.progress()
        self._progress.show(count, note)
        if not self._status.is_due:
            return
        phase = STOPPING if stopping else SECOND_PASS if self._accounting.to_do_again else MOVING
        self._status.write(phase, self._accounting.figures(), pace_of(self._progress, count, limited_by))

    def close(self) -> None:
        """Leave the bar as it is; only the reports are left to write."""
        self._progress.close()
        self._status.write(ENDING, self._accounting.figures())


class PassDisplay(Bar):
    """Show one pass of a delta, which is about other URLs than those that are left to move; a Display."""

    def __init__(self, counting: Counting, total: int, accounting: RunAccounting, status: StatusFile) -> None:
        super().__init__(counting, total)
        self._total = total
        self._accounting = accounting
        self._status = status
        self._write("", False)

    def show(self, note: str, limited_by: str = "", stopping: bool = False) -> None:
        super().show(note)
        if self._status.is_due:
            self._write(limited_by, stopping)

    def _write(self, limited_by: str, stopping: bool) -> None:
        count = self.counting.progress()
        phase = STOPPING if stopping else self.counting.note()
        pace = pace_of(self.progress, count, limited_by)
        self._status.write(phase, self._accounting.figures(), pace, Step(count.ended, self._total))


def pace_of(progress: Progress, count: Count, limited_by: str) -> Pace:
    """Return how fast it goes, as progress shows it."""
    files, size = (None, None) if progress.speed is None else progress.speed
    return Pace(files, size, progress.seconds_left(count), limited_by)
