"""migrate.py while a side is gone: it pauses, probes, resumes or stops, and blames no URL for it."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest

from tests.fakes.rules import Rule
from tests.running import assert_consistent, counts
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

PROBE = "img/.cdn2s3-probe-up"


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(300, latency=0.02, CONCURRENCY=30, DOWNLOAD_TIMEOUT=1, UPLOAD_TIMEOUT=1)


def break_down(world: World, side: str, how: str) -> None:
    server = side_of(world, side)
    if how == "refuse":
        server.network.refuse()
    elif how == "black hole":
        server.network.black_hole()
    else:
        server.rules.add(Rule(how))


def heal(world: World, side: str) -> None:
    side_of(world, side).rules.clear()
    side_of(world, side).network.heal()


def side_of(world: World, side: str) -> Any:
    return {"source": world.source, "bucket": world.s3}[side]


def break_down_under_way(world: World, side: str, how: str) -> None:
    """Break down when a hundred URLs have been asked for, and about seventy are done."""
    world.source.rules.at(100, lambda: break_down(world, side, how))


def is_under_way(world: World) -> bool:
    return world.has_completed(50)


BREAKDOWNS = [
    ("source", "refuse"), ("bucket", "ServiceUnavailable"),
    slow("source", "403"), slow("bucket", "black hole"), slow("source", "black hole"), slow("source", "503"),
    slow("bucket", "refuse"), slow("bucket", "200_html"),
]  # fmt: skip
SHORT_WAITS = {
    "cdn2s3.resilience.circuit_breaker.FIRST_PROBE": 0.3,
    "cdn2s3.resilience.circuit_breaker.LONGEST_WAIT": 1.0,
    "cdn2s3.console.progress._LINE_EVERY_SECONDS": 0.5,
}
NO_SECOND_PASS = {**SHORT_WAITS, "migrate.SECOND_PASS_AFTER": 30.0}  # noticed by the time it takes
SECOND_PASS_SOON = {**SHORT_WAITS, "migrate.SECOND_PASS_AFTER": 0.3}


@pytest.mark.parametrize(("side", "how"), BREAKDOWNS, ids=lambda value: value)
def test_outage_that_passes_is_waited_for_and_fails_no_file(world: World, side: str, how: str) -> None:
    break_down_under_way(world, side, how)
    with world.job.running(quick=NO_SECOND_PASS) as running:
        running.until(lambda: f"{side} down " in world.job.log)
        time.sleep(1.0)  # the outage goes on for a while
        heal(world, side)
        ran = running.end(20)
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert "second pass" not in world.job.log
    warnings = re.findall(rf"WARNING the {side} is (down: .*|up again)$", world.job.log, re.MULTILINE)
    assert len(warnings) >= 2 and warnings[-1] == "up again"
    assert ("ask the CDN's owner" in warnings[0]) == (how == "403")
    note = re.search(rf"{side} down \d+ s \([^)]+\), probe in \d s", world.job.log)
    assert note and len(note[0]) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", slow("2")])
def test_probe_of_an_outage_is_gone_at_the_end(world: World, processes: str) -> None:
    break_down_under_way(world, "bucket", "ServiceUnavailable")
    # It heals at once: another process, which has not seen an outage, may have given up a URL that needs a second pass.
    with world.job.running(quick=SECOND_PASS_SOON, PROCESSES=processes) as running:
        running.until(lambda: "bucket down " in world.job.log)
        world.s3.rules.clear()
        world.s3.rules.add(Rule("InternalError", operation="DeleteObject", count=1))
        ran = running.end(20)
    assert ran.code == 0, ran.said
    assert PROBE not in world.s3.objects("bucket")
    assert world.s3.rules.struck["InternalError"] == 1


@pytest.mark.slow
def test_outage_that_turns_into_a_refusal_stops_at_once(world: World) -> None:
    break_down_under_way(world, "bucket", "ServiceUnavailable")
    with world.job.running(quick=NO_SECOND_PASS) as running:
        running.until(lambda: "bucket down " in world.job.log)
        world.s3.rules.clear()
        break_down(world, "bucket", "ExpiredToken")
        ran = running.end(20)
    assert ran.code == 3
    assert "renew the credentials" in ran.err
    assert world.job.failed() == {}
    heal(world, "bucket")
    assert world.job.run(quick=NO_SECOND_PASS).code == 0
    world.assert_all_moved()


@pytest.mark.parametrize(
    ("side", "how"), [("source", "refuse"), slow("source", "403"), slow("bucket", "refuse")], ids=lambda v: v
)
def test_outage_over_the_limit_stops_and_resumes(world: World, side: str, how: str) -> None:
    break_down_under_way(world, side, how)
    ran = world.job.run(quick=NO_SECOND_PASS, OUTAGE_LIMIT=2)
    assert ran.code == 3
    assert "OUTAGE_LIMIT" in ran.err
    assert f"the {side} has been down" in ran.err
    assert world.job.failed() == {}
    assert counts(world.job)["not_tried"] == 300 - len(world.job.completed())
    assert_consistent(world.job, world.source, world.s3)
    heal(world, side)
    assert world.job.run(quick=NO_SECOND_PASS).code == 0
    world.assert_all_moved()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "how", "heals"),
    [
        slow("source", "403", True), ("bucket", "black hole", False),
        slow("source", "403", False), slow("bucket", "black hole", True),
    ],
)  # fmt: skip
def test_outage_that_all_the_last_urls_fail_in_blames_none(
    world: World, side: str, how: str, heals: bool
) -> None:
    world.use(world.urls[:120])
    assert world.job.run("--limit", "60").code == 0
    world.source.latency = 0.5  # all of the last 60 are on their way before the first of them fails
    if side == "source":
        break_down(world, side, how)
    settings = {"CONCURRENCY": 60, "MAX_RETRIES": 0, "OUTAGE_LIMIT": 60 if heals else 2}
    if side == "bucket":
        world.source.rules.at(1, lambda: break_down(world, side, how))
    with world.job.running(quick=NO_SECOND_PASS, **settings) as running:
        if heals:
            running.until(lambda: f"{side} down " in world.job.log)
            heal(world, side)
        ran = running.end(20)
    assert world.job.failed() == {}
    assert_consistent(world.job, world.source, world.s3)
    if heals:
        assert ran.code == 0, ran.said
        world.assert_all_moved()
        assert "second pass" not in world.job.log
    else:
        assert ran.code == 3
        assert "OUTAGE_LIMIT" in ran.err
        assert counts(world.job)["not_tried"] == 60


TAILS = [("source", "refuse", "1", True), ("bucket", "ServiceUnavailable", "1", True)]
MORE_TAILS = [
    ("source", "403", "1", False), ("bucket", "refuse", "2", False),
    ("source", "refuse", "1", False), ("source", "403", "1", True), ("bucket", "ServiceUnavailable", "1", False),
    ("bucket", "refuse", "2", True), *itertools.product(["source"], ["refuse"], "2", [True, False]),
    *itertools.product(["source", "bucket"], ["black hole"], "1", [True, False]),
    *itertools.product(["bucket"], ["refuse"], "1", [True, False]),
]  # fmt: skip


def patience_of(how: str) -> dict[str, object]:
    """Return settings with which URLs are held until the side is broken, however long the machine takes for that."""
    seconds = 3 if how == "black hole" else 20
    return {"DOWNLOAD_TIMEOUT": seconds, "UPLOAD_TIMEOUT": seconds}


def break_what_is_held(world: World, side: str, how: str) -> None:
    break_down(world, side, how)
    side_of(world, side).rules.remove("held")
    if how != "black hole":
        side_of(world, side).network.drop_connections()


def hold_the_last(world: World, side: str, moved: int, last: int) -> None:
    """Let the migration move some URLs, and no more than begin with the last ones until the rules are cleared."""
    names = [f"i{n:04}.jpg" for n in range(moved)] + [f"last{n}.jpg" for n in range(last)]
    world.use([world.source.url_of(name) for name in names])
    fault, operation = ("stall_headers", "GET") if side == "source" else ("black_hole", "PutObject")
    side_of(world, side).rules.add(Rule(fault, name="held", operation=operation, pattern="last", seconds=30))


@pytest.mark.slow
@pytest.mark.parametrize(("side", "urls"), [slow("source", 13), ("bucket", 60)])
def test_outage_at_the_tail_is_waited_for(world: World, side: str, urls: int) -> None:
    hold_the_last(world, side, moved=50, last=urls)
    settings = {"CONCURRENCY": 60, "MAX_RETRIES": 3, **patience_of("refuse")}
    with world.job.running(quick=NO_SECOND_PASS, **settings) as running:
        running.until(lambda: is_under_way(world) and sum(side_of(world, side).rules.struck.values()) >= urls)
        break_what_is_held(world, side, "refuse")
        running.until(lambda: f"{side} down " in world.job.log)
        heal(world, side)
        ran = running.end(30)
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert "second pass" not in world.job.log


@pytest.mark.parametrize(
    ("side", "how", "processes", "heals"), [*TAILS, *(slow(*tail) for tail in MORE_TAILS)]
)
def test_outage_that_the_last_few_urls_fail_in_blames_none(
    world: World, side: str, how: str, processes: str, heals: bool
) -> None:
    hold_the_last(world, side, moved=50, last=7)
    limits = {"MAX_RETRIES": 0, "OUTAGE_LIMIT": 60 if heals else 2, **patience_of(how)}
    with world.job.running(quick=NO_SECOND_PASS, PROCESSES=processes, **limits) as running:
        running.until(lambda: is_under_way(world) and sum(side_of(world, side).rules.struck.values()) == 7)
        break_what_is_held(world, side, how)
        if heals:
            running.until(lambda: f"{side} down " in world.job.log)
            heal(world, side)
        ran = running.end(30)
    assert world.job.failed() == {}
    assert_consistent(world.job, world.source, world.s3)
    if heals:
        assert ran.code == 0, ran.said
        world.assert_all_moved()
        assert "second pass" not in world.job.log
    else:
        assert ran.code == 3
        assert f"the {side} has been down" in ran.err
        assert counts(world.job)["not_tried"] == 7


def test_source_that_is_gone_before_its_first_answer_fails_no_file(world: World) -> None:
    world.use(world.urls[:7])
    world.source.network.refuse()
    with world.job.running(quick=NO_SECOND_PASS) as running:
        running.until(lambda: "source down " in world.job.log)
        heal(world, "source")
        ran = running.end(30)
    assert ran.code == 0, ran.said
    world.assert_all_moved()


@pytest.mark.slow
@pytest.mark.parametrize("side", ["source", slow("bucket")])
def test_last_few_urls_that_fail_by_themselves_cost_one_probe_a_pass(world: World, side: str) -> None:
    hold_the_last(world, side, moved=50, last=7)
    assert world.job.run("--limit", "1").code == 0
    by_the_guard = probes_of_the_bucket(world)
    ran = world.job.run(MAX_RETRIES=0)
    assert ran.code == 1
    assert set(world.job.causes().values()) == {"timeout" if side == "source" else "destination"}
    assert len(world.job.failed()) == 7
    assert len(world.job.completed()) == 50
    assert "is down" not in world.job.log
    of_the_source = sum(world.source.requests[url[len(world.source.url) :]] - 1 for url in world.urls[:50])
    assert of_the_source == (2 if side == "source" else 0)
    assert probes_of_the_bucket(world) - 2 * by_the_guard == (2 if side == "bucket" else 0)


def probes_of_the_bucket(world: World) -> int:
    return sum(entry.operation == "PutObject" and entry.key == PROBE for entry in list(world.s3.log))


@pytest.mark.slow
def test_forbidden_single_files_among_others_are_their_own(world: World) -> None:
    world.source.rules.add(Rule("403", pattern="[37].jpg$"))
    ran = world.job.run(quick=NO_SECOND_PASS)
    assert ran.code == 1
    assert set(world.job.causes().values()) == {"forbidden"}
    assert len(world.job.failed()) == 60
    assert len(world.job.completed()) == 240


def test_forbidden_files_in_a_long_row_are_found_out_by_the_probe(world: World) -> None:
    world.source.rules.add(Rule("403", pattern="i01"))  # a hundred, one after the other
    ran = world.job.run(quick=NO_SECOND_PASS, OUTAGE_LIMIT=10)
    assert ran.code == 1, ran.said
    assert set(world.job.causes().values()) == {"forbidden"}
    assert len(world.job.failed()) == 100
    assert len(world.job.completed()) == 200


def test_bucket_that_is_gone_at_the_start_stops_before_a_download(world: World) -> None:
    world.s3.network.refuse()
    ran = world.job.run()
    assert ran.code == 3
    assert "cannot be reached" in ran.err
    assert len(world.source.log) == 0
    assert counts(world.job)["not_tried"] == 300


@pytest.mark.slow
def test_outage_with_the_real_numbers_is_waited_for(world: World) -> None:
    world.source.rules.at(100, lambda: world.source.network.refuse(seconds=12))
    ran = world.job.run(quick={})
    assert ran.code == 0, ran.said
    world.assert_all_moved()
