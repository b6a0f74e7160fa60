"""variants.py on a real state and the strict S3: made once, resumed, renewed, undone, and never an original touched."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.state.files import held_lock
from cdn2s3.state.journal import runs_in
from cdn2s3.state.status_file import status_in
from tests import ROOT
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.running import Ran, Running
from tests.tiers import slow

pytest.importorskip("PIL", reason="Pillow is not installed (requirements-variants.txt)")

from PIL import Image

from tests.fakes import pictures

STATUS = "variants_status.json"
DAY = "2026-11-20T10:15:00Z"
_RUNNER = """\
import importlib, json, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant), name
    setattr(sys.modules[module], constant, value)
import variants
if __name__ == "__main__":
    sys.exit(variants.main(sys.argv[1:]))
"""


class Bucket:
    """A bucket with originals, and the state of the migration that has put them there."""

    def __init__(self, folder: Path, s3: S3Server, **settings: object) -> None:
        self.folder, self.s3 = folder, s3
        self.originals: dict[str, bytes] = {}
        self.settings: dict[str, object] = {
            "DESTINATION_BUCKET": "bucket",
            "AWS_ENDPOINT_URL": s3.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "MAX_RETRIES": 1,
            "UPLOAD_TIMEOUT": 5,
            "VARIANT_SIZES": "small:50,medium:100",
            **settings,
        }

    def has(self, originals: Mapping[str, bytes], **fields: str) -> None:
        """Store originals, and record that they were moved; fields are those of their rows."""
        rows = []
        for name, body in originals.items():
            key = f"images/{name}"
            self.originals[key] = body
            digest = self.s3.put("bucket", key, body).md5
            row = {"url": f"https://cdn.example/{name}", "key": key, "bytes": str(len(body)), "etag": digest}
            row = {**row, "md5": digest, "type": "image/jpeg", "at": DAY, **fields}
            rows.append("\t".join(row.values()) + "\n")
        with (self.folder / "completed.txt").open("a") as file:
            file.writelines(rows)

    def start(self, *arguments: str, quick: Mapping[str, float] = {}, **settings: object) -> Running:
        chosen = {**self.settings, **settings}
        lines = "".join(f"{name}={value}\n" for name, value in chosen.items())
        (self.folder / "migration.env").write_text(lines)
        command = [sys.executable, str(ROOT / "variants.py")]
        if quick:
            command = [sys.executable, "-c", _RUNNER, json.dumps(quick)]
        return Running([*command, *arguments], self.folder)

    def run(self, *arguments: str, **options: Any) -> Ran:
        with self.start(*arguments, **options) as running:
            return running.end()

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.text("variants.txt").splitlines()]

    def hows(self) -> dict[tuple[str, str], str]:
        """Return how each variant was made, by original and size; the last row counts."""
        return {(row[1].rpartition("/")[2], row[2]): row[9] for row in self.rows()}

    def variants(self) -> dict[str, bytes]:
        objects = self.s3.objects("bucket")
        return {key: item.read() for key, item in objects.items() if not key.startswith("images/")}

    def assert_originals_untouched(self) -> None:
        objects = self.s3.objects("bucket")
        found = {key: item.read() for key, item in objects.items() if key.startswith("images/")}
        assert found == self.originals
        assert {self.s3.store.writes["bucket", key] for key in found} <= {1}

    def assert_rows_are_true(self) -> None:
        """Assert that the last row of each variant tells what is in the bucket, and nothing else is there."""
        last = {(row[1], row[2]): row for row in self.rows()}
        there = {row[3]: row for row in last.values() if row[9] not in ("smaller", "undone")}
        objects = self.variants()
        assert objects.keys() == there.keys()
        for key, row in there.items():
            with Image.open(io.BytesIO(objects[key])) as image:
                assert row[6] == f"{image.width}x{image.height}"
            assert (row[4], row[5]) == (str(len(objects[key])), md5(objects[key]).hexdigest())
            assert row[3] == f"variants/{row[2]}/{row[1]}.webp"
            assert row[7] == md5(self.originals[row[1]]).hexdigest()


NewBucket = Callable[..., Bucket]


@pytest.fixture
def new_bucket(tmp_path: Path, s3_server: Callable[..., S3Server]) -> NewBucket:
    """Return a maker of buckets: `new_bucket({"a.jpg": body}, store={"kms_default": True}, MAX_PIXELS=1)`."""

    def make(
        originals: Mapping[str, bytes], store: Mapping[str, Any] | None = None, **settings: object
    ) -> Bucket:
        bucket = Bucket(tmp_path, s3_server(**(store or {})), **settings)
        bucket.has(originals)
        return bucket

    return make


def photos(count: int, width: int = 120) -> dict[str, bytes]:
    return {
        f"i{number:03}.jpg": pictures.encoded(pictures.photo(width + number, 90), "JPEG")
        for number in range(count)
    }


PHOTO = photos(1)["i000.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "integrity"), [("signed", "md5"), slow("put_object", "md5"), slow("signed", "crc32")]
)
def test_variants_of_all_kinds_are_made_once(new_bucket: NewBucket, method: str, integrity: str) -> None:
    kinds = {f"{kind}.x": body for kind, body in pictures.kinds().items()}
    caching = "image/webp: public; *: no-store"
    bucket = new_bucket(kinds, UPLOAD_METHOD=method, INTEGRITY=integrity, CACHE_CONTROL=caching)
    ran = bucket.run()
    assert ran.code == 0, ran.said
    count = len(kinds)
    assert f"originals {count} = done before 0 + done now {count} + failed 0 + not tried 0" in ran.out
    assert len(bucket.variants()) == 2 * count
    assert set(bucket.hows().values()) == {"stored"}
    bucket.assert_rows_are_true()
    bucket.assert_originals_untouched()
    of_one = bucket.s3.objects("bucket")["variants/small/images/jpeg.x.webp"].headers
    assert (of_one["content-type"], of_one["cache-control"]) == ("image/webp", "public")
    requests = len(bucket.s3.log)
    again = bucket.run()
    assert again.code == 0 and f"done before {count}" in again.out
    assert len(bucket.s3.log) == requests  # nothing to do: nothing is contacted


@pytest.mark.slow
def test_original_smaller_than_a_size_is_recorded_and_not_read_again(new_bucket: NewBucket) -> None:
    bucket = new_bucket({"tiny.png": pictures.encoded(pictures.photo(40, 30), "PNG"), "a.jpg": PHOTO})
    assert bucket.run().code == 0
    small = [row for row in bucket.rows() if row[1].endswith("tiny.png")]
    assert [(row[2:7], row[9]) for row in small] == [
        (["small", "-", "0", "-", "40x30"], "smaller"),
        (["medium", "-", "0", "-", "40x30"], "smaller"),
    ]
    assert bucket.run().out.startswith("originals 2 = done before 2")
    bucket.run(VARIANT_SIZES="small:40,medium:100")  # now it is not smaller
    assert bucket.hows() == {
        ("tiny.png", "small"): "stored",
        ("tiny.png", "medium"): "smaller",
        ("a.jpg", "small"): "renewed",
        ("a.jpg", "medium"): "stored",
    }
    bucket.assert_rows_are_true()


@pytest.mark.slow
def test_rows_of_both_lengths_count_and_local_ones_are_told(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(2))
    eleven = {"how": "stored", "source_etag": "-", "source_modified": "-"}
    bucket.has({"new.jpg": PHOTO}, **eleven, place="s3")
    bucket.has({"local.jpg": PHOTO}, **eleven, place="local")
    ran = bucket.run()
    assert ran.code == 0
    assert {name for name, _ in bucket.hows()} == {"i000.jpg", "i001.jpg", "new.jpg"}
    assert "1 completed row is in LOCAL_ROOT, not in the bucket" in ran.out


@pytest.mark.slow
def test_what_cannot_be_drawn_is_told_and_holds_up_nobody(new_bucket: NewBucket) -> None:
    bad = {
        "cut.jpg": PHOTO[: len(PHOTO) // 2],
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "huge.png": pictures.encoded(Image.new("1", (2000, 1000)), "PNG"),
    }
    bucket = new_bucket({**bad, **photos(3)}, MAX_PIXELS=1)
    bucket.has({"gone.jpg": PHOTO})
    bucket.s3.store.delete("bucket", "images/gone.jpg")
    bucket.has({"other.jpg": PHOTO}, md5="0" * 32)
    ran = bucket.run()
    assert ran.code == 1
    failed = {
        row.split("\t")[1]: row.split("\t")[2] for row in bucket.text("failed_variants.txt").splitlines()
    }
    assert failed == {
        "images/cut.jpg": "undecodable",
        "images/drawing.svg": "not_an_image",
        "images/huge.png": "too_large",
        "images/gone.jpg": "not_found",
        "images/other.jpg": "conflict",
    }
    assert "failed 5" in ran.out and "raise MAX_PIXELS" in ran.out
    assert len(bucket.variants()) == 6
    assert bucket.run(MAX_PIXELS=3).code == 1  # what is mended is settled
    assert "huge" not in bucket.text("failed_variants.txt")
    assert bucket.text("failed_variants.txt").count("\n") == 4


@pytest.mark.slow
def test_decoder_that_hangs_costs_its_process(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(40), store={"latency": 0.2}, CONCURRENCY=2)
    quick = {"cdn2s3.variants.drawing_pool.LIMIT": 2.0}
    with bucket.start(quick=quick, PROCESSES=2) as running:
        running.until(lambda: bucket.text("variants.txt").count("\n") >= 4)  # so one of them is ready
        stopped = drawers(running.pid)[0]
        os.kill(stopped, signal.SIGSTOP)
        bucket.s3.change(latency=0.0)
        try:
            ran = running.end(30)
        finally:
            kill_if_there(stopped)
    assert bucket.text("variants.log").count("a decoder took longer than 2 s") == 1
    assert ran.code == 1 and "undecodable" in ran.out
    assert bucket.run().code == 0
    assert len(bucket.variants()) == 80
    bucket.assert_rows_are_true()


def kill_if_there(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def drawers(pid: int) -> list[int]:
    """Return the process ids of the drawing processes of a run."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_child = entry.name.isdigit() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text()
            if is_child and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_kill_9_at_any_moment_is_resumed_and_every_row_is_true(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(40), store={"latency": 0.01})
    for rows in (3, 17, 41):
        with bucket.start() as running:
            running.until(lambda least=rows: bucket.text("variants.txt").count("\n") >= least)
            running.kill()
        for row in bucket.rows()[:-1]:
            assert row[3] in bucket.variants()
    ran = bucket.run()
    assert ran.code == 0, ran.said
    assert set(bucket.hows().values()) <= {"stored", "found"}
    assert len(bucket.hows()) == 80
    bucket.assert_rows_are_true()
    bucket.assert_originals_untouched()
    assert {bucket.s3.store.writes["bucket", key] for key in bucket.variants()} == {1}
    until = time.monotonic() + 10
    while processes_in(bucket.folder) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_in(bucket.folder) == []


