"""Read a place's listing to its end: in parts that are listed at once, or from its beginning where they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import BinaryIO, Callable

from cdn2s3.destinations.base import Destination, Found, NotInOrder
from cdn2s3.validation.expected import Expected
from cdn2s3.validation.findings import Findings

log = logging.getLogger(__name__)

NOT_IN_PARTS = "the store does not list ranges of keys in the order of S3, so all was listed page after page"


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


def compared(
    destination: Destination,
    dividers: Sequence[str],
    compare: Callable[[Iterator[list[Found]]], object],
    before: Rewind,
) -> list[str]:
    """Let compare read all pages of destination's listing; return in what the listing differs from S3's.

    Where its parts do not fit together, before takes back what compare has noted, and it reads the listing in one
    piece. Raise FatalError unless the listing ends properly.
    """
    notes = []
    try:
        with closing(destination.list_pages(dividers)) as pages:
            compare(pages)
    except NotInOrder as unfit:
        before.back()
        notes.append(f"{NOT_IN_PARTS}: {unfit}")
        log.warning("%s", notes[0])
        with closing(destination.list_pages()) as pages:
            compare(pages)
    return [*notes, *destination.listing_notes]
