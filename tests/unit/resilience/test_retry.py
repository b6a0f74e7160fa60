"""Waits and rates, on a clock that the test moves."""

from __future__ import annotations

import itertools
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import Cancelled, PermanentError, TransientError
from cdn2s3.resilience.rate_limit import Bandwidth, TokenBucket
from cdn2s3.resilience.retry import (
    LONGEST_WAIT,
    FailedAttempt,
    RetryPolicy,
    backoff,
    retry_after,
    unless_stopped,
    with_retries,
)
from tests.properties import examples

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's own examples


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


@pytest.fixture
def far_from_greenwich() -> Iterator[None]:
    """Run with a local time that is hours from UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(("failures", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50_000, 60)])
def test_backoff_doubles_up_to_the_longest_wait(failures: int, longest: float) -> None:
    assert backoff(failures, lambda: 0.0) == longest
    assert backoff(failures, lambda: 1.0) == longest / 2


@examples(200)
@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_backoff_is_never_zero_and_never_over_the_longest_wait(failures: int, drawn: float) -> None:
    assert 0.5 <= backoff(failures, lambda: drawn) <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("0", 0, id="now"),
        pytest.param(" 7 ", 7, id="seconds with blanks"),
        pytest.param("86400", 60, id="a day"),
        pytest.param("9" * 5000, 60, id="five thousand digits"),
        pytest.param("Sun, 06 Nov 1994 08:49:57 GMT", 20, id="HTTP date"),
        pytest.param("Sunday, 06-Nov-94 08:49:57 GMT", 20, id="RFC 850 date"),
        pytest.param("Sun Nov  6 08:49:57 1994", 20, id="asctime date, which is in UTC too"),
        pytest.param("Sun, 06 Nov 1994 08:49:57 -0000", 20, id="zone unknown"),
        pytest.param("Sun, 06 Nov 1994 08:00:00 GMT", 0, id="date gone by"),
        pytest.param("Sun, 06 Nov 2094 08:49:57 GMT", 60, id="date in a hundred years"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="a word"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("٣", None, id="digits of another script"),
        pytest.param("Sun, 06 Nov 99999999999 08:49:37 GMT", None, id="a year too far"),
    ],
)
@pytest.mark.usefixtures("far_from_greenwich")
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def failing(*errors: Exception) -> Callable[[], str]:
    """Return an attempt that raises each of errors in turn, and then succeeds."""
    left = list(errors)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def again(asked: float | None = None, cause: str = "server_error") -> TransientError:
    return TransientError(cause, "the server answered 500", asked, 500)


@pytest.fixture
def full_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdn2s3.resilience.retry.random.random", lambda: 0.0)
    monkeypatch.setattr("cdn2s3.resilience.retry.backoff", lambda failures: float(2 ** (failures - 1)))


@pytest.mark.usefixtures("full_backoff")
def test_attempts_are_made_again_after_growing_waits() -> None:
    slept: list[float] = []
    assert with_retries(failing(again(), again(), again()), RetryPolicy(3), slept.append) == "done"
    assert slept == [1, 2, 4]


@pytest.mark.usefixtures("full_backoff")
@pytest.mark.parametrize(
    ("asked", "longest", "waited"),
    [
        pytest.param(None, 60.0, 1.0, id="not asked for"),
        pytest.param(0.0, 60.0, 1.0, id="shorter than the backoff"),
        pytest.param(7.0, 60.0, 7.0, id="longer"),
        pytest.param(600.0, 60.0, 60.0, id="longer than is honored"),
        pytest.param(7.0, 0.0, 1.0, id="honored by somebody else"),
    ],
)
def test_wait_is_the_longer_of_backoff_and_retry_after(
    asked: float | None, longest: float, waited: float
) -> None:
    slept: list[float] = []
    with_retries(failing(again(asked)), RetryPolicy(1, longest), slept.append)
    assert slept == [waited]


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_last_error_is_raised_after_as_many_attempts_as_allowed(max_retries: int) -> None:
    errors = [again() for _ in range(9)]
    failed: list[FailedAttempt] = []
    policy = RetryPolicy(max_retries)
    with pytest.raises(TransientError) as caught:
        with_retries(failing(*errors), policy, lambda seconds: None, failed.append)
    assert caught.value is errors[max_retries]
    assert [one.failures for one in failed] == list(range(1, policy.max_attempts + 1))
    assert [one.error for one in failed] == errors[: policy.max_attempts]
    assert [one.wait is None for one in failed] == [False] * max_retries + [True]


def test_other_errors_end_it_at_once() -> None:
    slept: list[float] = []
    with pytest.raises(PermanentError):
        with_retries(failing(PermanentError("not_found", "404")), RetryPolicy(3), slept.append)
    assert slept == []


def test_failures_that_were_vain_do_not_count() -> None:
    vain, failed = iter([False, False, True, False, False]), []

    def note(one: FailedAttempt) -> None:
        failed.append(one.failures)

    with pytest.raises(TransientError):
        with_retries(
            failing(*[again()] * 9), RetryPolicy(2), lambda seconds: None, note, was_vain=lambda: next(vain)
        )
    assert failed == [1, 2, 1, 2, 3]


def test_stop_ends_the_wait_at_once() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        with_retries(failing(again(asked=50.0)), RetryPolicy(3), unless_stopped(stop))
    assert time.monotonic() - began < 10


_DATE_PARTS = st.sampled_from(
    [
        "Sun",
        ",",
        "06",
        "Nov",
        "1994",
        "99999999999",
        "08:49:37",
        "24:61:00",
        "GMT",
        "-0000",
        "+99999",
        ":",
        "é",
    ]
)


@examples(500)
@given(st.one_of(st.text(), st.lists(_DATE_PARTS).map(" ".join)))
def test_retry_after_never_raises_and_stays_in_bounds(header: str) -> None:
    seconds = retry_after(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


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
            bandwidth.was(came)
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
    bandwidth.was(0)
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
    bandwidth.was(10**9)  # the next has half a minute to wait
    stop.set()
    assert not bandwidth.admit(stop)


def test_bandwidth_without_a_limit_admits_everybody_at_once() -> None:
    bandwidth = Bandwidth(0, FakeClock())
    for _ in range(3):
        assert bandwidth.admit(threading.Event())
        bandwidth.was(10**9)
