"""`migrate.py --delta` while the bucket is down, and while signals come: nothing is lost, and the next one ends it."""

from __future__ import annotations

import signal
import time

import pytest

from tests.fakes.images import jpeg
from tests.fakes.rules import Rule
from tests.running import Ran, assert_consistent, counts
from tests.scripts.test_delta import image_writes, moved, told
from tests.scripts.test_migrate_outage import NO_SECOND_PASS, break_down, heal
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors, slow

URLS = 100
CHANGED = 90  # more than fail before a circuit opens, and more than there are workers


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """A migration that has ended, and a site that has changed most of its images since."""
    world = moved(new_world(URLS, CONCURRENCY=30, MAX_CHANGE_RATE=1, UPLOAD_TIMEOUT=1))
    for url in world.urls[:CHANGED]:
        world.source.change(url)
    world.source.latency = 0.02
    return world


def assert_renewed(world: World, again: int = 0) -> None:
    """Assert that the bucket and the state have what the site has; again: images that may be written twice."""
    assert_consistent(world.job, world.source, world.s3)
    assert {row.how for row in world.job.completed() if row.url in world.urls[:CHANGED]} == {"renewed"}
    assert {row.how for row in world.job.completed() if row.url in world.urls[CHANGED:]} == {"stored"}
    assert counts(world.job)["completed"] == len(world.job.completed()) == URLS
    writes = image_writes(world)
    assert writes.keys() == {world.key(url) for url in world.urls[:CHANGED]}
    assert sum(writes.values()) <= CHANGED + again
    assert world.job.text("failed_transfers.txt") == ""


def breaks_in_the_middle(world: World, how: str) -> None:
    """Break the bucket down at its 20th renewal."""
    renewals = iter(range(1, 10_000))

    def hook(operation: str, key: str, request: object) -> Rule | None:
        if operation == "PutObject" and key.endswith(".jpg") and next(renewals) == 20:
            break_down(world, "bucket", how)
        return None

    world.s3.hook = hook


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "options"),
    [
        ("ServiceUnavailable", {}),
        slow("refuse", {}),
        slow("black hole", {}),
        slow("200_html", {}),
        slow("ServiceUnavailable", {"PROCESSES": 2}),
        slow("ServiceUnavailable", {"UPLOAD_METHOD": "put_object"}),
    ],
)
def test_bucket_that_is_down_in_the_middle_is_waited_for(
    world: World, how: str, options: dict[str, object]
) -> None:
    breaks_in_the_middle(world, how)
    with world.job.running("--delta", quick=NO_SECOND_PASS, **options) as run:
        run.until(lambda: "the bucket is down" in world.job.log)
        time.sleep(0.5)  # the outage goes on for a while
        heal(world, "bucket")
        ran = run.end()
    assert ran.code == 0, ran.said
    assert "the bucket is up again" in world.job.log
    assert set(told(world.job).values()) == {"renewed"} and len(told(world.job)) == CHANGED
    assert_renewed(world)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "options"),
    [
        ("ServiceUnavailable", {}),
        slow("refuse", {"UPLOAD_METHOD": "put_object"}),
        slow("refuse", {"PROCESSES": 2}),
    ],
)
def test_bucket_that_stays_down_ends_it_and_the_next_goes_on(
    world: World, how: str, options: dict[str, object]
) -> None:
    breaks_in_the_middle(world, how)
    ran = world.job.run("--delta", quick=NO_SECOND_PASS, OUTAGE_LIMIT=1, **options)
    assert ran.code == 3, ran.said
    assert "the bucket has been down" in ran.err and "OUTAGE_LIMIT" in ran.err
    assert set(told(world.job).values()) == {"renewed"}, "an outage fails no image"
    assert 0 < len(told(world.job)) < CHANGED
    assert world.job.text("failed_transfers.txt") == ""
    assert counts(world.job)["completed"] == URLS
    world.s3.hook = None
    heal(world, "bucket")
    again = world.job.run("--delta", **options)
    assert again.code == 0, again.said
    assert_renewed(world)


