"""When the next attempt may be made: the wait after a failure, what Retry-After asks for, a steady rate.

Bandwidth and TokenBucket get their clock; TokenBucket its sleep too.
"""

from __future__ import annotations

import random
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Callable

_CATCH_UP = 0.1  # seconds; what waits and scheduling lose is made up for, but no more
_LOOK_EVERY = 0.5  # seconds between two looks at the stop flag
LONGEST_WAIT = 60.0  # seconds; a server that asks for a day is asked again after a minute


def backoff(failures: int, draw: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after the failures-th failure in a row (from 1): 1, 2, 4 … up to 60.

    The jitter takes up to half of it away, so that workers which failed together do not return together.
    """
    wait = min(LONGEST_WAIT, 2.0 ** min(failures - 1, 10))  # an outage counts thousands of failures
    return wait * (1 - draw() / 2)


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds a Retry-After header asks for, 0 to LONGEST_WAIT; None when absent or garbage.

    header is a number of seconds or an HTTP date (RFC 9110, 10.2.3); now is in seconds since the epoch.
    """
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(LONGEST_WAIT, float(header))
    try:
        date = parsedate_to_datetime(header)
        if date.tzinfo is None:  # the old asctime form names no zone: HTTP dates are in UTC
            date = date.replace(tzinfo=timezone.utc)
        asked = date.timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(LONGEST_WAIT, max(0.0, asked))
