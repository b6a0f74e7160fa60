"""A parking lot keeps the order, whatever its size, and hands out only what can be done now."""

from __future__ import annotations

import threading

import pytest

from cdn2s3.errors import FatalError, Parked, TransientError
from cdn2s3.executors import parking
from cdn2s3.executors.base import TaskQueue
from cdn2s3.executors.parking import Parking, ParkingLot
from cdn2s3.records import Recorded, Task
from cdn2s3.resilience.circuit_breaker import FAILURES_TO_OPEN, FIRST_PROBE
from cdn2s3.resilience.endpoint import Endpoint


def test_lot_keeps_the_order_of_more_than_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "_IN_MEMORY", 3)
    monkeypatch.setattr(parking, "_AT_A_TIME", 2)
    lot, taken = ParkingLot(), []
    recorded = [None, Recorded("stored", "é"), Recorded("-", "-")]
    tasks = [
        Task(f"https://h/{n}\udcff\tkey=é", n, "timeout", bool(n % 2), recorded[n % 3]) for n in range(20)
    ]
    for task in tasks[:12]:
        lot.put(task)
    for task in tasks[12:]:
        taken.append(lot.take())
        lot.put(task)
    assert len(lot) == 12
    while lot:
        taken.append(lot.take())
    assert taken == tasks
    assert {type(task.recorded) for task in taken} == {type(None), Recorded}
    lot.put(tasks[0])
    assert lot.take() == tasks[0]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sources(clock: Clock, stop: threading.Event) -> list[Endpoint]:
    found = [Endpoint(f"source {n}", 100, 60.0, stop, lambda: False, clock) for n in range(2)]
    for source in found:
        source.parks = True
    return found


def take_down(source: Endpoint) -> None:
    for permit in [source.acquire() for _ in range(FAILURES_TO_OPEN)]:
        source.failed(permit, TransientError("connection", "refused"))


def test_tasks_of_a_source_that_is_down_wait_for_its_probe(clock: Clock) -> None:
    down, up = sources(clock, threading.Event())
    take_down(down)
    lots = Parking([down, up])
    lots.put(Task("down"), 0)
    assert lots.take() is None
    with pytest.raises(Parked):
        down.acquire()
    lots.put(Task("up"), 1)
    assert lots.take() == Task("up")
    clock.now = FIRST_PROBE
    assert lots.take() == Task("down")  # who takes it probes
    with pytest.raises(Parked):
        down.acquire()  # the probe has failed
    lots.put(Task("down"), 0)
    assert lots.take() is None
    lots.check_outage_limit()
    clock.now = 60.0
    lots.put(Task("up"), 1)
    lots.check_outage_limit()  # something else is left
    assert lots.take() == Task("down") and lots.take() == Task("up")
    lots.put(Task("down"), 0)
    with pytest.raises(FatalError, match="the source 0 has been down for 60 s"):
        lots.check_outage_limit()


def test_source_that_asks_for_a_pause_parks_too(clock: Clock) -> None:
    source, _ = sources(clock, threading.Event())
    permit = source.acquire()
    source.failed(permit, TransientError("throttled", "429", retry_after=30.0))
    assert not source.is_available()
    with pytest.raises(Parked):
        source.acquire()
    clock.now = 31.0
    assert source.is_available()


def test_queue_does_not_end_before_its_parking_is_empty(clock: Clock) -> None:
    stop = threading.Event()
    down, up = sources(clock, stop)
    take_down(down)
    queue = TaskQueue([Task("a"), Task("b")])
    queue.park_at([down, up], stop)
    first = next(queue)
    queue.park(first, 0)
    assert next(queue) == Task("b")
    assert (queue.has_more, queue.parked) == (True, 1)
    clock.now = FIRST_PROBE
    assert list(queue) == [Task("a")]
    queue.park(first, 0)
    clock.now = 0.0
    stop.set()
    assert list(queue) == []
