"""What others are told of an undo: --status, NOTIFY_COMMAND, the journal, and the report at its end."""

from __future__ import annotations

import logging
import time

from cdn2s3.commands.undo_progress import UndoTally
from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import Progress
from cdn2s3.errors import FatalError
from cdn2s3.file_names import MIGRATION_PAGE
from cdn2s3.keys import KeyMaker
from cdn2s3.planning.run_plan import Choice, RunPlan, prepare_run
from cdn2s3.reports import job_pages
from cdn2s3.reports.metrics import Tally
from cdn2s3.reports.migration_report import Audit, Ending
from cdn2s3.reports.outage_notes import tell_of_outage
from cdn2s3.reports.run_display import pace_of
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.journal import DOWN, THROTTLED, Journal, Totals
from cdn2s3.state.status_file import ENDED, ENDING, READING, STOPPING, Figures, StatusFile, Step
from cdn2s3.transfer.endpoint_watch import EndpointWatch
from cdn2s3.transfer.limiting import limiting, text_of

log = logging.getLogger(__name__)

UNDOING = "undoing"  # a phase, as in state/status_file.py


class UndoStory:
    """Tell of one undo; used by its main thread alone."""

    def __init__(
        self, settings: MigrationSettings, keys: KeyMaker, journal: Journal, notifier: Notifier
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._journal = journal
        self._notifier = notifier
        self._began = time.time()
        self._tally: UndoTally | None = None
        self._status = StatusFile(settings.state_dir, journal.command, journal.started)
        self._watch = EndpointWatch(self._note_endpoint, self._tell_of_outage)
        self._status.write(READING)
        journal.totals = self._totals
        journal.at_end += [
            lambda run, why: notifier.ended(run.exit_code, why, journal.told()),
            lambda run, why: self._status.write(ENDED, exit_code=run.exit_code),
        ]

    def begin(self, tally: UndoTally) -> None:
        """Tell of what tally counts from now on."""
        self._tally = tally

    def see(self, endpoint: Endpoint, progress: Progress, stopping: bool) -> None:
        """Take how far it is; call it a few times a second."""
        limits = limiting([endpoint])
        self._watch.see(limits)
        if self._tally is None or not self._status.is_due:
            return
        count = self._tally.count()
        pace = pace_of(progress, count, text_of(limits))
        step = Step(count.ended, self._tally.total)
        self._status.write(STOPPING if stopping else UNDOING, None, pace, step)

    def end(self, exit_code: int, why: str, following: str) -> None:
        """Write the report of the migration again, as it is after the undo; following is what to type next.

        Where that cannot be done (the list is gone, a full disk), it is said, and the undo ends as it has ended.
        """
        settings = self._settings
        self._status.write(ENDING)
        if why:
            self._journal.stopped_by(why)
        try:
            plan = prepare_run(settings, self._keys, Choice(), time.time())
            audit = _audit(plan)
            self._status.write(ENDING, _figures(plan, audit))
            ending = Ending(time.time(), exit_code, why, following)
            job_pages.write(
                settings,
                plan,
                self._journal,
                Tally(self._began),
                audit,
                ending,
                superfluous=plan.work.superfluous,
            )
        except FatalError as error:
            log.warning("%s stays as it was before the undo: %s", MIGRATION_PAGE, error)

    def _totals(self) -> Totals:
        seconds = {"throttled": self._watch.seconds(THROTTLED), "down": self._watch.seconds(DOWN)}
        if self._tally is None:
            return Totals(**seconds)
        return Totals(undone=self._tally.undone, failed=self._tally.staying, **seconds)

    def _note_endpoint(self, event: str, side: str, detail: str, at: float) -> None:
        self._journal.note(event, detail, side, at)

    def _tell_of_outage(self, event: str, side: str, detail: str, at: float) -> None:
        undone = self._tally.undone if self._tally else 0
        tell_of_outage(self._notifier, event, side, detail, at, f"{undone:,} undone", {"undone": undone})


def _audit(plan: RunPlan) -> Audit:
    work = plan.work
    failed = plan.failed_pending + plan.failed_not_selected + work.unfetchable + work.collisions
    not_tried = work.pending - plan.failed_pending
    return Audit(work.lines, work.blank, work.duplicates, work.done, failed, not_tried, plan.not_selected)


def _figures(plan: RunPlan, audit: Audit) -> Figures:
    work, stored = plan.work, plan.stored
    return Figures(work.done, work.done + work.pending, audit.failed, stored.size + stored.adopted_size)
