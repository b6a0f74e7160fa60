"""The circuit breaker: stop using an endpoint that keeps failing, and find out when it works again."""

from __future__ import annotations

from enum import Enum

from cdn2s3.resilience.retry import LONGEST_WAIT

FAILURES_TO_OPEN = 50  # in a row
FIRST_PROBE = 5.0  # seconds after opening; each later interval is twice as long, up to LONGEST_WAIT


class CircuitState(Enum):
    """Whether attempts are made; CircuitBreaker has the table."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Decide from the results of attempts whether an endpoint is used at all.

    | state     | what is admitted | what ends it                                                             |
    |-----------|------------------|--------------------------------------------------------------------------|
    | closed    | every attempt    | FAILURES_TO_OPEN failures in a row, or open(): open                      |
    | open      | nothing          | the next probe is due and somebody takes it, begin_probe(): half-open;   |
    |           |                  | an attempt from before succeeds, close(): closed                         |
    | half-open | one probe        | the probe, or an attempt from before, succeeds, close(): closed;         |
    |           |                  | the probe fails: open, twice as long as before;                          |
    |           |                  | the probe shows nothing (it was stopped), end_probe(): open, due at once |

    Points in time are those of one monotonic clock, in seconds. Not thread-safe: its owner holds a lock.
    """

    def __init__(self) -> None:
        self.opened_at: float | None = None  # None: closed
        self.times_opened = 0
        self.outages = 0  # times it opened and the first probe failed too
        self._failures_in_a_row = 0
        self._next_probe = 0.0
        self._interval = FIRST_PROBE
        self._is_probing = False

    @property
    def state(self) -> CircuitState:
        if self.opened_at is None:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self._is_probing else CircuitState.OPEN

    @property
    def is_closed(self) -> bool:
        return self.opened_at is None

    def open_for(self, now: float) -> float | None:
        """Return the seconds since it opened; None while it is closed."""
        return None if self.opened_at is None else now - self.opened_at

    def probe_in(self, now: float) -> float:
        """Return the seconds until the next probe is due; 0 or less: it is."""
        return self._next_probe - now

    def begin_probe(self) -> None:
        """Let one attempt find out whether the endpoint works."""
        self._is_probing = True

    def end_probe(self) -> None:
        """Note that the probe has ended, whatever it showed."""
        self._is_probing = False

    def succeeded(self) -> None:
        """Count an attempt that succeeded while closed."""
        self._failures_in_a_row = 0

    def failed(self, now: float, is_probe: bool) -> bool:
        """Count an attempt that failed, the probe or another; return whether that opens a closed circuit."""
        self._failures_in_a_row += 1
        if is_probe:
            self.probe_failed(now)
        elif self.is_closed and self._failures_in_a_row >= FAILURES_TO_OPEN:
            self.open(now)
            return True
        return False

    def probe_failed(self, now: float) -> None:
        """Wait for the next probe twice as long as for this one."""
        if self.is_closed:
            return  # an attempt from before the probe has succeeded meanwhile
        if self._interval == FIRST_PROBE:
            self.outages += 1
        self._interval = min(self._interval * 2, LONGEST_WAIT)
        self._next_probe = now + self._interval

    def open(self, now: float) -> None:
        """Admit nothing until the first probe."""
        self.opened_at = now
        self.times_opened += 1
        self._interval = FIRST_PROBE
        self._next_probe = now + self._interval

    def close(self) -> None:
        """Admit everything again."""
        self.opened_at = None
        self._failures_in_a_row = 0
