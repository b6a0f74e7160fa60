"""Deterministic JPEG bodies of any chosen size, so that a test can recompute what a URL should hold."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from urllib.parse import unquote_to_bytes

_SEGMENT = 65000  # payload bytes of one COM segment, so that its 16-bit length can never read FFD9
# Noise without FF and D9: a body cut anywhere cannot end in FFD9 by accident and pass for a whole JPEG.
_NOISE = random.Random(1713553344).randbytes(1 << 20).translate(bytes.maketrans(b"\xff\xd9", b"\xfe\xd8"))


def _marker(code: int, payload: bytes) -> bytes:
    return bytes((0xFF, code)) + (len(payload) + 2).to_bytes(2, "big") + payload


# A baseline grey 8x8 image: JFIF, one quantisation table of ones, one-code Huffman tables (DC category 0, AC
# end of block), and one block of entropy-coded data (0, 0, then ones for padding).
_HEAD = b"\xff\xd8" + _marker(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
_TAIL = (
    _marker(0xDB, b"\x00" + b"\x01" * 64)
    + _marker(0xC0, b"\x08\x00\x08\x00\x08\x01\x01\x11\x00")
    + _marker(0xC4, b"\x00\x01" + b"\x00" * 15 + b"\x00")
    + _marker(0xC4, b"\x10\x01" + b"\x00" * 15 + b"\x00")
    + _marker(0xDA, b"\x01\x01\x00\x00\x3f\x00")
    + b"\x3f\xff\xd9"
)
_STAMP = 32  # bytes of name digest, so that two names never share a body
SMALLEST = len(_HEAD) + len(_TAIL) + 4 + _STAMP


def jpeg(name: str, size: int) -> bytes:
    """Make a decodable JPEG of exactly `size` bytes, unique to `name`. Raises ValueError below SMALLEST."""
    if size < SMALLEST:
        raise ValueError(f"no JPEG of {size} bytes here: at least {SMALLEST}")
    stamp = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_STAMP).digest()
    stamp = stamp.replace(b"\xff", b"\xfe")
    parts = [_HEAD, _marker(0xFE, stamp)]
    left = size - SMALLEST
    offset = int.from_bytes(stamp[:3], "big") % (len(_NOISE) // 2)
    while left >= 4:
        take = min(left - 4, _SEGMENT)
        parts.append(_marker(0xFE, _noise(offset, take)))
        offset += take
        left -= take + 4
    parts.append(b"\xff" * left)  # up to three fill bytes, legal before any marker
    parts.append(_TAIL)
    return b"".join(parts)


def _noise(offset: int, size: int) -> bytes:
    start = offset % (len(_NOISE) - _SEGMENT)
    return _NOISE[start : start + size]


def body_for(target: str, size: int) -> bytes:
    """Return what the source serves for a request target, however its percent-encoding is spelled."""
    return jpeg(canonical(target), size)


@lru_cache(maxsize=65536)
def canonical(target: str) -> str:
    """Decode a target's path once and keep its query, so that `%c3` and `%C3` name one body."""
    path, mark, query = target.partition("?")
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape") + mark + query
