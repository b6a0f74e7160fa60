"""Attempts and the waits between them, on a clock that the test moves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import Cancelled, PermanentError, TransientError
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
    ("asked", "is_honored", "waited"),
    [
        pytest.param(None, True, 1.0, id="not asked for"),
        pytest.param(0.0, True, 1.0, id="shorter than the backoff"),
        pytest.param(7.0, True, 7.0, id="longer"),
        pytest.param(7.0, False, 1.0, id="honored by somebody else"),
    ],
)
def test_wait_is_the_longer_of_backoff_and_retry_after(
    asked: float | None, is_honored: bool, waited: float
) -> None:
    slept: list[float] = []
    with_retries(failing(again(asked)), RetryPolicy(1, is_honored), slept.append)
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
            failing(*[again()] * 9),
            RetryPolicy(2),
            lambda seconds: None,
            note,
            resets_count=lambda: next(vain),
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
