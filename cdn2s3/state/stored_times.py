"""When the images were stored, over all runs: counted from completed.txt while it is read for something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from cdn2s3.state.ledger import seconds_of

SLOT = 10  # seconds
_SAME = len("2026-11-20T10:15:0")  # characters of a time that all rows of a slot share
_UNKNOWN = b"-"
_SIZE = itemgetter(2)


class Slot(NamedTuple):
    """What was stored in SLOT seconds."""

    at: int  # when they began, in seconds since the epoch
    images: int
    size: int  # bytes


class StoredTimes:
    """Count rows of completed.txt by when they were finished; about 250 bytes for each SLOT with one.

    Adopted rows are counted apart: nothing was stored when they were written.
    """

    def __init__(self) -> None:
        self.images = 0
        self.size = 0  # bytes
        self.adopted = 0
        self.adopted_size = 0  # bytes
        self._slots: dict[bytes, list[int]] = {}

    def add(self, rows: Iterable[Sequence[bytes]]) -> None:
        """Count some hundred neighbors, as ledger.completed_fields returns them; those that are none are skipped.

        Where the first and the last are of one slot, so are the others, up to a second: they are added up together,
        since four million rows are read at each start.
        """
        found = [row for row in rows if row]
        if not found:
            return
        first, last = found[0], found[-1]
        slot = first[6][:_SAME]
        if slot == last[6][:_SAME] and first[5] != _UNKNOWN and last[5] != _UNKNOWN:
            self._count(slot, len(found), sum(map(int, map(_SIZE, found))))
            return
        for row in found:
            if row[4] == row[5] == _UNKNOWN:
                self.adopted += 1
                self.adopted_size += int(row[2])
            else:
                self._count(row[6][:_SAME], 1, int(row[2]))

    def _count(self, slot: bytes, images: int, size: int) -> None:
        self.images += images
        self.size += size
        counts = self._slots.setdefault(slot, [0, 0])
        counts[0] += images
        counts[1] += size

    def __iter__(self) -> Iterator[Slot]:
        """Yield the slots in the order of time; rows whose time cannot be read are in none."""
        for begin, (images, size) in sorted(self._slots.items()):
            at = seconds_of(f"{begin.decode('ascii', 'replace')}0Z")
            if at is not None:
                yield Slot(at, images, size)
