"""The reader of image bodies: complete, into bounded memory, refusing anything that is not the file.

The bytes are hashed as they arrive. A body is complete when it has as many bytes as Content-Length announced; without
one, when the chunked framing ended correctly, or else when the image itself ends with its end marker.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from cdn2s3.cdn import image_type
from cdn2s3.cdn.buffer_pool import SMALL, BufferLease
from cdn2s3.cdn.digest import Digest, digest_of
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.records import Image
from cdn2s3.text import printable, redact

_FALLBACK_TYPE = "binary/octet-stream"  # S3's own default for an object without a type
_HASHED_AT_ONCE = (
    1 << 17
)  # bytes; TLS gives 16 KB at a time, and each call of a digest lets another thread in
_LONGEST_TYPE = 200  # characters
_SHOWN = 40  # bytes to show of a body that is not an image
# A label becomes a header of a signed request: what is not a media type to the letter (RFC 9110, 8.3.1) does not.
_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?: ?; ?[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|\"[\w !#$&^.+-]*\"))*", re.ASCII
)


class LargeBody:
    """A body larger than max_buffer: its parts, to be read once."""

    def __init__(
        self, reader: BodyReader, answer: Response, lease: memoryview, filled: int, deadline: Deadline
    ) -> None:
        self._reader = reader
        self._answer = answer
        self._lease = lease
        self._filled = filled  # bytes of the first part that have been read already
        self._deadline = deadline
        self.media_type = ""  # known after start()

    def start(self) -> None:
        """Read the first part and check that it starts like an image; raise as BodyReader.read does."""
        self._fill()
        self.media_type = self._reader.media_type(self._answer, self._lease[: self._filled])

    def _fill(self) -> None:
        while self._filled < len(self._lease):
            got = self._answer.read_into(self._lease[self._filled :])
            if got == 0:
                return
            self._filled += got

    def parts(self) -> Iterator[memoryview]:
        """Yield the parts; raise TransientError (truncated) after the last one if the body is not complete.

        The download's deadline is extended by the time that the consumer of a part needs.
        """
        start = bytes(self._lease[:64])
        size, tail = 0, b""
        while self._filled:
            size += self._filled
            tail = bytes(self._lease[max(0, self._filled - 64) : self._filled])
            given = time.monotonic()
            yield self._lease[: self._filled]
            self._deadline.at += time.monotonic() - given
            self._filled = 0
            self._fill()
        self._reader.check_whole(self._answer, start, tail, size, self.media_type)


class BodyReader:
    """Read bodies under one set of rules; shared by all workers.

    content_check is CONTENT_CHECK; integrity selects the digest to compute. A body over max_buffer bytes is
    read in parts of part_bytes or max_buffer, whichever is more.
    """

    def __init__(self, content_check: str, max_buffer: int, integrity: str, part_bytes: int) -> None:
        self._content_check = content_check
        self._max_buffer = max_buffer
        self._integrity = integrity
        self._part_size = max(part_bytes, max_buffer)

    def read(self, answer: Response, lease: BufferLease, deadline: Deadline) -> Image | LargeBody:
        """Return the checked body of answer; a LargeBody if it is over max_buffer.

        Raise PermanentError (empty, not_an_image), TransientError (truncated, timeout, connection), BufferExhausted.
        """
        length = answer.length
        if length is not None and length > self._max_buffer:
            return LargeBody(self, answer, lease.view(self._part_size), 0, deadline)
        most = length if length is not None else min(SMALL, self._max_buffer)
        view = lease.view(most)[:most]
        digest = digest_of(self._integrity)
        filled = _fill(answer, view, 0, digest)
        if length is None and filled == len(view):  # there may be more: move it to the largest buffer
            larger = lease.view(self._part_size)
            larger[:filled] = view[:filled]
            filled = _fill(answer, larger[: self._max_buffer], filled, digest)
            if filled == self._max_buffer:
                return LargeBody(self, answer, larger, filled, deadline)
            view = larger
        body = view[:filled]
        media_type = self.media_type(answer, body)
        self.check_whole(answer, body, body, filled, media_type)
        return Image(body, media_type, digest.md5(), digest.crc32())

    def media_type(self, answer: Response, start: memoryview) -> str:
        """Return the media type of a body that starts with start; raise PermanentError if it must not be stored."""
        if not start:
            raise PermanentError("empty", "the body is empty")
        sniffed = image_type.content_type(start)
        coding = answer.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "") and sniffed is None:
            raise PermanentError(
                "not_an_image", f"the body is encoded ({coding}) although the request did not ask for it"
            )
        if sniffed is None and self._content_check == "image":
            said = answer.headers.get("content-type", "no type")
            raise PermanentError(
                "not_an_image", f"the body does not start like an image (labeled {said}){_beginning(start)}"
            )
        if sniffed is None and self._content_check == "not_html" and image_type.is_html(start):
            raise PermanentError("not_an_image", f"the body is an HTML page{_beginning(start)}")
        if sniffed is not None:
            return sniffed
        said = answer.headers.get("content-type", "")
        return said if len(said) <= _LONGEST_TYPE and _MEDIA_TYPE.fullmatch(said) else _FALLBACK_TYPE

    def check_whole(
        self, answer: Response, start: image_type.Bytes, tail: image_type.Bytes, size: int, media_type: str
    ) -> None:
        """Raise TransientError (truncated) if nothing shows that the body has reached its end."""
        no_length = answer.length is None and not answer.chunked
        if not image_type.is_whole(start, tail, size, media_type) and (no_length or answer.has_surplus):
            why = "no Content-Length" if no_length else "more bytes arrived than Content-Length announced"
            raise TransientError("truncated", f"{why}, and the image's end marker is missing")


def _beginning(start: memoryview) -> str:
    """Return how a body starts, for people: non-text escaped, the query of a URL omitted."""
    text = redact(printable(bytes(start[:_SHOWN]).decode("utf-8", "backslashreplace")))
    return f", it starts with {text}{'…' if len(start) > _SHOWN else ''}"


def _fill(answer: Response, view: memoryview, filled: int, digest: Digest) -> int:
    """Read into view from filled on until it is full or the body ends; return the bytes in it."""
    hashed = filled
    while filled < len(view):
        got = answer.read_into(view[filled:])
        if got == 0:
            break
        filled += got
        if filled - hashed >= _HASHED_AT_ONCE:
            digest.update(view[hashed:filled])
            hashed = filled
    digest.update(view[hashed:filled])
    return filled
