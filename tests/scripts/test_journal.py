"""runs.txt and events.txt: one line a run of every script, whatever ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cdn2s3.state.journal import Event, Run, events_in, runs_in
from tests import ROOT, processes
from tests.fakes.rules import Rule
from tests.running import QUICK, environment
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

STUDY = {**QUICK, "cdn2s3.transfer.endpoint_watch.LASTING": 0.2}


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(40)


def runs(world: World) -> list[Run]:
    return runs_in(world.job.path(""))


def events(world: World, *names: str) -> list[Event]:
    return [event for event in events_in(world.job.path("")) if event.event in names]


def script(world: World, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another script in the folder of world."""
    command = [sys.executable, str(ROOT / name), *arguments]
    return processes.run(command, world.job.folder, environment(world.job.folder))


def test_runs_and_a_validation_have_a_line_each(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0001"))
    world.job.run("--limit", "10")
    world.job.run(PROCESSES=2)
    script(world, "validate.py", "--spot-check", "5")
    first, second, validation = runs(world)
    assert (first.command, first.exit_code, first.totals.images, first.totals.failed) == (
        "migrate.py --limit 10",
        1,
        9,
        1,
    )
    assert (second.command, second.exit_code, second.totals.stored) == ("migrate.py", 1, 30)
    size = sum(int(row.size) for row in world.job.completed())
    assert (first.totals.size or 0) + (second.totals.size or 0) == size
    assert (validation.command, validation.exit_code) == ("validate.py --spot-check 5", 1)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, slow(2)])
def test_killed_run_is_closed_by_the_next_one_with_what_it_stored(new_world: NewWorld, count: int) -> None:
    world = new_world(300, latency=0.02)
    with world.job.running(PROCESSES=count) as running:
        running.until(lambda: world.has_completed(50))
        running.kill()
    assert runs(world) == []
    world.job.run()
    killed, second = runs(world)
    assert killed.exit_code is None
    assert killed.totals.failed is None
    assert killed.totals.images >= 50
    # What was stored and not recorded when it was killed is found by the second run.
    assert killed.totals.images + second.totals.images == 300
    assert killed.ended <= second.started


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_run_has_its_line(new_world: NewWorld, number: int, code: int) -> None:
    world = new_world(300, latency=0.02)
    with world.job.running() as running:
        running.until(lambda: world.has_completed(20))
        running.send(number)
        running.end()
    (run,) = runs(world)
    assert run.exit_code == code
    assert run.totals.stored == len(world.job.completed())
    assert [event.detail for event in events(world, "stop")] == [f"signal {number}"]


def test_start_that_fails_has_a_line_and_replaces_no_report(world: World) -> None:
    world.job.run()
    report = world.job.text("migration_report.json")
    page = world.job.text("migration_report.html")
    assert world.job.run(PRESERVE_PATH_STRUCTURE="false").code == 2
    assert world.job.text("migration_report.json") == report
    assert world.job.text("migration_report.html") == page
    assert [run.exit_code for run in runs(world)] == [0, 2]


@pytest.mark.slow
def test_second_run_at_the_same_time_leaves_the_first_one_open(new_world: NewWorld) -> None:
    world = new_world(300, latency=0.02)
    with world.job.running() as running:
        running.until(lambda: world.has_completed(20))
        assert world.job.run().code == 3
        assert runs(world) == []
        running.end()
    assert [(run.exit_code, run.totals.images) for run in runs(world)] == [(0, 300)]


def test_plan_and_check_leave_no_line(world: World) -> None:
    world.job.run("--plan")
    world.job.run("--check")
    assert not world.job.path("runs.txt").exists()
    assert not world.job.path("events.txt").exists()


@pytest.mark.slow
def test_outage_is_in_the_journal_with_its_seconds(new_world: NewWorld) -> None:
    world = new_world(300, latency=0.02, CONCURRENCY=30, DOWNLOAD_TIMEOUT=1)
    with world.job.running(quick=STUDY) as running:
        running.until(lambda: world.has_completed(50))
        world.source.rules.add(Rule("503"))
        running.until(lambda: bool(events(world, "down")))
        world.source.rules.clear()
        assert running.end().code == 0
    (run,) = runs(world)
    assert {event.side for event in events(world, "down")} == {"source"}
    assert len(events(world, "up")) == len(events(world, "down"))
    assert run.totals.retries


def test_plan_and_machine_are_noted_at_the_start(world: World) -> None:
    world.job.run()
    plan, machine = (json.loads(events(world, name)[0].detail) for name in ("plan", "machine"))
    assert plan["files"] == 40
    assert plan["dollars"] > 0
    assert machine["cpus"] >= 1


def test_url_that_failed_before_and_is_stored_now_is_counted(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i000[12]"))
    world.job.run()
    world.source.rules.clear()
    world.job.run("--retry-failed")
    assert [event.detail for event in events(world, "recovered")] == ["2"]


def test_journal_that_cannot_be_written_changes_no_exit_code(world: World) -> None:
    world.job.path("runs.txt").mkdir()
    ran = world.job.run()
    assert ran.code == 0
    assert "runs.txt" in ran.err
    world.assert_all_moved_once()


def test_collection_has_its_line_beside_its_output(tmp_path: Path) -> None:
    (tmp_path / "lot_1_images.json").write_text('[{"image_url": "https://cdn.example.com/a.jpg"}]')
    (tmp_path / "lists").mkdir()
    (tmp_path / "collection.env").write_text(
        "SOURCE=lots\nLOT_FILES=lot_*_images.json\nURL_PREFIX=https://cdn.example.com/\n"
        "OUTPUT_FILE=lists/urls.txt\nCHECKPOINT_FILE=lists/checkpoint.json\n"
    )
    command = [sys.executable, str(ROOT / "collect_urls.py"), "--restart"]
    ended = processes.run(command, tmp_path, environment(tmp_path))
    (run,) = runs_in(tmp_path / "lists")
    assert (run.command, run.exit_code) == ("collect_urls.py --restart", ended.returncode)


@pytest.mark.slow
def test_report_tells_all_runs_and_a_short_last_one_hides_nothing(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i000[12]"))
    world.job.run("--limit", "30")
    world.job.run()
    world.source.rules.clear()
    world.job.run("--retry-failed")
    report = world.job.report()
    job = report["job"]
    assert (job["images"], job["runs_in_all"], job["failed_ever"], job["recovered"]) == (40, 3, 2, 2)
    assert job["bytes"] == sum(int(row.size) for row in world.job.completed())
    assert [run["stored"] for run in job["runs"]] == [28, 10, 2]
    assert report["run"]["stored"] == 2
    assert report["largest_run"]["run"]["stored"] == 28
    assert job["plan"]["files"] == 30


@pytest.mark.slow
def test_run_that_could_not_begin_leaves_the_report_and_the_next_one_tells_of_it(world: World) -> None:
    world.job.run("--limit", "10")
    report = world.job.text("migration_report.json")
    assert world.job.run(DESTINATION_BUCKET="no-such-bucket", STATE_DIR=".").code == 2  # another destination
    world.s3.rules.add(Rule("AccessDenied"))
    assert world.job.run().code == 3
    assert world.job.text("migration_report.json") == report
    world.s3.rules.clear()
    world.job.run()
    job = world.job.report()["job"]
    assert [run["exit_code"] for run in job["runs"]] == [0, 2, 3, 0]
    assert len(job["stops"]) == 2
