"""Phase 1: move every URL of urls.txt to the bucket.

    python migrate.py --plan                  counts, collisions, hours and dollars; moves nothing
    python migrate.py --check                 credentials, bucket, permissions, network, disk
    python migrate.py --sample 100            move a hundred under _test/, compare, delete
    python migrate.py                         move what is pending; a later run resumes
    python migrate.py --retry-failed          only what failed
    python migrate.py --redo missing.txt      what validate.py found missing
    python migrate.py --delta                 what has changed at the source since
    python migrate.py --undo                  what could be removed again; with --yes: remove it
    python migrate.py --status                how far it is, from another window

The settings are in migration.env (docs/settings.md).
"""

from __future__ import annotations

from cdn2s3 import bootstrap

bootstrap.start()  # before the other imports: it reports which packages are missing

# isort: split
import argparse
import functools
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Callable

from cdn2s3 import file_names
from cdn2s3.bootstrap import allow_open_files
from cdn2s3.commands.arguments import cause, moment, positive
from cdn2s3.console import rerun_hint, stdio
from cdn2s3.console.logging_setup import begin as begin_log
from cdn2s3.console.logging_setup import ending_in_the_log, say_error
from cdn2s3.console.logging_setup import set_up as set_up_logs
from cdn2s3.console.notify import Notifier
from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.destinations.factory import Destinations, open_destinations
from cdn2s3.errors import EXIT_CODES_HELP, FatalError
from cdn2s3.executors.base import TICK, Executor
from cdn2s3.executors.dask_needed import consider
from cdn2s3.executors.passes import Passes
from cdn2s3.executors.process_pool import ProcessPool
from cdn2s3.executors.threads import ThreadExecutor
from cdn2s3.executors.worker_process import process_count, run_share
from cdn2s3.file_names import MIGRATION_ENV, MIGRATION_LOG
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import KeyMaker
from cdn2s3.planning.redo import LOOKERS, lost_objects
from cdn2s3.planning.run_plan import choose, kept_input, prepare_run
from cdn2s3.planning.undo import refuse_while_open
from cdn2s3.records import Share
from cdn2s3.reports.accounting import RunAccounting
from cdn2s3.reports.certificate import set_aside
from cdn2s3.reports.run_display import PassDisplay, RunDisplay
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import load
from cdn2s3.state import files, run_binding
from cdn2s3.state.journal import Journal
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import Ledger
from cdn2s3.state.status_file import ENDED, READING, StatusFile
from cdn2s3.transfer.wiring import equip

if TYPE_CHECKING:
    from cdn2s3.delta.run import Delta

log = logging.getLogger("migrate")

SECOND_PASS_AFTER = 60.0  # seconds after a failure: CloudFront keeps an error for 10 s and more


@ending_in_the_log
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    rerun_hint.use_env_file("migrate.py", arguments.env_file)
    signals = Signals()
    try:
        settings, notes = load(MigrationSettings, arguments.env_file)
        if arguments.plan or arguments.status:
            set_up_logs(Path(os.devnull), settings.log_level)  # these write nothing
        else:
            run_binding.make_state_dir(settings.state_dir)
            set_up_logs(settings.state_dir / MIGRATION_LOG, settings.log_level)
        begin_log(*notes[:2])
        command = command_of(arguments)
        if settings.dask_scheduler:
            for_cluster = command is None and arguments.delta is None
            consider(
                for_cluster or arguments.check, arguments.delta is not None or arguments.undo is not None
            )
        if arguments.delta is not None and arguments.plan:
            return int(delta_command().plan(settings, arguments, signals, SECOND_PASS_AFTER))
        notifier = Notifier("migrate.py", settings.notify_command.reveal(), notes.private)
        if command:
            told = [notifier] if arguments.undo is not None else []  # the others end while somebody looks on
            return int(command.run(settings, arguments, signals, *told))
        allow_open_files(settings.concurrency)
        with (
            notifier,
            files.held_lock(settings.state_dir / file_names.MIGRATION_LOCK, "migrate.py") as lock,
            run_binding.standing_still(settings.source_urls_file),
            Journal(settings.state_dir, rerun_hint.typed("migrate.py", vars(arguments))) as journal,
        ):
            journal.at_end.append(lambda run, why: notifier.ended(run.exit_code, why, journal.told()))
            journal.exit_code = migrate(settings, arguments, signals, lock, journal, notifier)
            return journal.exit_code
    except FatalError as error:
        say_error("migrate.py", str(error))
        return error.exit_code
    except Interrupted as interrupted:
        early = "" if command_of(arguments) else " before anything was moved"
        again = rerun_hint.given("migrate.py", vars(arguments))
        say_error("migrate.py", f"{interrupted}{early}. Run `{again}` again.")
        return interrupted.exit_code


