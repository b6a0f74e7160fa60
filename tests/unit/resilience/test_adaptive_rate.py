"""The rate that is found, in simulated time: 150 workers at an endpoint that allows so many attempts a second.

The workers do what those of a run do: they wait for their place, make an attempt, and wait as Refusals says after one
that was throttled. Nothing of it takes real time, and every run is the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
from typing import Callable, NamedTuple

import pytest

from cdn2s3.errors import TransientError
from cdn2s3.resilience.adaptive_rate import LEAST_RATE
from cdn2s3.resilience.limits import EndpointLimits
from cdn2s3.resilience.throttling import Refusals
from tests.fakes.rules import Allowance
from tests.tiers import neighbors, slow

WORKERS = 150
LEARNED = 30.0  # seconds after which the rate has to be known
LOOK_EVERY = 0.5  # as an endpoint's waiting workers do


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Draw the same backoffs in every run, such that one attempt is throttled in the second after a silence."""
    random.seed(0)


LetsThrough = Callable[[float], bool]


class Sliding:
    """Count over the second before each attempt, and refuse those over rate; with counts_struck, count these too."""

    def __init__(self, rate: float, counts_struck: bool = False) -> None:
        self._rate, self._counts_struck = rate, counts_struck
        self._counted: list[float] = []

    def lets_through(self, now: float) -> bool:
        self._counted = [at for at in self._counted if at > now - 1]
        fits = len(self._counted) < self._rate
        if fits or self._counts_struck:
            self._counted.append(now)
        return fits


class Found(NamedTuple):
    """What a simulated run has done."""

    through: list[float]  # when attempts got through
    throttled: list[float]
    failed: int  # URLs
    limits: list[EndpointLimits]  # of each process

    def rate(self, begin: float, end: float) -> float:
        """Return how many attempts a second got through from begin to end."""
        return sum(begin <= at < end for at in self.through) / (end - begin)

    def throttled_share(self, begin: float) -> float:
        throttled = sum(at >= begin for at in self.throttled)
        return throttled / max(1, throttled + sum(at >= begin for at in self.through))


