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

import argparse
import collections
import logging
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Callable, Protocol

from cdn2s3 import (
    adoption,
    creation,
    doctor,
    estimate,
    failures,
    guard,
    htmlreport,
    permissions,
    planning,
    report,
    runstate,
    sample,
    statefile,
    visit,
)
from cdn2s3.bucket import Bucket
from cdn2s3.buffers import BUDGET, Budget
from cdn2s3.crew import Crew, Desk
from cdn2s3.download import Reader
from cdn2s3.errors import (
    CAUSES,
    EXIT_CANNOT_GO_ON,
    EXIT_CODES_HELP,
    EXIT_DONE,
    EXIT_FIXABLE,
    EXIT_SOME_FAILED,
    CannotGoOn,
    Fixable,
    Stopped,
    TryAgain,
    redact,
)
from cdn2s3.feed import Done, Doubts, Feed, Task
from cdn2s3.fingerprints import Fingerprints
from cdn2s3.guard import Probed
from cdn2s3.job import Job, forget_completed, key_maker, look_through, plan_job, urls_of
from cdn2s3.keys import KeyMaker
from cdn2s3.ledger import FAILED, Ledger
from cdn2s3.listing import Listing
from cdn2s3.logs import set_level as set_log_level
from cdn2s3.logs import set_up as set_up_logs
from cdn2s3.pacing import Bandwidth, backoff
from cdn2s3.progress import Count, Progress, duration, shortened
from cdn2s3.s3client import S3Client
from cdn2s3.session import PooledAdapter
from cdn2s3.settings import MB, MigrationSettings, load
from cdn2s3.sides import Side
from cdn2s3.signals import Interrupted, Signals
from cdn2s3.source import Source
from cdn2s3.tally import Tally
from cdn2s3.transfer import Patience, Result, Sides, Transfer
from cdn2s3.underway import Times, Underway

log = logging.getLogger("migrate")

TICK = 0.1  # seconds between two looks at the results
SECOND_PASS_AFTER = 60.0  # seconds after a failure: CloudFront keeps an error for 10 s and more
MOST_CAUSES = 4  # on the last screen; the report has them all
COLUMNS = 80  # of the last screen, for what can be made to fit
_FILES_BESIDES = 64  # open files that are neither a download nor an upload


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    signals = Signals()
    try:
        settings = load(MigrationSettings, arguments.env_file)
        if arguments.plan:
            set_up_logs(Path(os.devnull), settings.log_level)  # a plan leaves nothing behind
            return plan(settings, arguments)
        make_state_dir(settings.state_dir)
        set_up_logs(settings.state_dir / "migration.log", settings.log_level)
        if arguments.check:
            return check(settings)
        if arguments.create_bucket:
            return create_bucket(settings)
        allow_open_files(2 * settings.concurrency + _FILES_BESIDES)
        if arguments.sample:
            return try_sample(settings, arguments, signals)
        with statefile.held_lock(settings.state_dir / runstate.LOCK, "migrate.py") as lock:
            if arguments.adopt:
                return adopt(settings)
            return migrate(settings, arguments, signals, lock)
    except CannotGoOn as error:
        say_error(str(error))
        return error.exit_code
    except Interrupted as interrupted:
        return interrupted.exit_code


def migrate(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals, lock: int) -> int:
    """Do one run, under the lock (its file descriptor); return the exit code."""
    runstate.refuse_while_collecting(settings.source_urls_file)
    runstate.bind(settings)
    warning = runstate.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    keys = key_maker(settings)
    chosen = None
    if arguments.redo:
        chosen = urls_of(arguments.redo, "--redo")
        log.info("%d completed rows forgotten", forget_completed(settings.state_dir, chosen))
    elif arguments.retry_failed is not None:
        chosen = failures.urls_in(settings.state_dir / FAILED, arguments.retry_failed)
    work = look_through(settings, keys)
    job = plan_job(settings, keys, work, chosen, arguments.limit, time.time())
    ledger = Ledger(settings.state_dir)
    with statefile.synced_every_second(ledger.completed, ledger.failed):
        run = Run(settings, job, ledger, signals, watch_errors=arguments.retry_failed is None)
        return run.go(lambda: mover(settings, keys, ledger, lock), warning)


