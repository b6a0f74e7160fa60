"""Compact sets and tables of millions of lines, and the key index.

A line is kept as 128 bits of BLAKE2b: the chance that any two of 40 million different lines look the same is
2e-24. Four million lines take about 75 MB in Fingerprints, 90 MB in KeyIndex; about 600 MB in a set of str.
Ten times as many take ten times as much, and no more time for each: the buckets are divided as they fill.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import NamedTuple, Union

BUCKETS = 1 << 16  # at first: the first 16 bits of a fingerprint are its bucket's number
FULL = 64  # entries in a bucket, on average, until all are divided: a search looks at every one
REST = 14  # bytes kept of a fingerprint: all but those 16 bits
_PARTS, _PART_BITS = 4, 2  # that a bucket is divided into, by the next bits of its fingerprints
_MOST_BITS = 24  # of a bucket's number


class _Entries:
    """Entries of one size, each found by its line; not for several threads at once."""

    _size = REST  # bytes of an entry; it begins with what is kept of its line's fingerprint

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * BUCKETS
        self._unused_bits = 8  # of the first _MOST_BITS of a fingerprint: the others are its bucket's number
        self._room = FULL * BUCKETS  # entries, until the buckets are divided
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def _find(self, line: bytes) -> tuple[bytearray, int, bytes]:
        """Return the bucket of line, the offset of its entry (-1: none), and the stored part of its fingerprint."""
        digest = blake2b(line, digest_size=16).digest()
        place, rest = (digest[0] << 16 | digest[1] << 8 | digest[2]) >> self._unused_bits, digest[2:]
        bucket = self._buckets[place]
        if bucket is None:
            bucket = self._buckets[place] = bytearray()
        at = bucket.find(rest)
        if at > 0 and at % self._size:
            at = position(bucket, rest, self._size)
        if at < 0 and self._count >= self._room and self._unused_bits:
            self._divide()
            return self._find(line)
        return bucket, at, rest

    def _divide(self) -> None:
        """Divide all buckets, one after the other, so that no more than one of them is there twice."""
        self._unused_bits -= _PART_BITS
        self._room *= _PARTS
        full, self._buckets = self._buckets[::-1], []
        while full:
            self._buckets += self._parts(full.pop())

    def _parts(self, bucket: bytearray | None) -> list[bytearray | None]:
        """Return the buckets that the entries of bucket belong in now."""
        if bucket is None:
            return [None] * _PARTS
        parts = [bytearray() for _ in range(_PARTS)]
        size, unused = self._size, self._unused_bits
        for at in range(0, len(bucket), size):
            parts[bucket[at] >> unused & _PARTS - 1] += bucket[at : at + size]
        return list(parts)


def position(bucket: bytearray, rest: bytes, step: int) -> int:
    """Return where in bucket, of entries of step bytes, the entry of rest begins; -1 where there is none."""
    at = bucket.find(rest)
    while at >= 0 and at % step:
        at = bucket.find(rest, at + 1)
    return at


class Fingerprints(_Entries):
    """Hold a set of lines; not for several threads at once."""

    def add(self, line: bytes) -> bool:
        """Add line; return True when it was not in the set before."""
        bucket, at, rest = self._find(line)
        if at >= 0:
            return False
        bucket += rest
        self._count += 1
        return True

    def __contains__(self, line: bytes) -> bool:
        return self._find(line)[1] >= 0


_VALUE = 5  # bytes after the fingerprint in an entry of a table


class Numbered(_Entries):
    """Hold a number, 0 to 2^40 - 1, for each of a set of lines; not for several threads at once."""

    _size = REST + _VALUE

    def __setitem__(self, line: bytes, number: int) -> None:
        bucket, at, rest = self._find(line)
        if at < 0:
            bucket += rest + number.to_bytes(_VALUE, "big")
            self._count += 1
        else:
            bucket[at + REST : at + self._size] = number.to_bytes(_VALUE, "big")

    def get(self, line: bytes) -> int | None:
        """Return the number of line, None where it has none."""
        bucket, at, _ = self._find(line)
        return int.from_bytes(bucket[at + REST : at + self._size], "big") if at >= 0 else None


NEW = -1  # what has no owner yet

# Flags in the last byte of a value in KeyIndex; the others are a number.
_IS_LINE = 1  # the number is that of a line of the input; else that of a record
_REVERSED = 2  # the URL that the key determines is completed
_REPEATED = 4  # the key has several records

# What KeyIndex notes of a record, unless that is the number of the line that has claimed it, plus _CLAIMED.
_CLOSED, _OPEN, _CLAIMED = range(3)


class Owner(NamedTuple):
    """The owner of a key."""

    is_line: bool  # True: a line of the input; False: a record in completed.txt
    number: int  # of that line or record, from 0


class KeyIndex(_Entries):
    """Map each key to its owner, a line of the input or a record of completed.txt; for one thread.

    A URL is reversible when its key determines it (see keys): then one bit records that it is completed.
    Other URLs are kept as fingerprints. Numbers are below 2^32.
    """

    _size = REST + _VALUE

    def __init__(self) -> None:
        super().__init__()
        self._others = Fingerprints()  # `url⇥key` of completed records without such a bit
        self._named = Numbered()  # the first record of each `url⇥key` whose key only a line can give it
        self._named_again = Fingerprints()  # those of them that have several
        self.repeated = array("I")  # the numbers of all records of keys that have several
        self.moving = Fingerprints()  # `url⇥key` with records that do not complete it: reopen()
        self._line_of = array("I")  # for each record, which line has claimed it, as below, or its state

    def add_record(self, url: bytes, key: bytes, number: int, reversible: bool) -> None:
        """Note that url, an identity, is completed under key, by the record with that number; numbers go up.

        Records come before claims.
        """
        self._line_of.extend([_CLOSED] * (number - len(self._line_of)))
        self._line_of.append(_OPEN)
        flags = _REVERSED if reversible else 0
        bucket, at, rest = self._find(key)
        if at < 0:
            bucket += rest + _value(number, flags)
            self._count += 1
        else:
            value = self._value_at(bucket, at)
            if not value & _REPEATED:
                self.repeated.append(value >> 8)
            self.repeated.append(number)
            self._line_of[value >> 8] = self._line_of[number] = _CLOSED
            bucket[at + self._size - 1] = value & 0xFF | flags | _REPEATED
        if not reversible:
            self._others.add(url + b"\t" + key)

    def add_named_record(self, url: bytes, key: bytes, number: int) -> None:
        """Note a record whose key is not that of url by the rule: it counts where a line gives url that key."""
        named = url + b"\t" + key
        first = self._named.get(named)
        if first is None:
            self._named[named] = number
            return
        if self._named_again.add(named):
            self.repeated.append(first)
        self.repeated.append(number)

    def claim(self, url: bytes, key: bytes, number: int, reversible: bool) -> Union[int, Owner]:  # noqa: UP007  # 3.9
        """Claim key for the line of url, an identity, with that number in the input; return whether it is completed.

        Return NEW where it is not; where it is, the number of the first record with its key. Return the owner
        instead where another line has the key, or the record of another URL.
        """
        bucket, at, rest = self._find(key)
        if at < 0:
            bucket += rest + _value(number, _IS_LINE)
            self._count += 1
            record = self._named.get(url + b"\t" + key) if self._named else None
            return NEW if record is None else record
        value = self._value_at(bucket, at)
        owner = self._owner(value)
        if owner.is_line or not self._is_completed(value, url, key, reversible):
            return owner
        bucket[at + REST : at + self._size] = _value(number, value & 0xFF | _IS_LINE)
        self._line_of[owner.number] = _CLOSED
        return owner.number

    def claim_record(self, record: int, number: int) -> bool:
        """Claim the key of record for the line with that number, which has its URL; return whether that succeeded.

        This is claim() without a search, for a record that is the only one with its key and is not claimed yet;
        False for any other.
        """
        if record >= len(self._line_of) or self._line_of[record] != _OPEN:
            return False
        self._line_of[record] = number + _CLAIMED
        return True

    def hand_over(self, key: bytes, number: int) -> None:
        """Let the line with that number have key instead of the line that has it."""
        bucket, at, _ = self._find(key)
        flags = self._value_at(bucket, at) & 0xFF
        bucket[at + REST : at + self._size] = _value(number, flags)

    def close(self, record: int) -> None:
        """Leave record to claim(): claim_record() refuses it from now on."""
        self._line_of[record] = _CLOSED

    def reopen(self, url: bytes, key: bytes) -> None:
        """Note that the records of url, an identity, under key do not complete it: its object is to move elsewhere."""
        self.moving.add(url + b"\t" + key)

    def owner(self, key: bytes) -> Owner | None:
        """Return the owner of key, None if it has none."""
        bucket, at, _ = self._find(key)
        if at < 0:
            return None
        return self._owner(self._value_at(bucket, at))

    def line_with(self, key: bytes) -> int | None:
        """Return the number of the line that has key, None where none has it."""
        bucket, at, _ = self._find(key)
        if at < 0:
            return None
        return self._line(self._value_at(bucket, at))

    def is_completed(self, url: bytes, key: bytes, reversible: bool) -> bool:
        """Return whether a record shows that url, an identity, is completed under key."""
        if self.moving and url + b"\t" + key in self.moving:
            return False
        if self._named and self._named.get(url + b"\t" + key) is not None:
            return True
        bucket, at, _ = self._find(key)
        return at >= 0 and self._is_completed(self._value_at(bucket, at), url, key, reversible)

    def _owner(self, value: int) -> Owner:
        line = self._line(value)
        return Owner(False, value >> 8) if line is None else Owner(True, line)

    def _line(self, value: int) -> int | None:
        number = value >> 8
        if value & _IS_LINE:
            return number
        line = self._line_of[number]
        return line - _CLAIMED if line >= _CLAIMED else None

    def _is_completed(self, value: int, url: bytes, key: bytes, reversible: bool) -> bool:
        return bool(value & _REVERSED) if reversible else url + b"\t" + key in self._others

    def _value_at(self, bucket: bytearray, at: int) -> int:
        return int.from_bytes(bucket[at + REST : at + self._size], "big")


def _value(number: int, flags: int) -> bytes:
    return (number << 8 | flags).to_bytes(_VALUE, "big")
