"""The side of a Dask worker: one long task, which moves what its queue brings until it is told the end.

It ends by itself when its coordinator, the scheduler or its Dask worker is gone. Nothing here may end the process,
which is Dask's, and nothing is raised: Dask would log and show it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cdn2s3.bootstrap import allow_open_files
from cdn2s3.console.logging_setup import quieten_libraries
from cdn2s3.console.rerun_hint import use_env_file
from cdn2s3.errors import FatalError
from cdn2s3.executors.base import InFlight
from cdn2s3.executors.dask_messages import SILENCE, Job, NewBandwidth, Received, Told, packed, unpacked
from cdn2s3.executors.handing_out import Report
from cdn2s3.executors.worker_process import Channel, ToParent, keep_to_its_cores, move_queue
from cdn2s3.keys import InvalidUrl
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import with_own_headers
from cdn2s3.state.ledger import Completed, Failed
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done
from cdn2s3.transfer.pipeline import Transfer

_REPORT_EVERY = 0.25  # seconds
_IDLE_REPORT_EVERY = 1.0  # seconds; when there is nothing to tell but that we are there
_LOOK_EVERY = 0.2  # seconds between two looks whether the coordinator is there
_WAIT = 5.0  # seconds of one wait for an order
_RUNS = frozenset({"executing", "long-running"})  # states of a task that nobody has cancelled


class Gone(Exception):
    """The coordinator, the scheduler or the Dask worker is not there anymore."""


class NoLedger:
    """Keep nothing: the coordinator alone records."""

    def record(self, record: Completed | Failed) -> None:
        """Leave it to the coordinator."""


class QueueChannel(Channel):
    """The channel of a Dask worker, over two of Dask's queues; for the thread that has begun it."""

    def __init__(self, down: Any, up: Any, member: int, number: int, stop: threading.Event) -> None:
        super().__init__(number)
        self._down = down
        self._up = up
        self._member = member
        self._stop = stop
        self._is_gone = threading.Event()
        self._heard_at = time.monotonic()
        self._sent_at = 0.0
        self._done: list[Done] = []
        self._last = Report([], [], [])
        self._adjustments: list[object] = []
        self._transfer: Transfer | None = None
        self._settings: MigrationSettings | None = None

    # --- orders

    def watch(self, worker: Any, task: str) -> None:
        """Begin to take orders, and to look whether task, the name of ours, is still wanted."""
        threading.Thread(target=self._take_orders, name="orders", daemon=True).start()
        threading.Thread(target=self._watch, args=(worker, task), name="watch", daemon=True).start()

    def _take_orders(self) -> None:
        while not self._is_gone.is_set():
            try:
                order = unpacked(self._down.get(timeout=_WAIT))
            except TimeoutError:
                continue
            except Exception:  # noqa: BLE001  # whatever Dask says when its lines are down
                self._leave()
                return
            self._heard_at = time.monotonic()
            if isinstance(order, list):
                self.queue.requeue(*order)
            elif isinstance(order, (NewBandwidth, Received)):
                self._adjustments.append(order)
            else:
                if order == "stop":
                    self._stop.set()
                self.queue.close()  # signs of life and "stop" still come: the last tasks may take long

    def _watch(self, worker: Any, task: str) -> None:
        while not self._is_gone.wait(_LOOK_EVERY):
            ours = worker.state.tasks.get(task)
            is_wanted = ours is not None and ours.state in _RUNS
            if (
                not is_wanted
                or worker.status.name != "running"
                or time.monotonic() - self._heard_at > SILENCE
            ):
                self._leave()

    def _leave(self) -> None:
        """Stop everything: there is nobody to report to."""
        self._is_gone.set()
        self._stop.set()
        self.queue.close()

    # --- reports

    def begin(self, transfer: Transfer, settings: MigrationSettings) -> None:
        """Let further orders be about transfer, and say that we are ready."""
        self._transfer, self._settings = transfer, settings
        self._tell()

    def report(self, done: list[Done], limits: list[Limiting], in_flight: InFlight, held: int) -> None:
        self._adjust()
        self._done += done
        self._last = Report([], limits, [], in_flight, held)
        quiet = time.monotonic() - self._sent_at
        has_news = self._done or self.records
        if quiet >= (_REPORT_EVERY if has_news else _IDLE_REPORT_EVERY):
            self._tell()

    def _adjust(self) -> None:
        adjustments, self._adjustments = self._adjustments, []
        assert self._transfer is not None and self._settings is not None
        for order in adjustments:
            if isinstance(order, NewBandwidth):
                self._transfer.bandwidth.set_rate(order.bytes_a_second)
            elif isinstance(order, Received):
                with suppress(InvalidUrl):
                    self._transfer.sources.note_success_before(key_maker(self._settings).address(order.url))

    def end(self, error: FatalError | None = None) -> None:
        """Tell what is left to tell, and what has stopped us; nothing more comes after it."""
        if error is not None:
            self._last = self._last._replace(error=(str(error), error.exit_code))
        self._tell(has_ended=True)
        self._is_gone.set()

    def _tell(self, has_ended: bool = False) -> None:
        """Send what there is to the coordinator; raise Gone."""
        if self._is_gone.is_set():
            raise Gone
        done, self._done = self._done, []
        report = self._last._replace(done=done, records=self.take_records())
        self._sent_at = time.monotonic()
        try:
            self._up.put(packed(Told(self._member, report, has_ended)))
        except Exception as error:  # whatever Dask says when its lines are down
            self._leave()
            raise Gone from error


