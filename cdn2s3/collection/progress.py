"""The progress bar of a collection: share of the source read, URLs per second, ETA, duplicates, rejected URLs."""

from __future__ import annotations

import os
import sys
import time
from typing import Callable, NoReturn, TextIO

from tqdm import tqdm

from cdn2s3.collection.base import Progress
from cdn2s3.collection.checkpoint import Counts
from cdn2s3.collection.summary import of_all, share, time_left
from cdn2s3.console.progress import Figure, Rate, fitting, has_room
from cdn2s3.text import duration, pluralize

_DRAW_EVERY = 0.25  # seconds
_LEAST_ETA = 5.0  # seconds
_BAR = "{percentage:5.1f}%|{bar}| {desc}"
_NO_BAR = "{percentage:5.1f}% {desc}"
_NO_TOTAL = "{desc}"


class CollectionBar:
    """Draw counts on a terminal, and nothing elsewhere; used by the main thread alone. Close it at the end."""

    def __init__(
        self,
        before: Counts,
        expected: int | None,
        console: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at before; expected is EXPECTED_TOTAL, used if the API reports no total."""
        self._console = console or sys.stderr
        self._urls_before = before.urls
        self._counts = before
        self._progress: Progress | None = None
        self._expected = expected
        self._rate = Rate(clock)
        self._clock = clock
        self._drawn_at = float("-inf")
        self._bar: tqdm[NoReturn] | None = None
        if self._console.isatty():
            self._bar = tqdm(total=1, file=self._console, bar_format=_NO_TOTAL, ncols=self._columns())
            self.show(before)

    def _columns(self) -> int:
        """Return how many columns a line may have: one less than there are, for the cursor."""
        try:
            return (os.get_terminal_size(self._console.fileno()).columns or 80) - 1
        except OSError:
            return 79

    def show(self, counts: Counts, progress: Progress | None = None) -> None:
        """Draw counts, a few times a second at most; progress is what the source says of itself."""
        self._counts, self._progress = counts, progress
        self._rate.mark(counts.urls - self._urls_before, 0)
        if self._bar is not None and self._clock() - self._drawn_at >= _DRAW_EVERY:
            self._drawn_at = self._clock()
            self._draw(self._bar, counts)

    def _draw(self, bar: tqdm[NoReturn], counts: Counts) -> None:
        progress = self._progress
        done, total, what = share(counts, self._expected, progress)
        speed = self._rate.now()
        figures = figures_of(counts, self._expected, None if speed is None else speed.files, progress)
        bar.n, bar.total, bar.ncols = min(done, total or 1), total or 1, self._columns()
        count = f"{done:,}/{total:,} {what}" if total else f"{done:,} {what}"
        if progress is not None and progress.what == "bytes":
            count = f"{counts.urls:,} URLs, {of_all(progress)}"
        figures.insert(0, Figure(0, count))
        room = bar.ncols - (len("100.0% ") if total else 0)
        bar.bar_format = _NO_TOTAL if not total else _BAR if has_room(figures, room) else _NO_BAR
        bar.set_description_str(fitting(figures, room))

    def close(self) -> None:
        """Leave the bar with the last counts."""
        if self._bar is not None:
            self._draw(self._bar, self._counts)
            self._bar.close()


def figures_of(
    counts: Counts, expected: int | None, per_second: float | None, progress: Progress | None = None
) -> list[Figure]:
    """Return the text after the count; per_second is the rate of new URLs, None until it is meaningful."""
    figures = []
    if per_second is not None:
        figures.append(Figure(3, f"{per_second:,.0f} URLs/s"))
        left = time_left(counts, expected, per_second, progress)
        if left is not None and left >= _LEAST_ETA:
            figures.append(Figure(1, f"ETA {duration(left)}"))
    figures.append(Figure(4, pluralize(counts.duplicates, "duplicate")))
    figures.append(Figure(2, f"{counts.rejected:,} rejected"))
    return figures
