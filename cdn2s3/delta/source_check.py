"""Whether the CDN's validators tell the truth, before a delta relies on them.

Each source is asked for a file that it has, both ways: with an ETag that no file has it must send the file, and with
the file's own it must say 304. Some ETags are made of the URL and never change; some CDNs answer no conditional
request (CloudFront where it forwards cookies).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from cdn2s3.console.progress import Count
from cdn2s3.delta.passes import Passes
from cdn2s3.errors import CAUSES, RESUME, FatalError
from cdn2s3.keys import KeyMaker
from cdn2s3.planning.completed_rows import CompletedRows, recorded
from cdn2s3.records import LOOK, UNKNOWN, Recorded, Task
from cdn2s3.state.ledger import Completed
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done, Look

log = logging.getLogger(__name__)

IMPOSSIBLE = '"cdn2s3-no-file-has-this"'
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"
_FILES = (1, 19, 180)  # of a source, tried together, until one is there
_OWN = 5  # of these, asked with their own validators
_TRIAL = 100  # files without recorded validators that are asked with their MD5
_HOLDS = 0.5  # share of them that must answer 304
_NOT_MODIFIED = 304


# A line of the list, its row, and the ETag and the date that it is asked for with.
Question = tuple[str, Recorded, str, str]


class Trust(NamedTuple):
    """What the CDN can be asked with."""

    sources: tuple[bool, ...]  # for each source, whether its validators tell the truth
    md5_is_etag: bool  # where nothing is recorded, the MD5 of the bytes is the ETag

    def known(self, row: Recorded, source: int) -> tuple[str, str]:
        """Return the ETag and the date that a row's file is asked with; "" for what is unknown, or not to be sent."""
        if not self.sources[source]:
            return "", ""
        etag, modified = sendable(row.source_etag), sendable(row.source_modified)
        if not (etag or modified) and self.md5_is_etag and (digest := md5_of(row)):
            etag = f'"{digest}"'
        return etag, modified


def sendable(field: str) -> str:
    """Return a validator as a request has it, from a field of completed.txt."""
    return "" if field == UNKNOWN else field


def md5_of(row: Recorded) -> str:
    """Return the MD5 of a row's bytes, as recorded or as its ETag is likely to be; "" if neither is there."""
    digest = row.etag if row.md5 == UNKNOWN else row.md5
    is_md5 = len(digest) == 32 and not digest.strip("0123456789abcdef")
    return digest if is_md5 else ""


class _Looks:
    """The results of a few looks, by URL."""

    def __init__(self) -> None:
        self.found: dict[str, Look] = {}
        self.may_pass = ""  # why one has failed that may succeed later, "" if none has
        self._ended = 0

    def count(self, done: Done) -> None:
        self._ended += 1
        if done.result.look is not None:
            self.found[done.task.url] = done.result.look
        elif CAUSES[done.result.cause].transient:
            self.may_pass = done.result.message

    def progress(self) -> Count:
        return Count(self._ended, 0, 0, 0.0)

    def note_limits(self, limits: Sequence[Limiting]) -> None:
        """Do nothing: these are few."""

    def verdict(self) -> FatalError | None:
        return None

    def note(self) -> str:
        return "asking the CDN what its validators are worth"


