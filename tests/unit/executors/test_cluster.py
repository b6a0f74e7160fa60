"""The coordinator of a Dask cluster, with a connection that is none: who gets what, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.errors import FatalError
from cdn2s3.executors import cluster as under_test
from cdn2s3.executors import dask_member, left_out
from cdn2s3.executors.base import InFlight
from cdn2s3.executors.cluster import Cluster
from cdn2s3.executors.code_version import CODE
from cdn2s3.executors.dask_client import Lost, News, Present, Versions
from cdn2s3.executors.dask_messages import Job, NewBandwidth, Received, Told, packed
from cdn2s3.executors.handing_out import LogRecord, Report
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.records import Share, Stored, Task
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.state.ledger import Ledger, completed
from cdn2s3.state.lines import whole_lines
from cdn2s3.transfer.limiting import Limiting, text_of
from cdn2s3.transfer.outcome import Done, Result

URLS = [f"https://cdn.example/{number}.jpg" for number in range(40)]
A, B, C = "tcp://10.0.0.1:4001", "tcp://10.0.0.1:4002", "tcp://10.0.0.2:4001"


class FakeLine:
    def __init__(self, address: str, member: int, job: Job) -> None:
        self.address, self.member, self.job = address, member, job
        self.orders: list[object] = []
        self.has_ended = False
        self.is_closed = False
        self._taken = 0

    def send(self, order: object) -> None:
        assert not self.is_closed, "an order after the end"
        self.orders.append(order)

    def close(self) -> None:
        self.is_closed = True

    def new_tasks(self) -> list[Task]:
        """Return the tasks that have come since the last call."""
        taken, self._taken = self._taken, len(self.tasks)
        return self.tasks[taken:]

    @property
    def tasks(self) -> list[Task]:
        return [task for order in self.orders if isinstance(order, list) for task in order]


class FakeConnection:
    """What a test puts into `coming` is the next news."""

    address = "tcp://10.0.0.9:8786"
    silent_for = 0.0

    def __init__(self) -> None:
        self.coming: list[News] = []
        self.lines: list[FakeLine] = []

    def news(self, seconds: float) -> list[News]:
        coming, self.coming = self.coming, []
        return coming

    def begin(self, address: str, member: int, job: Job) -> FakeLine:
        self.lines.append(FakeLine(address, member, job))
        return self.lines[-1]

    def there(self, *addresses: str) -> None:
        self.coming += [Present(frozenset(addresses)), Versions(dict.fromkeys(addresses, CODE))]


class Scene:
    """A cluster that runs, step by step."""

    def __init__(self, folder: Path, urls: Iterable[str] = URLS, **settings: str) -> None:
        given = {
            "DESTINATION_BUCKET": "bucket",
            "URL_PREFIX": "https://cdn.example/",
            "CONCURRENCY": "4",
            **settings,
        }
        self.settings = build(MigrationSettings, given, {}, Path("migration.env"))
        self.ledger = Ledger(folder)
        self.folder = folder
        self.there = FakeConnection()
        self.cluster = Cluster(
            self.there,
            self.settings,
            {"s3": "known"},
            self.ledger,
            [],
            Path("migration.env"),
            0,  # type: ignore[arg-type]
        )
        self.done: list[Done] = []
        self.run: Generator[list[Done], None, None] = self.cluster.run(Task(url) for url in urls)

    def step(self, *news: News) -> None:
        self.there.coming += news
        self.done += next(self.run, [])

    def to_the_end(self, rounds: int = 50) -> None:
        """Let every worker do what it has, and end when it is told."""
        for _ in range(rounds):
            for line in self.there.lines:
                if not line.is_closed:
                    self.there.coming.append(self.told(line, line.new_tasks(), has_ended=None in line.orders))
            try:
                self.done += next(self.run)
            except StopIteration:
                return
        raise AssertionError("it does not end")

    @staticmethod
    def told(line: FakeLine, tasks: Iterable[Task] = (), has_ended: bool = False, **report: Any) -> Told:
        given: dict[str, Any] = {"limiting": [], "records": [], **report}
        return Told(
            line.member, Report([Done(task, result_of(task.url)) for task in tasks], **given), has_ended
        )

    def rows(self) -> list[str]:
        rows = [completed(line) for line in whole_lines(self.folder / COMPLETED_FILE)]
        return [row.url for row in rows if row is not None]


def result_of(url: str) -> Result:
    if url.endswith("7.jpg"):
        return Result(url, "", cause="not_found", message="the CDN answered 404")
    return Result(url, url[-8:], Stored("etag", 5, "-", already_there=False), "image/jpeg")


@pytest.fixture
def new_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(urls: Iterable[str] = URLS, **settings: str) -> Scene:
        made.append(Scene(tmp_path, urls, **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.cluster._handles.clear()  # nobody ends them
        scene.run.close()
        scene.ledger.completed.close()
        scene.ledger.failed.close()


@pytest.fixture
def scene(new_scene: Callable[..., Scene]) -> Scene:
    return new_scene()


def begun(scene: Scene, *addresses: str) -> list[FakeLine]:
    """Let workers at addresses be there, and ready."""
    scene.there.there(*addresses)
    scene.step()
    scene.step(*[scene.told(line) for line in scene.there.lines])
    return scene.there.lines


def test_each_url_is_recorded_once_by_the_coordinator(scene: Scene) -> None:
    begun(scene, A, B)
    scene.to_the_end()
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)
    assert sorted(scene.rows()) == sorted(url for url in URLS if not url.endswith("7.jpg"))
    assert len(list(whole_lines(scene.folder / FAILED_FILE))) == 4


def test_concurrency_is_a_machines_and_divided_among_its_workers(scene: Scene) -> None:
    lines = begun(scene, A, B, C)
    shares = {line.address: line.job.share for line in lines}
    assert shares == {A: Share(0, 2), B: Share(1, 2), C: Share(0, 1)}
    assert [shares[address].workers(4) for address in (A, B, C)] == [2, 2, 4]


def test_bandwidth_is_the_runs_and_divided_as_workers_come_and_go(new_scene: Callable[..., Scene]) -> None:
    scene = new_scene(BANDWIDTH_LIMIT_MBPS="80")
    first = begun(scene, A)[0]
    assert first.job.bandwidth == 10e6
    scene.there.there(A, B, C)
    scene.step()
    assert [line.job.bandwidth for line in scene.there.lines[1:]] == [10e6 / 3, 10e6 / 3]
    assert first.orders[-1] == NewBandwidth(10e6 / 3)
    scene.step(Present(frozenset({A, B})))
    scene.step()
    assert [order for order in first.orders if isinstance(order, NewBandwidth)][-1] == NewBandwidth(5e6)


def test_urls_of_a_worker_that_is_gone_go_to_others(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    first, second = begun(scene, A, B)
    left = set(first.tasks)
    assert left
    scene.step(Present(frozenset({B})))
    scene.to_the_end()
    assert left <= set(second.tasks)
    assert f"the Dask worker {A} is gone: others take over its {len(left)} URLs" in caplog.text
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)


def test_report_of_a_worker_that_was_given_up_is_ignored(scene: Scene) -> None:
    first, _ = begun(scene, A, B)
    scene.step(Present(frozenset({B})))
    scene.step(scene.told(first, first.tasks))
    scene.to_the_end()
    assert len(scene.rows()) == len(set(scene.rows())) == 36


def test_last_words_of_a_task_that_has_ended_count(scene: Scene) -> None:
    first, _ = begun(scene, A, B)
    first.has_ended = True
    scene.step()
    scene.step(scene.told(first, first.tasks, has_ended=True))
    assert {done.task.url for done in scene.done} == {task.url for task in first.tasks}


def test_worker_whose_task_dask_has_lost_begins_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_member, "_LAST_WORDS", 0.0)
    first, _ = begun(scene, A, B)
    first.has_ended = True
    scene.step()
    assert first.is_closed
    scene.step()
    assert [line.address for line in scene.there.lines] == [A, B, A]
    scene.to_the_end()
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)


def test_worker_that_comes_late_gets_urls(new_scene: Callable[..., Scene]) -> None:
    late = new_scene([f"https://cdn.example/{number}.jpg" for number in range(1000)])
    begun(late, A)
    late.there.there(A, C)
    late.step()
    line = late.there.lines[-1]
    late.step(late.told(line))
    assert line.address == C
    assert line.tasks


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "cdn2s3 0.9 (abc), Python 3.12",
            f"has other code than this machine: there cdn2s3 0.9 (abc), Python 3.12, here {CODE}",
        ),
        (ModuleNotFoundError("no module"), "does not find this project's code (ModuleNotFoundError)"),
    ],
    ids=["version", "none"],
)
def test_worker_with_other_code_is_named_and_gets_no_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: object, said: str
) -> None:
    monkeypatch.setattr(left_out, "_HOLD", 0.0)
    scene.there.coming += [Present(frozenset({A, C})), Versions({A: CODE, C: answer})]
    scene.step()
    scene.step()
    scene.to_the_end()
    assert [line.address for line in scene.there.lines] == [A]
    assert f"the Dask worker {C} is left out: the Dask worker {said}" in caplog.text


def test_what_stops_one_worker_leaves_the_others_at_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(left_out, "_HOLD", 0.0)
    first, _ = begun(scene, A, C)
    scene.step(scene.told(first, error=("no AWS credentials were found.", 3), has_ended=True))
    scene.to_the_end()
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)
    assert caplog.text.count("no AWS credentials were found") == 1
    assert f"the Dask worker {A} is left out: no AWS" in caplog.text


def test_what_stops_all_workers_ends_the_run_and_is_said_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    lines = begun(scene, A, C)
    with pytest.raises(FatalError, match=r"AccessDenied.*Dask worker .*, and no other of the 2") as caught:
        scene.step(*[scene.told(line, error=("AccessDenied", 3), has_ended=True) for line in lines])
        for _ in range(5):
            next(scene.run)
    assert caught.value.exit_code == 3
    assert "AccessDenied" not in caplog.text


def test_nobody_there_is_an_error_that_says_what_to_type(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_FIRST_WORKER", 0.0)
    with pytest.raises(
        FatalError, match=r"no Dask worker has been at tcp://10.0.0.9:8786.*python -m dask worker tcp"
    ):
        for _ in range(5):
            scene.step(Present(frozenset()))
            if scene.cluster._error:
                next(scene.run)


def test_run_waits_for_workers_and_says_so(scene: Scene) -> None:
    first = begun(scene, A)[0]
    scene.step(Present(frozenset()))
    scene.step()
    assert text_of(scene.cluster.limiting()).startswith("waiting for Dask workers for")
    assert scene.cluster.limiting()[0].is_down
    begun(scene, C)
    assert set(first.tasks) <= set(scene.there.lines[-1].tasks)
    assert scene.cluster.limiting() == []


def out_of_patience(scene: Scene) -> None:
    """Let OUTAGE_LIMIT be over for a cluster that waits for workers."""
    assert scene.cluster._nobody_since is not None
    scene.cluster._nobody_since -= scene.settings.outage_limit


def test_run_whose_last_worker_does_not_come_back_ends_after_the_outage_limit(scene: Scene) -> None:
    begun(scene, A)
    scene.step(Present(frozenset()))
    scene.step()
    assert scene.cluster._error is None
    out_of_patience(scene)
    with pytest.raises(
        FatalError, match=r"no Dask worker has been at tcp://10.0.0.9:8786 for 30 min"
    ) as caught:
        scene.step()
        next(scene.run)
    assert caught.value.exit_code == 3


def test_unfit_worker_does_not_end_a_run_whose_last_good_one_may_come_back(scene: Scene) -> None:
    first = begun(scene, A)[0]
    scene.there.coming += [Present(frozenset({A, C})), Versions({C: "cdn2s3 0.9 (abc), Python 3.12"})]
    scene.step()
    scene.step(Present(frozenset({C})))  # A died, and its nanny starts another one
    scene.step()
    assert text_of(scene.cluster.limiting()).startswith("waiting for Dask workers for")
    scene.there.coming += [Present(frozenset({B, C})), Versions({B: CODE})]
    scene.step()
    scene.to_the_end()
    assert set(first.tasks) <= set(scene.there.lines[-1].tasks)
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)


def test_run_that_is_left_with_unfit_workers_says_why_when_its_patience_ends(scene: Scene) -> None:
    begun(scene, A)
    scene.there.coming += [Present(frozenset({A, C})), Versions({C: "cdn2s3 0.9 (abc), Python 3.12"})]
    scene.step()
    scene.step(Present(frozenset({C})))
    scene.step()
    out_of_patience(scene)
    with pytest.raises(
        FatalError, match=r"other code than this machine.*\(Dask worker tcp://10.0.0.2:4001\)"
    ):
        scene.step()
        next(scene.run)


def test_scheduler_that_is_gone_ends_the_run(scene: Scene) -> None:
    first = begun(scene, A)[0]
    scene.step(scene.told(first, first.tasks[:5]))
    with pytest.raises(FatalError, match=r"the Dask scheduler at tcp://10.0.0.9:8786 is gone \(reset\)"):
        scene.step(Lost("reset"))
        next(scene.run)
    assert len(scene.rows()) == 5


def test_stop_ends_when_the_uploads_have_ended_and_records_them(scene: Scene) -> None:
    first = begun(scene, A)[0]
    scene.cluster.stop()
    scene.step()
    assert "stop" in first.orders
    scene.step(scene.told(first, first.tasks[:2], in_flight=InFlight(3)))
    assert scene.cluster.in_flight().uploads == 3
    scene.step(scene.told(first, first.tasks[2:4], has_ended=True))
    assert next(scene.run, None) is None
    assert len(scene.rows()) == 4


def test_disk_that_is_full_stops_all_and_what_is_not_recorded_is_not_counted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begun(scene, A)[0]

    def full(records: object) -> None:
        raise FatalError("cannot write completed.txt: No space left on device")

    monkeypatch.setattr(scene.ledger, "record_all", full)
    scene.step(scene.told(first, first.tasks[:3]))
    assert scene.done == []
    assert "stop" in first.orders
    with pytest.raises(FatalError, match="No space left"):
        scene.step(scene.told(first, has_ended=True))
        next(scene.run)


def test_worker_that_alone_finds_an_endpoint_down_is_set_aside(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dask_member, "DOWN_ALONE", 0.0)
    monkeypatch.setattr(left_out, "_HOLD", 0.0)
    first, second = begun(scene, A, C)
    scene.step(scene.told(first, limiting=[Limiting("source", note="down", is_down=True)]))
    scene.step()
    assert first.orders[-1] == "stop"
    assert first.is_closed
    scene.to_the_end()
    assert set(first.tasks) <= set(second.tasks)
    assert "it alone has found the source down" in caplog.text


def test_outage_that_all_see_sets_nobody_aside(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_member, "DOWN_ALONE", 0.0)
    lines = begun(scene, A, C)
    down = [Limiting("source", note="down", is_down=True)]
    scene.step(*[scene.told(line, limiting=down) for line in lines])
    scene.step()
    assert not any(line.is_closed for line in lines)


def test_all_get_an_url_that_works_for_their_probe(scene: Scene) -> None:
    first, second = begun(scene, A, C)
    scene.step(scene.told(first, first.tasks[:3]))
    assert [order for order in second.orders if isinstance(order, Received)] == [Received(first.tasks[0].url)]
    scene.there.there(A, B, C)
    scene.step()
    assert list(scene.there.lines[-1].job.received_before) == [first.tasks[0].url]


def test_messages_name_the_machine_and_are_said_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines = begun(scene, A, C)
    record = LogRecord(logging.WARNING, "the source is down (503)", ("endpoint", 5, "source"))
    scene.step(*[scene.told(line, records=[record]) for line in lines])
    assert [one.getMessage() for one in caplog.records if "503" in one.getMessage()] == [
        "10.0.0.1: the source is down (503)"
    ]


def test_job_holds_no_secret(new_scene: Callable[..., Scene]) -> None:
    secrets = {"SOURCE_HEADERS": "Cookie: CANARY7f3a", "NOTIFY_COMMAND": "curl CANARY7f3a"}
    scene = new_scene(**secrets)
    line = begun(scene, A)[0]
    assert b"CANARY" not in packed(line.job)
    assert line.job.headers.fits(scene.settings.source_headers)
    assert not line.job.headers.fits(line.job.settings.source_headers)


def test_worker_that_is_busy_with_something_else_holds_nothing_up(scene: Scene) -> None:
    scene.there.there(A, B)
    scene.step()
    first, never = scene.there.lines
    scene.step(scene.told(first))
    for _ in range(10):
        if not first.is_closed:
            scene.there.coming.append(scene.told(first, first.new_tasks(), has_ended=None in first.orders))
        scene.done += next(scene.run, [])
    assert sorted(done.task.url for done in scene.done) == sorted(URLS)
    assert never.tasks == []
    assert never.is_closed
