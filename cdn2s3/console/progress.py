"""Progress of a run: one bar on a terminal, else a log line now and then. No meaningless ETA."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Callable, NamedTuple, NoReturn, TextIO, TypeVar

from tqdm import tqdm

from cdn2s3.text import MB, duration

log = logging.getLogger(__name__)

_WINDOW = 60.0  # seconds that the rate is averaged over
_SETTLED = 5.0  # seconds until a rate is meaningful
_DRAW_EVERY = 0.25  # seconds: faster is flicker, and bytes over SSH
_LINE_EVERY_FILES = 1000
_LINE_EVERY_SECONDS = 60.0
_SHORTEST_BAR = 10  # columns, with the strokes at its ends
_BAR = "{percentage:5.1f}%|{bar}| {n:,}/{total:,}{postfix}"
_NO_BAR = "{percentage:5.1f}% {n:,}/{total:,}{postfix}"  # if the figures need the bar's columns
COUNTED = "{l_bar}{bar}| {n:,}/{total:,} [{elapsed}<{remaining}, {rate_fmt}]"  # a bar without our figures


class Count(NamedTuple):
    """The progress of a run."""

    ended: int  # URLs with a result, of those that this run has to do
    size: int  # bytes stored
    failed: int
    error_rate: float  # of the last 1,000 URLs
    for_good: int = 0  # of the failed, those that do not count toward the error rate (404 and the like)


class Speed(NamedTuple):
    """Average per second over the last minute."""

    files: float
    size: float  # bytes


class Rate:
    """The rate over the last minute; it moves once a second, so that an ETA can be read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int, int]] = deque([(clock(), 0, 0)])
        self._speed: Speed | None = None

    def mark(self, files: int, size: int) -> None:
        """Note the counts of this moment; at most one mark a second is kept."""
        now = self._clock()
        if now - self._marks[-1][0] < 1:
            return
        self._marks.append((now, files, size))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        began, files_then, size_then = self._marks[0]
        seconds = now - began
        if seconds >= _SETTLED:
            self._speed = Speed(max(0.0, (files - files_then) / seconds), max(0, size - size_then) / seconds)

    def now(self) -> Speed | None:
        """Return files and bytes per second; None until they are meaningful."""
        return self._speed


class Progress:
    """Show the counts of a run of total URLs; used by the main thread alone. Close it at the end.

    The bar and the lines are of the job: it has before URLs that are done when the run begins, and all_urls in all
    (None: before and total). The rate and the ETA are of the run. While there is a bar, log records for the
    console are written above it.
    """

    def __init__(
        self,
        total: int,
        console: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        before: int = 0,
        all_urls: int | None = None,
    ) -> None:
        self._total = total
        self._before = before
        self._all = before + total if all_urls is None else all_urls
        self._console = console or sys.stderr
        self._clock = clock
        self._rate = Rate(clock)
        self._said_files = 0
        self._said_at = clock()
        self._drawn_at = float("-inf")
        self._closing = ExitStack()
        self._bar = self._drawn() if self._console.isatty() else None

    def _drawn(self) -> tqdm[NoReturn]:
        bar: tqdm[NoReturn] = tqdm(
            total=self._all,
            initial=self._before,
            file=self._console,
            ncols=self._columns(),
            bar_format=_BAR,
            leave=True,
        )
        self._closing.callback(bar.close)
        self._closing.enter_context(above_a_bar(self._console))
        return bar

    def _columns(self) -> int:
        """Return how many columns a line may have: one less than there are, for the cursor."""
        try:
            return (os.get_terminal_size(self._console.fileno()).columns or 80) - 1
        except OSError:
            return 79

    def show(self, count: Count, note: str = "") -> None:
        """Show count and a note (what limits the run, what it waits for); call it a few times per second."""
        self._rate.mark(count.ended, count.size)
        now = self._clock()
        if self._bar is not None:
            self._draw(self._bar, count, note, now)
        if count.ended - self._said_files >= _LINE_EVERY_FILES or now - self._said_at >= _LINE_EVERY_SECONDS:
            self._said_files = count.ended - count.ended % _LINE_EVERY_FILES
            self._said_at = now
            self._say(count, note)

    def _draw(self, bar: tqdm[NoReturn], count: Count, note: str, now: float) -> None:
        bar.n = self._before + count.ended
        bar.ncols = self._columns()
        figures = _figures(count, self._rate.now(), self._total, note)
        counts = len(f"100.0% {self._all:,}/{self._all:,}")
        bar.bar_format = _BAR if has_room(figures, bar.ncols - counts) else _NO_BAR
        bar.set_postfix_str(fitting(figures, bar.ncols - counts), refresh=False)
        if now - self._drawn_at >= _DRAW_EVERY:
            self._drawn_at = now
            bar.refresh()

    def _say(self, count: Count, note: str) -> None:
        done = self._before + count.ended
        share = 100 * done / self._all if self._all else 100.0
        figures = [*_rate_figures(count, self._rate.now(), self._total), _failed(count)]
        parts = [figure.text for figure in figures]
        if count.for_good:
            parts[-1] += f" ({count.for_good:,} permanent)"
        parts.append(f"{'transient ' if count.for_good else ''}error rate {100 * count.error_rate:.1f}%")
        if note:
            parts.append(note)
        log.info("%s of %s (%.1f%%), %s", f"{done:,}", f"{self._all:,}", share, ", ".join(parts))

    @property
    def speed(self) -> Speed | None:
        """Files and bytes per second over the last minute; None until they are meaningful."""
        return self._rate.now()

    def seconds_left(self, count: Count) -> float | None:
        """Return when the run will have done all its URLs, in seconds from now; None while that is unknown."""
        return _seconds_left(count, self.speed, self._total)

    def close(self) -> None:
        """Leave the bar as it is; log records take their usual path again."""
        self._closing.close()


