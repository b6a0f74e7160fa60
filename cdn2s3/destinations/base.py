"""What a destination is: where images are stored, once, whole, and never over something else.

S3 (bucket.py) is the one there is. Another kind (a local folder, a share of both) implements Destination.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Stored


class Upload(Protocol):
    """The storing of one image, attempt by attempt, from one worker."""

    def attempt(self, deadline: Deadline) -> Stored:
        """Store the image; raise TransientError, PermanentError (conflict, unverified, destination) or FatalError."""

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

        Raise FatalError where waiting would not help; never TransientError.
        """

    def close(self) -> None:
        """Take away what is_up() has left, at the end of a run; never raises."""
