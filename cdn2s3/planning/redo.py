"""A redo: completed URLs are transferred again, and nothing is forgotten before the new object is there.

unfinished_redo.txt remembers it from its first moment to its last: which lines it has, and how long completed.txt
was when it began. What was appended since belongs to it: the last row of a URL counts. So a redo that was stopped
has lost nothing, and goes on where it was.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import cannot_write, replacing, sync_folder
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import Destination, Found, ReadRefused
from cdn2s3.errors import RESUME, FatalError, TransientError
from cdn2s3.file_names import COMPLETED_FILE, REDO_FILE
from cdn2s3.http.deadline import Deadline
from cdn2s3.keys import KeyMaker
from cdn2s3.records import HOWS, UNKNOWN, Recorded
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped, with_retries
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import ledger, run_binding
from cdn2s3.state.files import size_of
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.ledger import Completed, completed, completed_fields, encode_line, says_the_same
from cdn2s3.state.lines import NumberedLines, numbered_records, whole_lines

LOOKERS = 16  # threads that send a HEAD: as in a validation


class OpenRedo(NamedTuple):
    """A redo that has begun and is not finished."""

    file: str  # as it was named with --redo
    completed_bytes: int  # length of completed.txt when it began


def open_redo(state_dir: Path) -> OpenRedo | None:
    """Return the redo that is not finished, None if there is none; raise FatalError when its file is damaged."""
    path = state_dir / REDO_FILE
    header = next(whole_lines(path), None)
    if header is None and not path.exists():
        return None
    try:
        return OpenRedo(**json.loads(header or b""))
    except (ValueError, TypeError, RecursionError) as error:
        raise FatalError(
            f"{path} cannot be read. It remembers a redo that is not finished: delete it, then run "
            f"`{command('validate.py')}` to see what is left to do."
        ) from error


def begin(state_dir: Path, file: str, lines: Iterable[bytes]) -> None:
    """Remember a redo of lines of the input, which file names; raise FatalError when the disk does not take it."""
    opened = OpenRedo(file, size_of(state_dir / COMPLETED_FILE))
    with replacing(state_dir / REDO_FILE) as out:
        out.write(json.dumps(opened._asdict()).encode() + b"\n")
        for line in lines:
            out.write(line + b"\n")


def lines_of(state_dir: Path) -> Iterator[bytes]:
    """Yield the lines of the open redo."""
    lines = whole_lines(state_dir / REDO_FILE)
    next(lines, None)
    return lines


def objects(state_dir: Path, keys: KeyMaker) -> Fingerprints:
    """Return all objects of the open redo."""
    found = Fingerprints()
    for line in lines_of(state_dir):
        found.add(keys.object_id(line))
    return found


def objects_left(state_dir: Path, keys: KeyMaker, opened: OpenRedo) -> Fingerprints:
    """Return the objects of the open redo that have no new row yet."""
    done = Fingerprints()
    for line in whole_lines(state_dir / COMPLETED_FILE, opened.completed_bytes):
        if fields := completed_fields(line):
            done.add(keys.record_id(*fields[:2]))
    left = Fingerprints()
    for line in lines_of(state_dir):
        if (object_id := keys.object_id(line)) not in done:
            left.add(object_id)
    return left


class RedoneRows:
    """The last rows of the objects that a run does again, each read in its turn; for one thread at a time."""

    def __init__(self, keys: KeyMaker, numbers: Numbered, lines: NumberedLines) -> None:
        """numbers are those of the rows among lines, by object_id."""
        self._keys = keys
        self._numbers = numbers
        self._lines = lines

    def of(self, line: str) -> Recorded | None:
        """Return what the row of a line says, None if it has none; raise FatalError when it cannot be read."""
        number = self._numbers.get(self._keys.object_id(encode_line(line)))
        if number is None:
            return None
        try:
            row = completed(self._lines[number])
        except OSError as error:
            raise FatalError(
                f"cannot read {self._lines.path} anymore: {error.strerror or error}. Check the disk, then {RESUME}."
            ) from error
        return None if row is None else Recorded(row.how if row.how in HOWS else UNKNOWN, row.etag)


def reminder(state_dir: Path, keys: KeyMaker) -> str | None:
    """Return what to say of a redo that is not finished, None if there is none."""
    opened = open_redo(state_dir)
    if opened is None:
        return None
    left = len(objects_left(state_dir, keys, opened))
    return (
        f"the redo of {opened.file} is not finished, {left:,} URLs are left; what was recorded before counts "
        f"until then. `{command('migrate.py', '--redo')}` goes on with it."
    )


def lost_objects(
    settings: MigrationSettings,
    keys: KeyMaker,
    destination: Destination,
    failed: Fingerprints,
) -> Fingerprints:
    """Return which objects of failed are gone, or are not what the last row of their URL says.

    An object that the destination does not show (its permission, an outage) keeps its row.
    """
    stop = threading.Event()
    place = run_binding.first_place(settings)
    rows = ledger.last_rows(settings.state_dir / COMPLETED_FILE, keys, failed, place)

    def look(row: Completed) -> tuple[Completed, bool]:
        return row, _is_there(settings, destination, row, stop)

    lost = Fingerprints()
    with fan_out(look, rows, LOOKERS, stop) as looks:
        for row, is_there in looks:
            if not is_there:
                lost.add(keys.record_id(encode_line(row.url), encode_line(row.key)))
    return lost


def _is_there(
    settings: MigrationSettings, destination: Destination, row: Completed, stop: threading.Event
) -> bool:
    """Return whether the object that row records is there still, as far as the destination shows it."""

    def head() -> Found | None:
        return destination.head(row.key, Deadline(settings.upload_timeout, stop))

    try:
        found = with_retries(head, RetryPolicy(settings.max_retries), unless_stopped(stop))
    except (ReadRefused, TransientError):
        return True
    if found is None or found.size != int(row.size):
        return False
    return UNKNOWN in (row.etag, found.etag or UNKNOWN) or row.etag == found.etag


def finish(state_dir: Path, keys: KeyMaker, lost: Fingerprints) -> None:
    """Forget the redo, and the rows that it leaves without a meaning.

    These are those of lost objects, those that a new row supersedes, and new rows that say the same as the one
    before: a redo that met its own bytes keeps the row. completed.txt is replaced at once, and the old one kept as
    .bak. Raise FatalError when the disk does not take it.
    """
    opened = open_redo(state_dir)
    if opened is None:
        return
    kept = _kept_rows(state_dir / COMPLETED_FILE, keys, opened, lost)
    if 0 in kept:
        keep_only(state_dir / COMPLETED_FILE, kept)
    try:
        (state_dir / REDO_FILE).unlink()
        sync_folder(state_dir)
    except OSError as error:
        raise cannot_write(state_dir / REDO_FILE, error) from error


def _kept_rows(path: Path, keys: KeyMaker, opened: OpenRedo, lost: Fingerprints) -> bytearray:
    """Return for each line of completed.txt whether it stays: 1 or 0."""
    chosen = objects(path.parent, keys)
    lines, last, kept, place = numbered_records(path), Numbered(), bytearray(), 0
    for _, batch in lines.batches():
        for number, line in batch:
            is_new = place >= opened.completed_bytes
            place += len(line) + 1
            fields = completed_fields(line)
            row = keys.record_id(*fields[:2]) if fields else b""
            stays = row not in lost
            if stays and row in chosen:
                before = last.get(row) if is_new else None
                stays = before is None or not says_the_same(fields, completed_fields(lines[before]))
                if stays:
                    last[row] = number
                    if before is not None:
                        kept[before] = False
            kept.append(stays)
    return kept


def keep_only(path: Path, kept: bytearray) -> None:
    """Replace path with its lines for which kept is not 0, its last content kept as .bak; raise FatalError."""
    # .bak is in place first: no row is removed without a backup
    with replacing(path) as file, replacing(path.with_name(path.name + ".bak")) as backup:
        for line, stays in zip(whole_lines(path), kept):
            backup.write(line + b"\n")
            if stays:
                file.write(line + b"\n")
