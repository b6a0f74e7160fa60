"""The objects in the bucket that completed.txt proves: the last row of each URL and key, if it is not undone.

Memory: 16 bytes a row while the rows are counted, then only what is known of rows that are not the only ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.console.progress import log_progress
from cdn2s3.keys import KeyMaker
from cdn2s3.records import S3, UNKNOWN
from cdn2s3.state.files import size_of
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.ledger import Completed, completed_fields
from cdn2s3.state.lines import numbered_records
from cdn2s3.state.undone import UndoneRows

_HOW, _PLACE = (Completed._fields.index(name) for name in ("how", "place"))
_S3 = S3.encode()


class StoredRow(NamedTuple):
    """A row of completed.txt whose object is in the bucket."""

    url: str
    key: str
    size: int  # bytes
    etag: str  # without quotes
    md5: str  # 32 hex digits; UNKNOWN where nobody computed it
    media_type: str  # UNKNOWN where nobody knows it
    how: str  # stored, renewed, replaced, found or adopted; UNKNOWN in rows of older versions


class StoredRows:
    """The rows of a completed.txt that stands still; iterate as often as needed."""

    def __init__(self, path: Path, keys: KeyMaker, place: str) -> None:
        """Read path once, to find rows that others supersede; place is that of rows that do not say it.

        Raise FatalError when it cannot be read.
        """
        self._path = path
        self._keys = keys
        self._place = place.encode()
        self._undone = UndoneRows(path.parent) or None
        self.elsewhere = 0  # rows whose objects are not in the bucket
        self.unreadable = 0  # lines that are not rows
        self._last = Numbered()  # of each URL and key with several rows, the number of the last one
        rows, known = 0, Fingerprints()
        for number, fields, are_plain in self._read("reading"):
            if not fields:
                self.unreadable += 1
            elif self._place_of(fields) != _S3:
                self.elsewhere += 1
            else:
                rows += 1
                identity = self._identity(fields, are_plain)
                if not known.add(identity):
                    self._last[identity] = number
        self._count = len(known)
        self.superseded = rows - len(known)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[StoredRow]:
        for number, fields, are_plain in self._read("reading again"):
            if not fields or self._place_of(fields) != _S3:
                continue
            if self._last:
                last = self._last.get(self._identity(fields, are_plain))
                if last is not None and last != number:
                    continue
            url, key, size, etag, md5, media_type = (field.decode() for field in fields[:6])
            how = fields[_HOW].decode() if len(fields) > _HOW else UNKNOWN
            yield StoredRow(url, key, int(size), etag, md5, media_type, how)

    def _read(self, step: str) -> Iterator[tuple[int, list[bytes], bool]]:
        """Yield the number and the fields of each line, none where it is not a row, and whether its URL is plain.

        Rows that are undone are left out.
        """
        lines = numbered_records(self._path)
        for _, batch in log_progress(f"{step} {self._path}", lines.batches(), size_of(self._path)):
            rows = [(number, _fields(line)) for number, line in batch]
            are_plain = self._keys.are_plain([fields[0] for _, fields in rows if fields])
            for number, fields in rows:
                if not (fields and self._undone is not None and self._undone.has(fields)):
                    yield number, fields, are_plain

    def _identity(self, fields: list[bytes], is_plain: bool) -> bytes:
        url, key = fields[:2]
        return (url if is_plain else self._keys.identity(url)) + b"\t" + key

    def _place_of(self, fields: list[bytes]) -> bytes:
        place = fields[_PLACE] if len(fields) > _PLACE else b""
        return self._place if place in (b"", UNKNOWN.encode()) else place


def _fields(line: bytes) -> list[bytes]:
    """Return the fields of a row that has a URL and a key, none for another line."""
    fields = completed_fields(line)
    return fields if fields and fields[1] and _is_text(line) else []


def _is_text(line: bytes) -> bool:
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
