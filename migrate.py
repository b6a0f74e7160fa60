"""Phase 1: move every URL of urls.txt to the bucket.

    python migrate.py --plan                  what there is to do, hours and dollars; moves nothing
    python migrate.py --check                 credentials, bucket, permissions, network, disk
    python migrate.py --sample 100            move a hundred under _test/, compare, delete
    python migrate.py                         move what is pending; a later run resumes
    python migrate.py --retry-failed          only what failed
    python migrate.py --redo missing.txt      what validate.py found missing

The settings stand in migration.env (docs/settings.md).
"""

from __future__ import annotations

from cdn2s3 import bootstrap

bootstrap.start()  # before the other imports: it says which packages are missing

# isort: split
import argparse
import collections
import logging
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Callable, Protocol

from cdn2s3.bootstrap import allow_open_files
from cdn2s3.commands.arguments import positive
from cdn2s3.console import rerun_hint, stdio
from cdn2s3.console.logging_setup import ending_in_the_log, say_error
from cdn2s3.console.logging_setup import set_level as set_log_level
from cdn2s3.console.logging_setup import set_up as set_up_logs
from cdn2s3.console.progress import Progress
from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.capabilities import ProbeResult
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.errors import CAUSES, EXIT_CODES_HELP, Cancelled, FatalError
from cdn2s3.executors.base import InFlight, TaskQueue, TransferTimes
from cdn2s3.executors.process_pool import ProcessPool
from cdn2s3.executors.worker_process import WorkerChannel, keep_to_its_cores, process_count
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import KeyMaker
from cdn2s3.planning.run_plan import choose, kept_input, prepare_run
from cdn2s3.records import Share, Task
from cdn2s3.reports.accounting import RunAccounting
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import load
from cdn2s3.state import files, run_binding
from cdn2s3.state.ledger import FAILED, Ledger
from cdn2s3.text import duration
from cdn2s3.transfer.outcome import Done, FailureAttribution, Result
from cdn2s3.transfer.pipeline import Transfer
from cdn2s3.transfer.wiring import equip, note_on, probe_patiently

log = logging.getLogger("migrate")

TICK = 0.05  # seconds between two looks at the results
SECOND_PASS_AFTER = 60.0  # seconds after a failure: CloudFront keeps an error for 10 s and more


@ending_in_the_log
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    rerun_hint.use_env_file("migrate.py", arguments.env_file)
    signals = Signals()
    try:
        settings = load(MigrationSettings, arguments.env_file)
        if arguments.plan:
            set_up_logs(Path(os.devnull), settings.log_level)  # a plan leaves nothing behind
        else:
            run_binding.make_state_dir(settings.state_dir)
            set_up_logs(settings.state_dir / "migration.log", settings.log_level)
        command = command_of(arguments)
        if command:
            return int(command.run(settings, arguments, signals))
        allow_open_files(settings.concurrency)
        with files.held_lock(settings.state_dir / run_binding.LOCK, "migrate.py") as lock:
            return migrate(settings, arguments, signals, lock)
    except FatalError as error:
        say_error("migrate.py", str(error))
        return error.exit_code
    except Interrupted as interrupted:
        early = "" if command_of(arguments) else " before anything was moved"
        again = rerun_hint.given("migrate.py", vars(arguments))
        say_error("migrate.py", f"stopped by {signals.name}{early}. Run `{again}` again.")
        return interrupted.exit_code


def migrate(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals, lock: int) -> int:
    """Do one run, under the lock (its file descriptor); return the exit code."""
    run_binding.refuse_while_collecting(settings.source_urls_file)
    run_binding.check(settings)
    warning = run_binding.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    keys = key_maker(settings)
    with kept_input(settings) as kept:
        choice = choose(kept, arguments.redo, arguments.retry_failed, arguments.limit)
        plan = prepare_run(kept, keys, choice, time.time())
        ledger = Ledger(settings.state_dir)
        with files.synced_every_second(ledger.completed, ledger.failed):
            run = Run(
                settings, RunAccounting(settings, plan, ledger), signals, arguments.retry_failed is None
            )
            return run.go(lambda: mover(settings, keys, ledger, lock), warning)


