"""Give an image file a comment, so that every URL of the demo has bytes of its own.

Two dozen pictures serve two thousand URLs. Were they served as they are, an object stored under another URL's
key could not be told from the right one. With the path inside, its MD5 tells.
"""

from __future__ import annotations

import struct
import zlib
from typing import Callable


def stamp(body: bytes, text: str) -> bytes:
    """Return `body` (JPEG, PNG, GIF, WebP, AVIF) with `text` (ASCII, under 250 bytes) as a comment.

    The picture stays as it is, and the file valid. Raises ValueError for another kind or a longer text.
    """
    note = text.encode("ascii")
    if len(note) >= 250:
        raise ValueError(f"a comment of {len(note)} bytes is too long for a GIF block")
    for magic, offset, add in _KINDS:
        if body[offset : offset + len(magic)] == magic:
            return add(body, note)
    raise ValueError("not a JPEG, PNG, GIF, WebP or AVIF file")


def _jpeg(body: bytes, note: bytes) -> bytes:
    """Put a COM segment behind the first segment, since JFIF wants its APP0 to come first."""
    first_ends = 4 + struct.unpack(">H", body[4:6])[0]
    return body[:first_ends] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + body[first_ends:]


def _png(body: bytes, note: bytes) -> bytes:
    """Put a tEXt chunk before IEND, which is always the last twelve bytes."""
    content = b"tEXtComment\0" + note
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return body[:-12] + chunk + body[-12:]


def _gif(body: bytes, note: bytes) -> bytes:
    """Put a comment extension (unknown to GIF87a) of one block before the trailer byte."""
    return body[:-1] + b"\x21\xfe" + bytes([len(note)]) + note + b"\0" + body[-1:]


def _webp(body: bytes, note: bytes) -> bytes:
    """Append a chunk of an unknown kind, which readers skip, and correct the RIFF length."""
    chunk = b"NOTE" + struct.pack("<I", len(note)) + note + b"\0" * (len(note) % 2)
    return body[:4] + struct.pack("<I", len(body) + len(chunk) - 8) + body[8:] + chunk


def _avif(body: bytes, note: bytes) -> bytes:
    """Append a `free` box, which ISO media readers skip; nothing before it moves."""
    return body + struct.pack(">I", len(note) + 8) + b"free" + note


_KINDS: list[tuple[bytes, int, Callable[[bytes, bytes], bytes]]] = [
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"GIF89a", 0, _gif),
    (b"WEBP", 8, _webp),
    (b"ftypavif", 4, _avif),
]
