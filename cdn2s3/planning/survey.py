"""The survey of urls.txt: the status of each line, found before a byte moves.

Memory: one byte per line for the status, and the key index during the survey.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Container, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Callable, NamedTuple, Protocol

from cdn2s3.console.progress import log_progress
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.odd_keys import oddity_of
from cdn2s3.planning.exports import refuse_exports
from cdn2s3.planning.rows_by_place import RowsByPlace
from cdn2s3.records import LOCAL, S3
from cdn2s3.settings.placement import Placement
from cdn2s3.state.files import cannot_read, size_of
from cdn2s3.state.key_index import NEW, Fingerprints, KeyIndex, Numbered, Owner
from cdn2s3.state.ledger import completed_fields, decode_line
from cdn2s3.state.lines import NumberedLines, field, numbered_input, numbered_records, whole_lines
from cdn2s3.state.stored_times import StoredTimes
from cdn2s3.state.undone import UndoneRows
from cdn2s3.text import printable, redact
from cdn2s3.url_notes import SAME, UrlNotes, has_plus

log = logging.getLogger(__name__)

_AHEAD = 1000  # records of completed.txt that are looked at before their turn: more than there are workers
_HELD = 4 * _AHEAD

_HOSTS = 1000  # that are counted one by one
REST_OF_HOSTS = "others"  # all further ones

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a UTF-16 file begins

OnInvalidUrl = Callable[[str, InvalidUrl], None]  # url, why
OnCollision = Callable[[str, str, str], None]  # key, first url, this url


class RecordObserver(Protocol):
    """An observer of the records of completed.txt and of the lines that they belong to."""

    def on_record(self, fields: list[bytes]) -> None:
        """Take the fields of the next line, none if it isn't a record."""

    def on_done(self, record: int) -> None:
        """Take, for the next line of the input that is done, the number of the first record with its key."""


class LineStatus(IntEnum):
    """The status of an input line in a run."""

    PENDING = 0
    DONE = 1  # already completed, under its current key
    BLANK = 2
    DUPLICATE = 3  # the same URL is on an earlier line
    MALFORMED = 4
    COLLISION = 5  # another URL has its key: that of an earlier line, or a completed one
    NOT_CHOSEN = 6  # pending, but left out of this run
    OTHER_HOST = 7  # of a host that URL_PREFIX does not name
    NOT_SELECTED = 8  # not completed, and not in the share that PERCENT selects


_WITH_OBJECTS = (LineStatus.PENDING, LineStatus.DONE)  # lines that have, or may get, an object of their own


@dataclasses.dataclass
class UrlSurvey:
    """The status of each line of the input, and how many there are of each."""

    urls: NumberedLines
    statuses: bytearray = dataclasses.field(default_factory=bytearray)  # a LineStatus for each line
    blank: int = 0
    done: int = 0
    duplicates: int = 0
    malformed: int = 0
    other_hosts: int = 0  # lines of hosts that URL_PREFIX does not name
    by_host: Counter[str] = dataclasses.field(default_factory=Counter)  # how many of them, up to _HOSTS hosts
    collisions: int = 0
    notes: UrlNotes = dataclasses.field(default_factory=UrlNotes)  # of lines that may be fetched
    with_plus: int = 0  # pending and done lines with a raw + in their path
    unstripped: int = 0  # lines that may be fetched, lack STRIP_PATH_PREFIX and keep their path
    not_selected: int = 0
    moving: int = 0  # pending lines whose image is in the folder and belongs in the bucket now
    superfluous: int = (
        0  # done lines whose image is in the bucket, and also in the folder, where it was before
    )

    @property
    def lines(self) -> int:
        return len(self.statuses)

    @property
    def pending(self) -> int:
        others = self.blank + self.done + self.duplicates + self.unfetchable + self.collisions
        return self.lines - others - self.not_selected

    @property
    def unfetchable(self) -> int:
        """How many lines are no URLs that may be fetched."""
        return self.malformed + self.other_hosts

    def lines_with(self, status: LineStatus) -> Iterator[tuple[int, bytes]]:
        """Yield the number (from 0) and the text of each line whose status is status now.

        Raise FatalError when the input can no longer be read.
        """
        for number in self._numbers_with(status):
            yield number, self.line(number)

    def some_with(self, status: LineStatus, places: Container[int]) -> list[bytes]:
        """Return the text of the lines with that status whose place among them (from 0) is one of places.

        No other line is read again. Raise FatalError when the input can no longer be read.
        """
        numbers = enumerate(self._numbers_with(status))
        return [self.line(number) for place, number in numbers if place in places]

    def _numbers_with(self, status: LineStatus) -> Iterator[int]:
        number = self.statuses.find(status)
        while number >= 0:
            yield number
            number = self.statuses.find(status, number + 1)

    def line(self, number: int) -> bytes:
        """Return the text of a line; raise FatalError when the input can no longer be read."""
        try:
            return self.urls[number]
        except OSError as error:
            raise FatalError(
                f"cannot read {self.urls.path} anymore: {error.strerror or error}. Check the file and its "
                "disk, then run the same command again."
            ) from error


