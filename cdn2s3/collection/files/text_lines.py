"""The lines of a text file, decoded, with the byte offset after each one where the encoding has one.

UTF-8 is assumed unless a byte order mark or the distribution of zero bytes says UTF-16 or UTF-32. A byte that is not
UTF-8 becomes a surrogate (errors="surrogateescape"), so that a field can still be decoded in another way.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable

LONGEST = 1 << 26  # bytes of one line or field: what is longer has lost its end

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def encoding_of(head: bytes) -> tuple[str, int]:
    """Return the encoding of a file that begins with head, and the length of its byte order mark."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, len(mark)
    sample = head[:2000]
    if len(sample) >= 4 and sample.count(0) * 3 > len(sample):
        return ("utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"), 0
    return "utf-8", 0


def decoded(head: bytes, encoding: str) -> str:
    """Return head as text, without the mark and what a cut at its end has left of a character."""
    mark = encoding_of(head)[1]
    return codecs.getincrementaldecoder(encoding)("surrogateescape").decode(head[mark:])


class Lines:
    """The lines of a stream, each with its line ending; `offset` is where the last one ended, `number` how many."""

    def __init__(self, stream: ByteStream, encoding: str, head: bytes) -> None:
        self._stream = stream
        self._encoding = encoding
        self._mark = encoding_of(head)[1]
        self._is_cr_only = encoding == "utf-8" and b"\r" in head and b"\n" not in head
        self.has_offsets = encoding == "utf-8" and not self._is_cr_only
        self.offset = 0
        self.number = 0
        self.recent: list[str] = []  # the lines of the current record; its reader empties it

    def __iter__(self) -> Iterator[str]:
        """Yield each line from the stream's offset on; raise Unreadable for one that is too long."""
        lines = self._by_bytes() if self.has_offsets else self._by_text()
        for line in lines:
            self.number += 1
            self.recent.append(line)
            yield line.replace("\0", "") if "\0" in line else line

    def _by_bytes(self) -> Iterator[str]:
        stream = self._stream
        if self._mark and stream.offset == 0:
            stream.read(self._mark)
        size = 0
        while line := stream.readline(LONGEST):
            size = size + len(line) if self.recent else len(line)
            if size >= LONGEST:
                raise Unreadable(f"line {self.number + 1:,} has no end within {LONGEST >> 20} MB")
            self.offset = stream.offset
            yield line.decode("utf-8", "surrogateescape")

    def _by_text(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        self._stream.read(self._mark)
        rest = ""
        while chunk := self._stream.read():
            text = rest + decoder.decode(chunk)
            lines = text.splitlines(keepends=True) if "\r" in text or "\n" in text else [text]
            lines = _joined(lines)
            rest = lines.pop() if lines else ""
            yield from lines
            if len(rest) >= LONGEST:
                raise Unreadable(f"line {self.number + 1:,} has no end within {LONGEST >> 20} MB")
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest


def _joined(lines: list[str]) -> list[str]:
    """Return lines of which each but the last ends in a line break; splitlines() also ends one at U+2028 and others."""
    found: list[str] = []
    kept = ""
    for line in lines:
        kept += line
        if line.endswith(("\n", "\r")):
            found.append(kept)
            kept = ""
    # A \r at the end may be half of \r\n: it waits for the next chunk.
    return [*found, kept] if kept or not found else [*found[:-1], found[-1]]
