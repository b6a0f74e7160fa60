"""Make a valid image of more than 10 MB with the standard library, so that none need be kept."""

from __future__ import annotations

import struct
import zlib


def large_png(side: int = 1920) -> bytes:
    """Return a square RGB picture of coloured stripes as a PNG; 1920 pixels a side are 11.1 MB (MB = 10^6).

    The pixels are stored, not compressed, in blocks cut here: zlib's own level 0 cuts them differently from
    version to version, and the demo's bytes shall be the same everywhere.
    """
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # 8 bits, RGB, no interlace
    row = b"".join(bytes((x * 255 // side, (x * 7) % 256, 255 - x * 255 // side)) for x in range(side))
    # Each row is the first one turned by 3 pixels a line (9 bytes): stripes that run at a slant.
    rows = b"".join(b"\0" + row[9 * y % len(row) :] + row[: 9 * y % len(row)] for y in range(side))
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _stored(data: bytes) -> bytes:
    """Return a zlib stream of deflate's stored blocks, each of at most 65,535 bytes (RFC 1950 and 1951)."""
    blocks = [b"\x78\x01"]
    for start in range(0, len(data), 65535):
        block = data[start : start + 65535]
        is_last = start + 65535 >= len(data)
        blocks += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Frame a PNG chunk: length, kind, content, CRC of the last two."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