@dataclasses.dataclass(frozen=True)
class CompletedBefore:
    """The records of completed.txt, read once."""

    lines: NumberedLines
    index: KeyIndex
    unreadable: int = 0  # lines that are not records
    undone: int = 0  # records whose objects were undone: they count no more
    # The last records of objects that are done again, by object_id; they are not in index.
    redone: Numbered = dataclasses.field(default_factory=Numbered)
    redone_bytes: int = 0  # of these objects
    observer: RecordObserver | None = None
    placement: Placement = Placement()
    by_place: RowsByPlace | None = None  # None: there is one place alone


def completed_before(
    path: Path,
    keys: KeyMaker,
    redone: Fingerprints | None = None,
    observer: RecordObserver | None = None,
    placement: Placement = Placement(),  # noqa: B008  # it is immutable
    stored: StoredTimes | None = None,
) -> CompletedBefore:
    """Return the key index of the records of completed.txt, except those of objects (KeyMaker.object_id) in redone.

    A record counts only while its key is its URL's current key, or one that a line of the input gives it, and where
    placement lets its place count. Log how many lines are not records.
    stored counts the records, all of them.
    """
    lines, index, left_out = numbered_records(path), KeyIndex(), Numbered()
    unreadable = redone_bytes = undone = 0
    undone_rows = UndoneRows(path.parent) or None
    by_place = RowsByPlace() if placement.is_hybrid else None
    for _, batch in log_progress(f"reading {path}", lines.batches(), size_of(path)):
        rows = [(number, completed_fields(line)) for number, line in batch]
        are_plain = keys.are_plain([fields[0] for _, fields in rows if fields])
        if stored is not None:
            stored.add([fields for _, fields in rows])
        for number, fields in rows:
            if undone_rows is not None and fields and undone_rows.has(fields):
                undone += 1
                if observer is not None:
                    observer.on_record([])
                continue
            if observer is not None:
                observer.on_record(fields)
            if not fields:
                unreadable += 1
                continue
            url, key = fields[:2]
            try:
                todays_key, stripped, reversible, identity = keys.known(url, are_plain)
            except InvalidUrl:
                try:  # a name may make up for what the URL lacks
                    identity, todays_key = keys.known(keys.named(url, key))[3], b""
                except InvalidUrl:
                    continue
            place = S3 if by_place is None else by_place.add(fields, identity + b"\t" + key)
            if redone is not None and (row := identity + b"\t" + key) in redone:
                if placement.counts(url, place):
                    if left_out.get(row) is None:
                        redone_bytes += int(fields[2])
                    left_out[row] = number
                continue
            if key == todays_key:
                index.add_record(identity, key, number, reversible)
                if not stripped:  # the survey counts such lines
                    index.close(number)
            elif keys.may_be_named(key):
                index.add_named_record(identity, key, number)
    if undone:
        log.info("%s rows of %s are undone and count no more", f"{undone:,}", path)
    if unreadable:
        log.warning(
            "%s has %s lines that are not records; their URLs are done again", path, f"{unreadable:,}"
        )
    return CompletedBefore(
        lines, index, unreadable, undone, left_out, redone_bytes, observer, placement, by_place
    )


def survey(
    urls: Path,
    keys: KeyMaker,
    completed: CompletedBefore,
    on_malformed: OnInvalidUrl,
    on_collision: OnCollision,
) -> UrlSurvey:
    """Find out the status of each line of urls; report the malformed and the collisions as they are found.

    Lines without a record become owners of their keys in the index of completed. Raise UsageError when urls
    cannot be read or contains no valid URL.
    """
    work = UrlSurvey(numbered_input(urls))
    surveyor = _Surveyor(work, keys, completed, on_malformed, on_collision)
    try:
        refuse_exports(urls)
        surveyor.read()
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    if work.lines == work.blank:
        raise UsageError(
            f"{urls} (SOURCE_URLS_FILE) contains no URL. Run `{command('collect_urls.py')}` first."
        )
    if work.lines == work.blank + work.duplicates + work.unfetchable:
        raise _unfit(urls, work.lines - work.blank, keys.url_prefix, surveyor.first_malformed)
    return work


