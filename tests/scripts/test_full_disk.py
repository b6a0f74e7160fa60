"""The three scripts on a disk that is really full: a small tmpfs of their own, with as much room as a test leaves.

RLIMIT_FSIZE (test_migrate_state.py) fails at a byte; a real disk fails at a page, and for all files together.
Skipped where mounting is not permitted.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests import ROOT
from tests.fakes.api import TOKEN, ApiServer
from tests.running import Ran, Running, assert_consistent
from tests.scripts.disk import KB, Disk
from tests.scripts.world import NewWorld, World
from tests.tiers import slow


@pytest.fixture
def world(disk: Disk, new_world: NewWorld) -> World:
    """A migration whose state lies on the small disk."""
    return new_world(100, STATE_DIR=str(disk.folder))


def validate(world: World) -> Ran:
    with Running([sys.executable, str(ROOT / "validate.py")], world.job.folder) as running:
        return running.end()


def assert_stopped_in_order(ran: Ran) -> None:
    assert ran.code == 3, ran.said
    assert "No space left on device" in ran.err
    assert "free disk space" in ran.err
    assert "Traceback" not in ran.err, ran.err
    assert "Logging error" not in ran.err, ran.err


ROOMS = [(12, "2")]
MORE_ROOMS = [(0, "1"), *((room, "1") for room in (4, 8, 12, 16, 24, 32)), (0, "2"), (24, "2")]


@pytest.mark.parametrize(("room", "processes"), [*ROOMS, *(slow(*more) for more in MORE_ROOMS)])
def test_migration_stops_in_order_and_resumes_when_there_is_room(
    world: World, disk: Disk, room: int, processes: str
) -> None:
    disk.leave(room * KB)
    ran = world.job.run(PROCESSES=processes)
    assert_stopped_in_order(ran)
    assert room or "cannot write the log" in ran.err
    assert_consistent(world.job, world.source, world.s3)
    assert not list(disk.folder.glob("*.tmp"))
    disk.make_room()
    assert world.job.run(PROCESSES=processes).code == 0
    world.assert_all_moved()


def test_folder_on_a_full_disk_stops_the_run_and_resumes(new_world: NewWorld, disk: Disk) -> None:
    world = new_world(100, DESTINATION="local", LOCAL_ROOT=disk.folder)
    disk.leave(200 * KB)
    ran = world.job.run()
    assert ran.code == 3, ran.said
    assert "the disk of LOCAL_ROOT" in ran.err and "Free space" in ran.err
    assert world.job.failed() == {}
    done = world.job.completed()
    assert {(disk.folder / row.key).read_bytes() for row in done} <= set(map(world.source.body, world.urls))
    disk.make_room()
    assert world.job.run().code == 0
    found = {path.relative_to(disk.folder).as_posix(): path for path in disk.folder.rglob("*.jpg")}
    assert len(found) == len(world.job.completed()) == len(world.urls)
    assert all(found[row.key].read_bytes() == world.source.body(row.url) for row in world.job.completed())


@pytest.mark.slow
@pytest.mark.parametrize("room", [8, slow(0), slow(16)])
def test_validation_stops_in_order_and_the_last_verdict_stays(world: World, disk: Disk, room: int) -> None:
    assert world.job.run().code == 0
    assert validate(world).code == 0
    world.s3.store.delete("bucket", "img/images/i0003.jpg")
    disk.leave(room * KB)
    assert_stopped_in_order(validate(world))
    assert not list(disk.folder.glob("*.tmp"))
    said = json.loads(world.job.text("validation_report.json"))
    assert said["verdict"] in ("complete", None), "the old one, or none"
    assert set(world.job.text("missing.txt").splitlines()) <= {f"{world.urls[3]}\timg/images/i0003.jpg\tlost"}
    disk.make_room()
    assert validate(world).code == 1
    assert [line.split("\t")[0] for line in world.job.text("missing.txt").splitlines()] == [world.urls[3]]


@pytest.mark.parametrize("room", [4, slow(0), slow(12), slow(28)])
def test_collection_stops_in_order_and_resumes_when_there_is_room(disk: Disk, room: int) -> None:
    with ApiServer([]) as api:
        api.items = [f"{api.prefix}auctionimages/3483/1713553344/i{number:05}.jpg" for number in range(400)]
        settings = {
            "API_BASE_URL": api.url, "API_AUTH_TOKEN": TOKEN, "API_URLS_FIELD": "items", "API_RATE_LIMIT": 10_000,
            "RESULTS_PER_PAGE": 10, "CHECKPOINT_INTERVAL": 20, "URL_PREFIX": api.prefix, "EXPECTED_TOTAL": "",
        }  # fmt: skip
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (disk.folder / "collection.env").write_text(lines)
        command = [sys.executable, str(ROOT / "collect_urls.py")]
        disk.leave(room * KB)
        with Running(command, disk.folder) as running:
            ran = running.end()
        assert_stopped_in_order(ran)
        assert not list(disk.folder.glob("*.tmp"))
        disk.make_room()
        with Running(command, disk.folder) as running:
            assert running.end().code == 0
        assert (disk.folder / "urls.txt").read_text().splitlines() == api.items
