"""Exports on this machine as a source of URLs: SOURCE=files.

The files that FILES matches are read in the byte order of their paths, record by record, in bounded memory. A
position is a file and a record in it (and the byte where it ends, where a reader can go on there).
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cdn2s3.collection.base import Batch, Progress
from cdn2s3.collection.checkpoint import start_over
from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable
from cdn2s3.collection.files.formats import Choice, open_reader, records_of
from cdn2s3.collection.files.inventory import DataFile
from cdn2s3.collection.files.parts import parts_of
from cdn2s3.collection.files.records import Record, Start
from cdn2s3.collection.notes import Notes
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import pluralize, printable

log = logging.getLogger(__name__)

_BATCH = 1000  # records of a batch
_SECONDS = 0.5  # that a batch may take: a signal is noticed between two
_MOST_LOGGED = 20  # doubts about one file


class FilePosition(NamedTuple):
    """Where to go on in the files."""

    files: int  # read to their ends before it
    records: int  # read of the next one
    offset: int  # decompressed bytes of it; 0: unknown
    list_hash: str  # of the paths and sizes of all files
    found: tuple[str, ...]  # the names in URL_COLUMNS and KEY_COLUMN that were found so far

    def __str__(self) -> str:
        return f"file {self.files + 1}" + (f", record {self.records + 1:,}" if self.records else "")


class ExportFiles:
    """The exports that a glob finds."""

    def __init__(self, settings: CollectionSettings) -> None:
        """List the files; raise UsageError when there is none, or a part of an S3 Inventory is missing."""
        self._glob = settings.files
        self._choice = Choice.of(settings)
        self._parts = parts_of(settings)
        sizes = [(os.fsencode(part.path), part.path.stat().st_size) for part in self._parts]
        self._hash = hashlib.sha256(repr(sizes).encode()).hexdigest()
        self._sizes = [size for _, size in sizes]
        self._open: _OpenFile | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def first(self) -> FilePosition:
        return FilePosition(0, 0, 0, self._hash, ())

    def resume(self, stored: Mapping[str, Any]) -> FilePosition:
        """Return the Position in a checkpoint.

        Raise ValueError if it has none, UsageError if the files have changed since then.
        """
        numbers = [stored.get(name) for name in ("files", "records", "offset")]
        list_hash, found = stored.get("list_hash"), stored.get("found")
        are_numbers = all(type(number) is int and number >= 0 for number in numbers)
        are_names = isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found)
        if not are_numbers or not are_names or not isinstance(list_hash, str):
            raise ValueError("its position is not for SOURCE=files")
        if list_hash != self._hash:
            raise UsageError(
                f"the files that FILES={self._glob} matches have changed since the checkpoint "
                f"({pluralize(len(self), 'file')} now). Restore them, or {start_over()}."
            )
        if not stored["files"] < len(self):
            raise ValueError("its position is past the last file")
        return FilePosition(
            stored["files"], stored["records"], stored["offset"], list_hash, tuple(stored["found"])
        )

    def read(self, position: FilePosition) -> Batch:
        """Return the URLs of the next records at position; log what cannot be read.

        Raise UsageError when a file does not fit the settings.
        """
        if self._open is None or self._open.position != position:
            self._close()
            self._open = _OpenFile(self._parts[position.files], self._choice, position)
        batch = self._open.next_batch()
        done = sum(self._sizes[: position.files]) + self._open.progress()
        following = batch.following or self._after(self._open)
        if batch.following is None:
            self._close()
        lacking = [] if following else self._lacking(position, batch)
        return batch._replace(
            following=following,
            unreadable=batch.unreadable + len(lacking),
            progress=Progress(done, sum(self._sizes), "bytes"),
        )

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._names = self._open.names
        self._open = None

    def _after(self, ended: _OpenFile) -> FilePosition | None:
        """Return the position after a file that has ended, None after the last one."""
        after = FilePosition(ended.position.files + 1, 0, 0, self._hash, ended.names)
        return after if after.files < len(self) else None

    def _lacking(self, position: FilePosition, batch: Batch) -> list[str]:
        """Return the names in URL_COLUMNS and KEY_COLUMN that no file has, and log them."""
        picker = self._choice.picker()
        lacking = [name for name in (*picker.wanted.names, *picker.keys.names) if name not in self._names]
        for name in lacking:
            log.error("no file has a field %r (URL_COLUMNS or KEY_COLUMN)", name)
        return lacking

    def check_circle(self, position: FilePosition, stale: int) -> None:
        """Do nothing: each file is read once."""


class _OpenFile:
    """A file while it is read; its position moves on batch by batch."""

    def __init__(self, part: DataFile, choice: Choice, position: FilePosition) -> None:
        """Open part at position; raise UsageError when it is the first one and does not fit the settings."""
        self.position = position
        self._name = printable(str(part.path))
        self._picker = choice.picker()
        self._logged = 0
        self._notes = Notes()  # of the whole file
        self._stream: ByteStream | None = None
        try:
            self._stream = ByteStream(part.path, self._name)
            start = Start(position.records, position.offset)
            reader = open_reader(part, self._stream, choice, self._picker, start)
        except Unreadable as error:
            self._records: Iterator[Record] = iter([Record([], 0, str(error))])
        except UsageError as error:
            if position.files == 0 and self._stream is not None:
                self._stream.close()
                raise
            self._records = iter([Record([], 0, str(error))])  # the files before it fitted
        else:
            self._records = records_of(reader)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in URL_COLUMNS and KEY_COLUMN that were found up to here."""
        return tuple(sorted({*self.position.found, *self._picker.wanted.found, *self._picker.keys.found}))

    def progress(self) -> int:
        """Return how many bytes of the file have been read."""
        return self._stream.progress() if self._stream else 0

    def close(self) -> None:
        """Close the file, and log what was done to its fields."""
        if self._stream:
            self._stream.close()
        for what, note in self._notes.found.items():
            log.info("%s: %s: %d, for example %s", self._name, what, note.times, note.example)
        if self._logged > _MOST_LOGGED:
            log.error("%s: %d more such lines", self._name, self._logged - _MOST_LOGGED)

    def next_batch(self) -> Batch:
        """Return the URLs of the next records; `following` is None at the end of the file."""
        urls: list[Any] = []
        doubts = 0
        count = 0
        record = None
        until = time.monotonic() + _SECONDS
        for record in self._records:
            urls += record.urls
            count += 1
            if record.doubt:
                doubts += 1
                self._log(record.doubt)
            elif count >= _BATCH or (count % 50 == 0 and time.monotonic() > until):
                break  # never after a doubt: at the end of a file it would come again
        else:
            record = None
        following = None
        if record is not None:
            self.position = self.position._replace(
                records=self.position.records + count, offset=record.offset, found=self.names
            )
            following = self.position
        notes = self._picker.noted()
        self._notes.merge(notes)
        return Batch(
            urls, following, items=len(urls), without_url=urls.count(None), unreadable=doubts, notes=notes
        )

    def _log(self, doubt: str) -> None:
        self._logged += 1
        if self._logged <= _MOST_LOGGED:
            log.error("%s: %s. URLs may be missing", self._name, printable(doubt))
