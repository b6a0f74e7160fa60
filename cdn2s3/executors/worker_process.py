"""The side of a worker process: its channel to the parent, its reports, its share of the run."""

from __future__ import annotations

import logging
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing import reduction
from pathlib import Path
from typing import Any, Callable

from cdn2s3.console.logging_setup import set_level
from cdn2s3.console.rerun_hint import use_env_file
from cdn2s3.console.signals import STOPPING
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.errors import FatalError
from cdn2s3.executors.base import InFlight, Recorder, TaskQueue
from cdn2s3.executors.handing_out import LogRecord, Report
from cdn2s3.executors.threads import ThreadExecutor
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Share
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.files import synced_every_second
from cdn2s3.state.ledger import Ledger
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done
from cdn2s3.transfer.pipeline import Transfer
from cdn2s3.transfer.wiring import equip


class Channel:
    """The channel through which a process gets tasks and reports results; its line is a subclass's business."""

    def __init__(self, number: int) -> None:
        self.number = number  # of this process, from 0; one that replaces another has the same
        self.queue = TaskQueue(is_open=True)
        self.records: list[LogRecord] = []

    def report(self, done: list[Done], limits: list[Limiting], in_flight: InFlight, held: int) -> None:
        """Report to the parent what is done, what limits us, what is in flight, how many failures are deferred."""
        self._send(Report(done, limits, [], in_flight, held))

    def give_up(self, error: FatalError) -> None:
        """Report to the parent what stops us."""
        self._send(Report([], [], [], error=(str(error), error.exit_code)))

    def _send(self, report: Report) -> None:
        """Send report with the log records that have come since the last one."""
        raise NotImplementedError

    def take_records(self) -> list[LogRecord]:
        """Return the log records since the last call; for one thread, while others log."""
        records, self.records = self.records, []
        return records


class WorkerChannel(Channel):
    """The channel of a process of this machine, over a pipe; created in the child's main thread."""

    def __init__(
        self, pipe: multiprocessing.connection.Connection, stop: threading.Event, number: int
    ) -> None:
        super().__init__(number)
        self._pipe = pipe
        self._stop = stop
        threading.Thread(target=self._take_orders, name="orders", daemon=True).start()

    def _take_orders(self) -> None:
        while True:
            try:
                order = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(3)  # the parent is gone, and its lock with it: not a byte more
            if isinstance(order, list):
                self.queue.requeue(*order)
            else:
                if order == "stop":
                    self._stop.set()
                self.queue.close()

    def _send(self, report: Report) -> None:
        self._pipe.send(report._replace(records=self.take_records()))


class ToParent(logging.Handler):
    """Keep log records for the next report."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        about = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        identity = (record.name, record.lineno, about)
        self._channel.records.append(LogRecord(record.levelno, record.getMessage(), identity))


class InheritedFd:
    """An open file that a new process gets too, and keeps open as long as it lives."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _kept, (reduction.DupFd(self._fd),)


def _kept(handle: Any) -> InheritedFd:
    return InheritedFd(handle.detach())


def in_child(
    pipe: multiprocessing.connection.Connection, lock: InheritedFd, body: Callable[..., None], number: int
) -> None:
    """Run body in a new process. The parent handles signals and passes on the order to stop."""
    for ignored in STOPPING:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    try:
        arguments = pipe.recv()
    except (EOFError, OSError):
        return  # there will be no work
    stop = threading.Event()
    channel = WorkerChannel(pipe, stop, number)
    logging.getLogger().addHandler(ToParent(channel))
    try:
        body(channel, stop, *arguments)
    except FatalError as error:
        channel.give_up(error)


log = logging.getLogger(__name__)


_LEAST_WORKERS = 16  # of a process that PROCESSES=auto starts; fewer do not fill a core


def cores_of(share: Share, usable: list[int]) -> set[int]:
    """Return share's part of the usable cores: all of them if they cannot be divided evenly.

    Every of-th one: on an EC2 instance the two halves of a hyperthreaded core are numbered half of all
    apart, and one process gets both where that divides evenly too.
    """
    return set(usable if len(usable) % share.of else usable[share.number :: share.of])


def keep_to_its_cores(share: Share) -> None:
    """Pin the threads that are started from now on to share's cores, if Linux allows it.

    Pinning keeps the GIL from bouncing between cores. What is and is not measured of it: docs/scale.md.
    """
    if share.of == 1 or not hasattr(os, "sched_setaffinity"):
        return
    try:
        os.sched_setaffinity(0, cores_of(share, usable_cores()))
    except OSError as error:  # a container's rules: this only costs speed
        log.debug("cannot pin this process to its cores: %s", error)


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))  # macOS


def process_count(settings: MigrationSettings) -> int:
    """Return how many processes PROCESSES asks for; auto is one per core, with 16 workers each at least."""
    if settings.processes == "auto":
        return max(1, min(len(usable_cores()), settings.concurrency // _LEAST_WORKERS))
    return min(int(settings.processes), settings.concurrency)


def run_share(
    channel: WorkerChannel,
    stop: threading.Event,
    settings: MigrationSettings,
    known: dict[str, object],
    count: int,
    env_file: Path,
) -> None:
    """Run as one of count processes: move what channel hands out, with this process's share of the workers.

    known is what the run's first process knows about the destinations, by place; env_file is named in the commands of
    messages.
    """
    use_env_file("migrate.py", env_file)
    set_level(settings.log_level)
    part = Share(channel.number, count)
    keep_to_its_cores(part)
    ledger = Ledger(settings.state_dir)
    with synced_every_second(ledger.completed, ledger.failed):
        move_queue(channel, stop, settings, known, part, ledger)


def move_queue(
    channel: Channel,
    stop: threading.Event,
    settings: MigrationSettings,
    known: Mapping[str, object],
    share: Share,
    ledger: Recorder,
    received_before: Iterable[str] | None = None,
    on_equipped: Callable[[Transfer], object] = bool,
) -> None:
    """Move what channel hands out with share's part of the workers, until its queue ends; raise FatalError.

    known is what the run's first process knows about the destinations, by place; received_before as for equip().
    on_equipped gets what the workers share, before they begin.
    """
    workers = share.workers(settings.concurrency)
    with ExitStack() as stack:
        adapter = stack.enter_context(closing(PooledAdapter(workers, settings.ca_bundle)))
        destinations = open_destinations(settings, adapter, known)
        transfer = equip(settings, destinations, share, stop, received_before=received_before)
        stack.callback(transfer.close)
        on_equipped(transfer)
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="worker"))
        executor = ThreadExecutor(pool, workers, key_maker(settings), transfer, ledger)
        batches = stack.enter_context(closing(executor.run_queue(channel.queue)))
        for batch in batches:
            channel.report(batch, executor.limiting(), executor.in_flight(), executor.deferred)
