"""Several processes: what a killed one leaves is done by a new one, nothing twice, nobody left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, Callable

import pytest

from cdn2s3.errors import FatalError, UsageError
from cdn2s3.executors import process_pool as under_test
from cdn2s3.executors.base import InFlight
from cdn2s3.executors.process_pool import ProcessPool
from cdn2s3.executors.worker_process import WorkerChannel
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.records import Stored, Task
from cdn2s3.state.files import held_lock
from cdn2s3.state.ledger import Ledger, completed
from cdn2s3.state.lines import whole_lines
from cdn2s3.transfer.limiting import Limiting, text_of
from cdn2s3.transfer.outcome import Done, Result
from tests import ROOT
from tests.tiers import neighbors

TICK = 0.02
URLS = [f"https://cdn.example/{number}.jpg" for number in range(300)]


def tell(channel: WorkerChannel, done: list[Done], note: str) -> None:
    channel.report(done, [Limiting("bucket", note=note)], InFlight(), 0)


# bodies: what a process does instead of moving images


def result_of(url: str) -> Result:
    if "9.jpg" in url:
        return Result(url, "", cause="not_found", message="the CDN answered 404")
    return Result(url, url[-8:], Stored("etag", 5, "-", already_there=False), "image/jpeg")


def move_all(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Record each task at once, and report it."""
    ledger = Ledger(state_dir)
    try:
        for task in channel.queue:
            if stop.is_set():
                return
            result = result_of(task.url)
            ledger.record(result.record(time.time()))
            tell(channel, [Done(task, result)], "busy")
    finally:
        ledger.completed.close()
        ledger.failed.close()


