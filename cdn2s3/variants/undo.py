"""`variants.py --undo`: delete the variants that are ours, while they are what we stored; nothing else, ever.

A line UNDONE is appended for each one that is gone; the last line counts, so that none is taken for done. While an
undo is not finished, a file says so: between a deletion and its line, a kill leaves a line that is not true any more.
Undone once more, its object is gone already.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import cannot_write, replacing, sync_folder
from cdn2s3.destinations.base import Found
from cdn2s3.destinations.removal import UNDONE as GONE
from cdn2s3.destinations.removal import Fate, Removal, Remover
from cdn2s3.errors import Cancelled, FatalError, PermanentError, TransientError
from cdn2s3.file_names import VARIANTS_UNDO_FILE
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import FOUND, OURS, RENEWED, REPLACED, STORED
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.lines import encode
from cdn2s3.variants.maker import variant_key
from cdn2s3.variants.record import SMALLER, UNDONE, Variant, Variants

MOST_REFUSALS = 10  # in a row, before anything is deleted: no other one would be
_STAYS = {FOUND: "was there before", REPLACED: "was put over an object that was not ours"}
_NO_VARIANT = "its key is none of a variant"

KEPT = frozenset({STORED, RENEWED, FOUND, REPLACED, SMALLER})  # in variants.txt after an undo


class Selection(NamedTuple):
    """What an undo would do."""

    objects: int  # to delete
    size: int  # their bytes
    stays: Counter[str]  # objects that stay, by the reason
    nothing: int  # lines without an object, which are forgotten


NOTHING = Selection(0, 0, Counter(), 0)


def selected(variants: Variants, size: str | None) -> Iterator[Variant]:
    """Yield the records that an undo of size is about, of all sizes if it is None."""
    return (row for row in variants.all() if row.how != UNDONE and size in (None, row.size))


def why_it_stays(row: Variant, prefix: str) -> str:
    """Return why the object of a record is not deleted, "" if it is; prefix is DESTINATION_PREFIX."""
    if row.how in _STAYS:
        return _STAYS[row.how]
    is_original = bool(prefix) and row.variant_key.startswith(prefix)
    is_variant = row.variant_key.endswith(variant_key("", row.size, row.key)) and not is_original
    return "" if is_variant else _NO_VARIANT


def selection(variants: Variants, size: str | None, prefix: str) -> Selection:
    """Return what an undo of size would do; contact nothing."""
    count = total = nothing = 0
    stays: Counter[str] = Counter()
    for row in selected(variants, size):
        why = "" if row.how == SMALLER else why_it_stays(row, prefix)
        if row.how == SMALLER:
            nothing += 1
        elif why:
            stays[why] += 1
        else:
            count += 1
            total += int(row.bytes)
    return Selection(count, total, stays, nothing)


class Undone(NamedTuple):
    """The outcome of one variant."""

    row: Variant
    is_gone: bool
    why: str = ""  # it stays
    is_hidden: bool = False  # by a delete marker


class Undo:
    """Delete variants; shared by all workers."""

    def __init__(
        self,
        settings: MigrationSettings,
        remover: Remover,
        attempts: Attempts,
        journal: AppendFile,
        stop: threading.Event,
    ) -> None:
        """remover is prepared."""
        self._settings = settings
        self._remover = remover
        self._attempts = attempts
        self._journal = journal
        self._stop = stop
        self._counting = threading.Lock()
        self._refused = 0  # in a row, while nothing has been deleted
        self._deleted_any = False

    def undo(self, row: Variant) -> Undone | None:
        """Delete the object of row and record that; return the outcome, None if the run is stopping.

        Raise FatalError where nothing at all may be deleted.
        """
        if row.how in OURS:
            why = why_it_stays(row, self._settings.destination_prefix)
            if why:
                return Undone(row, False, why)
            done = self._deleted(row)
            if done is None or not done.is_gone:
                return done
        elif row.how != SMALLER:
            return Undone(row, False, _STAYS[row.how])
        else:
            done = Undone(row, True)
        self._journal.append(encode(row._replace(at=timestamp(time.time()), how=UNDONE)))
        return done

    def _deleted(self, row: Variant) -> Undone | None:
        try:
            if self._stop.is_set():
                raise Cancelled
            removal = self._attempts.result_of(lambda: self._removal(row))
        except Cancelled:
            return None
        except (PermanentError, TransientError) as error:
            return Undone(row, False, error.message)
        if removal.fate in GONE:
            with self._counting:
                self._deleted_any |= removal.fate is not Fate.ABSENT
            return Undone(row, True, is_hidden=removal.fate is Fate.HIDDEN)
        if removal.fate is Fate.REFUSED:
            self._count_refusal(removal.said)
        return Undone(row, False, removal.said or removal.fate.value)

    def _removal(self, row: Variant) -> Removal:
        ours, deadline = (
            Found(row.variant_key, int(row.bytes), row.etag),
            Deadline(self._settings.upload_timeout),
        )
        return self._remover.remove(ours, deadline, covers_ours=row.how == RENEWED)

    def _count_refusal(self, why: str) -> None:
        with self._counting:
            self._refused += 1
            if self._refused >= MOST_REFUSALS and not self._deleted_any:
                raise FatalError(
                    f"the bucket refuses to delete: {why}. Grant s3:DeleteObject and s3:GetObject on VARIANTS_PREFIX, "
                    "or lift the lock, then run the same command again: it goes on."
                )


# --- the file that says that an undo is not finished ---


def unfinished(state_dir: Path) -> str | None:
    """Return the size whose undo is not finished, "" for all sizes, None where there is none."""
    path = state_dir / VARIANTS_UNDO_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FatalError(f"cannot read {path}: {error}. Correct its permissions, then try again.") from error


def begin(state_dir: Path, size: str | None) -> None:
    """Note on the disk that an undo begins; raise FatalError."""
    with replacing(state_dir / VARIANTS_UNDO_FILE) as file:
        file.write(f"{size or ''}\n".encode())


def end(state_dir: Path) -> None:
    """Note on the disk that the undo is finished; raise FatalError."""
    path = state_dir / VARIANTS_UNDO_FILE
    try:
        path.unlink(missing_ok=True)
        sync_folder(state_dir)
    except OSError as error:
        raise cannot_write(path, error) from error