def processes_in(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve() == folder.resolve():
                found.append(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGTERM)])
def test_signal_stops_cleanly_and_the_next_run_goes_on(new_bucket: NewBucket, number: int) -> None:
    bucket = new_bucket(photos(60), store={"latency": 0.02})
    with bucket.start() as running:
        running.until(lambda: bucket.text("variants.txt").count("\n") >= 4)
        for pid in (running.pid, *drawers(running.pid)):  # as Ctrl-C in a terminal
            os.kill(pid, number)
        ran = running.end()
    assert ran.code == 128 + number
    assert "next: python variants.py" in ran.out and "Traceback" not in ran.err
    bucket.assert_rows_are_true()
    assert bucket.run().code == 0
    assert set(bucket.hows().values()) == {"stored"}


@pytest.mark.slow
def test_replaced_original_renews_its_variants_and_nobody_elses(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(3))
    assert bucket.run().code == 0
    theirs = b"an object that somebody has put there"
    bucket.s3.put("bucket", "variants/small/images/i001.jpg.webp", theirs)
    new = {name: pictures.encoded(pictures.photo(200, 100 + n), "JPEG") for n, name in enumerate(photos(2))}
    for name in new:
        bucket.s3.store.writes.pop(("bucket", f"images/{name}"))
    bucket.has(new)
    ran = bucket.run()
    assert ran.code == 1
    assert bucket.hows() == {
        ("i000.jpg", "small"): "renewed",
        ("i000.jpg", "medium"): "renewed",
        ("i001.jpg", "small"): "stored",  # as before: that object is not ours any more
        ("i001.jpg", "medium"): "stored",
        ("i002.jpg", "small"): "stored",
        ("i002.jpg", "medium"): "stored",
    }
    assert bucket.variants()["variants/small/images/i001.jpg.webp"] == theirs
    assert "\tconflict\t" in bucket.text("failed_variants.txt")
    assert bucket.run(ON_EXISTING="overwrite").code == 0
    assert bucket.hows()["i001.jpg", "small"] == "replaced"
    assert bucket.hows()["i001.jpg", "medium"] == "renewed"
    bucket.assert_rows_are_true()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ignore", slow("refuse")])
