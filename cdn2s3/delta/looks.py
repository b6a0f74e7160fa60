"""The first pass of a delta: what has changed is noted, and judged as a whole before anything is replaced."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

from cdn2s3.console.progress import Count
from cdn2s3.console.rerun_hint import command
from cdn2s3.delta.failures import Failures
from cdn2s3.delta.known import KnownChanges
from cdn2s3.delta.source_check import look_task
from cdn2s3.delta.spool import Spool
from cdn2s3.errors import CAUSES, RESUME, FatalError
from cdn2s3.records import OURS, UNKNOWN, Recorded, Task
from cdn2s3.state.changes import FAILED, GONE, NOT_OURS
from cdn2s3.state.key_index import Numbered
from cdn2s3.text import percentage, pluralize, redact
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done, Look

FIRST = 1_000  # looks, on which MAX_CHANGE_RATE is judged alone
PLACEHOLDER = 10  # changed URLs with one content
_SHOWN = 5  # examples
_RECENT = 1_000  # looks, of which the error rate is


class LookTally:
    """Count the looks of a first pass, and of the second look at what was not there; a Counting."""

    def __init__(
        self,
        folder: Path,
        known: KnownChanges,
        max_change_rate: float,
        max_error_rate: float,
        is_ours: Callable[[Recorded], bool],
        notes_versions: bool,
        watches_rate: bool,
    ) -> None:
        """is_ours tells whether a row's object may be replaced; watches_rate: MAX_CHANGE_RATE counts."""
        self.changed = Spool(folder)  # line, key, row, look: to be renewed
        self.others = Spool(folder)  # line, key, what, old MD5, new MD5, modified: what is only told
        self.versions = Spool(folder)  # line, key, row, ETag, modified: unchanged, under new validators
        self.again = Spool(folder)  # line, row, attempts, cause, ETag, modified: to be looked at once more
        self.counts: Counter[str] = Counter()  # by what is told
        self.new: Counter[str] = Counter()  # of them, those that no earlier delta has named
        self.unchanged = 0
        self.compared = 0  # of the unchanged, those that the CDN sent a body of
        self.looked = 0
        self.differ = 0  # that are changed, and no earlier delta has named
        self.age = 0  # seconds, of the oldest copy that the CDN showed
        self.bytes = 0  # of bodies
        self._known = known
        self._max_change_rate = max_change_rate
        self._max_error_rate = max_error_rate
        self._is_ours = is_ours
        self._notes_versions = notes_versions
        self._watches_rate = watches_rate
        self._first_differ = 0
        self._examples: list[str] = []
        self._by_md5 = Numbered()
        self._most: tuple[int, str] = (0, "")  # changed URLs with one content, and its MD5
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._second = False
        self._failures = Failures()

    def begin_second_look(self) -> Spool:
        """Return what is to be looked at once more; what fails from now on has failed."""
        self._second = True
        return self.again

    def count(self, done: Done) -> None:
        row, result, look = done.task.recorded, done.result, done.result.look
        assert row is not None
        if not self._second:
            self.looked += 1
        self._recent.append(look is None and CAUSES[result.cause].unexpected)
        if look is None:
            self._count_failure(done, row)
            return
        self.age = max(self.age, look.age)
        self.bytes += look.size
        if look.is_changed:
            self._count_change(done, row, look)
            return
        self.unchanged += 1
        if look.status == 200:
            self.compared += 1
            self._note_version(done, row, look)

    def _count_failure(self, done: Done, row: Recorded) -> None:
        cause, line, key = done.result.cause, done.task.url, done.result.key
        self._failures.meet(done.result)
        is_known_gone = cause == "not_found" and self._known.is_gone(line)
        if not (self._second or is_known_gone) and (cause == "not_found" or CAUSES[cause].transient):
            task = done.task
            self.again.add(line, row, done.result.attempts, cause, task.source_etag, task.source_modified)
            return
        what = GONE if cause == "not_found" else FAILED + cause
        if what != GONE:
            self._failures.say(done.result)
        self.counts[what] += 1
        self.new[what] += not is_known_gone
        self.others.add(line, key, what, row.md5, UNKNOWN, UNKNOWN)

    def _count_change(self, done: Done, row: Recorded, look: Look) -> None:
        line, key = done.task.url, done.result.key
        modified = look.version.modified
        is_ours = self._is_ours(row)
        is_known = not is_ours and self._known.is_named(line, NOT_OURS, look.md5)
        if is_ours:
            self.changed.add(line, key, row, look.md5, look.size, modified)
        else:
            self.counts[NOT_OURS] += 1
            self.new[NOT_OURS] += not is_known
            self.others.add(line, key, NOT_OURS, row.md5, look.md5, modified)
        if is_known:
            return
        self.differ += 1
        self._first_differ += self.looked <= FIRST
        if len(self._examples) < _SHOWN:
            self._examples.append(line)
        digest = bytes.fromhex(look.md5)
        urls = (self._by_md5.get(digest) or 0) + 1
        self._by_md5[digest] = urls
        self._most = max(self._most, (urls, look.md5))

    def _note_version(self, done: Done, row: Recorded, look: Look) -> None:
        now, before = tuple(look.version), (row.source_etag, row.source_modified)
        if self._notes_versions and now not in (before, (UNKNOWN, UNKNOWN)):
            self.versions.add(done.task.url, done.result.key, row, *now)

    # --- what a pass asks for

    def progress(self) -> Count:
        failed = sum(count for what, count in self.counts.items() if what.startswith(FAILED))
        return Count(self.looked, self.bytes, failed, self._error_rate)

    @property
    def _error_rate(self) -> float:
        return sum(self._recent) / _RECENT

    def note_limits(self, limits: Sequence[Limiting]) -> None:
        """Do nothing: the log and the bar show them."""

    def note(self) -> str:
        return "looking once more" if self._second else "looking for changes"

    def verdict(self) -> FatalError | None:
        if self._error_rate > self._max_error_rate:
            return FatalError(
                f"{100 * self._error_rate:.0f}% of the last 1,000 URLs could not be looked at, more than "
                f"MAX_ERROR_RATE. Nothing was replaced. The last one: {self._failures.last}. Correct that, then "
                f"{RESUME}."
            )
        if self.looked >= FIRST and self._exceeds(self._first_differ, FIRST):
            return self._too_many(self._first_differ, f"the first {FIRST:,} images")
        return None

    # --- the stops

    def judge(self) -> None:
        """Raise FatalError where what has changed, as a whole, looks like a fault of the CDN."""
        most, digest = self._most
        if most >= PLACEHOLDER:
            raise FatalError(
                f"{most:,} changed URLs have one content (MD5 {digest}), for example\n{self._shown(digest)}\n"
                "That looks like a placeholder, as CDNs send one for files that they cannot read. Nothing was "
                "replaced. Open one of them. If it is an error of the CDN, wait, then run the same command again. If "
                "it is right, have these URLs transferred again: put them into a file, and with "
                "ON_EXISTING=overwrite run "
                f"`{command('migrate.py', '--redo', 'FILE')}`."
            )
        if self._exceeds(self.differ, self.looked):
            raise self._too_many(self.differ, f"{pluralize(self.looked, 'image')}")

    def _exceeds(self, differ: int, of: int) -> bool:
        return self._watches_rate and differ > self._max_change_rate * of

    def _shown(self, digest: str = "") -> str:
        """Return a few changed URLs, those with a content where it is named, a line each."""
        if not digest:
            return "\n".join(f"  {redact(line)}" for line in self._examples)
        rows: list[str] = []
        for line, _, _, md5, *_ in self.changed:
            if md5 == digest and len(rows) < _SHOWN:
                rows.append(f"  {redact(line)}")
        for line, _, _, _, md5, _ in self.others:
            if md5 == digest and len(rows) < _SHOWN:
                rows.append(f"  {redact(line)}")
        return "\n".join(rows)

    def _too_many(self, differ: int, of: str) -> FatalError:
        return FatalError(
            f"{differ:,} of {of} differ from what is recorded, more than MAX_CHANGE_RATE="
            f"{self._max_change_rate:g} allows, for example\n{self._shown()}\nNothing was replaced. Open some of "
            "them: a CDN that compresses images anew, another host or an error page look like that. If the changes "
            f"are right, raise MAX_CHANGE_RATE, or name the URLs: `{command('migrate.py', '--delta', 'FILE')}`."
        )

    def summary(self) -> str:
        """Return what the pass has found, in one line."""
        said = [f"{self.unchanged:,} unchanged"]
        if self.compared:
            said[0] += f" ({self.unchanged - self.compared:,} by 304, {self.compared:,} compared)"
        else:
            said[0] += " (304)"
        if len(self.changed):
            said.append(f"{len(self.changed):,} changed")
        said += [f"{count:,} {what}" for what, count in sorted(self.counts.items())]
        share = percentage(self.differ / self.looked) if self.looked else "0%"
        return f"{', '.join(said)}; {share} of {self.looked:,} differ"

    def close(self) -> None:
        for spool in (self.changed, self.others, self.versions, self.again):
            spool.close()


def looked_again(spool: Spool) -> Iterator[Task]:
    """Yield the tasks of a second look."""
    for line, row, attempts, cause, etag, modified in spool:
        task = look_task(line, Recorded(*row), etag, modified)
        yield task._replace(attempts=attempts, cause=cause)


def may_replace(on_existing: str) -> Callable[[Recorded], bool]:
    """Return whether a row's object may be replaced, by the row: what is ours, and all under ON_EXISTING=overwrite."""
    return lambda row: row.how in OURS or on_existing == "overwrite"
