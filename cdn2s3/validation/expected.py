"""The objects that urls.txt and the ledger lead to expect in the bucket, and which of them have been seen.

One byte of state per line of urls.txt has what is recorded of it and whether its object was
seen; with the key index and the data to check objects, about 40 bytes per line. The
details of the few lines where something is wrong are read from the files again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.console.progress import log_progress
from cdn2s3.destinations.base import Found
from cdn2s3.errors import CAUSES, FatalError
from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.planning.survey import CompletedBefore, LineStatus, UrlSurvey
from cdn2s3.state import ledger
from cdn2s3.state.files import size_of
from cdn2s3.state.lines import NumberedLines, line_of, numbered_records

UNKNOWN = "-"

# What is recorded of a line: the low five bits of its state.
IRRELEVANT, MALFORMED_LINE, COLLIDING_LINE, NOT_TRIED, RECORDED, ADOPTED, OTHER_HOST_LINE = range(7)
_FIRST_CAUSE = 8
_CAUSE_NAMES = tuple(CAUSES)
FAILED_FOR = {name: _FIRST_CAUSE + number for number, name in enumerate(_CAUSE_NAMES)}
_RECORD = 0x1F
# What was found in the bucket.
SEEN = 0x20  # an object is at the line's key
DIFFERS = 0x40  # and it is not the recorded one, or a conflict

_OF_STATUS = bytes.maketrans(
    bytes(LineStatus),
    bytes({
        LineStatus.PENDING: NOT_TRIED,
        LineStatus.DONE: RECORDED,
        LineStatus.BLANK: IRRELEVANT,
        LineStatus.DUPLICATE: IRRELEVANT,
        LineStatus.MALFORMED: MALFORMED_LINE,
        LineStatus.COLLISION: COLLIDING_LINE,
        LineStatus.NOT_CHOSEN: NOT_TRIED,
        LineStatus.OTHER_HOST: OTHER_HOST_LINE,
    }[status] for status in LineStatus),
)  # fmt: skip


_FAULTS = {MALFORMED_LINE: "malformed", OTHER_HOST_LINE: "other_host", COLLIDING_LINE: "collision"}
_IS_MISSING = bytes(not state & SEEN and state != IRRELEVANT for state in range(256))
_UNKNOWN_FIELD = UNKNOWN.encode()


class Missing(NamedTuple):
    """A line of missing.txt."""

    url: str  # its line of urls.txt: a field key=NAME comes last in the file
    key: str  # UNKNOWN for a malformed URL
    why: str  # lost, failed:CAUSE or not tried


class Counts(NamedTuple):
    """How many unique lines there are of each kind; together they are all expected lines."""

    complete: int  # the object is the one that was recorded
    lost: int  # completed, and no object is there
    mismatched: int  # another object than the recorded one, or a conflict
    not_tried: int  # no record and no object
    unrecorded: int  # an object exists that no record proves
    failed: dict[str, int]  # by cause: failed, and no object is there (malformed and collisions among them)
    unproven: dict[str, int]  # by cause: failed, but an object exists anyway

    @property
    def urls(self) -> int:
        single = self.complete + self.lost + self.mismatched + self.not_tried + self.unrecorded
        return single + sum(self.failed.values()) + sum(self.unproven.values())

    @property
    def missing(self) -> int:
        return self.lost + self.not_tried + sum(self.failed.values())


class RecordedObjects:
    """The size and ETag of correct objects, by the number of their record in completed.txt."""

    def __init__(self) -> None:
        # hash() of size and ETag: equal for unequal ones once in 2^64, and nobody can bring it about, since
        # it is keyed anew in each process
        self.right = array("q")
        self.adopted = bytearray()  # 1 where the object was adopted from a listing
        self.of_lines = array("I")  # the record of each completed line, in the order of the lines

    def on_record(self, fields: list[bytes]) -> None:
        """Take the fields of the next line of completed.txt, none if it isn't a record."""
        if not fields:
            self.right.append(0)
            self.adopted.append(0)
            return
        size, etag, md5, media_type = fields[2:6]
        self.right.append(hash((size, etag)))
        self.adopted.append(md5 == media_type == _UNKNOWN_FIELD)

    def on_done(self, record: int) -> None:
        """Take the number of the record of the next completed line."""
        self.of_lines.append(record)


