"""What a run has to do: each line of urls.txt has one fate, found out before a byte moves.

Four million lines: a byte each for the fate and compact fingerprints while they are found out, nothing else.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Callable

from cdn2s3.console.progress import log_progress
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.keys import InvalidUrl, KeyMaker, Known
from cdn2s3.state.files import cannot_read, size_of
from cdn2s3.state.key_index import Fingerprints, Owner, Owners
from cdn2s3.state.ledger import decode_line, url_and_key
from cdn2s3.state.lines import field, input_line, input_lines, placed_lines, placed_records
from cdn2s3.text import printable, redact

log = logging.getLogger(__name__)

PENDING, DONE, BLANK, DUPLICATE, MALFORMED, COLLISION, NOT_CHOSEN = range(7)

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins

OnInvalidUrl = Callable[[str, str], None]  # url, why
OnCollision = Callable[[str, str, str], None]  # key, first url, this url


@dataclasses.dataclass
class UrlSurvey:
    """The fate of each line of the input, and how many there are of each."""

    statuses: bytearray  # one of PENDING … NOT_CHOSEN for each line
    blank: int = 0
    done: int = 0  # completed before, under today's key
    duplicates: int = 0  # lines that are there already
    malformed: int = 0
    collisions: int = 0  # lines whose key another URL has: of an earlier line, or one completed before
    unstripped: int = 0  # pending and done lines that lack STRIP_PATH_PREFIX and keep their path

    @property
    def lines(self) -> int:
        return len(self.statuses)

    @property
    def pending(self) -> int:
        return self.lines - self.blank - self.done - self.duplicates - self.malformed - self.collisions


def completed_before(path: Path, keys: KeyMaker, redone: Fingerprints | None = None) -> Owners:
    """Return who has which key by the records of completed.txt, but for those of URLs in redone.

    A record counts only while its key is today's key of its URL. Say how many lines are no records.
    """
    owners, plain_key, unreadable = Owners(path), keys.plain_key, 0
    for at, line in log_progress(f"reading {path}", placed_records(path), size_of(path)):
        what = url_and_key(line)
        if what is None:
            unreadable += 1
            continue
        url, key = what
        if redone is not None and url in redone:
            continue
        if plain_key(url) == key:
            owners.add_record(url, key, at, keys.tells)
        elif (known := _known(keys, url)) is not None and known.key == key:
            owners.add_record(url, key, at, known.told)
    if unreadable:
        log.warning("%s has %s lines that are no records: their URLs are done again", path, f"{unreadable:,}")
    return owners


def _known(keys: KeyMaker, url: bytes) -> Known | None:
    try:
        return keys.known(url)
    except InvalidUrl:
        return None


def survey(
    urls: Path, keys: KeyMaker, owners: Owners, on_malformed: OnInvalidUrl, on_collision: OnCollision
) -> UrlSurvey:
    """Find out the fate of each line of urls; report the malformed and the collisions as they are found.

    owners are the records of completed.txt; lines without one become owners of their keys here.
    Raise UsageError when urls cannot be read or holds no URL that may be fetched.
    """
    work = UrlSurvey(bytearray())
    try:
        with urls.open("rb") as again, ExitStack() as stack:
            records = stack.enter_context(owners.records.open("rb")) if len(owners) else again
            surveyor = _Surveyor(work, keys, owners, (again, records), on_malformed, on_collision)
            work.statuses.extend(surveyor.statuses(urls))
            surveyor.fix_respelled(urls)
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    if work.lines == work.blank:
        raise UsageError(f"{urls} (SOURCE_URLS_FILE) holds no URL. Run `python collect_urls.py` first.")
    if work.lines == work.blank + work.duplicates + work.malformed:
        raise _unfit(urls, work.lines - work.blank, keys.url_prefix, surveyor.first_malformed)
    return work


def _unfit(urls: Path, lines: int, url_prefix: str, malformed: tuple[str, InvalidUrl]) -> UsageError:
    """Return the error for a list none of whose lines may be fetched: a setting is wrong, or the file."""
    with urls.open("rb") as file:
        head = file.read(64)
    if head.startswith(_UTF_16) or b"\0" in head:
        return UsageError(f"{urls} (SOURCE_URLS_FILE) is UTF-16, or no text: save it as UTF-8.")
    first, why = malformed
    shown = f"'{redact(printable(first[:200]))}'"
    if why.is_elsewhere:
        return UsageError(
            f"none of the {lines:,} lines of {urls} is under URL_PREFIX={url_prefix}; the first is {shown}. "
            "Correct URL_PREFIX."
        )
    return UsageError(
        f"none of the {lines:,} lines of {urls} is a URL that may be fetched; the first is {shown}: {why}. "
        "Correct the file, or SOURCE_URLS_FILE."
    )


class _Surveyor:
    """Find out the fate of one line after the other."""

    def __init__(
        self,
        work: UrlSurvey,
        keys: KeyMaker,
        owners: Owners,
        files: tuple[BinaryIO, BinaryIO],
        on_malformed: OnInvalidUrl,
        on_collision: OnCollision,
    ) -> None:
        self._work = work
        self._keys = keys
        self._owners = owners
        self._lines, self._records = files  # the input once more and completed.txt, to look at owners
        self._on_malformed = on_malformed
        self._on_collision = on_collision
        # InvalidUrl and colliding lines as their records spell them: each has one record.
        self._faulty = Fingerprints()
        self._twins = Fingerprints()  # those of them that came again as good lines
        self.first_malformed = ("", InvalidUrl(""))  # the first malformed line, and why it is

    def statuses(self, urls: Path) -> Iterator[int]:
        """Yield the fate of each line of urls; plain URLs that are new, nearly all, are settled right here."""
        plain_key, tells = self._keys.plain_key, self._keys.tells
        claim, work = self._owners.claim, self._work
        for at, line in log_progress(f"reading {urls}", placed_lines(urls), size_of(urls)):
            key = plain_key(line)
            if key is None:
                yield self._fate(at, line)
                continue
            claimed = claim(line, key, at, tells)
            if claimed is True:
                work.done += 1
                yield DONE
            elif claimed is False:
                yield PENDING
            else:
                yield self._repeated(line, key, claimed)

    def _fate(self, at: int, line: bytes) -> int:
        if not line.strip():
            self._work.blank += 1
            return BLANK
        try:
            known = self._keys.known(line)
        except InvalidUrl as error:
            return self._malformed(decode_line(line), error)
        claimed = self._owners.claim(line, known.key, at, known.told)
        if isinstance(claimed, Owner):
            return self._repeated(line, known.key, claimed)
        self._work.unstripped += not known.stripped
        if len(self._faulty) and line in self._faulty:
            self._twins.add(line)
        self._work.done += claimed
        return DONE if claimed else PENDING

    def _malformed(self, url: str, why: InvalidUrl) -> int:
        recorded = field(url)
        if not self._faulty.add(_bytes(recorded)) or (recorded != url and self._is_first(recorded)):
            self._work.duplicates += 1
            return DUPLICATE
        if not self._work.malformed:
            self.first_malformed = (url, why)
        self._work.malformed += 1
        self._on_malformed(url, str(why))
        return MALFORMED

    def _is_first(self, url: str) -> bool:
        """Tell whether url has come as a good line, the first with its key."""
        known = _known(self._keys, _bytes(url))
        owner = known and self._owners.owner(known.key)
        return bool(owner and owner.is_line and self._line_at(owner.at) == _bytes(url))

    def _line_at(self, at: int) -> bytes:
        self._lines.seek(at)
        return input_line(self._lines.readline())

    def fix_respelled(self, urls: Path) -> None:
        """Make a duplicate of each malformed line whose record would name a good line that came later."""
        if not len(self._twins):
            return
        for number, url in lines_with(MALFORMED, urls, self._work):
            if _bytes(field(url)) in self._twins:
                self._work.statuses[number] = DUPLICATE
                self._work.malformed -= 1
                self._work.duplicates += 1

    def _repeated(self, line: bytes, key: bytes, owner: Owner) -> int:
        first = self._line_at(owner.at) if owner.is_line else self._completed_at(owner.at)
        if (owner.is_line and first == line) or not self._faulty.add(line):
            self._work.duplicates += 1
            return DUPLICATE
        self._work.collisions += 1
        self._on_collision(decode_line(key), decode_line(first), decode_line(line))
        return COLLISION

    def _completed_at(self, at: int) -> bytes:
        """Return the URL of the record at offset at of completed.txt."""
        self._records.seek(at)
        return self._records.readline().partition(b"\t")[0]


def _bytes(url: str) -> bytes:
    return url.encode("utf-8", "surrogateescape")


def lines_with(fate: int, urls: Path, work: UrlSurvey) -> Iterator[tuple[int, str]]:
    """Yield the number (from 0) and the text of each line of urls whose fate is fate now.

    Raise FatalError when urls cannot be read any more.
    """
    try:
        for number, line in enumerate(input_lines(urls)):
            if number < work.lines and work.statuses[number] == fate:
                yield number, decode_line(line)
    except OSError as error:
        raise FatalError(
            f"cannot read {urls} any more: {error.strerror or error}. Look after the file and its disk, "
            "then run the same command again."
        ) from error
