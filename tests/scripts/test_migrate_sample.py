"""migrate.py --sample N: files go to `_test/` and back, and nothing stays, in the bucket or in the state."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, Ran
from tests.tiers import slow

Sources = Callable[..., SourceServer]
Stores = Callable[..., S3Server]
STATE = ("completed.txt", "failed_transfers.txt", "run.json", "migration_report.json", "collisions.txt")


def job_of(folder: Path, source: SourceServer, s3: S3Server, **settings: object) -> Migration:
    return Migration(folder, URL_PREFIX=source.url_prefix, AWS_ENDPOINT_URL=s3.url, **settings)


def sampled(job: Migration, count: int, *arguments: str, **options: Any) -> Ran:
    ran = job.run("--sample", str(count), *arguments, quick={}, **options)
    assert "Traceback" not in ran.said
    assert not [name for name in STATE if job.path(name).exists()], "a sample leaves no state"
    return ran


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 20_000),
        slow({"INTEGRITY": "crc32"}, 20_000),
        slow({"UPLOAD_METHOD": "put_object"}, 20_000),
        ({"MAX_BUFFER_MB": "1"}, 6_000_000),
    ],
    ids=["md5", "crc32", "put_object", "multipart"],
)
def test_sample_is_moved_compared_and_deleted(
    settings: dict[str, object], size: int, tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(sizes=lambda target: size), s3_server()
    job = job_of(tmp_path, source, s3, **settings)
    job.urls(source.url_of(f"{n}/a.jpg") for n in range(12))
    ran = sampled(job, 5)
    assert ran.code == 0, ran.said
    assert re.search(r"^  moved +5  ", ran.out, re.MULTILINE)
    assert re.search(r"^  compared +5  ", ran.out, re.MULTILINE)
    assert re.search(r"^  deleted +all$", ran.out, re.MULTILINE)
    assert re.search(r"^forecast: 12 pending files at \d+ files/s", ran.out, re.MULTILINE)
    assert ran.out.endswith("next: python migrate.py\n")
    assert s3.objects("bucket") == {}
    stored = [key for (_, key) in s3.store.writes]
    assert len([key for key in stored if key.startswith("_test/img/images/")]) == 5
    assert all(key.startswith("_test/") for key in stored)


def test_sample_draws_anew_each_time(tmp_path: Path, source_server: Sources, s3_server: Stores) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    job.urls(source.url_of(f"{n}/a.jpg") for n in range(1000))
    drawn = []
    for _ in range(2):
        source.bodies.clear()
        assert sampled(job, 12).code == 0
        drawn.append(set(source.bodies))
    assert drawn[0] != drawn[1]
    assert {len(some) for some in drawn} == {12}


def test_sample_of_urls_that_collide_leads_to_the_plan(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    job.settings["PRESERVE_PATH_STRUCTURE"] = "false"
    job.urls(source.url_of(f"{n}/a.jpg") for n in range(3))
    ran = sampled(job, 1)
    assert "a run would refuse to start" in ran.err
    assert ran.out.endswith("next: python migrate.py --plan\n")


def test_sample_takes_pending_urls_only(tmp_path: Path, source_server: Sources, s3_server: Stores) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    urls = [source.url_of(f"{n}.jpg") for n in range(6)]
    job.urls(urls)
    assert job.run("--limit", "4", quick={}).code == 0
    before = {name: job.text(name) for name in ("completed.txt", "failed_transfers.txt")}
    source.bodies.clear()
    ran = job.run("--sample", "50", quick={})
    assert ran.code == 0, ran.said
    assert "2 of 2 pending URLs" in ran.out
    assert {source.url + target for target in source.bodies} == set(urls[4:])
    assert {name: job.text(name) for name in before} == before


def test_sample_with_failures_names_them_and_exits_1(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    gone = source.url_of("gone.jpg", "404")
    job.urls([gone, source.url_of("page.jpg", "html"), source.url_of("a.jpg")])
    ran = sampled(job, 3)
    assert ran.code == 1, ran.said
    assert "not_found: the CDN has no such file" in ran.out
    assert gone in ran.out
    assert "not_an_image" in ran.out
    assert s3.objects("bucket") == {}
    assert ran.out.endswith("next: python migrate.py --check\n")


def test_sample_of_which_nothing_moves_forecasts_nothing(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source = source_server()
    job = job_of(tmp_path, source, s3_server())
    job.urls(source.url_of(f"{n}.jpg", "403") for n in range(5))
    ran = sampled(job, 5)
    assert ran.code == 1, ran.said
    assert "no forecast, because nothing was moved" in ran.out
    assert "0 files/s" in ran.out


def test_sample_with_put_alone_names_what_it_leaves(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server(allow=frozenset({"PutObject"}))
    job = job_of(tmp_path, source, s3)
    job.urls(source.url_of(f"{n}.jpg") for n in range(3))
    ran = sampled(job, 3)
    assert ran.code == 1, ran.said
    left = set(s3.objects("bucket"))
    assert left == {f"_test/img/images/{n}.jpg" for n in range(3)} | {
        f"_test/img/.cdn2s3-probe-{name}" for name in ("put", "crc32", "new", "parts")
    }
    assert all(f"      {key}\n" in ran.out for key in left)
    assert "GET was refused" in ran.out
    assert "aws s3 rm --recursive s3://bucket/_test/" in ran.out
    assert "arn:aws:s3:::bucket/_test/*" in ran.out


def test_sample_deletes_what_a_passing_fault_would_leave(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    job.urls(source.url_of(f"{n}.jpg") for n in range(3))
    s3.rules.add(Rule("InternalError", operation="DeleteObject", per_key=1))
    ran = sampled(job, 3)
    assert ran.code == 0, ran.said
    assert s3.objects("bucket") == {}


def test_sample_finds_an_object_that_differs(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server(kms_default=True)  # no ETag tells of it
    job = job_of(tmp_path, source, s3)
    job.urls(source.url_of(f"{n}.jpg") for n in range(3))
    s3.rules.add(Rule("corrupt_store", operation="PutObject", pattern=r"1\.jpg"))
    ran = sampled(job, 3)
    assert ran.code == 1, ran.said
    assert re.search(r"^  different +_test/img/images/1.jpg$", ran.out, re.MULTILINE)
    assert re.search(r"^  compared +2  ", ran.out, re.MULTILINE)
    assert s3.objects("bucket") == {}


def test_sample_says_what_could_not_be_read_back(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    job.urls(source.url_of(f"{n}.jpg") for n in range(3))
    s3.rules.add(Rule("InternalError", operation="GetObject", pattern=r"1\.jpg"))
    ran = sampled(job, 3)
    assert ran.code == 1, ran.said
    assert "500 InternalError to GET" in " ".join(ran.out.split())
    assert s3.objects("bucket") == {}


def test_sample_never_deletes_what_lay_there_before(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    same, other = source.url_of("a.jpg"), source.url_of("b.jpg")
    job.urls([same, other])
    s3.put("bucket", "_test/img/images/a.jpg", source.body(same))
    s3.put("bucket", "_test/img/images/b.jpg", b"something else")
    ran = sampled(job, 2)
    assert ran.code == 1, ran.said
    assert set(s3.objects("bucket")) == {"_test/img/images/a.jpg", "_test/img/images/b.jpg"}
    assert s3.objects("bucket")["_test/img/images/b.jpg"].read() == b"something else"
    assert "conflict" in ran.out
    assert "      _test/img/images/a.jpg\n" in ran.out


def test_sample_that_is_stopped_deletes_what_it_stored(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(latency=0.2), s3_server()
    job = job_of(tmp_path, source, s3, CONCURRENCY=2)
    job.urls(source.url_of(f"{n}.jpg") for n in range(200))
    with job.running("--sample", "200", quick={}) as run:
        run.until(lambda: sum(key.endswith(".jpg") for key in s3.objects("bucket")) >= 1)
        run.send(signal.SIGTERM)
        ran = run.end()
    assert ran.code == 143, ran.said
    assert s3.objects("bucket") == {}
    assert "Traceback" not in ran.said


def test_sample_without_a_bucket_cannot_go_on(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server(buckets=())
    job = job_of(tmp_path, source, s3)
    job.urls([source.url_of("a.jpg")])
    ran = sampled(job, 1)
    assert ran.code == 3
    assert "NoSuchBucket" in ran.err


def test_sample_of_nothing_pending_is_fine(tmp_path: Path, source_server: Sources, s3_server: Stores) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    job.urls([source.url_of("a.jpg")])
    assert job.run(quick={}).code == 0
    ran = job.run("--sample", "5", quick={})
    assert ran.code == 0
    assert "nothing is pending" in ran.out


def test_sample_replaces_nothing_that_lies_under_its_prefix(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3, ON_EXISTING="overwrite")
    job.urls([source.url_of("1/a.jpg")])
    key = "_test/img/images/1/a.jpg"
    s3.put("bucket", key, b"somebody else's")
    ran = sampled(job, 1)
    assert ran.code == 1, ran.said
    assert s3.objects("bucket")[key].read() == b"somebody else's"
