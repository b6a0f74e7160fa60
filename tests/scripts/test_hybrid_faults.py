"""DESTINATION=hybrid while things go wrong: both places stay true, and the next run ends what was begun."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import counts
from tests.scripts.disk import KB, Disk
from tests.scripts.test_share import World
from tests.tiers import neighbors

PERCENT = 50
WAYS = neighbors({}, {"UPLOAD_METHOD": "put_object"}, {"PROCESSES": 2})
NewHybrid = Callable[..., World]


@pytest.fixture
def hybrid(
    tmp_path: Path, source_server: Callable[..., SourceServer], s3_server: Callable[..., S3Server]
) -> NewHybrid:
    def make(latency: float = 0.0, **settings: object) -> World:
        ends = source_server(latency=latency), s3_server()
        return World(tmp_path, *ends, **{"DESTINATION": "hybrid", "PERCENT": PERCENT, **settings})

    return make


def assert_true(w: World, left: int) -> None:
    """Assert that the sum holds, and that what is recorded is where its row says; left: URLs that were not tried."""
    rows = w.job.completed()
    assert len({row.url for row in rows}) == len(rows)
    found = counts(w.job)
    assert (found["completed"], found["not_tried"], found["failed"]) == (len(rows), left, 0)
    assert found["completed"] + left == len(w.urls)
    assert w.job.failed() == {}
    at = {"s3": w.objects(), "local": w.files()}
    for row in rows:
        assert row.place == ("s3" if row.url in w.below(PERCENT) else "local")
        assert at[row.place][row.key] == w.source.body(row.url)


def assert_ended(w: World, **settings: object) -> None:
    """Assert that the next run ends it, with each image in its place, and nothing else there."""
    w.run(**settings)
    assert (w.objects(), w.files()) == (w.images(w.below(PERCENT)), w.images(w.from_(PERCENT)))
    assert_true(w, left=0)
    w.assert_valid()


@pytest.mark.parametrize("number", neighbors(signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
@pytest.mark.parametrize("options", WAYS)
def test_every_signal_ends_it_with_what_is_done_recorded(
    hybrid: NewHybrid, number: signal.Signals, options: dict[str, object]
) -> None:
    w = hybrid(latency=0.05, CONCURRENCY=4, **options)
    with w.job.running() as run:
        run.until(lambda: w.job.text("completed.txt").count("\n") >= 8)
        run.send(number)
        ran = run.end()
    assert ran.code == 128 + number, ran.said
    assert "Traceback" not in ran.said
    done = len(w.job.completed())
    assert 8 <= done < len(w.urls)
    assert_true(w, left=len(w.urls) - done)
    assert w.job.report()["verdict"] == "interrupted"
    assert len(w.objects()) + len(w.files()) == done, "what was under way has ended, and is recorded"
    w.source.latency = 0
    assert_ended(w, **options)


@pytest.mark.parametrize("options", WAYS)
def test_full_disk_of_the_folder_stops_it_in_order(
    hybrid: NewHybrid, disk: Disk, options: dict[str, object]
) -> None:
    w = hybrid(LOCAL_ROOT=disk.folder, latency=0.01, **options)
    w.root = disk.folder
    del w.urls[-1]  # a large one
    w.job.urls(w.urls)
    disk.leave(60 * KB)
    ran = w.run(code=3)
    assert "the disk of LOCAL_ROOT" in ran.err and "Free space" in ran.err
    assert "Traceback" not in ran.said
    done = len(w.job.completed())
    assert_true(w, left=len(w.urls) - done)
    assert w.files().keys() == {row.key for row in w.job.completed() if row.place == "local"}, (
        "no half a file"
    )
    disk.make_room()
    assert_ended(w)


@pytest.mark.slow
@pytest.mark.parametrize("options", WAYS)
def test_full_disk_of_the_state_stops_it_in_order(
    hybrid: NewHybrid, disk: Disk, options: dict[str, object]
) -> None:
    w = hybrid(STATE_DIR=disk.folder, **options)
    disk.leave(12 * KB)
    ran = w.run(code=3)
    assert "No space left on device" in ran.err and "Traceback" not in ran.said
    at = {"s3": w.objects(), "local": w.files()}
    for row in w.job.completed():
        assert at[row.place][row.key] == w.source.body(row.url)
    disk.make_room()
    w.run()
    assert (w.objects(), w.files()) == (w.images(w.below(PERCENT)), w.images(w.from_(PERCENT)))
    assert_true(w, left=0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["signed", "put_object"])
@pytest.mark.parametrize("percent", [0, 50, 100])
def test_each_way_to_upload_puts_each_image_in_its_place(
    hybrid: NewHybrid, method: str, percent: int
) -> None:
    w = hybrid(PERCENT=percent, UPLOAD_METHOD=method)
    gone = [w.source.url_of(f"gone{number}.jpg", "404") for number in range(6)]
    w.job.urls([*w.urls, *gone, w.urls[0], ""])
    w.run(code=1)
    assert (w.objects(), w.files()) == (w.images(w.below(percent)), w.images(w.from_(percent)))
    found = counts(w.job)
    assert (found["completed"], found["failed"], found["duplicates"], found["blank"]) == (
        len(w.urls),
        6,
        1,
        1,
    )
    assert w.job.causes() == dict.fromkeys(gone, "not_found")
    in_bucket = {row.url for row in w.job.completed() if row.place == "s3"}
    assert in_bucket == set(w.below(percent))
