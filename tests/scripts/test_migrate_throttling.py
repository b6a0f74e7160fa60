"""migrate.py at an endpoint that allows so many requests a second: it uses them, and no URL fails for it."""

from __future__ import annotations

import re
import time

import pytest

from tests.fakes.rules import Rule
from tests.scripts.test_migrate_outage import side_of
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

LEARNED = 30.0  # seconds after which the rate has to be known
IMAGES = r"\.jpg$"  # leaves the probe object alone
SOON = {
    "cdn2s3.resilience.retry.LONGEST_WAIT": 1.0,
    "cdn2s3.console.progress._LINE_EVERY_SECONDS": 1.0,
    "cdn2s3.console.progress._LINE_EVERY_FILES": 100_000,
    "migrate.SECOND_PASS_AFTER": 0.3,
}


def throttle(world: World, side: str, **more: object) -> None:
    operation = "GET" if side == "source" else "PutObject"
    fault = "429" if side == "source" else "SlowDown"
    side_of(world, side).rules.add(Rule(fault, operation=operation, pattern=IMAGES, **more))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "rate", "method", "processes", "retry_after"),
    [
        ("bucket", 20, "signed", 1, ""), ("bucket", 20, "put_object", 2, "1"), ("bucket", 5, "signed", 1, ""),
        ("source", 20, "signed", 1, "1"), ("source", 20, "signed", 2, ""), ("source", 5, "signed", 1, ""),
        ("bucket", 200, "signed", 2, ""), ("source", 200, "signed", 1, "1"),
    ],
)  # fmt: skip
def test_most_of_the_allowed_rate_is_used(
    new_world: NewWorld, side: str, rate: int, method: str, processes: int, retry_after: str
) -> None:
    world = new_world(
        75 * rate, latency=0.02, CONCURRENCY=150, PROCESSES=processes, UPLOAD_METHOD=method, MAX_RETRIES=3
    )
    throttle(world, side, rate=rate, value=retry_after)
    with world.job.running(quick={}) as running:
        running.until(lambda: world.has_completed(1))
        time.sleep(LEARNED)
        began, before = time.monotonic(), world.job.text("completed.txt").count("\n")
        time.sleep(20.0)
        ended, after = time.monotonic(), world.job.text("completed.txt").count("\n")
        running.send(2)
        ran = running.end(60)
    assert ran.code == 130, ran.said
    assert (after - before) / (ended - began) >= 0.8 * rate
    assert world.job.failed() == {}
    assert "is down" not in world.job.log
    limited = re.search(rf"the {side} limited the run to ([\d.]+) files/s for", ran.said)
    assert limited and float(limited[1]) == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize(("side", "processes"), [("bucket", 1), slow("source", 1), slow("bucket", 2)])
def test_throttling_fails_no_file_and_is_said(new_world: NewWorld, side: str, processes: int) -> None:
    world = new_world(150, CONCURRENCY=60, MAX_RETRIES=0, PROCESSES=processes)
    throttle(world, side, rate=30)
    ran = world.job.run(quick=SOON)
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert re.search(rf"the {side} allows [\d.]+ files/s$", world.job.log, re.MULTILINE)
    assert re.search(rf"the {side} limited the run to [\d.]+ files/s for \d+ s", ran.said)
    assert world.job.report()["limited"][side]["seconds"] > 0
    assert "is down" not in world.job.log and "second pass" not in world.job.log
    said = re.findall(rf"the {side} throttles \(the .* answered (?:429|503 SlowDown)", world.job.log)
    assert len(said) == 1


@pytest.mark.slow
@pytest.mark.parametrize("side", ["source", slow("bucket")])
def test_url_that_is_refused_alone_fails_as_throttled(new_world: NewWorld, side: str) -> None:
    world = new_world(400, latency=0.02, CONCURRENCY=20, OUTAGE_LIMIT=3)
    fault = "429" if side == "source" else "SlowDown"
    side_of(world, side).rules.add(Rule(fault, pattern=r"i0007\.jpg$"))
    ran = world.job.run(quick=SOON)
    assert ran.code == 1, ran.said
    assert world.job.causes() == {world.urls[7]: "throttled"}
    assert f"the {side} refused it" in world.job.failed()[world.urls[7]].message


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bucket", slow("source")])
def test_endpoint_that_lets_nothing_through_stops_the_run_and_fails_nothing(
    new_world: NewWorld, side: str
) -> None:
    world = new_world(200, latency=0.02, CONCURRENCY=20, OUTAGE_LIMIT=4)
    with world.job.running(quick=SOON) as running:
        running.until(lambda: world.has_completed(20))
        side_of(world, side).rules.add(Rule("429" if side == "source" else "SlowDown"))
        ran = running.end(40)
    assert ran.code == 3, ran.said
    assert f"the {side} has throttled every request for" in ran.err
    assert world.job.failed() == {}
    side_of(world, side).rules.clear()
    assert world.job.run(quick=SOON).code == 0
    world.assert_all_moved()
