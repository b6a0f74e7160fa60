"""One endpoint of a run, the source or the destination: its limits and its circuit breaker.

EndpointLimits and a CircuitBreaker under one lock, and the waiting for them. While the circuit is open, all workers
wait, and one probe is made at growing intervals. Once it closes, the URLs caught in the outage start over. A circuit
that is open for OUTAGE_LIMIT stops the run; so does an endpoint that throttles every attempt for so long.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, NamedTuple, Optional, Union

from cdn2s3.errors import RESUME, Cancelled, FatalError, Parked, PermanentError, TransientError
from cdn2s3.resilience.circuit_breaker import CircuitBreaker, CircuitState
from cdn2s3.resilience.limits import EndpointLimits
from cdn2s3.resilience.throttling import longest_wait
from cdn2s3.text import duration

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.5  # seconds between two looks at the clock and the stop flag while waiting
REFUSES_AFTER = 5.0  # seconds in which every attempt is throttled
_OVERLOADED = 503  # the status of an endpoint that has too much to do, but names no rate
_BRIEFLY = 0.2  # seconds; so long a worker waits for an endpoint that parks, too

# True: the endpoint works; False: it does not; None: there is nothing to probe with, so a real attempt must find out.
Probe = Callable[[], Optional[bool]]

AttemptError = Union[TransientError, PermanentError]


class Permit(NamedTuple):
    """The permit to make one attempt."""

    number: int  # attempts are numbered in the order in which they begin
    is_probe: bool  # True: the circuit is half-open, and this attempt finds out whether the endpoint works
    at: float  # when it was given, on the endpoint's clock


class LastFailure(NamedTuple):
    """The newest attempt that failed and may be the endpoint's fault."""

    cause: str  # a name in errors.CAUSES
    message: str  # for people
    status: int | None  # of the HTTP response; None if there was none


class EndpointState(NamedTuple):
    """An endpoint at one moment, for progress and for judging failures."""

    newest_attempt: int  # number of the newest attempt
    newest_success: int  # number of the newest attempt that succeeded
    times_opened: int  # how often the circuit opened
    outages: int  # how often the first probe failed after that
    limit: int  # attempts admitted at once
    allowed: float | None  # attempts a second that it lets through; None: it is not throttling that limits it
    refusing_for: float | None  # seconds for which it has throttled every attempt; None: it has not
    down_for: float | None  # seconds since the circuit opened; None when it is closed
    next_probe_in: float | None  # seconds; None when it is closed
    last_failure: LastFailure | None  # None: there was none


