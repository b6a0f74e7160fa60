"""Two bodies read beside each other, the CDN's and the object's, and compared byte for byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import md5
from typing import NamedTuple

from cdn2s3.destinations.base import ObjectBody
from cdn2s3.http.deadline import Deadline
from cdn2s3.reports.contact_sheet import BoundedCapture, Pictures

BLOCK = 1 << 18  # bytes of an object compared at a time


class Body(NamedTuple):
    """A body as the CDN or the bucket sent it."""

    size: int  # bytes
    md5: str  # 32 hex digits


class Bodies(NamedTuple):
    """Both bodies, read to their ends."""

    are_equal: bool
    source: Body
    object: Body
    pictures: Pictures  # if they are small


class _Reading:
    """A body read so far."""

    def __init__(self) -> None:
        self._size = 0
        self._md5 = md5(usedforsecurity=False)
        self._capture = BoundedCapture()

    def add(self, block: memoryview) -> None:
        self._size += len(block)
        self._md5.update(block)
        self._capture.add(block)

    def body(self) -> Body:
        return Body(self._size, self._md5.hexdigest())

    def picture(self) -> bytes:
        """Return the bytes themselves if they are few, else b""."""
        return self._capture.body()


def read_both(parts: Iterator[memoryview], theirs: ObjectBody, deadline: Deadline, timeout: float) -> Bodies:
    """Read both bodies to their ends, the object in blocks next to the source's, and compare them.

    The object has timeout seconds for each part, not counting the time that the CDN needs.
    """
    source, found = _Reading(), _Reading()
    are_equal = True
    room = memoryview(bytearray(BLOCK))
    for part in parts:
        deadline.at = time.monotonic() + timeout
        source.add(part)
        for begin in range(0, len(part), BLOCK):
            expected = part[begin : begin + BLOCK]
            block = _filled(room[: len(expected)], theirs)
            found.add(block)
            are_equal = are_equal and block == expected
    while rest := _filled(room, theirs):
        found.add(rest)
        are_equal = False
    picture = source.picture()
    pictures = Pictures(picture, picture if are_equal else found.picture())  # equal ones are kept once
    return Bodies(are_equal, source.body(), found.body(), pictures)


def _filled(room: memoryview, answer: ObjectBody) -> memoryview:
    """Return room filled from answer: all of it, or as much as the body still had."""
    filled = 0
    while filled < len(room) and (got := answer.read_into(room[filled:])):
        filled += got
    return room[:filled]
