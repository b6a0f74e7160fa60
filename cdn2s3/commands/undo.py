"""`migrate.py --undo [FILE] [--since TIME] --yes`: remove from the destination what this tool stored there.

Without --yes it only says what it would do, from completed.txt alone. It removes nothing that was there before, that
was adopted, or that has changed since; what it has removed is in undone.txt at once.
"""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from itertools import takewhile
from pathlib import Path

from cdn2s3 import file_names
from cdn2s3.bootstrap import allow_open_files
from cdn2s3.commands.arguments import seconds_of_moment
from cdn2s3.commands.undo_progress import UndoTally
from cdn2s3.commands.undo_story import UndoStory
from cdn2s3.console.logging_setup import show
from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import Progress
from cdn2s3.console.rerun_hint import command, typed
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.factory import open_destination, remover_of
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED, Cancelled, FatalError, UsageError
from cdn2s3.executors.undoing import Undoer, Undoing
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.planning import redo, undo
from cdn2s3.planning.undo import Asked, Chosen
from cdn2s3.planning.undo_preview import Preview, preview_of
from cdn2s3.planning.undo_scope import Scope, lines_in
from cdn2s3.reports.certificate import set_aside
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import files, run_binding, undone
from cdn2s3.state.journal import Journal
from cdn2s3.state.ledger import timestamp

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 2.0  # seconds, until the clock is past the times in undone.txt


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--undo",
        nargs="?",
        const="",
        metavar="FILE",
        help="show what would be removed again of what was stored (of FILE's URLs); with --yes: remove it",
    )


def run(
    settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals, notifier: Notifier
) -> int:
    """Show what an undo would do or, with --yes, do it, under the lock of a run; return the exit code.

    notifier is told of one that is done.
    """
    with (
        notifier if arguments.yes else nullcontext(),
        files.held_lock(settings.state_dir / file_names.MIGRATION_LOCK, "migrate.py"),
        run_binding.standing_still(settings.source_urls_file),
        ExitStack() as stack,
    ):
        run_binding.check(settings)
        since = None if arguments.since is None else seconds_of_moment(arguments.since)
        work = _Undo(settings, arguments.undo, since, signals, arguments.yes)
        if not arguments.yes:
            return work.shown()
        journal = stack.enter_context(Journal(settings.state_dir, typed("migrate.py", vars(arguments))))
        journal.exit_code = work.done(UndoStory(settings, work.keys, journal, notifier))
        return journal.exit_code


