"""What a destination is: where images are stored, once, whole, and never over something else.

S3 (bucket.py) is the one there is. Another kind (a local folder, a share of both) implements Destination.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from typing import NamedTuple, Protocol

from cdn2s3.http.deadline import Limit


class Image(NamedTuple):
    """A body that has been downloaded and checked."""

    body: memoryview  # the bytes; valid until its worker takes the next URL
    media_type: str  # as sniffed, for the object's Content-Type
    md5: bytes  # 16 bytes; empty under INTEGRITY=crc32, where nobody computed it
    crc32: int  # CRC-32 as in zlib; 0 under INTEGRITY=md5

    def digest(self) -> bytes:
        """Return the MD5 of the body, computed now where it was not before."""
        return self.md5 or md5(self.body, usedforsecurity=False).digest()


class Stored(NamedTuple):
    """An object that is proven to hold an image's bytes."""

    etag: str  # without quotes
    size: int  # bytes
    md5: str  # 32 hex digits, or "-" where nobody computed it
    already_there: bool  # True: it was there before, with the same content


class Upload(Protocol):
    """The storing of one image, attempt by attempt, from one worker."""

    def attempt(self, limit: Limit) -> Stored:
        """Store the image; raise TryAgain, UrlFailed (conflict, unverified, destination) or CannotGoOn."""

    def give_up(self) -> None:
        """Take back what a failed attempt of ours may have left; never raises."""


class Destination(Protocol):
    """Where images are stored; shared by all workers."""

    def upload(self, key: str, image: Image) -> Upload:
        """Return the storing of image at key, not begun."""

    def store_parts(
        self, key: str, media_type: str, parts: Iterator[memoryview], limit_seconds: float
    ) -> Stored:
        """Store a body too large for memory, part by part, and complete it only after its last part.

        parts raises when the body turns out not to be whole; then nothing is left at key.
        """

    def is_up(self) -> bool:
        """Tell whether the destination takes a small object now: one short attempt.

        Raise CannotGoOn where waiting would not help; never TryAgain.
        """

    def close(self) -> None:
        """Take away what is_up() has left, at the end of a run; never raises."""
