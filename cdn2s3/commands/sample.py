"""`migrate.py --sample`: move a few files under `_test/`, read them back, compare them, delete them.

The files take the same path as in a run. Nothing is recorded: completed.txt and failed_transfers.txt are only
for real runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import md5
from typing import Callable, TypeVar

from cdn2s3.bootstrap import allow_open_files
from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.commands.arguments import positive
from cdn2s3.commands.plan import drawn
from cdn2s3.commands.sample_text import PREFIX, Comparison, Outcomes, text
from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.errors import (
    EXIT_DONE,
    EXIT_SOME_FAILED,
    Cancelled,
    MigrationError,
    PermanentError,
    TransientError,
    UsageError,
)
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import Address, InvalidUrl
from cdn2s3.planning.run_plan import Choice, plan_run
from cdn2s3.records import ANSWERED, UNKNOWN
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.resilience.retry import with_retries
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import run_binding
from cdn2s3.state.ledger import encode_line
from cdn2s3.text import pluralize
from cdn2s3.transfer.outcome import Result
from cdn2s3.transfer.pipeline import Transfer
from cdn2s3.transfer.wiring import equip

log = logging.getLogger(__name__)

MOST = 10_000  # files of a sample: more would not tell you more


def rehearsal(settings: MigrationSettings) -> MigrationSettings:
    """Return settings with which every key begins with `_test/`, and existing objects stay."""
    prefix = PREFIX + settings.destination_prefix
    return dataclasses.replace(settings, destination_prefix=prefix, on_existing="verify")


Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Sample:
    """Move, compare and delete the files of one sample; used by the main thread."""

    def __init__(
        self,
        settings: MigrationSettings,
        transfer: Transfer,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        """settings are those of rehearsal()."""
        self._settings = settings
        self._keys = key_maker(settings)
        self._timeout = settings.upload_timeout
        self._workers = settings.concurrency
        self._transfer = transfer
        self._sites = transfer.sites
        self._place_of = settings.placement.place_of
        self._asked_to_stop = asked_to_stop

    def go(self, urls: Sequence[str]) -> Outcomes:
        """Move urls, and delete what was stored in any case; raise FatalError."""
        began = time.monotonic()
        results: list[Result] = []
        left: list[str] = []
        try:
            try:
                self._each(self._moved, urls, results)
            finally:
                seconds = time.monotonic() - began
            comparisons: list[Comparison] = []
            stored = [result for result in results if result.stored is not None]
            if not self._asked_to_stop():
                self._each(self._compared, stored, comparisons)
        finally:
            self._each(self._deleted, results, left, whatever_happens=True)
            for place, site in self._sites.items():
                left += [self._gone(place, key) for key in site.destination.probes_left]
            for key in filter(None, left):
                log.debug("left in the bucket: %s", key)
        same = sum(compared.are_equal is True for compared in comparisons)
        different = [compared.key for compared in comparisons if compared.are_equal is False]
        unread = list(dict.fromkeys(compared.why for compared in comparisons if compared.are_equal is None))
        return Outcomes(results, seconds, same, different, unread, sorted(filter(None, left)))

    def _each(
        self,
        work: Callable[[Item], Outcome],
        items: Iterable[Item],
        outcomes: list[Outcome],
        whatever_happens: bool = False,
    ) -> None:
        """Run work for each item in the workers and append its results to outcomes; raise what it raises.

        After a failure or a signal, items that have not started are skipped, unless whatever_happens.
        """
        failures: list[BaseException] = []

        def attempt(item: Item) -> list[Outcome]:
            try:
                return [work(item)]
            except Cancelled:
                return []
            except BaseException as error:  # noqa: BLE001  # raised below, when all workers have ended
                failures.append(error)
                return []

        def look() -> None:
            if (failures or self._asked_to_stop()) and not whatever_happens:
                self._stop()

        with fan_out(attempt, items, self._workers, self._transfer.stop, look) as answers:
            for answer in answers:
                outcomes += answer
        if failures:
            raise failures[0]

    def _stop(self) -> None:
        """Let no worker start anything else; downloads are dropped, uploads end."""
        self._transfer.stop.set()
        for endpoint in self._transfer.endpoints:
            endpoint.notify()

    def _moved(self, url: str) -> Result:
        if self._transfer.stop.is_set():
            raise Cancelled
        try:
            address: Address = self._keys.address(url)
        except InvalidUrl as error:  # with `_test/` the key may be too long
            return Result(url, "", cause="malformed", message=str(error))
        return self._transfer.move(url, address, self._place_of(encode_line(url)))

    def _compared(self, result: Result) -> Comparison:
        """Compare the object of result with the CDN's bytes."""
        if self._transfer.stop.is_set():
            raise Cancelled
        assert result.stored is not None
        try:
            site = self._sites[result.stored.place]
            theirs = site.destination.md5(result.key, Deadline(self._timeout))
            ours = result.stored.md5
            if ours == UNKNOWN or result.stored.md5_from == ANSWERED:
                ours = self._md5_at_source(result.url, site.reader)
        except (PermanentError, TransientError) as error:
            return Comparison(result.key, None, error.message)
        return Comparison(result.key, theirs == ours)

    def _md5_at_source(self, url: str, reader: BodyReader) -> str:
        """Return the MD5 of the file at url, downloaded again, because this run has computed none (crc32, auto)."""
        limit = Deadline(self._transfer.policy.download_timeout)
        digest, room = md5(usedforsecurity=False), memoryview(bytearray(1 << 18))
        with self._transfer.sources.get(self._keys.address(url), limit) as answer:
            body = reader.body_of(answer)
            while got := body.read_into(room):
                digest.update(room[:got])
        return digest.hexdigest()

    def _deleted(self, result: Result) -> str:
        """Delete the object of result; return its key if it stays, else ""."""
        if result.stored is None:
            return ""
        if result.stored.already_there:
            return result.key  # it may not be ours to delete
        return self._gone(result.stored.place, result.key)

    def _gone(self, place: str, key: str) -> str:
        """Delete the object at key, with retries; return key if it stays, else ""."""
        try:
            deleted = with_retries(
                lambda: self._sites[place].destination.delete(key, Deadline(self._timeout)),
                self._transfer.policy.retry,
                self._sleep_unless_asked_to_stop,
            )
        except MigrationError as error:
            log.debug("delete of %s failed: %s", key, error)
            return key
        return "" if deleted else key

    def _sleep_unless_asked_to_stop(self, seconds: float) -> None:
        if self._asked_to_stop():
            raise Cancelled("asked to stop")
        time.sleep(seconds)


