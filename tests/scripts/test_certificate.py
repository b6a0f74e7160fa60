"""certificate.html: written by validate.py alone, and complete only where everything is proven."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests import ROOT, processes
from tests.fakes.rules import Rule
from tests.running import environment
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors, slow

COMPLETE = "The migration is complete"


@pytest.fixture
def world(new_world: NewWorld) -> World:
    world = new_world(12)
    vouch(world)
    return world


def vouch(world: World, **fields: Any) -> None:
    """Leave the checkpoint of a collection that has ended, beside the list."""
    size = world.job.path("urls.txt").stat().st_size
    found = {"complete": True, "urls": len(world.urls), "duplicates": 3, "rejected": 1, "bytes": size}
    found.update(evidence="12 items = the API's total (total)", doubts=[], finished_at="2026-11-20T10:15:00Z")
    world.job.path("checkpoint.json").write_text(json.dumps({**found, **fields}))


def validate(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "validate.py"), *arguments]
    ended = processes.run(command, world.job.folder, environment(world.job.folder))
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def page(world: World) -> str:
    return world.job.text("certificate.html")


def test_certificate_joins_the_three_phases(world: World) -> None:
    world.job.run()
    assert page(world) == ""
    assert validate(world).returncode == 0
    said = page(world)
    assert COMPLETE in said
    assert "name, signature, date" in said
    for words in (
        "12 items = the API&#39;s total",
        "12 of 12 compared",
        "migration_report.html",
        "validation_report.html",
    ):
        assert words in said
    assert len(re.findall(r"SHA-256 [0-9a-f]{64}", said)) == 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"evidence": ""}, "Nothing vouches for the end of the list", id="nothing vouches"),
        slow({"complete": False}, "has not come to its end", id="stopped"),
        slow({"doubts": ["off by more than 0.1%."]}, "off by more than 0.1%", id="doubts"),
        slow({"bytes": 7}, "not the one that was collected", id="list changed"),
    ],
)
def test_list_that_may_be_short_is_not_certified(world: World, fields: dict[str, Any], why: str) -> None:
    vouch(world, **fields)
    world.job.run()
    validate(world)
    assert COMPLETE not in page(world)
    assert why in page(world)
    assert "signature" not in page(world).partition("<main>")[2]


def test_list_of_one_s_own_is_not_certified(world: World) -> None:
    world.job.path("checkpoint.json").unlink()
    world.job.run()
    assert validate(world).returncode == 0
    assert "Nothing vouches for the list" in page(world)


def test_known_gaps_are_named(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0001"))
    world.job.run()
    validate(world)
    assert COMPLETE not in page(world)
    assert "Complete, except for 1 known gap<" in page(world)


def test_what_is_missing_is_not_certified(world: World) -> None:
    world.job.run("--limit", "5")
    validate(world)
    assert "7 URLs that need another run" in page(world)


def test_spot_check_of_none_is_not_certified(world: World) -> None:
    world.job.run()
    assert validate(world, "--spot-check", "0").returncode == 0
    assert "No image was compared" in page(world)


def test_later_run_that_may_change_the_record_takes_the_certificate_away(world: World) -> None:
    world.job.run()
    validate(world)
    world.job.run()  # nothing to do: it stays
    assert COMPLETE in page(world)
    world.use([*world.urls, world.source.url_of("new.jpg")])
    world.job.run()
    assert page(world) == ""
    assert COMPLETE in world.job.text("certificate.html.bak")


def test_verdict_is_in_the_page_of_the_migration_and_links_go_both_ways(world: World) -> None:
    world.job.run()
    assert "Not validated yet" in world.job.text("migration_report.html")
    validate(world)
    migration, validation = (world.job.text(f"{name}_report.html") for name in ("migration", "validation"))
    assert 'href="validation_report.html"' in migration
    assert "12 of 12 URLs have their object" in migration
    assert 'href="migration_report.html"' in validation
    assert world.job.report()["validation"]["is_newer"]


@pytest.mark.slow
def test_links_lead_to_a_report_elsewhere(world: World) -> None:
    (world.job.folder / "out here").mkdir()
    world.job.run(STATE_DIR="state")
    validate(world, "--report", "out here/v.html")
    assert 'href="../out%20here/v.html"' in (world.job.folder / "state/certificate.html").read_text()
    assert 'href="../state/migration_report.html"' in (world.job.folder / "out here/v.html").read_text()


@pytest.mark.parametrize("content", neighbors("{", "[]", "{}", '{"format": 1, "job": null}'))
def test_damaged_report_of_the_migration_is_no_traceback(world: World, content: str) -> None:
    world.job.run()
    world.job.path("migration_report.json").write_text(content)
    validate(world)
    assert COMPLETE not in page(world)


@pytest.mark.slow
def test_validation_that_is_stopped_leaves_the_certificate(world: World) -> None:
    world.job.run()
    validate(world)
    before = page(world)
    world.s3.rules.add(Rule("AccessDenied"))
    assert validate(world).returncode == 3
    assert page(world) == before
