"""A file as a stream of bytes, decompressed where its first bytes say so: gzip, Zstandard, bzip2, xz."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 18  # bytes read or skipped at a time
_COMPRESSED = 1 << 14  # bytes decompressed at a time: a thousand times as many may come out
HEAD = 1 << 18  # decompressed bytes that format, encoding and separators are recognized by

_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"


class Unreadable(Exception):
    """A file, or the rest of it, cannot be read; str() says why, as the end of a sentence."""


class ByteStream:
    """The decompressed bytes of a file, from its beginning; for one thread.

    Each method raises Unreadable when the file cannot be read, or ends before its compressed data do.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        """Open path; name is its name in messages."""
        self.path = path
        self.name = name or str(path)
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
            magic = self._raw.read(6)
            self._raw.seek(0)
        except OSError as error:
            raise Unreadable(error.strerror or type(error).__name__) from error
        self.is_compressed = magic.startswith((_GZIP, _ZSTD, _BZIP2, _XZ))
        self._file: Any = (
            io.BufferedReader(_decompressed(self._raw, magic), _CHUNK) if self.is_compressed else self._raw
        )
        self.offset = 0  # decompressed bytes read

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._raw.close()

    def __del__(self) -> None:
        """Close the file of a collection that was stopped in the middle of it."""
        if hasattr(self, "_raw"):
            self._raw.close()

    def progress(self) -> int:
        """Return how many bytes of the file itself have been read."""
        return self._raw.tell() if self.is_compressed else self.offset

    def head(self) -> bytes:
        """Return up to HEAD bytes of what follows; they are read again later. Once, before any other read."""
        found = self.read(HEAD)
        self.offset -= len(found)
        if self.is_compressed:
            self._file = _Joined(found, self._file)
        else:
            self._raw.seek(self.offset)
        return found

    def read(self, size: int = _CHUNK) -> bytes:
        """Return the next bytes, as many as size unless the file ends; b"" at its end."""
        found = self._call(self._file.read, size)
        self.offset += len(found)
        return found

    def readline(self, limit: int) -> bytes:
        """Return the next line with its newline; what there is of it after limit bytes."""
        found = self._call(self._file.readline, limit)
        self.offset += len(found)
        return found

    def skip_to(self, offset: int) -> None:
        """Go on at a decompressed offset, which is not before the current one."""
        if not self.is_compressed and offset <= self.size:
            self._raw.seek(offset)
            self.offset = offset
        while self.offset < offset:
            if not self.read(min(_CHUNK, offset - self.offset)):
                raise Unreadable("it has become shorter")

    def _call(self, read: Any, size: int) -> bytes:
        try:
            return bytes(read(size))
        except EOFError as error:
            raise Unreadable("its compressed data ends early: it was not copied completely") from error
        except (OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise Unreadable(f"its bytes cannot be read ({error})") from error


class _Joined:
    """A head that was read already, then the rest of a file."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int) -> bytes:
        found = self._head.read(size)
        return found + self._rest.read(size - len(found)) if len(found) < size else found

    def readline(self, limit: int) -> bytes:
        found = self._head.readline(limit)
        if found.endswith(b"\n") or len(found) >= limit:
            return found
        return found + bytes(self._rest.readline(limit - len(found)))


def _decompressed(raw: IO[bytes], magic: bytes) -> Any:
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(_BZIP2):
        return bz2.BZ2File(raw)
    if magic.startswith(_XZ):
        return lzma.LZMAFile(raw)
    try:
        import zstandard
    except ImportError as error:
        raise Unreadable(
            "it is compressed with Zstandard: pip install zstandard, or decompress it with `zstd -d`"
        ) from error
    return _Zstandard(raw, zstandard)


class _Zstandard(io.RawIOBase):
    """The frames of a Zstandard file, one after the other; the library's own reader takes a cut frame for the end."""

    def __init__(self, raw: IO[bytes], library: Any) -> None:
        self._raw = raw
        self._library = library
        self._frame: Any = None
        self._compressed = b""  # read, but not decompressed
        self._waiting = memoryview(b"")  # decompressed, but not handed out

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            if not self._compressed:
                self._compressed = self._raw.read(_COMPRESSED)
                if not self._compressed:
                    if self._frame is not None:
                        raise EOFError
                    return 0
            self._frame = self._frame or self._library.ZstdDecompressor().decompressobj()
            try:
                self._waiting = memoryview(self._frame.decompress(self._compressed))
            except self._library.ZstdError as error:
                raise ValueError(error) from error
            self._compressed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count
