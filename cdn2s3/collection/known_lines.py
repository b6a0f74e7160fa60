"""The lines of urls.txt by number, and which of them a second walk through the source has met. Pure.

Memory: about 20 bytes per line, 14 more where lines differ from their identity (signed URLs).
"""

from __future__ import annotations

from cdn2s3.state.key_index import Fingerprints, Numbered

_MET = 1
_DIFFERS = 2  # the line is not its own identity


class KnownLines:
    """Find the number of a line, from 0, by its identity; remember which ones were met. For one thread."""

    def __init__(self) -> None:
        self._numbers = Numbered()
        self._flags = bytearray()
        self._differing = Fingerprints()  # lines that are not their own identity

    def __len__(self) -> int:
        return len(self._flags)

    def add(self, identity: bytes, line: bytes) -> bool:
        """Add the next line; return whether an earlier one has its identity (an older version has kept them apart).

        Then it counts as met.
        """
        flags = 0
        if line != identity:
            self._differing.add(line)
            flags = _DIFFERS
        is_twin = self._numbers.get(identity) is not None
        if not is_twin:
            self._numbers[identity] = len(self._flags)
        self._flags.append(flags | _MET if is_twin else flags)
        return is_twin

    def number(self, identity: bytes) -> int | None:
        """Return the number of the line with an identity, None where there is none."""
        return self._numbers.get(identity)

    def meet(self, number: int) -> bool:
        """Remember that a line was met; return whether that is the first time."""
        is_first = not self._flags[number] & _MET
        self._flags[number] |= _MET
        return is_first

    def is_met(self, number: int) -> bool:
        return bool(self._flags[number] & _MET)

    def is_same(self, number: int, identity: bytes, line: bytes) -> bool:
        """Return whether the line with that number and identity is line, to the letter."""
        if line == identity:
            return not self._flags[number] & _DIFFERS
        return bool(self._flags[number] & _DIFFERS) and line in self._differing
