"""The journal: one line a run, what a kill left open is closed, and nothing of it stops a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.console.signals import Interrupted
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.state.journal import (
    DOWN,
    THROTTLED,
    UP,
    Event,
    Journal,
    Run,
    Span,
    Totals,
    events_in,
    run_line,
    run_of,
    runs_in,
    spans_of,
)

T = 1_790_000_000


class Clock:
    now = float(T)

    def __call__(self) -> float:
        return self.now


def row(number: int, at: str, size: int = 10) -> str:
    return f"https://c/{number}.jpg\tk{number}\t{size}\te\tm\timage/jpeg\t{at}\n"


def test_run_survives_its_line() -> None:
    run = Run(T, T + 60, "migrate.py --limit 5", 1, Totals(5, 4, 3, 2, 1, 6, 700, 8, 9, 10), "1.0")
    assert run_of(run_line(run).rstrip(b"\n")) == run
    assert run_line(run).count(b"\t") == 14


def test_what_a_killed_run_did_is_unknown_not_zero() -> None:
    killed = Run(T, T, "migrate.py", None, Totals(failed=None), "1.0")
    fields = run_line(killed).split(b"\t")
    assert (fields[3], fields[9]) == (b"-", b"-")
    assert run_of(run_line(killed).rstrip(b"\n")) == killed


@pytest.mark.parametrize(
    "line", [b"", b"a\tb", b"x\ty\tmigrate.py" + b"\t0" * 11 + b"\t1", b"2026-09-21T14:13:20Z\t" * 15]
)
def test_line_that_is_no_run_is_skipped(line: bytes) -> None:
    assert run_of(line) is None


def test_run_has_one_line_with_its_exit_code_and_totals(tmp_path: Path) -> None:
    clock = Clock()
    with Journal(tmp_path, "migrate.py", clock) as journal:
        journal.totals = lambda: Totals(stored=3, size=30)
        clock.now += 7
        journal.exit_code = 1
    (run,) = runs_in(tmp_path)
    assert (run.started, run.ended, run.command, run.exit_code) == (T, T + 7, "migrate.py", 1)
    assert (run.totals.stored, run.totals.size) == (3, 30)
    assert [event.event for event in events_in(tmp_path)] == ["start"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(UsageError("collisions"), 2, id="cannot start"),
        pytest.param(FatalError("no bucket at https://u:pw@h/?token=1"), 3, id="cannot go on"),
        pytest.param(Interrupted(15), 143, id="signal"),
        pytest.param(RuntimeError("a bug"), 1, id="bug"),
    ],
)
def test_run_that_is_stopped_has_its_line_too(tmp_path: Path, error: BaseException, code: int) -> None:
    with pytest.raises(type(error)), Journal(tmp_path, "migrate.py"):
        raise error
    assert [run.exit_code for run in runs_in(tmp_path)] == [code]
    stop = events_in(tmp_path)[-1]
    assert stop.event == "stop"
    assert "pw" not in stop.detail
    assert "token=1" not in stop.detail


def killed_after(tmp_path: Path, clock: Clock, rows: str, command: str = "migrate.py") -> None:
    """Leave behind what a run leaves that was killed after it appended rows to completed.txt."""
    Journal(tmp_path, command, clock).__enter__()
    with (tmp_path / "completed.txt").open("a") as file:
        file.write(rows)


def test_next_run_closes_what_a_kill_left_open(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "completed.txt").write_text(row(0, "2026-09-20T00:00:00Z"))
    killed_after(tmp_path, clock, row(1, "2026-09-21T14:13:25Z") + row(2, "2026-09-21T14:13:40Z") + "torn")
    clock.now += 100
    with Journal(tmp_path, "migrate.py --retry-failed", clock):
        pass
    killed, after = runs_in(tmp_path)
    assert (killed.command, killed.exit_code, killed.ended) == ("migrate.py", None, T + 20)
    assert (killed.totals.stored, killed.totals.size, killed.totals.failed) == (2, 20, None)
    assert (after.exit_code, after.totals.stored) == (0, 0)


def test_two_killed_runs_share_no_row(tmp_path: Path) -> None:
    clock = Clock()
    killed_after(tmp_path, clock, row(1, "2026-09-21T14:13:25Z"))
    clock.now += 100
    (tmp_path / "runs.txt").mkdir()  # so the second run cannot close the first one
    killed_after(tmp_path, clock, row(2, "2026-09-21T14:15:10Z") + row(3, "2026-09-21T14:15:11Z"))
    (tmp_path / "runs.txt").rmdir()
    clock.now += 100
    with Journal(tmp_path, "migrate.py", clock):
        pass
    assert [run.totals.stored for run in runs_in(tmp_path)] == [1, 2, 0]


def test_outage_of_a_killed_run_counts_to_its_end(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "migrate.py", clock).__enter__()
    journal.note(DOWN, "503", "source", T + 10)
    (tmp_path / "completed.txt").write_text(row(1, "2026-09-21T14:14:20Z"))
    clock.now += 1000
    with Journal(tmp_path, "migrate.py", clock):
        pass
    assert runs_in(tmp_path)[0].totals.down == 50


def test_validation_does_not_close_a_run_of_migrate(tmp_path: Path) -> None:
    clock = Clock()
    killed_after(tmp_path, clock, "")
    with Journal(tmp_path, "validate.py", clock):
        pass
    assert [run.command for run in runs_in(tmp_path)] == ["validate.py"]


@pytest.mark.parametrize("name", ["runs.txt", "events.txt"])
def test_journal_that_cannot_be_written_is_a_warning(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).mkdir()
    with caplog.at_level(logging.WARNING), Journal(tmp_path, "migrate.py") as journal:
        journal.note(DOWN, "503", "source")
        journal.note(UP, "", "source")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert name in caplog.text


def test_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Journal(tmp_path, "migrate.py"):
        pass
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("runs.txt", "events.txt")} == {0o600}


def test_runs_of_one_folder_given_twice_are_read_once(tmp_path: Path) -> None:
    with Journal(tmp_path, "migrate.py"):
        pass
    assert len(runs_in(tmp_path, tmp_path / ".." / tmp_path.name)) == 1


def event(at: int, name: str, side: str = "source") -> Event:
    return Event(T + at, T, name, side, "503")


@pytest.mark.parametrize(
    ("events", "spans"),
    [
        pytest.param([event(1, DOWN), event(5, UP)], [(DOWN, 1, 5)], id="one"),
        pytest.param([event(1, DOWN)], [(DOWN, 1, 60)], id="to the end of the run"),
        pytest.param([event(1, UP)], [], id="an end alone"),
        pytest.param(
            [event(1, DOWN), event(2, THROTTLED, "bucket"), event(3, UP)],
            [(DOWN, 1, 3), (THROTTLED, 2, 60)],
            id="two sides",
        ),
    ],
)
def test_spans_of_events(events: list[Event], spans: list[tuple[str, int, int]]) -> None:
    found: list[Span] = list(spans_of(events, {T: T + 60}))
    assert [(span.event, span.began - T, span.ended - T) for span in found] == spans


def test_command_with_a_secret_is_redacted(tmp_path: Path) -> None:
    make: Callable[[], Journal] = lambda: Journal(tmp_path, "collect_urls.py https://u:pw@h/?t=1")  # noqa: E731
    with make():
        pass
    assert "pw" not in (tmp_path / "runs.txt").read_text() + (tmp_path / "events.txt").read_text()


def test_killed_run_is_counted_by_how_its_objects_came_there(tmp_path: Path) -> None:
    clock = Clock()
    rows = "".join(
        row(number, "2026-09-21T14:13:25Z").rstrip("\n") + f"\t{how}\t-\t-\ts3\n"
        for number, how in enumerate(["stored", "renewed", "renewed", "replaced", "found", "found", "found"])
    )
    killed_after(tmp_path, clock, rows)
    with Journal(tmp_path, "migrate.py", clock):
        pass
    assert runs_in(tmp_path)[0].totals[:4] == (1, 2, 1, 3)


def test_run_that_started_just_before_a_second_was_full_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        journal = Journal(tmp_path, "migrate.py", clock)
        clock.now += 1
        with journal:
            pass
    assert [run.exit_code for run in runs_in(tmp_path)] == [0, 0]