def test_renewal_says_where_it_is_not_atomic(new_bucket: NewBucket, mode: str) -> None:
    bucket = new_bucket(photos(1), store={"put_if_match": mode})
    bucket.run()
    assert bucket.run(VARIANT_SIZES="small:60").code == 0
    assert bucket.hows()["i000.jpg", "small"] == "renewed"
    assert "not atomic" in bucket.text("variants.log")


@pytest.mark.slow
def test_rows_without_an_md5_are_made_once_and_renewed_when_completed_again(new_bucket: NewBucket) -> None:
    bucket = new_bucket({})
    bucket.has(photos(2), md5="-")
    assert bucket.run().code == 0
    assert bucket.run().out.startswith("originals 2 = done before 2")
    bucket.assert_rows_are_true()
    bucket.has(
        {"i000.jpg": pictures.encoded(pictures.photo(99, 70), "PNG")}, md5="-", at="2100-01-01T00:00:00Z"
    )
    assert bucket.run(VARIANT_SIZES="small:50").code == 0
    assert bucket.hows()["i000.jpg", "small"] == "renewed"
    assert bucket.hows()["i001.jpg", "small"] == "stored"


@pytest.mark.slow
def test_store_that_is_down_ends_the_run_and_blames_no_original(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(120), OUTAGE_LIMIT=2, CONCURRENCY=8, MAX_RETRIES=20)
    bucket.s3.rules.add(Rule("InternalError", operation="GetObject"))
    bucket.s3.rules.add(Rule("InternalError", pattern=r"-up$"))
    quick = {
        "cdn2s3.resilience.circuit_breaker.FIRST_PROBE": 0.2,
        "cdn2s3.resilience.circuit_breaker.LONGEST_WAIT": 0.5,
        "cdn2s3.resilience.retry.LONGEST_WAIT": 0.2,
    }
    ran = bucket.run(quick=quick)
    assert ran.code == 3 and "the bucket has been down" in ran.err
    assert bucket.text("failed_variants.txt") == ""
    bucket.s3.rules.clear()
    assert bucket.run().code == 0


