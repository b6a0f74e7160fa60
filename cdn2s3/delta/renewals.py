"""The second pass of a delta: the changed URLs are fetched again and put over the recorded objects."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from cdn2s3.console.progress import Count
from cdn2s3.delta.failures import Failures
from cdn2s3.delta.spool import Spool
from cdn2s3.errors import CAUSES, RESUME, FatalError
from cdn2s3.records import RENEW, UNKNOWN, Recorded, Stored, Task
from cdn2s3.state.changes import FAILED, Change
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.lines import encode
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done

_RECENT = 1_000


def renewals(changed: Spool) -> Iterator[Task]:
    """Yield the tasks of what the first pass has noted as changed."""
    for line, _, row, md5, _, modified in changed:
        known = Recorded(*row)
        yield Task(
            line, recorded=known, place=known.place, purpose=RENEW, wanted_md5=md5, source_modified=modified
        )


class RenewalTally:
    """Count what becomes of changed URLs, and write it to changes.txt; a Counting."""

    def __init__(self, changes: AppendFile, folder: Path, max_error_rate: float) -> None:
        self.counts: Counter[str] = Counter()  # by what became of them
        self.recorded = 0  # rows that workers have appended
        self.met = 0  # of them, those whose object was the new bytes already
        self.bytes = 0
        self.again = Spool(folder)
        self._changes = changes
        self._max_error_rate = max_error_rate
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._ended = 0
        self._second = False
        self._failures = Failures()

    def begin_second_pass(self) -> Iterator[Task]:
        """Yield the tasks that have failed for a cause that may pass; what fails from now on has failed."""
        self._second = True
        for fields in self.again:
            task = Task(*fields)
            assert task.recorded is not None
            yield task._replace(recorded=Recorded(*task.recorded))

    def count(self, done: Done) -> None:
        result = done.result
        self._ended += not self._second
        self._recent.append(result.stored is None and not result.what and CAUSES[result.cause].unexpected)
        if result.stored is not None:
            self._count_stored(done, result.stored)
            return
        self._failures.meet(result)
        if not self._second and CAUSES[result.cause].transient:
            self.again.add(*done.again()._replace(attempts=result.attempts, cause=result.cause))
            return
        if not result.what:
            self._failures.say(result)
        self._note(done, result.what or FAILED + result.cause)

    def _count_stored(self, done: Done, stored: Stored) -> None:
        self.recorded += 1
        if (
            stored.already_there and not self._second
        ):  # else by an attempt of the first pass whose success was not told
            self.met += 1
            return
        self.bytes += stored.size
        self._note(done, stored.how)

    def _note(self, done: Done, what: str) -> None:
        task = done.task
        assert task.recorded is not None
        self.counts[what] += 1
        change = Change(
            task.url,
            done.result.key,
            what,
            task.recorded.md5,
            task.wanted_md5 or UNKNOWN,
            task.source_modified or UNKNOWN,
            timestamp(time.time()),
        )
        self._changes.append(encode(change))

    def progress(self) -> Count:
        failed = sum(count for what, count in self.counts.items() if what.startswith(FAILED))
        return Count(self._ended, self.bytes, failed, self._error_rate)

    @property
    def _error_rate(self) -> float:
        return sum(self._recent) / _RECENT

    def note_limits(self, limits: Sequence[Limiting]) -> None:
        """Do nothing: the log and the bar show them."""

    def note(self) -> str:
        return "renewing, second pass" if self._second else "renewing"

    def verdict(self) -> FatalError | None:
        if self._error_rate <= self._max_error_rate:
            return None
        return FatalError(
            f"{100 * self._error_rate:.0f}% of the last 1,000 renewals failed, more than MAX_ERROR_RATE. "
            f"The last one: {self._failures.last}. Correct that, then {RESUME}."
        )

    def close(self) -> None:
        self.again.close()
        self._changes.close()
