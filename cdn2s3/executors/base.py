"""Know which URLs are on their way, for the person who waits for the last of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Callable, NamedTuple

_SHOWN = 3  # of the slowest
_SLOW = 5.0  # seconds after which a transfer is worth a word


class Underway(NamedTuple):
    """What is on its way at this moment."""

    uploads: int = 0  # attempts that the bucket is at
    slowest: tuple[tuple[float, str], ...] = ()  # seconds and URL of those over _SLOW, the slowest first

    def __str__(self) -> str:
        """Say which transfers are slow, "" for none."""
        return ", ".join(f"{seconds:.0f} s {_name(url)}" for seconds, url in self.slowest)


def together(parts: Iterable[Underway]) -> Underway:
    """Add up what is on its way in several processes."""
    parts = list(parts)
    slowest = sorted((one for part in parts for one in part.slowest), reverse=True)
    return Underway(sum(part.uploads for part in parts), tuple(slowest[:_SHOWN]))


class Times:
    """When each transfer began; a worker begins and ends its own, any thread may look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}

    def begin(self, url: str) -> None:
        self._began[url] = self._clock()

    def end(self, url: str) -> None:
        self._began.pop(url, None)

    def slowest(self) -> tuple[tuple[float, str], ...]:
        """Return what Underway.slowest holds."""
        now = self._clock()
        # A copy is one step: workers begin and end meanwhile.
        slow = ((now - began, url) for url, began in self._began.copy().items() if now - began >= _SLOW)
        return tuple(sorted(slow, reverse=True)[:_SHOWN])


def _name(url: str) -> str:
    """Return the end of a URL's path, which tells images apart."""
    path = url.partition("?")[0].partition("#")[0]
    return "/".join(path.rstrip("/").rsplit("/", 2)[-2:])
