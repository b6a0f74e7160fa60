"""The next best proof where a listing's ETag is not the recorded one and the size is: the ETag that HEAD shows.

Some stores list other ETags than they gave to the PUT. Whether this one does, the first objects in doubt show: if HEAD
proves one of them right, every further one is looked up too; if not, the listing is to be believed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple

from cdn2s3.destinations.base import Found

FIRST = 100  # objects in doubt that decide about the listing


class InDoubt(NamedTuple):
    """An object whose size is the recorded one and whose ETag in the listing is not."""

    number: int  # its line of urls.txt
    listed: Found | None  # None: not kept, because HEAD alone decides


class ListedEtags:
    """Decide about objects in doubt; for one thread.

    look_up yields each of them with the object as HEAD shows it (None: it is gone; the listed one: HEAD is refused),
    in any order; settle takes what is known of it at last, and returns whether that proves it right.
    """

    def __init__(
        self,
        look_up: Callable[[Iterable[InDoubt]], Iterator[tuple[InDoubt, Found | None]]],
        settle: Callable[[InDoubt, Found | None], bool],
    ) -> None:
        self._look_up = look_up
        self._settle = settle
        self._first: list[InDoubt] = []
        self._later = array("I")
        self.are_others: bool | None = None  # than the objects' own; None: not decided yet
        self.looked_up = 0

    @property
    def note(self) -> str:
        """What there is to say where are_others."""
        return (
            f"the listing's ETags are not the objects' own: HEAD showed those of {self.looked_up:,} objects"
        )

    def add(self, number: int, listed: Found) -> None:
        """Take an object in doubt."""
        if self.are_others:
            self._later.append(number)
        elif self.are_others is False:
            self._settle(InDoubt(number, listed), listed)
        else:
            self._first.append(InDoubt(number, listed))
            if len(self._first) >= FIRST:
                self._decide()

    def end(self) -> None:
        """Settle what is left, after the listing."""
        if self._first:
            self._decide()
        for _ in self._settled(InDoubt(number, None) for number in self._later):
            pass

    def _decide(self) -> None:
        self.are_others = any(list(self._settled(self._first)))
        self._first = []

    def _settled(self, doubts: Iterable[InDoubt]) -> Iterator[bool]:
        for doubt, found in self._look_up(doubts):
            self.looked_up += 1
            yield self._settle(doubt, found)