# --- before a run: what it would do, and whether it can ---


def plan(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    """Print what a run would do, take and cost; move nothing, write nothing; return the exit code."""
    chosen = None
    if arguments.redo:
        chosen = urls_of(arguments.redo, "--redo")
    elif arguments.retry_failed is not None:
        chosen = failures.urls_in(settings.state_dir / FAILED, arguments.retry_failed)
    table = estimate.prices(Path(estimate.PRICES_FILE), settings.storage_class)
    survey = planning.looked_through(settings, chosen, bool(arguments.redo), arguments.limit)
    print("\n".join(planning.counts_text(settings, survey)))
    warning = runstate.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    if survey.work.collisions and settings.on_collision == "refuse":
        print("\n".join(["", *planning.collisions_text(settings, survey)]))
        print("\nnext: correct the settings, then python migrate.py --plan")
        return EXIT_FIXABLE
    size = planning.asked_sizes(settings, survey.work, random.Random())  # noqa: S311  # no secret
    speed = estimate.rate(settings, size.mean)
    found = estimate.estimate(survey.todo, size.mean, speed.files_per_second, table)
    print("\n".join(["", *planning.forecast_text(size, speed, found, table)]))
    print(f"\nnext: python {'validate.py' if not survey.todo else 'migrate.py --check'}")
    return EXIT_DONE


CHECKS = (
    doctor.check_versions,
    doctor.check_open_files,
    doctor.check_input,
    doctor.check_disk,
    doctor.check_credentials,
    doctor.check_clock,
    doctor.check_bucket,
    permissions.check_permissions,
    permissions.check_guard,
    permissions.check_acl,
    doctor.check_source,
    doctor.check_edge,
)


def check(settings: MigrationSettings) -> int:
    """Print how everything is that a migration needs; return the exit code."""
    findings = []
    with closing(visit.Visit(settings)) as patient:
        for look in CHECKS:
            for finding in look(patient):
                findings.append(finding)
                print(visit.text(finding), flush=True)
    worst = visit.worst(findings)
    again = "correct what failed, then python migrate.py --check"
    print(f"\nnext: {again if worst == visit.FAILED else 'python migrate.py --sample 100'}")
    return {visit.OK: EXIT_DONE, visit.WARNING: EXIT_SOME_FAILED, visit.FAILED: EXIT_CANNOT_GO_ON}[worst]


def create_bucket(settings: MigrationSettings) -> int:
    """Create the bucket and print the setting that names it; return the exit code."""
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        created = creation.create(settings, lambda chosen: S3Client(chosen, adapter))
    print("\n".join(creation.text(settings, created)))
    return EXIT_SOME_FAILED if created.warning else EXIT_DONE


def try_sample(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Move a few files under _test/, read them back, compare and delete them; return the exit code."""
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)  # noqa: S311  # no secret
    work = planning.looked_through(settings).work
    urls = planning.drawn(settings, work, arguments.sample, random.Random(seed))  # noqa: S311  # no secret
    if not urls:
        print("nothing is pending, so there is nothing to draw from\nnext: python validate.py")
        return EXIT_DONE
    there = sample.rehearsal(settings)
    print(
        f"sample: {len(urls):,} of {work.pending:,} pending URLs, seed {seed}, to "
        f"s3://{there.destination_bucket}/{there.destination_prefix}",
        flush=True,
    )
    if work.collisions and settings.on_collision == "refuse":
        log.warning("%d URLs collide: a run would not start; see python migrate.py --plan", work.collisions)
    with closing(PooledAdapter(there.concurrency, there.ca_bundle)) as adapter:
        client = S3Client(there, adapter)
        probed = probe_patiently(there, client)
        transfer, bucket = equip(there, client, probed, 1), Bucket(there, client, probed.guard)
        with closing(transfer.source), signals.noted():
            outcomes = sample.Sample(there, transfer, bucket, lambda: bool(signals.received)).go(urls)
    print("\n".join(sample.text(settings, outcomes, work.pending)))
    if signals.received:
        return 128 + signals.received
    print(f"next: python migrate.py{'' if outcomes.is_fine else ' --check'}")
    return EXIT_DONE if outcomes.is_fine else EXIT_SOME_FAILED


def adopt(settings: MigrationSettings) -> int:
    """Record what lies in the bucket already as completed, under the lock; return the exit code."""
    runstate.refuse_while_collecting(settings.source_urls_file)
    runstate.bind(settings)
    keys = key_maker(settings)
    work = look_through(settings, keys)
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        adopted = adoption.adopt(settings, keys, work, Listing(S3Client(settings, adapter), settings))
    print("\n".join(adoption.text(adopted, work.pending)))
    return EXIT_DONE


class Run:
    """One run: two passes over its URLs, then the books."""

    def __init__(
        self, settings: MigrationSettings, job: Job, ledger: Ledger, signals: Signals, watch_errors: bool
    ) -> None:
        self.settings = settings
        self.job = job
        self.ledger = ledger
        self.signals = signals
        self.watch_errors = watch_errors
        self.tally = Tally(time.time())
        self.failed = Fingerprints()  # URLs that failed in this run
        self.healed = Fingerprints()  # URLs that failed once and are completed now
        self.failed_pending = job.failed_pending  # pending lines of the input that only an earlier run tried
        self.tried = 0
        self.completed_began = ledger.completed.size()
        self.failed_began = ledger.failed.size()

    def go(self, equipped: Callable[[], Mover], warning: str | None) -> int:
        """Do both passes; bring the books in order whatever happens; return the exit code."""
        log.info("%s", self._beginning())
        why, error = "", None
        try:
            mover = equipped() if self.job.todo else None
            with self.signals.noted():
                if mover:
                    self._both_passes(mover)
            if self.signals.received:
                why = f"signal {self.signals.received}"
        except CannotGoOn as stopped_by:
            why, error = str(stopped_by), stopped_by
        with self.signals.noted():
            return self._finish(why, error, warning)

    def _beginning(self) -> str:
        work = self.job.work
        return (
            f"{work.lines} lines: {work.blank} blank, {work.duplicates} duplicates, {work.malformed} malformed, "
            f"{work.collisions} collisions, {work.done} done before, {work.pending} pending; "
            f"this run does {self.job.todo}"
        )

    def _both_passes(self, mover: Mover) -> None:
        progress = Progress(self.job.todo)
        try:
            self._pass(self.job.tasks(), mover, progress)
            again = self._tasks_to_try_again() if not self.signals.received else []
            if again:
                log.info("second pass over %d URLs, %.0f s after the first", len(again), SECOND_PASS_AFTER)
                self._wait_for_second_pass(progress)
            if again and not self.signals.received:
                self._pass(iter(again), mover, progress)
        finally:
            progress.close()

    def _pass(self, tasks: Iterator[Task], mover: Mover, progress: Progress) -> None:
        """Move tasks and count their results, those too that end while it stops; raise CannotGoOn."""
        stopping = False
        too_many: CannotGoOn | None = None
        for batch in mover.moved(tasks):
            for done in batch:
                self._count(done)
            progress.show(self._progress(), self._note(mover, stopping))
            if stopping:
                continue
            too_many = self._too_many_failed()
            if self.signals.received or too_many:
                stopping = True
                mover.stop()
            if self.signals.received:
                log.warning(
                    "stopping: waiting for %d uploads in flight (a second signal stops at once)",
                    mover.underway().uploads,
                )
        if too_many:
            raise too_many

    def _too_many_failed(self) -> CannotGoOn | None:
        """Return the error that stops the run where more failed lately than MAX_ERROR_RATE allows."""
        if not self.watch_errors or self.tally.error_rate <= self.settings.max_error_rate:
            return None
        return CannotGoOn(
            f"{100 * self.tally.error_rate:.0f} % of the last 1,000 URLs failed, more than "
            f"MAX_ERROR_RATE. See {FAILED} for the causes; then run it again: it resumes."
        )

    def _note(self, mover: Mover, stopping: bool) -> str:
        """Return what is to be known of this moment: what is waited for, which side limits."""
        if stopping:
            return f"stopping, {mover.underway().uploads} uploads in flight"
        notes = [mover.note()]
        left = self.job.todo - self.tally.ended
        if left <= self.settings.concurrency:
            slowest = str(mover.underway())
            notes.append(f"slowest: {slowest}" if slowest else "")
        return "; ".join(note for note in notes if note)

    def _count(self, done: Done) -> None:
        result, url = done.result, done.result.url.encode("utf-8", "surrogateescape")
        first_in_run = not done.task.cause
        if first_in_run:
            self.tried += 1
            self.failed_pending -= url in self.job.failed_before
        else:
            self.tally.take_back(result.url, done.task.cause)
        if result.stored is None:
            self.failed.add(url)
        elif not first_in_run or url in self.job.failed_before:
            self.healed.add(url)
        self.tally.add(result, time.time())

    def _progress(self) -> Count:
        tally = self.tally
        return Count(tally.ended, tally.bytes, sum(tally.failed.values()), tally.error_rate)

    def _tasks_to_try_again(self) -> list[Task]:
        """Return the URLs that failed in this run for a cause that may have passed."""
        path = self.settings.state_dir / FAILED
        return [
            Task(record.url, int(record.attempts), record.cause)
            for record in failures.transient(path, self.failed_began)
        ]

    def _wait_for_second_pass(self, progress: Progress) -> None:
        due = time.monotonic() + SECOND_PASS_AFTER
        while time.monotonic() < due and not self.signals.received:
            progress.show(self._progress(), f"second pass in {due - time.monotonic():.0f} s")
            time.sleep(TICK)

    def _finish(self, why: str, error: CannotGoOn | None, warning: str | None) -> int:
        """Rebuild failed_transfers.txt, audit, report, say the summary; return the exit code."""
        audit = self._audit()
        code = self._exit_code(error, audit)
        ended = time.time()
        state = self.settings.state_dir
        ending = report.Ending(ended, code, why, next_command(self.tally, audit, code))
        written = report.migration(self.settings, self.tally, audit, ending, report.standing(state / FAILED))
        report.write_json(state / "migration_report.json", written)
        htmlreport.write(state / "migration_report.html", htmlreport.migration(written))
        if error is not None:
            log.error("%s", error)
        if not audit.holds:
            log.error("the lines do not add up: %s. Please report this.", audit)
        print(summary(self.settings, self.tally, audit, ended, code))
        if warning:
            log.warning("%s", warning)
        return code

    def _audit(self) -> report.Audit:
        """Count where every line of the input is now, from the files wherever they tell."""
        state, work = self.settings.state_dir, self.job.work
        causes = failures.rebuild(
            state / FAILED, lambda url: url.encode("utf-8", "surrogateescape") in self.healed
        )
        appended = sum(1 for _ in statefile.whole_lines(self.ledger.completed.path, self.completed_began))
        return report.Audit(
            work.lines,
            work.blank,
            work.duplicates,
            work.done + appended,
            sum(causes.values()) - self.job.failed_elsewhere,
            work.pending - self.tried - self.failed_pending,
        )

    def _exit_code(self, error: CannotGoOn | None, audit: report.Audit) -> int:
        if error is not None:
            return error.exit_code
        if self.signals.received:
            return 128 + self.signals.received
        return EXIT_SOME_FAILED if audit.failed or not audit.holds else EXIT_DONE


# --- the fan-out: a pool of workers, fed one URL at a time ---


class Mover(Protocol):
    """What moves URLs: the workers of this process, or those of several."""

    def moved(self, tasks: Iterator[Task]) -> Iterator[list[Done]]:
        """Move tasks; yield what is done every TICK, also when it is nothing. Raise CannotGoOn."""

    def stop(self) -> None:
        """Let no worker begin anything more; downloads are dropped, uploads end."""

    def note(self) -> str:
        """Return what holds the run back at this moment, "" for nothing."""

    def underway(self) -> Underway:
        """Return what is on its way at this moment."""


def mover(settings: MigrationSettings, keys: KeyMaker, ledger: Ledger, lock: int) -> Mover:
    """Contact the bucket, find out what it checks, and return what moves URLs; raise CannotGoOn."""
    client = S3Client(settings, PooledAdapter(settings.concurrency, settings.ca_bundle))
    probed = probe_patiently(settings, client)
    guard.say(probed, settings)
    count = process_count(settings)
    if count == 1:
        return Workers(keys, equip(settings, client, probed, 1), ledger, settings.concurrency)
    workers = max(1, settings.concurrency // count)
    log.info("%d processes with %d workers each", count, workers)
    return Crew(
        count, workers, TICK, settings.state_dir, lock, share, settings, probed, count, client.object_url
    )


def process_count(settings: MigrationSettings) -> int:
    """Return how many processes PROCESSES asks for; auto is one a core, with 16 workers each at least."""
    if settings.processes == "auto":
        return max(1, min(len(os.sched_getaffinity(0)), settings.concurrency // 16))
    return min(int(settings.processes), settings.concurrency)


def share(
    desk: Desk,
    stop: threading.Event,
    settings: MigrationSettings,
    probed: Probed,
    count: int,
    object_url: str,
) -> None:
    """Be one of count processes: move what the desk hands out, with this process's share of the workers."""
    set_log_level(settings.log_level)
    workers = max(1, settings.concurrency // count)
    client = S3Client(settings, PooledAdapter(workers, settings.ca_bundle), object_url)
    ledger = Ledger(settings.state_dir)
    with statefile.synced_every_second(ledger.completed, ledger.failed):
        pool = Workers(key_maker(settings), equip(settings, client, probed, count, stop), ledger, workers)
        for batch in pool.moved_from(desk.feed):
            desk.hand_in(batch, pool.note(), pool.underway(), pool.held)


class Workers:
    """A pool of workers in this process; used by its main thread."""

    def __init__(self, keys: KeyMaker, transfer: Transfer, ledger: Ledger, count: int) -> None:
        self._keys = keys
        self._transfer = transfer
        self._ledger = ledger
        self._count = count
        self._doubts = Doubts({side.name: side for side in transfer.sides})
        self._results: collections.deque[Done] = collections.deque()
        self._times = Times()

    def moved(self, tasks: Iterator[Task]) -> Iterator[list[Done]]:
        return self.moved_from(Feed(tasks))

    def moved_from(self, feed: Feed) -> Iterator[list[Done]]:
        """Move what feed hands out; yield what is done and recorded every TICK, also when it is nothing.

        A failure that may be its side's fault is held until that is known; then it is recorded or done
        again. Raise CannotGoOn after all workers have ended.
        """
        while True:
            with ThreadPoolExecutor(self._count, thread_name_prefix="worker") as pool:
                workers = [pool.submit(self._work, feed) for _ in range(self._count)]
                try:
                    while True:
                        ended = all(future.done() for future in workers)
                        yield self._settled(feed)
                        if any(future.done() and future.exception() for future in workers):
                            self.stop()
                            feed.close()
                        if ended:
                            break
                        time.sleep(TICK)
                except BaseException:
                    self.stop()
                    feed.close()
                    raise
            for future in workers:
                raise_what_ended(future)
            if self._transfer.stop.is_set():
                return
            if not feed.has_more:
                break
        yield [self._recorded(done) for done in self._doubts.give_up()]

    def _work(self, feed: Feed) -> None:
        """Be a worker: move one URL after the other until there is none, or the run is stopped."""
        for task in feed:
            self._times.begin(task.url)
            try:
                result = self._transfer.move(task.url, self._keys.address(task.url))
                if result.stored is not None:
                    self._ledger.record(result, time.time())
            except Stopped:
                return
            except CannotGoOn:
                raise
            except BaseException as error:  # noqa: BLE001  # a worker's death must cost one URL and be seen
                log.error("%s: a worker failed: %r", task.url, error)
                why = f"a worker failed: {type(error).__name__}"
                result = Result(task.url, "", cause="destination", message=why)
            finally:
                self._times.end(task.url)
            result = result._replace(attempts=result.attempts + task.attempts)
            self._results.append(Done(task, result))

    def _settled(self, feed: Feed) -> list[Done]:
        """Take what the workers have done; return what is certain of it, failures recorded."""
        batch = []
        for _ in range(len(self._results)):
            done = self._results.popleft()
            if not self._doubts.hold(done):
                batch.append(self._recorded(done))
        certain, again = self._doubts.settle()
        feed.put(*again)
        return batch + [self._recorded(done) for done in certain]

    def _recorded(self, done: Done) -> Done:
        """Record done where it is a failure (a worker has recorded it otherwise) and return it."""
        if done.result.stored is None:
            self._ledger.record(done.result, time.time())
        return done

    def stop(self) -> None:
        self._transfer.stop.set()
        for side in self._transfer.sides:
            side.wake()

    def note(self) -> str:
        return note_on(self._transfer.sides)

    def underway(self) -> Underway:
        return Underway(self._transfer.sides.bucket.in_flight, self._times.slowest())

    @property
    def held(self) -> int:
        return len(self._doubts)


def raise_what_ended(worker: Future[None]) -> None:
    """Raise CannotGoOn where worker ended before its work; SystemExit, say, must not end the run as done."""
    error = worker.exception()
    if isinstance(error, CannotGoOn):
        raise error
    if error is not None:
        raise CannotGoOn(f"a worker died: {error!r}. Run it again: it resumes.") from error


# --- what the workers share ---


def equip(
    settings: MigrationSettings,
    client: S3Client,
    probed: Probed,
    processes: int,
    stop: threading.Event | None = None,
) -> Transfer:
    """Return what the workers of one of so many processes share."""
    stop = stop or threading.Event()
    workers = max(1, settings.concurrency // processes)
    source = Source(settings.url_prefix, PooledAdapter(workers, settings.ca_bundle, stop), stop)
    bucket = Bucket(settings, client, probed.guard)
    sides = Sides(
        Side("source", workers, settings.outage_limit, stop, source.probe),
        Side("bucket", workers, settings.outage_limit, stop, bucket.is_up),
    )
    integrity = guard.integrity(probed, settings)
    return Transfer(
        source,
        bucket,
        sides,
        Reader(settings.content_check, settings.max_buffer_bytes, integrity),
        Budget(BUDGET // processes, stop),
        Bandwidth(settings.bandwidth_limit_mbps * 1e6 / 8 / processes),
        Patience(settings.max_retries, settings.download_timeout, settings.upload_timeout),
        stop,
    )


def probe_patiently(settings: MigrationSettings, client: S3Client) -> guard.Probed:
    """Probe the bucket, with retries like any upload; raise CannotGoOn when it does not answer."""
    for failed in range(1, settings.max_retries + 2):
        try:
            return guard.probe(settings, client)
        except TryAgain as error:
            log.warning("the bucket at %s does not answer: %s", client.endpoint, error.message)
            if failed > settings.max_retries:
                raise CannotGoOn(
                    f"the bucket at {client.endpoint} cannot be reached: {error.message}. Check the network, "
                    "AWS_ENDPOINT_URL and AWS_REGION, then run it again."
                ) from error
            time.sleep(backoff(failed))
    raise AssertionError("unreachable")


def note_on(sides: Sides) -> str:
    """Return which side holds the run back at this moment and why, "" for neither."""
    notes = []
    for side in sides:
        health = side.health()
        if health.down_for is not None:
            notes.append(
                f"{side.name} is down for {duration(health.down_for)} ({health.why}), "
                f"next probe in {duration(health.next_probe_in or 0)}"
            )
        elif health.limit < side.workers:
            notes.append(f"{side.name} throttled to {health.limit} of {side.workers}")
    return ", ".join(notes)


# --- the last screen ---


def summary(settings: MigrationSettings, tally: Tally, audit: report.Audit, ended: float, code: int) -> str:
    """Return what became of the run, in ten lines at most."""
    seconds = max(ended - tally.began, 0.001)
    already = f" ({tally.already_there} were already there)" if tally.already_there else ""
    lines = [
        f"{tally.stored} stored{already}, {tally.bytes / MB:.1f} MB in {duration(seconds)}: "
        f"{tally.stored / seconds:.0f} files/s, {tally.bytes / MB / seconds:.1f} MB/s",
        f"{audit}",
    ]
    causes = [(cause, count) for cause, count in tally.failed.most_common() if count]
    for cause, count in causes[:MOST_CAUSES]:
        lines.append(f"  {count} {cause}: {CAUSES[cause].meaning}")
        for example in tally.examples[cause][:1]:  # none when a stop came between the passes
            line = f"  {count} {cause}: {shortened(redact(example.message), COLUMNS // 2)}, e.g. "
            lines[-1] = line + shortened(redact(example.url), COLUMNS - len(line))
    if len(causes) > MOST_CAUSES:
        rest = sum(count for _, count in causes[MOST_CAUSES:])
        lines.append(f"  {rest} of {len(causes) - MOST_CAUSES} more causes: see migration_report.html")
    if audit.not_tried:
        lines.append(f"not tried {audit.not_tried}")
    lines.append(f"state, log and report: {settings.state_dir.resolve()}")
    lines.append(f"next: {next_command(tally, audit, code)}")
    return "\n".join(lines)


def next_command(tally: Tally, audit: report.Audit, code: int) -> str:
    """Return the command that a person would type now."""
    if audit.not_tried or code not in (EXIT_DONE, EXIT_SOME_FAILED):
        return "python migrate.py"
    transient = [cause for cause, count in tally.failed.items() if count and CAUSES[cause].transient]
    if transient:
        return f"python migrate.py --retry-failed {transient[0]}"
    return "python validate.py"


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
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--plan", action="store_true", help="count, find collisions, estimate; move nothing")
    before.add_argument("--check", action="store_true", help="look at credentials, bucket, network, disk")
    before.add_argument("--create-bucket", action="store_true", help="create DESTINATION_BUCKET")
    before.add_argument(
        "--sample", type=sample_size, metavar="N", help="try N URLs under _test/, then delete"
    )
    before.add_argument("--adopt", action="store_true", help="the state is lost: record what the bucket has")
    parser.add_argument("--seed", type=positive, metavar="N", help="draw the same --sample again")
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N pending URLs")
    parser.add_argument(
        "--retry-failed",
        nargs="?",
        const="",
        choices=["", *CAUSES],
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
    alone = given.check or given.create_bucket or given.sample or given.adopt
    if alone and (given.redo or given.limit or given.retry_failed is not None):
        parser.error("--limit, --retry-failed and --redo go with a run or with --plan")
    if given.seed is not None and not given.sample:
        parser.error("--seed goes with --sample")


def sample_size(text: str) -> int:
    if positive(text) > sample.MOST:
        raise argparse.ArgumentTypeError(f"at most {sample.MOST}")
    return int(text)


def positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on")
    return int(text)


def say_error(message: str) -> None:
    """Say why the run ends: in the log where there is one already, else on stderr."""
    if logging.getLogger().handlers:
        log.error("%s", message)
    else:
        print(f"migrate.py: {redact(message)}", file=sys.stderr)


def make_state_dir(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fixable(f"STATE_DIR {folder} cannot be made: {error.strerror}. Correct the path.") from error


def allow_open_files(needed: int) -> None:
    """Raise this process's limit of open files to needed; raise Fixable when that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Fixable(
            f"CONCURRENCY needs {needed} open files, {hard} are allowed: lower it, or raise ulimit -n."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


if __name__ == "__main__":
    sys.exit(main())
