"""validate.py as a process, after the real migrate.py, against a CDN and an S3 in which faults are planted."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Callable

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cdn2s3.console.progress import counted_checks
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build
from cdn2s3.state import run_binding
from cdn2s3.state.ledger import Completed, Ledger
from tests import ROOT
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.processes import Process
from tests.running import environment
from tests.tiers import slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

PATIENCE = 60  # seconds that a script may take before its test fails
LISTING = "ListObjectsV2"


class Job:
    """A folder with a list of URLs and settings, in which the scripts run."""

    def __init__(self, folder: Path, source: SourceServer, endpoint: str, **settings: str) -> None:
        self.folder = folder
        self.source = source
        self.settings = {
            "DESTINATION_BUCKET": "bucket",
            "PRESERVE_PATH_STRUCTURE": "true",
            "STRIP_PATH_PREFIX": "images/",
            "URL_PREFIX": source.url_prefix,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "CONCURRENCY": "8",
            "MAX_RETRIES": "0",
            "DOWNLOAD_TIMEOUT": "5",
            "UPLOAD_TIMEOUT": "5",
            **settings,
        }
        for script in ("migrate.py", "validate.py"):
            (folder / script).symlink_to(ROOT / script)
        self.write_settings()
        self.urls: list[str] = []

    def write_settings(self, **changed: str) -> None:
        lines = [f"{name}={value}\n" for name, value in {**self.settings, **changed}.items()]
        (self.folder / "migration.env").write_text("".join(lines))

    def add(self, name: str, **options: Any) -> str:
        """Append the URL of a new image to urls.txt."""
        url = self.source.url_of(name, **options)
        self.urls.append(url)
        (self.folder / "urls.txt").write_text("".join(f"{line}\n" for line in self.urls))
        return url

    def start(self, command: str, **options: Any) -> Process:
        """Start a command as a user would type it in this folder: `NAME=value python migrate.py --limit 5`."""
        before, _, after = command.partition("python ")
        changed = dict(assignment.split("=", 1) for assignment in shlex.split(before))
        words = [sys.executable, *shlex.split(after)]
        return Process(words, self.folder, {**environment(self.folder), **changed}, **options)

    def run(self, command: str, **options: Any) -> tuple[int, str, str]:
        """Run a command; return its exit code, stdout and stderr."""
        with self.start(command, **options) as process:
            try:
                out, error = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert "Traceback" not in error
        return process.wait(), out, error

    def validate(self, *options: str, **more: Any) -> tuple[int, str, str]:
        return self.run(" ".join(["python validate.py", *options]), **more)

    def migrate(self) -> None:
        """Migrate; the exit code may be 0 or 1."""
        assert self.run("python migrate.py")[0] in (0, 1)

    def rows(self, name: str) -> set[tuple[str, ...]]:
        """Return the records of a state file, each of which is there once."""
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        assert len(set(lines)) == len(lines)
        return {tuple(line.split("\t")) for line in lines}

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "validation_report.json").read_text())
        return found


def key(name: str) -> str:
    return f"images/{name}"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def source(source_server: Callable[..., SourceServer]) -> SourceServer:
    return source_server()


@pytest.fixture
def s3(s3_server: Callable[..., S3Server]) -> S3Server:
    return s3_server()


@pytest.fixture
def job(tmp_path: Path, source: SourceServer, s3: S3Server) -> Job:
    return Job(tmp_path, source, s3.url)


@pytest.fixture
def migrated(job: Job, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job of five images, with the objects and the state that its migration leaves."""
    for number in range(5):
        job.add(f"{number}.jpg")
    env_file = job.folder / "migration.env"
    with monkeypatch.context() as here:
        here.chdir(job.folder)
        run_binding.bind(build(MigrationSettings, read_env_file(env_file), {}, env_file))
    records = Ledger(job.folder)
    for url in job.urls:
        name, body = key(url.rpartition("/")[2]), job.source.body(url)
        s3.put("bucket", name, body)
        records.record(
            Completed(url, name, str(len(body)), md5(body), md5(body), "image/jpeg", "2026-01-01T00:00:00Z")
        )
    records.completed.close()
    records.failed.close()
    return job


# --- what is planted is found, and nothing else ---


class Store:
    """A bucket behind an endpoint, changed as by somebody else."""

    def __init__(self, endpoint: str, ca_bundle: Path | None) -> None:
        self.endpoint = endpoint
        self.settings = {"CA_BUNDLE": str(ca_bundle)} if ca_bundle else {}
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-west-2",
            aws_access_key_id="AKIATEST",
            aws_secret_access_key="secret",
            verify=str(ca_bundle) if ca_bundle else None,
        )

    def close(self) -> None:
        self._client.close()

    def create(self) -> None:
        where = {"LocationConstraint": "us-west-2"}
        self._client.create_bucket(Bucket="bucket", CreateBucketConfiguration=where)

    def put(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket="bucket", Key=name, Body=data)

    def get(self, name: str) -> bytes:
        answer = self._client.get_object(Bucket="bucket", Key=name)
        with closing(answer["Body"]) as body:
            data: bytes = body.read()
        return data

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket="bucket", Key=name)


