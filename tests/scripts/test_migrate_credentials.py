"""Credentials that come from a command of the profile and run out on the way: renewed, or the run stops."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timedelta, timezone

import pytest

from tests.running import assert_consistent, assert_moved, counts
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

# The SDK asks for new credentials a quarter of an hour before the old ones run out, and insists on them ten
# minutes before: the first ones last eight seconds until it asks, or insists. It asks before each
# request then.
COMMAND = """\
if [ ! -e calls ]; then printf x > calls; cat first.json; exit; fi
printf x >> calls
if [ "$1" = fails ]; then echo "canary: the token service is away" >&2; exit 1; fi
cat later.json
"""
LASTS = 8  # seconds


def credentials(seconds: float) -> str:
    """Return credentials for so many seconds, as a command prints them."""
    expires = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    keys = {"AccessKeyId": "AKIATEST", "SecretAccessKey": "secret", "SessionToken": "token"}
    return json.dumps({"Version": 1, **keys, "Expiration": expires.isoformat()})


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """A bucket that knows one session token, and a migration whose profile names a command."""
    world = new_world(60, latency=1.2, store={"tokens": {"AKIATEST": "token"}})  # it takes nine seconds
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        world.job.settings.pop(name)
    (world.job.folder / "command.sh").write_text(COMMAND)
    return world


def next_time(world: World, then: str) -> None:
    """Let the command give credentials for eight seconds; after that it works, fails, or gives expired ones."""
    (world.job.folder / "calls").unlink(missing_ok=True)
    folder = world.job.folder / ".aws"
    folder.mkdir(exist_ok=True)
    (world.job.folder / "first.json").write_text(credentials(LASTS + (600 if then == "fails" else 900)))
    (world.job.folder / "later.json").write_text(credentials(-60 if then == "has expired" else 3600))
    command = shlex.join(["sh", "command.sh", then])
    (folder / "config").write_text(f"[default]\ncredential_process = {command}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "then"),
    [
        ("signed", "fails"),
        ("put_object", "has expired"),
        slow("signed", "has expired"),
        slow("put_object", "fails"),
    ],
)
def test_credentials_that_cannot_be_renewed_stop_the_run_with_the_remedy(
    world: World, method: str, then: str
) -> None:
    next_time(world, then)
    ran = world.job.run(UPLOAD_METHOD=method)
    assert ran.code == 3, ran.said
    assert ran.err.count("credentials could not be renewed") == 1
    assert "the profile's credential_process" in ran.err
    assert "(a migration resumes)" in ran.err
    assert "Traceback" not in ran.err
    assert "canary" not in ran.said + world.job.log
    assert world.job.failed() == {}
    assert_consistent(world.job, world.source, world.s3)
    assert 0 < len(world.job.completed()) < 60
    assert counts(world.job)["not_tried"] == 60 - len(world.job.completed())
    next_time(world, "works")
    world.source.latency = 0.0
    assert world.job.run(UPLOAD_METHOD=method).code == 0
    assert_moved(world.job, world.source, world.s3, world.urls)


@pytest.mark.parametrize("then", ["fails", "has expired"])
def test_credentials_that_do_not_work_at_the_start_are_named(world: World, then: str) -> None:
    next_time(world, then)
    (world.job.folder / "calls").write_text("x")  # the first answer is over
    ran = world.job.run()
    assert ran.code == 3, ran.said
    assert "credentials" in ran.err
    assert "the profile" in ran.err or "AWS_PROFILE" in ran.err
    assert "Traceback" not in ran.err
    assert len(world.source.log) == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["signed", slow("put_object")])
def test_credentials_are_renewed_on_the_way(world: World, method: str) -> None:
    next_time(world, "works")
    ran = world.job.run(UPLOAD_METHOD=method)
    assert ran.code == 0, ran.said
    assert_moved(world.job, world.source, world.s3, world.urls)
    assert len((world.job.folder / "calls").read_text()) == 2
