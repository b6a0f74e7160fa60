"""What is recorded as the MD5 of an object: the one that was sent, or under INTEGRITY=auto the one that is answered.

Under auto the store computes the MD5, over bytes whose CRC-32 it has checked. Each answer is looked at, because the
bucket's default encryption may change in the middle of a run: where an answer has no MD5, it is computed here from
the bytes still in memory.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple

from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.records import ANSWERED, COMPUTED, UNANSWERED, UNKNOWN, Image

log = logging.getLogger(__name__)

MOST_WITHOUT = 20  # answers in a row without an MD5 that end auto


class ObjectMd5(NamedTuple):
    """The MD5 of an object that was put."""

    text: str  # 32 hex digits, or UNKNOWN
    source: str  # COMPUTED, ANSWERED or UNANSWERED


class Md5Source:
    """Tell the MD5 of what was put; shared by all workers of a process."""

    def __init__(self, asks_store: bool, on_end: Callable[[], bool]) -> None:
        """asks_store: the run is under auto.

        on_end is called once, when the store has answered MOST_WITHOUT times in a row without an MD5; it returns
        whether the run goes on with another checksum.
        """
        self._asks_store = asks_store
        self._on_end = on_end
        self._without = 0  # answers in a row
        self._has_ended = False
        self._lock = threading.Lock()

    def of(self, image: Image, reply: S3Response) -> ObjectMd5:
        """Return the MD5 of image, which the store has taken with reply."""
        if image.md5:
            return ObjectMd5(image.md5.hex(), COMPUTED)
        if not self._asks_store:
            return ObjectMd5(UNKNOWN, COMPUTED)
        answered = reply.md5
        if answered:
            self._without = 0
            return ObjectMd5(answered, ANSWERED)
        self._note_missing(reply)
        return ObjectMd5(image.digest().hex(), UNANSWERED)

    def _note_missing(self, reply: S3Response) -> None:
        with self._lock:
            self._without += 1
            if self._has_ended or self._without < MOST_WITHOUT:
                return
            self._has_ended = True
        why = f"encryption {reply.encryption}" if reply.encryption else "ETags of another kind"
        goes_on = "goes on with INTEGRITY=md5" if self._on_end() else "computes them itself"
        log.warning(
            "INTEGRITY=auto: the store answers without MD5s since a moment ago (%s), so the run %s. The MD5s of these "
            "objects were computed from the bytes sent; nothing is to be done",
            why,
            goes_on,
        )
