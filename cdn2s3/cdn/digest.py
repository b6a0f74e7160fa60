"""The digest of a body, computed as its bytes arrive: the one that its destination goes by."""

from __future__ import annotations

from hashlib import md5
from typing import Any, Callable, Union
from zlib import crc32


class Md5:
    """Hash with MD5."""

    def __init__(self) -> None:
        self._hash = md5(usedforsecurity=False)
        self.update: Callable[[memoryview], Any] = self._hash.update

    def md5(self) -> bytes:
        return self._hash.digest()

    def crc32(self) -> int:
        return 0


class Crc32:
    """Sum with CRC-32."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: memoryview) -> None:
        self._sum = crc32(data, self._sum)

    def md5(self) -> bytes:
        return b""

    def crc32(self) -> int:
        return self._sum


Digest = Union[Md5, Crc32]


def digest_of(integrity: str) -> Digest:
    """Return the digest to compute for a destination that goes by integrity: md5, crc32 or auto."""
    return Md5() if integrity == "md5" else Crc32()
