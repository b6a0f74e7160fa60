"""A side's health on a clock that the test moves: halving, growth, pauses, down, probes, the limit, up again."""

from __future__ import annotations

import threading
from typing import Callable

import pytest

from cdn2s3.errors import Cancelled, FatalError, Parked, PermanentError, TransientError
from cdn2s3.resilience.circuit_breaker import FAILURES_TO_OPEN
from cdn2s3.resilience.endpoint import Endpoint, LastFailure, Permit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(
    throttled: bool = False, overloaded: bool = False, retry_after: float | None = None
) -> TransientError:
    if throttled:
        return TransientError("throttled", "refused", retry_after, 429)
    return TransientError("connection", "refused", retry_after, 503 if overloaded else None)


class World:
    """A side with its clock; a wait moves the clock instead of the calendar."""

    def __init__(self, workers: int = 120, probe: Callable[[], bool | None] = lambda: None) -> None:
        self.clock, self.stop = Clock(), threading.Event()
        self.probed_at: list[float] = []
        self._probe = probe
        self.endpoint = Endpoint("source", workers, 1800.0, self.stop, self._noted_probe, self.clock)
        self.endpoint._changed.wait = self._wait  # type: ignore[assignment, method-assign]

    def _wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None and 0 < timeout <= 0.5, "a wait looks at the clock and the stop flag"
        self.clock.now += timeout
        return False

    def _noted_probe(self) -> bool | None:
        self.probed_at.append(self.clock.now - 1000)
        return self._probe()

    def fail(
        self,
        count: int,
        throttled: bool = False,
        overloaded: bool = False,
        retry_after: float | None = None,
        advice: str = "",
    ) -> None:
        for permit in [self.endpoint.acquire() for _ in range(count)]:
            self.endpoint.failed(permit, refused(throttled, overloaded, retry_after), advice)

    def succeed(self, count: int) -> None:
        for _ in range(count):
            self.endpoint.succeeded(self.endpoint.acquire())


def test_overloaded_side_halves_once_a_second_and_never_below_one() -> None:
    world = World()
    world.fail(10, overloaded=True)
    assert world.endpoint.health().limit == 60
    for expected in (30, 15, 7, 3, 1, 1):
        world.clock.now += 1.0
        world.fail(1, overloaded=True)
        assert world.endpoint.health().limit == expected


def test_side_grows_back_step_by_step_and_not_beyond_its_workers() -> None:
    world = World()
    world.fail(1, overloaded=True)
    world.succeed(60)
    assert (
        world.endpoint.health().limit == 64
    )  # a thirtieth of the workers for as many successes as are admitted
    world.succeed(64)
    assert world.endpoint.health().limit == 68
    world.succeed(5000)
    assert world.endpoint.health().limit == 120


def test_plain_failure_does_not_halve() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    assert world.endpoint.health().limit == 120


@pytest.mark.parametrize(("asked", "paused"), [(7.0, 7.0), (0.0, 0.0), (None, 0.0)])
def test_retry_after_holds_everybody_back(asked: float | None, paused: float) -> None:
    world = World()
    world.fail(1, retry_after=asked)
    world.endpoint.acquire()
    assert world.clock.now - 1000 == pytest.approx(paused, abs=0.01)


def test_admission_waits_for_a_place() -> None:
    world = World(workers=2)
    world.fail(1, overloaded=True)
    first = world.endpoint.acquire()
    order: list[str] = []
    world.endpoint._changed.wait = lambda timeout=None: order.append("waits") or world.endpoint._left(first)  # type: ignore[assignment, method-assign, func-returns-value]
    world.endpoint.acquire()
    assert order == ["waits"]


def test_side_is_down_after_so_many_failures_in_a_row_and_one_success_breaks_the_row() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    world.succeed(1)
    world.fail(FAILURES_TO_OPEN - 1)
    assert world.endpoint.health().down_for is None
    world.fail(1)
    health = world.endpoint.health()
    assert (health.down_for, health.next_probe_in, health.times_opened) == (0.0, 5.0, 1)
    assert health.last_failure == LastFailure("connection", "refused", None)


def test_attempt_that_tells_nothing_does_not_count() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    world.endpoint.release(world.endpoint.acquire())
    assert world.endpoint.health().down_for is None
    world.fail(1)
    assert world.endpoint.health().down_for is not None


def test_probes_come_at_growing_intervals_until_the_limit_stops_the_run() -> None:
    world = World(probe=lambda: False)
    world.fail(FAILURES_TO_OPEN)
    with pytest.raises(FatalError, match=r"source has been down for 1800 s.*OUTAGE_LIMIT.*refused"):
        world.endpoint.acquire()
    assert world.probed_at[:6] == pytest.approx([5, 15, 35, 75, 135, 195], abs=0.1)
    assert max(b - a for a, b in zip(world.probed_at, world.probed_at[1:])) <= 60.1
    assert world.endpoint.outages == 1