class Expected:
    """The lines of urls.txt with their records and what was seen of their objects; for one thread."""

    def __init__(
        self, keys: KeyMaker, work: UrlSurvey, completed: CompletedBefore, recorded: RecordedObjects
    ) -> None:
        """completed is the index that work, the survey of urls.txt, has left; recorded goes with its records."""
        self.work = work
        self.states = work.statuses.translate(_OF_STATUS)
        self.unreadable = completed.unreadable  # lines of the ledger that are not records
        self.completed_records = completed.lines
        self.failed_records: NumberedLines | None = None  # None: not read
        self._keys = keys
        self._line_with = completed.index.line_with
        self._right = recorded.right
        self._adopted = recorded.adopted
        self._record_of = array(
            "I", bytes(array("I").itemsize * work.lines)
        )  # its record's number in its file
        self.elsewhere = 0  # records of URLs, or of keys, that urls.txt does not (or no longer) have
        self._note_completed(completed, recorded)

    # --- what is recorded ---

    def _note_completed(self, completed: CompletedBefore, recorded: RecordedObjects) -> None:
        """Give each completed line its record, the last one where it has several."""
        for number, record in zip(self._completed_lines(), recorded.of_lines):
            self._note_record(number, record)
        several = bytearray(self.work.lines)
        matched = 0
        for record in completed.index.repeated:
            fields = completed.lines[record].split(b"\t", 2)
            line = self._line_of(self._keys.identity(fields[0]), fields[1])
            if line is not None:
                self._note_record(line, record)
                several[line] = 1
                matched += 1
        records = len(self._right) - self.unreadable - completed.undone
        self.elsewhere = records - (self.work.done - several.count(1)) - matched

    def _completed_lines(self) -> Iterator[int]:
        number = self.states.find(RECORDED)
        while number >= 0:
            yield number
            number = self.states.find(RECORDED, number + 1)

    def _note_record(self, number: int, record: int) -> None:
        self._record_of[number] = record
        if self._adopted[record]:
            self.states[number] = ADOPTED

    def read_failed(self, path: Path) -> None:
        """Note the records of failed_transfers.txt, below completed ones; raise FatalError when it cannot be read."""
        self.failed_records = numbered_records(path)
        for _, batch in log_progress(f"reading {path}", self.failed_records.batches(), size_of(path)):
            for number, line in batch:
                record = ledger.failed(line)
                if record is None or record.cause not in FAILED_FOR:
                    self.unreadable += 1
                    continue
                self._note_failed(line_of(line), record.cause, number)

    def _note_failed(self, line: bytes, cause: str, record: int) -> None:
        try:
            key, _, _, identity = self._keys.known(line)
        except InvalidUrl:
            return
        number = self._line_of(identity, key)
        if number is not None and self.states[number] not in (RECORDED, ADOPTED):
            self.states[number] = FAILED_FOR[cause]
            self._record_of[number] = record

    def _line_of(self, identity: bytes, key: bytes) -> int | None:
        """Return the number of the line whose URL has identity and that has key; None when there is none."""
        number = self._line_with(key)
        if number is None or self._keys.identity(self.work.line(number)) != identity:
            return None
        return number

    # --- what is found ---

    def see(self, found: Found) -> int | None:
        """Note that an object exists; return its line's number, None if no line has its key.

        Its state says DIFFERS where the object is not the one recorded, to the letter; clear() takes that back.
        Raise FatalError when the object was seen before: a listing that repeats itself proves nothing.
        """
        number = self._line_with(found.key.encode("utf-8", "surrogateescape"))
        if number is None:
            return None
        state = self.states[number]
        if state & SEEN:
            raise FatalError(
                f"the bucket's listing contains {found.key!r} twice, so it is not reliable. Ask the store's owner."
            )
        state |= SEEN
        if state & _RECORD in (RECORDED, ADOPTED):
            right = self._right[self._record_of[number]]
            if right != hash((b"%d" % found.size, found.etag.encode("utf-8", "surrogateescape"))):
                state |= DIFFERS
        elif state & _RECORD == FAILED_FOR["conflict"]:
            state |= DIFFERS
        self.states[number] = state
        return number

    def clear(self, number: int) -> None:
        """Undo DIFFERS: the difference is meaningless (an ETag that the store does not return)."""
        self.states[number] &= ~DIFFERS

    def unsee(self, number: int) -> None:
        """Undo see(): the object is gone since."""
        self.states[number] &= _RECORD

    def refuse(self, number: int) -> None:
        """Note that the store has no answer for a line's key: whatever is recorded, no object is there."""
        self.states[number] = FAILED_FOR["key_refused"]

    def counts(self) -> Counts:
        """Count the lines by what is recorded and what was seen."""
        count = self.states.count
        failed = {name: count(code) for name, code in FAILED_FOR.items()}
        failed["malformed"] += count(MALFORMED_LINE)
        failed["other_host"] += count(OTHER_HOST_LINE)
        failed["collision"] += count(COLLIDING_LINE)
        unproven = {name: count(code | SEEN) for name, code in FAILED_FOR.items()}
        return Counts(
            complete=count(RECORDED | SEEN) + count(ADOPTED | SEEN),
            lost=count(RECORDED) + count(ADOPTED),
            mismatched=sum(count(value) for value in range(DIFFERS, 256)),
            not_tried=count(NOT_TRIED),
            unrecorded=count(NOT_TRIED | SEEN),
            failed={name: number for name, number in failed.items() if number},
            unproven={name: number for name, number in unproven.items() if number},
        )

    def absent(self, most: int) -> set[int]:
        """Return the numbers of up to most lines without an object at their key; lost ones come first."""
        chosen: set[int] = set()
        for code in (RECORDED, ADOPTED, NOT_TRIED, *FAILED_FOR.values()):
            at = self.states.find(code)
            while at >= 0 and len(chosen) < most:
                chosen.add(at)
                at = self.states.find(code, at + 1)
        return chosen

    def missing(self) -> Iterator[tuple[int, Missing]]:
        """Yield the lines without an object of their own, with their numbers, in the order of urls.txt."""
        numbers = ((number, number) for number in self._missing_numbers())
        for number, _ in log_progress("looking up missing objects", numbers, len(self.states)):
            line = self.work.line(number)
            yield number, Missing(ledger.decode_line(line), self._key_text(line), _why(self.states[number]))

    def _missing_numbers(self) -> Iterator[int]:
        is_missing = self.states.translate(_IS_MISSING)
        number = is_missing.find(1)
        while number >= 0:
            if _IS_MISSING[self.states[number]]:  # still: it may have been seen since
                yield number
            number = is_missing.find(1, number + 1)

    def _key_text(self, line: bytes) -> str:
        try:
            return self._keys.known(line)[0].decode()
        except InvalidUrl:
            return UNKNOWN

    def record_of(self, number: int) -> int:
        """Return what is recorded of a line: its state without what the bucket showed."""
        return self.states[number] & _RECORD

    def record_number(self, number: int) -> int:
        """Return the number of the record of a line, in the file that its state selects."""
        return self._record_of[number]


def _why(state: int) -> str:
    if state in (RECORDED, ADOPTED):
        return "lost"
    if state == NOT_TRIED:
        return "not tried"
    return f"failed:{_FAULTS.get(state) or _CAUSE_NAMES[state - _FIRST_CAUSE]}"
