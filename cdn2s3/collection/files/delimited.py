"""CSV and its kin: fields with a separator, by the standard library's csv; and plain lists, a URL a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from cdn2s3.collection.expressions import Expression
from cdn2s3.collection.files import image_fields
from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.column_names import is_expression, split
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.collection.files.text_lines import LONGEST, Lines, decoded
from cdn2s3.errors import UsageError
from cdn2s3.settings.spelling import nearest
from cdn2s3.url_text import found_in

_SEPARATORS = ",\t;|"
NO_SEPARATOR = "\x1f"  # the separator of a file with one column: never in a text
_SAMPLE = 200  # records that columns are judged by
_NAMES_SEPARATOR = re.compile(r'\ufeff?"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # Excel's own first line
_SCHEME = re.compile(r"\s*['\"]?https?://", re.IGNORECASE)


class Form(NamedTuple):
    """How records and fields are written."""

    separator: str
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
    escape: str | None = None

    def reader(self, lines: Any) -> Iterator[list[str]]:
        csv.field_size_limit(LONGEST)
        return csv.reader(
            lines,
            delimiter=self.separator,
            quoting=self.quoting,
            escapechar=self.escape,
            doublequote=self.escape is None,
            quotechar='"',
            skipinitialspace=False,
        )


def rows_of(sample: Sequence[str], form: Form) -> list[list[str]]:
    """Return the records of some lines; what cannot be read ends them."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(row for row in form.reader(iter(sample)) if row)
    return rows


def form_of(sample: Sequence[str], separators: str = _SEPARATORS) -> Form:
    """Return the form in which the most records of the sample have as many fields as the first one.

    sample are whole lines. Without a separator that fits, each record is one field.
    """
    best, best_score = Form(NO_SEPARATOR), (0.05, 0)
    for separator in separators:
        for form in _forms(separator, any('\\"' in line for line in sample)):
            rows = rows_of(sample, form)
            if not rows or len(rows[0]) < 2:
                continue
            same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
            # A quote that nothing closes swallows lines: then fewer records would seem to fit better.
            same *= min(1.0, len(rows) / max(1, len(sample) * 0.02))
            score = (round(same, 3), len(rows[0]))
            if score > best_score:
                best, best_score = form, score
    return best


def _forms(separator: str, has_escapes: bool) -> list[Form]:
    """Return the forms to try, the usual one first."""
    escaped = [Form(separator, csv.QUOTE_MINIMAL, "\\")] if has_escapes else []
    return [Form(separator), *escaped, Form(separator, csv.QUOTE_NONE)]


def sample_of(job: Job) -> list[str]:
    """Return the whole lines of a file's head."""
    text = decoded(job.head, job.encoding)
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    lines = [line for line in lines if line]
    if len(lines) > 1 and len(job.head) >= (1 << 18):
        lines.pop()  # cut
    return lines


class Columns:
    """Which columns of a table hold what."""

    def __init__(self, names: list[str], wanted: list[int], key: int | None, is_chosen: bool) -> None:
        self.names = names
        self.paths = [(name,) for name in names]
        self.wanted = wanted  # empty: every column is looked at
        self.key = key
        self.is_chosen = is_chosen  # by URL_COLUMNS, or because it alone holds URLs


