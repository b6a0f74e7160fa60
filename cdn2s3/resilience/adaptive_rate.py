"""The rate that an endpoint allows, found from what it lets through and what it throttles.

Additive increase and multiplicative decrease, second by second, as CUBIC does it for the packets of TCP (RFC 9438)
and the adaptive retry mode of the AWS SDKs for requests (botocore, retries/throttling.py), with these differences:

- A cut is as deep as the share of attempts that was throttled asks for (as in DCTCP, RFC 8257), so a store that
  throttles one in a hundred while it spreads its load is not slowed down for it.
- Growth is relative to the rate, so that 5 a second and 3,000 are found equally fast, and it begins with slow start.
- Where half the rate is throttled as often as the whole was, the rate is not the reason, and stays as it was.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

SECOND = (
    1.0  # stores count by the second: what is throttled in the one of a cut says nothing about the new rate
)
LEAST_RATE = 1.0  # attempts a second while nothing gets through
DEEPEST_CUT = 0.2  # of the rate; CUBIC cuts by 0.3, always
RECOVERY = 6.0  # seconds in which growth makes up for the deepest cut; then it slowly goes beyond
UNUSED_AFTER = 60.0  # seconds without anybody waiting for it, after which the limit is pointless
TOLERATED = 0.02  # share of attempts that may be throttled without a cut
MOST_TOLERATED = 0.25  # the same in slow start, and at most where slowing down does not help
_TOO_SLOW = 4 * LEAST_RATE  # attempts a second that show too little to end slow start
_NOTICED = 0.05  # seconds; a shorter wait is no sign that the rate limits anybody
_CATCH_UP = 0.02  # seconds; delays by scheduling are made up for, up to this
_GROWTH = DEEPEST_CUT / RECOVERY**3
_SHOWN = 10  # seconds that allowed() averages over


class AdaptiveRate:
    """Space attempts at the rate that an endpoint allows; it exists from the first throttled attempt on.

    Who wants to begin an attempt takes a place in the queue, waits until it is due, and begins. Points in time are
    those of one monotonic clock, in seconds. Not thread-safe: its owner holds a lock.
    """

    def __init__(self, begun: int, now: float) -> None:
        """Begin with a second of silence, to see what is let through of the begun attempts of the second before now.

        The attempt that was throttled at now is one of them.
        """
        self.rate = float(max(begun, 1))  # attempts a second
        self._tolerated = TOLERATED
        self._in_slow_start = True  # doubling each second, until too many are throttled
        self._first_cut: _Cut | None = None  # of those since the last second without one
        self._ceiling = self.rate  # what got through before the last cut: growth is slowest there
        self._has_stalled = False  # nothing got through in the last second
        self._growing_for = self._recovery = 0.0  # seconds since the last cut; until the ceiling is reached
        self._places = self._begun = 0  # in the queue: handed out, and used
        self._next_at = now + SECOND  # when the first in the queue may begin
        self._used_at = self._throttled_at = (
            now  # when somebody had to wait, or was throttled, for the last time
        )
        self._measured_at: float | None = now + SECOND  # the end of the silence; None: it is over
        self._counts_from = float("-inf")  # attempts that began earlier show nothing about the rate
        self._second_began = now
        self._passed, self._throttled = self.rate - 1, 1  # of the attempts that count, in this second
        self._through = 0  # attempts that got through, in all
        self._marks: deque[tuple[float, int]] = deque(maxlen=_SHOWN + 1)  # times, and _through then

    # --- the queue

    def due_in(self, place: int | None, now: float) -> float:
        """Return the seconds until the attempt with this place may begin (None: a new one); 0 or less: now."""
        self._end_silence(now)
        ahead = max(0, (self._places if place is None else place) - self._begun)
        return self._next_at + ahead / self.rate - now

    def queue(self, now: float) -> int:
        """Take a place in the queue: begin() or leave() gives it back."""
        if self.due_in(None, now) > _NOTICED:
            self._used_at = now
        self._places += 1
        return self._places - 1

    def begin(self, place: int | None, now: float) -> None:
        """Note that an attempt begins, whose place (None: a new one) is due."""
        self._places += place is None
        self._begun += 1
        self._next_at = max(self._next_at, now - _CATCH_UP) + 1 / self.rate

    def leave(self) -> None:
        """Give back a place without an attempt."""
        self._begun += 1

    def is_unused(self, now: float) -> bool:
        """Return whether nobody has had to wait, or was throttled, for so long that the limit is pointless."""
        return now - max(self._used_at, self._throttled_at) > UNUSED_AFTER

    def allowed(self, now: float) -> float | None:
        """Return the attempts a second that got through lately; None unless it is the rate that limits them."""
        if len(self._marks) < 2 or now - self._used_at > _SHOWN / 2:
            return None
        (began, before), (ended, then) = self._marks[0], self._marks[-1]
        return (then - before) / (ended - began)

    # --- the results

    def succeeded(self, began_at: float, now: float) -> None:
        """Count an attempt that got through, which began at began_at."""
        self._end_silence(now)
        self._through += 1
        if self._measured_at is None and began_at >= self._counts_from:
            self._passed += 1
            self._end_second(now)

    def throttled(self, began_at: float, now: float) -> bool:
        """Count an attempt that was throttled, which began at began_at; return whether nothing gets through now."""
        self._end_silence(now)
        self._throttled_at = now
        if self._measured_at is not None:
            self._passed, self._throttled = max(0, self._passed - 1), self._throttled + 1
            return False
        if began_at < self._counts_from:
            return False
        self._throttled += 1
        nothing = not self._passed and now - self._second_began >= SECOND
        self._end_second(now)
        return nothing

    def _end_silence(self, now: float) -> None:
        if self._measured_at is not None and now >= self._measured_at:
            self._measured_at = None
            self.rate = self._ceiling = max(LEAST_RATE, (1 - DEEPEST_CUT) * self._passed)
            self._counts_from = now
            self._begin_second(now)

    def _end_second(self, now: float) -> None:
        """Adapt the rate to what this second has shown, once it is over."""
        seconds = now - self._second_began
        if seconds < SECOND:
            return
        self._marks.append((now, self._through))
        share = self._throttled / (self._passed + self._throttled)
        if share > (MOST_TOLERATED if self._in_slow_start else self._tolerated):
            self._cut(share, self._passed / seconds)
            self._counts_from = now + SECOND
        else:
            self._first_cut = None
            if self._places > self._begun:  # else nobody waits, and this shows nothing about a higher rate
                self._grow(min(seconds, 2 * SECOND))
        self._has_stalled = not self._passed
        self._begin_second(max(now, self._counts_from))

    def _grow(self, seconds: float) -> None:
        if self._in_slow_start:
            self.rate = self._ceiling = 2 * self.rate
            return
        self._growing_for += seconds
        grown = self._ceiling * (1 + _GROWTH * (self._growing_for - self._recovery) ** 3)
        self.rate = max(self.rate, grown)

    def _cut(self, share: float, passed: float) -> None:
        """Go below what got through; how far, and how soon back, depends on the share that did not.

        passed is how many attempts a second got through.
        """
        first = self._first_cut or _Cut(self.rate, passed)
        self._first_cut = first if share <= MOST_TOLERATED else None
        if self._in_slow_start and passed and self.rate > _TOO_SLOW:
            self._in_slow_start = False
            self._ceiling, self.rate = 0.75 * self.rate, self.rate / 2
        elif self.rate <= first.rate / 2 and passed <= 0.7 * first.passed and share <= MOST_TOLERATED:
            self._first_cut, self._tolerated = None, min(MOST_TOLERATED, 2 * share)
            self.rate = self._ceiling = first.rate
        elif passed and self._has_stalled:
            pass  # it lets through again: what this second throttled says nothing about the rate
        elif passed:
            depth = min(2 * share, DEEPEST_CUT)
            self._ceiling = self.rate * (1 - depth / 2)
            self.rate *= 1 - depth
        else:  # nothing: the last rate that let something through stays the one to return to
            self.rate *= 1 - DEEPEST_CUT
        self.rate = max(LEAST_RATE, self.rate)
        self._ceiling = max(self._ceiling, self.rate)
        self._recovery = ((1 - self.rate / self._ceiling) / _GROWTH) ** (1 / 3)
        self._growing_for = 0.0

    def _begin_second(self, at: float) -> None:
        self._second_began = at
        self._passed = self._throttled = 0


class _Cut(NamedTuple):
    """What was before a cut."""

    rate: float  # attempts a second
    passed: float  # a second