def test_probe_that_succeeds_brings_the_side_up_with_a_quarter_of_its_workers() -> None:
    world = World(probe=lambda: len(world.probed_at) > 2)
    world.fail(FAILURES_TO_OPEN, retry_after=60.0)
    permit = world.endpoint.acquire()
    health = world.endpoint.health()
    assert world.probed_at == pytest.approx([5, 15, 35], abs=0.1)
    assert (permit.is_probe, health.down_for, health.limit, health.times_opened) == (False, None, 30, 1)
    assert health.newest_success == FAILURES_TO_OPEN
    assert world.clock.now - 1000 == pytest.approx(35, abs=0.1)  # the pause ended with the outage


def test_side_up_at_the_first_probe_had_no_outage() -> None:
    world = World(probe=lambda: True)
    world.fail(FAILURES_TO_OPEN)
    world.endpoint.acquire()
    assert (world.endpoint.outages, world.endpoint.health().times_opened) == (0, 1)


def test_without_a_known_probe_one_attempt_is_the_probe() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN)
    trial = world.endpoint.acquire()
    assert trial.is_probe and world.clock.now - 1000 == pytest.approx(5, abs=0.1)
    world.endpoint.failed(trial, refused())
    assert (world.endpoint.outages, world.endpoint.health().next_probe_in) == (1, 10.0)
    second = world.endpoint.acquire()
    assert second.is_probe and world.clock.now - 1000 == pytest.approx(15, abs=0.2)
    world.endpoint.succeeded(second)
    assert world.endpoint.health().down_for is None
    assert not world.endpoint.acquire().is_probe


def test_trial_that_tells_nothing_lets_the_next_one_probe() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN)
    world.endpoint.release(world.endpoint.acquire())
    assert world.endpoint.acquire().is_probe


def test_success_of_an_older_attempt_brings_the_side_up_and_the_probe_of_then_counts_for_nothing() -> None:
    world = World()
    older = world.endpoint.acquire()
    world.fail(FAILURES_TO_OPEN)
    trial = world.endpoint.acquire()
    world.endpoint.succeeded(older)
    assert world.endpoint.health().down_for is None
    world.endpoint.failed(trial, refused())
    assert (world.endpoint.outages, world.endpoint.health().down_for) == (0, None)


@pytest.mark.parametrize(("answer", "outages"), [(True, 0), (None, 0), (False, 1)])
def test_side_that_is_asked_is_down_only_where_it_does_not_answer(answer: bool | None, outages: int) -> None:
    world = World(probe=lambda: answer)
    world.fail(3)
    world.endpoint.probe_now()
    health = world.endpoint.health()
    assert (health.times_opened, health.outages, health.down_for is None) == (outages, outages, outages == 0)
    assert len(world.probed_at) == 1


def test_side_that_did_not_answer_when_asked_is_probed_until_it_does() -> None:
    world = World(probe=lambda: len(world.probed_at) > 3)
    world.fail(3)
    world.endpoint.probe_now()
    world.endpoint.acquire()
    assert world.probed_at == pytest.approx([0, 10, 30, 70], abs=0.1)
    assert world.endpoint.health().down_for is None


def test_probe_that_raises_lets_another_worker_probe() -> None:
    def broken() -> bool:
        raise FatalError("the certificate is not trusted")

    world = World(probe=broken)
    world.fail(FAILURES_TO_OPEN)
    for expected in (1, 2):
        with pytest.raises(FatalError, match="certificate"):
            world.endpoint.acquire()
        assert len(world.probed_at) == expected


def test_stop_ends_a_wait() -> None:
    world = World(workers=1)
    world.endpoint.acquire()
    world.stop.set()
    with pytest.raises(Cancelled):
        world.endpoint.acquire()


def test_many_threads_never_exceed_the_limit_and_none_is_forgotten() -> None:
    endpoint = Endpoint("bucket", 8, 1800.0, threading.Event())
    endpoint.failed(endpoint.acquire(), refused(overloaded=True))  # 4 admitted, growing back
    lock, now, most, done = threading.Lock(), 0, 0, 0

    def work() -> None:
        nonlocal now, most, done
        for _ in range(50):
            permit: Permit = endpoint.acquire()
            with lock:
                now += 1
                most = max(most, now)
                assert now <= 8
            with lock:
                now -= 1
                done += 1
            endpoint.succeeded(permit)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (done, now, endpoint.in_flight) == (600, 0, 0)
    assert 1 <= most <= 8


