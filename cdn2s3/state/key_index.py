"""Sets of millions of lines, and numbers for them, in little memory.

A line is kept as 128 bits of BLAKE2b: the chance that any two of 4 million different lines look the same is
2e-26. Four million lines take about 75 MB in Fingerprints, 100 MB in Numbered; about 600 MB in a set of str.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Union

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


# An entry: the rest of the key's fingerprint, a byte of these, and an offset in a file.
_LINE = 1  # the offset is that of a line of the input; else that of a record


_TOLD = 2  # the URL that can be told from the key is completed


_OTHER = 4  # another URL is


_OFFSET = 5  # bytes


_ENTRY = REST + 1 + _OFFSET


class Owner(NamedTuple):
    """What has a key."""

    is_line: bool  # True: a line of the input; False: a record in completed.txt
    at: int  # byte offset of its beginning in its file


class Owners:
    """Hold the owner of each key; not for several threads at once."""

    def __init__(self, records: Path) -> None:
        self.records = records  # completed.txt
        self._buckets = [bytearray() for _ in range(BUCKETS)]
        self._others = Fingerprints()  # `url⇥key` of completed records that no bit tells
        self._count = 0

    def __len__(self) -> int:
        """Return how many keys have an owner."""
        return self._count

    def add_record(self, url: bytes, key: bytes, at: int, told: bool) -> None:
        """Note a record of completed.txt that begins at offset at; told: url can be told from key."""
        flag = _TOLD if told else _OTHER
        bucket, rest, found = self._find(key)
        if found < 0:
            self._add(bucket, rest, flag, at)
        else:
            bucket[found + REST] |= flag
        if not told:
            self._others.add(url + b"\t" + key)

    def claim(self, url: bytes, key: bytes, at: int, told: bool) -> Union[bool, Owner]:  # noqa: UP007  # 3.9
        """Let the line url, which begins at offset at of the input, have key; tell whether it is completed.

        Return the owner instead where another line has the key, or the record of another URL.
        """
        bucket, rest, found = self._find(key)
        if found < 0:
            self._add(bucket, rest, _LINE, at)
            return False
        flags = bucket[found + REST]
        if flags & _LINE or not self._completed(flags, url, key, told):
            return _owner(bucket, found)
        bucket[found + REST] = flags | _LINE
        bucket[found + REST + 1 : found + _ENTRY] = at.to_bytes(_OFFSET, "big")
        return True

    def owner(self, key: bytes) -> Owner | None:
        """Return what has key, None for nothing."""
        bucket, _, found = self._find(key)
        return _owner(bucket, found) if found >= 0 else None

    def is_completed(self, url: bytes, key: bytes, told: bool) -> bool:
        """Tell whether a record says that url is completed under key."""
        bucket, _, found = self._find(key)
        return found >= 0 and self._completed(bucket[found + REST], url, key, told)

    def _completed(self, flags: int, url: bytes, key: bytes, told: bool) -> bool:
        if told:
            return bool(flags & _TOLD)
        return bool(flags & _OTHER) and url + b"\t" + key in self._others

    def _find(self, key: bytes) -> tuple[bytearray, bytes, int]:
        """Return the bucket of key, what stands there for it, and where its entry begins; -1: it has none."""
        digest = blake2b(key, digest_size=16).digest()
        bucket, rest = self._buckets[digest[0] << 8 | digest[1]], digest[2:]
        found = bucket.find(rest)
        if found > 0 and found % _ENTRY:
            found = position(bucket, rest, _ENTRY)
        return bucket, rest, found

    def _add(self, bucket: bytearray, rest: bytes, flags: int, at: int) -> None:
        bucket += rest + (flags << 8 * _OFFSET | at).to_bytes(1 + _OFFSET, "big")
        self._count += 1


def _owner(bucket: bytearray, found: int) -> Owner:
    offset = int.from_bytes(bucket[found + REST + 1 : found + _ENTRY], "big")
    return Owner(bool(bucket[found + REST] & _LINE), offset)
