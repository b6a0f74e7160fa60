"""variants.txt, a line for each size of each original: what was made of it, or why there is none.

Append-only like completed.txt: one write per record, on disk within a second; of several lines of an original and a
size, the last one counts. failed_variants.txt has the originals of which no variants could be made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import FatalError
from cdn2s3.file_names import FAILED_VARIANTS_FILE, VARIANTS_FILE
from cdn2s3.records import HOWS
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.state.files import AppendFile
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.ledger import decode_line, seconds_of, timestamp
from cdn2s3.state.lines import encode, numbered_records, whole_lines
from cdn2s3.text import redact

# How, besides records.STORED … FOUND, which mean for a variant what they mean for an original.
SMALLER = "smaller"  # no object: the original is smaller than the size
UNDONE = "undone"  # no object any more
_HOWS = HOWS | {SMALLER, UNDONE}


class Variant(NamedTuple):
    """A line of variants.txt."""

    url: str  # of the original, as in completed.txt
    key: str  # of the original
    size: str  # the name of the size
    variant_key: str  # "-" if there is none
    bytes: str
    etag: str  # without quotes; "-" if there is none
    dimensions: str  # WIDTHxHEIGHT; of the original where how is smaller
    md5: str  # of the original, 32 hex digits
    at: str  # UTC, ISO 8601
    how: str

    @property
    def longest(self) -> int:
        """The longer side in pixels; 0 if the line does not say."""
        sides = self.dimensions.split("x")
        return max(map(int, sides)) if len(sides) == 2 and all(side.isdigit() for side in sides) else 0

    def shows(self, size: VariantSize, md5: str, finished_at: str) -> bool:
        """Return whether size needs nothing more for an original with an MD5 ("-" where none is recorded).

        finished_at is when the original was completed, which decides where there is no MD5 to compare.
        """
        if self.how == UNDONE:
            return False
        has_pixels = 0 < self.longest < size.pixels if self.how == SMALLER else self.longest == size.pixels
        is_of_it = self.md5 == md5
        if md5 == "-":
            is_of_it = (seconds_of(self.at) or 0) >= (seconds_of(finished_at) or 0)
        return has_pixels and is_of_it


def variant_of(line: bytes) -> Variant | None:
    """Return the record in a line of variants.txt, or None if there is none."""
    fields = decode_line(line).split("\t")
    if len(fields) != len(Variant._fields):
        return None
    row = Variant(*fields)
    return row if row.how in _HOWS and row.bytes.isdigit() and row.url and row.key else None


def _identity(key: str, size: str) -> bytes:
    return f"{size}\t{key}".encode("utf-8", "surrogateescape")


class Variants:
    """What is recorded in variants.txt, found by original and size, as it was when this was made; for one thread.

    35 bytes for each variant, 1.5 GB of lines being read from the disk where they are needed.
    """

    def __init__(self, state_dir: Path) -> None:
        """Raise FatalError when variants.txt cannot be read."""
        self.path = state_dir / VARIANTS_FILE
        self._lines = numbered_records(self.path)
        self._last = Numbered()
        for _, batch in self._lines.batches():
            for number, line in batch:
                row = variant_of(line)
                if row is not None:
                    self._last[_identity(row.key, row.size)] = number

    def get(self, key: str, size: str) -> Variant | None:
        """Return the record of an original and a size, None where there is none; raise FatalError."""
        number = self._last.get(_identity(key, size))
        if number is None:
            return None
        try:
            return variant_of(self._lines[number])
        except OSError as error:
            raise FatalError(
                f"{self.path} was changed while it was being read ({error.strerror}). Run the same command again."
            ) from error

    def all(self) -> Iterator[Variant]:
        """Yield the record that counts of each original and size; raise FatalError."""
        for number, line in enumerate(whole_lines(self.path)):
            row = variant_of(line)
            if row is not None and self._last.get(_identity(row.key, row.size)) == number:
                yield row

    def rewrite(self, keeps: frozenset[str]) -> None:
        """Replace variants.txt by the lines that count and whose how is in keeps; raise FatalError.

        For the holder of the lock, when nobody appends any more.
        """
        with replacing(self.path) as file:
            for row in self.all():
                if row.how in keeps:
                    file.write(encode(row))


class FailedVariant(NamedTuple):
    """A line of failed_variants.txt."""

    url: str
    key: str
    cause: str  # undecodable, too_large, not_an_image, or what the bucket is to blame for
    message: str
    at: str  # UTC, ISO 8601

    @classmethod
    def now(cls, url: str, key: str, cause: str, message: str) -> FailedVariant:
        """Return the line of an original that fails now, secrets redacted."""
        return cls(url, key, cause, redact(message), timestamp(time.time()))


class FailedVariants:
    """failed_variants.txt, with each original once that has failed and has not been settled since; for one thread."""

    def __init__(self, state_dir: Path) -> None:
        """Raise FatalError when it cannot be opened."""
        self.path = state_dir / FAILED_VARIANTS_FILE
        self.file = AppendFile(self.path)
        self._known = Fingerprints()
        self._settled = Fingerprints()
        for row in self._rows():
            self._known.add(_identity(row.key, ""))

    def _rows(self) -> Iterator[FailedVariant]:
        for line in whole_lines(self.path):
            fields = decode_line(line).split("\t")
            if len(fields) == len(FailedVariant._fields):
                yield FailedVariant(*fields)

    def add(self, row: FailedVariant) -> None:
        """Append row; raise FatalError unless it is written completely."""
        self.file.append(encode(row))
        self._known.add(_identity(row.key, ""))

    def settle(self, key: str) -> None:
        """Note that all is well with an original."""
        identity = _identity(key, "")
        if identity in self._known:
            self._settled.add(identity)

    def causes(self) -> Causes:
        """Return why originals have failed, as the file says now; raise FatalError when it cannot be read."""
        found = Causes()
        for row in self._rows():
            found.add(row)
        return found

    def rebuild(self) -> int:
        """Keep the last line of each original that is not settled; return how many; raise FatalError."""
        last = Numbered()
        for number, row in enumerate(self._rows()):
            last[_identity(row.key, "")] = number
        kept = 0
        with replacing(self.path) as file:
            for number, row in enumerate(self._rows()):
                identity = _identity(row.key, "")
                if last.get(identity) == number and identity not in self._settled:
                    file.write(encode(row))
                    kept += 1
        return kept


class Causes:
    """Why originals have failed; 20 bytes for each."""

    def __init__(self) -> None:
        self._names: list[str] = []  # each cause once
        self._numbers = Numbered()

    def add(self, row: FailedVariant) -> None:
        if row.cause not in self._names:
            self._names.append(row.cause)
        self._numbers[_identity(row.key, "")] = self._names.index(row.cause)

    def of(self, key: str) -> str:
        """Return the cause of an original, "" where it has not failed."""
        number = self._numbers.get(_identity(key, ""))
        return "" if number is None else self._names[number]
