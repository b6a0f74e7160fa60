"""The accounting of a run: every result counted once, and at the end every line of the input accounted for."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from cdn2s3.console.logging_setup import show
from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import Count
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import CAUSES, EXIT_DONE, EXIT_SOME_FAILED, RESUME, FatalError
from cdn2s3.file_names import FAILED_FILE, MIGRATION_JSON, MIGRATION_PAGE
from cdn2s3.planning import redo, undo
from cdn2s3.planning.forecast import forecast
from cdn2s3.planning.run_plan import RunPlan
from cdn2s3.records import Task
from cdn2s3.reports import earlier_reports, job_pages, migration_report, same_content
from cdn2s3.reports.metrics import Example, Tally
from cdn2s3.reports.migration_report import Ending, next_command, summary
from cdn2s3.reports.outage_notes import tell_of_outage
from cdn2s3.reports.same_content import SameContent
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import ledger, lines, run_binding
from cdn2s3.state.changes import FAILED, RENEWED, REPLACED
from cdn2s3.state.journal import (
    DOWN,
    MACHINE,
    PLAN,
    RECOVERED,
    THROTTLED,
    Journal,
    Totals,
)
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import Ledger
from cdn2s3.state.machine import machine
from cdn2s3.state.status_file import Figures
from cdn2s3.transfer.endpoint_watch import EndpointWatch
from cdn2s3.transfer.limiting import Limiting, rates
from cdn2s3.transfer.outcome import Done

if TYPE_CHECKING:
    from cdn2s3.delta.run import Delta
    from cdn2s3.destinations.base import Note
    from cdn2s3.destinations.factory import Destinations

log = logging.getLogger(__name__)

_BATCH = 100  # rows that are looked at together


class RunAccounting:
    """Count the results of one run; used by its main thread alone."""

    def __init__(
        self,
        settings: MigrationSettings,
        plan: RunPlan,
        ledger: Ledger,
        journal: Journal,
        notifier: Notifier,
        delta: Delta | None = None,
    ) -> None:
        self.plan = plan
        self.journal = journal
        self._notifier = notifier
        self.tally = Tally(time.time())
        self.destination_notes: list[str] = []  # what the destination lacks
        self._integrity = ""  # what the run goes by, once the destinations are prepared
        self._notes_of_renewing: list[Note] = []  # likewise, to be noted where it matters
        self.to_do_again = 0  # URLs that the second pass still has to do
        self._settings = settings
        self._keys = key_maker(settings)
        self._ledger = ledger
        self._delta = delta
        self.record = ledger.record
        self._recovered = Fingerprints()  # objects of URLs that failed once and are completed now
        self._failed_pending = plan.failed_pending  # pending lines that only an earlier run tried
        self._tried = 0
        # Files in the folder whose image is in the bucket now:
        self._superfluous = plan.work.superfluous
        self._healed = 0  # URLs that an earlier run had failed, stored by this one
        self._limits_noted_at = time.monotonic()
        self._completed_began = ledger.completed.size()
        self._failed_began = ledger.failed.size()
        self._stored_before = plan.stored.size + plan.stored.adopted_size
        self._watch = EndpointWatch(self._note_endpoint, self._tell_of_outage)
        journal.totals = self.totals
        journal.note(PLAN, json.dumps(forecast(settings, plan)))
        journal.note(MACHINE, json.dumps(machine()))

    def totals(self) -> Totals:
        """Return what this run has done so far."""
        tally = self.tally
        counts, size = self._delta.done() if self._delta else ({}, 0)
        failed = sum(count for what, count in counts.items() if what.startswith(FAILED))
        return Totals(
            stored=tally.new,
            renewed=tally.renewed + counts.get(RENEWED, 0),
            replaced=tally.replaced + counts.get(REPLACED, 0),
            found=tally.already_there,
            failed=sum(tally.failed.values()) + failed,
            size=tally.bytes + size,
            retries=sum(tally.retried.values()),
            throttled=self._watch.seconds(THROTTLED),
            down=self._watch.seconds(DOWN),
        )

    def _note_endpoint(self, event: str, side: str, detail: str, at: float) -> None:
        self.journal.note(event, detail, side, at)

    def _tell_of_outage(self, event: str, side: str, detail: str, at: float) -> None:
        figures = self.figures()
        done = f"{figures.done:,} of {figures.urls:,} done"
        tell_of_outage(self._notifier, event, side, detail, at, done, figures._asdict())

    def note_destinations(self, found: Destinations) -> None:
        """Log what the destinations prove and lack, and keep it for run.json and the report.

        Raise as Destination.notes(), or FatalError when the disk does not take run.json.
        """
        for note in found.notes():
            self.note_destination(note)
        self._integrity = found.integrity
        log.info("%s", found.integrity_text)
        run_binding.note_integrity(self._settings, found.integrity)

    def note_destination(self, note: Note) -> None:
        """Log what the destination lacks, and keep it for the report where the user should know it.

        What is about a way of renewing waits until that is known to be used.
        """
        if note.way:
            self._notes_of_renewing.append(note)
            return
        log.log(note.level, "%s", note.text)
        if note.level >= logging.WARNING:
            self.destination_notes.append(note.text)

    def note_renewing(self, ways: Container[str]) -> None:
        """Note what the destination lacks for the ways in which a delta is about to renew objects."""
        for note in self._notes_of_renewing:
            if note.way in ways:
                self.note_destination(note._replace(way=""))

    def count(self, done: Done) -> None:
        """Count the result of a task; the second pass uncounts what the first counted."""
        result = done.result
        first_in_run = not done.task.cause
        failed_before = (
            bool(self.plan.failed_before) and self._object_id(result.url) in self.plan.failed_before
        )
        if first_in_run:
            self._tried += 1
            self._failed_pending -= failed_before
        else:
            self.to_do_again -= 1
            self.tally.take_back(result.url, done.task.cause)
        if result.stored is not None and (not first_in_run or failed_before):
            self._recovered.add(self._object_id(result.url))
            self._healed += failed_before
        if result.stored is not None and self.plan.moving:
            self._superfluous += self._object_id(result.url) in self.plan.moving
        self.tally.add(result, time.time())

    def _object_id(self, line: str) -> bytes:
        return self._keys.object_id(ledger.encode_line(line))

    def progress(self) -> Count:
        tally = self.tally
        for_good = sum(count for cause, count in tally.failed.items() if not CAUSES[cause].unexpected)
        return Count(tally.ended, tally.bytes, sum(tally.failed.values()), tally.error_rate, for_good)

    def note(self) -> str:
        """Return what the pass is, for the bar."""
        return f"second pass, {self.to_do_again:,} left" if self.to_do_again else ""

    def verdict(self) -> FatalError | None:
        """Return the error that stops the run if more URLs failed recently than MAX_ERROR_RATE allows."""
        rate = self.tally.error_rate
        if rate <= self._settings.max_error_rate:
            return None
        return FatalError(
            f"{100 * rate:.0f}% of the last 1,000 URLs failed, more than MAX_ERROR_RATE. "
            f"See {FAILED_FILE} for the causes, then {RESUME}."
        )

    def figures(self) -> Figures:
        """Return how far the whole job is."""
        work, tally = self.plan.work, self.tally
        faults = work.unfetchable + work.collisions
        failed = sum(tally.failed.values())
        return Figures(
            done=work.done + tally.stored,
            urls=work.done + work.pending,
            failed=failed + max(0, self._failed_pending) + faults,
            stored_bytes=self._stored_before + tally.bytes,
            run_stored=tally.stored,
            run_bytes=tally.bytes,
        )

    def note_limits(self, limits: Sequence[Limiting]) -> None:
        """Count for how long endpoints let nothing through, or no more than a rate, since the call before this one."""
        now = time.monotonic()
        since, self._limits_noted_at = self._limits_noted_at, now
        self._watch.see(limits)
        allowed = rates(limits)
        if allowed:
            self.tally.add_limited(allowed, now - since)

    def tasks_to_try_again(self) -> list[Task]:
        """Return the URLs that failed in this run for a transient cause.

        Not those that were throttled: they have been tried for OUTAGE_LIMIT.
        """
        path = self._settings.state_dir / FAILED_FILE
        tasks = [
            self.plan.task(record.url, int(record.attempts), record.cause)
            for record in ledger.transient(path, self._failed_began)
            if record.cause != "throttled"
        ]
        self.to_do_again = len(tasks)
        return tasks

    def failed_objects(self) -> Fingerprints:
        """Return the objects of the URLs that failed in this run, and are not completed by now."""
        failed = Fingerprints()
        for record in ledger.records(self._ledger.failed.path, self._failed_began):
            object_id = self._object_id(record.url)
            if object_id not in self._recovered:
                failed.add(object_id)
        return failed

    def close(
        self,
        error: FatalError | None,
        signal: int,
        warning: str | None,
        lost: Fingerprints | None = None,
    ) -> int:
        """Rebuild failed_transfers.txt, audit, write the reports, show the summary; return the exit code.

        error is what stopped the run, signal the number of the signal that did (0: none did), warning what
        is to be said on the last screen too, lost the objects of failed redos that lose their rows. Raise
        FatalError when the disk does not take the files.
        """
        audit = self._audit()
        self.journal.facts.update(self.figures()._asdict())
        if self.plan.redo and not (error or signal) and self._tried >= self.plan.chosen:
            place = run_binding.first_place(self._settings)
            redo.finish(self._settings.state_dir, self._keys, lost or Fingerprints(), place)
        if self._delta is not None:
            self._delta.close()
            if not (error or signal):
                self._delta.finish()
        reminder = redo.reminder(self._settings.state_dir, self._keys)
        undo_reminder = undo.reminder(self._settings.state_dir)
        code = self._exit_code(error, signal, audit, bool(reminder or undo_reminder))
        why = str(error) if error else f"signal {signal}" if signal else ""
        if why:
            self.journal.stopped_by(why)
        if self._healed:
            self.journal.note(RECOVERED, str(self._healed))
        following = next_command(self.tally, audit, code)
        if self._delta is not None and code not in (EXIT_DONE, EXIT_SOME_FAILED):
            following = self._delta.command
        if reminder and (self.plan.redo or following != command("migrate.py")):
            following = command("migrate.py", "--redo")
        elif undo_reminder:
            following = command("migrate.py", "--undo", "--yes")
        ending = Ending(time.time(), code, why, following)
        same = None if error or signal else same_content.in_completed(self._ledger.completed.path)
        text = summary(self._settings, self.tally, audit, ending, self._faults(), same, self._superfluous)
        try:
            self._report(audit, ending, same)
        except FatalError:
            if error is not None:  # what stopped the run matters more than what could not be reported
                log.error("%s", error)
            show(text)
            raise
        if error is not None:
            log.error("%s", error)
        for line in self._delta.lines() if self._delta else ():
            log.info("%s", line)
        if not audit.holds:
            log.error("the lines do not add up: %s. Please report this.", audit)
        show(text)
        for said in (warning, reminder, undo_reminder):
            if said:
                log.warning("%s", said)
        return code

    def _faults(self) -> dict[str, tuple[int, Example]]:
        """Return how many lines of the input are malformed, of other hosts or collide, each with an example."""
        work, path = self.plan.work, self._settings.state_dir / FAILED_FILE
        found: dict[str, tuple[int, Example]] = {}
        faults = {"malformed": work.malformed, "other_host": work.other_hosts, "collision": work.collisions}
        for cause, count in faults.items():
            first = next((record for record in ledger.records(path) if record.cause == cause), None)
            if count and first is not None:
                found[cause] = count, Example(first.url, first.message)
        return found

    def _report(self, audit: migration_report.Audit, ending: Ending, same: SameContent | None) -> None:
        """Write the reports, unless this run could not begin and there are older ones."""
        before = earlier_reports.read_json(self._settings.state_dir / MIGRATION_JSON)
        has_begun = self._tried or (self._delta is not None and self._delta.has_begun)
        if ending.why and not has_begun and before is not None:
            log.info("%s stays as it was: this run could not begin", MIGRATION_PAGE)
            return
        job_pages.write(
            self._settings,
            self.plan,
            self.journal,
            self.tally,
            audit,
            ending,
            same,
            self.destination_notes,
            self._superfluous,
            self._integrity,
            self._delta.as_json(ending.why, ledger.timestamp(ending.at)) if self._delta else None,
        )

    def _audit(self) -> migration_report.Audit:
        """Count the status of every line of the input, from the files wherever possible."""
        work, path = self.plan.work, self._settings.state_dir / FAILED_FILE
        object_id = self._keys.object_id
        causes = ledger.rebuild(path, lambda line: object_id(line) in self._recovered, None, object_id)
        appended = self._count_appended()
        return migration_report.Audit(
            work.lines,
            work.blank,
            work.duplicates,
            work.done + appended - (self._delta.appended if self._delta else 0),
            sum(causes.values()) - self.plan.failed_elsewhere,
            work.pending - self._tried - self._failed_pending,
            self.plan.not_selected,
        )

    def _count_appended(self) -> int:
        """Return how many lines this run has appended to completed.txt, and count when they were stored."""
        appended = lines.whole_lines(self._ledger.completed.path, self._completed_began)
        number = 0
        while batch := list(itertools.islice(appended, _BATCH)):
            self.plan.stored.add(map(ledger.completed_fields, batch))
            number += len(batch)
        return number

    def _exit_code(
        self, error: FatalError | None, signal: int, audit: migration_report.Audit, is_unfinished: bool
    ) -> int:
        if error is not None:
            return error.exit_code
        if signal:
            return 128 + signal
        is_open = is_unfinished or (self._delta is not None and self._delta.is_open)
        return EXIT_SOME_FAILED if audit.failed or not audit.holds or is_open else EXIT_DONE
