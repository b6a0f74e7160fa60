"""`validate.py --through NEW_BASE`: ask a new CDN in front of the bucket for images, before the site does.

Finds what breaks at a switch-over: names with a +, a bucket that the CDN may not read, types, CORS, stale copies. Needs
no permission at the bucket.
"""

from __future__ import annotations

import argparse
import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import BinaryIO, Callable

from cdn2s3 import file_names
from cdn2s3.atomic_file import replacing
from cdn2s3.console.logging_setup import show
from cdn2s3.console.progress import counted_checks
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Interrupted
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED, FatalError, UsageError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.planning.undo import open_work
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.lines import encode
from cdn2s3.validation import inputs, through_report
from cdn2s3.validation.new_base import new_base
from cdn2s3.validation.new_cdn import NewCdn
from cdn2s3.validation.report_paths import report_paths
from cdn2s3.validation.stored_rows import StoredRow, StoredRows
from cdn2s3.validation.through_checks import Checked, Checks, Finding, etag_of
from cdn2s3.validation.through_report import Result
from cdn2s3.validation.through_sample import sample

log = logging.getLogger(__name__)

SAMPLE = 200
ASKED_MORE = 5  # images of which ranges, CORS, 304, HEAD and http are asked
UNANSWERED_LIMIT = 2  # times as many as there are workers, in a row, mean that the host is down


def add_arguments(
    parser: argparse.ArgumentParser, verbs: argparse._ActionsContainer, positive: Callable[[str], int]
) -> None:
    """Add the verb to verbs and its options to parser; positive is the type of a number of 1 or more."""
    verbs.add_argument(
        "--through",
        type=new_base,
        metavar="NEW_BASE",
        help="ask the new CDN at NEW_BASE for images",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help=f"with --through: how many (default: {SAMPLE})",
    )
    size.add_argument(
        "--all", action="store_true", help="with --through: also ask for the heads of all others"
    )


def checked(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Return arguments; end with a usage message where options are given without their verb."""
    if arguments.through is None and (arguments.sample is not None or arguments.all):
        parser.error("--sample and --all need --through NEW_BASE")
    return arguments


def run(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    """Ask the new CDN, write through.txt and the section of the report, show the verdict; return the exit code."""
    began = time.time()
    paths = report_paths(settings, arguments)
    inputs.refuse_to_start(settings)
    before = inputs.stamps(settings)
    keys = key_maker(settings)
    rows = inputs.stored_rows(settings, keys)
    result = Result(arguments.through, arguments.sample or SAMPLE, arguments.all, len(rows), rows.elsewhere)
    try:
        with replacing(settings.state_dir / file_names.THROUGH_FILE) as file:
            with ExitStack() as stack:
                _Asking(settings, result, file, stack).go(rows)
            inputs.refuse_changes(settings, before)
    except UsageError:
        raise  # nothing was contacted
    except (FatalError, Interrupted) as error:
        result.ended_by = str(error)
        through_report.write_or_say(paths, settings, result, error.exit_code, began)
        raise
    reminders = open_work(settings.state_dir, keys)
    code = EXIT_DONE if result.is_ready and not reminders else EXIT_SOME_FAILED
    through_report.write(paths, settings, result, code, began)
    show(through_report.summary(settings, result))
    for reminder in reminders:
        log.warning("%s", reminder)
    return code


class _Asking:
    """All questions to one new CDN, one after the other; the objects of each in several threads."""

    def __init__(self, settings: MigrationSettings, result: Result, file: BinaryIO, stack: ExitStack) -> None:
        """file becomes through.txt; stack closes what this opens."""
        self._result = result
        self._file = file
        self._workers = settings.concurrency
        self._stop = threading.Event()
        stack.callback(self._stop.set)
        adapter = PooledAdapter(self._workers, settings.ca_bundle)
        stack.callback(adapter.close)
        cdn = NewCdn(
            adapter,
            RetryPolicy(settings.max_retries),
            settings.download_timeout,
            self._stop,
            Endpoint("new CDN", self._workers, settings.outage_limit, self._stop),
            result.base,
            settings.new_cdn_headers.pairs,
        )
        self._checks = Checks(cdn, result.base, settings)

    def go(self, rows: StoredRows) -> None:
        """Ask all of it; raise FatalError if the host cannot be reached."""
        result, checks = self._result, self._checks
        chosen = sample(rows, result.asked, random.Random(result.seed))  # noqa: S311  # a sample, not a secret
        log.info("asking %s for %s images, seed %d", result.base, f"{len(chosen):,}", result.seed)
        first = checks.whole(chosen[0])
        if first.answer is None:
            raise self._down(first.findings[0])
        self._note(first.findings)
        result.whole += 1
        result.headers.add(first.answer)
        few = [] if first.findings else [first]
        are_own = [etag_of(first.answer) == chosen[0].etag]
        for checked in self._each(checks.whole, chosen[1:], len(chosen) - 1):
            result.whole += 1
            if checked.answer is not None:
                result.headers.add(checked.answer)
                are_own.append(etag_of(checked.answer) == checked.row.etag)
            if not checked.findings and len(few) < ASKED_MORE:
                few.append(checked)
        self._ask_more(few, chosen[0])
        if result.is_all:
            checks.etags_are_own = all(are_own)
            asked = frozenset(chosen)
            others = (row for row in rows if row not in asked)
            for _ in self._each(checks.by_head, others, len(rows) - len(asked)):
                result.heads += 1

    def _ask_more(self, few: list[Checked], any_row: StoredRow) -> None:
        """Ask what visitors need besides: of a few images that are right, and once of the CDN and the bucket."""
        result, checks = self._result, self._checks
        with fan_out(checks.more_of, few, ASKED_MORE, self._stop) as answers:
            for findings in answers:
                self._note(findings)
        result.asked_more = len(few)
        if not few:
            result.notes.append("ranges, CORS, 304, HEAD and http were not asked: no image was right")
        self._note(checks.absent())
        findings, unknown = checks.bucket(any_row)
        self._note(findings)
        result.notes += [*filter(None, [unknown]), *checks.not_asked()]

    def _each(
        self, check: Callable[[StoredRow], Checked], rows: Iterable[StoredRow], total: int
    ) -> Iterator[Checked]:
        """Yield the check of each of rows, its findings noted; raise FatalError when many in a row have no response."""
        in_a_row = 0
        with fan_out(check, rows, self._workers, self._stop) as results:
            for checked in counted_checks(results, total, step=f"asking {self._result.base}"):
                in_a_row = in_a_row + 1 if checked.answer is None else 0
                if in_a_row >= UNANSWERED_LIMIT * self._workers:
                    raise self._down(checked.findings[-1])
                self._note(checked.findings)
                yield checked

    def _note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._result.add(finding)
            self._file.write(encode(finding.fields()))

    def _down(self, finding: Finding) -> FatalError:
        base = self._result.base
        return FatalError(
            f"{base} cannot be reached: {finding.found}. Check NEW_BASE, that its name resolves and that the "
            f"distribution is deployed; then run `{command('validate.py', '--through', base)}` again."
        )
