"""What a run has to do: each line of urls.txt has one fate, found out before a byte moves.

Four million lines: a byte each for the fate and compact fingerprints while they are found out, nothing else.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Callable

from cdn2s3.errors import Fixable, redact
from cdn2s3.fingerprints import Fingerprints, Numbered
from cdn2s3.keys import KeyMaker, Malformed
from cdn2s3.ledger import decode_line, field, url_and_key
from cdn2s3.statefile import cannot_read, input_line, input_lines, placed_lines, placed_records, size_of
from cdn2s3.steps import told

log = logging.getLogger(__name__)

PENDING, DONE, BLANK, DUPLICATE, MALFORMED, COLLISION, NOT_CHOSEN = range(7)

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins

OnMalformed = Callable[[str, str], None]  # url, why
OnCollision = Callable[[str, str, str], None]  # key, first url, this url


@dataclasses.dataclass
class Worklist:
    """The fate of each line of the input, and how many there are of each."""

    fates: bytearray  # one of PENDING … NOT_CHOSEN for each line
    blank: int = 0
    done: int = 0  # completed before, under today's key
    duplicates: int = 0  # lines that are there already
    malformed: int = 0
    collisions: int = 0  # lines whose key another, earlier line has
    unstripped: int = 0  # pending and done lines that lack STRIP_PATH_PREFIX and keep their path

    @property
    def lines(self) -> int:
        return len(self.fates)

    @property
    def pending(self) -> int:
        return self.lines - self.blank - self.done - self.duplicates - self.malformed - self.collisions


def completed_before(path: Path, redone: Fingerprints | None = None) -> Fingerprints:
    """Return the set of `url⇥key` of all records in completed.txt but those of URLs in redone.

    Say how many lines are no records.
    """
    done = Fingerprints()
    unreadable = 0
    for _, line in told(f"reading {path}", placed_records(path), size_of(path)):
        what = url_and_key(line)
        if what is None:
            unreadable += 1
        elif redone is None or what.partition(b"\t")[0] not in redone:
            done.add(what)
    if unreadable:
        log.warning("%s has %d lines that are no records: their URLs are done again", path, unreadable)
    return done


def survey(
    urls: Path, keys: KeyMaker, done: Fingerprints, on_malformed: OnMalformed, on_collision: OnCollision
) -> Worklist:
    """Find out the fate of each line of urls; report the malformed and the collisions as they are found.

    Raise Fixable when urls cannot be read or holds no URL that may be fetched.
    """
    work = Worklist(bytearray())
    try:
        with urls.open("rb") as again:
            surveyor = _Surveyor(work, keys, done, again, on_malformed, on_collision)
            work.fates.extend(surveyor.fates(urls))
            surveyor.set_twins_right(urls)
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    if work.lines == work.blank:
        raise Fixable(f"{urls} (SOURCE_URLS_FILE) holds no URL. Run `python collect_urls.py` first.")
    if work.lines == work.blank + work.duplicates + work.malformed:
        raise _unfit(urls, work.lines - work.blank, keys.url_prefix, *surveyor.first_malformed)
    return work


def _unfit(urls: Path, lines: int, url_prefix: str, first: str, why: str) -> Fixable:
    """Return the error for a list none of whose lines may be fetched: a setting is wrong, or the file."""
    with urls.open("rb") as file:
        head = file.read(64)
    if head.startswith(_UTF_16) or b"\0" in head:
        return Fixable(f"{urls} (SOURCE_URLS_FILE) is UTF-16, or no text: save it as UTF-8.")
    shown = redact(repr(first[:200]))
    if why.startswith("not under URL_PREFIX"):
        return Fixable(
            f"none of the {lines:,} lines of {urls} is under URL_PREFIX={url_prefix}; the first is {shown}. "
            "Correct URL_PREFIX."
        )
    return Fixable(
        f"none of the {lines:,} lines of {urls} is a URL that may be fetched; the first is {shown}: {why}. "
        "Correct the file, or SOURCE_URLS_FILE."
    )


class _Surveyor:
    """Find out the fate of one line after the other."""

    def __init__(
        self,
        work: Worklist,
        keys: KeyMaker,
        done: Fingerprints,
        again: BinaryIO,
        on_malformed: OnMalformed,
        on_collision: OnCollision,
    ) -> None:
        self._work = work
        self._keys = keys
        self._done = done
        self._again = again  # the file once more, to look at earlier lines
        self._on_malformed = on_malformed
        self._on_collision = on_collision
        self._first_with_key = Numbered()  # where in the file the first line with a key is
        # Malformed and colliding lines as their records spell them: each has one record.
        self._faulty = Fingerprints()
        self._twins = Fingerprints()  # those of them that came again as good lines
        self.first_malformed = ("", "")  # the first malformed line, and why it is

    def fates(self, urls: Path) -> Iterator[int]:
        """Yield the fate of each line of urls; plain URLs that are new, nearly all, are settled right here."""
        plain_key, setdefault, done = self._keys.plain_key, self._first_with_key.setdefault, self._done
        for at, line in told(f"reading {urls}", placed_lines(urls), size_of(urls)):
            plain = plain_key(line)
            if plain is None or setdefault(plain[0], at) != at:
                yield self._fate(at, line)
                continue
            self._work.unstripped += not plain[1]
            if line + b"\t" + plain[0] in done:
                self._work.done += 1
                yield DONE
            else:
                yield PENDING

    def _fate(self, at: int, line: bytes) -> int:
        if not line.strip():
            self._work.blank += 1
            return BLANK
        url = decode_line(line)
        try:
            address = self._keys.address(url)
        except Malformed as error:
            return self._malformed(url, str(error))
        key = address.key.encode("utf-8")
        first_at = self._first_with_key.setdefault(key, at)
        if first_at != at:
            return self._repeated(line, url, address.key, first_at)
        self._work.unstripped += not address.stripped
        if len(self._faulty) and line in self._faulty:
            self._twins.add(line)
        if line + b"\t" + key in self._done:
            self._work.done += 1
            return DONE
        return PENDING

    def _malformed(self, url: str, why: str) -> int:
        recorded = field(url)
        if not self._faulty.add(_bytes(recorded)) or (recorded != url and self._is_first(recorded)):
            self._work.duplicates += 1
            return DUPLICATE
        if not self._work.malformed:
            self.first_malformed = (url, why)
        self._work.malformed += 1
        self._on_malformed(url, why)
        return MALFORMED

    def _is_first(self, url: str) -> bool:
        """Tell whether url has come as a good line, the first with its key."""
        try:
            first_at = self._first_with_key.get(self._keys.address(url).key.encode("utf-8"))
        except Malformed:
            return False
        return first_at is not None and self._line_at(first_at) == _bytes(url)

    def _line_at(self, at: int) -> bytes:
        self._again.seek(at)
        return input_line(self._again.readline())

    def set_twins_right(self, urls: Path) -> None:
        """Make a duplicate of each malformed line whose record would name a good line that came later."""
        if not len(self._twins):
            return
        for number, url in lines_with(MALFORMED, urls, self._work):
            if _bytes(field(url)) in self._twins:
                self._work.fates[number] = DUPLICATE
                self._work.malformed -= 1
                self._work.duplicates += 1

    def _repeated(self, line: bytes, url: str, key: str, first_at: int) -> int:
        first = self._line_at(first_at)
        if first == line or not self._faulty.add(line):
            self._work.duplicates += 1
            return DUPLICATE
        self._work.collisions += 1
        self._on_collision(key, decode_line(first), url)
        return COLLISION


def _bytes(url: str) -> bytes:
    return url.encode("utf-8", "surrogateescape")


def lines_with(fate: int, urls: Path, work: Worklist) -> Iterator[tuple[int, str]]:
    """Yield the number (from 0) and the text of each line of urls whose fate is fate now."""
    for number, line in enumerate(input_lines(urls)):
        if number < work.lines and work.fates[number] == fate:
            yield number, decode_line(line)