@pytest.fixture(params=["strict S3 over TLS", slow("moto")])
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tls_material: TlsMaterial,
    s3_tls_server: Callable[..., S3Server],
    source_tls_server: Callable[..., SourceServer],
    source_server: Callable[..., SourceServer],
) -> Iterator[tuple[Job, Store]]:
    """A job that is not begun, and its bucket."""
    if request.param == "moto":
        moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        moto.start()
        with closing(Store(f"http://127.0.0.1:{moto.get_host_and_port()[1]}", None)) as store:
            store.create()
            yield Job(tmp_path, source_server(), store.endpoint), store
        moto.stop()
    else:
        with closing(Store(s3_tls_server().url, tls_material.ca_bundle)) as store:
            yield Job(tmp_path, source_tls_server(), store.endpoint, **store.settings), store


def test_validate_finds_what_is_planted_and_its_own_commands_repair_it(world: tuple[Job, Store]) -> None:
    job, store = world
    urls = {name: job.add(name) for name in [f"{number}.jpg" for number in range(30)]}
    urls["ü b+c.jpg"] = job.add("%C3%BC%20b+c.jpg")
    store.put(key("3.jpg"), b"somebody else's, before the migration")
    job.migrate()
    good = {name: job.source.body(url) for name, url in urls.items()}

    # lost, replaced, conflicting
    store.delete(key("1.jpg"))
    store.delete(key("ü b+c.jpg"))
    store.put(key("4.jpg"), b"another size")
    same_size = bytes(len(good["5.jpg"]))
    store.put(key("5.jpg"), same_size)
    # an object that is as recorded, but not what the CDN has: only the spot check can see it
    wrong = b"\xff\xd8\xff other picture"
    store.put(key("6.jpg"), wrong)
    ledger = job.folder / "completed.txt"
    text = ledger.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(urls["6.jpg"] + "\t"))
    fields = row.split("\t")
    fields[2:5] = [str(len(wrong)), md5(wrong), md5(wrong)]
    ledger.write_text(text.replace(row, "\t".join(fields)), encoding="utf-8")
    # unknown to the ledger
    new = job.add("new.jpg")
    uploaded = job.add("uploaded.jpg")
    store.put(key("uploaded.jpg"), job.source.body(uploaded))
    # nobody's; and the probe object, which is ours
    store.put(key("nobody's + file.jpg"), b"123")
    store.put(key("_test/1.jpg"), b"1234")
    store.put(key(".cdn2s3-probe"), b"probe")
    store.put(key(".cdn2s3-probe-put"), b"probe")
    store.put("elsewhere/1.jpg", b"not under the prefix")

    code, out, _ = job.validate("--spot-check 1000")

    assert code == 1
    assert out.startswith("verdict: incomplete\n")
    assert job.rows("missing.txt") == {
        (urls["1.jpg"], key("1.jpg"), "lost"),
        (urls["ü b+c.jpg"], key("ü b+c.jpg"), "lost"),
        (new, key("new.jpg"), "not tried"),
    }
    size = {name: str(len(data)) for name, data in good.items()}
    assert job.rows("mismatched.txt") == {
        (urls["3.jpg"], key("3.jpg"), "-", "37", "-", md5(store.get(key("3.jpg")))),
        (urls["4.jpg"], key("4.jpg"), size["4.jpg"], "12", md5(good["4.jpg"]), md5(b"another size")),
        (urls["5.jpg"], key("5.jpg"), size["5.jpg"], size["5.jpg"], md5(good["5.jpg"]), md5(same_size)),
        (urls["6.jpg"], key("6.jpg"), size["6.jpg"], str(len(wrong)), md5(good["6.jpg"]), md5(wrong)),
    }
    assert job.rows("unexpected.txt") == {
        (key("nobody's + file.jpg"), "3", md5(b"123")),
        (key("_test/1.jpg"), "4", md5(b"1234")),
    }
    report = job.report()
    assert (report["verdict"], report["exit_code"], report["promise_kept"]) == ("incomplete", 1, False)
    assert report["counts"] == {
        "complete": 25, "missing": 3, "lost": 2, "not_tried": 1, "failed": 0, "mismatched": 4,
        "present_unrecorded": 1, "present_unproven": 0, "known": 0, "open": 8,
        "listed": 32, "unexpected": 2, "superfluous": 0, "records_elsewhere": 0, "changed_at_source": 0,
    }  # fmt: skip
    lines = {"lines": 33, "blank": 0, "duplicates": 0, "urls": 33, "not_selected": 0, "add_up": True}
    assert report["lines"] == lines
    assert report["missing"]["looked_at"] == 3
    assert report["spot_check"]["outcomes"] == {"identical": 25, "different": 1}
    assert report["success_rate"] == 0.75757

    lines = out.splitlines()
    (overwrite,) = [at for at, line in enumerate(lines) if line.startswith("next: ON_EXISTING=overwrite ")]
    assert lines[overwrite - 1] == "the next command replaces these objects: look at the file first"
    assert "replaces these objects" in (job.folder / "validation_report.html").read_text()
    assert [line[6:] for line in out.splitlines() if line.startswith("next: ")] == report["next"]
    codes = [job.run(command)[0] for command in report["next"]]
    assert codes == [1, 0, 0]  # until it is replaced, the conflict is a failure
    store.delete(key("_test/1.jpg"))
    code, out, _ = job.validate("--spot-check 1000")

    assert (code, out.splitlines()[0]) == (0, "verdict: complete")
    assert "33 of 33 URLs complete: 100% reaches the target of 99.9%" in out
    assert job.report()["spot_check"]["outcomes"] == {"identical": 33}
    assert job.rows("missing.txt") == job.rows("mismatched.txt") == set()
    assert job.rows("unexpected.txt") == {(key("nobody's + file.jpg"), "3", md5(b"123"))}
    for name, url in urls.items():
        assert store.get(key(name)) == job.source.body(url)


