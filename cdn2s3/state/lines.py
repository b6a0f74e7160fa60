"""Lines and fields of state files: a field never contains a tab or a line break.

Control characters and bytes that are not UTF-8 are percent-encoded when written, and never decoded again.
"""

from __future__ import annotations

import errno
import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable

from cdn2s3.errors import FatalError
from cdn2s3.keys import KEY_FIELD, divided

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def field(text: str) -> str:
    """Return text encoded for a field; a surrogate that represents a byte (\\udc80 …) becomes that byte."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_percent_encoded, text)


def _percent_encoded(match: re.Match[str]) -> str:
    character = match[0]
    as_byte = "\udc80" <= character <= "\udcff"
    return "".join(
        f"%{byte:02X}"
        for byte in character.encode("utf-8", "surrogateescape" if as_byte else "surrogatepass")
    )


def encode(fields: tuple[str, ...]) -> bytes:
    """Return fields as one line with its newline.

    Where the first is a line of the input that names its object, the field `key=NAME` of it becomes the last.
    """
    if fields and "\t" in fields[0]:
        url, named = divided(fields[0])
        fields = (url, *fields[1:], named) if named else fields
    return ("\t".join(map(field, fields)) + "\n").encode()


_TAIL_BLOCK = 1 << 20  # bytes read at a time from a file's end
_BLOCK = 1 << 14  # bytes read at a time: some hundred lines, which is what one line found by its number costs
_NAME = b"\t" + KEY_FIELD.encode()
_BOM = b"\xef\xbb\xbf"


def end_of_last_line(path: Path) -> int:
    """Return the length in bytes of path up to and with its last newline; 0 when there is none or no file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _TAIL_BLOCK)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
    except FileNotFoundError:
        pass
    return 0


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield each line of path from byte offset start, without its newline; skip a torn last one.

    A missing file has no lines. Raise FatalError for one that cannot be read: treated as empty, it
    would have everything done again.
    """
    for _, block in _record_blocks(path, start):
        yield from _records(block)


def input_lines(path: Path) -> Iterator[bytes]:
    """Yield each line of a user's file.

    BOM, CR and a missing last newline are accepted, and the text from the first tab on is dropped, so that
    our own state files are input too; except a last field `key=NAME`, which stays, after one tab.

    Raise OSError when it cannot be read; `cannot_read` turns that into a message with the setting's name.
    """
    for _, block in _blocks(path):
        yield from _input_lines(block)


class NumberedLines:
    """The lines of a file, read once from its beginning to its end, and single ones again by their numbers.

    Numbers begin at 0. Remembers where each block begins: 16 bytes for some hundred lines. For one thread.
    """

    def __init__(
        self,
        path: Path,
        blocks: Iterable[tuple[int, bytes]],
        split: Callable[[bytes], list[bytes]],
    ) -> None:
        self.path = path
        self._blocks = blocks
        self._split = split
        self._first = array("Q")  # the number of the first line of each block
        self._at = array("Q", [0])  # the byte offset where each block begins, and where the last one ends
        self._held: list[bytes] = []  # the lines that were read again last
        self._held_from = 0  # the number of the first of them

    def batches(self) -> Iterator[tuple[int, Iterator[tuple[int, bytes]]]]:
        """Yield all lines with their numbers, some hundred at a time, after the byte offset of each such batch.

        A line is found by its number from when it is yielded.
        """
        number = 0
        for at, block in self._blocks:
            lines = self._split(block)
            self._first.append(number)
            self._at.append(at + len(block))
            yield at, enumerate(lines, number)
            number += len(lines)

    def __getitem__(self, number: int) -> bytes:
        """Return a line of those that batches() has yielded, read again.

        Raise OSError when the file can no longer be read, or has become shorter.
        """
        if not 0 <= number - self._held_from < len(self._held):
            self._hold(bisect_right(self._first, number) - 1)
        try:
            return self._held[number - self._held_from]
        except IndexError:
            raise OSError(errno.EIO, "it has become shorter") from None

    def _hold(self, place: int) -> None:
        begin, end = self._at[place], self._at[place + 1]
        with self.path.open("rb", buffering=0) as file:
            file.seek(begin)
            self._held = self._split(file.read(end - begin))
        self._held_from = self._first[place]


def numbered_records(path: Path) -> NumberedLines:
    """Return the lines of path as whole_lines yields them, with its errors, to be found by number as well."""
    return NumberedLines(path, _record_blocks(path), _records)


def numbered_input(path: Path) -> NumberedLines:
    """Return the lines of path as input_lines yields them, with its errors, to be found by number as well."""
    return NumberedLines(path, _blocks(path), _input_lines)


def _blocks(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield path from byte offset start in blocks of whole lines, each after the offset where it begins."""
    with path.open("rb", buffering=_TAIL_BLOCK) as file:
        file.seek(start)
        while block := file.read(_BLOCK):
            if not block.endswith(b"\n"):
                block += file.readline()
            yield start, block
            start += len(block)


def _record_blocks(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield what _blocks yields, nothing if there is no file; raise FatalError for one that cannot be read."""
    try:
        yield from _blocks(path, start)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FatalError(
            f"cannot read {path}: {error.strerror or error}. Correct its permissions, "
            "then run the same command again."
        ) from error


def _records(block: bytes) -> list[bytes]:
    """Return the lines of block that have their newline, without it."""
    lines = block.split(b"\n")
    del lines[-1]  # a torn line, or nothing after the last newline
    return lines


def _input_lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    if b"\r" in block or b"\t" in block or _BOM in block:
        return [input_line(line) for line in lines]
    return lines


def input_line(raw: bytes) -> bytes:
    """Return the relevant part of a raw line of an input file: its URL, and its last field if that is `key=NAME`."""
    line = raw.rstrip(b"\r\n")
    if b"\t" in line:
        line = line_of(line)
    return line[len(_BOM) :] if line.startswith(_BOM) else line


def line_of(record: bytes) -> bytes:
    """Return the line of the input that a record of several fields is of."""
    last = record[record.rindex(b"\t") :]
    return record[: record.index(b"\t")] + (last if last.startswith(_NAME) else b"")