def test_original_that_fails_now_and_then_is_tried_again(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(6), MAX_RETRIES=3)
    bucket.s3.rules.add(Rule("InternalError", operation="GetObject", count=2, pattern="i003"))
    quick = {"cdn2s3.resilience.retry.LONGEST_WAIT": 0.1}
    assert bucket.run(quick=quick).code == 0


# --- undo ---


TELLS = "sh -c 'cat >> told'"


def told(bucket: Bucket) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bucket.text("told").splitlines()]


def test_runs_are_in_the_journal_and_told(new_bucket: NewBucket) -> None:
    bucket = new_bucket({**photos(3), "bad.jpg": PHOTO[:300]}, NOTIFY_COMMAND=TELLS)
    assert bucket.run().code == 1
    stored = len([row for row in bucket.rows() if row[9] == "stored"])
    assert bucket.run("--undo").code == 0
    assert bucket.run("--undo", "--yes").code == 0
    made, undone = runs_in(bucket.folder)
    assert (made.command, made.exit_code, made.totals.stored, made.totals.failed) == (
        "variants.py",
        1,
        stored,
        1,
    )
    assert made.totals.size
    assert (undone.command, undone.exit_code, undone.totals.undone) == ("variants.py --undo --yes", 0, stored)
    first, second = told(bucket)
    assert (first["event"], first["script"], first["exit_code"], first["stored"]) == (
        "end",
        "variants.py",
        1,
        stored,
    )
    assert second["undone"] == stored