def test_validate_with_known_gaps_only(job: Job) -> None:
    job.add("good.jpg")
    gaps = {job.add(f"{fault}.jpg", fault=fault): fault for fault in ("404", "403", "html", "empty")}
    job.urls += ["", "file:///x.jpg", job.urls[0]]
    job.add("last.jpg")
    job.migrate()
    code, out, _ = job.validate()
    assert code == 1
    assert out.startswith("verdict: complete_except_known\n")
    assert out.endswith("next: give failed_transfers.txt to the CDN's owner: docs/runbook.md\n")
    assert job.report()["next"] == []
    page = (job.folder / "validation_report.html").read_text()
    assert "give failed_transfers.txt to the CDN&#39;s owner" in page.partition("<main>")[0]
    causes = {"404": "not_found", "403": "forbidden", "html": "not_an_image", "empty": "empty"}
    assert job.rows("missing.txt") == {
        ("file:///x.jpg", "-", "failed:malformed"),
        *((url, key(f"fault-{fault}/{fault}.jpg"), f"failed:{causes[fault]}") for url, fault in gaps.items()),
    }
    report = job.report()
    assert report["failed"]["not_found"]["known"] is True
    assert (report["counts"]["known"], report["counts"]["open"]) == (5, 0)
    lines = {"lines": 9, "blank": 1, "duplicates": 1, "urls": 7, "not_selected": 0, "add_up": True}
    assert report["lines"] == lines


def test_validate_with_the_first_url_of_a_collision(job: Job, s3: S3Server) -> None:
    job.write_settings(PRESERVE_PATH_STRUCTURE="false", STRIP_PATH_PREFIX="", ON_COLLISION="first")
    first, second = job.add("a/1.jpg"), job.add("b/1.jpg")
    job.migrate()
    assert job.validate()[0] == 1
    assert job.report()["verdict"] == "complete_except_known"
    assert job.rows("missing.txt") == {(second, key("1.jpg"), "failed:collision")}
    assert s3.objects("bucket")[key("1.jpg")].read() == job.source.body(first)


@pytest.mark.slow
def test_validate_knows_objects_over_the_buffer_by_their_own_etag(job: Job) -> None:
    job.write_settings(MAX_BUFFER_MB="1")
    job.add("large.jpg", size=12_000_000)
    job.migrate()
    assert re.search(r"\t[0-9a-f]{32}-\d\t", (job.folder / "completed.txt").read_text())
    assert job.validate()[0] == 0
    assert job.report()["spot_check"]["outcomes"] == {"identical": 1}


def test_validate_tells_apart_what_is_gone_at_the_cdn(migrated: Job) -> None:
    migrated.source.rules.add(Rule("404", pattern="/3.jpg"))
    code, out, _ = migrated.validate()
    assert code == 0
    assert "spot check: 4 of 5 compared byte for byte: 4 identical; not compared: 1 source gone\n" in out
    assert migrated.rows("mismatched.txt") == set()
    migrated.source.rules.add(Rule("404", pattern="/2.jpg"))
    assert (
        "spot check: 3 of 5 compared byte for byte: 3 identical; not compared: 2 sources gone\n"
        in migrated.validate()[1]
    )