class Run:
    """One run: two passes over its URLs, then the books."""

    def __init__(
        self, settings: MigrationSettings, books: RunAccounting, signals: Signals, watch_errors: bool
    ) -> None:
        self.settings = settings
        self.books = books
        self.signals = signals
        self.watch_errors = watch_errors

    def go(self, equipped: Callable[[], AbstractContextManager[Mover]], warning: str | None) -> int:
        """Do both passes; bring the books in order whatever happens; return the exit code."""
        self.signals.note()  # one that is raised might pass the books by
        log.info("%s", self.books.job.text())
        error: FatalError | None = None
        try:
            if self.books.job.todo:
                self._equipped_passes(equipped)
        except FatalError as stopped_by:
            error = stopped_by
        except Interrupted:
            log.warning("stopped by %s before anything was moved", self.signals.name)
        return self.books.close(error, self.signals.received, warning)

    def _equipped_passes(self, equipped: Callable[[], AbstractContextManager[Mover]]) -> None:
        """Do both passes; raise FatalError, or Interrupted before the first: a bucket may take long to answer."""
        with ExitStack() as stack:
            with self.signals.raised():
                mover = stack.enter_context(equipped())
            self._both_passes(mover)

    def _both_passes(self, mover: Mover) -> None:
        progress = Progress(self.books.job.todo)
        try:
            self._pass(self.books.job.tasks(), mover, progress, self.watch_errors)
            again = self.books.tasks_to_try_again() if not self.signals.received else []
            if again:
                log.info(
                    "second pass over %s URLs, %.0f s after the first", f"{len(again):,}", SECOND_PASS_AFTER
                )
                self._wait_for_second_pass(progress)
            if again and not self.signals.received:
                # Nearly all fail here, since they are chosen by that: it says nothing of the run.
                self._pass(iter(again), mover, progress, watch_errors=False)
        finally:
            progress.close()

    def _pass(self, tasks: Iterator[Task], mover: Mover, progress: Progress, watch_errors: bool) -> None:
        """Move tasks and count their results, those too that end while it stops; raise FatalError."""
        stopping = False
        too_many: FatalError | None = None
        with closing(mover.moved(tasks)) as batches:
            for batch in batches:
                for done in batch:
                    self.books.count(done)
                progress.show(self.books.progress(), self._note(mover, stopping))
                if stopping:
                    continue
                too_many = self._too_many_failed() if watch_errors else None
                if self.signals.received or too_many:
                    stopping = True
                    mover.stop()
                if self.signals.received:
                    log.warning(
                        "stopping: waiting for %d uploads in flight, up to %s (a second signal stops at once)",
                        mover.in_flight().uploads,
                        duration(self.settings.upload_timeout),
                    )
        if too_many:
            raise too_many

    def _too_many_failed(self) -> FatalError | None:
        """Return the error that stops the run where more failed lately than MAX_ERROR_RATE allows."""
        rate = self.books.tally.error_rate
        if rate <= self.settings.max_error_rate:
            return None
        return FatalError(
            f"{100 * rate:.0f} % of the last 1,000 URLs failed, more than MAX_ERROR_RATE. "
            f"See {FAILED} for the causes; then run it again: it resumes."
        )

    def _note(self, mover: Mover, stopping: bool) -> str:
        """Return what is to be known of this moment: what is waited for, which side limits."""
        if stopping:
            return f"stopping, {mover.in_flight().uploads} uploads in flight"
        again = f"second pass, {self.books.to_do_again:,} left" if self.books.to_do_again else ""
        notes = [again, mover.note()]
        if self.books.job.todo - self.books.tally.ended <= self.settings.concurrency:
            slowest = str(mover.in_flight())
            notes.append(f"slowest: {slowest}" if slowest else "")
        return "; ".join(note for note in notes if note)

    def _wait_for_second_pass(self, progress: Progress) -> None:
        due = time.monotonic() + SECOND_PASS_AFTER
        while time.monotonic() < due and not self.signals.received:
            progress.show(self.books.progress(), f"second pass in {due - time.monotonic():.0f} s")
            time.sleep(TICK)


# --- the fan-out: a pool of workers, fed one URL at a time ---


