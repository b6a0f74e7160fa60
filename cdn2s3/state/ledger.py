"""The ledger, completed.txt and failed_transfers.txt: its records, and their lines.

The first field is the exact line of urls.txt; lines.py defines what a field may contain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Callable, NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import CAUSES
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.keys import KEY_FIELD, KeyMaker, ObjectId
from cdn2s3.records import LOCAL, OURS, S3, UNKNOWN
from cdn2s3.state.files import AppendFile
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.lines import encode, line_of, whole_lines
from cdn2s3.text import redact

_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_TAIL = 64 * 1024  # bytes
_DIGITS = 18  # of a number: a size in bytes, a count of attempts


class Completed(NamedTuple):
    """A line of completed.txt: an object that has been proven. Rows of older versions end with finished_at."""

    url: str
    key: str
    size: str  # bytes
    etag: str  # without quotes
    md5: str  # 32 hex digits; "-" if not computed
    media_type: str  # "-" where unknown (an adopted object)
    finished_at: str  # UTC, ISO 8601
    how: str = UNKNOWN  # how the object came to be there: records.STORED … ADOPTED
    source_etag: str = UNKNOWN  # of the response with the body, as received: with quotes, and W/
    source_modified: str = UNKNOWN  # its Last-Modified, as received
    place: str = UNKNOWN  # records.S3 or LOCAL; in an older row run_binding.first_place() says it

    @property
    def is_ours(self) -> bool:
        """Whether nothing but this tool's own object is at the key, so that it may be renewed or removed."""
        return self.how in OURS


_OLDER = Completed._fields.index("how")  # how many fields rows of older versions have


class Failed(NamedTuple):
    """A line of failed_transfers.txt: a URL that was tried and not completed."""

    url: str  # its line of the input: a field key=NAME comes last in the file
    cause: str  # a name in errors.CAUSES
    attempts: str  # how often it was tried
    message: str
    failed_at: str  # UTC, ISO 8601


def decode_line(line: bytes) -> str:
    """Return a line of any input as text, bytes that are not UTF-8 as surrogates."""
    return line.decode("utf-8", "surrogateescape")


def encode_line(url: str) -> bytes:
    """Return the line whose text decode_line gives."""
    return url.encode("utf-8", "surrogateescape")


def completed(line: bytes) -> Completed | None:
    """Return the record in a line of completed.txt, of eleven fields or of seven, or None if there is none."""
    return Completed(*decode_line(line).split("\t")) if completed_fields(line) else None


def failed(line: bytes) -> Failed | None:
    """Return the record in a line of failed_transfers.txt, or None if there is none."""
    fields = line.split(b"\t")
    if len(fields) == len(Failed._fields) + 1 and fields[-1].startswith(KEY_FIELD.encode()):
        fields[0] += b"\t" + fields.pop()
    return Failed(*map(decode_line, fields)) if _is_record(fields, len(Failed._fields)) else None


def completed_fields(line: bytes) -> list[bytes]:
    """Return the fields of a line of completed.txt as completed() takes them, undecoded; [] if it isn't a record.

    They are eleven, or seven in a row of an older version.
    """
    fields = line.split(b"\t")
    count = _OLDER if len(fields) == _OLDER else len(Completed._fields)
    return fields if _is_record(fields, count) else []


def says_the_same(row: list[bytes], before: list[bytes]) -> bool:
    """Return whether two rows (completed_fields) say the same of their object, if not of its source or the time."""
    return row[: _OLDER - 1] == before[: _OLDER - 1] and _how(row) == _how(before)


def place_in(row: list[bytes], older_place: str = S3) -> str:
    """Return the place of a row (completed_fields): records.S3 or LOCAL, older_place where it does not say it."""
    return {LOCAL.encode(): LOCAL, S3.encode(): S3}.get(row[-1], older_place)


def row_id(keys: KeyMaker, row: list[bytes], older_place: str) -> bytes:
    """Return what a row (completed_fields) is the record of: an object at a place, which place_in() finds."""
    return keys.record_id(*row[:2]) + b"\t" + place_in(row, older_place).encode()


def _how(row: list[bytes]) -> bytes:
    return row[_OLDER] if len(row) > _OLDER else UNKNOWN.encode()


def _is_record(fields: list[bytes], count: int) -> bool:
    """Return whether fields are a record of count fields: a line of the input first, a number third."""
    return len(fields) == count and fields[0] != b"" and fields[2].isdigit() and len(fields[2]) <= _DIGITS


def timestamp(seconds: float) -> str:
    """Return a time in seconds since the epoch as UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(_TIMESTAMP)


@lru_cache(maxsize=1024)  # rows that follow each other have the same second
def seconds_of(text: str) -> int | None:
    """Return the seconds since the epoch of what timestamp() returns; None for any other text."""
    try:
        moment = datetime.strptime(text, _TIMESTAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0, int(moment.timestamp()))


def failure(line: str, cause: str, attempts: int, message: str, now: float) -> Failed:
    """Return the record of a line's URL that failed at now (seconds since the epoch), secrets redacted."""
    return Failed(line, cause, str(attempts), redact(message), timestamp(now))


