"""Sets of millions of lines in little memory.

A line is kept as 128 bits of BLAKE2b: the chance that any two of 4 million different lines look the same is
2e-26. Four million lines take about 75 MB here, about 600 MB in a set of str.
"""

from __future__ import annotations

from hashlib import blake2b

_BUCKETS = 1 << 16
_REST = 14  # bytes kept of a fingerprint; its first two are the bucket's number


class Fingerprints:
    """Hold a set of lines; not for several threads at once."""

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, line: bytes) -> bool:
        """Add line; return True when it was not in the set before."""
        digest = blake2b(line, digest_size=16).digest()
        number = digest[0] << 8 | digest[1]
        bucket = self._buckets[number]
        rest = digest[2:]
        if bucket is None:
            self._buckets[number] = bytearray(rest)
        else:
            at = bucket.find(rest)
            if at >= 0 and _found(bucket, rest, at):
                return False
            bucket += rest
        self._count += 1
        return True

    def __contains__(self, line: bytes) -> bool:
        digest = blake2b(line, digest_size=16).digest()
        bucket = self._buckets[digest[0] << 8 | digest[1]]
        if bucket is None:
            return False
        at = bucket.find(digest[2:])
        return at >= 0 and _found(bucket, digest[2:], at)


def _found(bucket: bytearray, rest: bytes, at: int) -> bool:
    """Tell whether a match at a byte position is, or is followed by, a match of a whole entry."""
    while at >= 0 and at % _REST:
        at = bucket.find(rest, at + 1)
    return at >= 0
