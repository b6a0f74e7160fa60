"""How a run is divided among its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdn2s3.executors.worker_process import cores_of, keep_to_its_cores, process_count, usable_cores
from cdn2s3.records import Share
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build


def settings_with(**values: str) -> MigrationSettings:
    given = {"DESTINATION_BUCKET": "bucket", "URL_PREFIX": "http://cdn.example/", **values}
    return build(MigrationSettings, given, {}, Path("migration.env"))


@pytest.mark.parametrize(
    ("concurrency", "workers"),
    [
        pytest.param(150, [150], id="alone"),
        pytest.param(150, [75, 75], id="even"),
        pytest.param(150, [38, 38, 37, 37], id="the first have one more"),
        pytest.param(3, [1, 1, 1], id="one each"),
    ],
)
def test_workers_of_all_processes_are_those_of_the_run(concurrency: int, workers: list[int]) -> None:
    count = len(workers)
    assert [Share(number, count).workers(concurrency) for number in range(count)] == workers
    assert sum(workers) == concurrency


@pytest.mark.parametrize(
    ("processes", "concurrency", "count"), [("4", "150", 4), ("64", "3", 3), ("auto", "1", 1)]
)
def test_process_has_a_worker_at_least(processes: str, concurrency: str, count: int) -> None:
    settings = settings_with(PROCESSES=processes, CONCURRENCY=concurrency)
    assert process_count(settings) == count
    assert all(Share(number, count).workers(settings.concurrency) > 0 for number in range(count))


@pytest.mark.parametrize(
    ("usable", "count", "cores"),
    [
        pytest.param([0, 1], 2, [{0}, {1}], id="one each"),
        pytest.param([0, 1, 2, 3], 2, [{0, 2}, {1, 3}], id="both halves of a hyperthreaded core"),
        pytest.param([2, 3, 6, 7], 2, [{2, 6}, {3, 7}], id="those that there are"),
        pytest.param([0, 1, 2], 2, [{0, 1, 2}, {0, 1, 2}], id="not evenly"),
        pytest.param([0, 1, 2], 1, [{0, 1, 2}], id="alone"),
        pytest.param([0, 1], 3, [{0, 1}, {0, 1}, {0, 1}], id="more processes than cores"),
    ],
)
def test_cores_are_divided_among_the_processes(usable: list[int], count: int, cores: list[set[int]]) -> None:
    assert [cores_of(Share(number, count), usable) for number in range(count)] == cores


@pytest.mark.skipif(len(usable_cores()) % 2 == 1, reason="cores that two processes cannot share evenly")
@pytest.mark.parametrize("number", [0, 1])
def test_thread_runs_on_its_process_cores(number: int) -> None:
    program = (
        "import os, sys, threading\n"
        "from cdn2s3.executors.worker_process import keep_to_its_cores\n"
        "from cdn2s3.records import Share\n"
        "keep_to_its_cores(Share(int(sys.argv[1]), 2))\n"
        "threading.Thread(target=lambda: print(sorted(os.sched_getaffinity(0)))).start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(number)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{usable_cores()[number::2]}\n"


def test_process_works_on_where_the_system_refuses_or_lacks_cores_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(pid: int, cores: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = os.sched_getaffinity(0)
    monkeypatch.setattr(os, "sched_setaffinity", refused)
    keep_to_its_cores(Share(0, 2))
    monkeypatch.delattr(os, "sched_setaffinity")
    keep_to_its_cores(Share(0, 2))
    assert os.sched_getaffinity(0) == before


def test_cores_are_counted_where_the_system_does_not_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == [0, 1, 2]
    assert process_count(settings_with(PROCESSES="auto", CONCURRENCY="150")) == 3
