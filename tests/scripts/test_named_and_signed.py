"""Lists whose lines name their objects, and lists that come again with new signatures, through all commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration
from tests.scripts.test_several_hosts import keys_in, validated
from tests.tiers import neighbors


@pytest.fixture
def job(
    tmp_path: Path, source_server: Callable[..., SourceServer], s3_server: Callable[..., S3Server]
) -> tuple[Migration, SourceServer, S3Server]:
    source, s3 = source_server(), s3_server()
    return Migration(tmp_path, URL_PREFIX=source.url_prefix, AWS_ENDPOINT_URL=s3.url), source, s3


@pytest.mark.parametrize("processes", neighbors(1, 2))
def test_names_go_through_every_file(job: tuple[Migration, SourceServer, S3Server], processes: int) -> None:
    migration, source, s3 = job
    url = source.url_of
    named = [f"{url('uc')}?id={n}\tkey=cats/{n}.jpg" for n in range(4)]
    missing = f"{url('gone', fault='404')}\tkey=gone.jpg"
    migration.urls(
        [*named, f"{url('uc')}?id=0\tkey=twice.jpg", missing, "https://other.example/a\tkey=b.jpg"]
    )
    ran = migration.run(PROCESSES=processes)
    assert ran.code == 1, ran.said
    assert keys_in(s3) == {*(f"img/cats/{n}.jpg" for n in range(4)), "img/twice.jpg"}
    assert migration.causes() == {missing: "not_found", "https://other.example/a\tkey=b.jpg": "other_host"}
    assert {(row.url, row.key) for row in migration.completed()} >= {
        (f"{url('uc')}?id=0", "img/cats/0.jpg"), (f"{url('uc')}?id=0", "img/twice.jpg"),
    }  # fmt: skip
    (example,) = json.loads(migration.text("migration_report.json"))["failed"]["not_found"]["examples"]
    assert (example["url"], example["key"]) == (missing.partition("\t")[0], "img/gone.jpg")
    again = migration.run()
    assert "this run does 1" in again.said  # what was not found
    s3.store.delete("bucket", "img/twice.jpg")
    s3.put("bucket", "img/cats/1.jpg", b"other bytes")
    _, report = validated(migration)
    assert (report["counts"]["lost"], report["counts"]["mismatched"], report["counts"]["unexpected"]) == (
        1,
        1,
        0,
    )
    shown = [row for rows in report["examples"]["missing"].values() for row in rows]
    assert {"url": f"{url('uc')}?***", "key": "img/twice.jpg"} in shown
    assert "\\tkey=" not in json.dumps(report) + migration.text("migration_report.json")
    lost = [line.split("\t") for line in migration.text("missing.txt").splitlines()]
    assert [f"{url('uc')}?id=0", "img/twice.jpg", "lost", "key=twice.jpg"] in lost
    assert migration.text("mismatched.txt").rstrip("\n").endswith("\tkey=cats/1.jpg")
    redone = migration.run("--redo", "missing.txt")
    assert "img/twice.jpg" in keys_in(s3), redone.said
    assert migration.run("--redo", "mismatched.txt", ON_EXISTING="overwrite").code == 1
    _, report = validated(migration)
    assert (report["counts"]["complete"], report["counts"]["unexpected"]) == (5, 0)
    retried = migration.run("--retry-failed", "not_found")
    assert "this run does 1" in retried.said


def test_new_signatures_do_nothing_again(job: tuple[Migration, SourceServer, S3Server]) -> None:
    migration, source, _ = job
    migration.settings["IGNORED_QUERY_PARAMS"] = "Expires,Signature"
    url = source.url_of
    source.rules.add(Rule("403", pattern="Expires=1"))
    migration.urls([f"{url(name)}?Expires=1&Signature=x" for name in "ab"] + [f"{url('c')}?Expires=2"])
    first = migration.run()
    assert first.code == 1, first.said
    assert len(migration.failed()) == 2
    migration.urls([f"{url(name)}?Signature=y&Expires=3" for name in "abc"])
    ran = migration.run()
    assert ran.code == 0, ran.said
    assert "3 lines = 0 blank + 0 duplicates + 3 completed + 0 failed" in ran.said
    assert migration.failed() == {}
    assert source.bodies["/images/c?Signature=y&Expires=3"] == 0
    migration.urls([f"{url(name)}?Expires=4" for name in "abc"])
    source.rules.add(Rule("403", pattern="Expires=[23]"))
    _, report = validated(migration)  # asks for the newest form: the recorded ones have expired
    assert report["spot_check"]["compared"] == 3  # this CDN sends other bytes for another query
    assert "this run does 3" in migration.run("--redo", "urls.txt").said
