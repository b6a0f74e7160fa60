"""The scripts with DESTINATION=local: every command works on a folder, and keeps what it promises with a bucket."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests import ROOT, processes
from tests.fakes.source import SourceServer
from tests.running import Migration, counts, environment
from tests.tiers import slow

URLS = 40


class World:
    """A CDN, a folder and the migration between them; nothing of AWS is set."""

    def __init__(self, source: SourceServer, folder: Path, **settings: object) -> None:
        self.source, self.root = source, folder / "images root"
        self.root.mkdir()
        self.job = Migration(folder)
        self.job.settings = {
            "DESTINATION": "local",
            "LOCAL_ROOT": self.root,
            "DESTINATION_PREFIX": "img/",
            "PRESERVE_PATH_STRUCTURE": "true",
            "STRIP_PATH_PREFIX": "images/",
            "URL_PREFIX": source.url_prefix,
            "CONCURRENCY": 8,
            "MAX_RETRIES": 1,
            "DOWNLOAD_TIMEOUT": 20,
            "UPLOAD_TIMEOUT": 20,
            **settings,
        }
        self.urls = [source.url_of(f"d{n % 3}/{n:03}.jpg") for n in range(URLS)]
        self.urls.append(source.url_of("large.jpg", size=9_000_000))
        self.job.urls(self.urls)

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def expected(self) -> dict[str, bytes]:
        start = len(self.source.url_prefix)
        return {f"img/{url[start:]}": self.source.body(url) for url in self.urls}

    def validate(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, str(ROOT / "validate.py"), *arguments]
        folder = self.job.folder
        ran = processes.run(command, folder, environment(folder))
        assert "Traceback" not in ran.stderr
        return ran.returncode, json.loads((folder / "validation_report.json").read_text())


@pytest.fixture
def world(tmp_path: Path, source_server: Callable[..., SourceServer]) -> World:
    return World(source_server(), tmp_path, MAX_BUFFER_MB=1)


def test_all_commands_work_on_a_folder(world: World) -> None:
    plan = world.job.run("--plan")
    assert plan.code == 0
    assert f"-> {world.root}/img/\n" in plan.out
    assert "requests" not in plan.out and "$" not in plan.out
    check = world.job.run("--check")
    assert check.code in (0, 1), check.said  # a warning of the machine that runs this is none of ours
    assert "ok       folder" in check.out and "bucket" not in check.out and "credentials" not in check.out
    sample = world.job.run("--sample", "5")
    assert sample.code == 0, sample.said
    assert f"{world.root}/_test/img/" in sample.out
    assert world.files() == {}
    ran = world.job.run()
    assert ran.code == 0, ran.said
    assert world.files() == world.expected()
    assert {(row.size, row.md5) for row in world.job.completed()} == {
        (row.size, row.etag) for row in world.job.completed()
    }
    assert world.job.report()["destination"] == {
        "endpoint": "",
        "bucket": "",
        "prefix": "img/",
        "folder": str(world.root),
    }
    assert f"{world.root}/img/" in world.job.text("migration_report.html")
    code, report = world.validate()
    assert (code, report["verdict"], report["spot_check"]["compared"]) == (0, "complete", len(world.urls))
    assert "from the folder" in world.job.text("validation_report.html")
    world.job.path("completed.txt").unlink()
    assert world.job.run("--adopt").code == 0
    assert world.validate("--spot-check", "5")[1]["verdict"] == "complete"


def test_validation_finds_what_is_lost_changed_or_nobodys(world: World) -> None:
    assert world.job.run().code == 0
    lost, changed = sorted(world.expected())[:2]
    (world.root / lost).unlink()
    body = (world.root / changed).read_bytes()
    (world.root / changed).write_bytes(body[:-1] + bytes([body[-1] ^ 1]))  # the same size
    (world.root / "img/stranger.jpg").write_bytes(b"x")
    code, report = world.validate("--spot-check", "0")
    assert (code, report["verdict"]) == (1, "incomplete")
    found = report["counts"]
    assert (found["lost"], found["mismatched"], found["unexpected"]) == (1, 1, 1)
    assert world.job.run("--redo", "missing.txt").code == 0
    assert world.job.run("--redo", "mismatched.txt").code == 1  # a conflict: it stays
    assert world.job.run("--redo", "mismatched.txt", ON_EXISTING="overwrite").code in (0, 1)
    assert world.job.run("--retry-failed", ON_EXISTING="overwrite").code == 0
    assert world.validate()[1]["verdict"] == "complete"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [slow(1), 2])
def test_killed_run_resumes(
    tmp_path: Path, source_server: Callable[..., SourceServer], processes: int
) -> None:
    world = World(source_server(latency=0.05), tmp_path, PROCESSES=processes)
    for least in (5, 20):
        with world.job.running() as run:
            run.until(lambda least=least: world.job.text("completed.txt").count("\n") >= least or run.is_over)  # type: ignore[misc]
            run.kill()
    ran = world.job.run()
    assert ran.code == 0, ran.said
    assert world.files() == world.expected()
    assert counts(world.job)["completed"] == len(world.urls)
    assert sum(world.source.bodies.values()) <= len(world.urls) + 2 * 8


def test_key_that_the_folder_cannot_hold_fails_and_the_others_go_on(world: World) -> None:
    strangers = [world.source.url_of("d0"), world.source.url_of("n" * 256)]
    world.job.urls([*world.urls, *strangers])
    ran = world.job.run()
    assert ran.code == 1
    assert world.job.causes() == dict.fromkeys(strangers, "destination")
    assert world.files() == world.expected()


def test_folder_that_is_not_there_and_what_only_a_bucket_has_are_exit_2(world: World) -> None:
    missing = world.job.run(LOCAL_ROOT=world.root / "absent")
    assert missing.code == 2 and "mkdir -p" in missing.said
    create = world.job.run("--create-bucket")
    assert create.code == 2 and "DESTINATION=local uses a folder" in create.said
    assert world.files() == {}


def test_state_belongs_to_its_folder(world: World, tmp_path: Path) -> None:
    world.job.urls(world.urls[:1])
    assert world.job.run().code == 0
    bound = json.loads(world.job.text("run.json"))
    assert (bound["DESTINATION"], bound["LOCAL_ROOT"]) == ("local", str(world.root))
    (tmp_path / "other").mkdir()
    other = world.job.run(LOCAL_ROOT=tmp_path / "other")
    assert other.code == 2 and "LOCAL_ROOT: was" in other.said
    bucket = world.job.run(DESTINATION="s3", DESTINATION_BUCKET="bucket")
    assert bucket.code == 2 and "DESTINATION: was 'local', now 's3'" in bucket.said
    assert world.job.run(LOCAL_ROOT="images root", DESTINATION_BUCKET="unused").code == 0


_NO_ANSWER = """\
import errno, os, pathlib
from cdn2s3.destinations import local_files
fsync = os.fsync
class Disk:
    def __getattr__(self, name):
        return getattr(os, name)
    def fsync(self, fd):
        if pathlib.Path("gone").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)