@pytest.mark.slow
def test_empty_prefix_is_the_whole_bucket_from_end_to_end(
    tmp_path: Path, source: SourceServer, s3: S3Server
) -> None:
    job = Job(tmp_path, source, s3.url, DESTINATION_PREFIX="")
    for number in range(3):
        job.add(f"{number}.jpg")
    job.migrate()
    assert set(s3.objects("bucket")) == {"0.jpg", "1.jpg", "2.jpg"}
    assert job.validate()[0] == 0
    s3.put("bucket", ".cdn2s3-probe", b"probe")
    s3.put("bucket", "theirs/of another.jpg", b"123")
    s3.store.delete("bucket", "1.jpg")
    code, _, _ = job.validate()
    assert code == 1
    assert job.rows("missing.txt") == {(job.urls[1], "1.jpg", "lost")}
    assert job.rows("unexpected.txt") == {("theirs/of another.jpg", "3", md5(b"123"))}
    job.run("python migrate.py --redo missing.txt")
    assert job.validate()[0] == 0


def test_validate_without_reading_permission(migrated: Job, s3: S3Server) -> None:
    s3.change(allow=frozenset({"ListBucket"}))
    s3.store.delete("bucket", key("0.jpg"))
    code, _, error = migrated.validate()
    assert code == 1
    assert (migrated.urls[0], key("0.jpg"), "lost") in migrated.rows("missing.txt")
    assert error.count("HEAD is refused") == 1
    assert error.count("the spot check is incomplete") == 1
    assert '"s3:GetObject"' in migrated.report()["spot_check"]["not_done"]
    assert migrated.report()["spot_check"]["holds"] is False
    assert migrated.report()["missing"]["look_refused"] is True