class _Undo:
    """One undo, or one that goes on."""

    def __init__(
        self, settings: MigrationSettings, file: str, since: int | None, signals: Signals, does: bool
    ) -> None:
        """does: it is to be done, not only shown."""
        self.settings = settings
        self.state = settings.state_dir
        self.keys = key_maker(settings)
        self.signals = signals
        self._older_place = run_binding.first_place(settings)
        opened = undo.open_undo(self.state)
        self.is_again = opened is not None
        if opened is not None and does:
            undo.settle(self.state, self.keys, opened, self._older_place)
        self.asked = opened or Asked(file, since, int(time.time()))
        if opened is None:
            self.scope = Scope(self.keys, lines_in(Path(file)) if file else None)
        else:
            self._refuse_another(opened, file, since)
            self.scope = Scope(self.keys, undo.lines_of(self.state) if opened.file else None)
        if self.asked.file and not len(self.scope):
            raise UsageError(
                f"{self.asked.file} names nothing to undo: it has no URL, or only changes of others."
            )
        self.preview = preview_of(self._chosen())
        self.tally = UndoTally(self.preview)

    def _refuse_another(self, opened: Asked, file: str, since: int | None) -> None:
        """Raise UsageError where another undo is asked for than the one that is not finished."""
        if (file and file != opened.file) or (since is not None and since != opened.since):
            raise UsageError(
                f"the undo of {opened.text} is not finished. Go on with it first: "
                f"`{command('migrate.py', '--undo', '--yes')}`."
            )
        log.info("going on with the undo of %s", opened.text)

    def shown(self) -> int:
        """Show what it would do, and how to do it; return the exit code."""
        words = ["--undo"] if self.is_again else self._words()
        how = [f"To do it: {command('migrate.py', *words, '--yes')}"] if self.preview.todo else []
        show("\n".join([*self._said(self.preview), *how]))
        return EXIT_SOME_FAILED if self.is_again else EXIT_DONE

    def done(self, story: UndoStory) -> int:
        """Do it; return the exit code."""
        show("\n".join(self._said(self.preview)))
        if not self.preview.todo and not self.is_again:
            return EXIT_SOME_FAILED if self.preview.staying else EXIT_DONE
        self._refuse_to_start()
        return self._done(self.preview, story)

    def _chosen(self) -> Iterator[Chosen]:
        places = self.settings.placement.places
        return undo.chosen_rows(self.state, self.keys, self.asked, self.scope, places, self._older_place)

    def _said(self, preview: Preview) -> list[str]:
        lines = [f"undo of {self.asked.text} in {self.settings.destination_text}:", *preview.lines()]
        if not preview.steps:
            lines.append("nothing is recorded that could be undone")
        elif preview.todo:
            lines.append("Each is compared first: what somebody has changed since stays.")
        return lines

    def _words(self) -> list[str]:
        words = ["--undo", *([self.asked.file] if self.asked.file else [])]
        return words if self.asked.since is None else [*words, "--since", timestamp(self.asked.since)]

    def _refuse_to_start(self) -> None:
        """Raise FatalError while a validation reads what would change, UsageError while a redo is not finished."""
        holder = files.lock_holder(self.state / file_names.VALIDATION_LOCK)
        if holder is not None:
            raise FatalError(
                f"validate.py is running (process id {holder}): it would report as lost what is being undone. Wait "
                "until it ends."
            )
        if redo.open_redo(self.state) is not None:
            raise UsageError(
                f"a redo is not finished. Finish it first: `{command('migrate.py', '--redo')}`, then undo."
            )

    def _done(self, preview: Preview, story: UndoStory) -> int:
        """Do it; return the exit code."""
        allow_open_files(self.settings.concurrency)
        if not self.is_again:
            self._wait_for(
                undone.last_at(self.state) + 1
            )  # what an undo before has done is none of this one's
            self.asked = self.asked._replace(newest=preview.newest, began_at=int(time.time()))
            given = lines_in(Path(self.asked.file)) if self.asked.file else ()
            undo.begin(self.state, self.asked, given)
        set_aside(self.state)  # from now on, what the certificate says is not proven
        undo.forget_superseded(self.state, self.keys, self._older_place)
        self.signals.note()
        tally, again = self.tally, command("migrate.py", "--undo", "--yes")
        story.begin(tally)
        try:
            self._all_undone(tally, story)
        except FatalError as error:
            show("\n".join([*tally.lines(), f"To go on, once that is mended: {again}"]))
            story.end(error.exit_code, str(error), again)
            raise
        if code := 128 + self.signals.received if self.signals.received else 0:
            show("\n".join([*tally.lines(), f"stopped by a signal. To go on: {again}"]))
            story.end(code, f"signal {self.signals.received}", again)
            return code
        self._wait_for(tally.newest)
        undo.finish(self.state)
        show("\n".join(tally.lines()))
        code = EXIT_SOME_FAILED if tally.staying else EXIT_DONE
        story.end(code, "", command("validate.py"))
        return code

    def _all_undone(self, tally: UndoTally, story: UndoStory) -> None:
        """Undo all rows that do not stay, place by place; raise FatalError when that cannot go on."""
        settings, stop = self.settings, threading.Event()
        with ExitStack() as stack:
            adapter = stack.enter_context(closing(PooledAdapter(settings.concurrency, settings.ca_bundle)))
            completed = files.AppendFile(self.state / file_names.COMPLETED_FILE)
            undone_file = files.AppendFile(self.state / file_names.UNDONE_FILE)
            stack.enter_context(files.synced_every_second(completed, undone_file))
            for place, own in settings.by_place.items():
                if any(self._rows_at(place)) and not self.signals.received:
                    destination = stack.enter_context(closing(open_destination(own, adapter)))
                    remover = remover_of(own, destination)
                    for note in remover.prepare():
                        log.log(note.level, "%s", note.text)
                    endpoint = Endpoint(
                        destination.name, own.concurrency, own.outage_limit, stop, remover.is_up
                    )
                    attempts = Attempts(endpoint, own.max_retries, stop)
                    undoer = Undoer(
                        remover, attempts, completed, undone_file, own.upload_timeout, stop, self.is_again
                    )
                    self._both_passes(place, undoer, endpoint, stop, story)

    def _rows_at(self, place: str) -> Iterator[Chosen]:
        """Yield the rows of a place that do not stay."""
        return (chosen for chosen in self._chosen() if chosen.row.place == place and not chosen.step.stays)

    def _both_passes(
        self, place: str, undoer: Undoer, endpoint: Endpoint, stop: threading.Event, story: UndoStory
    ) -> None:
        """Undo all rows of a place, and once more those that failed in a way that may pass."""
        tally = self.tally
        with closing(Progress(tally.total)) as progress:

            def look() -> None:
                progress.show(tally.count(), tally.note(endpoint.health()))
                story.see(endpoint, progress, bool(self.signals.received))
                if self.signals.received:
                    stop.set()

            def undo_one(chosen: Chosen) -> Undoing | None:
                try:
                    return undoer.undo(chosen)
                except Cancelled:
                    return None  # what ends while it stops is counted all the same

            def one_pass(rows: Iterator[Chosen], is_last: bool) -> None:
                rows = takewhile(lambda _: not stop.is_set(), rows)
                with fan_out(undo_one, rows, self.settings.concurrency, stop, look) as results:
                    for result in results:
                        if result is not None:
                            tally.add(result, is_last)

            one_pass(self._rows_at(place), is_last=False)
            again = tally.take_failed()
            if again and not self.signals.received:
                endpoint.probe_now()  # they were too few to open the circuit, and nothing else shows that it works
                one_pass(iter(again), is_last=True)

    def _wait_for(self, moment: int) -> None:
        """Wait until it is moment (seconds since the epoch): what comes from then on is newer than what has been."""
        left = moment - time.time()
        if left > 0:
            time.sleep(min(left, _LONGEST_PAUSE))
