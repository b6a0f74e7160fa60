"""validate.py --through as a process: a new CDN in front of the bucket, right at first, then with one fault planted."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.validation.new_cdn import NewCdn
from cdn2s3.validation.stored_rows import StoredRows
from cdn2s3.validation.through import SAMPLE
from cdn2s3.validation.through_checks import Checked, Checks
from tests.fakes.front import Front
from tests.fakes.s3 import S3Server
from tests.fakes.tls import TlsMaterial
from tests.scripts.stored import OLD, Ended, Stored
from tests.tiers import slow

ODD = [
    "a+b.jpg",
    "blank%20s.jpg",
    "pc%25.jpg",
    "hash%23.jpg",
    "q%3F.jpg",
    "and%26.jpg",
    "%C3%BC.jpg",
    "two//slashes.jpg",
]
Break = Callable[[Front], None]


@pytest.fixture
def s3(s3_server: Callable[..., S3Server]) -> S3Server:
    return s3_server()


@pytest.fixture
def stored(tmp_path: Path, s3: S3Server) -> Stored:
    found = Stored(tmp_path, s3)
    for name in (*ODD, "UPPER.JPG", *(f"i{number}.jpg" for number in range(4))):
        found.add(name)
    found.add("p.png", media_type="image/png")
    return found


@pytest.fixture
def front(s3: S3Server) -> Iterator[Front]:
    with Front(s3) as running:
        yield running


def through(stored: Stored, front: Front, *arguments: str, **settings: str) -> Ended:
    return stored.validate("--through", front.base, *arguments, **settings)


def findings(stored: Stored) -> set[tuple[str, str]]:
    """Return what through.txt names: key, or - where it is about no image, and what."""
    return {
        (url[len(OLD) :] if url != "-" else "-", what) for url, _, what, _, _ in stored.rows("through.txt")
    }


def test_a_cdn_that_is_right_is_ready(stored: Stored, front: Front) -> None:
    ran = through(stored, front, CORS_ORIGIN="https://www.example.com")
    assert (ran.code, findings(stored)) == (0, set()), ran.out + ran.err
    assert f"through {front.base}: ready" in ran.out
    assert "14 of 14 images compared byte for byte; 5 of them asked for more" in ran.out
    section = stored.report()["through"]
    assert (section["verdict"], section["exit_code"], section["whole"]) == ("ready", 0, 14)
    assert section["headers"]["x-cache"] == {"Hit from cloudfront": 14}
    assert (section["etags"], section["oldest_copy_seconds"]) == (14, 17)
    assert "Through the new CDN: ready" in stored.page()
    raw = {request.path for request in front.asked}
    assert "/images/a%2Bb.jpg" in raw and not any("+" in path for path in raw)


def break_status(status: int, key: str = "images/i1.jpg") -> Break:
    return lambda front: front.statuses.update({key: status})


FAULTS: dict[str, tuple[Break, str, str, str]] = {
    "unreadable": (break_status(403), "i1.jpg", "status", "403 AccessDenied"),
    "absent": (break_status(404), "i1.jpg", "status", "404 NoSuchKey"),
    "failing": (break_status(502), "i1.jpg", "status", "502"),
    "stale": (
        lambda front: front.bodies.update({"images/i1.jpg": b"\xff\xd8 the old one"}),
        "i1.jpg", "bytes", "14 bytes",
    ),
    "one byte": (
        lambda front: front.bodies.update({"images/i1.jpg": b"x" + front.body("images/i1.jpg")[1:]}),
        "i1.jpg", "bytes", "MD5",
    ),
    "longer": (
        lambda front: front.bodies.update({"images/i1.jpg": front.body("images/i1.jpg") + b"x"}),
        "i1.jpg", "bytes", "961 bytes",
    ),
    "cut": (lambda front: front.cut.add("images/i1.jpg"), "i1.jpg", "truncated", "480 bytes, then"),
    "short": (lambda front: front.short.add("images/i1.jpg"), "i1.jpg", "bytes", "480 bytes"),
    "type": (
        lambda front: front.types.update({"images/p.png": "binary/octet-stream"}),
        "p.png", "content type", "binary",
    ),
    "away": (
        lambda front: front.moved.update({"images/i1.jpg": "http://other.example/images/i1.jpg"}),
        "i1.jpg", "redirect", "301 to http://other.example/images/i1.jpg",
    ),
    "circle": (
        lambda front: front.moved.update({"images/i1.jpg": "/images/i1.jpg"}),
        "i1.jpg", "redirect", "301 to",
    ),
    "plus": (
        lambda front: setattr(front, "key_of", lambda request: Front.key_of(front, request).replace("+", " ")),
        "a+b.jpg", "status", "404 NoSuchKey",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [slow(name) if number % 3 else name for number, name in enumerate(FAULTS)])
def test_one_image_that_is_wrong_is_named_and_alone(stored: Stored, front: Front, name: str) -> None:
    plant, image, what, found = FAULTS[name]
    plant(front)
    ran = through(stored, front)
    assert ran.code == 1
    assert findings(stored) == {(image, what)}
    assert found in stored.rows("through.txt")[0][4]
    assert f"{what}: 1; for example {front.base}images/" in ran.out
    section = stored.report()["through"]
    assert (section["verdict"], section["failures"]) == ("not ready", {what: 1})
    assert "Through the new CDN: not ready" in stored.page()


def test_redirect_on_its_own_host_is_followed(stored: Stored, front: Front) -> None:
    front.moved["images/i1.jpg"] = "/images/copy.jpg"
    stored.s3.put("bucket", "images/copy.jpg", front.body("images/i1.jpg"), content_type="image/jpeg")
    assert through(stored, front).code == 0
    assert stored.report()["through"]["redirected"] == 1


VISITORS: dict[str, tuple[Break, str, str]] = {
    "range": (lambda front: setattr(front, "has_ranges", False), "range", "200"),
    "no CORS": (lambda front: setattr(front, "cors", ""), "cors", "no Access-Control-Allow-Origin"),
    "other CORS": (
        lambda front: setattr(front, "cors", "https://other.example"),
        "cors",
        "https://other.example",
    ),
    "copy without CORS": (
        lambda front: setattr(front, "caches_without_origin", True),
        "cors",
        "no Access-Control",
    ),
    "304": (lambda front: setattr(front, "revalidates", False), "not modified", "200"),
    "no ETag": (lambda front: setattr(front, "has_etags", False), "not modified", "no ETag"),
    "HEAD": (lambda front: setattr(front, "takes_head", False), "head", "405"),
}


@pytest.mark.parametrize("name", VISITORS)
def test_what_visitors_need_is_asked_of_five(stored: Stored, front: Front, name: str) -> None:
    plant, what, found = VISITORS[name]
    plant(front)
    ran = through(stored, front, CORS_ORIGIN="https://www.example.com")
    assert ran.code == 1
    rows = stored.rows("through.txt")
    assert [row[2] for row in rows] == [what] * 5
    assert all(found in row[4] for row in rows)


def test_cors_is_asked_only_where_an_origin_is_set(stored: Stored, front: Front) -> None:
    front.cors = ""
    ran = through(stored, front)
    assert ran.code == 0
    assert "note: CORS was not asked: CORS_ORIGIN is empty" in ran.out


@pytest.mark.parametrize(
    ("status", "code", "what"), [(403, 0, "absent name (warning)"), (200, 1, "absent name")]
)
def test_name_that_does_not_exist(stored: Stored, front: Front, status: int, code: int, what: str) -> None:
    front.absent = status
    ran = through(stored, front)
    assert (ran.code, findings(stored)) == (code, {("-", what)})
    assert "s3:ListBucket" in ran.out


def test_rows_of_a_folder_are_not_asked_for(stored: Stored, front: Front) -> None:
    stored.add("local.jpg", more=("stored", "-", "-", "local"))
    front.statuses["images/local.jpg"] = 404
    ran = through(stored, front)
    assert (ran.code, stored.report()["through"]["elsewhere"]) == (0, 1)
    assert "not asked for, since not in the bucket: 1 row" in ran.out


def test_what_is_undone_is_not_asked_for_and_an_open_undo_is_said(stored: Stored, front: Front) -> None:
    stored.half_undone(stored.add("undone.jpg"))
    ran = stored.validate("--through", front.base)
    assert ran.code == 1 and "the undo of all that was stored is not finished" in ran.err
    assert stored.rows("through.txt") == [] and stored.report()["through"]["verdict"] == "ready"


def test_conversion_by_accept_is_a_finding_of_its_own(stored: Stored, front: Front) -> None:
    front.converts = lambda request: "*/*" in request.headers["accept"] and request.path.endswith("i1.jpg")
    ran = through(stored, front)
    assert (ran.code, findings(stored)) == (0, {("i1.jpg", "converted (warning)")})
    assert "image/webp" in stored.rows("through.txt")[0][4]
    front.converts = lambda request: request.path.endswith("i1.jpg")  # whatever is asked for
    assert through(stored, front).code == 1
    assert findings(stored) == {("i1.jpg", "bytes"), ("i1.jpg", "content type")}


def test_public_bucket_is_a_warning(stored: Stored, front: Front) -> None:
    ran = through(stored, front, AWS_ENDPOINT_URL=front.base.rstrip("/"), S3_ADDRESSING_STYLE="path")
    assert "public bucket" not in ran.out  # that server has no /bucket/images/…: 404 says nothing
    assert "whether the bucket is public is not known" in ran.out
    for key in stored.s3.objects("bucket"):
        stored.s3.put("bucket", f"bucket/{key}", b"x")
    ran = through(stored, front, AWS_ENDPOINT_URL=front.base.rstrip("/"), S3_ADDRESSING_STYLE="path")
    assert ran.code == 0
    assert {what for _, what in findings(stored)} == {"public bucket (warning)"}


def test_bucket_gets_one_request_without_a_signature(stored: Stored, front: Front) -> None:
    assert through(stored, front, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="").code == 0
    assert len(stored.s3.log) == 1


def test_source_headers_do_not_go_to_the_new_host(stored: Stored, front: Front) -> None:
    assert through(stored, front, SOURCE_HEADERS="Cookie: secret-session | X-Token: secret-token").code == 0
    assert front.asked and not any("secret" in str(request.headers) for request in front.asked)


def test_headers_for_the_new_cdn_go_to_its_host_alone_and_stay_secret(
    stored: Stored, front: Front, s3: S3Server
) -> None:
    front.moved["images/i0.jpg"] = f"{s3.url}/bucket/images/i0.jpg"
    ran = through(
        stored, front, NEW_CDN_HEADERS="aws-cf-cd-staging: verysecret | X-Token: token-too", LOG_LEVEL="DEBUG"
    )
    assert findings(stored) == {("i0.jpg", "status")}, "another port of its host is another server"
    assert front.asked and all(
        request.headers["aws-cf-cd-staging"] == "verysecret" for request in front.asked
    )
    assert s3.log and not any("secret" in str(entry.headers) for entry in s3.log)
    written = (
        ran.out
        + ran.err
        + "".join(
            path.read_text(errors="replace")
            for path in stored.folder.iterdir()
            if path.is_file() and path.suffix != ".env"
        )
    )
    assert "verysecret" not in written and "token-too" not in written


def test_what_a_new_cdn_repeats_of_its_headers_stays_secret(stored: Stored, front: Front) -> None:
    front.types["images/i0.jpg"] = "image/verysecret"
    ran = through(stored, front, NEW_CDN_HEADERS="aws-cf-cd-staging: verysecret")
    assert findings(stored) == {("i0.jpg", "content type")}
    assert "verysecret" not in ran.out + (stored.folder / "through.txt").read_text()


@pytest.mark.slow
def test_new_cdn_that_throttles_is_asked_at_its_rate(stored: Stored, front: Front) -> None:
    front.refuses, front.refusal = {*range(2, 12)}, 429
    ran = through(stored, front, MAX_RETRIES="0")
    assert (ran.code, findings(stored)) == (0, set()), ran.out + ran.err
    assert "the new CDN throttles (429" in ran.out + ran.err


def test_new_cdn_that_throttles_everything_is_3(stored: Stored, front: Front) -> None:
    front.refuses, front.refusal = {*range(2, 10_000)}, 429
    ran = through(stored, front, MAX_RETRIES="0", OUTAGE_LIMIT="1")
    assert ran.code == 3 and "OUTAGE_LIMIT" in ran.out + ran.err, ran.out + ran.err


def test_answers_that_pass_are_asked_again(stored: Stored, front: Front) -> None:
    front.refuses = {1, 6}
    assert through(stored, front, MAX_RETRIES="1").code == 0
    assert findings(stored) == set()


def test_all_asks_for_the_heads_of_those_that_are_not_in_the_sample(stored: Stored, front: Front) -> None:
    names = [f"plain/{number:03}.jpg" for number in range(SAMPLE)]
    for name in names:
        stored.add(name)
    front.types.update({f"images/{name}": "text/html" for name in names})
    front.converts = lambda request: request.path.endswith(".png") and "*/*" in request.headers["accept"]
    ran = through(stored, front, "--all")
    assert ran.code == 1
    rows = stored.rows("through.txt")
    assert len(rows) == len({row[0] for row in rows})  # each image is asked and named once
    assert findings(stored) == {*((name, "content type") for name in names), ("p.png", "converted (warning)")}
    assert stored.report()["through"]["heads"] == 14
    gets = {request.path for request in front.asked if request.method == "GET"}
    heads = {request.path for request in front.asked if request.method == "HEAD"}
    assert len(heads - gets) == 14
    assert f"{SAMPLE} of 214 images compared byte for byte, the heads of 14 others" in ran.out


def test_head_of_what_is_converted_is_that_of_the_original(stored: Stored, front: Front) -> None:
    front.converts = lambda request: "*/*" in request.headers["accept"]
    assert [finding for checked in by_head(stored, front) for finding in checked.findings] == []


def by_head(stored: Stored, front: Front, etags_are_own: bool = False) -> list[Checked]:
    """Return the checks of all images by HEAD."""
    settings = build(MigrationSettings, stored.settings, {}, stored.folder / "migration.env")
    rows = StoredRows(stored.folder / "completed.txt", key_maker(settings), "s3")
    with closing(PooledAdapter(1)) as adapter:
        stop = threading.Event()
        cdn = NewCdn(adapter, RetryPolicy(0), 5.0, stop, Endpoint("new CDN", 2, 10.0, stop))
        checks = Checks(cdn, front.base, settings)
        checks.etags_are_own = etags_are_own
        return [checks.by_head(row) for row in rows]


@pytest.mark.parametrize(("are_own", "found"), [(True, ["bytes"]), (False, [])])
def test_head_with_another_etag_is_looked_into_where_etags_are_the_buckets(
    stored: Stored, front: Front, are_own: bool, found: list[str]
) -> None:
    front.bodies["images/i1.jpg"] = b"y" * 960  # of the right size: its head is right but for the ETag
    heads = by_head(stored, front, etags_are_own=are_own)
    assert [finding.what for checked in heads for finding in checked.findings] == found


def test_sample_takes_the_odd_ones_first(stored: Stored, front: Front) -> None:
    for number in range(300):
        stored.record(
            f"{OLD}plain/{number}.jpg", f"images/plain/{number}.jpg", "900", "e", "-", "image/jpeg", "x"
        )
        stored.s3.put("bucket", f"images/plain/{number}.jpg", b"z" * 900, content_type="image/jpeg")
    assert through(stored, front, "--sample", "30").code == 0
    got = {
        request.path for request in front.asked if request.method == "GET" and "absent" not in request.path
    }
    assert stored.report()["through"]["whole"] == 30 == len(got)
    for path in (
        "a%2Bb",
        "blank%20s",
        "pc%25",
        "hash%23",
        "q%3F",
        "and%26",
        "%C3%BC",
        "two//slashes",
        "UPPER",
        "p.png",
    ):
        assert any(path in asked for asked in got), path


def test_http_leads_to_https(tmp_path: Path, s3: S3Server, tls_material: TlsMaterial) -> None:
    stored = Stored(tmp_path, s3, CA_BUNDLE=str(tls_material.ca_bundle))
    stored.add("a b.jpg".replace(" ", "%20"))
    with Front(s3, tls=tls_material.context) as front, Front(s3) as plain:
        stored.http_ports[front.network.port] = plain.network.port
        plain.moved["images/a b.jpg"] = f"{front.base}images/a%20b.jpg"
        assert through(stored, front).code == 0
        plain.moved.clear()
        assert through(stored, front).code == 1
        assert findings(stored) == {("a%20b.jpg", "http")}
        plain.network.refuse()  # nobody answers http: that is no fault
        assert through(stored, front).code == 0
        assert findings(stored) == {("a%20b.jpg", "http (warning)")}


def test_host_that_cannot_be_reached_is_3_and_keeps_the_findings_of_before(
    stored: Stored, front: Front
) -> None:
    front.statuses["images/i1.jpg"] = 403
    assert through(stored, front).code == 1
    before = stored.rows("through.txt")
    front.network.refuse()
    ran = through(stored, front)
    assert ran.code == 3
    assert f"{front.base} cannot be reached" in ran.err
    assert stored.rows("through.txt") == before
    section = stored.report()["through"]
    assert (section["verdict"], section["exit_code"]) == (None, 3)
    assert "cannot be reached" in section["ended_by"]
    assert "no verdict" in stored.page()


def test_host_that_goes_away_in_the_middle_is_3(stored: Stored, front: Front) -> None:
    for number in range(60):
        stored.add(f"n{number}.jpg")
    answer = front._answer

    def once(request: object) -> tuple[bytes, bool]:
        if len(front.asked) > 3:
            raise ConnectionError
        return answer(request)  # type: ignore[arg-type]

    front._answer = once  # type: ignore[method-assign, assignment]
    ran = through(stored, front, CONCURRENCY="4")
    assert ran.code == 3
    assert "cannot be reached" in ran.err


def test_signal_ends_it_with_its_code(stored: Stored, front: Front) -> None:
    front.network.black_hole()
    with stored.start("--through", front.base, "--all", DOWNLOAD_TIMEOUT="60") as process:
        deadline = time.monotonic() + 20
        while not front.network.connections:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
        assert process.wait() == 143
    assert f"Run `python validate.py --through {front.base} --all` again" in said


# --- the report ---


def test_section_stays_beside_a_validation_and_the_other_way_round(stored: Stored, front: Front) -> None:
    rows = stored.rows("completed.txt")
    (stored.folder / "urls.txt").write_text("".join(f"{row[0]}\n" for row in rows))
    stored.validate("--spot-check", "0")
    verdict = stored.report()["verdict"]
    assert verdict == "complete"
    assert stored.report()["through"] is None
    front.statuses["images/i1.jpg"] = 403
    page = stored.folder / "validation_report.html"
    page.write_text(stored.page().replace("</main>", "<p>a picture</p></main>"), encoding="utf-8")
    through(stored, front)
    assert "<p>a picture</p>" in stored.page()  # what is in the page alone, as pictures are
    assert (stored.report()["verdict"], stored.report()["through"]["verdict"]) == ("complete", "not ready")
    assert "nothing is missing, nothing differs" in stored.page()
    assert stored.page().count("Through the new CDN: not ready") == 1
    front.statuses.clear()
    through(stored, front)
    assert "Through the new CDN: not ready" not in stored.page()
    stored.validate("--spot-check", "0")
    assert (stored.report()["verdict"], stored.report()["through"]["verdict"]) == ("complete", "ready")
    assert stored.page().count("Through the new CDN: ready") == 1


def test_page_without_a_validation_says_so(stored: Stored, front: Front) -> None:
    through(stored, front)
    assert "The bucket is not validated yet" in stored.page()
    assert (stored.report()["verdict"], stored.report()["exit_code"]) == (None, None)


def test_hostile_answers_stay_text(stored: Stored, front: Front) -> None:
    front.types["images/i1.jpg"] = "<!-- /through --><script>alert(1)</script>"
    through(stored, front)
    through(stored, front)
    assert "<script>" not in stored.page()
    assert stored.page().count("<!-- /through -->") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sample", "5"],
        ["--all"],
        ["--map-format", "csv"],
        ["--through", "https://a.example/", "--url-map", "https://a.example/"],
        ["--through", "https://a.example/", "--sample", "3", "--all"],
    ],
)
def test_options_that_do_not_fit_are_2(stored: Stored, arguments: list[str]) -> None:
    ran = stored.validate(*arguments)
    assert ran.code == 2
    assert re.search("usage: validate.py", ran.err)
