"""The contract of undoing: an object of ours is removed, or goes back to the version below, and nobody else's is.

s3/removal.py and local_removal.py implement Remover; factory.py opens the one that the settings select.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from cdn2s3.destinations.base import Found, Note
from cdn2s3.http.deadline import Deadline

NO_VERSION = "-"  # where an object has none


class Fate(Enum):
    """What has become of an object that was to be undone."""

    REMOVED = "removed"
    ABSENT = "gone already"
    HIDDEN = "hidden"  # a delete marker covers it: its bytes stay in the bucket
    WENT_BACK = "went back"  # the version below it shows again
    CHANGED = "changed since"  # other content is at the key: it stays
    NOTHING_BELOW = "no version below"  # there is nothing to go back to: it stays
    REFUSED = "refused"  # it stays


BILLED = "their bytes stay in the bucket, and are billed, until a lifecycle rule for noncurrent versions removes them"
UNDONE = frozenset({Fate.REMOVED, Fate.ABSENT, Fate.HIDDEN, Fate.WENT_BACK})


class Below(NamedTuple):
    """The version that shows again."""

    size: int  # bytes
    etag: str  # without quotes
    modified: float  # seconds since the epoch: when it was stored
    is_first: bool  # True: nothing was there before it
    media_type: str  # "" if unknown
    etag_is_md5: bool


class Removal(NamedTuple):
    """What has become of one object."""

    fate: Fate
    version: str = NO_VERSION  # the one that was deleted; `marker:ID` for a delete marker
    said: str = ""  # why it was refused: the store's own words, or what is missing
    below: Below | None = None  # what shows again


class Remover(Protocol):
    """Undo single objects. One for the run, shared by all its threads."""

    def prepare(self) -> list[Note]:
        """Find out what the destination honors, from the main thread; return what that means for the undo.

        Raise FatalError when it does not respond, or refuses everything.
        """

    def remove(self, ours: Found, deadline: Deadline, covers_ours: bool = False) -> Removal:
        """Remove the object that is ours, where size and ETag say that it still is.

        covers_ours is True where it was written over an older object of ours, which must not show again. Raise
        TransientError, PermanentError or FatalError.
        """

    def go_back(self, ours: Found, written_at: int, deadline: Deadline, is_again: bool) -> Removal:
        """Remove the version that is ours, so that the version below it shows again; raise as remove().

        written_at is when it was written, in seconds since the epoch. is_again is True where an undo before may have
        removed it without a record.
        """

    def is_up(self) -> bool:
        """Return whether the destination responds: one short attempt. Raise FatalError; never TransientError."""
