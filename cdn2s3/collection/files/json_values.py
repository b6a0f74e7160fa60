"""JSON of any size as a sequence of values: a document, JSON Lines, objects and arrays one after the other.

A value is decoded whole by json where it fits; an array or object that does not fit is entered, and its elements
come one by one. So memory is bounded by the largest element, not by the file.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable
from cdn2s3.collection.files.picker import Path

WHOLE = 1 << 22  # characters of a value that are always decoded at once
MOST = 1 << 28  # characters of a value that is decoded at once in any case
_BETWEEN = re.compile(r"[ \t\r\n\x1e\ufeff,]*")
_BLANKS = re.compile(r"[ \t\r\n]*")


class Value(NamedTuple):
    """One value of the sequence."""

    path: Path  # the keys that it is under, where what holds it was entered
    value: Any
    is_record: bool  # a value of the outermost sequence or array
    bad_line: str = ""  # what was skipped here: a line that is no JSON


class JsonValues:
    """The values of one file; for one thread."""

    def __init__(self, stream: ByteStream, encoding: str, mark: int, whole: int = WHOLE) -> None:
        """whole is how many characters of a value are decoded at once; mark is the length of the byte order mark."""
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(
            "surrogateescape" if encoding == "utf-8" else "replace"
        )
        self._json = json.JSONDecoder(strict=False)
        self._whole = whole
        self._mark = mark
        self._text = ""
        self._at = 0
        self._before = 0  # characters before self._text
        self._is_at_end = False

    def __iter__(self) -> Iterator[Value]:
        """Yield each value; raise Unreadable where the file is no JSON or ends early."""
        self._stream.read(self._mark)
        by_line = False
        first = True
        while self._next_character(_BETWEEN):
            if self._peek() == "[":
                yield from self._elements((), True)
                first = False
                continue
            value, is_whole = self._value(stays_whole=False)
            if is_whole:
                by_line = by_line or (first and self._ends_its_line())
                first = False
                yield Value((), value, True)
            elif by_line:
                yield Value((), None, True, self._skip_line())
            else:
                yield from self._members(())
            first = False

    def _elements(self, path: Path, are_records: bool) -> Iterator[Value]:
        """Yield the elements of the array that begins here."""
        self._at += 1
        while True:
            character = self._next_character(_BLANKS)
            if character == "]":
                self._at += 1
                return
            value, is_whole = self._value(stays_whole=are_records)
            if is_whole:
                yield Value(path, value, are_records)
            else:
                yield from self._entered(path)
            self._expect_separator("]")

    def _members(self, path: Path) -> Iterator[Value]:
        """Yield the members of the object that begins here."""
        if self._peek() != "{":
            raise self._broken()
        self._at += 1
        while True:
            character = self._next_character(_BLANKS)
            if character == "}":
                self._at += 1
                return
            key, is_whole = self._value(stays_whole=True)
            if not is_whole or not isinstance(key, str) or self._next_character(_BLANKS) != ":":
                raise self._broken()
            self._at += 1
            self._next_character(_BLANKS)
            value, is_whole = self._value(stays_whole=False)
            if is_whole:
                yield Value((*path, key), value, False)
            else:
                yield from self._entered((*path, key))
            self._expect_separator("}")

    def _entered(self, path: Path) -> Iterator[Value]:
        if self._peek() == "[":
            return self._elements(path, False)
        return self._members(path)

    def _expect_separator(self, end: str) -> None:
        character = self._next_character(_BLANKS)
        if character == ",":
            self._at += 1
        elif character != end:
            raise self._broken()

    def _value(self, stays_whole: bool) -> tuple[Any, bool]:
        """Return the value here, and whether it was decoded; not if it is too large, or no JSON.

        stays_whole: it is decoded however large, as a record is, up to 16 times of what others may have.
        """
        limit = min(self._whole * 16, MOST) if stays_whole else self._whole
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise Unreadable("it is nested too deeply") from error
            except ValueError:
                if self._is_at_end or len(self._text) - self._at > limit:
                    return None, False
            else:
                if end < len(self._text) or self._is_at_end or isinstance(value, (dict, list, str)):
                    self._at = end
                    return value, True
            self._fill(max(1 << 18, len(self._text) - self._at))

    def _next_character(self, blanks: re.Pattern[str]) -> str:
        """Go past blanks; return the character there, "" at the end."""
        while True:
            match = blanks.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) or self._is_at_end:
                return self._peek()
            self._fill(1 << 18)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _fill(self, size: int) -> None:
        """Read about size more bytes, and forget what is done."""
        chunk = self._stream.read(size)
        self._is_at_end = not chunk
        self._before += self._at
        self._text = self._text[self._at :] + self._decoder.decode(chunk, final=self._is_at_end)
        self._at = 0

    def _ends_its_line(self) -> bool:
        """Return whether nothing follows in this line, and a line follows it: then a broken line can be skipped."""
        while "\n" not in self._text[self._at :] and not self._is_at_end:
            self._fill(1 << 18)
        return self._text[self._at :].lstrip(" \t\r")[:1] == "\n"

    def _skip_line(self) -> str:
        """Go past the end of this line; return how it begins."""
        while (end := self._text.find("\n", self._at)) < 0 and not self._is_at_end:
            self._fill(1 << 18)
        line = self._text[self._at : end if end >= 0 else len(self._text)]
        self._at = end if end >= 0 else len(self._text)
        return line[:80] or "nothing"

    def _broken(self) -> Unreadable:
        if self._is_at_end and self._at >= len(self._text):
            return Unreadable("it ends in the middle of its JSON")
        try:
            self._json.raw_decode(self._text, self._at)
            why = "something is missing between two values"
        except ValueError as error:
            why = str(error).partition(":")[0]
        return Unreadable(f"it is not JSON after {self._before + self._at:,} characters ({why})")
