"""Sets of millions of lines, and numbers for them, in little memory.

A line is kept as 128 bits of BLAKE2b: the chance that any two of 4 million different lines look the same is
2e-26. Four million lines take about 75 MB in Fingerprints, 100 MB in Numbered; about 600 MB in a set of str.
"""

from __future__ import annotations

from hashlib import blake2b

BUCKETS = 1 << 16
REST = 14  # bytes kept of a fingerprint; its first two are the bucket's number
_NUMBER = 5  # bytes of a number


class Fingerprints:
    """Hold a set of lines; not for several threads at once."""

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, line: bytes) -> bool:
        """Add line; return True when it was not in the set before."""
        digest = blake2b(line, digest_size=16).digest()
        place = digest[0] << 8 | digest[1]
        rest = digest[2:]
        bucket = self._buckets[place]
        if bucket is None:
            self._buckets[place] = bytearray(rest)
        elif bucket.find(rest) >= 0 and position(bucket, rest, REST) >= 0:
            return False
        else:
            bucket += rest
        self._count += 1
        return True

    def __contains__(self, line: bytes) -> bool:
        digest = blake2b(line, digest_size=16).digest()
        bucket = self._buckets[digest[0] << 8 | digest[1]]
        if bucket is None:
            return False
        at = bucket.find(digest[2:])
        return at >= 0 and (at % REST == 0 or position(bucket, digest[2:], REST) >= 0)


class Numbered:
    """Hold a number, 0 to 2^40 - 1, for each of a set of lines; not for several threads at once."""

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def setdefault(self, line: bytes, number: int) -> int:
        """Return the number of line, which becomes number where it had none."""
        digest = blake2b(line, digest_size=16).digest()
        place = digest[0] << 8 | digest[1]
        rest = digest[2:]
        bucket = self._buckets[place]
        if bucket is None:
            bucket = self._buckets[place] = bytearray()
        else:
            at = bucket.find(rest)
            if at >= 0 and at % (REST + _NUMBER):
                at = position(bucket, rest, REST + _NUMBER)
            if at >= 0:
                return int.from_bytes(bucket[at + REST : at + REST + _NUMBER], "big")
        bucket += rest + number.to_bytes(_NUMBER, "big")
        self._count += 1
        return number

    def __setitem__(self, line: bytes, number: int) -> None:
        if self.setdefault(line, number) != number:
            digest = blake2b(line, digest_size=16).digest()
            bucket = self._buckets[digest[0] << 8 | digest[1]]
            assert bucket is not None
            at = position(bucket, digest[2:], REST + _NUMBER) + REST
            bucket[at : at + _NUMBER] = number.to_bytes(_NUMBER, "big")

    def get(self, line: bytes) -> int | None:
        """Return the number of line, None where it has none."""
        digest = blake2b(line, digest_size=16).digest()
        bucket = self._buckets[digest[0] << 8 | digest[1]]
        if bucket is None:
            return None
        at = position(bucket, digest[2:], REST + _NUMBER)
        return int.from_bytes(bucket[at + REST : at + REST + _NUMBER], "big") if at >= 0 else None


def position(bucket: bytearray, rest: bytes, step: int) -> int:
    """Return where in bucket, of entries of step bytes, the entry of rest begins; -1 where there is none."""
    at = bucket.find(rest)
    while at >= 0 and at % step:
        at = bucket.find(rest, at + 1)
    return at
