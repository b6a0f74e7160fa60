"""Small images as they came, for the contact sheet of a report: no library here makes large ones smaller."""

from __future__ import annotations

import base64
from typing import NamedTuple

MOST = 50  # pairs in a report
LARGEST = 1_000_000  # bytes of one image
SHEET_BYTES = (
    12_000_000  # bytes of all the images of a page, both sides counted: a page that browsers open at once
)
SHOWABLE = frozenset(  # what browsers show
    {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"}
)


class Pictures(NamedTuple):
    """The bytes of both sides of one URL of the spot check; b"" for a side that is too large to be shown."""

    source: bytes
    object: bytes

    @property
    def size(self) -> int:
        """Return what both take on a page, in bytes before they are made text."""
        return len(self.source) + len(self.object)


class BoundedCapture:
    """Keep the bytes that pass by for as long as they are few enough to be shown."""

    def __init__(self) -> None:
        self._body: bytearray | None = bytearray()  # None: they are too many

    def add(self, part: memoryview) -> None:
        if self._body is not None:
            fits = len(self._body) + len(part) <= LARGEST
            if fits:
                self._body += part
            else:
                self._body = None

    def body(self) -> bytes:
        """Return them all; b"" when they are too many."""
        return bytes(self._body or b"")


def data_uri(media_type: str, body: bytes) -> str:
    """Return body as a URI that holds it; "" where there is nothing that a browser shows."""
    if not body or media_type not in SHOWABLE:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}"
