"""migrate.py with PROCESSES=2: killed, stopped and on a full disk it keeps what it promises with one."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cdn2s3.executors.worker_process import usable_cores
from tests.fakes.rules import Rule
from tests.running import assert_consistent, counts, no_processes_of
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

WORKERS = 8  # in both processes together
URLS = 240


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(URLS, latency=0.02, CONCURRENCY=WORKERS, PROCESSES=2)


def worker_processes(parent: int) -> list[int]:
    """Return the ids of the processes that move files for parent."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_text()
        except OSError:  # no process, or one that has just ended
            continue
        if int(after_name[1]) == parent and "spawn_main" in command:
            found.append(int(entry.name))
    return found


def assert_none_left(folder: Path, seconds: float = 3.0) -> None:
    """Assert that all processes of a run have ended, or do so at once."""
    deadline = time.monotonic() + seconds
    while not no_processes_of(folder):
        assert time.monotonic() < deadline, "a process is left behind"
        time.sleep(0.02)


@pytest.mark.parametrize("round_number", [0, slow(1)])
def test_killed_parent_at_a_random_moment_loses_and_repeats_nothing(world: World, round_number: int) -> None:
    draw = random.Random(round_number)
    for goal in draw.sample(range(1, URLS // 2 - 20), 2):
        with world.job.running() as running:
            world.source.rules.at(goal, lambda pid=running.pid: os.kill(pid, signal.SIGKILL))
            assert running.end().code == -signal.SIGKILL
    ran = world.job.run()  # it waits for the workers of the last one, which notice by themselves
    assert ran.code == 0, ran.said
    world.assert_all_moved_once(again=2 * WORKERS)
    assert_none_left(world.job.folder)


@pytest.mark.parametrize("round_number", [0, slow(1)])
def test_killed_worker_process_is_replaced_and_its_share_done(world: World, round_number: int) -> None:
    draw = random.Random(round_number)
    with world.job.running() as running:
        for goal in draw.sample(range(1, URLS - 60), 2):
            world.source.rules.at(
                goal, lambda: os.kill(draw.choice(worker_processes(running.pid)), signal.SIGKILL)
            )
        ran = running.end()
    assert ran.code == 0, ran.said
    assert ran.err.count("a worker process died (SIGKILL)") == 2
    world.assert_all_moved_once(again=2 * WORKERS)
    assert counts(world.job)["completed"] == URLS
    assert_none_left(world.job.folder)


def cores_of(processes: list[int]) -> list[set[int]]:
    """Return which cores each process may use, but for those that have just ended."""
    found = []
    for process in processes:
        with suppress(ProcessLookupError):
            found.append(os.sched_getaffinity(process))
    return sorted(found, key=sorted)


@pytest.mark.slow
@pytest.mark.skipif(len(usable_cores()) % 2 == 1, reason="cores that two processes cannot share evenly")
def test_worker_processes_keep_to_their_own_cores(world: World) -> None:
    shares = [set(usable_cores()[0::2]), set(usable_cores()[1::2])]
    with world.job.running() as running:
        running.until(lambda: cores_of(worker_processes(running.pid)) == shares)
        assert running.end().code == 0


@pytest.mark.slow
def test_worker_process_killed_in_the_middle_of_a_record_leaves_whole_lines(world: World) -> None:
    def kill_one(parent: int) -> None:
        os.kill(worker_processes(parent)[0], signal.SIGKILL)
        with world.job.path("completed.txt").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as the victim would have held it
            file.write(b"https://torn")

    with world.job.running() as running:
        world.source.rules.at(40, lambda: kill_one(running.pid))
        ran = running.end()
    assert ran.code == 0, ran.said
    world.assert_all_moved_once(again=WORKERS)


@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGTERM)])
def test_signal_with_150_slow_transfers_in_flight_ends_both_at_once(world: World, number: int) -> None:
    world.source.rules.add(Rule("drip_body"))
    with world.job.running(CONCURRENCY=150, DOWNLOAD_TIMEOUT=30) as running:
        running.until(lambda: len(world.source.log) >= 150)
        running.send(number)
        ran = running.end(5)
    assert ran.code == 128 + number
    assert world.job.failed() == {}
    assert counts(world.job)["not_tried"] == URLS
    assert_none_left(world.job.folder)


@pytest.mark.slow
def test_second_signal_ends_the_parent_immediately_and_the_workers_with_it(world: World) -> None:
    world.s3.rules.add(Rule("black_hole", operation="PutObject", pattern="jpg"))
    with world.job.running(UPLOAD_TIMEOUT=30) as running:
        running.until(lambda: world.s3.rules.struck["black_hole"] >= WORKERS)
        running.send(signal.SIGTERM)
        running.until(lambda: "stopping" in world.job.log)
        running.send(signal.SIGTERM)
        assert running.end(1).code == 143
    assert_none_left(world.job.folder)
    world.s3.rules.clear()
    world.s3.network.drop_connections()
    assert world.job.run().code == 0
    world.assert_all_moved_once(again=WORKERS)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2_113, slow(100), slow(20_000)])
def test_full_disk_stops_both_and_leaves_whole_files(world: World, size: int) -> None:
    ran = world.job.run(limits={resource.RLIMIT_FSIZE: (size, size)})
    assert ran.code == 3, ran.said
    assert "cannot write" in ran.err
    assert "Traceback" not in ran.err
    assert "do not add up" not in ran.err
    assert_consistent(world.job, world.source, world.s3)
    assert not list(world.job.folder.glob("*.tmp"))
    assert_none_left(world.job.folder)
    assert world.job.run().code == 0
    world.assert_all_moved_once(again=WORKERS)


@pytest.mark.slow
def test_outage_over_the_limit_blames_none_and_resumes(world: World) -> None:
    settings = {"CONCURRENCY": 120, "MAX_RETRIES": 0, "OUTAGE_LIMIT": 1}
    world.source.rules.at(URLS // 2, lambda: world.source.rules.add(Rule("503")))
    ran = world.job.run(**settings)
    assert ran.code == 3, ran.said
    assert "the source has been down" in ran.err
    assert world.job.failed() == {}
    assert_none_left(world.job.folder)
    world.source.rules.clear()
    assert world.job.run().code == 0
    world.assert_all_moved_once(again=WORKERS)
