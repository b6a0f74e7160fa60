"""The interface of a source of URLs, which returns one batch at a time: a page of the API, or a lot file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from cdn2s3.collection.notes import Note
from cdn2s3.errors import FatalError


class Position(Protocol):
    """A position in a source: what to read next. `str()` describes it for people."""

    def _asdict(self) -> dict[str, Any]:
        """Return the fields that the checkpoint stores."""


class Ending(NamedTuple):
    """How a source came to its end."""

    said: str  # what was seen there: "page 3 names no next page"
    evidence: str = (
        ""  # why that is the end, as a clause; empty: it is not evidence, only a total can confirm the end
    )
    refusal: FatalError | None = None  # what it is if nothing confirms the end; None: a doubt
    doubts: tuple[str, ...] = ()  # what speaks against the list whatever confirms its end, a sentence each


class Verdict(NamedTuple):
    """What a finished collection is worth."""

    evidence: str  # what confirms the end, as a clause; empty: nothing does
    doubts: tuple[str, ...]  # why the list may be incomplete, a sentence each


class Progress(NamedTuple):
    """How much of a source has been read."""

    done: int
    total: int
    what: str  # bytes, sitemaps


class Batch(NamedTuple):
    """One batch from a source."""

    urls: list[Any]  # unmodified and not validated; None for an item without a URL
    following: Any  # the Position after it; None: this was the last one
    items: int = 0  # what is compared with the API's total
    without_url: int = 0  # items without a URL
    total: int | None = None  # the API's total number of items; None if it reports none
    unreadable: int = 0  # lot files, or parts of other files, that could not be read
    progress: Progress | None = None  # None: unknown
    notes: Mapping[str, Note] = {}  # what was done to the URLs, by what it is called
    blank: int = 0  # items of a page on which no item has a URL
    lost: int = 0  # items of a list whose details are not there
    open_ends: int = 0  # items whose details ended without evidence
    ending: Ending | None = None  # with following None: how the source ended; None: every part of it was read
    begins_again: bool = False  # following is the beginning: what was counted so far will come again
    ending_if_new: Ending | None = None  # the ending instead, where most of these URLs are in no batch before

    def ended(self, new: int) -> Ending | None:
        """Return how the source ended; new is how many of the URLs were in no batch before."""
        is_surprise = self.ending_if_new is not None and 2 * new > len(self.urls)
        return self.ending_if_new if is_surprise else self.ending


class UrlSource(Protocol):
    """Return URLs batch by batch, from any Position on."""

    def first(self) -> Any:
        """Return the Position to start at."""

    def resume(self, stored: Mapping[str, Any]) -> Any:
        """Return the Position in a checkpoint.

        Raise ValueError if it has none, UsageError if the source has changed since then.
        """

    def read(self, position: Any) -> Batch:
        """Return the batch at position; raise FatalError when the source does not deliver it."""

    def check_circle(self, position: Any, stale: int) -> None:
        """Raise FatalError when the source loops forever: the last `stale` batches had only known URLs."""
