"""The format of an export, by its first bytes and its name. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.delimited import NO_SEPARATOR, form_of, rows_of
from cdn2s3.collection.files.image_fields import is_image_url
from cdn2s3.collection.files.text_lines import decoded
from cdn2s3.settings.collection_settings import FILE_FORMATS

# What is no text that could be read, and what to do with it.
_BINARY = (
    (b"PK\x03\x04", "it is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "it is an old Excel or Word file: save the sheet as CSV"),
    (b"SQLite format 3", "it is an SQLite database: export the table as CSV (sqlite3 -header -csv)"),
    (b"ORC", "it is an ORC file: choose CSV or Parquet for the inventory"),
    (b"%PDF", "it is a PDF"),
    (b"\x89PNG", "it is an image"),
    (b"\xff\xd8\xff", "it is an image"),
    (b"GIF8", "it is an image"),
    (b"Rar!", "it is a RAR archive: unpack it"),
    (b"7z\xbc\xaf", "it is a 7z archive: unpack it"),
)
_HTML = re.compile(
    r"<!doctype\s+html|<html[\s>]|^<(?:head|body|div|img|ul|ol|p|table|a|span|section|main|picture)[\s>]",
    re.I,
)
_ROOT = re.compile(r"<(?![?!])([^\s/>]+)")
_URL = re.compile(r"""["'\s]*(?:https?:)?//""", re.IGNORECASE)
_BY_ENDING = {
    "csv": "csv", "tsv": "tsv", "tab": "tsv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "xml": "xml",
    "rss": "xml", "atom": "xml", "html": "html", "htm": "html", "xhtml": "html",
    "parquet": "parquet", "geojson": "json",
}  # fmt: skip
_COMPRESSED = re.compile(r"\.(?:gz|zst|bz2|xz)$", re.IGNORECASE)


def format_of(name: str, head: bytes, encoding: str, columns: Collection[str] = ()) -> str:
    """Return the format of a file by its name and its first bytes; columns are names that a header would have.

    Raise Unreadable when it is none that is known.
    """
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, why in _BINARY:
        if head.startswith(magic):
            raise Unreadable(why)
    if encoding == "utf-8" and b"\0" in head[:1000]:
        raise Unreadable("it is neither text nor a known format")
    text = decoded(head, encoding).lstrip("\ufeff \t\r\n")
    ending = _BY_ENDING.get(_COMPRESSED.sub("", name).rpartition(".")[2].lower(), "")
    if text.startswith("<"):
        return _markup(text)
    if text.startswith(("{", "[")) and ending not in ("csv", "tsv"):
        return "s3-inventory" if is_inventory(text) else "json"
    if ending in ("csv", "tsv"):
        return ending
    if ending in ("html", "json", "jsonl") or "<img " in text.lower():
        return ending or "html"  # such as a page with a head of another kind
    return _lines(text, columns)


def is_inventory(text: str) -> bool:
    """Return whether text is the manifest of an S3 Inventory."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "fileSchema" in found and isinstance(found.get("files"), list)


def _markup(text: str) -> str:
    if _HTML.search(text[:3000]):
        return "html"
    root = _ROOT.search(re.sub(r"<!--.*?-->", "", text[:20_000], flags=re.DOTALL))
    name = root[1].rpartition(":")[2].lower() if root else ""
    return "sitemap" if name in ("urlset", "sitemapindex") else "xml"


def _lines(text: str, columns: Collection[str]) -> str:
    lines = [line for line in re.split("\r\n?|\n", text) if line.strip()][:1000]
    if len(lines) > 1:
        lines.pop()  # it may be cut
    content = [line for line in lines if not line.startswith("#")] or lines or [""]
    form = form_of(content)
    rows = rows_of(content, form)
    is_table = form.separator != NO_SEPARATOR
    if rows and not set(columns).isdisjoint(rows[0]):
        return "csv"
    addresses = [
        bool(_URL.match(line)) or (" " not in line.strip() and is_image_url(line)) for line in content
    ]
    if addresses[0] and sum(addresses) * 2 >= len(addresses):
        return "csv" if is_table and _is_table_of_urls(rows, form.separator) else "list"
    if is_table or (sum(addresses) * 2 >= len(addresses) - 1 and len(addresses) > 1):
        return "csv"
    raise Unreadable("its format is not recognized; set FILE_FORMAT to " + ", ".join(FILE_FORMATS[1:]))


def _is_table_of_urls(rows: Sequence[Sequence[str]], separator: str) -> bool:
    """Return whether lines that begin with a URL are records, and not URLs that hold the separator."""
    if separator == "\t":
        return True
    whole = sum(is_image_url(row[0]) and not row[0].endswith("/") for row in rows if row)
    return whole >= 0.9 * len(rows)