def migrate(
    settings: MigrationSettings,
    arguments: argparse.Namespace,
    signals: Signals,
    lock: int,
    journal: Journal,
    notifier: Notifier,
) -> int:
    """Do one run, under the lock (its file descriptor); return the exit code."""
    status = StatusFile(settings.state_dir, journal.command, journal.started)
    journal.at_end.append(lambda run, why: status.write(ENDED, exit_code=run.exit_code))
    status.write(READING)
    run_binding.check(settings)
    warning = run_binding.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    keys = key_maker(settings)
    for option in ("delta", "redo"):
        if getattr(arguments, option) is not None:
            refuse_while_open(settings.state_dir, f"--{option}")
    with kept_input(settings) as kept:
        choice = choose(kept, arguments.redo, arguments.retry_failed, arguments.limit, arguments.yes)
        delta = delta_command().of(kept, keys, arguments)
        plan = prepare_run(kept, keys, choice, time.time(), delta.rows if delta else None)
        ledger = Ledger(settings.state_dir)
        with files.synced_every_second(ledger.completed, ledger.failed):
            if plan.todo:
                set_aside(settings.state_dir)
            accounting = RunAccounting(settings, plan, ledger, journal, notifier, delta)
            run = Run(settings, accounting, signals, arguments.retry_failed is None, status, delta)
            return run.go(
                lambda: executor(settings, keys, ledger, lock, accounting.note_destinations, bool(delta)),
                warning,
            )


class Run:
    """One run: a delta's passes where it is one, two passes over its URLs, then the accounting."""

    def __init__(
        self,
        settings: MigrationSettings,
        accounting: RunAccounting,
        signals: Signals,
        watch_errors: bool,
        status: StatusFile,
        delta: Delta | None = None,
    ) -> None:
        self.settings = settings
        self.accounting = accounting
        self.signals = signals
        self.watch_errors = watch_errors
        self.status = status
        self.delta = delta

    def go(self, equipped: Callable[[], AbstractContextManager[Executor]], warning: str | None) -> int:
        """Do both passes; close the accounting in any case; return the exit code."""
        self.signals.note()  # one that is raised might skip the accounting
        log.info("%s", self.accounting.plan.text())
        error: FatalError | None = None
        lost: Fingerprints | None = None
        try:
            if self.accounting.plan.todo or self.delta:
                self._equipped_passes(equipped)
            if self.accounting.plan.redo and not self.signals.received:
                lost = self._lost_objects()
        except FatalError as stopped_by:
            error = stopped_by
        except Interrupted as interrupted:
            log.warning("%s before anything was moved", interrupted)
        return self.accounting.close(error, self.signals.received, warning, lost)

    def _lost_objects(self) -> Fingerprints:
        """Return the objects of URLs whose redo failed that are gone, or are not what was recorded of them."""
        failed = self.accounting.failed_objects()
        if not failed:
            return failed
        with closing(PooledAdapter(LOOKERS, self.settings.ca_bundle)) as adapter:
            by_place = open_destinations(self.settings, adapter).by_place
            return lost_objects(self.settings, key_maker(self.settings), by_place, failed)

    def _equipped_passes(self, equipped: Callable[[], AbstractContextManager[Executor]]) -> None:
        """Do both passes; raise FatalError, or Interrupted before the first: a bucket may take long to answer."""
        with ExitStack() as stack:
            with self.signals.raised():
                executor = stack.enter_context(equipped())
            passes = Passes(
                self.settings,
                executor,
                self.signals,
                SECOND_PASS_AFTER,
                functools.partial(PassDisplay, accounting=self.accounting, status=self.status),
                self.status.stay,
            )
            if self._delta(passes) and self.accounting.plan.todo:
                self._both_passes(passes)

    def _both_passes(self, passes: Passes) -> None:
        plan, accounting = self.accounting.plan, self.accounting
        with closing(RunDisplay(accounting, self.status)) as display:
            passes.one(plan.tasks(), display.show, plan.todo, accounting, self.watch_errors)
            again = accounting.tasks_to_try_again() if not self.signals.received else []
            if again:
                log.info(
                    "second pass over %s URLs, %.0f s after the first", f"{len(again):,}", SECOND_PASS_AFTER
                )
            if again and passes.wait(display.show):
                # Nearly all fail here, since failures were selected: that shows nothing about the run.
                passes.one(iter(again), display.show, plan.todo, accounting, watch=False)

    def _delta(self, passes: Passes) -> bool:
        """Look at everything that is completed, then renew what has changed; return False when a signal has come."""
        delta = self.delta
        if delta is None:
            return True
        if not delta.look(passes):
            return False
        self.accounting.note_renewing(delta.ways())
        if delta.has_to_write:
            set_aside(self.settings.state_dir)
        return delta.renew(passes, self.accounting.record)


# --- what runs the transfers, and what the workers share ---