class Simulation:
    """Workers, shared by processes, at one endpoint; points in time are seconds since the start."""

    def __init__(
        self,
        lets_through: LetsThrough,
        retry_after: float | None,
        processes: int,
        workers: int,
        seconds: tuple[float, float] = (0.05, 0.15),
    ) -> None:
        self._lets_through = lets_through
        self._error = TransientError("throttled", "slow down", retry_after, 429)
        self._seconds = seconds  # that an attempt takes which gets through
        self._limits = [EndpointLimits(workers // processes) for _ in range(processes)]
        self._newest = [[0, 0] for _ in range(processes)]  # numbers of the newest attempt, and success
        self._refusals = [self._new_refusals() for _ in range(workers)]
        self._draw = random.Random(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self._found = Found([], [], 0, self._limits)
        for worker in range(workers):
            self._at(0.0, lambda worker=worker: self._wait(worker, None))  # type: ignore[misc]

    def _new_refusals(self) -> Refusals:
        return Refusals(1800.0, lambda: self._now)

    def run(self, until: float) -> Found:
        while self._events[0][0] < until:
            self._now, _, event = heapq.heappop(self._events)
            event()
        return self._found

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def _wait(self, worker: int, place: int | None) -> None:
        process = worker % len(self._limits)
        limits, now = self._limits[process], self._now
        wait = limits.wait(place, now)
        if wait > 0:
            place = limits.queue(place, now)
            self._at(now + max(0.001, min(wait, LOOK_EVERY)), lambda: self._wait(worker, place))
            return
        limits.begin(place, now)
        self._newest[process][0] += 1
        number = self._newest[process][0]
        self._at(now + self._draw.uniform(0.001, 0.005), lambda: self._arrive(worker, number, now))

    def _arrive(self, worker: int, number: int, began: float) -> None:
        if self._lets_through(self._now):
            took = self._draw.uniform(*self._seconds)
            self._at(self._now + took, lambda: self._succeed(worker, number, began))
        else:
            self._at(self._now + self._draw.uniform(0.005, 0.02), lambda: self._be_throttled(worker, began))

    def _succeed(self, worker: int, number: int, began: float) -> None:
        process = worker % len(self._limits)
        self._limits[process].concurrency.in_flight -= 1
        self._limits[process].succeeded(began, self._now)
        self._newest[process][1] = max(number, self._newest[process][1])
        self._found.through.append(self._now)
        self._refusals[worker] = self._new_refusals()
        self._wait(worker, None)

    def _be_throttled(self, worker: int, began: float) -> None:
        process = worker % len(self._limits)
        self._limits[process].concurrency.in_flight -= 1
        self._limits[process].throttled(began, self._error.retry_after, self._now)
        self._found.throttled.append(self._now)
        wait = self._refusals[worker].wait("bucket", self._error, *self._newest[process])
        self._at(self._now + wait, lambda: self._wait(worker, None))


def simulated(
    lets_through: LetsThrough,
    until: float = 60.0,
    retry_after: float | None = None,
    processes: int = 1,
    workers: int = WORKERS,
) -> Found:
    return Simulation(lets_through, retry_after, processes, workers).run(until)


@pytest.mark.parametrize("processes", neighbors(1, 2))
@pytest.mark.parametrize("retry_after", [None, slow(1.0), 5.0], ids=["", "retry-after-1", "retry-after-5"])
@pytest.mark.parametrize(
    "counted",
    [
        pytest.param(lambda rate: Allowance(rate), id="windows"),
        pytest.param(lambda rate: Allowance(rate, counts_struck=True), id="windows-that-count-all"),
        pytest.param(lambda rate: Allowance(rate, burst=rate), id="bucket"),
        pytest.param(lambda rate: Sliding(rate), id="sliding"),
    ],
)
@pytest.mark.parametrize("rate", [5, 20, slow(200)])
def test_most_of_the_allowed_rate_is_used_and_little_is_throttled(
    rate: int, counted: Callable[[float], Allowance], retry_after: float | None, processes: int
) -> None:
    found = simulated(counted(rate).lets_through, 60.0, retry_after, processes)
    assert found.rate(LEARNED, 60.0) >= 0.8 * rate
    assert found.throttled_share(LEARNED) <= 0.2


@pytest.mark.parametrize("rate", [5, 20, slow(200)])
def test_attempts_that_count_though_they_are_throttled_are_few_enough(rate: int) -> None:
    """A store that counts them lets nothing through while it is asked too often."""
    found = simulated(Sliding(rate, counts_struck=True).lets_through, 90.0)
    assert found.rate(LEARNED, 90.0) >= 0.75 * rate


@pytest.mark.parametrize(("before", "after"), [(20, 200), (200, 20), (1000, 20)])
def test_rate_that_changes_is_found_again(before: int, after: int) -> None:
    first, then = Allowance(before), Allowance(after)
    found = simulated(lambda now: (first if now < 30 else then).lets_through(now), 100.0)
    assert found.rate(75.0, 100.0) >= 0.8 * after


@pytest.mark.parametrize("share", [slow(0.001), 0.01, slow(0.1), slow(0.2)])
def test_store_that_throttles_a_share_whatever_the_rate_is_not_slowed_down_for_it(share: float) -> None:
    """AWS does while it spreads a bucket's load; slowing down changes nothing about it."""
    draw = random.Random(7)
    found = simulated(lambda now: draw.random() >= share, 60.0)
    # Of 150 workers, so many are waiting to make their URL's next attempt: a second each, or a little more.
    at_work = WORKERS * 0.1 / (0.1 + 1.5 * share)
    assert found.rate(LEARNED, 60.0) >= 0.5 * at_work / 0.1


@pytest.mark.parametrize("retry_after", [None, 5.0])
def test_nothing_is_asked_for_in_a_hurry_while_nothing_gets_through(retry_after: float | None) -> None:
    allowance = Allowance(200)
    found = simulated(lambda now: not 30 <= now < 90 and allowance.lets_through(now), 130.0, retry_after)
    late = [at for at in found.throttled if 70 <= at < 90]
    assert 1 <= len(late) <= 2 * 20 * LEAST_RATE
    assert found.rate(110.0, 130.0) >= 0.8 * 200


def test_burst_of_throttling_is_forgotten_soon() -> None:
    found = simulated(lambda now: now >= 2.0, 30.0, workers=30)
    assert found.rate(20.0, 30.0) >= 100
    assert sum(at < 10.0 for at in found.through) > 50


def test_limit_that_nobody_waits_for_goes_away() -> None:
    found = simulated(lambda now: now >= 0.2, 120.0, workers=10)
    assert found.limits[0].rate is None


@pytest.mark.parametrize("rate", [5, 20, 200])
def test_rate_that_is_shown_is_the_one_that_is_allowed(rate: int) -> None:
    found = simulated(Allowance(rate).lets_through, 60.0)
    shown = found.limits[0].allowed(60.0)
    assert shown == pytest.approx(rate, rel=0.2)