def test_validate_whose_listing_leaves_objects_out(migrated: Job, s3: S3Server) -> None:
    page = s3.store.page

    def with_gaps(*arguments: Any) -> Any:
        found, more = page(*arguments)
        return [item for item in found if item.key not in (key("0.jpg"), key("1.jpg"))], more

    s3.store.page = with_gaps  # type: ignore[method-assign]
    s3.put("bucket", key("1.jpg"), b"another")
    code, _, error = migrated.validate()
    assert code == 1
    assert "the listing omitted 2 objects that exist" in error
    assert migrated.rows("missing.txt") == set()
    assert [row[0] for row in migrated.rows("mismatched.txt")] == [migrated.urls[1]]
    assert migrated.report()["counts"]["complete"] == 4


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ({"listing_etag": "weak"}, ""),
        (
            {"listing_etag": "other"},
            "the listing's ETags are not the objects' own: HEAD showed those of 8 objects",
        ),
        slow({"key_count": "bucket"}, "KeyCount is not the number of keys on the page"),
        slow({"plus_in_listing": True}, "does not encode + in keys"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_validate_of_a_listing_with_habits_of_its_own(
    migrated: Job, s3: S3Server, monkeypatch: pytest.MonkeyPatch, habit: dict[str, Any], said: str
) -> None:
    """Nothing is missing, nothing differs, and damage is found all the same."""
    for name in ("a+b.jpg", "a%20b.jpg", "a+%20.jpg"):
        migrated.add(name)
    s3.put("bucket", "another prefix", b"x")
    migrated.migrate()
    s3.change(**habit)
    code, out, error = migrated.validate()
    assert code == 0, out + error
    assert said in error and said in out
    assert migrated.report()["destination_notes"] == (
        [] if not said else [*migrated.report()["destination_notes"]]
    )
    changed = s3.objects("bucket")[key("a b.jpg")]
    s3.put("bucket", key("a b.jpg"), bytes(changed.size))
    s3.store.delete("bucket", key("a+b.jpg"))
    assert migrated.validate("--spot-check", "0")[0] == 1
    assert [row[1] for row in migrated.rows("mismatched.txt")] == [key("a b.jpg")]
    assert [row[1] for row in migrated.rows("missing.txt")] == [key("a+b.jpg")]


def test_validate_whose_store_has_no_answer_for_some_keys(job: Job, s3: S3Server) -> None:
    s3.change(odd_keys="refuse")
    good, odd, dot, long = (job.add(name) for name in ("a.jpg", "b//c.jpg", "d/./e.jpg", "n" * 256 + ".jpg"))
    assert job.run("python migrate.py")[0] == 1
    failed = {row[0]: row[1] for row in job.rows("failed_transfers.txt")}
    assert failed == dict.fromkeys((odd, dot, long), "key_refused")
    code, out, error = job.validate()
    assert code == 1
    assert "verdict: complete_except_known" in out
    assert "the store has no answer for 3 keys (400 to HEAD)" in error
    assert {row[2] for row in job.rows("missing.txt")} == {"failed:key_refused"}
    assert good not in {row[0] for row in job.rows("missing.txt")}


def test_validate_where_keys_were_recorded_that_the_store_cannot_hold(migrated: Job, s3: S3Server) -> None:
    """A store that folds a//b into a/b takes the PUT, and has nothing at the key."""
    url = migrated.add("b//c.jpg")
    with suppress(FileNotFoundError), (migrated.folder / "completed.txt").open("a") as file:
        file.write(f"{url}\t{key('b//c.jpg')}\t7\tabc\tabc\timage/jpeg\t2026-01-01T00:00:00Z\n")
    s3.change(odd_keys="refuse")
    assert migrated.validate()[0] == 1
    assert migrated.report()["verdict"] == "complete_except_known"
    assert migrated.rows("missing.txt") == {(url, key("b//c.jpg"), "failed:key_refused")}


@pytest.mark.slow
def test_validate_of_archived_objects_says_why_bytes_are_not_compared(job: Job) -> None:
    job.write_settings(STORAGE_CLASS="DEEP_ARCHIVE")
    for number in range(3):
        job.add(f"{number}.jpg")
    code, _, error = job.run("python migrate.py")
    assert code == 0
    assert "cannot be read before they are restored" in error
    code, _, error = job.validate()
    assert code == 1
    assert "in an archive storage class" in error and "GetObject" not in error
    assert (job.report()["verdict"], job.report()["next"]) == (
        "complete",
        ["python validate.py --spot-check 0"],
    )
    assert job.validate("--spot-check", "0")[0] == 0


def test_validate_whose_cdn_is_away(migrated: Job) -> None:
    migrated.source.network.refuse()
    code, out, error = migrated.validate()
    assert code == 1
    assert out.startswith("verdict: complete\n")
    line = next(line for line in out.splitlines() if line.startswith("spot check: "))
    assert re.fullmatch(r"spot check: 0 of 5 compared, .+: the verdict rests on the listing alone", line)
    assert "the spot check is incomplete: 5 could not be compared" in error


def test_validate_whose_cdn_refuses_everything(migrated: Job) -> None:
    migrated.source.rules.add(Rule("403"))
    code, out, _ = migrated.validate("--spot-check 4")
    assert code == 1
    assert out.startswith("verdict: complete\n")
    said = "0 of 4 compared, the CDN answered 403: the verdict rests on the listing alone"
    assert f"spot check: {said}\n" in out
    report = migrated.report()
    assert (report["verdict"], report["exit_code"]) == ("complete", 1)
    spot = report["spot_check"]
    assert [spot[name] for name in ("asked", "drawn", "compared", "holds")] == [4, 4, 0, False]
    assert report["next"] == ["python validate.py --spot-check 4"]
    page = (migrated.folder / "validation_report.html").read_text()
    assert said in page.partition("<main>")[0]
    assert "nothing differs" not in page


@pytest.mark.parametrize(
    ("refused", "code"),
    [pytest.param("[0-1]", 0, id="fewer than half"), pytest.param("[0-2]", 1, id="more than half")],
)
def test_validate_whose_cdn_refuses_some(migrated: Job, refused: str, code: int) -> None:
    migrated.source.rules.add(Rule("403", pattern=rf"/{refused}\.jpg"))
    assert migrated.validate()[0] == code
    assert migrated.report()["spot_check"]["holds"] is (code == 0)


def test_validate_shows_on_a_terminal_how_far_the_spot_check_is(migrated: Job) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with migrated.start("python validate.py", stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how a terminal of Linux ends
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert re.search(rb"\rspot check: 100%\|.* 5/5 \[", shown)
    assert shown.rindex(b"keys/s") < shown.index(b"spot check:   0%")


def test_checks_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    seconds = iter(range(0, 10_000, 3))
    assert list(counted_checks(iter(range(2000)), 2000, lambda: next(seconds)))[-1] == 1999
    assert "spot check: 1,000 of 2,000 images" in caplog.messages
    assert len(caplog.messages) == 1000


def test_validate_without_spot_check(migrated: Job) -> None:
    before = len(migrated.source.log)
    code, out, _ = migrated.validate("--spot-check 0 --json out.json --report out.html")
    assert code == 0
    assert len(migrated.source.log) == before
    assert "spot check: none requested" in out
    assert json.loads((migrated.folder / "out.json").read_text())["verdict"] == "complete"
    assert "complete" in (migrated.folder / "out.html").read_text()
    assert not list(migrated.folder.glob("validation_report.*"))


def test_spot_check_all_compares_each_image_once(migrated: Job) -> None:
    before = len(migrated.source.log)
    code, out, _ = migrated.validate("--spot-check all")
    assert code == 0, out
    assert "spot check: 5 of 5 compared byte for byte: 5 identical\n" in out
    assert len(migrated.source.log) - before == 5
    spot = migrated.report()["spot_check"]
    assert (spot["asked"], spot["drawn"], spot["estimate"]) == ("all", 5, None)


def test_spot_check_of_some_says_what_it_means_for_all(migrated: Job) -> None:
    _, out, _ = migrated.validate("--spot-check 4")
    assert "4 identical; none differ: at most 60% of all (95% confidence)" in out
    estimate = migrated.report()["spot_check"]["estimate"]
    assert (estimate["images"], estimate["compared"], estimate["differ"]) == (5, 4, 0)
    assert estimate["high"] == pytest.approx(1 - 0.025**0.25)


def test_spot_check_takes_a_number_or_all(migrated: Job) -> None:
    code, _, error = migrated.validate("--spot-check most")
    assert code == 2
    assert "or the word all" in error


def test_validate_before_a_migration(job: Job, s3: S3Server) -> None:
    urls = [job.add(f"{number}.jpg") for number in range(3)]
    code, out, error = job.validate()
    assert code == 1
    assert "there is no state of a migration" in error
    assert "missing 3, 3 not tried" in out
    assert out.endswith("next: python migrate.py\n")
    assert {row[0] for row in job.rows("missing.txt")} == set(urls)
    assert not (job.folder / "run.json").exists()


def test_validate_writes_files_for_their_owner_alone(migrated: Job) -> None:
    assert migrated.validate()[0] == 0
    for name in (
        "missing.txt",
        "mismatched.txt",
        "unexpected.txt",
        "validation_report.json",
        "validation.log",
    ):
        assert (migrated.folder / name).stat().st_mode & 0o777 == 0o600


def test_validate_shows_no_secret(job: Job) -> None:
    job.write_settings(LOG_LEVEL="DEBUG", AWS_SECRET_ACCESS_KEY="secret")
    job.add("a.jpg?token=canary-query")
    job.add("b.jpg?token=canary-query", fault="404")
    job.migrate()
    _, out, error = job.validate()
    told = (
        out
        + error
        + "".join(
            (job.folder / f"validation{end}").read_text() for end in (".log", "_report.json", "_report.html")
        )
    )
    assert "canary-query" not in told
    assert "AKIATEST" not in told


# --- what it cannot do, it says ---


@pytest.mark.parametrize(
    "fault",
    [
        "list_truncated_xml",
        "AccessDenied",
        *map(slow, ("list_empty", "list_no_token", "list_no_key_count", "200_html")),
        *map(slow, ("InternalError", "ExpiredToken", "307", "drop_before")),
    ],
)
def test_validate_that_cannot_list(migrated: Job, s3: S3Server, fault: str) -> None:
    assert migrated.validate()[0] == 0
    for name in ("missing.txt", "mismatched.txt", "unexpected.txt"):
        (migrated.folder / name).write_text("as it was\n")
    s3.rules.add(Rule(fault, operation=LISTING))
    code, out, error = migrated.validate()
    assert code == 3
    assert out == ""
    assert error.count("could not list the bucket") == 1
    assert (migrated.report()["verdict"], migrated.report()["exit_code"]) == (None, 3)
    assert "could not list the bucket" in migrated.report()["ended_by"]
    for name in ("missing.txt", "mismatched.txt", "unexpected.txt"):
        assert (migrated.folder / name).read_text() == "as it was\n"
    assert not list(migrated.folder.glob("*.tmp"))


def test_validate_that_cannot_list_and_could_not_before(migrated: Job, s3: S3Server) -> None:
    s3.rules.add(Rule("AccessDenied", operation=LISTING))
    _, _, error = migrated.validate()
    assert "unexpected.txt were not written" in error
    assert "an earlier validation" not in error


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("DESTINATION_BUCKET", "another", id="bucket"),
        pytest.param("DESTINATION_PREFIX", "other/", id="prefix"),
        pytest.param("AWS_ENDPOINT_URL", "http://127.0.0.1:9", id="endpoint"),
    ],
)
def test_validate_of_another_destination_than_the_state_s(
    migrated: Job, s3: S3Server, setting: str, value: str
) -> None:
    requests = len(s3.log)
    migrated.write_settings(**{setting: value})
    code, out, error = migrated.validate()
    assert (code, out) == (2, "")
    assert f"{setting}: was" in error
    assert len(s3.log) == requests


