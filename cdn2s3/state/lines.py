"""A field of a line in a state file: it never contains a tab or a line break. Pure.

Control characters and what is not UTF-8 are percent-encoded on the way in; nothing decodes them again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cdn2s3.errors import FatalError

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def field(text: str) -> str:
    """Return text as it may stand in a field; a surrogate that stands for a byte (\\udc80 …) becomes that byte."""
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
    """Return fields as one line with its newline."""
    return ("\t".join(map(field, fields)) + "\n").encode()


_BLOCK = 1 << 20


_BOM = b"\xef\xbb\xbf"


def end_of_last_line(path: Path) -> int:
    """Return the length in bytes of path up to and with its last newline; 0 when there is none or no file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _BLOCK)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
    except FileNotFoundError:
        pass
    return 0


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield each line of path from byte offset start, without its newline; leave out a torn last one.

    A file that does not exist has no lines. Raise FatalError for one that cannot be read: taken for empty, it
    would have everything done again.
    """
    try:
        with path.open("rb", buffering=_BLOCK) as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]
    except FileNotFoundError:
        return
    except OSError as error:
        raise FatalError(
            f"cannot read {path}: {error.strerror or error}. Correct its permissions, "
            "then run the same command again."
        ) from error


def placed_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that whole_lines yields, each after the byte offset where it begins."""
    at = 0
    for line in whole_lines(path):
        yield at, line
        at += len(line) + 1


def placed_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a file that somebody else wrote, after the byte offset where it begins.

    BOM, CR and a missing last newline are accepted, and the text from the first tab on is dropped, so that
    our own state files are input too.

    Raise OSError when it cannot be read; `cannot_read` makes that a message, with the setting's name.
    """
    with path.open("rb", buffering=_BLOCK) as file:
        at = 0
        for raw in file:
            yield at, input_line(raw)
            at += len(raw)


def input_line(raw: bytes) -> bytes:
    """Return what counts of a raw line of an input file."""
    line = raw.rstrip(b"\r\n")
    if b"\t" in line:
        line = line[: line.index(b"\t")]
    return line[len(_BOM) :] if line.startswith(_BOM) else line


def input_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines that placed_lines yields, without their places."""
    return (line for _, line in placed_lines(path))
