"""Rates are held, on a clock that the test moves."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.resilience.rate_limit import Bandwidth, TokenBucket
from tests.properties import examples


class FakeClock:
    """A clock that only sleeping moves; tells how long was slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_token_bucket_spaces_out_takers() -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate=10, clock=clock, sleep=clock.sleep)
    for _ in range(21):
        bucket.take()
    assert clock.now - 1000 == pytest.approx(2.0)
    assert clock.slept == pytest.approx([0.1] * 20)


def test_token_bucket_saves_nothing_up_in_a_quiet_time() -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate=10, clock=clock, sleep=clock.sleep)
    clock.now += 3600
    for _ in range(2):
        bucket.take()
    assert clock.slept == pytest.approx([0.1])


def test_token_bucket_whose_sleep_returns_early_still_keeps_the_rate() -> None:
    clock = FakeClock()
    asked: list[float] = []
    bucket = TokenBucket(rate=1, clock=clock, sleep=asked.append)
    for _ in range(4):
        bucket.take()
    assert asked == pytest.approx([1, 2, 3])  # nobody slept, so each is told a later time


def test_token_bucket_serves_threads_one_turn_each() -> None:
    asked: list[float] = []
    bucket = TokenBucket(rate=10, clock=lambda: 0.0, sleep=asked.append)
    threads = [threading.Thread(target=bucket.take) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked) == pytest.approx([turn / 10 for turn in range(1, 50)])


@examples(200)
@given(
    rate=st.floats(0.01, 10_000),
    pauses=st.lists(st.floats(0, 100), min_size=1, max_size=30),
)
def test_token_bucket_never_gives_more_than_the_rate_allows(rate: float, pauses: list[float]) -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate, clock, clock.sleep)
    for taken, pause in enumerate(pauses, 1):
        clock.now += pause
        bucket.take()
        assert taken <= 1 + (clock.now - 1000) * rate + 1e-6 * (1 + taken + clock.now * rate)


def moved_by_second(bandwidth: Bandwidth, clock: FakeClock, sizes: Iterator[int], seconds: int) -> list[int]:
    """Download sizes with 150 workers, 0.2 s each, as bandwidth admits; return the bytes of each second."""
    moved, began = [0] * seconds, clock.now
    in_flight: deque[tuple[float, int]] = deque()  # when it ends, its size
    for millisecond in range(1000 * seconds):
        clock.now = began + millisecond / 1000
        while in_flight and in_flight[0][0] <= clock.now:
            came = in_flight.popleft()[1]
            bandwidth.received(came)
            moved[millisecond // 1000] += came
        while len(in_flight) < 150 and not bandwidth.due_in():
            bandwidth.begin()
            in_flight.append((clock.now + 0.2, next(sizes)))
    return moved


@pytest.mark.parametrize(
    ("mean", "sigma"),
    [
        pytest.param(390_000, 0.0, id="all alike"),
        pytest.param(390_000, 0.6, id="photographs"),
        pytest.param(20_000, 0.6, id="thumbnails"),
    ],
)
def test_bandwidth_holds_within_5_percent_over_10_seconds(mean: int, sigma: float) -> None:
    clock, draw = FakeClock(), random.Random(1)
    mu = math.log(mean) - sigma**2 / 2
    sizes = (round(draw.lognormvariate(mu, sigma)) for _ in itertools.count())
    moved = moved_by_second(Bandwidth(12.5e6, clock), clock, sizes, 60)
    for start in range(2, 50):
        assert sum(moved[start : start + 10]) == pytest.approx(125e6, rel=0.05)


def test_bandwidth_of_downloads_that_failed_is_given_back() -> None:
    bandwidth = Bandwidth(1e6, FakeClock())
    bandwidth.begin()
    bandwidth.received(0)
    assert bandwidth.due_in() == 0
    bandwidth.begin()
    assert bandwidth.due_in() == pytest.approx(0.39)


def test_bandwidth_does_not_save_up_what_nobody_took() -> None:
    clock = FakeClock()
    bandwidth = Bandwidth(1e6, clock)
    clock.now += 3600
    begun = 0
    while not bandwidth.due_in():
        bandwidth.begin()
        begun += 1
    assert begun == 1


def test_bandwidth_admits_its_workers_one_after_the_other_until_a_stop() -> None:
    bandwidth, stop = Bandwidth(39e6), threading.Event()
    admitted: list[bool] = []
    began = time.monotonic()
    threads = [threading.Thread(target=lambda: admitted.append(bandwidth.admit(stop))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert admitted == [True] * 20
    assert time.monotonic() - began > 0.15  # 19 spaces of 10 ms
    bandwidth.received(10**9)  # the next has half a minute to wait
    stop.set()
    assert not bandwidth.admit(stop)


def test_bandwidth_without_a_limit_admits_everybody_at_once() -> None:
    bandwidth = Bandwidth(0, FakeClock())
    for _ in range(3):
        assert bandwidth.admit(threading.Event())
        bandwidth.received(10**9)


def test_bandwidth_takes_a_new_rate_from_the_next_download_on() -> None:
    clock = FakeClock()
    bandwidth = Bandwidth(390_000.0, clock=clock)
    bandwidth.begin()
    bandwidth.set_rate(39_000.0)
    clock.now += bandwidth.due_in()
    bandwidth.begin()
    assert bandwidth.due_in() == pytest.approx(10.0, abs=0.2)
