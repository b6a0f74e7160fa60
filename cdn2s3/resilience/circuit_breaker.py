"""The health of one side of the run, the source or the bucket: how many may ask it at once, and when nobody.

Throttled, a side admits half as many attempts and then step by step more. It is down when its last 50 attempts
have all failed, or the last few of the run and then a probe: everybody waits, one probe is made at growing
intervals, and when the side is up again the URLs caught in it start afresh. Down for OUTAGE_LIMIT: the run stops.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, NamedTuple, Optional

from cdn2s3.errors import Cancelled, FatalError
from cdn2s3.resilience.retry import LONGEST_WAIT
from cdn2s3.text import duration

log = logging.getLogger(__name__)

ATTEMPTS_UNTIL_DOWN = 50
FIRST_PROBE = 5.0  # seconds after a side went down; each later interval is twice as long, up to LONGEST_WAIT
_HALVE_EVERY = 1.0  # seconds; failures of one moment halve once
_LOOK_EVERY = 0.5  # seconds between two looks at the clock and the stop flag while waiting

# True: the side works; False: it does not; None: nothing to ask it is known, let a real attempt find out.
Probe = Callable[[], Optional[bool]]


class Permit(NamedTuple):
    """Leave to make one attempt."""

    number: int  # attempts are numbered in the order in which they begin
    is_probe: bool  # True: the side is down, and this attempt finds out whether it still is


class EndpointState(NamedTuple):
    """A side at one moment, for progress and for judging failures."""

    newest_attempt: int  # number of the newest attempt
    newest_success: int  # number of the newest attempt that succeeded
    times_opened: int  # how often it went down
    outages: int  # how often a probe found it down too
    limit: int  # attempts admitted at once
    down_for: float | None  # seconds; None when it is up
    next_probe_in: float | None  # seconds; None when it is up
    why: str  # the last failure, for a person


class Endpoint:
    """Admit attempts to one side; shared by all workers.

    name is "source" or "bucket"; workers is how many there are; probe asks the side for something it gave
    before, in the thread of a worker that waits.
    """

    def __init__(
        self,
        name: str,
        workers: int,
        outage_limit: float,
        stop: threading.Event,
        probe: Probe = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.workers = workers
        self._outage_limit = outage_limit
        self._stop = stop
        self._probe = probe
        self._clock = clock
        self._changed = threading.Condition()
        self._in_flight = 0
        self._limit = workers
        self._credit = 0
        self._halved_at = float("-inf")
        self._paused_until = float("-inf")
        self._entered = 0
        self._newest_success = 0
        self._failures_in_a_row = 0
        self._down_since: float | None = None
        self._next_probe = 0.0
        self._interval = FIRST_PROBE
        self._probing = False
        self._times_down = 0
        self.outages = 0  # how often a probe found it down too
        self._why = self._advice = ""

    def acquire(self) -> Permit:
        """Wait until an attempt may be made; raise Cancelled, or FatalError when the outage lasts too long."""
        while True:
            with self._changed:
                is_probe = self._wait_for_leave()
                if not is_probe:
                    return self._admitted(is_probe=False)
            try:
                answer = self._probe()
            except BaseException:
                with self._changed:
                    self._probing = False  # let another worker probe
                raise
            with self._changed:
                if answer is None:
                    return self._admitted(is_probe=True)
                self._probing = False
                if answer:
                    self._newest_success = self._entered
                    self._is_up()
                else:
                    self._probe_failed()

    def _wait_for_leave(self) -> bool:
        """Wait, under the lock, until an attempt (False) or a probe (True) may be made by this thread."""
        while True:
            if self._stop.is_set():
                raise Cancelled
            now = self._clock()
            if self._down_since is not None:
                self._check_outage_limit(now)
                if not self._probing and now >= self._next_probe:
                    self._probing = True
                    return True
                wait = self._next_probe - now
            elif now < self._paused_until:
                wait = self._paused_until - now
            elif self._in_flight < self._limit:
                return False
            else:
                wait = _LOOK_EVERY
            self._changed.wait(min(max(wait, 0.001), _LOOK_EVERY))

    def _check_outage_limit(self, now: float) -> None:
        if self._down_since is not None and now - self._down_since >= self._outage_limit:
            raise FatalError(
                f"the {self.name} has been down for {now - self._down_since:.0f} s, longer than OUTAGE_LIMIT "
                f"({self._why}). {self._advice or 'When it is well again, run the same command: it resumes.'}"
            )

    def _admitted(self, is_probe: bool) -> Permit:
        self._in_flight += 1
        self._entered += 1
        return Permit(self._entered, is_probe)

    def succeeded(self, ticket: Permit) -> None:
        """Report that the side has answered the attempt (a 404 is an answer too)."""
        with self._changed:
            self._left(ticket)
            self._newest_success = max(self._newest_success, ticket.number)
            self._failures_in_a_row = 0
            if self._down_since is not None:
                self._is_up()
            elif self._limit < self.workers:
                self._grow()

    def failed(
        self,
        ticket: Permit,
        why: str,
        throttled: bool = False,
        retry_after: float | None = None,
        advice: str = "",
    ) -> None:
        """Report an attempt that failed in a way that may be the side's fault.

        retry_after holds everybody back for so many seconds, LONGEST_WAIT at most; advice is what a person could
        do when the side goes down for it.
        """
        with self._changed:
            self._left(ticket)
            self._why, self._advice = why, advice
            self._failures_in_a_row += 1
            now = self._clock()
            if throttled and now - self._halved_at >= _HALVE_EVERY:
                self._limit = max(1, self._limit // 2)
                self._halved_at, self._credit = now, 0
            if retry_after:
                self._paused_until = max(self._paused_until, now + min(retry_after, LONGEST_WAIT))
            if ticket.is_probe:
                self._probe_failed()
            elif self._down_since is None and self._failures_in_a_row >= ATTEMPTS_UNTIL_DOWN:
                self._is_down(now)

    def release(self, ticket: Permit) -> None:
        """Report an attempt that tells nothing about the side (it was stopped)."""
        with self._changed:
            self._left(ticket)

    def ask(self) -> None:
        """Probe the side while nobody is at work on it; when it does not answer, it is down, and an outage.

        For the last failures of a run: too few to call the side down, and nothing comes after them that could
        show that it works. Raise what the probe raises.
        """
        if self._probe() is not False:
            return
        with self._changed:
            if self._down_since is None:
                self._is_down(self._clock())
                self._probe_failed()

    def _left(self, ticket: Permit) -> None:
        self._in_flight -= 1
        if ticket.is_probe:
            self._probing = False
        if self._limit < self.workers or self._down_since is not None:
            self._changed.notify()

    def _grow(self) -> None:
        """Admit one step more after as many successes as attempts are admitted now."""
        self._credit += 1
        if self._credit >= self._limit:
            self._limit = min(self.workers, self._limit + max(1, self.workers // 30))
            self._credit = 0
            self._changed.notify_all()

    def _is_down(self, now: float) -> None:
        self._down_since = now
        self._times_down += 1
        self._interval = FIRST_PROBE
        self._next_probe = now + self._interval
        log.warning(
            "the %s is down: %s; probing, exit code 3 after %s%s",
            self.name,
            self._why,
            duration(self._outage_limit),
            f". {self._advice}" if self._advice else "",
        )

    def _probe_failed(self) -> None:
        if self._down_since is None:
            return  # an older attempt has succeeded meanwhile: the side is up
        if self._interval == FIRST_PROBE:
            self.outages += 1
        self._interval = min(self._interval * 2, LONGEST_WAIT)
        self._next_probe = self._clock() + self._interval

    def _is_up(self) -> None:
        if self._down_since is not None:
            log.warning("the %s is up again", self.name)
        self._down_since = None
        self._failures_in_a_row = 0
        self._limit = max(1, self.workers // 4)
        self._credit = 0
        self._paused_until = float("-inf")
        self._changed.notify_all()

    def health(self) -> EndpointState:
        """Return how the side is now."""
        with self._changed:
            now = self._clock()
            down = self._down_since
            return EndpointState(
                self._entered,
                self._newest_success,
                self._times_down,
                self.outages,
                self._limit,
                None if down is None else now - down,
                None if down is None else max(0.0, self._next_probe - now),
                self._why,
            )

    @property
    def newest_attempt(self) -> int:
        """The number of the newest attempt."""
        return self._entered

    @property
    def in_flight(self) -> int:
        """How many attempts are being made."""
        return self._in_flight

    def wake(self) -> None:
        """Let everybody who waits here look at the stop flag now."""
        with self._changed:
            self._changed.notify_all()