# --- text for people ---


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help="move N random images to _test/, compare, then delete them",
    )


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Move a few files under _test/, read them back, compare and delete them; return the exit code."""
    if arguments.sample > MOST:
        raise UsageError(f"--sample takes {MOST} URLs at most, because each is read back in full.")
    allow_open_files(settings.concurrency)
    run_binding.check(settings)
    work = plan_run(settings, key_maker(settings), Choice())[0].work
    urls = drawn(work, arguments.sample, random.Random())  # noqa: S311  # no secret
    if not urls:
        show(f"nothing is pending, so there is nothing to sample\nnext: {command('migrate.py', '--plan')}")
        return EXIT_DONE
    there = rehearsal(settings)
    show(f"sample: {len(urls):,} of {work.pending:,} pending URLs, to {there.destination_text}")
    refused = bool(work.collisions) and settings.on_collision == "refuse"
    if refused:
        collide = pluralize(work.collisions, "URL collides", "URLs collide")
        log.warning("%s: a run would refuse to start; see %s", collide, command("migrate.py", "--plan"))
    with closing(PooledAdapter(there.concurrency, there.ca_bundle)) as adapter:
        destinations = open_destinations(there, adapter)
        destinations.prepare()
        transfer = equip(there, destinations)
        with closing(transfer), signals.noted():
            outcomes = Sample(there, transfer, lambda: bool(signals.received)).go(urls)
    show("\n".join(text(settings, outcomes, work.pending)))
    if signals.received:
        return 128 + signals.received
    option = ["--plan"] if refused else [] if outcomes.is_fine else ["--check"]
    show(f"next: {command('migrate.py', *option)}")
    return EXIT_DONE if outcomes.is_fine else EXIT_SOME_FAILED
