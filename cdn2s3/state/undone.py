"""undone.txt: the objects that an undo has removed, or let go back. A row that it names is not completed any more.

That holds from the moment its line is written, long before completed.txt is rewritten without the row: so an undo that
is killed never leaves a state that looks complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cdn2s3.file_names import UNDONE_FILE
from cdn2s3.records import LOCAL
from cdn2s3.state.files import AppendFile
from cdn2s3.state.key_index import Numbered
from cdn2s3.state.ledger import Completed, encode_line, seconds_of, timestamp
from cdn2s3.state.lines import encode, whole_lines

_URL, _KEY, _SIZE, _ETAG, _FINISHED, _PLACE = 0, 1, 2, 3, 6, 10  # fields of a row of completed.txt
_VERSION = 4  # field of a line of undone.txt


class UndoneObject(NamedTuple):
    """A line of undone.txt."""

    url: str
    key: str
    size: str  # bytes
    etag: str  # without quotes
    version: str  # that was deleted; `marker:ID` where a marker covers it; "-" where there is none; `local`: a file
    undone_at: str  # UTC, ISO 8601; always later than the row's finished_at


class UndoneRows:
    """Tell which rows of completed.txt have been undone. Memory: 20 bytes a line of undone.txt."""

    def __init__(self, state_dir: Path) -> None:
        """Read undone.txt, if there is one; raise FatalError when it cannot be read."""
        self._undone_at = Numbered()
        for fields in _records(state_dir):
            self._undone_at[_id_of(fields, fields[_VERSION])] = (
                seconds_of(fields[-1].decode("ascii", "replace")) or 0
            )

    def __bool__(self) -> bool:
        return len(self._undone_at) > 0

    def has(self, fields: Sequence[bytes]) -> bool:
        """Return whether the row with these fields, undecoded, was undone after it was written."""
        undone_at = self._undone_at.get(_id_of(fields, fields[_PLACE] if len(fields) > _PLACE else b""))
        if undone_at is None:
            return False
        finished_at = seconds_of(fields[_FINISHED].decode("ascii", "replace"))
        return finished_at is None or undone_at > finished_at


def last_at(state_dir: Path) -> int:
    """Return the time of the newest line, in seconds since the epoch, 0 if there is none; raise FatalError."""
    return max(
        (seconds_of(fields[-1].decode("ascii", "replace")) or 0 for fields in _records(state_dir)), default=0
    )


class ObjectsSince:
    """The objects that were undone since a point in time, in seconds since the epoch. Memory: 20 bytes each."""

    def __init__(self, state_dir: Path, began_at: int) -> None:
        """Read undone.txt, if there is one; raise FatalError when it cannot be read."""
        self._undone_at = Numbered()
        for fields in _records(state_dir):
            at = seconds_of(fields[-1].decode("ascii", "replace")) or 0
            if at >= began_at:
                self._undone_at[_object(fields[_URL], fields[_KEY], fields[_VERSION])] = at

    def __len__(self) -> int:
        return len(self._undone_at)

    def __contains__(self, row: Completed) -> bool:
        """Return whether row's object was undone after row was written: else it has been stored again since."""
        at = self._undone_at.get(_object(encode_line(row.url), encode_line(row.key), row.place.encode()))
        return at is not None and at > (seconds_of(row.finished_at) or 0)


def append(file: AppendFile, row: Completed, version: str) -> int:
    """Append the line of row's object, undone now; return its time. Raise FatalError unless it is written."""
    at = max(int(time.time()), (seconds_of(row.finished_at) or 0) + 1)
    version = LOCAL if row.place == LOCAL else version
    file.append(encode(UndoneObject(row.url, row.key, row.size, row.etag, version, timestamp(at))))
    return at


def _records(state_dir: Path) -> Iterator[list[bytes]]:
    """Yield the fields of each record in undone.txt; skip lines that are none."""
    for line in whole_lines(state_dir / UNDONE_FILE):
        fields = line.split(b"\t")
        if len(fields) == len(UndoneObject._fields):
            yield fields


def _id_of(fields: Sequence[bytes], place: bytes) -> bytes:
    return _object(fields[_URL], fields[_KEY], place) + b"\t" + fields[_ETAG]


def _object(url: bytes, key: bytes, place: bytes) -> bytes:
    """Return what an object is known by; place is a row's place or a line's version: only a file's is `local`."""
    return b"\t".join((url, key, place if place == LOCAL.encode() else b""))
