"""After the move, and optional: make smaller WebP images of what is in the bucket.

    python variants.py                            make what is missing; a later run resumes
    python variants.py --undo                     what an undo would delete; deletes nothing
    python variants.py --undo --size large --yes  delete the variants of a size that this script has stored

Originals are read, never written. The settings are in migration.env (docs/variants.md), Pillow is in
requirements-variants.txt.
"""

from __future__ import annotations

from cdn2s3 import bootstrap

bootstrap.start()  # before the other imports: it reports which packages are missing

# isort: split
import argparse
import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Callable, TypeVar

from cdn2s3 import file_names
from cdn2s3.bootstrap import allow_open_files
from cdn2s3.console import rerun_hint, stdio
from cdn2s3.console.logging_setup import begin as begin_log
from cdn2s3.console.logging_setup import ending_in_the_log, say_error, show
from cdn2s3.console.logging_setup import set_up as set_up_logs
from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import Count, Progress
from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.errors import EXIT_CODES_HELP, EXIT_DONE, EXIT_SOME_FAILED, FatalError, UsageError
from cdn2s3.planning.undo import open_work
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import load
from cdn2s3.state import run_binding
from cdn2s3.state.files import AppendFile, held_lock, synced_every_second
from cdn2s3.state.journal import Journal, Totals
from cdn2s3.variants import bucket, start, undo, without
from cdn2s3.variants.drawing_pool import DrawingPool, processes_of
from cdn2s3.variants.maker import Maker
from cdn2s3.variants.originals import Originals
from cdn2s3.variants.record import FailedVariant, FailedVariants, Variants
from cdn2s3.variants.story import Story
from cdn2s3.variants.summary import Tally, UndoTally, plan_text

log = logging.getLogger("variants")

WORKERS_PER_PROCESS = 4  # while one image is drawn, others are read and stored
UNDO_WORKERS = 16
MILLION = 1_000_000

Item = TypeVar("Item")


@ending_in_the_log
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    rerun_hint.use_env_file("variants.py", arguments.env_file)
    signals = Signals()
    try:
        settings, notes = load(MigrationSettings, arguments.env_file)
        run_binding.make_state_dir(settings.state_dir)
        set_up_logs(settings.state_dir / file_names.VARIANTS_LOG, settings.log_level)
        begin_log(*notes[:2])
        changes = arguments.yes or not arguments.undo
        with ExitStack() as stack:
            notifier = Notifier("variants.py", settings.notify_command.reveal(), notes.private)
            if changes:
                stack.enter_context(notifier)
            stack.enter_context(held_lock(settings.state_dir / file_names.VARIANTS_LOCK, "variants.py"))
            start.refuse_to_start(settings)
            run = Run(settings, signals)
            if not changes:
                return run.show_undo(arguments.size)
            typed = rerun_hint.typed("variants.py", vars(arguments))
            journal = stack.enter_context(Journal(settings.state_dir, typed))
            run.story = Story(
                settings, journal, notifier, "deleting" if arguments.undo else "making variants"
            )
            journal.exit_code = run.undo_ours(arguments.size) if arguments.undo else run.make_missing()
            return journal.exit_code
    except FatalError as error:
        say_error("variants.py", str(error))
        return error.exit_code
    except Interrupted as interrupted:
        again = rerun_hint.given("variants.py", vars(arguments))
        say_error("variants.py", f"{interrupted}. Run `{again}` again.")
        return interrupted.exit_code


