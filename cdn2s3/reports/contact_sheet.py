"""The small images of a report's contact sheet, unmodified: no library here can scale down large ones."""

from __future__ import annotations

import base64
from typing import NamedTuple

MOST = 50  # pairs in a report
LARGEST = 1_000_000  # bytes of one image
SHEET_BYTES = 12_000_000  # bytes of all images of a page, so that browsers open it quickly
SHOWABLE = frozenset(  # types that browsers show
    {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"}
)


class Pictures(NamedTuple):
    """The bytes of one URL of the spot check, from the CDN and from the bucket; b"" if too large to show."""

    source: bytes
    object: bytes

    @property
    def size(self) -> int:
        """Return the size of both on a page, in bytes before encoding."""
        return len(self.source) + len(self.object)


class BoundedCapture:
    """Keep the bytes that pass by, as long as they are few enough to show."""

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
        """Return all bytes; b"" if there are too many."""
        return bytes(self._body or b"")


def data_uri(media_type: str, body: bytes) -> str:
    """Return body as a data URI; "" if a browser would not show it."""
    if not body or media_type not in SHOWABLE:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}"
