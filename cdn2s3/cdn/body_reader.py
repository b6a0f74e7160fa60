"""The reader of image bodies: complete, into bounded memory, refusing anything that is not the file.

The bytes are hashed as they arrive. A body is complete when it has as many bytes as Content-Length announced; without
one, when the chunked framing ended correctly, or else when the image itself ends with its end marker.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Callable

from cdn2s3.cdn import content_coding, image_type
from cdn2s3.cdn.buffer_pool import SMALL, BufferLease
from cdn2s3.cdn.content_coding import Body, CheckedBody, DecodedBody
from cdn2s3.cdn.digest import Digest
from cdn2s3.cdn.markup import LOOKED_AT
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.records import Image
from cdn2s3.text import printable, redact

# Seconds for which a response waits for memory, its connection held. Then it is given up and asked for again, with
# the memory at hand: a CDN does not wait forever, but what it has sent by then would have come for nothing.
PATIENCE = 5.0
_FALLBACK_TYPE = "binary/octet-stream"  # S3's own default for an object without a type
_HASHED_AT_ONCE = (
    1 << 17
)  # bytes; TLS gives 16 KB at a time, and each call of a digest lets another thread in
_LONGEST_TYPE = 200  # characters
_LONGEST_LABEL = 80  # characters of a type to show
_SHOWN = 40  # characters to show of a body that is not an image
_CONCEALED = 1 << 13  # bytes of it in which secrets are looked for
# A label becomes a header of a signed request: what is not a media type to the letter (RFC 9110, 8.3.1) does not.
_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?: ?; ?[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|\"[\w !#$&^.+-]*\"))*", re.ASCII
)


class LargeBody:
    """A body larger than max_buffer: its parts, to be read once."""

    def __init__(
        self, reader: BodyReader, body: Body, lease: memoryview, filled: int, deadline: Deadline
    ) -> None:
        self._reader = reader
        self._body = body
        self._lease = lease
        self._filled = filled  # bytes of the first part that have been read already
        self._deadline = deadline
        self.media_type = ""  # known after start()
        self.encoding = ""  # as in Image; likewise

    def start(self) -> None:
        """Read the first part and check that it starts like an image; raise as BodyReader.read does."""
        self._fill()
        self.media_type, self.encoding = self._reader.judge(self._body, self._lease[: self._filled])

    def _fill(self) -> None:
        while self._filled < len(self._lease):
            got = self._body.read_into(self._lease[self._filled :])
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
        self._reader.check_whole(self._body, start, tail, size, self.media_type)


class BodyReader:
    """Read bodies under one set of rules; shared by all workers.

    content_check is CONTENT_CHECK; new_digest returns the digest to compute of a body, anew for each. A body over
    max_buffer bytes is read in parts of part_bytes or max_buffer, whichever is more. decodes says what becomes of a
    body that is compressed unasked: it is decoded, or kept as it is with its Content-Encoding. conceal removes secrets
    from what the CDN says.
    """

    def __init__(
        self,
        content_check: str,
        max_buffer: int,
        new_digest: Callable[[], Digest],
        part_bytes: int,
        decodes: bool = True,
        conceal: Callable[[str], str] = str,
    ) -> None:
        self._content_check = content_check
        self._max_buffer = max_buffer
        self._new_digest = new_digest
        self._part_size = max(part_bytes, max_buffer)
        self._decodes = decodes
        self._conceal = conceal

    def read(self, answer: Response, lease: BufferLease, deadline: Deadline) -> Image | LargeBody:
        """Return the checked body of answer; a LargeBody if it is over max_buffer.

        Raise PermanentError (empty, not_an_image), TransientError (truncated, timeout, connection), BufferExhausted.
        """
        body = self.body_of(answer)
        length = body.length
        if length is not None and length > self._max_buffer:
            return LargeBody(self, body, lease.view(self._part_size), 0, deadline)
        most = length if length is not None else min(SMALL, self._max_buffer)
        view = _room(lease, most, deadline)[:most]
        digest = self._new_digest()
        filled = _fill(body, view, 0, digest)
        if length is None and filled == len(view):  # there may be more: move it to the largest buffer
            self.judge(body, view)  # what is no image, such as a bomb, is not worth one
            larger = lease.view(self._part_size)
            larger[:filled] = view[:filled]
            filled = _fill(body, larger[: self._max_buffer], filled, digest)
            if filled == self._max_buffer:
                return LargeBody(self, body, larger, filled, deadline)
            view = larger
        whole = view[:filled]
        media_type, encoding = self.judge(body, whole)
        self.check_whole(body, whole, whole, filled, media_type)
        return Image(whole, media_type, digest.md5(), digest.crc32(), encoding)

    def body_of(self, answer: Response) -> Body:
        """Return the body of answer as it is to be stored: decoded, or checked on the way, where it is compressed."""
        if "content-encoding" in answer.headers:
            coding = content_coding.coding_of(answer.headers)
            if coding in content_coding.DECODABLE:
                return DecodedBody(answer, coding) if self._decodes else CheckedBody(answer, coding)
        return answer

    def judge(self, body: Body, start: memoryview) -> tuple[str, str]:
        """Return the media type and the coding ("": none) of a body that starts with start, for its object.

        Raise PermanentError if it must not be stored.
        """
        if not start:
            raise PermanentError("empty", "the body is empty")
        sniffed = image_type.content_type(start)
        if sniffed is not None:
            return sniffed, ""  # whatever the CDN calls it, these are the bytes of an image
        coding = _coding(body)
        if coding and isinstance(body, CheckedBody):
            start = content_coding.decoded_start(start, coding, LOOKED_AT)
            sniffed = image_type.content_type(start)
            if sniffed is not None:
                return sniffed, coding
        said = body.headers.get("content-type", "")
        if self._content_check != "none":
            self._refuse(start, said, "" if isinstance(body, CheckedBody) else coding)
        is_type = len(said) <= _LONGEST_TYPE and _MEDIA_TYPE.fullmatch(said)
        return (said if is_type else _FALLBACK_TYPE), coding

    def _refuse(self, start: memoryview, said: str, coding: str) -> None:
        """Raise PermanentError (not_an_image) for a body that is no known image, unless CONTENT_CHECK takes it.

        said is what the CDN calls it; coding what start is still in, "" for none.
        """
        label = self._conceal(printable(said.partition(";")[0].strip().lower()))[:_LONGEST_LABEL]
        if coding:
            raise PermanentError(
                "not_an_image",
                f"the body is encoded ({self._conceal(printable(coding))[:_LONGEST_LABEL]}) although the request did "
                "not ask for it, and that coding cannot be looked into; CONTENT_CHECK=none stores it as it is",
                label=label,
            )
        beginning = _beginning(start, self._conceal)
        if self._content_check == "image":
            raise PermanentError(
                "not_an_image",
                f"the body does not start like an image (labeled {label or 'no type'}){beginning}",
                label=label,
            )
        if image_type.is_html(start):
            raise PermanentError("not_an_image", f"the body is an HTML page{beginning}", label=label)

    def check_whole(
        self, body: Body, start: image_type.Bytes, tail: image_type.Bytes, size: int, media_type: str
    ) -> None:
        """Raise TransientError (truncated) if nothing shows that the body has reached its end."""
        no_length = body.length is None and not body.chunked
        if not image_type.is_whole(start, tail, size, media_type) and (no_length or body.has_surplus):
            why = "no Content-Length" if no_length else "more bytes arrived than Content-Length announced"
            raise TransientError("truncated", f"{why}, and the image's end marker is missing")


def _coding(body: Body) -> str:
    """Return the coding of the bytes that are read from body, "" for none; once some have been."""
    if isinstance(body, DecodedBody) or (isinstance(body, CheckedBody) and not body.is_compressed):
        return ""
    return content_coding.coding_of(body.headers) if "content-encoding" in body.headers else ""


def _beginning(start: memoryview, conceal: Callable[[str], str]) -> str:
    """Return how a body starts, for people: non-text escaped, the query of a URL and what conceal finds omitted."""
    text = conceal(
        bytes(start[:_CONCEALED]).decode("utf-8", "backslashreplace")
    )  # before a cut divides a secret
    return f", it starts with {redact(printable(text[:_SHOWN]))}{'…' if len(text) > _SHOWN else ''}"


def _room(lease: BufferLease, size: int, deadline: Deadline) -> memoryview:
    """Return a buffer for a body that is about to come; the wait for it does not count against deadline."""
    began = time.monotonic()
    try:
        return lease.view(size, PATIENCE)
    finally:
        deadline.at += time.monotonic() - began


def _fill(body: Body, view: memoryview, filled: int, digest: Digest) -> int:
    """Read into view from filled on until it is full or the body ends; return the bytes in it."""
    hashed = filled
    while filled < len(view):
        got = body.read_into(view[filled:])
        if got == 0:
            break
        filled += got
        if filled - hashed >= _HASHED_AT_ONCE:
            digest.update(view[hashed:filled])
            hashed = filled
    digest.update(view[hashed:filled])
    return filled