def _unfit(urls: Path, lines: int, url_prefix: str, malformed: tuple[str, InvalidUrl]) -> UsageError:
    """Return the error for a list without a valid URL: a setting or the file is wrong."""
    with urls.open("rb") as file:
        head = file.read(64)
    if head.startswith(_UTF_16) or b"\0" in head:
        return UsageError(f"{urls} (SOURCE_URLS_FILE) is UTF-16 or not text: save it as UTF-8.")
    first, why = malformed
    shown = f"'{redact(printable(first[:200]))}'"
    if why.is_elsewhere:
        return UsageError(
            f"none of the {lines:,} lines of {urls} is under URL_PREFIX={url_prefix}; the first is {shown}. "
            "Correct URL_PREFIX."
        )
    return UsageError(
        f"none of the {lines:,} lines of {urls} is a valid URL; the first is {shown}: {why}. "
        "Correct the file, or SOURCE_URLS_FILE."
    )


class _NextRecords:
    """Find the record of a line among the next ones of completed.txt, which is nearly in the input's order.

    That takes a fifth of the time of a search in the index.
    """

    def __init__(self, path: Path) -> None:
        self._urls = (line.partition(b"\t")[0] for line in whole_lines(path))
        self._numbers: dict[bytes, int] = {}
        self._read = 0  # records
        self._read_on(_AHEAD)

    def take(self, url: bytes) -> int | None:
        """Return the number of the record of url, once; None where it is none of the next ones."""
        number = self._numbers.pop(url, None)
        if number is not None and number + _AHEAD > self._read:
            self._read_on(_AHEAD)
        return number

    def _read_on(self, count: int) -> None:
        for url in itertools.islice(self._urls, count):
            self._numbers[url] = self._read
            self._read += 1
        while len(self._numbers) > _HELD:
            del self._numbers[next(iter(self._numbers))]


class _Line(NamedTuple):
    """A line of the input, read."""

    number: int
    text: bytes
    key: bytes
    identity: bytes


