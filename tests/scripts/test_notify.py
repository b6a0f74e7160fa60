"""NOTIFY_COMMAND in real runs: at the end, in an outage, and when a run cannot go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT, processes
from tests.fakes.rules import Rule
from tests.running import QUICK, environment
from tests.scripts.world import NewWorld, World

STUDY = {**QUICK, "cdn2s3.transfer.endpoint_watch.LASTING": 0.1}
# As a mail program does: the subject from the environment, the body from standard input.
MAIL = "sh -c '{ echo \"Subject: $CDN2S3_TEXT\"; cat; env; } >> mail'"


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(40, NOTIFY_COMMAND=MAIL)


def mail(folder: Path) -> str:
    path = folder / "mail"
    return path.read_text() if path.exists() else ""


def messages(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in mail(folder).splitlines() if line.startswith("{")]


def test_end_of_a_run_is_told_with_its_figures(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0001"))
    assert world.job.run().code == 1
    (message,) = messages(world.job.folder)
    assert message["event"] == "end"
    assert (message["exit_code"], message["stored"], message["failed"]) == (1, 39, 1)
    assert (message["done"], message["urls"]) == (39, 40)
    assert "Subject: migrate.py has ended: exit code 1" in mail(world.job.folder)


def test_nothing_secret_is_told(world: World) -> None:
    world.job.run(SOURCE_HEADERS="Cookie: s=verysecret", AWS_SECRET_ACCESS_KEY="secret")
    said = mail(world.job.folder)
    assert "verysecret" not in said
    assert "AWS_SECRET_ACCESS_KEY" not in said


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"PRESERVE_PATH_STRUCTURE": "true", "URL_PREFIX": "https://x.example/"}, 2, id="input"),
        pytest.param({"DESTINATION_BUCKET": "no-such-bucket"}, 3, id="bucket"),
    ],
)
def test_run_that_cannot_go_on_is_told(world: World, settings: dict[str, str], code: int) -> None:
    assert world.job.run(**settings).code == code
    (message,) = messages(world.job.folder)
    assert (message["event"], message["exit_code"]) == ("cannot_go_on", code)
    assert message["why"]


def test_run_that_finds_another_one_is_told(new_world: NewWorld) -> None:
    world = new_world(300, latency=0.02, NOTIFY_COMMAND=MAIL)
    with world.job.running() as running:
        running.until(lambda: world.has_completed(20))
        assert world.job.run().code == 3
        assert [message["event"] for message in messages(world.job.folder)] == ["cannot_go_on"]


def test_outage_is_told_when_it_begins_and_when_it_ends(new_world: NewWorld) -> None:
    world = new_world(
        300, latency=0.02, CONCURRENCY=30, DOWNLOAD_TIMEOUT=1, UPLOAD_TIMEOUT=1, NOTIFY_COMMAND=MAIL
    )
    with world.job.running(quick=STUDY) as running:
        running.until(lambda: world.has_completed(50))
        world.source.network.refuse()
        running.until(lambda: "outage_start" in mail(world.job.folder))
        world.source.network.heal()
        assert running.end().code == 0
    told = [message["event"] for message in messages(world.job.folder)]
    assert told[0] == "outage_start"
    assert told[-2:] == ["outage_end", "end"]


def test_plan_and_check_tell_nobody(world: World) -> None:
    world.job.run("--plan")
    world.job.run("--check")
    assert mail(world.job.folder) == ""


@pytest.mark.slow
def test_validation_and_collection_are_told_too(world: World) -> None:
    world.job.run()
    folder = world.job.folder
    (folder / "lot_1_images.json").write_text('[{"image_url": "https://cdn.example.com/a.jpg"}]')
    (folder / "collection.env").write_text(
        "SOURCE=lots\nLOT_FILES=lot_*_images.json\nURL_PREFIX=https://cdn.example.com/\n"
        f"OUTPUT_FILE=other.txt\nCHECKPOINT_FILE=other.json\nNOTIFY_COMMAND={MAIL}\n"
    )
    for script in ("validate.py", "collect_urls.py"):
        processes.run([sys.executable, str(ROOT / script)], folder, environment(folder))
    told = messages(folder)
    assert [message["script"] for message in told] == ["migrate.py", "validate.py", "collect_urls.py"]
    assert told[1]["verdict"] == "complete"


def test_command_that_fails_changes_no_exit_code(world: World) -> None:
    ran = world.job.run(NOTIFY_COMMAND="sh -c 'exit 9'")
    assert ran.code == 0
    assert "NOTIFY_COMMAND: it ended with exit code 9" in ran.err