class SourceCheck:
    """Ask the sources; for the main thread."""

    def __init__(self, rows: CompletedRows, keys: KeyMaker, passes: Passes, outage_limit: float) -> None:
        self._rows = rows
        self._keys = keys
        self._passes = passes
        self._outage_limit = outage_limit

    def trust(self) -> Trust | None:
        """Return what the CDN can be asked with; None when a signal has come. Raise FatalError."""
        sources = []
        for source in range(len(self._keys.origins)):
            told = self._tells_the_truth(source)
            if told is None:
                return None
            sources.append(told)
        held = any(sources) and self._md5_is_etag()
        return None if held is None else Trust(tuple(sources), held)

    def _tells_the_truth(self, source: int) -> bool | None:
        """Return whether a source's validators are worth anything; None when a signal has come.

        Files that are gone show nothing. Raise FatalError where it answers nothing for OUTAGE_LIMIT.
        """
        origin = self._keys.origins[source]
        known, is_doubted = self._of_source(source), False
        for number in _FILES:
            most = _OWN if is_doubted else number
            some = list(islice(known, most))
            is_last = number == _FILES[-1] or len(some) < most
            first = self._evidence([(line, row, *_impossible(row)) for line, row in some], waits=is_last)
            if first is None:
                return None
            if any(look.status == _NOT_MODIFIED for look in first.values()):
                log.warning("%s says 304 to an ETag that no file has", origin)
                return False
            second = self._evidence(
                [
                    (line, row, sendable(first[line].version.etag), sendable(first[line].version.modified))
                    for line, row in islice((one for one in some if one[0] in first), _OWN)
                ]
            )
            if second is None:
                return None
            if any(look.status == _NOT_MODIFIED for look in second.values()):
                return True
            if second and (is_doubted or len(some) < most):
                log.warning("%s does not say 304 to its files' own ETags", origin)
                return False
            is_doubted = is_doubted or bool(
                second
            )  # one file may be another one each time that it is asked for
            if len(some) < most:
                return not is_doubted  # none of its files is there: there is nothing to trust it with
        return False

    def _evidence(self, asked: Sequence[Question], waits: bool = True) -> dict[str, Look] | None:
        """Return the files that are there with what the CDN says of them; None when a signal has come.

        waits: where none of them answers, ask again until the outage is over. Else they may be a few bad files.
        """
        since = time.monotonic()
        while True:
            looks = self._looks_at(asked)
            if looks is None or looks.found or not looks.may_pass or not waits:
                return None if looks is None else looks.found
            if time.monotonic() - since > self._outage_limit:
                raise FatalError(
                    f"the CDN cannot be asked what has changed: {looks.may_pass}. Nothing was replaced. Check the "
                    f"network, then {RESUME}."
                )
            log.warning("the CDN cannot be asked what has changed (%s): asking again", looks.may_pass)
            if not self._passes.wait():
                return None

    def _of_source(self, source: int) -> Iterator[tuple[str, Recorded]]:
        return ((line, recorded(row)) for line, row in self._rows if source_of(self._keys, line) == source)

    def _md5_is_etag(self) -> bool | None:
        """Return whether files without recorded validators have their MD5 as one; None when a signal has come."""
        rows = ((line, recorded(row)) for line, row in self._rows)
        unknown = (
            (line, row, f'"{md5_of(row)}"', "")
            for line, row in rows
            if row.source_etag == row.source_modified == UNKNOWN and md5_of(row)
        )
        some = list(islice(unknown, _TRIAL))
        looks = self._looks_at(some)
        if looks is None:
            return None
        unchanged = [look for look in looks.found.values() if not look.is_changed]
        honored = sum(look.status == _NOT_MODIFIED for look in unchanged)
        return bool(unchanged) and honored >= _HOLDS * len(unchanged)

    def _looks_at(self, asked: Sequence[Question]) -> _Looks | None:
        """Return what the CDN says of files that are asked for with some validators; None when a signal has come."""
        tasks = [look_task(*one) for one in asked]
        looks = _Looks()
        if tasks and not self._passes.run(iter(tasks), len(tasks), looks):
            return None
        return looks


def look_task(line: str, row: Recorded, etag: str, modified: str) -> Task:
    """Return the task to look at a line, asking with an ETag and a date."""
    return Task(line, recorded=row, place=row.place, purpose=LOOK, source_etag=etag, source_modified=modified)


def _impossible(row: Recorded) -> tuple[str, str]:
    """Return the validators of no file, of the kind that those of row are, as a run would send them."""
    if row.source_etag == UNKNOWN and row.source_modified != UNKNOWN:
        return "", LONG_AGO
    return IMPOSSIBLE, sendable(row.source_modified)


def source_of(keys: KeyMaker, line: str) -> int:
    """Return the number of the source that a line of the list is asked at."""
    return keys.address(line).source if len(keys.origins) > 1 else 0


class Price(NamedTuple):
    """What is downloaded because nothing is known to ask with."""

    files: int
    size: int  # bytes
    of: int  # rows that are looked at

    @property
    def share(self) -> float:
        return self.files / self.of if self.of else 0.0


def price(rows: Iterable[tuple[str, Completed]], keys: KeyMaker, trust: Trust) -> Price:
    """Return what a delta over rows downloads although nothing may have changed."""
    files = size = of = 0
    for line, row in rows:
        of += 1
        if not any(trust.known(recorded(row), source_of(keys, line))):
            files += 1
            size += int(row.size)
    return Price(files, size, of)