def test_outage_is_logged_at_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    assert caplog.text == ""
    world.fail(1, advice="Ask the owner.")
    said = "the source is down: refused; probing, exit code 3 after 30 min. Ask the owner."
    assert [record.getMessage() for record in caplog.records] == [said]
    world.fail(1)  # the probe
    world.succeed(2)
    assert [record.getMessage() for record in caplog.records] == [said, "the source is up again"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_outage_over_the_limit_gives_the_advice() -> None:
    world = World(probe=lambda: False)
    world.fail(FAILURES_TO_OPEN, advice="Ask the owner.")
    with pytest.raises(FatalError, match=r"longer than OUTAGE_LIMIT \(refused\)\. Ask the owner\."):
        world.endpoint.acquire()


def test_throttled_attempts_are_no_outage_however_many_they_are() -> None:
    world = World()
    for _ in range(3 * FAILURES_TO_OPEN):
        world.fail(1, throttled=True)
    health = world.endpoint.health()
    assert (health.down_for, health.times_opened, health.limit) == (None, 0, 120)


def test_throttled_attempts_neither_break_a_row_of_failures_nor_lengthen_it() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    world.fail(10, throttled=True)
    assert world.endpoint.health().down_for is None
    world.fail(1)
    assert world.endpoint.health().down_for == 0.0


def test_attempts_are_spaced_from_the_first_throttled_one_on() -> None:
    world = World()
    world.succeed(9)
    world.fail(1, throttled=True)  # nine of ten got through in that second
    began = []
    for _ in range(4):
        permit = world.endpoint.acquire()
        began.append(round(world.clock.now - 1000, 2))
        world.endpoint.succeeded(permit)
    assert began == pytest.approx(
        [1.0, 1.14, 1.28, 1.42], abs=0.02
    )  # a second of silence, then 0.8 x 9 a second


def test_retry_after_of_a_throttled_attempt_is_its_urls_own_while_others_get_through() -> None:
    world = World()
    world.succeed(9)
    world.fail(1, throttled=True, retry_after=30.0)
    world.endpoint.acquire()
    assert world.clock.now - 1000 == pytest.approx(1.0, abs=0.01)


def test_retry_after_is_everybodys_while_nothing_gets_through() -> None:
    world = World(probe=lambda: False)
    for _ in range(6):
        world.fail(1, throttled=True, retry_after=30.0)
    assert world.clock.now - 1000 > 30.0


def test_side_that_throttles_everything_for_too_long_stops_the_run() -> None:
    world = World(probe=lambda: False)
    with pytest.raises(
        FatalError, match=r"source has throttled every request for 18\d\d s.*OUTAGE_LIMIT \(refused\)"
    ):
        while True:
            world.fail(1, throttled=True)
    assert 1800 <= world.clock.now - 1000 < 1805
    assert len(world.probed_at) == pytest.approx(30, abs=1)  # once a minute: it may be these URLs alone


def test_side_that_throttles_but_answers_the_probe_goes_on() -> None:
    world = World(probe=lambda: True)
    while world.clock.now < 1000 + 2 * 1800:
        world.fail(1, throttled=True)
    assert world.endpoint.newest_success > 0


def test_outage_leaves_the_rate_that_was_found() -> None:
    world = World(probe=lambda: True)
    world.succeed(9)
    world.fail(1, throttled=True)
    world.succeed(3)
    rate = world.endpoint._limits.rate
    assert rate is not None
    before = rate.rate
    world.fail(FAILURES_TO_OPEN)
    world.succeed(1)
    assert world.endpoint._limits.rate is rate and rate.rate >= before


def test_throttling_that_is_over_costs_nothing_after_a_minute() -> None:
    world = World()
    world.fail(1, throttled=True)
    world.succeed(1)
    world.clock.now += 61.0
    world.succeed(1)
    assert world.endpoint._limits.rate is None


def test_side_that_parks_waits_briefly_for_its_rate_and_parks_otherwise() -> None:
    world = World()
    world.endpoint.parks = True
    world.succeed(9)
    world.fail(1, throttled=True)
    with pytest.raises(Parked):
        world.endpoint.acquire()
    assert not world.endpoint.is_available()
    world.clock.now += 0.9
    assert world.endpoint.is_available()
    world.endpoint.acquire()
    assert world.clock.now - 1000 == pytest.approx(1.0, abs=0.01)


def test_first_throttling_is_said(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.fail(5, throttled=True)
    assert [record.getMessage() for record in caplog.records] == [
        "the source throttles (refused): finding the rate that it allows"
    ]


def test_what_waiting_does_not_help_stops_the_run_where_nothing_has_succeeded() -> None:
    world = World()
    error = PermanentError("forbidden", "a redirect elsewhere", doubtful=True, remedy="Set X=1")
    for _ in range(FAILURES_TO_OPEN - 1):
        world.endpoint.failed(world.endpoint.acquire(), error, "Set X=1", waiting_helps=False)
    with pytest.raises(
        FatalError, match=r"answers every URL so, for example: a redirect elsewhere\. Set X=1"
    ):
        world.endpoint.failed(world.endpoint.acquire(), error, "Set X=1", waiting_helps=False)


def test_what_waiting_does_not_help_is_an_outage_after_a_success() -> None:
    world = World()
    world.succeed(1)
    error = PermanentError("forbidden", "a redirect elsewhere", doubtful=True, remedy="Set X=1")
    for _ in range(FAILURES_TO_OPEN):
        world.endpoint.failed(world.endpoint.acquire(), error, "Set X=1", waiting_helps=False)
    assert world.endpoint.health().down_for == 0
