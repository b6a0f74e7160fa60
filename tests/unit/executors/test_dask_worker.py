"""The side of a Dask worker, with queues and a Dask worker that are none: whom it listens to, and when it goes."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cdn2s3.errors import FatalError
from cdn2s3.executors import dask_worker as under_test
from cdn2s3.executors.base import InFlight
from cdn2s3.executors.dask_messages import SILENCE, Told, packed, unpacked
from cdn2s3.executors.dask_worker import Gone, QueueChannel
from cdn2s3.records import Task
from cdn2s3.transfer.outcome import Done, Result

URL = "https://cdn.example/1.jpg"
TASK = "cdn2s3-run-0"
SOON = 20.0  # seconds; what takes longer hangs


class Clock:
    """The time of the module, which only a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class FakeQueue:
    """A queue of Dask's; `broken` is what it raises from then on."""

    def __init__(self) -> None:
        self.content: queue.Queue[bytes] = queue.Queue()
        self.broken: Exception | None = None

    def put(self, content: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.content.put(content)

    def get(self, timeout: float) -> bytes:
        try:
            content = self.content.get(timeout=0.02)
        except queue.Empty:
            if self.broken is not None:
                raise self.broken from None
            raise TimeoutError from None
        return content


class Scene:
    """A channel whose Dask worker and coordinator are there, until a test lets one of them go."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.up, self.down = FakeQueue(), FakeQueue()
        self.stop = threading.Event()
        self.channel = QueueChannel(self.down, self.up, 3, 0, self.stop)
        self.task = SimpleNamespace(state="executing")
        self.worker = SimpleNamespace(
            state=SimpleNamespace(tasks={TASK: self.task}), status=SimpleNamespace(name="running")
        )
        self.channel.begin(SimpleNamespace(bandwidth=None, sources=None), object())  # type: ignore[arg-type]
        self.channel.watch(self.worker, TASK)

    def told(self) -> list[Told]:
        return [unpacked(self.up.content.get_nowait()) for _ in range(self.up.content.qsize())]

    def sign_of_life(self, after: float) -> None:
        """Let the coordinator be heard of after so many seconds."""
        self.clock.now += after
        self.down.put(packed([]))
        until(lambda: self.channel._heard_at == self.clock.now)


def until(is_true: Callable[[], bool]) -> None:
    """Wait for another thread; fail after SOON."""
    end = time.monotonic() + SOON
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    clock = Clock()
    monkeypatch.setattr(under_test, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(under_test, "time", clock)
    made = Scene(clock)
    yield made
    made.channel._leave()


def done_with(url: str = URL) -> Done:
    return Done(Task(url), Result(url, "", cause="not_found", message="the CDN answered 404"))


def assert_gone(scene: Scene) -> None:
    assert scene.channel._is_gone.wait(SOON)
    assert scene.stop.wait(SOON)
    assert list(scene.channel.queue) == []
    with pytest.raises(Gone):
        report(scene, done_with())


def report(scene: Scene, *done: Done) -> None:
    """Let the channel report, so late that it tells at once."""
    scene.clock.now += 1
    scene.channel.report(list(done), [], InFlight(), 0)


def cancel(scene: Scene) -> None:
    scene.task.state = "cancelled"


def forget(scene: Scene) -> None:
    scene.worker.state.tasks.clear()


def close_worker(scene: Scene) -> None:
    scene.worker.status.name = "closing"


def lose_the_orders(scene: Scene) -> None:
    scene.down.broken = OSError("in the middle of a stream")


@pytest.mark.parametrize(
    "happens", [cancel, forget, close_worker, lose_the_orders], ids=lambda one: one.__name__
)
def test_worker_goes_when_nobody_wants_its_task(scene: Scene, happens: Callable[[Scene], None]) -> None:
    assert not scene.stop.wait(0.05), "it went for no reason"
    happens(scene)
    assert_gone(scene)


def test_worker_goes_after_silence(scene: Scene) -> None:
    for _ in range(3):
        scene.sign_of_life(after=SILENCE - 1)
        assert not scene.stop.wait(0.05), "it went while its coordinator was there"
    scene.clock.now += SILENCE + 1
    assert_gone(scene)


def test_worker_goes_when_its_report_cannot_be_sent(scene: Scene) -> None:
    scene.up.broken = RuntimeError("whatever Dask says")
    with pytest.raises(Gone):
        report(scene, done_with())
    assert scene.stop.is_set()


def test_tasks_come_until_the_end_is_told(scene: Scene) -> None:
    scene.down.put(packed([Task(URL)]))
    scene.down.put(packed([Task(URL + "?2")]))
    scene.down.put(packed(None))
    assert [task.url for task in scene.channel.queue] == [URL, URL + "?2"]
    assert not scene.stop.is_set()


def test_order_to_stop_stops(scene: Scene) -> None:
    scene.down.put(packed("stop"))
    assert scene.stop.wait(SOON)
    assert list(scene.channel.queue) == []
    report(scene, done_with())  # what is in flight ends, and is told
    assert [len(told.report.done) for told in scene.told()][-1] == 1


@pytest.mark.parametrize("order", [None, "stop"], ids=str)
def test_worker_that_was_told_the_end_stays_while_its_coordinator_is_there(
    scene: Scene, order: object
) -> None:
    """Its last uploads may take a minute, and the outage that its last URLs met half an hour."""
    scene.down.put(packed(order))
    for _ in range(3):
        scene.sign_of_life(after=SILENCE - 1)
        assert not scene.channel._is_gone.wait(0.05), "it went while its coordinator was there"
    report(scene, done_with())
    assert [len(told.report.done) for told in scene.told()][-1] == 1
    scene.clock.now += SILENCE + 1
    assert_gone(scene)


def test_order_to_stop_is_heard_after_the_end(scene: Scene) -> None:
    scene.down.put(packed(None))
    assert list(scene.channel.queue) == []
    scene.down.put(packed("stop"))
    assert scene.stop.wait(SOON)


def test_end_tells_what_is_left_and_what_stopped_it(scene: Scene) -> None:
    scene.channel.report([done_with()], [], InFlight(), 0)  # too early for a report of its own
    scene.channel.end(FatalError("AccessDenied"))
    last = scene.told()[-1]
    assert (last.member, last.has_ended, last.report.error) == (3, True, ("AccessDenied", 3))
    assert [done.task.url for done in last.report.done] == [URL]


def test_log_goes_to_the_coordinator_and_not_to_dask(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with under_test._log_of(scene.channel, "INFO"):
        logging.getLogger("cdn2s3.cdn").warning("the source is down (%s)", "503")
    logging.getLogger("cdn2s3.cdn").warning("somebody else's")
    assert [record.message for record in scene.channel.take_records()] == ["the source is down (503)"]
    assert [record.getMessage() for record in caplog.records] == ["somebody else's"]


def test_bug_is_told_to_the_coordinator_and_not_raised(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*unused: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(under_test, "_move", broken)
    job = SimpleNamespace(settings=SimpleNamespace(log_level="INFO"))
    under_test._serve(scene.channel, scene.stop, job)  # type: ignore[arg-type]
    assert scene.told()[-1].report.error == ("a bug in this tool stopped it: KeyError('x')", 3)