def test_validate_ignores_failures_of_another_destination_at_which_nothing_was_stored(job: Job) -> None:
    url = job.add("a.jpg")
    job.write_settings(URL_PREFIX=job.source.url_prefix + "else/")
    (job.folder / "urls.txt").write_text(f"{url}\n{job.source.url_prefix}else/b.jpg\n")
    assert job.run("python migrate.py --limit 1 --retry-failed")[0] == 1  # `a.jpg` is malformed there
    assert job.rows("failed_transfers.txt")
    (job.folder / "urls.txt").write_text(f"{url}\n")
    job.write_settings()
    code, out, _ = job.validate("--spot-check 0")
    assert code == 1
    assert "missing 1, 1 not tried" in out


def collide(job: Job) -> None:
    job.write_settings(PRESERVE_PATH_STRUCTURE="false", STRIP_PATH_PREFIX="")
    job.add("a/1.jpg")
    job.add("b/1.jpg")


def make_folder(job: Job) -> None:
    (job.folder / "urls.txt").mkdir()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda job: (job.folder / "migration.env").unlink(), "migration.env", id="no settings"),
        pytest.param(lambda job: job.write_settings(BUKET="x"), "BUKET", id="unknown setting"),
        pytest.param(lambda job: None, "cannot read urls.txt", id="no list"),
        pytest.param(lambda job: (job.folder / "urls.txt").write_text("\n"), "no URL", id="empty list"),
        pytest.param(make_folder, "cannot read urls.txt", id="folder for a list"),
        pytest.param(collide, "1 URL of urls.txt would overwrite another one", id="collisions"),
    ],
)
def test_validate_with_what_an_edit_puts_right(
    job: Job, s3: S3Server, prepare: Callable[[Job], object], message: str
) -> None:
    prepare(job)
    code, out, error = job.validate()
    assert (code, out) == (2, "")
    assert message in error
    assert not s3.log
    assert not (job.folder / "validation_report.json").exists()