class Table:
    """The records of a CSV or TSV file."""

    def __init__(self, job: Job, separators: str, columns: str, key_column: str) -> None:
        """Raise UsageError when the header lacks what URL_COLUMNS or KEY_COLUMN names."""
        self._job = job
        self._sample = sample_of(job)
        named = _NAMES_SEPARATOR.fullmatch(self._sample[0]) if self._sample else None
        if named:
            separators = named[1]
            del self._sample[0]
        self._first_rows = int(named is not None)  # that are no records
        self.form = form_of(self._sample, separators)
        rows = rows_of(self._sample[: _SAMPLE * 5], self.form)[:_SAMPLE]
        self.has_header = bool(rows) and not any(_SCHEME.match(cell) for cell in rows[0])
        width = len(rows[0]) if rows else 0
        self._first_rows += self.has_header
        names = [name.strip("\ufeff \t\r\n") for name in rows[0]] if self.has_header else _numbers(width)
        self._expression = Expression(columns, "URL_COLUMNS") if is_expression(columns, names) else None
        wanted = [columns] if columns in names else list(split(columns))
        self._columns = self._find(names, rows, [] if self._expression else wanted, key_column)

    def _find(self, names: list[str], rows: list[list[str]], wanted: list[str], key: str) -> Columns:
        places = [self._place(names, name, "URL_COLUMNS") for name in wanted]
        key_place = self._place(names, key, "KEY_COLUMN") if key else None
        if places or self._expression:
            return Columns(names, places, key_place, True)
        body = rows[1:] if self.has_header else rows
        with_urls = [at for at in range(len(names)) if any(_SCHEME.match(_cell(row, at)) for row in body)]
        if not all(self._job.picker.is_expected(_cell(row, at)) for row in body for at in with_urls):
            with_urls = []
        with_images = [
            at
            for at in range(len(names))
            if image_fields.names_images((names[at],))
            or any(image_fields.is_image_url(url) for row in body for url in found_in(_cell(row, at)).urls)
        ]
        only = image_fields.column_of_images(names, with_urls, with_images)
        return Columns(names, [] if only is None else [only], key_place, only is not None)

    def _place(self, names: list[str], name: str, setting: str) -> int:
        if name in names:
            return names.index(name)
        if name.isdigit() and 1 <= int(name) <= len(names):
            return int(name) - 1
        folded = [other.strip().lower() for other in names]
        if folded.count(name.strip().lower()) == 1:
            return folded.index(name.strip().lower())
        shown = ", ".join(repr(other) for other in names[:40])
        guess = nearest(name, names)
        raise UsageError(
            f"{setting}: {self._job.stream.name} has no column {name!r}"
            + (f"; did you mean {guess!r}?" if guess else ".")
            + (
                f" Its columns are {shown}."
                if self.has_header
                else f" It has no header: name columns by number, 1 to {len(names)}."
            )
        )

    def __iter__(self) -> Iterator[Record]:
        job, _columns, picker = self._job, self._columns, self._job.picker
        lines = Lines(job.stream, job.encoding, job.head)
        is_resumed = lines.has_offsets and job.start.offset > 0
        if is_resumed:
            job.stream.skip_to(job.start.offset)
        number = job.start.records if is_resumed else 0
        first_rows = 0 if is_resumed else self._first_rows
        picker.wanted.found.update(picker.wanted.names)
        picker.keys.found.update(picker.keys.names)
        rows = self.form.reader(iter(lines))
        while True:
            last, lines.recent = lines.recent, []
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise Unreadable(f"record {number + 1:,} cannot be read: {error}") from error
            if row is None:
                break
            if not row or first_rows:
                first_rows -= bool(row and first_rows)
                continue
            number += 1
            if number <= job.start.records:
                continue
            yield Record(
                self._urls(row, number),
                lines.offset if lines.has_offsets else 0,
                self._doubt(row, number, len(lines.recent)),
            )
        if self._has_open_quote(last):
            raise Unreadable(f"record {number:,}, the last one, has a quote that is never closed")

    def _doubt(self, row: list[str], number: int, lines: int) -> str:
        """Return what is wrong with a record over several lines whose number of fields does not fit."""
        width = len(self._columns.names)
        if lines < 2 or len(row) == width:
            return ""
        return f"record {number:,} has {len(row)} fields, not {width}, and is {lines} lines long: is a quote missing?"

    def _has_open_quote(self, lines: list[str]) -> bool:
        """Return whether the last record, of several lines, ends within quotes."""
        if self.form.quoting == csv.QUOTE_NONE or len(lines) < 2 or self.form.escape:
            return False
        return sum(line.count('"') for line in lines) % 2 == 1

    def _urls(self, row: list[str], number: int) -> list[Any]:
        columns, picker = self._columns, self._job.picker
        urls: list[Any] = []
        if self._expression or picker.builder.has_template:
            record = dict(zip(columns.names, row))
            value = self._expression.find(record).values if self._expression else record
            for text in _texts(picker.builder.urls(value, number) if picker.builder.has_template else value):
                picker.take_wanted((), text, urls)
        elif columns.wanted:
            for at in columns.wanted:
                picker.take_wanted(columns.paths[at], _cell(row, at), urls)
        else:
            for at, text in enumerate(row):
                if at != columns.key and ("." in text or "/" in text):
                    picker.take(columns.paths[at] if at < len(columns.paths) else (str(at + 1),), text, urls)
        if columns.key is not None:
            return picker.named(urls, _cell(row, columns.key))
        return urls


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in what an expression finds; "" for null."""
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is None or isinstance(value, (bool, dict)):
        yield ""
    else:
        yield str(value)


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


class PlainList:
    """A file with a URL a line; a line that begins with # is a comment."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __iter__(self) -> Iterator[Record]:
        job = self._job
        lines = Lines(job.stream, job.encoding, job.head)
        can_seek = lines.has_offsets and job.start.offset > 0
        if can_seek:
            job.stream.skip_to(job.start.offset)
        skipped = 0 if can_seek else job.start.records
        for number, line in enumerate(lines, 1):
            lines.recent.clear()
            if number <= skipped:
                continue
            text = line.strip()
            urls: list[Any] = []
            if text and not text.startswith("#"):
                self._take(text, urls)
            yield Record(urls, lines.offset if lines.has_offsets else 0)

    def _take(self, text: str, urls: list[Any]) -> None:
        """Append the URL of a line; a line with several is for the caller to reject."""
        found = found_in(text)
        if len(found.urls) > 1:
            urls.append(text)
        else:
            self._job.picker.take_wanted((), text, urls)
