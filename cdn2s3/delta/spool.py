"""Rows that one pass notes for the next: in memory while they are few, else in a temporary file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdn2s3.atomic_file import cannot_write

_IN_MEMORY = 1 << 20  # bytes


class Spool:
    """A list of rows that may be long; for one thread: filled, then read any number of times."""

    def __init__(self, folder: Path) -> None:
        """folder is where a temporary file goes; it has no name there, and is gone when the process ends."""
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115  # closed by close()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, *fields: Any) -> None:
        """Add a row of what JSON holds; raise FatalError when the disk does not take it."""
        try:
            self._file.write(json.dumps(fields).encode("ascii") + b"\n")
        except OSError as error:
            raise cannot_write(self._folder / "a temporary file", error) from error
        self._count += 1

    def __iter__(self) -> Iterator[list[Any]]:
        try:
            self._file.seek(0)
            for _ in range(self._count):
                yield json.loads(self._file.readline())
        except OSError as error:
            raise cannot_write(self._folder / "a temporary file", error) from error

    def close(self) -> None:
        self._file.close()