@pytest.mark.parametrize(
    "options",
    [
        "--json completed.txt",
        "--report failed_transfers.txt",
        "--json ./missing.txt",
        "--report completed.txt.bak",
        "--json urls.txt",
        "--json list.txt",
        "--report checkpoint.json",
        "--json migration.env",
        "--json validation.log",
        "--report migration.lock",
        "--report migration_report.html",
        "--json validation_report.html",
        "--json linked.json",
        "--json a --report ./a",
    ],
)
def test_validate_refuses_a_report_that_would_replace_a_file(job: Job, s3: S3Server, options: str) -> None:
    job.write_settings(SOURCE_URLS_FILE="list.txt")
    for name in ("completed.txt", "failed_transfers.txt", "urls.txt", "list.txt", "migration.lock"):
        (job.folder / name).write_text(f"{job.source.url_prefix}1.jpg\n")
    (job.folder / "linked.json").symlink_to("completed.txt")
    before = {path: path.read_bytes() for path in job.folder.iterdir() if path.name != "validation.log"}
    code, out, error = job.validate(options)
    assert (code, out) == (2, "")
    assert "--json" in error or "--report" in error
    assert not s3.log
    for path, content in before.items():
        assert path.read_bytes() == content


@pytest.mark.parametrize("option", ["--spot-check -1", "--spot-check many", "--bogus"])
def test_validate_with_a_wrong_option(job: Job, option: str) -> None:
    assert job.validate(option)[0] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param("--json none/r.json", "--json none/r.json: there is no folder none", id="no folder"),
        pytest.param("--report .", "--report . is a folder", id="a folder"),
        pytest.param("--report /proc/r.html", "--report /proc/r.html: cannot write", id="not writable"),
        pytest.param("--json urls.txt/r.json", "there is no folder urls.txt", id="a file for a folder"),
        pytest.param("--json same --report ./same", "name the same file", id="one file for both"),
    ],
)
def test_validate_refuses_a_place_where_no_report_can_go(
    job: Job, s3: S3Server, options: str, said: str
) -> None:
    job.add("1.jpg")
    code, _, error = job.validate(options)
    assert code == 2
    assert said in error
    assert not s3.log
    assert not (job.folder / "missing.txt").exists()


def test_validate_help_names_the_exit_codes(job: Job) -> None:
    code, out, _ = job.validate("--help")
    assert code == 0
    assert "129 / 130 / 143" in out
    assert len(out.splitlines()) <= 28


@pytest.mark.parametrize(
    ("lock", "script"),
    [
        pytest.param("migration.lock", "migrate.py", id="migration"),
        pytest.param("urls.txt.lock", "collect_urls.py", id="collection"),
        slow("validation.lock", "validate.py", id="another validation"),
    ],
)
def test_validate_while_another_script_writes(migrated: Job, lock: str, script: str) -> None:
    with (migrated.folder / lock).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        code, out, error = migrated.validate()
    assert (code, out) == (3, "")
    assert script in error
    assert "process id 4711" in error


