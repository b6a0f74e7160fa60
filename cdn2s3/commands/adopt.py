"""`migrate.py --adopt`: after the state was lost, record what is in the bucket as completed, from one listing.

Adopted objects have not been compared with the CDN: the listing shows only that an object exists at a URL's key, its
size and its ETag. The spot check of validate.py takes adopted rows first.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from cdn2s3 import file_names
from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import command, typed
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.base import Found
from cdn2s3.destinations.factory import open_destination
from cdn2s3.errors import EXIT_DONE, FatalError
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import ObjectId, url_of
from cdn2s3.planning.run_plan import Choice, admitted_plan
from cdn2s3.planning.survey import LineStatus, UrlSurvey
from cdn2s3.records import ADOPTED, UNKNOWN
from cdn2s3.reports.certificate import set_aside
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import ledger, run_binding
from cdn2s3.state.files import AppendFile, held_lock, synced_every_second
from cdn2s3.state.journal import Journal
from cdn2s3.state.key_index import Fingerprints, KeyIndex
from cdn2s3.state.ledger import Completed, decode_line, timestamp
from cdn2s3.state.lines import encode
from cdn2s3.text import pluralize

log = logging.getLogger(__name__)

_SAY_EVERY = 100_000  # objects listed


class Adopted(NamedTuple):
    """The result of an adoption."""

    rows: int  # appended to completed.txt
    listed: int  # objects in the listing
    empty: int  # of the rows, objects of 0 bytes
    conflicts: int  # objects that differed from the CDN in an earlier run: not adopted


def adopt(
    settings: MigrationSettings, work: UrlSurvey, index: KeyIndex, pages: Iterable[Iterable[Found]]
) -> Adopted:
    """Append a row for each pending URL whose key is in pages; return how many.

    index is what has which key after work, the survey of the input; the lines that are adopted are DONE in work
    then. For the holder of the state's lock. Rows are appended as the listing comes: stopped, it is begun again and
    goes on with what is left. Raise FatalError when the listing fails or a row cannot be written.
    """
    failed = settings.state_dir / FAILED_FILE
    object_id = key_maker(settings).object_id
    settled = Fingerprints()  # objects of URLs with a record of failure that are completed now
    completed = AppendFile(settings.state_dir / COMPLETED_FILE)
    with synced_every_second(completed):
        adopted = _Adopter(work, index, completed, failed, settled, object_id, settings.destination).take(
            _with_advice(pages)
        )
    if settled:
        ledger.rebuild(failed, lambda line: object_id(line) in settled, None, object_id)
    return adopted


class _Adopter:
    """Match listed objects with lines of the input."""

    def __init__(
        self,
        work: UrlSurvey,
        index: KeyIndex,
        completed: AppendFile,
        failed: Path,
        settled: Fingerprints,
        object_id: ObjectId,
        place: str,
    ) -> None:
        self._work = work
        self._index = index
        self._completed = completed
        self._failed = ledger.urls_in(failed, object_id=object_id)
        self._conflicts = ledger.urls_in(failed, "conflict", object_id)
        self._object_id = object_id
        self._settled = settled
        self._place = place

    def take(self, pages: Iterable[Iterable[Found]]) -> Adopted:
        rows = listed = empty = conflicts = 0
        for page in pages:
            for found in page:
                listed += 1
                if listed % _SAY_EVERY == 0:
                    log.info("%s objects listed, %s adopted", f"{listed:,}", f"{rows:,}")
                line = self._line_of(found)
                if line is None:
                    continue
                if self._conflicts and self._object_id(line) in self._conflicts:
                    conflicts += 1
                    continue
                self._record(line, found)
                rows += 1
                empty += found.size == 0
        return Adopted(rows, listed, empty, conflicts)

    def _line_of(self, found: Found) -> bytes | None:
        """Return the pending line whose object found is, the first time; else None."""
        number = self._index.line_with(found.key.encode("utf-8", "surrogateescape"))
        if number is None or self._work.statuses[number] != LineStatus.PENDING:
            return None
        self._work.statuses[number] = LineStatus.DONE
        return self._work.line(number)

    def _record(self, line: bytes, found: Found) -> None:
        url = decode_line(url_of(line))
        row = Completed(
            url,
            found.key,
            str(found.size),
            found.etag or UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            timestamp(time.time()),
            ADOPTED,
            place=self._place,
        )
        self._completed.append(encode(row))
        if self._failed and (object_id := self._object_id(line)) in self._failed:
            self._settled.add(object_id)


def _with_advice(pages: Iterable[Iterable[Found]]) -> Iterator[Iterable[Found]]:
    """Yield pages; say what to do where the bucket cannot be listed."""
    try:
        yield from pages
    except FatalError as error:
        raise FatalError(
            f"{error}\nWithout a listing, a plain `{command('migrate.py')}` gets the same result more slowly: it "
            "downloads every file again, compares it (s3:GetObject) and records what is already in the bucket."
        ) from error


def text(adopted: Adopted, pending: int) -> list[str]:
    """Return the lines that say what was adopted, of so many pending URLs."""
    lines = [
        f"{pluralize(adopted.rows, 'object')} adopted of {adopted.listed:,} listed; "
        f"{pluralize(pending - adopted.rows, 'URL is', 'URLs are')} pending"
    ]
    if adopted.empty:
        lines.append(
            f"{adopted.empty:,} of them are empty: `{command('validate.py')}` checks whether that is correct"
        )
    if adopted.conflicts:
        lines.append(
            f"{adopted.conflicts:,} not adopted, because an earlier run found different content (conflict)"
        )
    script = "migrate.py" if pending > adopted.rows else "validate.py"
    return [*lines, f"next: {command(script)}"]


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--adopt", action="store_true", help="after the state was lost: record what is already in the bucket"
    )


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Record what is already in the bucket as completed, under the lock; return the exit code."""
    with (
        held_lock(settings.state_dir / file_names.MIGRATION_LOCK, "migrate.py"),
        run_binding.standing_still(settings.source_urls_file),
        Journal(settings.state_dir, typed("migrate.py", vars(arguments))) as journal,
    ):
        journal.exit_code = _adopted(settings)
        return journal.exit_code


def _adopted(settings: MigrationSettings) -> int:
    run_binding.check(settings)
    plan, index = admitted_plan(settings, key_maker(settings), Choice())
    run_binding.bind(settings)
    adapter = PooledAdapter(1, settings.ca_bundle)
    with closing(adapter), closing(open_destination(settings, adapter)) as destination:
        set_aside(settings.state_dir)
        adopted = adopt(settings, plan.work, index, destination.list_pages())
    show("\n".join(text(adopted, plan.work.pending)))
    return EXIT_DONE
