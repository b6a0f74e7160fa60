"""PERCENT and DESTINATION=hybrid: a share of the URLs is moved, or moved to the bucket and the rest to a folder."""

from __future__ import annotations

import json
import re
import sys
from hashlib import md5
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

import pytest

from tests import ROOT, processes
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, Ran, counts, environment
from tests.tiers import slow

URLS = 40


def part(url: str) -> int:
    """Return what an application computes of a URL, written down once more."""
    return int(md5(urlsplit(url).path.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100


class World:
    """A CDN, a bucket, a folder and a migration of 40 images and a large one."""

    def __init__(self, folder: Path, source: SourceServer, s3: S3Server, **settings: object) -> None:
        self.source, self.s3, self.root = source, s3, folder / "images root"
        self.root.mkdir()
        ends = {"URL_PREFIX": source.url_prefix, "AWS_ENDPOINT_URL": s3.url, "MAX_BUFFER_MB": 1}
        self.job = Migration(folder, **{**ends, "LOCAL_ROOT": self.root, **settings})
        self.urls = [source.url_of(f"i{number:04}.jpg") for number in range(URLS)]
        self.urls.append(source.url_of("large.jpg", size=9_000_000))
        self.job.urls(self.urls)

    def run(self, *arguments: str, code: int = 0, **settings: object) -> Ran:
        ran = self.job.run(*arguments, **settings)
        assert ran.code == code, ran.said
        return ran

    def below(self, percent: int) -> list[str]:
        return [url for url in self.urls if part(url) < percent]

    def from_(self, percent: int) -> list[str]:
        return [url for url in self.urls if part(url) >= percent]

    def objects(self) -> dict[str, bytes]:
        return {key: item.read() for key, item in self.s3.objects("bucket").items()}

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.glob("img/**/*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def images(self, urls: list[str]) -> dict[str, bytes]:
        return {"img" + urlsplit(url).path: self.source.body(url) for url in urls}

    def validate(self, *arguments: str) -> tuple[Ran, dict[str, Any]]:
        folder = self.job.folder
        command = [sys.executable, str(ROOT / "validate.py"), *arguments]
        ran = processes.run(command, folder, environment(folder))
        assert "Traceback" not in ran.stderr, ran.stderr
        report: dict[str, Any] = json.loads((folder / "validation_report.json").read_text())
        return Ran(ran.returncode, ran.stdout, ran.stderr, 0.0), report

    def assert_valid(self) -> dict[str, Any]:
        """Assert that validate.py finds everything complete, and compares it all; return the counts."""
        ran, report = self.validate("--spot-check", "1000")
        assert (ran.code, report["verdict"]) == (0, "complete"), ran.said
        found: dict[str, Any] = report["counts"]
        assert (found["complete"], report["spot_check"]["compared"]) == (len(self.urls), len(self.urls))
        assert found["unexpected"] == found["records_elsewhere"] == 0
        return found


@pytest.fixture
def world(
    tmp_path: Path, source_server: Callable[..., SourceServer], s3_server: Callable[..., S3Server]
) -> Callable[..., World]:
    return lambda **settings: World(tmp_path, source_server(), s3_server(), **settings)


# --- PERCENT


def test_a_share_is_moved_and_grows_and_what_was_moved_stays(world: Callable[..., World]) -> None:
    w = world()
    plan = w.run("--plan", PERCENT=30)
    assert f"{len(w.from_(30))}  PERCENT=30: not in the share" in " ".join(plan.out.split(" ")), plan.out
    said = f"complete for 30 % of the list ({len(w.from_(30))} not selected)"
    ran = w.run(PERCENT=30)
    assert said in ran.out and w.job.report()["verdict"] == said
    assert w.objects() == w.images(w.below(30))
    assert counts(w.job)["not_selected"] == len(w.from_(30))
    assert json.loads(w.job.text("run.json"))["PERCENT"] == "30"
    checked, report = w.validate()
    assert (checked.code, report["verdict"]) == (0, said) and f"verdict: {said}" in checked.out
    assert report["lines"]["add_up"] and report["lines"]["not_selected"] == len(w.from_(30))
    assert (report["counts"]["unexpected"], report["counts"]["missing"]) == (0, 0)
    assert w.job.text("missing.txt") == "" and report["missing"]["looked_at"] == 0
    for page in ("migration_report.html", "validation_report.html"):
        assert f"{len(w.from_(30))} not selected" in w.job.text(page)
    before = dict(w.source.bodies)
    w.run(PERCENT=60)
    assert w.objects() == w.images(w.below(60))
    assert {target: w.source.bodies[target] for target in before} == before
    w.run(PERCENT=10)  # less: nothing that is stored changes, and it stays completed
    assert counts(w.job)["completed"] == len(w.below(60))
    _, report = w.validate()
    assert report["verdict"] == f"complete for 10 % of the list ({len(w.from_(60))} not selected)"
    assert report["counts"]["unexpected"] == 0
    w.run(PERCENT=100)
    assert w.job.report()["verdict"] == "complete"
    w.assert_valid()


@pytest.mark.slow
def test_a_recorded_failure_counts_as_failed_whatever_the_share_is_now(world: Callable[..., World]) -> None:
    w = world()
    gone = [w.source.url_of(f"gone{number}.jpg", "404") for number in range(9)]
    twice = w.source.url_of("i0000.jpg")
    w.job.urls([*w.urls, *gone, twice, "", "nonsense"])
    w.run(code=1)
    selected = [url for url in gone if part(url) < 50]
    assert 0 < len(selected) < len(gone)
    w.job.path("completed.txt").unlink()
    w.job.path("failed_transfers.txt").write_text(
        "".join(line for line in w.job.text("failed_transfers.txt").splitlines(True) if gone[0] not in line)
    )
    w.run("--limit", "1", code=1, PERCENT=50)
    found = counts(w.job)
    left_out = [url for url in [*w.urls, gone[0]] if part(url) >= 50]
    assert (found["failed"], found["not_selected"]) == (len(gone) - 1 + 1, len(left_out))
    assert set(w.job.causes()) == {*gone[1:], "nonsense"}
    _, report = w.validate("--spot-check", "0")
    assert report["lines"]["add_up"] and report["lines"]["not_selected"] == len(left_out)


def test_collisions_and_their_winner_are_of_the_whole_list(world: Callable[..., World]) -> None:
    w = world(PRESERVE_PATH_STRUCTURE="false", ON_COLLISION="first", DESTINATION_PREFIX="img/images/")
    pairs = [(w.source.url_of(f"a{n}/x{n}.jpg"), w.source.url_of(f"b{n}/x{n}.jpg")) for n in range(20)]
    w.job.urls([url for pair in pairs for url in pair])
    refused = w.run(code=2, ON_COLLISION="refuse", PERCENT=50)
    assert "20 URLs" in refused.said or "20 " in refused.said
    w.run(code=1, PERCENT=50)
    firsts, seconds = zip(*pairs)
    chosen = [url for url in firsts if part(url) < 50]
    assert {row.url for row in w.job.completed()} == set(chosen)
    assert w.job.causes() == dict.fromkeys(seconds, "collision")
    assert counts(w.job)["not_selected"] == len(firsts) - len(chosen)


@pytest.mark.slow
def test_what_is_completed_and_not_selected_anymore_can_be_done_again(world: Callable[..., World]) -> None:
    w = world()
    w.run()
    lost = max(w.urls, key=part)
    w.s3.store.delete("bucket", "img" + urlsplit(lost).path)
    w.job.settings["PERCENT"] = part(lost)
    w.run()
    _, report = w.validate("--spot-check", "0")
    assert (report["verdict"], report["counts"]["lost"]) == ("incomplete", 1)
    w.run("--redo", "missing.txt")
    assert w.objects() == w.images(w.urls)
    w.assert_valid()


def test_adoption_takes_what_is_there_selected_or_not(world: Callable[..., World]) -> None:
    w = world()
    w.run()
    w.job.path("completed.txt").unlink()
    adopted = w.run("--adopt", PERCENT=20)
    assert f"{len(w.urls)} objects adopted" in adopted.out and "0 URLs are pending" in adopted.out
    w.run(PERCENT=20)
    assert w.job.report()["verdict"] == "complete"


# --- hybrid


@pytest.mark.slow
def test_all_commands_work_with_both_places(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid", PERCENT=30)
    here, there = w.below(30), w.from_(30)
    plan = w.run("--plan")
    assert f"to bucket {len(here):>13}" in plan.out and f"to folder {len(there):>13}" in plan.out
    assert f"{len(here)} PUT at" in plan.out and f"(30%) and {w.root}/img/" in plan.out
    check = w.job.run("--check")
    assert check.code in (0, 1), check.said
    for what in ("put", "folder", "free space", "source"):
        assert f"{what} " in check.out, check.out
    sample = w.run("--sample", "20")
    assert "compared" in sample.out and (w.objects(), w.files()) == ({}, {})
    ran = w.run()
    assert "not selected" not in ran.out
    assert (w.objects(), w.files()) == (w.images(here), w.images(there))
    places = {row.url: row.place for row in w.job.completed()}
    assert places == {**dict.fromkeys(here, "s3"), **dict.fromkeys(there, "local")}
    bound = json.loads(w.job.text("run.json"))
    names = "DESTINATION", "LOCAL_ROOT", "DESTINATION_BUCKET", "PERCENT"
    assert [bound[name] for name in names] == ["hybrid", str(w.root), "bucket", "30"]
    w.assert_valid()
    for page in ("migration_report.html", "validation_report.html", "certificate.html"):
        assert "<code>bucket/img/</code> and <code>" in w.job.text(page)
    for changed in (
        {"DESTINATION": "s3"},
        {"LOCAL_ROOT": w.job.folder / "x"},
        {"DESTINATION_BUCKET": "other"},
    ):
        (w.job.folder / "x").mkdir(exist_ok=True)
        assert "belongs to another destination" in w.run(code=2, **changed).said
    w.job.path("completed.txt").unlink()
    w.run("--adopt")
    assert len(w.job.completed()) == len(w.urls)
    w.assert_valid()


@pytest.mark.slow
def test_raised_share_moves_what_is_the_buckets_now_and_lowering_moves_nothing(
    world: Callable[..., World],
) -> None:
    w = world(DESTINATION="hybrid")
    w.run(PERCENT=20)
    moved = [url for url in w.below(70) if part(url) >= 20]
    plan = w.run("--plan", PERCENT=70)
    assert f"moving {len(moved):>16}" in plan.out
    ran = w.run(PERCENT=70)
    assert f"superfluous in the folder: {len(moved)} " in ran.out
    assert w.job.report()["superfluous_files"] == len(moved)
    assert (w.objects(), w.files()) == (w.images(w.below(70)), w.images(w.from_(20)))
    assert counts(w.job)["completed"] == len(w.urls)
    assert w.assert_valid()["superfluous"] == len(moved)
    again = w.run(PERCENT=70)
    assert f"superfluous in the folder: {len(moved)} " in again.out
    rows = w.job.text("completed.txt")
    w.run(PERCENT=40)
    assert w.job.text("completed.txt") == rows
    assert w.assert_valid()["superfluous"] == len([url for url in moved if part(url) < 40])
    w.job.path("completed.txt").unlink()  # the state is lost: both places give it back
    w.run("--adopt", PERCENT=70)
    assert len(w.job.completed()) == len(w.urls) + len(moved)
    assert w.assert_valid()["superfluous"] == len(moved)
    w.run("--adopt")
    assert len(w.job.completed()) == len(w.urls) + len(moved)


@pytest.mark.slow
def test_validation_looks_at_both_places_and_redo_repairs_each(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid", PERCENT=50)
    w.run()
    of_bucket, of_folder = sorted(w.objects())[:2], sorted(w.files())[:2]
    w.s3.store.delete("bucket", of_bucket[0])
    (w.root / of_folder[0]).unlink()
    changed = w.root / of_folder[1]
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    (w.root / of_bucket[1]).parent.mkdir(parents=True, exist_ok=True)
    (w.root / of_bucket[1]).write_bytes(b"nobody knows why")  # a key of the bucket's, in the folder
    _, report = w.validate("--spot-check", "0")
    found = report["counts"]
    assert (found["lost"], found["mismatched"], found["unexpected"]) == (2, 1, 1)
    assert w.job.text("unexpected.txt").split("\t")[3] == "local\n"
    w.run("--redo", "missing.txt")
    w.run("--redo", "mismatched.txt", ON_EXISTING="overwrite")
    (w.root / of_bucket[1]).unlink()
    w.assert_valid()


@pytest.mark.slow
def test_redo_keeps_to_the_place_of_the_row_and_forgets_no_other(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid")
    w.run(PERCENT=0)
    w.run(PERCENT=100)
    rows = w.job.text("completed.txt")
    lost = w.urls[0]
    w.s3.store.delete("bucket", "img" + urlsplit(lost).path)
    w.job.folder.joinpath("again.txt").write_text(lost + "\n")
    w.run(
        "--redo", "again.txt", PERCENT=0
    )  # today it belongs in the folder, but what is recorded is in the bucket
    assert w.objects() == w.files() == w.images(w.urls)
    assert sorted(row.place for row in w.job.completed() if row.url == lost) == ["local", "s3"]
    assert len(w.job.completed()) == rows.count("\n")
    w.assert_valid()


@pytest.mark.slow
def test_failed_move_to_the_bucket_stays_failed_until_it_is_there(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid")
    w.run(PERCENT=0)
    first = w.urls[0]
    w.source.rules.add(Rule("404", pattern=urlsplit(first).path))
    w.run(PERCENT=100, code=1)
    assert w.job.causes() == {first: "not_found"}
    w.run("--limit", "1", code=1)
    assert (counts(w.job)["failed"], counts(w.job)["completed"]) == (1, URLS)
    w.source.rules.clear()
    w.run("--retry-failed")
    assert w.objects() == w.images(w.urls)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "method"), [slow(1, "put_object"), (2, "signed")])
def test_killed_hybrid_run_resumes(
    tmp_path: Path,
    source_server: Callable[..., SourceServer],
    s3_server: Callable[..., S3Server],
    processes: int,
    method: str,
) -> None:
    w = World(
        tmp_path, source_server(latency=0.05), s3_server(),
        DESTINATION="hybrid", PERCENT=50, PROCESSES=processes, UPLOAD_METHOD=method,
    )  # fmt: skip
    for least in (5, 20):
        with w.job.running() as run:
            run.until(lambda least=least: w.job.text("completed.txt").count("\n") >= least or run.is_over)  # type: ignore[misc]
            run.kill()
    w.run()
    assert (w.objects(), w.files()) == (w.images(w.below(50)), w.images(w.from_(50)))
    w.assert_valid()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, slow(2)])
def test_bucket_that_is_down_leaves_the_folder_at_work(world: Callable[..., World], processes: int) -> None:
    w = world(DESTINATION="hybrid", PERCENT=50, OUTAGE_LIMIT=60, CONCURRENCY=60, PROCESSES=processes)
    urls = [w.source.url_of(f"d{number:04}.jpg") for number in range(400)]
    w.urls = urls
    w.job.urls(urls)
    here, there = w.below(50), w.from_(50)
    w.s3.rules.add(Rule("InternalError", name="down", pattern=r"\.jpg$|probe-up$"))
    with w.job.running() as run:
        run.until(lambda: len(w.files()) >= len(there) or run.is_over)
        assert len(w.objects()) < len(here)
        w.s3.rules.remove("down")
        ran = run.end(60)
    assert ran.code == 0, ran.said
    assert (set(w.objects()), set(w.files())) == (set(w.images(here)), set(w.images(there)))
    assert w.job.failed() == {}


@pytest.mark.slow
def test_undo_removes_from_both_places(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid", PERCENT=30)
    w.run()
    w.run(PERCENT=60)  # the files of what moved into the bucket stay, with rows of their own
    bucket, folder = w.below(60), w.from_(30)
    assert (len(w.objects()), len(w.files())) == (len(bucket), len(folder))
    assert f"{len(bucket) + len(folder)} objects" in w.run("--undo").out
    w.run("--undo", "--yes")
    assert (w.objects(), w.files(), w.job.completed()) == ({}, {}, [])
    undone = [line.split("\t") for line in w.job.text("undone.txt").splitlines()]
    assert sorted(fields[0] for fields in undone if fields[4] == "local") == sorted(folder)
    assert sorted(fields[0] for fields in undone if fields[4] != "local") == sorted(bucket)


def pending(w: World, percent: int) -> int:
    """Return how many URLs a run would do."""
    found = re.search(r"^ *pending +([\d,]+)", w.run("--plan", PERCENT=percent).out, re.MULTILINE)
    assert found
    return int(found[1].replace(",", ""))


@pytest.mark.slow
def test_row_of_one_place_counts_on_when_that_of_the_other_is_undone(world: Callable[..., World]) -> None:
    """As after a kill: undone.txt names the object of the bucket alone, and the ETag of both is the MD5."""
    w = world(DESTINATION="hybrid", PERCENT=0)
    w.run()
    w.run(PERCENT=100)
    rows = [row for row in w.job.completed() if row.place == "s3"]
    named = ("\t".join((row.url, row.key, row.size, row.etag, "-", "2099-01-01T00:00:00Z")) for row in rows)
    (w.job.folder / "undone.txt").write_text("".join(f"{line}\n" for line in named))
    assert pending(w, 0) == 0
    assert pending(w, 100) == len(w.urls)


@pytest.mark.slow
def test_delta_renews_in_both_places(world: Callable[..., World]) -> None:
    w = world(DESTINATION="hybrid", PERCENT=30, MAX_CHANGE_RATE=1)
    w.run()
    w.run(PERCENT=60)
    kept = w.files()
    changed = [w.below(60)[0], w.from_(60)[0]]
    for url in changed:
        w.source.change(url)
    w.run("--delta", PERCENT=60)
    assert w.objects() == w.images(w.below(60))
    # What is in the folder without belonging there is neither looked at nor forgotten.
    assert w.files() == {**kept, **w.images([url for url in changed if part(url) >= 60])}
    rows = {(row.url, row.place): row.how for row in w.job.completed()}
    assert len(rows) == len(w.job.completed()) == len(w.below(60)) + len(w.from_(30))
    assert [rows[changed[0], "s3"], rows[changed[1], "local"]] == ["renewed", "renewed"]
