"""Which reader reads which format, and what the settings ask of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable
from cdn2s3.collection.files.column_names import is_expression, split
from cdn2s3.collection.files.delimited import PlainList, Table
from cdn2s3.collection.files.detection import format_of
from cdn2s3.collection.files.html_records import HtmlRecords
from cdn2s3.collection.files.inventory import DataFile, InventoryRecords, url_of, urls_of
from cdn2s3.collection.files.json_records import JsonRecords, RecordReader
from cdn2s3.collection.files.parquet_records import ParquetRecords
from cdn2s3.collection.files.picker import Picker
from cdn2s3.collection.files.records import Job, Record, Start
from cdn2s3.collection.files.text_lines import encoding_of
from cdn2s3.collection.files.xml_records import BucketListing, Elements, Sitemap, XmlRecords, root_of
from cdn2s3.collection.url_building import UrlBuilder
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings

log = logging.getLogger(__name__)

_WITH_KEYS = frozenset({"json", "jsonl", "csv", "tsv", "xml", "parquet"})
_WITH_EXPRESSIONS = frozenset({"json", "jsonl", "csv", "tsv", "parquet"})


class Choice(NamedTuple):
    """What the settings say of all files."""

    file_format: str
    columns: str  # URL_COLUMNS
    key_column: str
    url_prefix: str
    builder: UrlBuilder

    @classmethod
    def of(cls, settings: CollectionSettings) -> Choice:
        return cls(
            settings.file_format,
            settings.url_columns,
            settings.key_column,
            settings.url_prefix,
            UrlBuilder(settings.api_url_base, settings.api_url_template),
        )

    @property
    def has_expression(self) -> bool:
        return is_expression(self.columns)

    def picker(self) -> Picker:
        """Return a new picker of what the settings name."""
        columns = () if self.has_expression else split(self.columns)
        key = "" if is_expression(self.key_column) else self.key_column
        return Picker(columns, key, self.builder, self.url_prefix)


def open_reader(
    part: DataFile, stream: ByteStream, choice: Choice, picker: Picker, start: Start
) -> Iterable[Record]:
    """Return the records of a file.

    Raise Unreadable for a format that is not known, UsageError where the settings do not fit it.
    """
    to_url = partial(url_of, url_prefix=choice.url_prefix)
    head = stream.head()
    encoding = encoding_of(head)[0]
    job = Job(stream, head, encoding, picker, start)
    if part.columns:
        return InventoryRecords(job, part.columns, to_url)
    if part.is_parquet:
        return ParquetRecords(job, lambda row, _: urls_of(row, to_url, is_encoded=False))
    name = choice.file_format
    if name == "auto":
        name = format_of(stream.path.name, head, encoding, (*picker.wanted.names, *picker.keys.names))
        log.info("%s: read as %s", stream.name, name)
    _check(name, choice, stream.name)
    if name == "s3-inventory":
        return InventoryRecords(job, (), to_url)
    if name in ("sitemap", "xml"):
        return _xml(job, name, choice, to_url)
    if name in ("csv", "tsv"):
        return Table(job, ",\t;|" if name == "csv" else "\t", choice.columns, choice.key_column)
    if name == "list":
        return PlainList(job)
    if name == "html":
        return HtmlRecords(job)
    if name == "parquet":
        return _parquet(job, choice)
    return JsonRecords(job, choice.columns, choice.key_column)


def _check(name: str, choice: Choice, file: str) -> None:
    if choice.key_column and name not in _WITH_KEYS:
        raise UsageError(f"KEY_COLUMN is set, but {file} is read as {name}, which has no columns. Remove it.")
    if choice.has_expression and name not in _WITH_EXPRESSIONS:
        raise UsageError(
            f"URL_COLUMNS={choice.columns} is a JMESPath expression, but {file} is read as {name}: "
            "set it to names of elements or attributes."
        )
    if choice.builder.has_template and name not in _WITH_EXPRESSIONS:
        raise UsageError(
            f"API_URL_TEMPLATE is set, but {file} is read as {name}, which has no records. Remove it."
        )


def _xml(job: Job, name: str, choice: Choice, to_url: Any) -> XmlRecords:
    root = root_of(job.head)
    has_key = bool(choice.key_column)
    if root == "ListBucketResult" and not choice.columns:
        return XmlRecords(job, BucketListing(job.picker, has_key, to_url))
    if name == "sitemap" or root in ("urlset", "sitemapindex"):
        return XmlRecords(job, Sitemap(job.picker, has_key))
    return XmlRecords(job, Elements(job.picker, has_key))


def _parquet(job: Job, choice: Choice) -> ParquetRecords:
    reader = RecordReader(job.picker, choice.columns, choice.key_column)
    return ParquetRecords(job, lambda row, number: reader.urls(row, (), number))


def records_of(reader: Iterable[Record]) -> Iterator[Record]:
    """Yield what a reader gives; what cannot be read ends it with a record that says so."""
    try:
        yield from reader
    except Unreadable as error:
        yield Record([], 0, str(error))
