"""The scripts against CDNs that want headers, redirect, compress, and change their images after the move."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Callable

import pytest

from tests import ROOT
from tests.fakes.images import jpeg
from tests.fakes.s3 import S3Server
from tests.fakes.scripted_cdn import ScriptedCdn
from tests.fakes.wire import Request, response
from tests.running import Migration
from tests.tiers import slow

TOKEN = "t0ken-of-the-user"
SVG = b"<!-- drawn by hand -->" + b" " * 3000 + b"<svg><path d='M 1 2'/></svg>"

Answer = Callable[[Request], bytes]


def image(request: Request, *headers: tuple[str, str], salt: str = "") -> bytes:
    body = jpeg(request.path.rpartition("/")[2] + salt, 500)
    head = response(200, [("Content-Type", "image/jpeg"), *headers], body)
    return head if request.method == "GET" else head[: head.index(b"\r\n\r\n") + 4]


@pytest.fixture
def job(tmp_path: Path, s3_server: Callable[..., S3Server]) -> Any:
    def make(cdn: ScriptedCdn, count: int = 60, **settings: object) -> tuple[Migration, S3Server]:
        s3 = s3_server()
        migration = Migration(
            tmp_path,
            URL_PREFIX=cdn.url_prefix,
            AWS_ENDPOINT_URL=s3.url,
            STRIP_PATH_PREFIX="images/",
            **settings,
        )
        migration.urls(f"{cdn.url_prefix}{number}.jpg" for number in range(count))
        return migration, s3

    return make


def validate(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "validate.py"), *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def assert_no_secret(folder: Path, *texts: str) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "migration.env":
            assert TOKEN not in path.read_text(encoding="utf-8", errors="replace"), path.name
    assert all(TOKEN not in text for text in texts)


@pytest.mark.parametrize("processes", [1, slow(2)])
def test_cdn_that_wants_a_header_gets_it_and_nobody_else_sees_it(job: Any, processes: int) -> None:
    def answer(request: Request) -> bytes:
        if request.headers.get("cookie") != f"sid={TOKEN}":
            return response(403, [], f"no cookie sid={TOKEN}".encode())
        return image(request)

    with ScriptedCdn(answer) as cdn:
        migration, s3 = job(
            cdn, 8, SOURCE_HEADERS=f"Cookie: sid={TOKEN}", PROCESSES=processes, LOG_LEVEL="DEBUG"
        )
        ran = migration.run()
        assert ran.code == 0, ran.said
        assert len(s3.objects("bucket")) == 8
        code, said = validate(migration.folder)
        assert code == 0, said
    assert_no_secret(migration.folder, ran.said, said)
    assert "Cookie: ***" in migration.log


def test_wall_of_403_names_the_setting(job: Any) -> None:
    with ScriptedCdn(lambda request: response(403, [])) as cdn:
        migration, _ = job(cdn, 5)
        ran = migration.run()
        assert ran.code == 1
        assert "set SOURCE_HEADERS" in ran.said
        checked = migration.run("--check")
        assert "set SOURCE_HEADERS" in " ".join(checked.said.split())


def test_wall_of_redirects_stops_the_run_at_once_and_says_where_it_leads(job: Any) -> None:
    def answer(request: Request) -> bytes:
        return response(301, [("Location", f"https://127.0.0.1{request.target}?sig={TOKEN}")])

    with ScriptedCdn(answer) as cdn:
        migration, _ = job(cdn, 120)
        began = time.monotonic()
        ran = migration.run()
        assert time.monotonic() - began < 20
        assert ran.code == 3
        assert "is down" not in ran.said
        assert "a redirect to https://127.0.0.1/images/" in ran.said
        assert "SOURCE_REDIRECTS=same-host" in ran.said
        assert migration.failed() == {}
        checked = " ".join(migration.run("--check").said.split())
        assert "a redirect to https://127.0.0.1/images/" in checked
        assert "set SOURCE_REDIRECTS=same-host" in checked
        planned = " ".join(migration.run("--plan").said.split())
        assert "set SOURCE_REDIRECTS=same-host" in planned
    assert_no_secret(migration.folder, ran.said, checked, planned)


def test_redirects_to_a_storage_host_are_followed_where_allowed_without_the_headers(job: Any) -> None:
    with ScriptedCdn(image) as storage:

        def answer(request: Request) -> bytes:
            assert request.headers["x-key"] == TOKEN
            there = f"http://localhost:{storage.network.port}/bucket{request.path}"
            return response(302, [("Location", there)])

        with ScriptedCdn(answer) as cdn:
            migration, s3 = job(cdn, 60, SOURCE_HEADERS=f"X-Key: {TOKEN}", SOURCE_REDIRECTS="any")
            ran = migration.run()
        assert ran.code == 0, ran.said
        assert len(s3.objects("bucket")) == 60
        assert all("x-key" not in request.headers for request in storage.log)
    assert_no_secret(migration.folder, ran.said)


@pytest.mark.parametrize(
    ("setting", "method"), [("decode", "signed"), slow("keep", "signed"), slow("keep", "put_object")]
)
def test_compressed_drawings_are_moved_and_validated(job: Any, setting: str, method: str) -> None:
    coded = gzip.compress(SVG)

    def answer(request: Request) -> bytes:
        # Another server compresses with another level each time: the same drawing in other bytes.
        body = coded if len(cdn.log) <= 4 else gzip.compress(SVG, 1)
        return response(200, [("Content-Type", "image/svg+xml"), ("Content-Encoding", "gzip")], body)

    with ScriptedCdn(answer) as cdn:
        migration, s3 = job(cdn, 3, SOURCE_ENCODING=setting, UPLOAD_METHOD=method)
        ran = migration.run()
        assert ran.code == 0, ran.said
        stored = SVG if setting == "decode" else coded
        assert {item.read() for item in s3.objects("bucket").values()} == {stored}
        code, said = validate(migration.folder)
        assert code == 0, said
    assert {row.md5 for row in migration.completed()} == {hashlib.md5(stored).hexdigest()}
    assert {row.media_type for row in migration.completed()} == {"image/svg+xml"}
    kept = {item.headers.get("content-encoding", "") for item in s3.objects("bucket").values()}
    assert kept == {"" if setting == "decode" else "gzip"}
    assert "3 URLs share 1 content" in ran.said
    assert "3 named .jpg that are image/svg+xml" in ran.said
    assert "3 that the CDN compressed unasked" in ran.said


def test_what_is_worth_a_look_is_in_summary_and_report(job: Any) -> None:
    placeholder = jpeg("placeholder", 700)

    def answer(request: Request) -> bytes:
        number = int(request.path.rpartition("/")[2].partition(".")[0])
        if number < 3:
            return response(200, [("Content-Type", "text/html; charset=utf-8")], b"<html>Please log in")
        if number == 3:
            return response(200, [("Content-Type", "application/pdf")], b"%PDF-1.7")
        if number < 10:
            return response(200, [("Vary", "Accept")], placeholder)
        return image(request)

    with ScriptedCdn(answer) as cdn:
        migration, _ = job(cdn, 20)
        ran = migration.run()
        assert ran.code == 1
    assert "the CDN calls them text/html (3), application/pdf (1)" in ran.said
    assert "6 that the CDN answers by the Accept header (Vary: Accept)" in ran.said
    assert (
        "6 URLs share 1 content with another URL; the most frequent has 6 (700 bytes image/jpeg)" in ran.said
    )
    assert re.search(r"/images/[4-9]\.jpg", ran.said)
    report = json.loads(migration.text("migration_report.json"))
    assert report["refused_types"] == {"text/html": 3, "application/pdf": 1}
    assert report["same_content"]["most"][0]["urls"] == 6
    assert [noted["urls"] for noted in report["noted"]] == [6]
    assert "Same content under several URLs" in migration.text("migration_report.html")


@pytest.mark.slow
def test_spot_check_tells_what_changed_at_the_source_from_what_was_stored_wrongly(job: Any) -> None:
    headers: list[tuple[str, str]] = []
    salt = ""
    with ScriptedCdn(lambda request: image(request, *headers, salt=salt)) as cdn:
        migration, _ = job(cdn, 3)
        assert migration.run().code == 0
        salt, headers = "changed", [("Last-Modified", formatdate(time.time() + 60, usegmt=True))]
        code, said = validate(migration.folder)
        assert code == 0, said
        assert said.startswith("verdict: complete\n")
        assert "changed at the source since: 3 " in said
        assert "overwrite" not in said
        rows = [line.split("\t") for line in migration.text("changed_at_source.txt").splitlines()]
        recorded = {row.url: row for row in migration.completed()}
        assert sorted(row[0] for row in rows) == sorted(recorded)
        for url, key, before, now, modified in rows:
            assert (recorded[url].key, recorded[url].md5) == (key, before)
            assert now == hashlib.md5(jpeg(url.rpartition("/")[2] + "changed", 500)).hexdigest()
            assert modified > recorded[url].finished_at
        assert migration.text("mismatched.txt") == ""
        headers = [("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")]
        code, said = validate(migration.folder)
        assert code == 1
        assert said.startswith("verdict: incomplete\n")
        assert migration.text("changed_at_source.txt") == ""
        assert migration.text("mismatched.txt").count("\n") == 3
