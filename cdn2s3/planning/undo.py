"""An undo: which rows of completed.txt it is about, what becomes of each, and that it is not forgotten half-way.

Only what is ours is ever removed. unfinished_undo.txt remembers an undo from its first moment to its last, with the
lines that it was given; undone.txt says what is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import cannot_write, replacing, sync_folder
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.file_names import COMPLETED_FILE, UNDO_FILE, UNDONE_FILE
from cdn2s3.keys import KeyMaker
from cdn2s3.planning import redo
from cdn2s3.planning.redo import keep_only
from cdn2s3.planning.undo_scope import Scope
from cdn2s3.records import ADOPTED, FOUND, OURS, RENEWED, REPLACED, STORED, UNKNOWN
from cdn2s3.state import ledger, undone
from cdn2s3.state.files import AppendFile
from cdn2s3.state.key_index import Numbered
from cdn2s3.state.ledger import Completed, completed_fields, encode_line, row_id, timestamp
from cdn2s3.state.lines import numbered_records, whole_lines
from cdn2s3.state.undone import UndoneRows


class Step(Enum):
    """What an undo does with an object."""

    REMOVE = "removed"
    GO_BACK = "set back to the version below, where the bucket keeps versions"
    # These stay:
    ALREADY_THERE = "were there before the move"
    ADOPTED = "adopted from a listing, so not known to be ours"
    OLDER = "rows of an older version, which do not say whether the object is ours"
    ELSEWHERE = "not in the destination that DESTINATION names now"
    NO_ETAG = "recorded without an ETag, so there is nothing to compare"
    NEWER = "changed again since that delta"

    @property
    def stays(self) -> bool:
        return self not in (Step.REMOVE, Step.GO_BACK)


_STEPS = {FOUND: Step.ALREADY_THERE, ADOPTED: Step.ADOPTED, STORED: Step.REMOVE, REPLACED: Step.GO_BACK}


class Asked(NamedTuple):
    """What an undo was asked for; as JSON the first line of unfinished_undo.txt."""

    file: str  # as it was named; "": all rows
    since: int | None  # only rows that were written from then on, in seconds since the epoch
    began_at: int  # likewise
    newest: int | None = (
        None  # when the newest row was written then: later ones are none of it; None: not begun
    )

    @property
    def text(self) -> str:
        parts = [self.file or "all that was stored"]
        if self.since is not None:
            parts.append(f"since {timestamp(self.since)}")
        return " ".join(parts)


# --- what it is about


class Chosen(NamedTuple):
    """A row that an undo is about."""

    row: Completed
    step: Step


def chosen_rows(
    state_dir: Path, keys: KeyMaker, asked: Asked, scope: Scope, places: Sequence[str], older_place: str
) -> Iterator[Chosen]:
    """Yield the last row of each object that the undo is about and that is not undone yet.

    places are where the objects of today's DESTINATION are, older_place where those of rows of older versions are.
    Raise FatalError when a file cannot be read.
    """
    done = None if asked.newest is None else undone.ObjectsSince(state_dir, asked.began_at)
    before = UndoneRows(state_dir) or None
    for row in ledger.last_rows(state_dir / COMPLETED_FILE, keys, None, older_place):
        if not _is_within(row.finished_at, asked):
            continue
        if before is not None and before.has([encode_line(field) for field in row]):
            continue
        if done is not None and row in done:
            continue
        object_id = keys.record_id(encode_line(row.url), encode_line(row.key))
        if scope.has(object_id):
            yield Chosen(row, _step(row, asked, scope, object_id, places))


def _is_within(finished_at: str, asked: Asked) -> bool:
    """Return whether a row is old enough, and new enough; one with an unreadable time is old."""
    at = ledger.seconds_of(finished_at) or 0
    return (asked.newest is None or at <= asked.newest) and (asked.since is None or at >= asked.since)


def goes_back(asked: Asked, scope: Scope) -> bool:
    """Return whether an undo takes renewed objects back to what they were before, not away."""
    return asked.since is not None or scope.is_of_changes


def _step(row: Completed, asked: Asked, scope: Scope, object_id: bytes, places: Sequence[str]) -> Step:
    if row.how == RENEWED:
        step = Step.GO_BACK if goes_back(asked, scope) else Step.REMOVE
    else:
        step = _STEPS.get(row.how, Step.OLDER)
    if step.stays:
        return step
    if row.place not in places:
        return Step.ELSEWHERE
    if row.etag == UNKNOWN:
        return Step.NO_ETAG
    if scope.is_of_changes and row.how not in (RENEWED, REPLACED):
        return Step.NEWER  # no delta's row says `stored`: the image has been moved again since
    return step if scope.has_content(object_id, row.md5) else Step.NEWER


# --- remembering it


def open_undo(state_dir: Path) -> Asked | None:
    """Return the undo that is not finished, None if there is none; raise FatalError when its file is damaged."""
    path = state_dir / UNDO_FILE
    header = next(whole_lines(path), None)
    if header is None and not path.exists():
        return None
    try:
        return Asked(**json.loads(header or b""))
    except (ValueError, TypeError, RecursionError) as error:
        raise FatalError(
            f"{path} cannot be read. It remembers an undo that is not finished: delete it, then run "
            f"`{command('migrate.py', '--undo')}` to see what is left to undo."
        ) from error


def begin(state_dir: Path, asked: Asked, lines: Iterable[bytes]) -> None:
    """Remember an undo with the lines that it was given; raise FatalError when the disk does not take it."""
    with replacing(state_dir / UNDO_FILE) as out:
        out.write(json.dumps(asked._asdict()).encode() + b"\n")
        for line in lines:
            out.write(line + b"\n")


def lines_of(state_dir: Path) -> Iterator[bytes]:
    """Yield the lines that the open undo was given."""
    lines = whole_lines(state_dir / UNDO_FILE)
    next(lines, None)
    return lines


def refuse_while_open(state_dir: Path, option: str) -> None:
    """Raise UsageError while an undo is not finished: option would change the rows that it goes by."""
    if (asked := open_undo(state_dir)) is not None:
        raise UsageError(
            f"the undo of {asked.text} is not finished, and {option} would change what it is about. Finish it first: "
            f"`{command('migrate.py', '--undo', '--yes')}`."
        )


def reminder(state_dir: Path) -> str | None:
    """Return what to say of an undo that is not finished, None if there is none."""
    asked = open_undo(state_dir)
    if asked is None:
        return None
    done = len(undone.ObjectsSince(state_dir, asked.began_at))
    return (
        f"the undo of {asked.text} is not finished: {done:,} objects are undone and count as not moved. "
        f"`{command('migrate.py', '--undo', '--yes')}` goes on with it."
    )


def open_work(state_dir: Path, keys: KeyMaker) -> list[str]:
    """Return what to say of a redo and of an undo that are not finished; [] where there is neither."""
    return [said for said in (redo.reminder(state_dir, keys), reminder(state_dir)) if said]


def settle(state_dir: Path, keys: KeyMaker, asked: Asked, older_place: str) -> None:
    """Append the lines of undone.txt that a kill has left out, of objects whose older version is recorded already.

    Else the version that shows again would be taken for one more to undo. Such a row follows that of a renewal, and is
    no newer. older_place is where the objects of rows of older versions are. Raise FatalError when the disk does not
    take it.
    """
    done = undone.ObjectsSince(state_dir, asked.began_at)
    lines, last = numbered_records(state_dir / COMPLETED_FILE), Numbered()
    left: list[Completed] = []
    for _, batch in lines.batches():
        for number, line in batch:
            if not (fields := completed_fields(line)):
                continue
            object_id = row_id(keys, fields, older_place)
            before, row = last.get(object_id), ledger.completed(line)
            last[object_id] = number
            older = None if before is None else ledger.completed(lines[before])
            if row and older and _went_back(older, row) and older not in done:
                left.append(older)
    if left:
        file = AppendFile(state_dir / UNDONE_FILE)
        try:
            for row in left:
                undone.append(file, row, UNKNOWN)
        finally:
            file.close()


def _went_back(older: Completed, newer: Completed) -> bool:
    """Return whether the later row of an object is of the version below that of the older one."""
    if older.how != RENEWED or newer.how not in OURS or older.etag == newer.etag:
        return False
    return (ledger.seconds_of(newer.finished_at) or 0) <= (ledger.seconds_of(older.finished_at) or 0)


def forget_superseded(state_dir: Path, keys: KeyMaker, older_place: str) -> None:
    """Rewrite completed.txt without rows that a newer row of the same object supersedes; keep the old one as .bak.

    older_place is where the objects of rows of older versions are.

    Else such a row would count again as soon as the newer one is undone. Raise FatalError when the disk does not take
    it.
    """
    path, last = state_dir / COMPLETED_FILE, Numbered()
    for number, line in enumerate(whole_lines(path)):
        if fields := completed_fields(line):
            last[row_id(keys, fields, older_place)] = number
    kept = bytearray()
    for number, line in enumerate(whole_lines(path)):
        fields = completed_fields(line)
        kept.append(not fields or last.get(row_id(keys, fields, older_place)) == number)
    if 0 in kept:
        keep_only(path, kept)


def finish(state_dir: Path) -> None:
    """Rewrite completed.txt without the rows that are undone, keep the old one as .bak, and forget the undo.

    Raise FatalError when the disk does not take it.
    """
    path, rows = state_dir / COMPLETED_FILE, UndoneRows(state_dir)
    kept = bytearray()
    for line in whole_lines(path):
        fields = completed_fields(line)
        kept.append(not (fields and rows.has(fields)))
    if 0 in kept:
        keep_only(path, kept)
    try:
        (state_dir / UNDO_FILE).unlink()
        sync_folder(state_dir)
    except OSError as error:
        raise cannot_write(state_dir / UNDO_FILE, error) from error
