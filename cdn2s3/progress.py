"""Show how far a run is: one bar on a terminal, else a log line now and then. No ETA that means nothing."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from typing import Callable, NamedTuple, TextIO

from tqdm import tqdm

log = logging.getLogger(__name__)

_WINDOW = 60.0  # seconds of the past that the rate is taken from
_SETTLED = 5.0  # seconds until a rate means something
_LINE_EVERY_FILES = 1000
_LINE_EVERY_SECONDS = 60.0
_MB = 1_000_000


class Count(NamedTuple):
    """How far the run is."""

    ended: int  # URLs with a result, of those that this run has to do
    size: int  # bytes stored
    failed: int
    error_rate: float  # of the last 1,000 URLs


class Rate:
    """The rate over the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int, int]] = deque([(clock(), 0, 0)])

    def mark(self, files: int, size: int) -> None:
        """Note the counts of this moment; at most one mark a second is kept."""
        now = self._clock()
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, files, size))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()

    def now(self, files: int, size: int) -> tuple[float, float] | None:
        """Return files and bytes a second; None while they mean nothing yet."""
        began, files_then, size_then = self._marks[0]
        seconds = self._clock() - began
        if seconds < _SETTLED:
            return None
        return (files - files_then) / seconds, (size - size_then) / seconds


class Progress:
    """Show the counts of a run of total URLs; used by the main thread alone."""

    def __init__(self, total: int, console: TextIO | None = None) -> None:
        self._total = total
        self._console = console or sys.stderr
        self._rate = Rate()
        self._said_files = 0
        self._said_at = time.monotonic()
        self._bar = (
            tqdm(total=total, unit=" files", file=self._console, dynamic_ncols=True, bar_format=_BAR)
            if self._console.isatty()
            else None
        )

    def show(self, count: Count, note: str = "") -> None:
        """Show count and a note (what limits, what is waited for); call it a few times a second."""
        self._rate.mark(count.ended, count.size)
        rate = self._rate.now(count.ended, count.size)
        if self._bar is not None:
            self._bar.n = count.ended
            self._bar.set_postfix_str(_figures(count, rate, self._total, note), refresh=True)
        now = time.monotonic()
        if count.ended - self._said_files >= _LINE_EVERY_FILES or now - self._said_at >= _LINE_EVERY_SECONDS:
            self._said_files = count.ended - count.ended % _LINE_EVERY_FILES
            self._said_at = now
            self._say(count, rate, note)

    def _say(self, count: Count, rate: tuple[float, float] | None, note: str) -> None:
        share = 100 * count.ended / self._total if self._total else 100.0
        log.info(
            "%d of %d (%.1f %%), %s",
            count.ended,
            self._total,
            share,
            _figures(count, rate, self._total, note, f", error rate {100 * count.error_rate:.1f} %"),
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


_BAR = "{percentage:5.1f}%|{bar}| {n_fmt}/{total_fmt} {postfix}"


def _figures(count: Count, rate: tuple[float, float] | None, total: int, note: str, more: str = "") -> str:
    speed, eta = "", ""
    if rate is not None:
        speed = f"{rate[0]:.0f} files/s, {rate[1] / _MB:.1f} MB/s, "
        if rate[0] > 0:
            eta = f"ETA {duration((total - count.ended) / rate[0])}, "
    return f"{speed}{eta}failed {count.failed}{more}{'; ' + note if note else ''}"


def duration(seconds: float) -> str:
    """Return seconds as a person says it: 45 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
