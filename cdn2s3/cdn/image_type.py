"""Image types: an image is recognized by its first bytes, and a complete one by its last. Pure.

The types and their first bytes are those of the WHATWG's MIME sniffing, IANA's registry and each format's own
specification.
"""

from __future__ import annotations

import struct
from typing import Union

from cdn2s3.cdn.markup import LOOKED_AT, ends_as_svg, root_element

Bytes = Union[bytes, bytearray, memoryview]

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00+", "image/tiff"),
    (b"II\xbc\x01", "image/jxr"),
    (b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
    (b"8BPS\x00\x02", "image/vnd.adobe.photoshop"),  # PSB, the large form
    (b"\xff\x0a", "image/jxl"),  # the bare codestream
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x4f\xff\x51", "image/j2c"),  # the bare codestream of JPEG 2000
    (b"DDS \x7c\x00\x00\x00", "image/vnd.ms-dds"),
    (b"v/1\x01", "image/x-exr"),
    (b"qoif", "image/qoi"),
    (b"gimp xcf ", "image/x-xcf"),
    (b"AT&TFORM", "image/vnd.djvu"),
)
_BY_FIRST_BYTE = {
    first: tuple(pair for pair in _SIGNATURES if pair[0][:1] == first)
    for first in {signature[:1] for signature, _ in _SIGNATURES}
}
_FTYP_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif", b"avio": "image/avif",
    b"heic": "image/heic", b"heix": "image/heic", b"heim": "image/heic", b"heis": "image/heic",
    b"hevc": "image/heic-sequence", b"hevx": "image/heic-sequence",
    b"hevm": "image/heic-sequence", b"hevs": "image/heic-sequence",
    b"mif1": "image/heif", b"mif2": "image/heif", b"mif3": "image/heif", b"miaf": "image/heif",
    b"jpeg": "image/heif", b"avci": "image/avci", b"avcs": "image/avcs", b"vvic": "image/heif",
    b"msf1": "image/heif-sequence", b"jpgs": "image/heif-sequence",
    b"crx ": "image/x-canon-cr3",
    b"jp2 ": "image/jp2", b"jpx ": "image/jpx", b"jpm ": "image/jpm", b"jph ": "image/jph",
}  # fmt: skip
_JPEG_2000 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # the box before its ftyp
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_ICONS = {1: "image/x-icon", 2: "image/x-win-bitmap"}  # .ico, .cur
_BOXED = ("image/avif", "image/hei", "image/avc", "image/jp", "image/jxl")  # ISO base media files
_HTML_ROOTS = frozenset({"html", "head", "body", "title", "script"})


def content_type(body: Bytes) -> str | None:
    """Return the media type of the image that body starts with, or None if it isn't an image."""
    start = bytes(body[:64])
    for signature, media_type in _BY_FIRST_BYTE.get(start[:1], ()):
        if start.startswith(signature):
            return media_type
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:8] == b"ftyp":
        return _of_brands(bytes(body[:1024]))
    if start.startswith(_JPEG_2000):
        return _of_brands(bytes(body[len(_JPEG_2000) : 1024])) or "image/jp2"
    if (
        start[:2] == b"BM"
        and len(start) >= 18
        and struct.unpack_from("<I", start, 14)[0] in _BMP_HEADER_SIZES
    ):
        return "image/bmp"
    if start[:2] == b"\0\0":
        return _of_icon(start)
    return "image/svg+xml" if root_element(bytes(body[:LOOKED_AT])) == "svg" else None


def _of_brands(start: bytes) -> str | None:
    """Return the type of an ISO base media file by its major brand, else by its compatible ones."""
    if start[4:8] != b"ftyp":
        return None
    major = _FTYP_BRANDS.get(start[8:12])
    if major is not None:
        return major
    size = min(struct.unpack_from(">I", start)[0], len(start))
    compatible = (start[at : at + 4] for at in range(16, size, 4))
    return next((_FTYP_BRANDS[brand] for brand in compatible if brand in _FTYP_BRANDS), None)


def _of_icon(start: bytes) -> str | None:
    """Return the type of a directory of icons or cursors: its first entry must lie behind it and not be empty."""
    if len(start) < 22:
        return None
    kind, count = struct.unpack_from("<HH", start, 2)
    reserved, size, offset = struct.unpack_from("<xxxBxxxxII", start, 6)
    fits = count and reserved in (0, 255) and size and offset >= 6 + 16 * count
    return _ICONS.get(kind) if fits else None


def is_html(body: Bytes) -> bool:
    """Return whether body starts like an HTML page."""
    return root_element(bytes(body[:LOOKED_AT])) in _HTML_ROOTS


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
        return ends_as_svg(bytes(end[-1024:]))
    if media_type == "image/j2c":
        return tail.endswith(b"\xff\xd9")
    if media_type in _ICONS.values():
        return len(start) >= 6 and _icons_fit(start, size)
    boxed = media_type is not None and media_type.startswith(_BOXED)
    return boxed and len(start) == size and _boxes_fit(start)


def _icons_fit(start: Bytes, size: int) -> bool:
    """Return whether the last image of a directory of icons ends exactly where the body ends."""
    count: int = struct.unpack_from("<H", start, 4)[0]
    if len(start) < 6 + 16 * count:
        return False
    entries = (struct.unpack_from("<8xII", start, 6 + 16 * number) for number in range(count))
    ends: list[int] = [length + offset for length, offset in entries]
    return max(ends, default=0) == size


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
