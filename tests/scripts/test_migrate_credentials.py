"""Credentials that come from a command of the profile and run out on the way: renewed, or the run stops."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.running import Migration, assert_consistent, assert_moved, counts, migration

# The SDK asks for new credentials a quarter of an hour before the old ones run out, and insists on them ten
# minutes before: the first ones last two seconds until it asks, or insists.
COMMAND = """\
import json, sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
calls, then = Path("calls"), sys.argv[1]
first = not calls.exists()
with calls.open("a") as file:
    file.write("x")
if not first and then == "fails":
    sys.exit("canary: the token service is away")
later = -60 if then == "has expired" else 3600
left = later if not first else 602 if then == "fails" else 902
expires = datetime.now(timezone.utc) + timedelta(seconds=left)
print(json.dumps({
    "Version": 1, "AccessKeyId": "AKIATEST", "SecretAccessKey": "secret", "SessionToken": "token",
    "Expiration": expires.isoformat(),
}))
"""


class World:
    """A CDN, a bucket that knows one session token, and a migration whose profile names a command."""

    def __init__(self, source: SourceServer, s3: S3Server, job: Migration) -> None:
        self.source, self.s3, self.job = source, s3, job
        self.urls = [source.url_of(f"i{n:04}.jpg") for n in range(60)]
        job.urls(self.urls)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            job.settings.pop(name)
        (job.folder / "command.py").write_text(COMMAND)

    def next_time(self, then: str) -> None:
        """Let the command give credentials for two seconds; after that it works, fails, or gives expired ones."""
        (self.job.folder / "calls").unlink(missing_ok=True)
        folder = self.job.folder / ".aws"
        folder.mkdir(exist_ok=True)
        command = shlex.join([sys.executable, "command.py", then])
        (folder / "config").write_text(f"[default]\ncredential_process = {command}\n")

    @property
    def calls(self) -> int:
        return len((self.job.folder / "calls").read_text())


@pytest.fixture
def world(
    tmp_path: Path,
    source_tls_server: Callable[..., SourceServer],
    s3_tls_server: Callable[..., S3Server],
    tls_material: TlsMaterial,
) -> World:
    source = source_tls_server(latency=0.4)  # 60 images take 8 workers three seconds
    s3 = s3_tls_server(tokens={"AKIATEST": "token"})
    return World(source, s3, migration(tmp_path, source, s3, tls_material))


@pytest.mark.parametrize("method", ["signed", "put_object"])
@pytest.mark.parametrize("then", ["fails", "has expired"])
def test_credentials_that_cannot_be_renewed_stop_the_run_with_the_remedy(
    world: World, method: str, then: str
) -> None:
    world.next_time(then)
    ran = world.job.run(UPLOAD_METHOD=method)
    assert ran.code == 3, ran.said
    assert ran.err.count("credentials could not be renewed") == 1
    assert "the instance role or the profile" in ran.err
    assert "(a migration resumes)" in ran.err
    assert "Traceback" not in ran.err
    assert "canary" not in ran.said + world.job.log
    assert world.job.failed() == {}
    assert_consistent(world.job, world.source, world.s3)
    assert 0 < len(world.job.completed()) < 60
    assert counts(world.job)["not_tried"] == 60 - len(world.job.completed())
    world.next_time("works")
    assert world.job.run(UPLOAD_METHOD=method).code == 0
    assert_moved(world.job, world.source, world.s3, world.urls)


@pytest.mark.parametrize("then", ["fails", "has expired"])
def test_credentials_that_do_not_work_at_the_start_are_named(world: World, then: str) -> None:
    world.next_time(then)
    (world.job.folder / "calls").write_text("x")  # the first answer is over
    ran = world.job.run()
    assert ran.code == 3, ran.said
    assert "credentials" in ran.err
    assert "the profile" in ran.err or "AWS_PROFILE" in ran.err
    assert "Traceback" not in ran.err
    assert len(world.source.log) == 0


@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_credentials_are_renewed_on_the_way(world: World, method: str) -> None:
    world.next_time("works")
    ran = world.job.run(UPLOAD_METHOD=method)
    assert ran.code == 0, ran.said
    assert_moved(world.job, world.source, world.s3, world.urls)
    assert world.calls == 2
