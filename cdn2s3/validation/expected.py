"""What urls.txt and the ledger lead one to expect in the bucket, and which of it has been seen there.

One byte of state for each line of urls.txt, which says what is recorded of it and whether its object was
seen; with what finds a line by its key and tells a right object from a wrong one, about 50 bytes a line. The
details of the few lines where something is wrong are read from the files again.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.console.progress import log_progress
from cdn2s3.destinations.base import Found
from cdn2s3.errors import CAUSES, FatalError
from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.planning import survey
from cdn2s3.planning.survey import UrlSurvey
from cdn2s3.state import ledger
from cdn2s3.state.files import size_of
from cdn2s3.state.key_index import Numbered
from cdn2s3.state.lines import input_lines, placed_records

UNKNOWN = "-"

# What is recorded of a line: the low five bits of its state.
IRRELEVANT, MALFORMED, COLLISION, NOT_TRIED, COMPLETED, ADOPTED = range(6)
_FIRST_CAUSE = 8
_CAUSE_NAMES = tuple(CAUSES)
FAILED = {name: _FIRST_CAUSE + number for number, name in enumerate(_CAUSE_NAMES)}
_RECORD = 0x1F
# What the bucket showed.
SEEN = 0x20  # an object is at the line's key
DIFFERS = 0x40  # and it is not the one that was recorded, or a conflict

_OF_FATE = {
    survey.PENDING: NOT_TRIED,
    survey.DONE: NOT_TRIED,  # until its record is read
    survey.BLANK: IRRELEVANT,
    survey.DUPLICATE: IRRELEVANT,
    survey.MALFORMED: MALFORMED,
    survey.COLLISION: COLLISION,
}


class Missing(NamedTuple):
    """A line of missing.txt."""

    url: str
    key: str  # UNKNOWN for a malformed URL
    why: str  # lost, failed:CAUSE or not tried


class Counts(NamedTuple):
    """How many different lines there are of each kind; together they are all that are expected."""

    complete: int  # the object is the one that was recorded
    lost: int  # completed, and no object is there
    mismatched: int  # another object than the recorded one, or a conflict
    not_tried: int  # no record and no object
    unrecorded: int  # an object is there that no record proves
    failed: dict[str, int]  # by cause: failed, and no object is there (malformed and collisions among them)
    unproven: dict[str, int]  # by cause: failed, and an object is there all the same

    @property
    def urls(self) -> int:
        single = self.complete + self.lost + self.mismatched + self.not_tried + self.unrecorded
        return single + sum(self.failed.values()) + sum(self.unproven.values())

    @property
    def missing(self) -> int:
        return self.lost + self.not_tried + sum(self.failed.values())


class Expected:
    """The lines of urls.txt with their records and what was seen of their objects; for one thread."""

    def __init__(self, urls: Path, keys: KeyMaker, work: UrlSurvey) -> None:
        """work is the survey of urls."""
        self.states = bytearray(
            work.statuses.translate(bytes(_OF_FATE.get(i, IRRELEVANT) for i in range(256)))
        )
        self.elsewhere = 0  # records of URLs, or of keys, that urls.txt does not lead to (any more)
        self.unreadable = 0  # lines of the ledger that are no records
        self._urls = urls
        self._keys = keys
        self._line_with = Numbered()  # the line's number, by its key
        # hash() of the line, and of what a right object shows: equal for unequal ones once in 2^64, and
        # nobody can bring it about, since it is keyed anew in each process
        self._line_hash = _numbers(work.lines)
        self._right = _numbers(work.lines)
        self._record_at = _numbers(work.lines)  # byte offset of the record in its file
        # What is done and what is pending: both have a key of their own.
        statuses = work.statuses.replace(bytes([survey.DONE]), bytes([survey.PENDING]))
        lines = survey.lines_with(survey.PENDING, urls, dataclasses.replace(work, statuses=statuses))
        for number, url in log_progress(f"{urls} to keys", lines, work.lines):
            self._line_with.setdefault(keys.address(url).key.encode("utf-8"), number)
            self._line_hash[number] = hash(url)

    # --- what is recorded ---

    def read_failed(self, path: Path) -> None:
        """Note the records of failed_transfers.txt; raise FatalError when it cannot be read."""
        for at, line in log_progress(f"reading {path}", placed_records(path), size_of(path)):
            record = ledger.failed(line)
            if record is None or record.cause not in FAILED:
                self.unreadable += 1
                continue
            number = self._number(record.url, self._key_of(record.url))
            if number is not None:
                self.states[number] = FAILED[record.cause]
                self._record_at[number] = at

    def read_completed(self, path: Path) -> None:
        """Note the records of completed.txt, which win; raise FatalError when it cannot be read."""
        for at, line in log_progress(f"reading {path}", placed_records(path), size_of(path)):
            record = ledger.completed(line)
            if record is None:
                self.unreadable += 1
                continue
            number = self._number(record.url, record.key)
            if number is None:
                self.elsewhere += 1
                continue
            adopted = record.md5 == UNKNOWN and record.media_type == UNKNOWN
            self.states[number] = ADOPTED if adopted else COMPLETED
            self._right[number] = hash((record.size, record.etag))
            self._record_at[number] = at

    def _key_of(self, url: str) -> str | None:
        try:
            return self._keys.address(url).key
        except InvalidUrl:
            return None

    def _number(self, url: str, key: str | None) -> int | None:
        """Return the number of the line that is url and has key; None when there is none."""
        if key is None:
            return None
        number = self._line_with.get(key.encode("utf-8", "surrogateescape"))
        return number if number is not None and self._line_hash[number] == hash(url) else None

    # --- what is there ---

    def see(self, found: Found) -> int | None:
        """Note that an object is there; return its line's number, None where no line has its key.

        Its state says DIFFERS where the object is not the one recorded, to the letter; clear() takes that back.
        Raise FatalError when the object was seen before: a listing that repeats itself proves nothing.
        """
        number = self._line_with.get(found.key.encode("utf-8", "surrogateescape"))
        if number is None:
            return None
        state = self.states[number]
        if state & SEEN:
            raise FatalError(
                f"the bucket's listing holds {found.key!r} twice: it cannot be relied upon. Ask the store's owner."
            )
        state |= SEEN
        if state & _RECORD in (COMPLETED, ADOPTED):
            if self._right[number] != hash((str(found.size), found.etag)):
                state |= DIFFERS
        elif state & _RECORD == FAILED["conflict"]:
            state |= DIFFERS
        self.states[number] = state
        return number

    def clear(self, number: int) -> None:
        """Take DIFFERS back: what differs tells nothing (an ETag that the store does not give)."""
        self.states[number] &= ~DIFFERS

    def counts(self) -> Counts:
        """Count the lines by what is recorded and what was seen."""
        count = self.states.count
        failed = {name: count(code) for name, code in FAILED.items()}
        failed["malformed"] += count(MALFORMED)
        failed["collision"] += count(COLLISION)
        unproven = {name: count(code | SEEN) for name, code in FAILED.items()}
        return Counts(
            complete=count(COMPLETED | SEEN) + count(ADOPTED | SEEN),
            lost=count(COMPLETED) + count(ADOPTED),
            mismatched=sum(count(value) for value in range(DIFFERS, 256)),
            not_tried=count(NOT_TRIED),
            unrecorded=count(NOT_TRIED | SEEN),
            failed={name: number for name, number in failed.items() if number},
            unproven={name: number for name, number in unproven.items() if number},
        )

    def absent(self, most: int) -> set[int]:
        """Return the numbers of up to most lines without an object at their key; lost ones come first."""
        chosen: set[int] = set()
        for code in (COMPLETED, ADOPTED, NOT_TRIED, *FAILED.values()):
            at = self.states.find(code)
            while at >= 0 and len(chosen) < most:
                chosen.add(at)
                at = self.states.find(code, at + 1)
        return chosen

    def missing(self) -> Iterator[tuple[int, Missing]]:
        """Yield the lines without an object of their own, with their numbers, in the order of urls.txt."""
        lines = enumerate(input_lines(self._urls))
        for number, line in log_progress("looking for what is missing", lines, len(self.states)):
            if number >= len(self.states):
                return
            state = self.states[number]
            if state & SEEN or state == IRRELEVANT:
                continue
            url = ledger.decode_line(line)
            yield number, Missing(url, self._key_of(url) or UNKNOWN, _why(state))

    def record_of(self, number: int) -> int:
        """Return what is recorded of a line: its state without what the bucket showed."""
        return self.states[number] & _RECORD

    def record_at(self, number: int) -> int:
        """Return the byte offset of the record of a line, in the file that its state tells."""
        return int(self._record_at[number])


def _why(state: int) -> str:
    if state in (COMPLETED, ADOPTED):
        return "lost"
    if state == NOT_TRIED:
        return "not tried"
    if state in (MALFORMED, COLLISION):
        return "failed:malformed" if state == MALFORMED else "failed:collision"
    return f"failed:{_CAUSE_NAMES[state - _FIRST_CAUSE]}"


def _numbers(count: int) -> array[int]:
    return array("q", bytes(8 * count))
