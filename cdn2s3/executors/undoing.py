"""The undoing of one object: the request, its attempts, and its line in undone.txt at once."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from cdn2s3.destinations.base import Found
from cdn2s3.destinations.removal import NO_VERSION, UNDONE, Below, Fate, Removal, Remover
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.planning.undo import Chosen, Step
from cdn2s3.records import RENEWED, STORED, UNKNOWN
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.state import undone
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import Completed, seconds_of, timestamp
from cdn2s3.state.lines import encode

log = logging.getLogger(__name__)


class Undoing(NamedTuple):
    """What has come of one object."""

    chosen: Chosen
    removal: Removal | None  # None: every attempt has failed
    failure: str = ""  # why
    may_pass: bool = False  # True: another attempt, later, may work
    undone_at: int = 0  # seconds since the epoch, as undone.txt says; 0: it stays

    @property
    def is_undone(self) -> bool:
        return self.removal is not None and self.removal.fate in UNDONE


class Undoer:
    """Undo single objects; one for all workers."""

    def __init__(
        self,
        remover: Remover,
        attempts: Attempts,
        completed: AppendFile,
        undone_file: AppendFile,
        timeout: float,
        stop: threading.Event,
        is_again: bool,
    ) -> None:
        """timeout is in seconds, of one attempt; is_again is True where this undo was begun before."""
        self._remover = remover
        self._attempts = attempts
        self._completed = completed
        self._undone_file = undone_file
        self._timeout = timeout
        self._stop = stop
        self._is_again = is_again

    def undo(self, chosen: Chosen) -> Undoing:
        """Undo one object and record it; raise Cancelled, or FatalError when every object would fail."""
        row = chosen.row
        try:
            removal = self._attempts.result_of(lambda: self._removal(chosen))
        except TransientError as error:
            return Undoing(chosen, None, error.message, may_pass=error.cause != "throttled")
        except PermanentError as error:
            return Undoing(chosen, None, error.message)
        if removal.fate not in UNDONE:
            log.debug("%s stays: %s %s", row.url, removal.fate.value, removal.said)
            return Undoing(chosen, removal)
        # What shows again is recorded first: killed between the two, no row names an object that is not there.
        if removal.below is not None and row.how == RENEWED:
            self._completed.append(encode(_row_of(row, removal.below)))
        at = undone.append(self._undone_file, row, removal.version or NO_VERSION)
        return Undoing(chosen, removal, undone_at=at)

    def _removal(self, chosen: Chosen) -> Removal:
        row, deadline = chosen.row, Deadline(self._timeout, self._stop)
        ours = Found(row.key, int(row.size), row.etag, "" if row.md5 == UNKNOWN else row.md5)
        if chosen.step is Step.GO_BACK:
            written_at = seconds_of(row.finished_at) or 0
            return self._remover.go_back(ours, written_at, deadline, self._is_again)
        return self._remover.remove(ours, deadline, covers_ours=row.how == RENEWED)


def _row_of(row: Completed, below: Below) -> Completed:
    """Return the row of the object that shows again below the one of row, which was ours as well.

    Its ETag is taken for its MD5 only where that of row is known to be one: some stores' ETags only look like it.
    """
    return Completed(
        row.url,
        row.key,
        str(below.size),
        below.etag,
        below.etag if below.etag_is_md5 and row.etag == row.md5 else UNKNOWN,
        below.media_type or row.media_type,
        timestamp(below.modified),
        STORED if below.is_first else RENEWED,
        place=row.place,
    )


# Fates that leave the object where it is, for people.
STAYED = {
    Fate.CHANGED: "changed since: other content is at the key",
    Fate.NOTHING_BELOW: "no version below to go back to",
    Fate.REFUSED: "refused by the destination",
}