class Mover(Protocol):
    """What moves URLs: the workers of this process, or those of several."""

    def moved(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        """Move tasks; yield what is done every TICK, also when it is nothing. Raise FatalError.

        Closed, it lets all workers end.
        """

    def stop(self) -> None:
        """Let no worker begin anything more; downloads are dropped, uploads end."""

    def note(self) -> str:
        """Return what holds the run back at this moment, "" for nothing."""

    def in_flight(self) -> InFlight:
        """Return what is on its way at this moment."""


@contextmanager
def mover(settings: MigrationSettings, keys: KeyMaker, ledger: Ledger, lock: int) -> Iterator[Mover]:
    """Contact the bucket, find out what it checks, and give what moves URLs; raise FatalError."""
    count = process_count(settings)
    most = Share(0, count).workers(settings.concurrency)
    processes = ProcessPool(count, most, TICK, settings.state_dir, lock, share) if count > 1 else None
    with closing(PooledAdapter(settings.concurrency, settings.ca_bundle)) as adapter, ExitStack() as stack:
        if processes:
            stack.enter_context(closing(processes))
            processes.start()  # its processes import what they need while the bucket is probed
        client = S3Client(settings, adapter)
        probed = probe_patiently(settings, client)
        capabilities.log_capabilities(probed, settings)
        if processes:
            log.info("%d processes with %d workers in all", count, settings.concurrency)
            processes.equip(settings, probed, count, client.object_url)
            yield processes
            return
        transfer = equip(settings, client, probed)
        stack.enter_context(closing(transfer))
        yield Workers(keys, transfer, ledger, settings.concurrency)


def share(
    channel: WorkerChannel,
    stop: threading.Event,
    settings: MigrationSettings,
    probed: ProbeResult,
    count: int,
    object_url: str,
) -> None:
    """Be one of count processes: move what the desk hands out, with this process's share of the workers."""
    set_log_level(settings.log_level)
    part = Share(channel.number, count)
    keep_to_its_cores(part)
    workers = part.workers(settings.concurrency)
    ledger = Ledger(settings.state_dir)
    with ExitStack() as stack:
        stack.enter_context(files.synced_every_second(ledger.completed, ledger.failed))
        adapter = stack.enter_context(closing(PooledAdapter(workers, settings.ca_bundle)))
        transfer = equip(settings, S3Client(settings, adapter, object_url), probed, part, stop)
        stack.callback(transfer.close)
        pool = Workers(key_maker(settings), transfer, ledger, workers)
        batches = stack.enter_context(closing(pool.moved_from(channel.queue)))
        for batch in batches:
            channel.report(batch, pool.note(), pool.in_flight(), pool.held)


class Workers:
    """A pool of workers in this process; used by its main thread."""

    def __init__(self, keys: KeyMaker, transfer: Transfer, ledger: Ledger, count: int) -> None:
        self._keys = keys
        self._transfer = transfer
        self._ledger = ledger
        self._count = count
        self._attribution = FailureAttribution({endpoint.name: endpoint for endpoint in transfer.endpoints})
        self._results: collections.deque[Done] = collections.deque()
        self._times = TransferTimes()

    def moved(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        return self.moved_from(TaskQueue(tasks))

    def moved_from(self, queue: TaskQueue) -> Generator[list[Done], None, None]:
        """Move what feed hands out; yield what is done and recorded every TICK, also when it is nothing.

        A failure that may be its side's fault is held until that is known; then it is recorded or done
        again. Raise FatalError after all workers have ended.
        """
        while True:
            with ThreadPoolExecutor(self._count, thread_name_prefix="worker") as pool:
                workers = [pool.submit(self._work, queue) for _ in range(self._count)]
                try:
                    while True:
                        ended = all(future.done() for future in workers)
                        yield self._settled(queue)
                        if any(future.done() and future.exception() for future in workers):
                            self.stop()
                            queue.close()
                        if ended:
                            break
                        wait(workers, TICK)
                except BaseException:
                    self.stop()
                    queue.close()
                    raise
            for future in workers:
                raise_what_ended(future)
            if not queue.has_more:
                yield from self._sides_asked()
            if self._transfer.stop.is_set():
                return
            if queue.has_more:
                continue
            certain, again = self._attribution.give_up()
            yield [self._recorded(done) for done in certain]
            if not again:
                return
            queue.put(*again)

    def _sides_asked(self) -> Iterator[list[Done]]:
        """Ask the sides that the last failures leave in doubt, once each; yield nothing every TICK meanwhile."""
        in_doubt = self._attribution.endpoints_in_doubt()
        with ThreadPoolExecutor(len(self._transfer.endpoints), thread_name_prefix="probe") as pool:
            asked = [pool.submit(_unless_stopped, endpoint.ask) for endpoint in in_doubt]
            while not all(future.done() for future in asked):
                yield []
                time.sleep(TICK)
        for future in asked:
            raise_what_ended(future)

    def _work(self, queue: TaskQueue) -> None:
        """Be a worker: move one URL after the other until there is none, or the run is stopped."""
        for task in queue:
            self._times.begin(task.url)
            try:
                result = self._transfer.move(task.url, self._keys.address(task.url))
                if result.stored is not None:
                    self._ledger.record(result.record(time.time()))
            except Cancelled:
                return
            except FatalError:
                raise
            except BaseException as error:  # noqa: BLE001  # a worker's death must cost one URL and be seen
                log.error("%s: a worker failed: %r", task.url, error)
                why = f"a worker failed: {type(error).__name__}"
                result = Result(task.url, "", cause="destination", message=why)
            finally:
                self._times.end(task.url)
            result = result._replace(attempts=result.attempts + task.attempts)
            self._results.append(Done(task, result))

    def _settled(self, queue: TaskQueue) -> list[Done]:
        """Take what the workers have done; return what is certain of it, failures recorded."""
        batch = []
        for _ in range(len(self._results)):
            done = self._results.popleft()
            if not self._attribution.hold(done):
                batch.append(self._recorded(done))
        certain, again = self._attribution.settle()
        queue.put(*again)
        return batch + [self._recorded(done) for done in certain]

    def _recorded(self, done: Done) -> Done:
        """Record done where it is a failure (a worker has recorded it otherwise) and return it."""
        if done.result.stored is None:
            self._ledger.record(done.result.record(time.time()))
        return done

    def stop(self) -> None:
        self._transfer.stop.set()
        for endpoint in self._transfer.endpoints:
            endpoint.wake()

    def note(self) -> str:
        return note_on(self._transfer.endpoints)

    def in_flight(self) -> InFlight:
        return InFlight(self._transfer.endpoints.bucket.in_flight, self._times.slowest())

    @property
    def held(self) -> int:
        return len(self._attribution)


def _unless_stopped(ask: Callable[[], None]) -> None:
    with suppress(Cancelled):
        ask()


def raise_what_ended(worker: Future[None]) -> None:
    """Raise FatalError where worker ended before its work; SystemExit, say, must not end the run as done."""
    error = worker.exception()
    if isinstance(error, FatalError):
        raise error
    if error is not None:
        raise FatalError(f"a worker died: {error!r}. Run it again: it resumes.") from error


# --- the command line ---


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="migrate.py",
        description="Move every URL of urls.txt from the CDN to the bucket. Run it again to resume.",
        epilog="example:\n  python migrate.py --env-file migration.env\n\n"
        f"{EXIT_CODES_HELP}\nsettings: docs/settings.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--env-file", type=Path, default=Path("migration.env"), metavar="PATH")
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
        help="only what is in failed_transfers.txt, or only one cause of it",
    )
    parser.add_argument(
        "--redo", type=Path, metavar="FILE", help="do the URLs of FILE again (missing.txt, mismatched.txt)"
    )
    arguments = parser.parse_args(argv)
    refuse_contradictions(parser, arguments)
    return arguments


def refuse_contradictions(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    alone = bool(command_of(given)) and not given.plan
    if alone and (given.redo or given.limit or given.retry_failed is not None):
        parser.error("--limit, --retry-failed and --redo go with a run or with --plan")
    if given.redo and given.retry_failed is not None:
        parser.error(
            "--redo and --retry-failed each choose the URLs of a run: give one of them, "
            "then the other in a run of its own"
        )


def commands() -> dict[str, ModuleType]:
    """Return the commands that are no run: the module of each, by its option."""
    # Worker processes import this script too, and need none of them.
    from cdn2s3.commands import adopt, check, create_bucket, plan, sample

    return {"plan": plan, "check": check, "create_bucket": create_bucket, "sample": sample, "adopt": adopt}


def command_of(arguments: argparse.Namespace) -> ModuleType | None:
    """Return the module of the command that arguments ask for, None for a run."""
    return next((module for name, module in commands().items() if getattr(arguments, name)), None)


def cause(text: str) -> str:
    """Return the name of a cause; empty, which stands for all, as it is."""
    if text and text not in CAUSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no cause of failure; choose from {', '.join(CAUSES)}")
    return text


if __name__ == "__main__":
    sys.exit(stdio.run(main))
