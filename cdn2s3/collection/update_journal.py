"""urls.txt.update: which lines of urls.txt an update has met so far, and their newest form where that differs.

A line of it is the number of a line of urls.txt, from 0, and after a tab the URL as it came now. The last one of a
number wins. It is needed until the update is finished.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import BinaryIO

from cdn2s3.file_names import UPDATE_SUFFIX
from cdn2s3.state.lines import whole_lines


def journal_file(output: Path) -> Path:
    """Return where an update of OUTPUT_FILE keeps its journal."""
    return output.with_name(output.name + UPDATE_SUFFIX)


def entry(number: int, newest: bytes = b"") -> bytes:
    """Return a line of the journal."""
    return b"%d\t%s\n" % (number, newest) if newest else b"%d\n" % number


class Met:
    """What a journal says of the lines before the update: 9 bytes a line. Raise ValueError for what is no journal."""

    def __init__(self, path: Path, lines: int) -> None:
        self._path = path
        self._is_met = bytearray(lines)
        self._newest_at = array("Q", bytes(8 * lines))  # where the newest form begins, plus one; 0: as it was
        at = 0
        for line in whole_lines(path):
            number, tab, _ = line.partition(b"\t")
            self._is_met[int(number)] = 1
            if tab:
                self._newest_at[int(number)] = at + len(number) + 2
            at += len(line) + 1

    def __contains__(self, number: int) -> bool:
        return number >= len(self._is_met) or bool(self._is_met[number])

    def known(self) -> int:
        """Return how many of the lines were met."""
        return sum(self._is_met)

    def changed(self) -> int:
        """Return how many of the lines have a newer form."""
        return sum(1 for at in self._newest_at if at)

    def newest(self, number: int, line: bytes, journal: BinaryIO) -> bytes:
        """Return the newest form of a line; journal is the file, open for reading."""
        at = self._newest_at[number] if number < len(self._newest_at) else 0
        if not at:
            return line
        journal.seek(at - 1)
        return journal.readline().rstrip(b"\n")