class Endpoint:
    """Admit attempts at one endpoint; shared by all workers.

    name is "source", or the kind of destination (bucket, folder); workers is how many there are;
    probe requests something that the endpoint has returned before, in the thread of a waiting worker.
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
        self.parks = False  # True: who would have to wait for it gets Parked instead, and does something else
        self.outage_limit = outage_limit  # seconds
        self._stop = stop
        self._probe = probe
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below
        self._limits = EndpointLimits(workers)
        self._breaker = CircuitBreaker()
        self._newest_attempt = 0
        self._newest_success = 0
        self._last_failure: LastFailure | None = None
        self._advice = ""

    def acquire(self) -> Permit:
        """Wait until an attempt may be made; raise Cancelled, or FatalError when the outage lasts too long.

        Where it parks, raise Parked instead of waiting; nobody but a probe waits for it then.
        """
        while True:
            with self._changed:
                if not self._wait_for_turn():
                    return self._permit(is_probe=False)
            try:
                works = self._probe()
            except BaseException:
                with self._changed:
                    self._breaker.end_probe()  # let another worker probe
                raise
            with self._changed:
                if self._breaker.is_closed:  # it throttles everything, or the circuit has closed meanwhile
                    if works:
                        self._newest_success = self._newest_attempt
                        self._limits.refusing_since = None
                    continue
                if works is None:
                    self._limits.begin(None, self._clock())
                    return self._permit(is_probe=True)
                self._breaker.end_probe()
                if works:
                    self._newest_success = self._newest_attempt
                    self._recovered()
                else:
                    self._breaker.probe_failed(self._clock())

    def _wait_for_turn(self) -> bool:
        """Wait, under the lock, until an attempt (False) or a probe (True) may be made by this thread."""
        place: int | None = None  # in the queue of those that may begin at a limited rate
        while True:
            if self._stop.is_set():
                raise Cancelled
            breaker, now = self._breaker, self._clock()
            if breaker.is_closed:
                if self._limits.refusing_since is not None and self._asks_why(now):
                    self._limits.leave(place)
                    return True
                wait = self._limits.wait(place, now)
                if wait <= 0:
                    self._limits.begin(place, now)
                    return False
            if not self.parks:
                self._check_outage_limit(now)
            if not breaker.is_closed:
                wait = breaker.probe_in(now)
                if wait <= 0 and breaker.state is CircuitState.OPEN:
                    self._limits.leave(place)
                    breaker.begin_probe()
                    return True
            if self.parks and not (breaker.is_closed and wait <= _BRIEFLY):
                self._limits.leave(place)
                raise Parked(self.name)
            place = self._limits.queue(place, now)
            self._changed.wait(min(max(wait, 0.001), _LOOK_EVERY))

    def _asks_why(self, now: float) -> bool:
        """Return whether this thread is to probe because every attempt is throttled: it may be these URLs alone.

        Raise FatalError when that lasts too long.
        """
        if not self.parks:
            self._check_outage_limit(now)
        return self._limits.begin_probe(now, longest_wait(self.outage_limit))

    def is_available(self) -> bool:
        """Return whether acquire() would not wait now: an attempt may be made, or a probe is due."""
        with self._changed:
            now = self._clock()
            if self._breaker.is_closed:
                return self._limits.wait(None, now) <= _BRIEFLY
            return self._breaker.state is CircuitState.OPEN and self._breaker.probe_in(now) <= 0

    def is_over_outage_limit(self) -> bool:
        """Return whether it has been down, or has throttled everything, for OUTAGE_LIMIT."""
        with self._changed:
            return self._useless_for(self._clock()) >= self.outage_limit

    def check_outage_limit(self) -> None:
        """Raise FatalError when it has been down, or has throttled everything, for OUTAGE_LIMIT."""
        with self._changed:
            self._check_outage_limit(self._clock())

    def _useless_for(self, now: float) -> float:
        """Return the seconds for which it has been down or, if it is up, has throttled everything."""
        down_for = self._breaker.open_for(now)
        return (self._limits.refusing_for(now) or 0.0) if down_for is None else down_for

    def _check_outage_limit(self, now: float) -> None:
        useless_for = self._useless_for(now)
        if useless_for >= self.outage_limit:
            what = "throttled every request" if self._breaker.is_closed else "been down"
            raise FatalError(
                f"the {self.name} has {what} for {useless_for:.0f} s, longer than OUTAGE_LIMIT "
                f"({self._why}). {self._advice or f'When it works again, {RESUME}.'}"
            )

    def _permit(self, is_probe: bool) -> Permit:
        self._newest_attempt += 1
        return Permit(self._newest_attempt, is_probe, self._clock())

    def succeeded(self, permit: Permit) -> None:
        """Report that the endpoint has responded to the attempt (a 404 is a response too)."""
        with self._changed:
            self._left(permit)
            self._newest_success = max(self._newest_success, permit.number)
            if not self._breaker.is_closed:
                self._recovered()
                return
            self._breaker.succeeded()
            if self._limits.succeeded(permit.at, self._clock()):
                self._changed.notify_all()

    def failed(
        self, permit: Permit, error: AttemptError, advice: str = "", waiting_helps: bool = True
    ) -> None:
        """Report an attempt that failed with error, in a way that may be the endpoint's fault.

        advice is what people could do when the circuit opens for it. Raise FatalError when it opens for what waiting
        does not help, and nothing has succeeded here yet: it will not.
        """
        with self._changed:
            self._left(permit)
            self._last_failure = LastFailure(error.cause, error.message, error.status)
            self._advice = advice
            now = self._clock()
            if isinstance(error, TransientError) and error.cause == "throttled":
                self._throttled(permit, error, now)
                return
            if error.status == _OVERLOADED:
                self._limits.concurrency.overloaded(now)
            if isinstance(error, TransientError) and error.retry_after:
                self._limits.concurrency.pause(now, error.retry_after)
            if self._breaker.failed(now, permit.is_probe):
                if not waiting_helps and not self._newest_success:
                    raise FatalError(
                        f"the {self.name} answers every URL so, for example: {error.message}. {advice}, then run the "
                        "same command again: it resumes."
                    )
                self._log_outage()

    def _throttled(self, permit: Permit, error: TransientError, now: float) -> None:
        """Slow down. An endpoint that throttles works, so this is no failure, except of a probe."""
        if permit.is_probe:
            self._breaker.probe_failed(now)
        if self._limits.throttled(permit.at, error.retry_after, now):
            log.warning("the %s throttles (%s): finding the rate that it allows", self.name, error.message)

    def release(self, permit: Permit) -> None:
        """Report an attempt that shows nothing about the endpoint (it was stopped)."""
        with self._changed:
            self._left(permit)

    def probe_now(self) -> None:
        """Probe the endpoint while no worker is using it; if it does not respond, that is an outage.

        For the last failures of a run: too few to open the circuit, and nothing comes after them that could
        show that the endpoint works. Raise what the probe raises.
        """
        if self._probe() is not False:
            return
        with self._changed:
            if self._breaker.is_closed:
                self._breaker.open(self._clock())
                self._log_outage()
                self._breaker.probe_failed(self._clock())

    def _left(self, permit: Permit) -> None:
        self._limits.concurrency.in_flight -= 1
        if permit.is_probe:
            self._breaker.end_probe()
        if self._limits.concurrency.is_reduced or not self._breaker.is_closed:
            self._changed.notify()

    def _log_outage(self) -> None:
        log.warning(
            "the %s is down: %s; probing, exit code 3 after %s%s",
            self.name,
            self._why,
            duration(self.outage_limit),
            f". {self._advice}" if self._advice else "",
        )

    def _recovered(self) -> None:
        if not self._breaker.is_closed:
            log.warning("the %s is up again", self.name)
        self._breaker.close()
        self._limits.restart()
        self._changed.notify_all()

    @property
    def _why(self) -> str:
        return self._last_failure.message if self._last_failure else ""

    def health(self) -> EndpointState:
        """Return the state of the endpoint now."""
        with self._changed:
            now = self._clock()
            return EndpointState(
                self._newest_attempt,
                self._newest_success,
                self._breaker.times_opened,
                self._breaker.outages,
                self._limits.concurrency.limit,
                self._limits.allowed(now),
                self._limits.refusing_for(now),
                self._breaker.open_for(now),
                None if self._breaker.is_closed else max(0.0, self._breaker.probe_in(now)),
                self._last_failure,
            )

    @property
    def outages(self) -> int:
        """How often the circuit opened and the first probe failed too."""
        return self._breaker.outages

    @property
    def lets_nothing_through(self) -> bool:
        """Whether it has throttled every attempt for some seconds."""
        with self._changed:
            return (self._limits.refusing_for(self._clock()) or 0.0) >= REFUSES_AFTER

    @property
    def newest_success(self) -> int:
        """The number of the newest attempt that succeeded."""
        return self._newest_success

    @property
    def newest_attempt(self) -> int:
        """The number of the newest attempt."""
        return self._newest_attempt

    @property
    def in_flight(self) -> int:
        """How many attempts are being made."""
        return self._limits.concurrency.in_flight

    def notify(self) -> None:
        """Let all waiting workers check the stop flag now."""
        with self._changed:
            self._changed.notify_all()
