"""Take back what a listing has shown, where it has to be read again from its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from cdn2s3.validation.expected import Expected
from cdn2s3.validation.findings import Findings


class Rewind:
    """What was known, counted and written when it was made: one byte a line of urls.txt."""

    def __init__(self, expected: Expected, findings: Findings, files: Iterable[BinaryIO]) -> None:
        self._expected, self._states = expected, bytes(expected.states)
        self._findings = findings
        self._values = {
            name: list(value) if isinstance(value, list) else value for name, value in vars(findings).items()
        }
        self._ends = [(file, file.tell()) for file in files]

    def back(self) -> None:
        """Bring all of it back to that; raise OSError when a file cannot be cut."""
        self._expected.states[:] = self._states
        vars(self._findings).update(self._values)
        for file, end in self._ends:
            file.seek(end)
            file.truncate()