local_files.os = Disk()
"""


@pytest.mark.slow
def test_folder_that_does_not_answer_is_waited_for(
    tmp_path: Path, source_server: Callable[..., SourceServer]
) -> None:
    world = World(source_server(latency=0.15), tmp_path, CONCURRENCY=30)
    world.urls += [world.source.url_of(f"more/{n:03}.jpg") for n in range(260)]
    world.job.urls(world.urls)
    gone = tmp_path / "gone"
    with world.job.running(before=_NO_ANSWER) as run:
        run.until(lambda: world.job.text("completed.txt").count("\n") >= 20)
        gone.touch()
        run.until(lambda: "the folder is down" in world.job.log)
        gone.unlink()
        ran = run.end()
    assert ran.code == 0, ran.said
    assert "the folder is up again" in world.job.log
    assert world.job.failed() == {}
    assert world.files() == world.expected()


def test_undo_removes_our_files_and_nobody_elses(world: World) -> None:
    assert world.job.run().code == 0
    names = sorted(world.files())
    changed, theirs = names[0], names[1]
    (world.root / changed).write_bytes(b"somebody else's")
    (world.root / "img/other.jpg").write_bytes(b"never ours")
    rows = [row._replace(how="found") if row.key == theirs else row for row in world.job.completed()]
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    ran = world.job.run("--undo")
    assert ran.code == 0 and f"{len(names) - 1} objects" in ran.out, ran.said
    assert len(world.files()) == len(names) + 1
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert set(world.files()) == {changed, theirs, "img/other.jpg"}
    assert world.files()[changed] == b"somebody else's"
    assert "not atomic" in ran.said
    assert sorted(row.key for row in world.job.completed()) == [changed, theirs]