def test_run_that_cannot_begin_is_told(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(1), NOTIFY_COMMAND=TELLS)
    with held_lock(bucket.folder / "migration.lock", "migrate.py"):
        assert bucket.run().code == 3
    (message,) = told(bucket)
    assert (message["event"], message["exit_code"]) == ("cannot_go_on", 3)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_has_its_line(new_bucket: NewBucket, number: int) -> None:
    bucket = new_bucket(photos(12))
    bucket.s3.change(latency=0.05)
    quick = {"cdn2s3.state.status_file.EVERY": 0.05}
    with bucket.start(CONCURRENCY=1, quick=quick) as running:
        running.until(lambda: ((status_in(bucket.folder, STATUS) or {}).get("phase_done") or 0) >= 1)
        found = status_in(bucket.folder, STATUS)
        seen = migrate_status(bucket)
        running.send(number)
        running.end()
    assert found is not None
    assert (found["phase"], found["phase_of"]) == ("making variants", 12)
    assert "variants.py (process " in seen and "making variants, " in seen
    bucket.s3.change(latency=0.0)
    assert bucket.run().code == 0
    stopped, after = runs_in(bucket.folder)
    if number == signal.SIGTERM:
        assert (stopped.exit_code, after.exit_code) == (143, 0)
        assert (stopped.totals.stored or 0) + (after.totals.stored or 0) == len(bucket.rows())
    else:
        assert (stopped.exit_code, stopped.totals.stored) == (None, None)
    assert "variants.py (" not in migrate_status(bucket)


def migrate_status(bucket: Bucket) -> str:
    command = [sys.executable, str(ROOT / "migrate.py"), "--status"]
    with Running(command, bucket.folder) as running:
        return running.end().out


def test_map_says_which_originals_have_no_variant_and_why(new_bucket: NewBucket) -> None:
    small = pictures.encoded(pictures.photo(80, 60), "JPEG")
    bucket = new_bucket(
        {"large.jpg": PHOTO, "small.jpg": small, "bad.jpg": PHOTO[:300]}, VARIANT_SIZES="s:50,m:100"
    )
    assert bucket.run().code == 1
    lines = [tuple(line.split("\t")[1:]) for line in bucket.text("without_variants.txt").splitlines()]
    assert set(lines) == {
        ("images/small.jpg", "m", "smaller"),
        ("images/bad.jpg", "s", "failed:undecodable"),
        ("images/bad.jpg", "m", "failed:undecodable"),
    }
    mended = pictures.encoded(pictures.photo(130, 60), "JPEG")
    bucket.folder.joinpath("completed.txt").unlink()
    bucket.has({"large.jpg": PHOTO, "small.jpg": small, "bad.jpg": mended})
    assert bucket.run().code == 0
    lines = [tuple(line.split("\t")[1:]) for line in bucket.text("without_variants.txt").splitlines()]
    assert lines == [("images/small.jpg", "m", "smaller")]


@pytest.mark.slow
def test_undo_without_yes_deletes_nothing(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(3))
    bucket.run()
    before, requests = bucket.variants(), len(bucket.s3.log)
    ran = bucket.run("--undo")
    assert ran.code == 0
    assert "to delete: 6 variants" in ran.out and "python variants.py --undo --yes" in ran.out
    assert (bucket.variants(), len(bucket.s3.log)) == (before, requests)


@pytest.mark.parametrize("mode", ["honor", slow("ignore"), slow("refuse")])
def test_undo_deletes_what_is_ours_and_nothing_else(new_bucket: NewBucket, mode: str) -> None:
    bucket = new_bucket(photos(3), store={"delete_if_match": mode})
    found = pictures_of(bucket, ["i002.jpg"])
    for key, body in found.items():
        bucket.s3.put("bucket", key, body)
    bucket.run()
    theirs = {"variants/small/images/i001.jpg.webp": b"theirs", "variants/small/stranger.webp": b"theirs too"}
    for key, body in theirs.items():
        bucket.s3.put("bucket", key, body)
    bucket.s3.store.delete("bucket", "variants/medium/images/i000.jpg.webp")  # gone already: undone, too
    ran = bucket.run("--undo", "--yes")
    assert ran.code == 1  # some stay
    assert "undone: 3" in ran.out and "1, changed since" in ran.out and "2, was there before" in ran.out
    assert bucket.variants() == {**found, **theirs}
    assert ("not atomic" in bucket.text("variants.log")) == (mode != "honor")
    assert set(bucket.hows().values()) == {"stored", "found"}
    assert not (bucket.folder / "unfinished_variants_undo.txt").exists()
    bucket.assert_originals_untouched()


