"""Exports that are given as SOURCE_URLS_FILE, which is a plain list: named, with the command that reads them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import UsageError
from cdn2s3.text import printable

_HEAD = 65_536  # bytes that are looked at
_MAGIC = (
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"PAR1", "Parquet"),
)
_DELIMITERS = ",;\t|"
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_IMAGE_COLUMN = re.compile(
    r"(image|img|photo|picture|thumb|media|cover|poster|logo)|(^|[_ ])(url|src|href)s?$", re.IGNORECASE
)
_NO_IMAGE_COLUMN = re.compile(
    r"(^|[_ ])(id|alt|text|title|caption|width|height|count|size|type)s?$", re.IGNORECASE
)


class Export(NamedTuple):
    """What a file is, other than a list of URLs."""

    what: str  # a format, for people
    columns: tuple[str, ...] = ()  # that may hold the images' URLs


def refuse_exports(urls: Path) -> None:
    """Raise UsageError where urls is plainly an export, OSError when it cannot be read."""
    with urls.open("rb") as file:
        found = export_in(file.read(_HEAD))
    if found is None:
        return
    columns = ",".join(found.columns)
    which = (
        f"and URL_COLUMNS={printable(columns)} " if columns else "(URL_COLUMNS names the columns or fields) "
    )
    raise UsageError(
        f"{urls} (SOURCE_URLS_FILE) is {found.what}, not a list with one URL a line. Let collect_urls.py make the "
        f"list: in collection.env, set SOURCE=files and FILES={urls} {which}and OUTPUT_FILE to another name, run "
        f"`{command('collect_urls.py')}`, then set SOURCE_URLS_FILE to that OUTPUT_FILE."
    )


def export_in(head: bytes) -> Export | None:
    """Return what the file is that begins with head, None where it may be a list of URLs."""
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return Export(what)
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text.startswith(("{", "[")):
        return Export("JSON")
    if text.startswith("<"):
        return Export("XML or HTML")
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    return _table_in(lines) if len(lines) > 1 or "\n" in text else None


def _table_in(lines: list[str]) -> Export | None:
    """Return what lines are if they are a table: no line of a list of URLs has its URL after a separator."""
    first, following = lines[0], lines[1:]
    if _SCHEME.match(first):
        return None
    for delimiter in _DELIMITERS:
        header = _fields(first, delimiter)
        if len(header) < 2 and not first.startswith('"'):
            continue
        rows = [_fields(line, delimiter) for line in following] or [header]
        if not any(_SCHEME.match(value.strip()) for row in (header, *rows) for value in row):
            continue
        what = "a table with tabs (TSV)" if delimiter == "\t" else "a table (CSV)"
        if any(_SCHEME.match(value.strip()) for value in header):
            return Export(what)  # without a header
        if len(header) == 1 or any(len(row) == len(header) for row in rows):
            return Export(what, tuple(name.strip() for name in header if _is_image_column(name.strip())))
    return None


def _is_image_column(name: str) -> bool:
    return _IMAGE_COLUMN.search(name) is not None and _NO_IMAGE_COLUMN.search(name) is None


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return []
