"""The files of a URL map: CSV, items for DynamoDB's import from S3, a manifest for S3 Batch Operations.

Each is replaced atomically, and written row by row.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from cdn2s3.atomic_file import replacing, replacing_folder
from cdn2s3.records import UNKNOWN
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.validation.new_base import encoded

COLUMNS = ("old_url", "new_url", "key", "bytes", "md5", "content_type", "percent")
ITEMS_A_FILE = 100_000
LONGEST_URL = 2048  # bytes that a partition key of DynamoDB may have (Developer Guide, "Quotas")
_NAMED = 10  # items left out that are shown


class Mapped(NamedTuple):
    """A row of the map; its fields are COLUMNS."""

    old_url: str
    new_url: str
    key: str
    size: int  # bytes
    md5: str  # "" where unknown
    media_type: str  # "" where unknown
    percent: int  # the URL's share, 0 to 99: the URL is among the first PERCENT where it is less


def known(field: str) -> str:
    """Return a field of completed.txt, "" where it is unknown."""
    return "" if field == UNKNOWN else field


class MapFile(Protocol):
    """Something that takes the rows of a map one by one."""

    def add(self, row: Mapped) -> None:
        """Write row."""


class CsvFile:
    """Rows as RFC 4180 has them: UTF-8, a header, CRLF at the end of each line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer = csv.writer(self)
        self._writer.writerow(COLUMNS)

    def write(self, text: str) -> int:
        """Take what the csv module writes."""
        return self._file.write(text.encode())

    def add(self, row: Mapped) -> None:
        self._writer.writerow(row)


class ManifestFile:
    """The keys as S3 Batch Operations reads them: `bucket,key`, no header, keys URL-encoded."""

    def __init__(self, file: BinaryIO, bucket: str) -> None:
        self._file = file
        self._bucket = bucket

    def add(self, row: Mapped) -> None:
        self._file.write(f"{self._bucket},{encoded(row.key)}\n".encode())


class DynamoFiles:
    """Items as DynamoDB's import from S3 reads them: DynamoDB JSON in gzip, the partition key is `url`.

    An import lets equal keys overwrite each other, and refuses long ones: such rows are left out, and counted.
    Memory: 16 bytes a row.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._urls = Fingerprints()
        self._closing = ExitStack()
        self._lines: gzip.GzipFile | None = None
        self.items = 0
        self.repeated = 0  # rows left out: another object of a URL that is in the files
        self.too_long = 0  # rows left out: a URL over LONGEST_URL
        self.longest: list[str] = []  # the first ones of these

    def add(self, row: Mapped) -> None:
        url = row.old_url.encode()
        if len(url) > LONGEST_URL:
            self.too_long += 1
            if len(self.longest) < _NAMED:
                self.longest.append(row.old_url)
            return
        if not self._urls.add(url):
            self.repeated += 1
            return
        item = {"Item": _item(row)}
        line = json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        self._file().write(line)
        self.items += 1

    def _file(self) -> gzip.GzipFile:
        """Return the file for the next item."""
        number, is_full = divmod(self.items, ITEMS_A_FILE)
        if self._lines is None or not is_full:
            self._closing.close()
            raw = self._closing.enter_context(replacing(self._folder / f"part-{number:05}.json.gz"))
            self._lines = self._closing.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        return self._lines

    def close(self) -> None:
        """End the last file; raise FatalError when the disk does not take it."""
        self._closing.close()


def _item(row: Mapped) -> dict[str, dict[str, str]]:
    texts = {
        "url": row.old_url,
        "new_url": row.new_url,
        "key": row.key,
        "md5": row.md5,
        "content_type": row.media_type,
    }
    numbers = {"bytes": row.size, "percent": row.percent}
    return {
        **{name: {"S": text} for name, text in texts.items() if text},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }


@contextmanager
def dynamo_files(folder: Path) -> Iterator[DynamoFiles]:
    """Yield the items of folder, which they replace at the end of the block, all at once."""
    with replacing_folder(folder) as new:
        files = DynamoFiles(new)
        try:
            yield files
        finally:
            files.close()
