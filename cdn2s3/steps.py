"""Say how far a long step through a file of millions of lines is, now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Callable, TypeVar

log = logging.getLogger(__name__)

SAY_EVERY = 5.0  # seconds; a step that takes less says nothing
_LOOK_EVERY = 1 << 14  # lines between two looks at the clock: some ten milliseconds

Line = TypeVar("Line")


def told(
    step: str, placed: Iterable[tuple[int, Line]], end: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, Line]]:
    """Yield placed, pairs of a place and a line, and log every few seconds how far the step is.

    Places go from 0 to end, in whatever unit: bytes of a file, or numbers of its lines.
    """
    said_at, look = clock(), _LOOK_EVERY
    for pair in placed:
        look -= 1
        if not look:
            look, now = _LOOK_EVERY, clock()
            if now - said_at >= SAY_EVERY:
                said_at = now
                log.info("%s: %.0f %%", step, min(100.0, 100 * pair[0] / max(end, 1)))
        yield pair