class Run:
    """One run: many originals, or many variants, go through a few workers; the first signal stops it cleanly."""

    def __init__(self, settings: MigrationSettings, signals: Signals) -> None:
        self.settings = settings
        self.state = settings.state_dir
        self.signals = signals
        self.stop = threading.Event()
        self.story: Story | None = None  # None: nobody is told of it

    def make_missing(self) -> int:
        """Make what is missing; return the exit code."""
        start.refuse_to_make(self.settings)
        if reminder := start.open_undo(self.settings):
            show(reminder)
            return EXIT_SOME_FAILED
        failed = FailedVariants(self.state)
        sizes = self.settings.variant_sizes
        place = run_binding.first_place(self.settings)
        completed = self.state / file_names.COMPLETED_FILE
        originals = Originals(completed, place, Variants(self.state), failed, sizes)
        log.info("%s", originals.text())
        tally, error = Tally(originals.due), None
        self._begin_story(tally.totals)
        try:
            if originals.due:
                self._make_all(originals, failed, tally)
        except FatalError as stopped_by:
            error = stopped_by
        failed.file.close()
        failed.rebuild()
        try:
            without.write(self.state, originals, failed, sizes)
        except FatalError as unwritten:
            error = error or unwritten
        show("\n".join(tally.text(originals, self.state)))
        if error:
            raise error
        reminders = open_work(self.state, key_maker(self.settings))
        for reminder in reminders:
            log.warning("%s", reminder)
        return self._stopped() or (EXIT_SOME_FAILED if reminders else tally.exit_code)

    def _make_all(self, originals: Originals, failed: FailedVariants, tally: Tally) -> None:
        processes = processes_of(self.settings.processes)
        workers = min(self.settings.concurrency, WORKERS_PER_PROCESS * processes)
        allow_open_files(workers)
        journal = AppendFile(self.state / file_names.VARIANTS_FILE)
        pool = DrawingPool(processes, self.settings.max_pixels * MILLION, self.stop)
        with (
            synced_every_second(journal),
            closing(pool),
            bucket.opened_to_store(self.settings, workers, self.stop) as (there, attempts),
            closing(Progress(originals.due)) as progress,
            self.signals.noted(),
        ):
            maker = Maker(self.settings, there, attempts, pool, journal, self.stop)

            def look() -> None:
                self._heed_signals(attempts)
                progress.show(tally.progress())
                self._tell(attempts, progress, tally.progress(), originals.due)

            with fan_out(maker.make, self._until_stopped(originals), workers, self.stop, look) as outcomes:
                for made in outcomes:
                    tally.count(made)
                    if made.cause:
                        row = made.original
                        failed.add(FailedVariant.now(row.url, row.key, made.cause, made.message))
                    elif not made.is_stopped:
                        failed.settle(made.original.key)

    def show_undo(self, size: str | None) -> int:
        """Show what an undo would do, and how to do it; return the exit code."""
        self._selected(size)
        words = ["--undo", *(["--size", size] if size else []), "--yes"]
        show(f"nothing was deleted. To delete them: {rerun_hint.command('variants.py', *words)}")
        return EXIT_DONE

    def _selected(self, size: str | None) -> tuple[Variants, undo.Selection]:
        """Return the variants, and what an undo of size would do, which is shown; raise UsageError."""
        unfinished = undo.unfinished(self.state)
        if unfinished is not None and size != (unfinished or None):
            raise UsageError(f"{start.open_undo(self.settings)}, before any other.")
        variants = Variants(self.state)
        found = undo.selection(variants, size, self.settings.destination_prefix)
        if size and found == undo.NOTHING:
            raise UsageError(f"{file_names.VARIANTS_FILE} has no variants of size {size!r}. Correct --size.")
        show("\n".join(plan_text(found, size)))
        return variants, found

    def undo_ours(self, size: str | None) -> int:
        """Delete the variants that are ours; return the exit code."""
        variants, found = self._selected(size)
        undo.begin(self.state, size)
        tally = UndoTally()
        self._begin_story(tally.totals)
        self._undo_all(variants, size, found, tally)
        show("\n".join(tally.text()))
        if code := self._stopped():
            show(start.open_undo(self.settings))
            return code
        Variants(self.state).rewrite(undo.KEPT)
        undo.end(self.state)
        return EXIT_SOME_FAILED if tally.stays else EXIT_DONE

    def _undo_all(
        self, variants: Variants, size: str | None, found: undo.Selection, tally: UndoTally
    ) -> None:
        journal = AppendFile(self.state / file_names.VARIANTS_FILE)
        total = found.objects + found.nothing + sum(found.stays.values())
        with (
            synced_every_second(journal),
            bucket.opened_to_delete(self.settings, UNDO_WORKERS, self.stop) as (remover, attempts),
            closing(Progress(total)) as progress,
        ):
            undoing = undo.Undo(self.settings, remover, attempts, journal, self.stop)
            rows = self._until_stopped(undo.selected(variants, size))

            def look() -> None:
                self._heed_signals(attempts)
                count = Count(tally.ended, 0, sum(tally.stays.values()), 0.0)
                progress.show(count)
                self._tell(attempts, progress, count, total)

            with (
                self.signals.noted(),
                fan_out(undoing.undo, rows, UNDO_WORKERS, self.stop, look) as outcomes,
            ):
                for done in outcomes:
                    if done is not None:
                        tally.count(done)

    # --- what both share

    def _until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if self.stop.is_set():
                return
            yield item

    def _stopped(self) -> int:
        """Return the exit code of a run that a signal has stopped, 0 where none has."""
        if not self.signals.received:
            return 0
        if self.story is not None:
            self.story.stopped_by(f"signal {self.signals.received}")
        return 128 + self.signals.received

    def _begin_story(self, counted: Callable[[], Totals]) -> None:
        if self.story is not None:
            self.story.begin(counted)

    def _tell(self, attempts: Attempts, progress: Progress, count: Count, total: int) -> None:
        if self.story is not None:
            self.story.see(attempts.endpoint, progress, count, total, self.stop.is_set())

    def _heed_signals(self, attempts: Attempts) -> None:
        if self.signals.received and not self.stop.is_set():
            log.warning("stopping: uploads in flight end first (a second signal stops immediately)")
            self.stop.set()
            attempts.endpoint.notify()


# --- the command line ---


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="variants.py",
        description="Make smaller WebP images of what migrate.py has moved, under VARIANTS_PREFIX.",
        epilog="example:\n  python variants.py --env-file migration.env\n\n"
        f"{EXIT_CODES_HELP}\ndocs/variants.md says what is made, and what to use instead.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        default=Path(file_names.MIGRATION_ENV),
        metavar="PATH",
        help="settings (default: migration.env)",
    )
    parser.add_argument("--undo", action="store_true", help="show which variants could be deleted again")
    parser.add_argument("--size", metavar="NAME", help="with --undo: only those of one size")
    parser.add_argument("--yes", action="store_true", help="with --undo: delete them")
    arguments = parser.parse_args(argv)
    if not arguments.undo and (arguments.size is not None or arguments.yes):
        parser.error("--size and --yes work only with --undo")
    return arguments


if __name__ == "__main__":
    sys.exit(stdio.run(main))