class _Surveyor:
    """Find out the status of one line after the other."""

    def __init__(
        self,
        work: UrlSurvey,
        keys: KeyMaker,
        completed: CompletedBefore,
        on_malformed: OnInvalidUrl,
        on_collision: OnCollision,
    ) -> None:
        self._work = work
        self._keys = keys
        self._index = completed.index
        self._records = completed.lines
        self._next_records = _NextRecords(completed.lines.path)
        self._observer = completed.observer
        self._redone = completed.redone
        self._placement = completed.placement
        self._is_partial = completed.placement.is_partial
        self._by_place = completed.by_place
        self._on_malformed = on_malformed
        self._on_collision = on_collision
        # Objects of malformed and colliding lines, as their records spell them: each has one record.
        self._faulty = Fingerprints()
        self._respellings = Fingerprints()  # those of malformed lines that a good line may have too
        self._respelled = Fingerprints()  # those of them that came again as good lines
        self.first_malformed = ("", InvalidUrl(""))  # the first malformed line, and why it is

    def read(self) -> None:
        """Note the status of each line of the input."""
        urls, statuses = self._work.urls, self._work.statuses
        for _, batch in log_progress(f"reading {urls.path}", urls.batches(), size_of(urls.path)):
            lines = list(batch)
            are_plain = self._keys.are_plain([line for _, line in lines])
            for number, line in lines:
                status = self._status(number, line, are_plain)
                statuses.append(status)
                if not are_plain and status in _WITH_OBJECTS and has_plus(line):
                    self._work.with_plus += 1
        self._fix_respelled()

    def _status(self, number: int, line: bytes, is_plain: bool) -> LineStatus:
        record = self._next_records.take(line)
        if record is not None and self._index.claim_record(record, number):
            return self._done(line, record)
        try:
            key, stripped, reversible, identity = self._keys.known(line, is_plain)
        except InvalidUrl as error:
            return self._unfetchable(line, error)
        if identity is not line:
            self._work.notes.look(decode_line(line))
        claimed = self._index.claim(identity, key, number, reversible)
        if isinstance(claimed, Owner):
            return self._repeated(_Line(number, line, key, identity), claimed)
        if not stripped:
            self._work.unstripped += 1
        if claimed != NEW:
            return self._done(line, claimed)
        self._note_respelled(line)
        odd = oddity_of(key)
        if odd:
            self._work.notes.note(
                f"whose key has {odd}, which stores other than AWS may refuse", decode_line(line)
            )
        if self._is_partial and self._is_left_out(line, identity + b"\t" + key):
            self._work.not_selected += 1
            return LineStatus.NOT_SELECTED
        return LineStatus.PENDING

    def _is_left_out(self, line: bytes, object_id: bytes) -> bool:
        """Return whether PERCENT leaves out a line that is not completed; what was completed may be done again."""
        return not self._placement.selects(line) and self._redone.get(object_id) is None

    def _done(self, line: bytes, record: int) -> LineStatus:
        self._note_respelled(line)
        if self._by_place is not None and self._is_moving(line, self._by_place):
            self._work.moving += 1
            return LineStatus.PENDING
        if self._observer is not None:
            self._observer.on_done(record)
        self._work.done += 1
        return LineStatus.DONE

    def _is_moving(self, line: bytes, rows: RowsByPlace) -> bool:
        """Return whether line, which has a record, belongs in the bucket and is in the folder alone."""
        if self._placement.place_of(line) == LOCAL:
            return False  # an object in the bucket completes it, too
        key, _, _, identity = self._keys.known(line)
        object_id = identity + b"\t" + key
        if object_id in rows[S3]:
            self._work.superfluous += object_id in rows[LOCAL]
            return False
        self._index.reopen(identity, key)
        return True

    def _note_respelled(self, line: bytes) -> None:
        if self._respellings and (as_recorded := self._keys.object_id(line)) in self._respellings:
            self._respelled.add(as_recorded)

    def _unfetchable(self, line: bytes, why: InvalidUrl) -> LineStatus:
        if not line.strip():
            self._work.blank += 1
            return LineStatus.BLANK
        recorded = _as_recorded(line)
        recorded_as = self._keys.object_id(recorded)
        if not self._faulty.add(recorded_as) or (recorded != line and self._is_first(recorded)):
            self._work.duplicates += 1
            return LineStatus.DUPLICATE
        if recorded_as != recorded:
            self._respellings.add(recorded_as)
        url = decode_line(line)
        if not self._work.unfetchable:
            self.first_malformed = (url, why)
        self._on_malformed(url, why)
        if not why.other_host:
            self._work.malformed += 1
            return LineStatus.MALFORMED
        self._work.other_hosts += 1
        by_host = self._work.by_host
        known = why.other_host in by_host or len(by_host) < _HOSTS
        by_host[why.other_host if known else REST_OF_HOSTS] += 1
        return LineStatus.OTHER_HOST

    def _is_first(self, line: bytes) -> bool:
        """Return whether line has appeared as a valid one, the first with its key."""
        try:
            key, _, _, identity = self._keys.known(line)
        except InvalidUrl:
            return False
        number = self._index.line_with(key)
        return number is not None and self._keys.identity(self._work.urls[number]) == identity

    def _repeated(self, line: _Line, owner: Owner) -> LineStatus:
        first = self._work.urls[owner.number] if owner.is_line else self._completed_url(owner.number)
        if owner.is_line and (first == line.text or self._keys.identity(first) == line.identity):
            self._work.duplicates += 1
            if first != line.text:
                self._work.notes.note(SAME, decode_line(line.text))
            return self._newest(line, first, owner.number)
        if not self._faulty.add(line.identity + b"\t" + line.key):
            self._work.duplicates += 1
            return LineStatus.DUPLICATE
        self._work.collisions += 1
        self._on_collision(decode_line(line.key), decode_line(first), decode_line(line.text))
        return LineStatus.COLLISION

    def _newest(self, line: _Line, first: bytes, number: int) -> LineStatus:
        """Return the status of line, another form of the URL of first, which has that number.

        The later form has the newer signature, so it is the one to ask for.
        """
        statuses = self._work.statuses
        if first == line.text or not self._keys.ignored_params or statuses[number] != LineStatus.PENDING:
            return LineStatus.DUPLICATE
        statuses[number] = LineStatus.DUPLICATE
        self._index.hand_over(line.key, line.number)
        return LineStatus.PENDING

    def _completed_url(self, number: int) -> bytes:
        return self._records[number].partition(b"\t")[0]

    def _fix_respelled(self) -> None:
        """Mark each malformed line as a duplicate if its record would name a valid line that came later.

        A record cannot hold every byte that a line can: `\\xe9.jpg` is recorded as `%E9.jpg`, which may itself
        be a line. The audit counts one record for each malformed line, so such a pair is one URL.
        """
        if not self._respelled:
            return
        for number, line in self._work.lines_with(LineStatus.MALFORMED):
            if self._keys.object_id(_as_recorded(line)) in self._respelled:
                self._work.statuses[number] = LineStatus.DUPLICATE
                self._work.malformed -= 1
                self._work.duplicates += 1


def _as_recorded(line: bytes) -> bytes:
    """Return line as its record in failed_transfers.txt spells it."""
    return field(decode_line(line)).encode("utf-8", "surrogateescape")