def serve(up_name: str, down_name: str, member: int, task: str) -> None:
    """Be a worker of a run; the body of a Dask task. Its first order is a Job."""
    from distributed import Queue, get_client, get_worker

    client = get_client()
    up, down = Queue(up_name, client=client), Queue(down_name, client=client)
    worker = get_worker()
    with suppress(TimeoutError):
        job = unpacked(down.get(timeout=SILENCE))
        if isinstance(job, Job):  # else it was begun for a worker that is gone
            stop = threading.Event()
            channel = QueueChannel(down, up, member, job.share.number, stop)
            channel.watch(worker, task)
            # A thread of its own: it may be pinned to some cores, and that ends with it.
            body = threading.Thread(target=_serve, args=(channel, stop, job), name="cdn2s3")
            body.start()
            body.join()
    for queue in (up, down):
        queue.close()


def _serve(channel: QueueChannel, stop: threading.Event, job: Job) -> None:
    """Do the job; tell the coordinator how it ended."""
    error: FatalError | None = None
    with _log_of(channel, job.settings.log_level), suppress(Gone):
        try:
            _move(channel, stop, job)
        except FatalError as stopped_by:
            error = stopped_by
        except Gone:
            raise
        except Exception as bug:  # noqa: BLE001  # the coordinator must hear of it, and Dask must not
            error = FatalError(f"a bug in this tool stopped it: {bug!r}")
        channel.end(error)


def _move(channel: QueueChannel, stop: threading.Event, job: Job) -> None:
    use_env_file("migrate.py", job.env_file)
    settings = with_own_headers(job.settings, os.environ)
    if not job.headers.fits(settings.source_headers):
        raise FatalError(
            "SOURCE_HEADERS in the environment of this worker are not those of the coordinator. Set the variable "
            "SOURCE_HEADERS there, then start the worker again."
        )
    if settings.ca_bundle is not None and not settings.ca_bundle.is_file():
        raise FatalError(
            f"there is no file {settings.ca_bundle} (CA_BUNDLE) on the worker's machine. Copy it there, then start the "
            "worker again."
        )
    allow_open_files(settings.concurrency)
    keep_to_its_cores(job.share)

    def equipped(transfer: Transfer) -> None:
        transfer.bandwidth.set_rate(job.bandwidth)
        channel.begin(transfer, settings)

    move_queue(
        channel, stop, settings, job.known, job.share, NoLedger(), job.received_before, on_equipped=equipped
    )


@contextmanager
def _log_of(channel: QueueChannel, level: str) -> Iterator[None]:
    """Send what this project logs to the coordinator, and none of it to Dask's own log."""
    ours, handler = logging.getLogger("cdn2s3"), ToParent(channel)
    before = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(level)
    ours.propagate = False
    quieten_libraries()
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before[0])
        ours.propagate = before[1]
