"""Content codings: a body that the CDN compresses although the request asked for `identity`.

gzip and deflate are decoded as the bytes come, never more at a time than the reader has room for. A body that is
labeled so and is not compressed is taken as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from cdn2s3.errors import PermanentError, TransientError

DECODABLE = frozenset({"gzip", "x-gzip", "deflate"})
# Some servers say "none"; S3 returns the "aws-chunked" of a careless upload, whose body has been unpacked.
_NONE = frozenset({"", "identity", "none", "aws-chunked"})
_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS  # what is around deflated bytes
_BLOCK = 1 << 15  # bytes read at a time
_TELLING = 64  # bytes with which a body shows how it is compressed
_MOST_RATIO = 100  # decoded bytes for each one received: photographs are below 2, drawings below 30
_FREE = 10_000_000  # decoded bytes up to which the ratio does not matter


class Body(Protocol):
    """A body that is read once, and how its end shows: a Response, or one of the bodies here."""

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""

    @property
    def length(self) -> int | None:
        """Bytes of the body, None if only its end shows."""

    @property
    def chunked(self) -> bool:
        """Whether its end, without a length, shows that it is whole."""

    @property
    def has_surplus(self) -> bool:
        """Whether more bytes came than length says."""

    def read_into(self, view: memoryview, /) -> int:
        """Read into view; return how many bytes, 0 at the end."""


def coding_of(headers: Mapping[str, str]) -> str:
    """Return the coding that a response's Content-Encoding names, in lower case; "" for none."""
    codings = [name.strip() for name in headers.get("content-encoding", "").lower().split(",")]
    return ", ".join(name for name in codings if name not in _NONE)


class Decoder:
    """Decode what it is fed; the coding is one of DECODABLE. Bytes that are not compressed pass unchanged."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._wrapper: int | None = None
        self._inflater: Any = None  # None: not begun, or not compressed
        self._is_plain = False
        self._coded = b""  # fed, and not decoded yet
        self._may_hold_more = False  # zlib may have more decoded than was taken
        self._fed = self._taken = 0

    @property
    def is_plain(self) -> bool:
        """Whether the bytes are not compressed after all; known once something has been taken."""
        return self._is_plain

    def feed(self, data: memoryview) -> None:
        """Add the next bytes of the body; take() until it gives nothing before feeding more."""
        self._fed += len(data)
        self._coded += bytes(data)

    def take(self, most: int, at_end: bool = False) -> bytes:
        """Return up to most decoded bytes, b"" when more must be fed; at_end: nothing more will be.

        Raise PermanentError (not_an_image) when the bytes are damaged or expand too much.
        """
        if self._wrapper is None and not self._is_plain and not self._begin(at_end):
            return b""
        if self._is_plain:
            taken, self._coded = self._coded[:most], self._coded[most:]
            return taken
        while self._coded or self._may_hold_more:
            if self._inflater.eof and not self._next_member(at_end):
                return b""
            try:
                taken = self._inflater.decompress(self._coded, most)
            except zlib.error as error:
                raise PermanentError(
                    "not_an_image", f"the body's {self._coding} coding is damaged ({error})"
                ) from error
            self._coded = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            self._may_hold_more = len(taken) == most and not self._inflater.eof
            if taken:
                self._check_ratio(len(taken))
                return bytes(taken)
        return b""

    def _begin(self, at_end: bool) -> bool:
        """Find out how the bytes are compressed; return False when more of them are needed."""
        if len(self._coded) < _TELLING and not at_end:
            return False
        if self._coding == "deflate":  # RFC 9110 means zlib's wrapper; some servers send none
            fitting = (wrapper for wrapper in (_ZLIB, _RAW) if _inflates(self._coded, wrapper))
            self._wrapper = next(fitting, None)
        elif self._coded.startswith(_GZIP_MAGIC):
            self._wrapper = _GZIP
        self._is_plain = self._wrapper is None
        if self._wrapper is not None:
            self._inflater = zlib.decompressobj(self._wrapper)
        return True

    def _next_member(self, at_end: bool) -> bool:
        """Begin with the next member of a gzip body; return False when there is none: what follows is padding."""
        assert self._wrapper is not None
        start = self._coded[: len(_GZIP_MAGIC)]
        if self._wrapper != _GZIP or start != _GZIP_MAGIC:
            if at_end or not _GZIP_MAGIC.startswith(start):
                self._coded = b""
            return False
        self._inflater = zlib.decompressobj(self._wrapper)
        return True

    def _check_ratio(self, taken: int) -> None:
        self._taken += taken
        if self._taken > max(_FREE, _MOST_RATIO * self._fed):
            raise PermanentError(
                "not_an_image",
                f"the body's {self._coding} coding expands to more than {_MOST_RATIO} times what was sent",
            )

    def finish(self) -> None:
        """Raise TransientError (truncated) unless the coded bytes have reached their end."""
        if self._inflater is not None and not self._inflater.eof:
            raise TransientError("truncated", f"the body's {self._coding} coding ended early")


def _inflates(start: bytes, wrapper: int) -> bool:
    try:
        zlib.decompressobj(wrapper).decompress(start, _BLOCK)
    except zlib.error:
        return False
    return bool(start)


def decoded_start(start: memoryview, coding: str, most: int) -> memoryview:
    """Return up to most bytes of what is in a coded body that starts with start."""
    decoder = Decoder(coding)
    decoder.feed(start)
    taken = bytearray()
    while len(taken) < most and (block := decoder.take(most - len(taken), at_end=True)):
        taken += block
    return memoryview(taken)


class _CodedBody:
    """A coded body and its decoder. Compressed bytes show their end by themselves; others need the framing."""

    length = None  # of what is read from it

    def __init__(self, body: Body, coding: str) -> None:
        self._body = body
        self._decoder = Decoder(coding)
        self.headers = body.headers

    @property
    def is_compressed(self) -> bool:
        """Whether it is what its label says; known once something has been read."""
        return not self._decoder.is_plain

    @property
    def chunked(self) -> bool:
        return self.is_compressed or self._body.chunked or self._body.length is not None

    @property
    def has_surplus(self) -> bool:
        return not self.is_compressed and self._body.has_surplus


class DecodedBody(_CodedBody):
    """The bytes in a coded body."""

    def __init__(self, body: Body, coding: str) -> None:
        super().__init__(body, coding)
        self._room = memoryview(bytearray(_BLOCK))
        self._ended = False

    def read_into(self, view: memoryview, /) -> int:
        """Read decoded bytes into view; return how many, 0 at the end.

        Raise as Response.read_into and Decoder.take; TransientError (truncated) when the coding ends too early.
        """
        while len(view):
            if taken := self._decoder.take(len(view), self._ended):
                view[: len(taken)] = taken
                return len(taken)
            if self._ended:
                self._decoder.finish()
                return 0
            got = self._body.read_into(self._room)
            self._ended = got == 0
            self._decoder.feed(self._room[:got])
        return 0


class CheckedBody(_CodedBody):
    """A coded body as it is, decoded on the way to see whether it is whole."""

    def read_into(self, view: memoryview, /) -> int:
        """Read into view; return how many bytes, 0 at the end; raise as DecodedBody.read_into."""
        got = self._body.read_into(view)
        self._decoder.feed(view[:got])
        while self._decoder.take(_BLOCK, at_end=got == 0):
            pass
        if got == 0:
            self._decoder.finish()
        return got