def test_undo_deletes_versions_where_the_bucket_keeps_them(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(2), store={"versioned": True})
    bucket.run()
    assert bucket.run(VARIANT_SIZES="small:60,medium:100").code == 0  # two versions of the small ones
    ran = bucket.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert bucket.variants() == {}
    versions = bucket.s3.store.bucket("bucket").versions
    left = {key: len(found) for key, found in versions.items() if found and key.startswith("variants/small/")}
    assert left == {f"variants/small/images/i00{n}.jpg.webp": 3 for n in range(2)}  # with the delete marker
    assert not any(found for key, found in versions.items() if key.startswith("variants/medium/"))
    assert "of these hidden by a delete marker: 2" in ran.out
    bucket.assert_originals_untouched()


@pytest.mark.slow
def test_undo_of_what_is_gone_where_the_store_says_412_to_it(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(1), store={"delete_if_match": "absent_412"})
    bucket.run()
    bucket.s3.store.delete("bucket", "variants/medium/images/i000.jpg.webp")
    ran = bucket.run("--undo", "--yes")
    assert ran.code == 0 and "undone: 2" in ran.out, ran.said
    assert (bucket.variants(), bucket.rows()) == ({}, [])


@pytest.mark.slow
def test_two_writes_at_once_of_a_renewed_variant_are_tried_again(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(1))
    bucket.run()
    bucket.s3.rules.add(
        Rule("ConditionalRequestConflict", operation="PutObject", pattern="small/images", count=2)
    )
    assert bucket.run(VARIANT_SIZES="small:60", MAX_RETRIES=3).code == 0
    assert bucket.hows()["i000.jpg", "small"] == "renewed"


def test_variants_of_what_is_undone_are_not_made_and_an_open_undo_is_said(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(2))
    row = bucket.text("completed.txt").splitlines()[1].split("\t")
    bucket.s3.store.delete("bucket", row[1])
    (bucket.folder / "undone.txt").write_text("\t".join([*row[:4], "-", "2026-11-20T10:15:01Z"]) + "\n")
    asked = {"file": "", "since": None, "began_at": 1_700_000_000, "newest": 1_900_000_000}
    (bucket.folder / "unfinished_undo.txt").write_text(json.dumps(asked) + "\n")
    ran = bucket.run()
    assert ran.code == 1 and "the undo of all that was stored is not finished" in ran.err
    assert bucket.text("failed_variants.txt") == ""
    assert {key for key, _ in bucket.hows()} == {"i000.jpg"}


@pytest.mark.parametrize("arguments", [(), slow(("--undo", "--yes"))])
def test_signal_during_the_probe_leaves_none_of_its_objects(
    new_bucket: NewBucket, arguments: tuple[str, ...]
) -> None:
    bucket = new_bucket(photos(1))
    if arguments:
        bucket.run()
    bucket.s3.rules.add(
        Rule("slow_answer", name="slow", operation="HeadObject", pattern="probe", seconds=300)
    )
    with bucket.start(*arguments) as running:
        running.until(lambda: bucket.s3.rules.struck["slow_answer"])
        running.send(signal.SIGTERM)
        assert running.end().code == 143
    assert not [key for key in bucket.variants() if "probe" in key]


def pictures_of(bucket: Bucket, names: Iterable[str]) -> dict[str, bytes]:
    """Return the variants that a run would make of originals."""
    from cdn2s3.settings.variant_sizes import variant_sizes
    from cdn2s3.variants.drawing import draw

    sizes = variant_sizes(str(bucket.settings["VARIANT_SIZES"]))
    return {
        f"variants/{picture.size}/images/{name}.webp": picture.body
        for name in names
        for picture in draw(bucket.originals[f"images/{name}"], sizes, 1e9).pictures
    }


@pytest.mark.slow
def test_undo_of_one_size_leaves_the_others_and_can_be_made_again(new_bucket: NewBucket) -> None:
    bucket = new_bucket({**photos(2), "tiny.png": pictures.encoded(pictures.photo(40, 30), "PNG")})
    bucket.run()
    assert bucket.run("--undo", "--size", "huge", "--yes").code == 2
    ran = bucket.run("--undo", "--size", "small", "--yes", VARIANT_SIZES="medium:100")
    assert ran.code == 0, ran.said
    assert {key.split("/")[1] for key in bucket.variants()} == {"medium"}
    assert {size for _, size in bucket.hows()} == {"medium"}
    assert bucket.run().code == 0
    assert len(bucket.variants()) == 4
    bucket.assert_rows_are_true()