def die_once(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """As move_all, but the first process to come so far is killed between a record and its report."""
    ledger = Ledger(state_dir)
    mark = state_dir / "died"
    for number, task in enumerate(channel.queue):
        result = result_of(task.url)
        ledger.record(result.record(time.time()))
        if number == 20:
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.write(ledger.completed._fd, b"https://cdn.example/torn")  # and a line is torn
                os.kill(os.getpid(), signal.SIGKILL)
        tell(channel, [Done(task, result)], "")
    ledger.completed.close()
    ledger.failed.close()


def die_at_once(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    next(channel.queue)
    os.kill(os.getpid(), signal.SIGKILL)


def cannot_go_on(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    for task in channel.queue:
        if task.url.endswith("/7.jpg"):
            raise UsageError("the bucket said no")
        if stop.wait(0.01):
            return
        tell(channel, [Done(task, result_of(task.url))], "")


def until_stopped(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    tell(channel, [], "waiting")
    stop.wait(30)
    tell(channel, [Done(next(channel.queue), result_of(URLS[0]))], "")


def talkative(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Be told to stop, and say far more than a pipe holds before the end."""
    tell(channel, [], "waiting")
    stop.wait(30)
    for _ in range(50):
        tell(channel, [], "x" * 100_000)


def die_when_stopped(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Be told to stop, record an upload that was in flight, and be killed before telling it."""
    ledger = Ledger(state_dir)
    task = next(channel.queue)
    tell(channel, [], "waiting")
    stop.wait(30)
    ledger.record(result_of(task.url).record(time.time()))
    os.kill(os.getpid(), signal.SIGKILL)


def at_a_stroke(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Report all that has come in one go, as a process does that was held up; none after the end."""
    ledger = Ledger(state_dir)
    done: list[Done] = []
    for task in channel.queue:
        result = result_of(task.url)
        ledger.record(result.record(time.time()))
        done.append(Done(task, result))
        if not channel.queue.has_more:
            tell(channel, done, "")
            done = []
    ledger.completed.close()
    ledger.failed.close()


def die_in_doubt(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Hold all that comes in doubt until the end is told; then one is killed, and the other one takes its time."""
    mark = state_dir / "died"
    if mark.exists():  # this is the new one
        move_all(channel, stop, state_dir)
        return
    tasks = []
    for task in channel.queue:
        tasks.append(task)
        channel.report([], "", InFlight(), len(tasks))
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        time.sleep(0.5)
        ledger = Ledger(state_dir)
        for task in tasks:
            ledger.record(result_of(task.url).record(time.time()))
            tell(channel, [Done(task, result_of(task.url))], "")
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def say_number(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Report each task under this process's number; the second process is killed once."""
    for task in channel.queue:
        mark = state_dir / "died"
        if channel.number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        tell(channel, [Done(task, result_of(task.url)._replace(key=str(channel.number)))], "")


def warn_and_move(channel: WorkerChannel, stop: threading.Event, state_dir: Path) -> None:
    """Warn twice of what meets every process, once of what only this one has met, and report all."""
    for _ in range(2):
        logging.getLogger("cdn2s3.resilience.endpoint").warning(
            "the %s is down: port %d", "source", os.getpid()
        )
    logging.getLogger("cdn2s3.resilience.endpoint").warning("only in %d", os.getpid())
    for task in channel.queue:
        tell(channel, [Done(task, result_of(task.url))], "")


@pytest.mark.slow
def test_warning_of_all_processes_is_logged_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    moved(make(warn_and_move, count=3), URLS)
    said = [record.getMessage() for record in caplog.records]
    assert len([one for one in said if one.startswith("the source is down")]) == 2
    assert len({one for one in said if one.startswith("only in")}) == 3


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with held_lock(tmp_path / "migration.lock", "test") as fd:
        yield fd


Make = Callable[..., ProcessPool]


@pytest.fixture
def make(tmp_path: Path, lock: int) -> Make:
    Ledger(tmp_path).completed.close()

    def processes(body: Callable[..., None], count: int = 2, workers: int = 4) -> ProcessPool:
        made = ProcessPool(count, workers, TICK, tmp_path, lock, body)
        made.equip(tmp_path)
        return made

    return processes


def urls_in(path: Path) -> list[str]:
    rows = [completed(line) for line in whole_lines(path)]
    return [row.url for row in rows if row is not None]


def moved(processes: ProcessPool, urls: list[str]) -> list[Done]:
    return [done for batch in processes.run(Task(url) for url in urls) for done in batch]


@pytest.mark.parametrize("count", neighbors(2, 1))
def test_each_task_is_done_once(make: Make, tmp_path: Path, count: int) -> None:
    done = moved(make(move_all, count), URLS)
    assert sorted(d.task.url for d in done) == sorted(URLS)
    failed = [d for d in done if d.result.stored is None]
    assert len(failed) == 30
    assert len(urls_in(tmp_path / COMPLETED_FILE)) == len(URLS) - 30


def test_killed_process_is_replaced_and_nothing_is_done_twice(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processes = make(die_once)
    done = moved(processes, URLS)
    assert sorted(d.task.url for d in done) == sorted(URLS)
    recorded = urls_in(tmp_path / COMPLETED_FILE)
    assert len(recorded) == len(set(recorded)) == len(URLS) - 30
    assert "died (SIGKILL)" in caplog.text
    assert all(d.result == result_of(d.task.url) for d in done if d.result.stored is None)


@pytest.mark.slow
def test_what_a_process_leaves_after_the_end_was_told_is_done_by_a_new_one(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = moved(make(die_in_doubt), URLS[:8])
    assert sorted(d.task.url for d in done) == sorted(URLS[:8])
    assert sorted(urls_in(tmp_path / COMPLETED_FILE)) == sorted(URLS[:8])
    assert [record.message.partition(")")[0] for record in caplog.records] == [
        "a worker process died (SIGKILL"
    ]


@pytest.mark.slow
def test_processes_that_keep_dying_stop_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_MOST_DEATHS", 2)
    with pytest.raises(FatalError, match=r"keep dying.*SIGKILL"):
        moved(make(die_at_once), URLS)


def test_what_stops_one_process_stops_all_with_its_exit_code(make: Make) -> None:
    processes = make(cannot_go_on)
    with pytest.raises(FatalError, match="the bucket said no") as caught:
        moved(processes, URLS)
    assert caught.value.exit_code == UsageError.exit_code
    assert not processes._handles


@pytest.mark.slow
def test_list_that_breaks_off_stops_the_run_and_what_was_done_is_told(make: Make, tmp_path: Path) -> None:
    def breaking() -> Iterator[Task]:
        yield from (Task(url) for url in URLS[:100])
        raise FatalError("cannot read the list any more")

    done = []
    with pytest.raises(FatalError, match="the list any more"):
        for batch in make(move_all).run(breaking()):
            done += batch
    recorded = urls_in(tmp_path / COMPLETED_FILE)
    assert sorted(d.task.url for d in done if d.result.stored is not None) == sorted(recorded)
    assert len(recorded) > 0


@pytest.mark.slow
def test_processes_are_numbered_and_a_new_one_has_the_number_of_the_dead(make: Make) -> None:
    done = moved(make(say_number), URLS)
    assert sorted(d.task.url for d in done) == sorted(URLS)
    assert {d.result.key for d in done} == {"0", "1"}


@pytest.mark.slow
def test_few_tasks_are_shared(make: Make) -> None:
    processes = make(until_stopped)
    for _ in processes.run(Task(url) for url in URLS[:10]):
        if not processes._stopping:
            assert sorted(len(handle.tasks) for handle in processes._handles) == [4, 6]
            processes.stop()


def test_stop_ends_all_processes_and_what_they_ended_is_told(make: Make) -> None:
    processes, done = make(until_stopped), []
    for batch in processes.run(Task(url) for url in URLS):
        done += batch
        if text_of(processes.limiting()) == "waiting" and not processes._stopping:
            processes.stop()
    assert len(done) == 2


def test_reports_that_come_at_a_stroke_end_nobody_early(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    done = moved(make(at_a_stroke, 1, 1), URLS)
    assert sorted(d.task.url for d in done) == sorted(URLS)
    assert "died" not in caplog.text


def test_record_of_a_process_killed_while_stopping_is_told(make: Make) -> None:
    processes, done = make(die_when_stopped, 1), []
    for batch in processes.run(Task(url) for url in URLS):
        done += batch
        if text_of(processes.limiting()) == "waiting" and not processes._stopping:
            processes.stop()
    assert [d.task.url for d in done] == URLS[:1]


@pytest.mark.slow
@pytest.mark.parametrize("body", [until_stopped, talkative])
def test_consumer_that_gives_up_leaves_no_process(make: Make, body: Callable[..., None]) -> None:
    processes = make(body)
    batches = processes.run(Task(url) for url in URLS)
    next(batches)
    handles = list(processes._handles)
    batches.close()
    assert all(handle.process.exitcode == 0 for handle in handles)


def test_children_of_a_killed_parent_end_within_a_second_and_hold_the_lock_till_then(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from cdn2s3.executors.process_pool import ProcessPool
        from cdn2s3.records import Task
        from cdn2s3.state.files import held_lock
        from cdn2s3.transfer.limiting import text_of
        from tests.unit.executors.test_process_pool import until_stopped

        if __name__ == "__main__":
            folder = Path(sys.argv[1])
            with held_lock(folder / "migration.lock", "test") as lock:
                pool = ProcessPool(2, 4, 0.02, folder, lock, until_stopped)
                pool.equip(folder)
                waiting = False
                for batch in pool.run(Task(str(n)) for n in range(100)):
                    if not waiting and all(text_of(handle.limiting) == "waiting" for handle in pool._handles):
                        print(*(handle.process.pid for handle in pool._handles), flush=True)
                        waiting = True
        """
    file = tmp_path / "parent.py"
    file.write_text(dedent(script))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(file), str(tmp_path)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    killed_at = time.monotonic()
    with held_lock(tmp_path / "migration.lock", "test"):
        assert time.monotonic() - killed_at < 2
        assert not any(is_running(child) for child in children)
    assert len(children) == 2


def is_running(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_failed_record_of_a_dead_process_is_told_with_its_attempts(make: Make, tmp_path: Path) -> None:
    processes = make(move_all)
    ledger = Ledger(tmp_path)
    before: Any = {COMPLETED_FILE: 0, FAILED_FILE: 0}
    ledger.record(Result(URLS[1], "", cause="timeout", message="slow", attempts=4).record(0))
    renewed, there = Stored("e", 7, "-", False, "renewed"), Stored("e", 7, "-", True, "found")
    ledger.record(Result(URLS[2], "k", renewed, "image/png").record(0))
    ledger.record(Result(URLS[0], "k", there, "image/png").record(0))
    ledger.completed.close()
    ledger.failed.close()
    found = processes._recorded({url: Task(url) for url in URLS[:3]}, before)
    assert set(found) == set(URLS[:3])
    assert (found[URLS[1]].result.cause, found[URLS[1]].result.attempts) == ("timeout", 4)
    assert (found[URLS[2]].result.stored, found[URLS[0]].result.stored) == (renewed, there)


@pytest.mark.slow
def test_processes_started_early_end_when_there_is_no_work(tmp_path: Path, lock: int) -> None:
    processes = ProcessPool(2, 4, TICK, tmp_path, lock, until_stopped)
    processes.start()
    started = [handle.process for handle in processes._handles]
    processes.close()
    assert [process.exitcode for process in started] == [0, 0]


@pytest.mark.slow
def test_ctrl_c_that_reaches_a_process_while_it_starts_does_not_end_it(make: Make) -> None:
    processes = make(move_all)
    processes.start()
    for handle in processes._handles:  # the terminal sends it to all of them
        os.kill(handle.process.pid, signal.SIGINT)
    done = moved(processes, URLS)
    assert sorted(d.task.url for d in done) == sorted(URLS)
    assert processes._deaths == 0
