"""When an endpoint went down and came up again, and when it throttled: seen from what limits the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Callable

from cdn2s3.state.journal import DOWN, ENDS, THROTTLED
from cdn2s3.transfer.limiting import Limiting

LASTING = (
    5.0  # seconds of an outage that somebody is told about: a shorter one has ended when the message arrives
)

OnChange = Callable[[str, str, str, float], None]  # event, side, detail, when in seconds since the epoch


class EndpointWatch:
    """Report each change, and add up its seconds; used by the run's main thread.

    on_change gets every beginning and every end as it is seen; on_outage the beginning of an outage that has lasted
    for LASTING, and then its end. clock returns seconds since the epoch.
    """

    def __init__(
        self, on_change: OnChange, on_outage: OnChange, clock: Callable[[], float] = time.time
    ) -> None:
        self._on_change = on_change
        self._on_outage = on_outage
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}  # when each event of a side began
        self._why: dict[str, str] = {}  # by the side that is down
        self._told: set[str] = set()  # sides whose outage on_outage has got
        self._seen_at = clock()
        self._seconds = {DOWN: 0.0, THROTTLED: 0.0}

    def seconds(self, event: str) -> int:
        """Return for how many seconds an endpoint was DOWN, or THROTTLED."""
        return round(self._seconds[event])

    def see(self, limits: Sequence[Limiting]) -> None:
        """Take what limits the run now, of each process; call it a few times a second."""
        now = self._clock()
        passed, self._seen_at = max(0.0, now - self._seen_at), now
        for event in {event for event, _ in self._since}:
            self._seconds[event] += passed
        current: dict[tuple[str, str], str] = {}
        for limit in limits:
            if limit.is_down:
                current.setdefault((DOWN, limit.endpoint), limit.why)
            elif limit.is_throttled:
                current.setdefault((THROTTLED, limit.endpoint), limit.why)
        for key, why in current.items():
            if key not in self._since:
                self._begin(key, why, now)
        for key in [key for key in self._since if key not in current]:
            self._end(key, now)
        for event, side in current:
            if event == DOWN and side not in self._told and now - self._since[event, side] >= LASTING:
                self._told.add(side)
                self._on_outage(DOWN, side, self._why[side], self._since[event, side])

    def _begin(self, key: tuple[str, str], why: str, now: float) -> None:
        event, side = key
        self._since[key] = now
        if event == DOWN:
            self._why[side] = why
        self._on_change(event, side, why, now)

    def _end(self, key: tuple[str, str], now: float) -> None:
        event, side = key
        lasted = now - self._since.pop(key)
        detail = f"after {lasted:.0f} s"
        self._on_change(ENDS[event], side, detail, now)
        if event == DOWN and side in self._told:
            self._told.remove(side)
            self._on_outage(ENDS[event], side, detail, now)
