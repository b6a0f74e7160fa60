"""The URLs in JSON: under names at any depth, by a JMESPath expression for each record, or what looks like an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdn2s3.collection.expressions import Expression, ItemError, UnexpectedShape
from cdn2s3.collection.files import image_fields
from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.column_names import is_expression
from cdn2s3.collection.files.json_values import MOST, WHOLE, JsonValues, Value
from cdn2s3.collection.files.picker import Path, Picker
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.collection.files.text_lines import encoding_of


class RecordReader:
    """Takes the URLs out of a record: parsed JSON, or a row of Parquet."""

    def __init__(self, picker: Picker, columns: str, key_column: str) -> None:
        self.expression = Expression(columns, "URL_COLUMNS") if is_expression(columns) else None
        self._keys = Expression(key_column, "KEY_COLUMN") if is_expression(key_column) else None
        self._has_key = bool(key_column)
        self._picker = picker

    def urls(self, record: Any, path: Path, number: int, is_record: bool = True) -> list[Any]:
        """Return the URLs of a record, None for an image that it says it lacks.

        number is the record's, for messages. Raise Unreadable where an expression cannot be used.
        """
        if self.expression or self._picker.builder.has_template:
            if not is_record:
                raise Unreadable(
                    f"a record is larger than {MOST >> 20} MB, too large for a JMESPath expression; "
                    "set URL_COLUMNS to names"
                )
            return self._by_expression(record, number)
        if self._has_key:
            try:
                urls, _ = self._with_keys(record, path)
            except RecursionError:
                return [ItemError(f"record {number:,}", "nested too deeply")]
            return self._picker.named(urls, "") if urls else []
        urls = []
        is_row = not path and _is_row(record)
        for at, value, is_under in _scalars(record, path, self._picker):
            self._take(at, value, is_under, urls, is_row)
        return urls

    def _take(self, path: Path, value: Any, is_under: bool, urls: list[Any], is_row: bool = False) -> None:
        """Append what a scalar holds.

        is_under: it is inside an object that has one of the names; is_row: it is one of the cells of a table's row.
        """
        picker = self._picker
        if isinstance(value, str):
            is_bare = not path and not picker.is_named
            if is_bare and is_row:
                is_bare = image_fields.is_image_url(value)
            if is_bare or (is_under and not picker.wanted.match(path)):
                picker.take_wanted(path, value, urls)
            else:
                picker.take(path, value, urls)
        elif picker.is_named and not is_under and picker.wanted.match(path):
            urls.append(None if value is None or value is False else value)

    def _by_expression(self, record: Any, number: int) -> list[Any]:
        builder = self._picker.builder
        urls: list[Any] = []
        for found in self._found(record):
            values = builder.urls(found, number) if builder.has_template else [found]
            for value in values:
                self._take_found(value, urls)
        if not self._keys:
            return self._picker.named(urls, self._key_named(record)) if self._has_key else urls
        names = _flat(self._keys.find(record).values)
        if len(names) == 1:
            names *= len(urls)
        if len(names) != len(urls):
            return [
                ItemError(f"record {number:,}", f"{len(urls)} URLs, but {len(names)} names by KEY_COLUMN")
            ]
        return [line for url, name in zip(urls, names) for line in self._picker.named([url], str(name or ""))]

    def _key_named(self, record: Any) -> str:
        for at, value, _ in _scalars(record, (), self._picker):
            if self._picker.keys.match(at):
                return str(value)
        return ""

    def _take_found(self, value: Any, urls: list[Any]) -> None:
        if isinstance(value, str):
            self._picker.take_wanted((), value, urls)
        elif value is None or value is False:
            urls.append(None)
        else:
            urls.append(value)

    def _found(self, record: Any) -> list[Any]:
        """Return what the expression finds in a record; in one whose keys are names of records, in each of those."""
        if self.expression is None:
            is_one = not isinstance(record, dict) or not self._picker.builder.empty_field(record)
            return [record] if is_one else _inner_records(record) or [record]
        try:
            values = self._search(record)
            if not values and isinstance(record, dict):
                values = [found for one in _inner_records(record) for found in self._search(one)]
        except UnexpectedShape as error:
            return [ItemError("a record", str(error))]
        return values or [None]

    def _search(self, record: Any) -> list[Any]:
        assert self.expression is not None
        is_of_a_list = self.expression.text.startswith("[") and not isinstance(record, list)
        found = _flat(self.expression.find([record] if is_of_a_list else record).values)
        return found if any(value is not None for value in found) else []

    def _with_keys(self, value: Any, path: Path) -> tuple[list[Any], str]:
        """Return the URLs in value that no name in it is for, and its name.

        A URL gets the name that is in the innermost object around both.
        """
        picker = self._picker
        urls: list[Any] = []
        name = ""
        if isinstance(value, list):
            parts = [self._with_keys(element, path) for element in value]
            return [url for inner, _ in parts for url in inner], next((key for _, key in parts if key), "")
        if not isinstance(value, dict):
            if picker.keys.match(path) and value is not None:
                name = str(value)
            if not name or "://" in name:
                self._take(path, value, False, urls)
            return urls, name
        lines: list[Any] = []
        for key, inside in value.items():
            inner, inner_name = self._with_keys(inside, (*path, key))
            name = name or inner_name
            lines += inner
        if not name:
            return lines, ""
        has_open = any(isinstance(url, str) and "\t" not in url for url in lines)
        return picker.named(lines, name), "" if has_open else name


class JsonRecords:
    """The records of a JSON file."""

    def __init__(self, job: Job, columns: str, key_column: str) -> None:
        self._job = job
        self._reader = RecordReader(job.picker, columns, key_column)

    def __iter__(self) -> Iterator[Record]:
        job = self._job
        mark = encoding_of(job.head)[1]
        is_whole = self._reader.expression or job.picker.builder.has_template
        values = JsonValues(job.stream, job.encoding, mark, MOST if is_whole else WHOLE)
        for number, value in enumerate(values, 1):
            if number > job.start.records:
                yield self._record(value, number)

    def _record(self, value: Value, number: int) -> Record:
        if value.bad_line:
            return Record([], 0, f"record {number:,} is not JSON, it begins {value.bad_line!r}")
        return Record(self._reader.urls(value.value, value.path, number, value.is_record))


def _is_row(record: Any) -> bool:
    """Return whether a record is the row of a table: a list in which not everything is the address of an image."""
    return isinstance(record, list) and not all(
        isinstance(cell, str) and ("://" in cell or image_fields.is_image_url(cell)) for cell in record
    )


def _scalars(record: Any, path: Path, picker: Picker) -> Iterator[tuple[Path, Any, bool]]:
    """Yield each scalar in a record with its path, and whether it is the address in an object that is wanted."""
    waiting: list[tuple[Path, Any, bool]] = [(path, record, False)]
    while waiting:
        at, value, is_under = waiting.pop()
        if isinstance(value, list):
            if not value and at:
                picker.wanted.match(at)  # an empty list has the name, too
            waiting.extend((at, element, is_under) for element in reversed(value))
        elif isinstance(value, dict):
            is_wanted = picker.is_named and bool(at) and (is_under or picker.wanted.match(at))
            waiting.extend(
                ((*at, key), element, is_wanted and image_fields.names_images(("image", key)))
                for key, element in reversed(list(value.items()))
            )
        else:
            yield at, value, is_under


def _inner_records(record: dict[str, Any]) -> list[Any]:
    """Return the objects that are an object's values, or elements of those."""
    values = [one for value in record.values() for one in (value if isinstance(value, list) else [value])]
    return [value for value in values if isinstance(value, dict)]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [found for inner in value for found in _flat(inner)]
    return [value]