@contextmanager
def executor(
    settings: MigrationSettings,
    keys: KeyMaker,
    ledger: Ledger,
    lock: int,
    on_prepared: Callable[[Destinations], None],
    renews: bool = False,
) -> Iterator[Executor]:
    """Contact the destinations, find out what they lack (on_prepared), and return the executor; raise FatalError.

    All workers share the pooled connections to the CDN and to the bucket, the destinations and the ledger,
    which appends under its own lock.
    """
    if settings.dask_scheduler and not renews:
        from cdn2s3.executors.cluster_opening import open_cluster

        with open_cluster(settings, ledger, on_prepared, TICK) as cluster:
            yield cluster
        return
    count = process_count(settings)
    with closing(PooledAdapter(settings.concurrency, settings.ca_bundle)) as adapter, ExitStack() as stack:
        processes = None
        if count > 1:
            most = Share(0, count).workers(settings.concurrency)
            processes = ProcessPool(count, most, TICK, settings.state_dir, lock, run_share)
            stack.enter_context(closing(processes))
            processes.start()  # its processes import what they need while the bucket is probed
        destinations = open_destinations(settings, adapter)
        destinations.prepare()
        if renews:
            destinations.prepare_renewing()
        on_prepared(destinations)
        if processes:
            log.info("%d processes with %d workers in total", count, settings.concurrency)
            processes.equip(settings, destinations.handover(), count, rerun_hint.settings_file())
            yield processes
            return
        transfer = stack.enter_context(closing(equip(settings, destinations)))
        pool = stack.enter_context(ThreadPoolExecutor(settings.concurrency, thread_name_prefix="worker"))
        yield ThreadExecutor(pool, settings.concurrency, keys, transfer, ledger)


# --- the command line ---


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="migrate.py",
        description="Move every URL of urls.txt from the CDN to the bucket. Run it again to resume.",
        epilog="example:\n  python migrate.py --env-file migration.env\n\n"
        f"{EXIT_CODES_HELP}\ndocs/settings.md describes every setting.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        default=Path(MIGRATION_ENV),
        metavar="PATH",
        help="settings (default: migration.env)",
    )
    verbs = parser.add_mutually_exclusive_group()
    for command in commands().values():
        command.add_arguments(verbs)
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N pending URLs")
    parser.add_argument(
        "--retry-failed",
        nargs="?",
        const="",
        type=cause,
        metavar="CAUSE",
        help="only what failed before, or only what failed for CAUSE",
    )
    parser.add_argument(
        "--redo",
        type=file_to_redo,
        nargs="?",
        const="",
        metavar="FILE",
        help="transfer the URLs of FILE again, such as missing.txt; without FILE: go on with a redo that was stopped",
    )
    delta_command().add_arguments(parser)
    parser.add_argument("--since", type=moment, metavar="TIME", help="with --undo: only what came since")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="with --redo: more than 1,000 completed URLs are meant; with --undo: do it",
    )
    parser.add_argument("--json", action="store_true", help="with --status: as JSON, for a monitor")
    arguments = parser.parse_args(argv)
    refuse_contradictions(parser, arguments)
    return arguments


def refuse_contradictions(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    alone = bool(command_of(given)) and not given.plan
    delta_command().refuse_with_others(parser, given, alone)
    if given.yes and given.redo is None and given.undo is None:
        parser.error("--yes works only with --redo or --undo")
    if given.since is not None and given.undo is None:
        parser.error("--since works only with --undo")
    if given.json and not given.status:
        parser.error("--json works only with --status")
    if alone and (given.redo is not None or given.limit or given.retry_failed is not None):
        parser.error("--limit, --retry-failed and --redo work only with a run or with --plan")
    if given.redo is not None and given.retry_failed is not None:
        parser.error(
            "--redo and --retry-failed each select the URLs of a run: use one of them, "
            "then the other in a run of its own"
        )


def commands() -> dict[str, ModuleType]:
    """Return the commands other than a run: the module of each, by its option."""
    # Worker processes import this script too, and need none of them.
    from cdn2s3.commands import adopt, check, create_bucket, plan, sample, status, undo

    modules = (plan, check, create_bucket, sample, adopt, status, undo)
    return {module.__name__.rpartition(".")[2]: module for module in modules}


def delta_command() -> ModuleType:
    """Return the module of --delta, which is a run with more passes."""
    from cdn2s3.commands import delta

    return delta


def command_of(arguments: argparse.Namespace) -> ModuleType | None:
    """Return the module of the command that arguments ask for, None for a run."""
    given = vars(arguments)
    return next((module for name, module in commands().items() if given[name] not in (None, False)), None)


def file_to_redo(text: str) -> Path | str:
    """Return the path that text is; "", which means to go on with the redo that is open, unchanged."""
    return Path(text) if text else ""


if __name__ == "__main__":
    sys.exit(stdio.run(main))
