"""What a source of URLs gives at a time: a page of the API, or a lot file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Position(Protocol):
    """Where a source stands: what to read next. `str()` names it for people."""

    def _asdict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps of it."""


class Batch(NamedTuple):
    """What a source gave."""

    urls: list[Any]  # as they came: not validated; None where there is an item without a URL
    following: Any  # the Position after it; None: this was the last one
    items: int = 0  # what is compared with the API's total
    without_url: int = 0  # items that gave no URL
    total: int | None = None  # how many items there are, says the API; None where it does not say
    unreadable: int = 0  # lot files that could not be read


class UrlSource(Protocol):
    """Gives URLs batch by batch, from any Position on."""

    def first(self) -> Any:
        """Return the Position to begin at."""

    def resume(self, stored: Mapping[str, Any]) -> Any:
        """Return the Position in a checkpoint.

        Raise ValueError when it holds none, UsageError when the source is not what it was then.
        """

    def read(self, position: Any) -> Batch:
        """Return what is at position; raise FatalError when the source does not give it."""

    def check_circle(self, position: Any, stale: int) -> None:
        """Raise FatalError when it goes on for ever: the last `stale` batches gave only known URLs."""