@pytest.mark.parametrize(
    ("size", "operation"), [(20_000, "PutObject"), slow(2_500_000, "CompleteMultipartUpload")]
)
@pytest.mark.parametrize("options", neighbors({}, {"PROCESSES": 2}, {"MAX_RETRIES": 1}))
def test_renewal_whose_answer_was_lost_is_told_by_the_attempt_that_finds_it(
    new_world: NewWorld, size: int, operation: str, options: dict[str, object]
) -> None:
    world = new_world(
        3, store={"min_part": 1}, MAX_BUFFER_MB=1, MAX_CHANGE_RATE=1, **{"MAX_RETRIES": 0, **options}
    )
    world.use(world.source.url_of(f"{n}.jpg", size=size) for n in range(3))
    moved(world)
    url = world.urls[0]
    world.source.change(url, jpeg("new", size))
    # The answer says that the write has failed, and so does that to the look which follows on a completion of parts.
    world.s3.rules.add(Rule("500_after_store", operation=operation, pattern=r"/0\.jpg", count=1))
    if operation != "PutObject":
        world.s3.rules.add(Rule("InternalError", operation="HeadObject", pattern=r"/0\.jpg", count=1))
    ran = world.job.run("--delta")
    assert ran.code == 0, ran.said
    assert told(world.job) == {url: "renewed"}
    assert "2 unchanged" in ran.said and "1 renewed" in ran.said
    assert image_writes(world) == {world.key(url): 1}
    assert_consistent(world.job, world.source, world.s3)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["look", "renew"])
def test_too_many_failures_end_it_with_the_last_one_on_the_screen(world: World, stage: str) -> None:
    server = world.source if stage == "look" else world.s3
    fault, operation = ("500", "GET") if stage == "look" else ("InternalError", "PutObject")
    server.rules.add(Rule(fault, operation=operation, pattern=r"i00[1-5]\d\.jpg"))
    ran = world.job.run("--delta", MAX_ERROR_RATE=0.02, MAX_RETRIES=0, CONCURRENCY=4)
    assert ran.code == 3, ran.said
    assert "more than MAX_ERROR_RATE" in ran.err
    assert "The last one: https://" in ran.err and ran.err.count("i00") >= 1
    if stage == "look":
        assert image_writes(world) == {} and not world.job.path("changes.txt").exists()
    server.rules.clear()
    assert world.job.run("--delta").code == 0
    assert_renewed(world)


@pytest.mark.parametrize("bad", neighbors(1, 15))
def test_bad_files_at_the_top_of_the_list_are_no_outage(world: World, bad: int) -> None:
    for url in world.urls[:bad]:
        world.source.rules.add(Rule("500", pattern=url.rpartition("/")[2]))
    first, *_ = world.job.completed()
    world.source.rules.add(Rule("500", pattern=first.url.rpartition("/")[2]))
    ran = world.job.run("--delta", MAX_RETRIES=0, OUTAGE_LIMIT=5)
    assert ran.code == 1, ran.said
    assert "asking again" not in ran.said
    failed = {*world.urls[:bad], first.url}
    assert set(image_writes(world)) == {world.key(url) for url in world.urls[:CHANGED] if url not in failed}


def interrupted(world: World, number: int, **options: object) -> Ran:
    """Run a delta, and send it a signal while it renews."""
    world.s3.rules.add(Rule("slow_answer", operation="PutObject", pattern=r"\.jpg", seconds=0.15))
    with world.job.running("--delta", CONCURRENCY=6, **options) as run:
        run.until(lambda: len(image_writes(world)) >= 10)
        run.send(number)
        return run.end()


@pytest.mark.parametrize("number", neighbors(signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
@pytest.mark.parametrize("options", neighbors({}, {"PROCESSES": 2}, {"UPLOAD_METHOD": "put_object"}))
def test_every_signal_ends_it_with_what_is_done_recorded(
    world: World, number: signal.Signals, options: dict[str, object]
) -> None:
    ran = interrupted(world, number, **options)
    assert ran.code == 128 + number, ran.said
    assert "Traceback" not in ran.said
    assert set(told(world.job).values()) == {"renewed"}
    assert len(told(world.job)) == len(image_writes(world)) < CHANGED, "what was under way has ended"
    assert counts(world.job)["completed"] == URLS
    report = world.job.report()
    assert report["verdict"] == "interrupted"
    assert "--delta" in report["next"] and report["next"] in ran.said
    world.s3.rules.clear()
    again = world.job.run("--delta", **options)
    assert again.code == 0, again.said
    assert_renewed(world)
