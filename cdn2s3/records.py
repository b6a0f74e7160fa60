"""The records that rooms exchange: an image, the object that it became, a task."""

from __future__ import annotations

from hashlib import md5
from typing import NamedTuple


class Image(NamedTuple):
    """A body that has been downloaded and checked."""

    body: memoryview  # the bytes; valid until its worker takes the next URL
    media_type: str  # detected from the bytes, for the object's Content-Type
    md5: bytes  # 16 bytes; empty under INTEGRITY=crc32, where nobody computed it
    crc32: int  # CRC-32 as in zlib; 0 under INTEGRITY=md5
    encoding: str = ""  # for the object's Content-Encoding; "" for none

    def digest(self) -> bytes:
        """Return the MD5 of the body, computed now where it was not before."""
        return self.md5 or md5(self.body, usedforsecurity=False).digest()


class Stored(NamedTuple):
    """An object that is proven to contain an image's bytes."""

    etag: str  # without quotes
    size: int  # bytes
    md5: str  # 32 hex digits, or "-" where nobody computed it
    already_there: bool  # True: it already existed, with the same content


class Task(NamedTuple):
    """A URL to move, and its history."""

    url: str  # its line of the input: it may end with a field key=NAME
    attempts: int = 0  # made in an earlier pass
    cause: str = ""  # of the failure in an earlier pass; "" in the first
    retry_after_recovery: bool = False  # True: the next failure while its endpoint works is blamed on the URL


class Share(NamedTuple):
    """Which of the run's processes this is, which determines its share of the workers and limits."""

    number: int = 0  # from 0
    of: int = 1  # how many there are, no more than workers

    def workers(self, concurrency: int) -> int:
        """Return how many workers this process has, so that all have concurrency; the first have the most."""
        return concurrency // self.of + (self.number < concurrency % self.of)


WHOLE = Share()