def failed_line(line: str, cause: str, attempts: int, message: str, now: float) -> bytes:
    """Return the line of failed_transfers.txt for a line's URL that failed at now (seconds since the epoch)."""
    return encode(failure(line, cause, attempts, message, now))


class Ledger:
    """The two files of the ledger, open for appending; shared by all workers of a process."""

    def __init__(self, state_dir: Path) -> None:
        """Raise FatalError when they cannot be opened."""
        self.completed = AppendFile(state_dir / COMPLETED_FILE)
        self.failed = AppendFile(state_dir / FAILED_FILE)

    def record(self, record: Completed | Failed) -> None:
        """Append record to its file; raise FatalError unless it is written completely."""
        file = self.completed if isinstance(record, Completed) else self.failed
        file.append(encode(record))

    def record_all(self, records: Iterable[Completed | Failed]) -> None:
        """Append records, one write for each file; raise FatalError unless each of them is written completely."""
        lines: dict[bool, list[bytes]] = {True: [], False: []}
        for record in records:
            lines[isinstance(record, Completed)].append(encode(record))
        for is_completed, file in ((True, self.completed), (False, self.failed)):
            if lines[is_completed]:
                file.append(b"".join(lines[is_completed]))


def last_completed(path: Path) -> Iterator[Completed]:
    """Yield the records in the last _TAIL bytes of completed.txt, oldest first; none where there is no file."""
    size = path.stat().st_size if path.exists() else 0
    lines = whole_lines(path, max(0, size - _TAIL))
    if size > _TAIL:
        next(lines, None)  # its beginning may be missing
    for line in lines:
        record = completed(line)
        if record is not None:
            yield record


def last_rows(
    path: Path, keys: KeyMaker, among: Fingerprints | None = None, older_place: str = UNKNOWN
) -> Iterator[Completed]:
    """Yield the last record of each URL, key and place in completed.txt, in the order of the file, in two passes.

    among are the objects (KeyMaker.object_id) that are wanted, None: all of them. A row of an older version gets
    older_place (run_binding.first_place). Memory: 20 bytes a row that is wanted.
    """
    last = Numbered()
    for number, line in enumerate(whole_lines(path)):
        fields = completed_fields(line)
        if fields and (among is None or keys.record_id(*fields[:2]) in among):
            last[row_id(keys, fields, older_place)] = number
    for number, line in enumerate(whole_lines(path)):
        fields = completed_fields(line)
        if fields and last.get(row_id(keys, fields, older_place)) == number:
            record = Completed(*map(decode_line, fields))
            yield record if len(fields) > _OLDER else record._replace(place=older_place)


def records(path: Path, start: int = 0) -> Iterator[Failed]:
    """Yield the records of path from byte offset start; skip lines that are not records."""
    for line in whole_lines(path, start):
        record = failed(line)
        if record is not None:
            yield record


def rebuild(
    path: Path,
    is_settled: Callable[[bytes], bool],
    on_kept: Callable[[Failed], object] | None = None,
    object_id: ObjectId = bytes,
    is_obsolete: Callable[[Failed], bool] = lambda record: False,
) -> Counter[str]:
    """Rewrite path with the last record of each object that is not settled; return the count of each cause.

    is_settled returns whether a line has been completed or will be recorded again, is_obsolete whether a record is
    no longer true; on_kept gets each record that stays. Raise FatalError when the disk does not take it; path is
    then unchanged.
    """
    causes: Counter[str] = Counter()
    if not path.exists():
        return causes
    last = Numbered()
    for number, line in enumerate(whole_lines(path)):
        if failed(line) is not None:
            last[object_id(line_of(line))] = number
    with replacing(path) as file:
        for number, line in enumerate(whole_lines(path)):
            record = failed(line)
            if record is None:
                continue
            source = line_of(line)
            if last.get(object_id(source)) != number or is_settled(source) or is_obsolete(record):
                continue
            file.write(line + b"\n")
            causes[record.cause] += 1
            if on_kept is not None:
                on_kept(record)
    return causes


def urls_in(path: Path, cause: str = "", object_id: ObjectId = bytes) -> Fingerprints:
    """Return the objects that the lines of path were to become, or those that failed for cause."""
    urls = Fingerprints()
    for record in records(path):
        if not cause or record.cause == cause:
            urls.add(object_id(encode_line(record.url)))
    return urls


def transient(path: Path, start: int) -> Iterator[Failed]:
    """Yield the records of path from byte offset start whose cause is transient."""
    return (
        record for record in records(path, start) if record.cause in CAUSES and CAUSES[record.cause].transient
    )
