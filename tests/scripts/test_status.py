"""migrate.py --status: from another window, while a run is on, after one has ended or was killed."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from cdn2s3.state.status_file import status_in
from tests.fakes.rules import Rule
from tests.running import QUICK, Ran
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors

OFTEN = {**QUICK, "cdn2s3.state.status_file.EVERY": 0.05}


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(300, latency=0.02)


def status(world: World) -> dict[str, Any]:
    ran = world.job.run("--status", "--json")
    assert ran.code == 0, ran.said
    found: dict[str, Any] = json.loads(ran.out)
    return found


def text(world: World) -> Ran:
    ran = world.job.run("--status")
    assert ran.code == 0, ran.said
    return ran


def test_status_of_a_run_that_is_on_is_of_the_whole_job(new_world: NewWorld) -> None:
    world = new_world(300, latency=0.1)
    world.job.run("--limit", "100", CONCURRENCY=100)
    before = sum(int(row.size) for row in world.job.completed())
    with world.job.running(quick=OFTEN) as running:
        running.until(lambda: world.has_completed(120))
        running.until(lambda: status(world)["last"]["run_stored"] >= 10)
        found = status(world)
        said = text(world).out
    assert found["running"]
    assert found["pid"] == running.pid
    last = found["last"]
    assert last["phase"] == "moving"
    assert last["urls"] == 300
    assert 110 <= last["done"] <= 300
    assert last["stored_bytes"] == before + last["run_bytes"]
    assert found["all_runs"]["runs"] == 1
    assert "of 300" in said
    assert "limited by" in said


@pytest.mark.parametrize("phase", ["looking for changes", "renewing"])
def test_status_of_a_delta_has_its_phase(new_world: NewWorld, phase: str) -> None:
    world = new_world(60, MAX_CHANGE_RATE=1, CONCURRENCY=2)
    assert world.job.run().code == 0
    for url in world.urls[:30]:
        world.source.change(url)
    if phase == "renewing":
        world.s3.rules.add(Rule("slow_answer", operation="PutObject", pattern=r"\.jpg", seconds=0.2))
    else:
        world.source.latency = 0.2
    with world.job.running("--delta", quick=OFTEN) as running:
        running.until(lambda: (status_in(world.job.folder) or {}).get("phase") == phase)
        running.until(lambda: status(world)["last"]["phase_done"] >= 2)
        found, said = status(world)["last"], text(world).out
    assert (found["phase"], found["done"], found["urls"]) == (phase, 60, 60)
    assert 2 <= found["phase_done"] <= found["phase_of"] == (30 if phase == "renewing" else 60)
    assert f"{phase}, " in said and f" of {found['phase_of']}" in said


def test_status_writes_and_contacts_nothing(world: World) -> None:
    world.job.run("--limit", "10")
    requests = sum(world.source.bodies.values())
    state = {path.name: path.stat().st_mtime_ns for path in world.job.folder.iterdir()}
    text(world)
    status(world)
    state_after = {path.name: path.stat().st_mtime_ns for path in world.job.folder.iterdir()}
    assert {**state_after, "migration.env": 0} == {**state, "migration.env": 0}
    assert sum(world.source.bodies.values()) == requests


def test_status_before_any_run_makes_no_folder(world: World) -> None:
    ran = world.job.run("--status", STATE_DIR="state")
    assert ran.code == 0
    assert ran.out.startswith("no run has been here yet\n")
    assert not (world.job.folder / "state").exists()


@pytest.mark.slow
def test_status_after_the_end_says_how_it_ended(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0001"))
    world.job.run()
    found = status(world)
    assert not found["running"]
    assert not found["killed"]
    assert (found["last"]["phase"], found["last"]["exit_code"]) == ("ended", 1)
    assert (found["last"]["done"], found["last"]["failed"]) == (299, 1)
    assert "ended at" in text(world).out


def test_status_after_a_kill_says_so(world: World) -> None:
    with world.job.running(quick=OFTEN) as running:
        running.until(lambda: world.has_completed(50))
        running.kill()
    assert status(world)["killed"]
    assert "killed" in text(world).out
    world.job.run()
    assert not status(world)["killed"]


@pytest.mark.parametrize(("name", "following"), [("undo", "--undo --yes"), ("redo", "--redo")])
def test_status_says_what_is_to_be_finished_first(world: World, name: str, following: str) -> None:
    """A plain run would move again what the undo has removed."""
    world.job.run("--limit", "1")
    world.job.path(f"unfinished_{name}.txt").write_text("{}\n")
    ran = text(world)
    assert f"the {name} that was begun is not finished" in ran.out
    assert f"next: python migrate.py {following}\n" in ran.out
    assert status(world)["unfinished"] == name


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_status_after_a_signal_has_its_exit_code(world: World, number: int) -> None:
    with world.job.running(quick=OFTEN) as running:
        running.until(lambda: world.has_completed(50))
        running.send(number)
        running.end()
    assert status(world)["last"]["exit_code"] == 128 + number


def test_failed_start_does_not_hide_how_far_the_job_is(world: World) -> None:
    world.job.run("--limit", "100")
    assert world.job.run(PRESERVE_PATH_STRUCTURE="false").code == 2
    found = status(world)["last"]
    assert (found["done"], found["urls"], found["exit_code"]) == (100, 300, 2)


@pytest.mark.parametrize("content", neighbors("{", "", "[]", '{"urls": "many"}'))
def test_damaged_status_file_is_no_traceback(world: World, content: str) -> None:
    world.job.path("status.json").write_text(content)
    assert "Traceback" not in text(world).said
    assert world.job.run("--limit", "1").code == 0


def test_status_that_cannot_be_written_stops_no_run(world: World) -> None:
    world.job.path("status.json").mkdir()
    ran = world.job.run("--limit", "10", quick=OFTEN)
    assert ran.code == 0
    assert ran.err.count("--status will not show") == 1


def test_json_is_for_status_alone(world: World) -> None:
    ran = world.job.run("--json")
    assert ran.code == 2
    assert "--status" in ran.err
