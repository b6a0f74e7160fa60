"""What others are told of a run of variants.py: the journal, NOTIFY_COMMAND, and `migrate.py --status`."""

from __future__ import annotations

from typing import Callable

from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import Count, Progress
from cdn2s3.file_names import VARIANTS_STATUS_FILE
from cdn2s3.reports.outage_notes import tell_of_outage
from cdn2s3.reports.run_display import pace_of
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.journal import DOWN, THROTTLED, Journal, Totals
from cdn2s3.state.status_file import ENDED, READING, STOPPING, StatusFile, Step
from cdn2s3.transfer.endpoint_watch import EndpointWatch
from cdn2s3.transfer.limiting import limiting, text_of


class Story:
    """Tell of one run; used by its main thread alone."""

    def __init__(self, settings: MigrationSettings, journal: Journal, notifier: Notifier, phase: str) -> None:
        """phase is what the run does, for people."""
        self._journal = journal
        self._notifier = notifier
        self._phase = phase
        self._ended = 0
        self._counted: Callable[[], Totals] = Totals
        state, name = settings.state_dir, VARIANTS_STATUS_FILE
        self._status = StatusFile(state, journal.command, journal.started, name=name)
        self._watch = EndpointWatch(journal_notes(journal), self._tell_of_outage)
        self._status.write(READING)
        journal.totals = self._totals
        journal.at_end += [
            lambda run, why: notifier.ended(run.exit_code, why, journal.told()),
            lambda run, why: self._status.write(ENDED, exit_code=run.exit_code),
        ]

    def begin(self, counted: Callable[[], Totals]) -> None:
        """Tell of what counted returns from now on."""
        self._counted = counted

    def stopped_by(self, why: str) -> None:
        """Note what stops the run before its end."""
        self._journal.stopped_by(why)

    def see(self, endpoint: Endpoint, progress: Progress, count: Count, total: int, stopping: bool) -> None:
        """Take how far it is; call it a few times a second."""
        limits = limiting([endpoint])
        self._watch.see(limits)
        self._ended = count.ended
        if self._status.is_due:
            pace, phase = pace_of(progress, count, text_of(limits)), STOPPING if stopping else self._phase
            self._status.write(phase, None, pace, Step(count.ended, total))

    def _totals(self) -> Totals:
        down, throttled = self._watch.seconds(DOWN), self._watch.seconds(THROTTLED)
        return self._counted()._replace(down=down, throttled=throttled)

    def _tell_of_outage(self, event: str, side: str, detail: str, at: float) -> None:
        tell_of_outage(
            self._notifier, event, side, detail, at, f"{self._ended:,} done", {"done": self._ended}
        )


def journal_notes(journal: Journal) -> Callable[[str, str, str, float], None]:
    """Return what notes changes of an endpoint in journal."""
    return lambda event, side, detail, at: journal.note(event, detail, side, at)
