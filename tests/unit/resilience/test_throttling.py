"""What counts as throttling, and how long one URL waits for it."""

from __future__ import annotations

import pytest

from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.resilience import retry
from cdn2s3.resilience.throttling import LEAST_REFUSALS, Refusals, is_throttled, longest_wait


@pytest.mark.parametrize(
    ("status", "code", "retry_after", "throttled"),
    [
        (429, "", None, True),
        (429, "TooManyRequests", 3.0, True),
        (503, "SlowDown", None, True),
        (503, "", 7.0, True),
        (503, "ServiceUnavailable", 7.0, True),
        (503, "TotalQpsLimitExceeded", None, True),  # OSS
        (400, "RequestLimitExceeded", None, True),
        (503, "", None, False),
        (503, "ServiceUnavailable", None, False),
        (500, "InternalError", 7.0, False),
        (403, "QuotaExceeded", None, False),
        (200, "", None, False),
    ],
)
def test_what_is_throttled(status: int, code: str, retry_after: float | None, throttled: bool) -> None:
    assert is_throttled(status, code, retry_after) == throttled


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Url:
    """A URL that is throttled each time, and the others at its endpoint."""

    def __init__(self, limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "backoff", lambda failures: 2.0 ** min(failures - 1, 6))
        self.clock, self.newest, self.success = Clock(), 0, 0
        self._refusals = Refusals(limit, self.clock)

    def refused(self, others: bool, retry_after: float | None = None) -> float:
        """Return the wait after one more refusal; others tells whether others got through since the last one."""
        self.newest += 1
        if others:
            self.success = self.newest
            self.newest += 1
        wait = self._refusals.wait(
            "bucket", TransientError("throttled", "503 SlowDown", retry_after), self.newest, self.success
        )
        self.clock.now += wait
        return wait


def test_url_waits_longer_each_time_while_others_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    url = Url(1800.0, monkeypatch)
    assert [url.refused(others=True) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_url_does_not_wait_longer_while_nobody_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    url = Url(1800.0, monkeypatch)
    assert {url.refused(others=False) for _ in range(10_000)} == {1.0}


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (0.0, 1.0), (None, 1.0), (86400.0, 60.0)])
def test_retry_after_is_waited_for(
    asked: float | None, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Url(1800.0, monkeypatch).refused(True, asked) == waited


@pytest.mark.parametrize("limit", [2.0, 60.0, 1800.0])
def test_url_that_is_refused_alone_fails_after_the_limit(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = Url(limit, monkeypatch)
    with pytest.raises(
        PermanentError, match=r"bucket refused it \d+ times in .* others got through: 503"
    ) as end:
        while True:
            url.refused(others=True)
    assert end.value.cause == "throttled" and not end.value.doubtful
    assert limit <= url.clock.now < limit + 2 * longest_wait(limit) + LEAST_REFUSALS * longest_wait(limit)


def test_time_in_which_nobody_got_through_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    url = Url(60.0, monkeypatch)
    for _ in range(LEAST_REFUSALS - 1):
        url.refused(others=True)
    url.clock.now += 3600.0
    url.refused(others=False)
    url.clock.now += 3600.0
    url.refused(others=False)