@pytest.mark.slow
def test_undo_that_is_killed_is_finished_before_anything_is_made(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(40), store={"latency": 0.02})
    bucket.run(UPLOAD_TIMEOUT=20)
    with bucket.start("--undo", "--yes") as running:
        running.until(lambda: len(bucket.variants()) < 70)
        running.kill()
    objects = len(bucket.variants())
    assert 0 < objects < 80
    ran = bucket.run()
    assert ran.code == 1 and "python variants.py --undo --yes" in ran.out
    assert bucket.run("--undo", "--size", "small", "--yes").code == 2
    assert len(bucket.variants()) == objects
    assert bucket.run("--undo", "--yes").code == 0
    assert (bucket.variants(), bucket.rows()) == ({}, [])
    assert bucket.run().code == 0
    bucket.assert_rows_are_true()
    bucket.assert_originals_untouched()


def test_undo_of_one_size_that_is_not_finished_is_none_of_all(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(1))
    bucket.run()
    (bucket.folder / "unfinished_variants_undo.txt").write_text("small\n")
    ran = bucket.run("--undo", "--yes")
    assert ran.code == 2 and "--undo --size small --yes` to finish it, before any other" in ran.err, ran.said
    assert len(bucket.variants()) == 2
    assert bucket.run("--undo", "--size", "small", "--yes").code == 0
    assert len(bucket.variants()) == 1


@pytest.mark.slow
def test_undo_that_is_refused_ten_times_stops(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(20))
    bucket.run()
    bucket.s3.change(allow=frozenset({"PutObject", "GetObject"}))
    ran = bucket.run("--undo", "--yes")
    assert ran.code == 3 and "refuses to delete" in ran.err
    assert len({key for key in bucket.variants() if key.endswith(".webp")}) == 40


@pytest.mark.slow
def test_undo_never_deletes_what_is_none_of_a_variant(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(2))
    bucket.run()
    path = bucket.folder / "variants.txt"
    original = md5(bucket.originals["images/i001.jpg"]).hexdigest()
    row = ["u", "images/i001.jpg", "x", "images/i001.jpg", "9", original, "5x5", original, DAY, "stored"]
    with path.open("a") as file:
        file.write("\t".join(row) + "\n")
    assert bucket.run("--undo", "--yes").code == 1
    assert bucket.variants() == {}
    bucket.assert_originals_untouched()


# --- what is refused ---


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"VARIANTS_PREFIX": "images/small/"}, "is within DESTINATION_PREFIX"),
        ({"VARIANTS_PREFIX": "images/"}, "is within DESTINATION_PREFIX"),
        ({"VARIANTS_PREFIX": "im"}, "would remove the originals"),
        ({"VARIANTS_PREFIX": ""}, "VARIANTS_PREFIX is empty"),
        ({"DESTINATION_PREFIX": ""}, "with an empty DESTINATION_PREFIX there is none"),
        ({"VARIANT_SIZES": "small:0"}, "NAME:PIXELS"),
        ({"VARIANT_SIZES": "a/b:5"}, "NAME:PIXELS"),
        ({"VARIANT_SIZES": "a:5,a:6"}, "a stands there twice"),
        ({"MAX_PIXELS": "0"}, "MAX_PIXELS"),
        ({"DESTINATION": "local", "LOCAL_ROOT": "elsewhere"}, "variants are made from a bucket"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    new_bucket: NewBucket, settings: dict[str, str], says: str
) -> None:
    bucket = new_bucket(photos(1))
    ran = bucket.run(**settings)
    assert ran.code == 2 and says in ran.err
    assert list(bucket.s3.log) == []


@pytest.mark.parametrize("arguments", [("--size", "small"), ("--yes",)])
def test_words_of_an_undo_need_one(new_bucket: NewBucket, arguments: tuple[str, ...]) -> None:
    assert new_bucket(photos(1)).run(*arguments).code == 2


def test_without_a_migration_there_is_nothing_to_do(new_bucket: NewBucket) -> None:
    bucket = new_bucket({})
    (bucket.folder / "completed.txt").unlink()
    ran = bucket.run()
    assert ran.code == 2 and "migrate.py" in ran.err


def test_one_run_at_a_time_and_none_beside_a_migration(new_bucket: NewBucket) -> None:
    bucket = new_bucket(photos(1))
    for name, says in (
        ("variants.lock", "variants.py is already running"),
        ("migration.lock", "migrate.py is running"),
    ):
        with (bucket.folder / name).open("w") as held:
            held.write(f"{os.getpid()}\n")
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            ran = bucket.run()
            assert ran.code == 3 and says in ran.err