@contextmanager
def above_a_bar(console: TextIO) -> Iterator[None]:
    """Write log records above the bar on console, but no progress lines: the bar already shows that.

    The log file has the lines. Without a terminal there is no bar, and nothing changes.
    """
    if not console.isatty():
        yield
        return
    from tqdm.contrib.logging import (
        logging_redirect_tqdm,
    )  # it imports asyncio, for nothing without a terminal

    with logging_redirect_tqdm():
        for handler in logging.getLogger().handlers:
            if getattr(handler, "stream", None) is console:
                handler.addFilter(_is_not_progress)
        yield


def say(line: str) -> None:
    """Log a progress line."""
    log.info("%s", line)


def _is_not_progress(record: logging.LogRecord) -> bool:
    return record.name != __name__


class Figure(NamedTuple):
    """A part of the line."""

    rank: int  # the highest is dropped first if there is not enough room
    text: str


def _figures(count: Count, speed: Speed | None, total: int, note: str) -> list[Figure]:
    """Return the parts of the line, in order."""
    figures = [*_rate_figures(count, speed, total), _failed(count)]
    return [*figures, Figure(0, note)] if note else figures


def _failed(count: Count) -> Figure:
    return Figure(2, f"failed {count.failed:,}")


def _rate_figures(count: Count, speed: Speed | None, total: int) -> list[Figure]:
    """Return the rates and the ETA, as far as they are known."""
    figures = []
    if speed is not None:
        figures += [Figure(3, f"{speed.files:,.0f} files/s"), Figure(4, f"{speed.size / MB:.1f} MB/s")]
        left = _seconds_left(count, speed, total)
        if left is not None and left >= _SETTLED:  # the last seconds depend on the slowest, not on the rate
            figures.append(Figure(1, f"ETA {duration(left)}"))
    return figures


def _seconds_left(count: Count, speed: Speed | None, total: int) -> float | None:
    return None if speed is None or speed.files <= 0 else (total - count.ended) / speed.files


def has_room(figures: Sequence[Figure], columns: int) -> bool:
    """Return whether columns have room for all figures and a bar: the bar is dropped before a figure."""
    return _width(figures) + _SHORTEST_BAR <= columns


def _width(figures: Iterable[Figure]) -> int:
    return sum(len(figure.text) + 2 for figure in figures)


def fitting(figures: Sequence[Figure], columns: int) -> str:
    """Return the figures that columns have room for, each after ", "; the last one left is cut short."""
    left = list(figures)
    while len(left) > 1 and _width(left) > columns:
        left.remove(max(left))
    text = ", ".join(figure.text for figure in left)
    room = max(0, columns - 2)
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


_KEYS_A_LINE = 100_000  # keys between log lines of a listing
SAY_EVERY = 5.0  # seconds; a shorter step logs nothing


Line = TypeVar("Line")


def log_progress(
    step: str, placed: Iterable[tuple[int, Line]], end: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, Line]]:
    """Yield placed, pairs of a place and its content, and log the progress of the step every few seconds.

    Places go from 0 to end, in whatever unit: bytes of a file, or numbers of its lines.
    """
    said_at = clock()
    for pair in placed:
        now = clock()
        if now - said_at >= SAY_EVERY:
            said_at = now
            log.info("%s: %.0f%%", step, min(100.0, 100 * pair[0] / max(end, 1)))
        yield pair


def listed_pages(pages: Iterable[list[Line]], total: int) -> Iterator[list[Line]]:
    """Yield pages and show how many of about total keys they contain: a bar on a terminal, and log lines."""
    began, keys, said = time.monotonic(), 0, 0
    with ExitStack() as stack:
        bar = stack.enter_context(
            tqdm(total=total, unit=" keys", bar_format=COUNTED, disable=None, dynamic_ncols=True)
        )
        stack.enter_context(above_a_bar(sys.stderr))
        for page in pages:
            yield page
            keys += len(page)
            bar.update(len(page))
            if keys - said >= _KEYS_A_LINE:
                said = keys - keys % _KEYS_A_LINE
                say(f"{keys:,} keys listed, {keys / (time.monotonic() - began):,.0f} per second")
    log.info("%s keys listed", f"{keys:,}")


def counted_checks(
    checks: Iterable[Line],
    total: int,
    clock: Callable[[], float] = time.monotonic,
    step: str = "spot check",
) -> Iterator[Line]:
    """Yield checks and show how many of total they are: a bar on a terminal, and a log line every few seconds.

    step is what they are, for people.
    """
    said_at = clock()
    with ExitStack() as stack:
        bar = stack.enter_context(
            tqdm(
                total=total,
                desc=step,
                unit=" images",
                bar_format=COUNTED,
                disable=None,
                dynamic_ncols=True,
            )
        )
        stack.enter_context(above_a_bar(sys.stderr))
        for number, check in enumerate(checks, 1):
            yield check
            bar.update(1)
            if clock() - said_at >= SAY_EVERY:
                said_at = clock()
                say(f"{step}: {number:,} of {total:,} images")
