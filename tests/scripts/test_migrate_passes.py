"""One run of migrate.py over an executor that moves nothing: its two passes, and books that are always closed."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Callable

import pytest

import migrate
from cdn2s3.console.notify import Notifier
from cdn2s3.console.signals import Signals
from cdn2s3.errors import FatalError
from cdn2s3.executors.base import InFlight
from cdn2s3.planning.run_plan import Choice, prepare_run
from cdn2s3.records import Stored, Task
from cdn2s3.reports.accounting import RunAccounting
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.state.journal import Journal
from cdn2s3.state.ledger import Ledger
from cdn2s3.state.status_file import StatusFile
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done, Result

PREFIX = "https://cdn.example/"
BATCH = 100  # URLs between two looks at the results


def stored(url: str) -> Result:
    return Result(url, url[-8:], Stored("etag", 5, "-", already_there=False), "image/jpeg")


def broken(url: str) -> Result:
    return Result(url, url[-8:], cause="server_error", message="the CDN answered 500")


class FakeExecutor:
    """Record a result for each task, as a pool of workers does."""

    def __init__(self, ledger: Ledger, result_of: Callable[[str], Result]) -> None:
        self._ledger = ledger
        self._result_of = result_of
        self._stopped = False

    def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        batch: list[Done] = []
        for task in tasks:
            if self._stopped:
                break
            batch.append(Done(task, self._result_of(task.url)))
            self._ledger.record(batch[-1].result.record(0))
            if len(batch) == BATCH:
                yield batch
                batch = []
        yield batch

    def stop(self) -> None:
        self._stopped = True

    def limiting(self) -> list[Limiting]:
        return []

    def in_flight(self) -> InFlight:
        return InFlight()


Equipped = Callable[[Ledger], "AbstractContextManager[FakeExecutor]"]


class World:
    """A folder with urls.txt, and runs over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def urls(self, count: int) -> list[str]:
        urls = [f"{PREFIX}{number:05}.jpg" for number in range(count)]
        (self.folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        return urls

    def run(
        self,
        result_of: Callable[[str], Result] = stored,
        watch_errors: bool = True,
        equipped: Equipped | None = None,
    ) -> int:
        """Do one run; return its exit code. equipped gives the executor, a FakeExecutor by default."""
        settings = build(
            MigrationSettings,
            {
                "DESTINATION_BUCKET": "bucket",
                "URL_PREFIX": PREFIX,
                "STATE_DIR": str(self.folder),
                "SOURCE_URLS_FILE": str(self.folder / "urls.txt"),
            },
            {},
            Path("migration.env"),
        )
        keys = key_maker(settings)
        job = prepare_run(settings, keys, Choice(), 0)
        ledger = Ledger(self.folder)
        give = equipped or (lambda ledger: nullcontext(FakeExecutor(ledger, result_of)))
        try:
            with Journal(self.folder, "migrate.py") as journal:
                accounting = RunAccounting(settings, job, ledger, journal, Notifier("migrate.py", ""))
                status = StatusFile(self.folder, "migrate.py", 0)
                run = migrate.Run(settings, accounting, Signals(), watch_errors, status)
                journal.exit_code = run.go(lambda: give(ledger), None)
                return journal.exit_code
        finally:
            ledger.completed.close()
            ledger.failed.close()

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / "migration_report.json").read_text())
        return report


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(migrate, "SECOND_PASS_AFTER", 0.0)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield World(tmp_path)
    for number, handler in before.items():
        signal.signal(number, handler)


def one_in(share: int) -> Callable[[str], Result]:
    """Return what fails one URL in so many, for ever."""
    return lambda url: broken(url) if int(url[len(PREFIX) : -4]) % share == 0 else stored(url)


def test_second_pass_over_many_broken_urls_ends_as_some_failed(world: World) -> None:
    world.urls(2400)
    assert world.run(one_in(3)) == 1  # the last 1,000 results: 800 of the second pass, all of them failures
    assert (world.report()["ended_by"], world.report()["run"]["failed"]) == ("", 800)


@pytest.mark.parametrize(("watch_errors", "code"), [(True, 3), (False, 1)])
def test_first_pass_stops_over_the_error_rate_where_it_is_watched(
    world: World, watch_errors: bool, code: int
) -> None:
    world.urls(2400)
    assert world.run(broken, watch_errors) == code
    assert ("MAX_ERROR_RATE" in world.report()["ended_by"]) == watch_errors


@pytest.mark.parametrize("moment", ["while the bucket is probed", "while the pools close"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_outside_the_passes_ends_with_the_books_in_order(
    world: World, moment: str, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.urls(300)
    early = moment == "while the bucket is probed"

    @contextmanager
    def interrupted(ledger: Ledger) -> Iterator[FakeExecutor]:
        if early:
            os.kill(os.getpid(), number)
        yield FakeExecutor(ledger, one_in(3))
        os.kill(os.getpid(), number)

    assert world.run(equipped=interrupted) == 128 + number
    report = world.report()
    assert (report["verdict"], report["exit_code"]) == ("interrupted", 128 + number)
    lines = {name: report["lines"][name] for name in ("completed", "failed", "not_tried", "add_up")}
    done = {"completed": 0, "failed": 0, "not_tried": 300} if early else {"completed": 200, "failed": 100}
    assert lines == {"not_tried": 0, "add_up": True, **done}
    failed = (world.folder / "failed_transfers.txt").read_text().splitlines()
    assert len(failed) == lines["failed"]  # each once, though both passes recorded it: it was rebuilt
    assert (f"stopped by {number.name} before anything was moved" in caplog.text) == early


def test_signal_after_the_books_were_closed_does_not_undo_the_end(world: World) -> None:
    world.urls(1)
    assert world.run() == 0
    os.kill(os.getpid(), signal.SIGTERM)  # while the ledger is closed, say: nothing is raised
    assert world.report()["exit_code"] == 0


def test_workers_have_ended_before_their_equipment_is_closed_whatever_happens(world: World) -> None:
    ended: list[str] = []
    kept: list[Generator[list[Done], None, None]] = []

    class Faulty(FakeExecutor):
        def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
            kept.append(self._moved())  # or it would be closed by having no owner any more
            return kept[0]

        def _moved(self) -> Generator[list[Done], None, None]:
            try:
                yield [Done(Task("u", cause="timeout"), stored("u"))]  # takes back what was never counted
            finally:
                ended.append("workers")

    @contextmanager
    def equipped(ledger: Ledger) -> Iterator[FakeExecutor]:
        try:
            yield Faulty(ledger, stored)
        finally:
            ended.append("equipment")

    world.urls(1)
    with pytest.raises(KeyError):
        world.run(equipped=equipped)
    assert ended == ["workers", "equipment"]


def test_lines_that_do_not_add_up_are_no_success(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.urls(10)

    @contextmanager
    def disturbed(ledger: Ledger) -> Iterator[FakeExecutor]:
        yield FakeExecutor(ledger, stored)
        ledger.record(stored(f"{PREFIX}from-elsewhere.jpg").record(0))

    assert world.run(equipped=disturbed) == 1
    assert "the lines do not add up: 10 lines != 0 blank" in caplog.text
    assert (world.report()["verdict"], world.report()["lines"]["add_up"]) == ("stopped", False)


def test_report_that_cannot_be_written_leaves_the_last_screen(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.urls(3)
    (world.folder / "migration_report.json").mkdir()
    with pytest.raises(FatalError):
        world.run()
    out = capsys.readouterr().out
    assert out.startswith("3 stored, ")
    assert "3 lines = 0 blank + 0 duplicates + 3 completed + 0 failed + 0 not tried" in out
