"""What a reader of a format gives: record after record, each with the URLs in it and where it ends."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from cdn2s3.collection.files.byte_stream import ByteStream
from cdn2s3.collection.files.picker import Picker


class Start(NamedTuple):
    """Where to go on in a file."""

    records: int = 0  # records before it
    offset: int = 0  # decompressed bytes before it; 0: unknown, the records are read again


class Record(NamedTuple):
    """A record: a row, a line, an object, an element."""

    urls: list[Any]  # for the list; None: the record says that it has no image
    offset: int = 0  # decompressed bytes up to its end, if the reader can go on there
    doubt: str = ""  # what is wrong with this part of the file: URLs may be missing


class Reader(Protocol):
    """Reads the records of one file."""

    def __iter__(self) -> Any:
        """Yield each Record from the start on; raise Unreadable when the rest of the file cannot be read."""


class Job(NamedTuple):
    """A file to read, and how."""

    stream: ByteStream
    head: bytes  # its first bytes
    encoding: str
    picker: Picker
    start: Start
