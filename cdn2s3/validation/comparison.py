"""The comparison of expected and found objects, and the verdict.

A URL is complete when the object at its key has the size and ETag that completed.txt records.
Every other URL is a gap. A gap is known when failed_transfers.txt names a cause that running the tool again
cannot change (KNOWN): the CDN does not have the image, refuses it, or has something else there. Conflicts and
unverified objects are not known gaps, although they are not retried automatically: a person can resolve them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import Found, same_etag
from cdn2s3.errors import CAUSES, FatalError
from cdn2s3.file_names import FAILED_FILE, MISMATCHED_FILE, MISSING_FILE
from cdn2s3.planning.run_plan import MANY
from cdn2s3.state import ledger
from cdn2s3.state.ledger import Completed
from cdn2s3.state.lines import NumberedLines
from cdn2s3.validation.expected import FAILED_FOR, UNKNOWN, Counts, Expected

PROMISED = 0.999  # target fraction of complete URLs
KNOWN = frozenset(
    name
    for name, cause in CAUSES.items()
    if not cause.transient and name not in ("conflict", "unverified", "other_host")
)

COMPLETE = "complete"
COMPLETE_EXCEPT_KNOWN = "complete_except_known"
INCOMPLETE = "incomplete"
_YES = ("--yes",)


class Mismatch(NamedTuple):
    """A line of mismatched.txt; a field may be UNKNOWN."""

    url: str  # its line of urls.txt: a field key=NAME comes last in the file
    key: str
    bytes_expected: str
    bytes_found: str
    etag_expected: str
    etag_found: str

    @property
    def is_of_etag_alone(self) -> bool:
        """Whether the object has the recorded size, and another ETag."""
        return self.bytes_expected == self.bytes_found and UNKNOWN not in (
            self.etag_expected,
            self.etag_found,
        )


class Repair(NamedTuple):
    """A command that closes gaps."""

    command: str
    replaces_objects: bool = False  # True: a person must look at its file first


class Records:
    """Read single records of the ledger again; for one thread."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected

    def completed(self, number: int) -> Completed:
        """Return the completed record of a line that has one; raise FatalError when the file has changed."""
        lines = self._expected.completed_records
        record = ledger.completed(self._line(number, lines))
        if record is None:
            raise _changed(lines)
        return record

    def mismatch(self, number: int, found: Found) -> Mismatch | None:
        """Return how the object found differs from the record of a line whose state is DIFFERS.

        None if the object is the recorded one all the same: only an ETag differs that one of the two does not have, or
        that is weak in one of them; or the object's ETag is the MD5 of the recorded bytes.
        """
        etag = found.etag or UNKNOWN
        lines = self._expected.failed_records
        if lines is not None and self._expected.record_of(number) == FAILED_FOR["conflict"]:
            failed = ledger.failed(self._line(number, lines))
            if failed is None:
                raise _changed(lines)
            return Mismatch(failed.url, found.key, UNKNOWN, str(found.size), UNKNOWN, etag)
        record = self.completed(number)
        if int(record.size) == found.size and (
            UNKNOWN in (record.etag, etag) or same_etag(record.etag, etag) or etag == record.md5
        ):
            return None
        return Mismatch(self.line(number), record.key, record.size, str(found.size), record.etag, etag)

    def line(self, number: int) -> str:
        """Return a line of urls.txt."""
        return ledger.decode_line(self._expected.work.line(number))

    def _line(self, number: int, lines: NumberedLines) -> bytes:
        try:
            return lines[self._expected.record_number(number)]
        except OSError as error:
            raise _changed(lines) from error


def _changed(lines: NumberedLines) -> FatalError:
    return FatalError(
        f"{lines.path} was changed during the validation. Run `{command('validate.py')}` again."
    )


def known(counts: Counts) -> int:
    """Return how many URLs are gaps with a recorded cause that stays."""
    return sum(
        number for part in (counts.failed, counts.unproven) for name, number in part.items() if name in KNOWN
    )


def verdict(counts: Counts) -> str:
    """Return complete, complete_except_known or incomplete."""
    if counts.urls > counts.complete + known(counts):
        return INCOMPLETE
    return COMPLETE_EXCEPT_KNOWN if known(counts) else COMPLETE


def success_rate(counts: Counts) -> float:
    """Return the fraction of the expected URLs that are complete, rounded down to a thousandth of a percent."""
    return 100_000 * counts.complete // counts.urls / 100_000 if counts.urls else 0.0


def repairs(counts: Counts, state_dir: Path) -> list[Repair]:
    """Return the commands that close the gaps which are not known, in the order to run them."""
    retried = {name for name in counts.failed if name not in KNOWN}
    found = []
    if counts.lost or retried:
        yes = _YES if counts.lost > MANY else ()
        found.append(Repair(command("migrate.py", "--redo", str(state_dir / MISSING_FILE), *yes)))
    if counts.mismatched:
        yes = _YES if counts.mismatched > MANY else ()
        redo = command("migrate.py", "--redo", str(state_dir / MISMATCHED_FILE), *yes)
        found.append(Repair(f"ON_EXISTING=overwrite {redo}", replaces_objects=True))
    unproven = sorted(name for name in counts.unproven if name not in KNOWN)
    if unproven:
        found.append(
            Repair(command("migrate.py", "--retry-failed", *(unproven if len(unproven) == 1 else ())))
        )
    if counts.unrecorded or (counts.not_tried and not counts.lost and not retried):
        found.append(Repair(command("migrate.py")))
    return found


def advice(counts: Counts, state_dir: Path) -> str:
    """Return what to do if no command repairs anything."""
    found = verdict(counts)
    if found == COMPLETE:
        return (
            "copy urls.txt, completed.txt and the reports to another machine; then go on with docs/cutover.md"
        )
    if found == INCOMPLETE:
        return ""
    causes = {name for part in (counts.failed, counts.unproven) for name, number in part.items() if number}
    file = state_dir / FAILED_FILE
    if causes <= {"malformed", "collision"}:
        return f"correct or remove the lines of urls.txt that {file} lists (docs/troubleshooting.md)"
    return f"give {file} to the CDN's owner: docs/runbook.md"
