"""Image types: an image is recognized by its first bytes, and a complete one by its last. Pure."""

from __future__ import annotations

import re
import struct
from typing import Union

Bytes = Union[bytes, bytearray, memoryview]

SNIFF_BYTES = 1024  # the bytes of a body that content_type() needs

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
)
_FTYP_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif",
    b"heic": "image/heic", b"heix": "image/heic", b"heim": "image/heic", b"heis": "image/heic",
    b"hevc": "image/heic-sequence", b"hevx": "image/heic-sequence",
    b"mif1": "image/heif", b"msf1": "image/heif-sequence",
}  # fmt: skip
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_BOXED = ("image/avif", "image/hei")  # ISO base media files
# Comments are matched up to their own end: a pattern that could run past it tries every way to part a row of
# comments, 2^n of them.
_PROLOGUE = rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?"
_COMMENT = rb"<!--(?:(?!-->).)*-->\s*"
_DOCTYPE_SVG = rb"<!DOCTYPE svg[^>\[]*(?:\[[^\]]*\]\s*)?>\s*"  # may declare entities between brackets
_SVG = re.compile(
    rb"%s(?:%s|%s)*<svg[\s>]" % (_PROLOGUE, _COMMENT, _DOCTYPE_SVG),
    re.S | re.I,
)
_HTML = re.compile(
    rb"%s(?:%s)*<(?:!doctype\s+html|html|head|body|title|script)[\s>]" % (_PROLOGUE, _COMMENT),
    re.S | re.I,
)


def content_type(body: Bytes) -> str | None:
    """Return the media type of the image that body starts with, or None if it isn't an image."""
    start = bytes(body[:SNIFF_BYTES])
    for signature, media_type in _SIGNATURES:
        if start.startswith(signature):
            return media_type
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:8] == b"ftyp":
        return _of_brands(start)
    if (
        start[:2] == b"BM"
        and len(start) >= 18
        and struct.unpack_from("<I", start, 14)[0] in _BMP_HEADER_SIZES
    ):
        return "image/bmp"
    return "image/svg+xml" if _SVG.match(start) else None


def _of_brands(start: bytes) -> str | None:
    """Return the type of an ISO base media file by its major brand, else by its compatible ones."""
    size = min(struct.unpack_from(">I", start)[0], len(start))
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, size, 4))]
    return next((_FTYP_BRANDS[brand] for brand in brands if brand in _FTYP_BRANDS), None)


def is_html(body: Bytes) -> bool:
    """Return whether body starts like an HTML page."""
    return bool(_HTML.match(bytes(body[:SNIFF_BYTES])))


def is_whole(start: Bytes, end: Bytes, size: int, media_type: str | None) -> bool:
    """Return whether a body visibly reaches its own end; False also if the format has no end marker.

    start and end are its first and last bytes (the whole body, or parts of at least 64 bytes where it has as
    many), size its length in bytes. Needed if nothing else marks the end of a body: no length and no chunks, or
    more bytes than its length.
    """
    tail = bytes(end[-64:])
    if media_type == "image/jpeg":
        return tail.rstrip(b"\x00\r\n ").endswith(b"\xff\xd9")
    if media_type == "image/png":
        return tail.endswith(b"IEND\xaeB`\x82")
    if media_type == "image/gif":
        return tail.endswith(b"\x00;")
    if media_type == "image/webp":
        return len(start) >= 8 and bool(struct.unpack_from("<I", start, 4)[0] + 8 == size)
    if media_type == "image/bmp":
        return len(start) >= 6 and bool(struct.unpack_from("<I", start, 2)[0] == size)
    if media_type == "image/svg+xml":
        return tail.rstrip().endswith(b"</svg>")
    boxed = media_type is not None and media_type.startswith(_BOXED)
    return boxed and len(start) == size and _boxes_fit(start)


def _boxes_fit(body: Bytes) -> bool:
    """Return whether the boxes of an ISO base media file (ISO/IEC 14496-12) end exactly where body ends."""
    at = 0
    while at + 8 <= len(body):
        size = struct.unpack_from(">I", body, at)[0]
        if size == 1 and at + 16 <= len(body):
            size = struct.unpack_from(">Q", body, at + 8)[0]
        if size < 8:
            return False
        at += size
    return at == len(body)