def test_validate_of_a_state_that_changes_meanwhile(migrated: Job, s3: S3Server) -> None:
    def complete_something(operation: str, name: str, request: object) -> None:
        if operation == LISTING:
            with (migrated.folder / "completed.txt").open("a") as file:
                file.write("another record\n")

    s3.hook = complete_something
    code, out, error = migrated.validate()
    assert (code, out) == (3, "")
    assert "were changed during the validation" in error
    assert not (migrated.folder / "missing.txt").exists()


def test_validate_on_a_full_disk(job: Job) -> None:
    for number in range(300):
        job.urls.append(job.source.url_of(f"{number}/{'x' * 100}.jpg"))
    job.add("last.jpg")
    (job.folder / "missing.txt").write_text("as it was\n")
    limit = 1_000  # bytes of a file: too few for the report as well
    code, out, error = job.validate(limits={resource.RLIMIT_FSIZE: (limit, limit)})
    assert (code, out) == (3, "")
    assert error.rstrip().splitlines()[-1].split("ERROR")[1].strip().startswith("cannot write missing.txt")
    assert (job.folder / "missing.txt").read_text() == "as it was\n"


# --- being stopped ---


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("signal_", "code", "where"),
    [
        (signal.SIGINT, 130, LISTING),
        (signal.SIGTERM, 143, "GetObject"),
        (signal.SIGINT, 130, "HeadObject"),
        (signal.SIGHUP, 129, LISTING),
        slow(signal.SIGTERM, 143, LISTING),
        slow(signal.SIGINT, 130, "GetObject"),
        slow(signal.SIGTERM, 143, "HeadObject"),
    ],
)
def test_validate_stopped(
    migrated: Job, s3: S3Server, signal_: signal.Signals, code: int, where: str
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # this may run under nohup
    migrated.write_settings(UPLOAD_TIMEOUT="60")
    s3.store.delete("bucket", key("0.jpg"))
    s3.rules.add(Rule("black_hole", operation=where))
    with migrated.start("python validate.py") as process:
        wait_for(lambda: s3.rules.struck["black_hole"])
        began = time.monotonic()
        process.send_signal(signal_)
        out, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert time.monotonic() - began < 10
    assert out == ""
    assert "Traceback" not in error
    assert migrated.report()["ended_by"] == f"signal {int(signal_)}"
    assert migrated.report()["verdict"] is None
    assert migrated.report()["next"] == ["python validate.py"]
    name = {129: "SIGHUP", 130: "SIGINT", 143: "SIGTERM"}[code]
    assert (
        f"stopped by {name} before the end, so there is no verdict. Run `python validate.py` again." in error
    )
    page = (migrated.folder / "validation_report.html").read_text()
    assert f"Stopped by {name} before the end." in page
    assert "<code>python validate.py</code>" in page
    log = (migrated.folder / "validation.log").read_text()
    assert log.endswith(f" INFO    ended, exit code {code}\n")
    assert not (migrated.folder / "missing.txt").exists()
    assert not list(migrated.folder.glob("*.tmp"))


VERDICT = (
    "missing.txt",
    "mismatched.txt",
    "unexpected.txt",
    "validation_report.json",
    "validation_report.html",
)


@pytest.mark.parametrize("moment", ["comparing bytes", slow("listing"), slow("looking again")])
def test_validate_that_is_killed_leaves_the_last_verdict_whole(
    migrated: Job, s3: S3Server, source: SourceServer, moment: str
) -> None:
    s3.store.delete("bucket", key("1.jpg"))
    s3.put("bucket", key("2.jpg"), b"other")
    s3.put("bucket", key("more.jpg"), b"more")
    assert migrated.validate()[0] == 1
    before = {name: (migrated.folder / name).read_bytes() for name in VERDICT}
    s3.store.delete("bucket", key("3.jpg"))  # a new verdict would be another one
    rule, server = {
        "listing": (Rule("black_hole", operation=LISTING), s3),
        "looking again": (Rule("black_hole", operation="HeadObject"), s3),
        "comparing bytes": (Rule("stall_body", operation="GET"), source),
    }[moment]
    server.rules.add(rule)
    with migrated.start("python validate.py") as process:
        wait_for(lambda: server.rules.struck[rule.fault])
        process.kill()
        process.communicate()
    assert {name: (migrated.folder / name).read_bytes() for name in VERDICT} == before
    server.rules.clear()
    assert migrated.validate()[0] == 1
    assert {row[1] for row in migrated.rows("missing.txt")} == {key("1.jpg"), key("3.jpg")}
    assert not list(migrated.folder.glob("*.tmp"))
