"""The pages: what stands in them, that nothing in them is anybody else's markup, that they fetch nothing."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.reports import html
from cdn2s3.reports.contact_sheet import LARGEST, SHEET_BYTES, BoundedCapture, Pictures, data_uri
from cdn2s3.validation.spot_check import Check
from cdn2s3.validation.spot_findings import Spot
from tests.unit.reports.sample_reports import HOSTILE, PREFIX, empty_migration, migration, validation

small = functools.partial(functools.cache(migration), 2000)
validated = functools.cache(validation)


def page_of(kind: str) -> str:
    pages = {
        "migration": lambda: html.migration(small()),
        "nothing moved": lambda: html.migration(empty_migration()),
        "validation": lambda: html.validation(*validated()),
        "no verdict": lambda: html.validation(without_verdict()),
    }
    return pages[kind]()


def without_verdict() -> dict[str, Any]:
    kept = ("format", "exit_code", "began_at", "ended_at", "seconds", "settings", "versions")
    return {
        **{name: validated()[0][name] for name in kept},
        "verdict": None,
        "ended_by": f"could not list {HOSTILE}",
        "next": ["python validate.py"],
    }


KINDS = ["migration", "nothing moved", "validation", "no verdict"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_has_no_script_and_fetches_nothing(kind: str) -> None:
    page = page_of(kind)
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("kind", ["migration", "validation", "no verdict"])
def test_hostile_text_is_shown_as_text(kind: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page_of(kind)


def test_url_that_breaks_out_of_an_attribute_does_not() -> None:
    report, pictures = copy.deepcopy(validated()[0]), dict(validated()[1])
    check = report["spot_check"]["checks"][0]
    pictures['k" onerror="alert(1)'] = pictures.pop(check["key"])
    check["key"] = 'k" onerror="alert(1)'
    assert ' onerror="' not in html.validation(report, pictures)


def test_what_a_browser_would_not_show_is_escaped() -> None:
    report = empty_migration(why="a \u202e b \x00 c")
    page = html.migration(report)
    assert "a \\u202e b \\x00 c" in page


def test_migration_page_says_the_verdict_first_and_what_to_type() -> None:
    page = page_of("migration")
    assert "1,940 completed, 60 failed" in page
    assert page.index('id="verdict"') < page.index('id="throughput"')
    assert "python migrate.py --retry-failed timeout" in page


@pytest.mark.parametrize(
    ("exit_code", "why", "words"),
    [
        pytest.param(130, "signal 2", "Interrupted: 0 completed, 100 not tried", id="interrupted"),
        pytest.param(3, "no such bucket", "Stopped: 0 completed, 100 not tried", id="stopped"),
        pytest.param(0, "", "0 completed, 100 not tried yet", id="limit"),
    ],
)
def test_migration_page_says_how_the_run_ended(exit_code: int, why: str, words: str) -> None:
    page = html.migration(empty_migration(exit_code, why))
    assert words in page
    assert why in page


def test_migration_page_names_every_cause_with_its_remedy_and_examples() -> None:
    page = page_of("migration")
    for cause, failure in small()["failed_transfers"].items():
        assert f"<h3>{cause}</h3>" in page
        assert failure["remedy"] in page
        assert len(failure["examples"]) <= 10
        assert f"{PREFIX}/" in failure["examples"][0]["url"]


def test_migration_page_shows_every_part_of_the_sum() -> None:
    report = {**small(), "lines": {**small()["lines"], "not_selected": 321_123}}
    assert 'not selected</td><td class="number">321,123<' in html.migration(report)
    assert "not selected" not in html.migration(small())


@pytest.mark.parametrize("bucket", ["pictures", ""])
def test_migration_page_names_the_region_where_there_is_a_bucket(bucket: str) -> None:
    """Beside a folder, too (DESTINATION=hybrid)."""
    destination = {"endpoint": "", "bucket": bucket, "prefix": "", "folder": "/mnt/images"}
    page = html.migration({**small(), "destination": destination})
    assert ("bucket's region" in page) == bool(bucket)


def test_validation_page_says_what_is_not_selected() -> None:
    report, pictures = validated()
    shown = {**report, "lines": {**report["lines"], "not_selected": 321_123}}
    assert "unique URLs, 321,123 not selected." in html.validation(shown, pictures)


def test_migration_page_has_all_charts() -> None:
    assert page_of("migration").count("<svg") == 6


def test_page_without_data_says_so_and_draws_nothing() -> None:
    page = page_of("nothing moved")
    assert "<svg" not in page
    assert page.count("Nothing was stored yet, so") == 1
    assert 'id="shape"' not in page
    assert 'id="slowest"' not in page
    assert "failed_transfers.txt is empty" in page


def test_validation_page_shows_both_sides_of_small_pictures() -> None:
    report, pictures = validation(30)
    page = html.validation(report, pictures)
    assert page.count('<img src="data:image/') == 2 * len(pictures)
    assert page.count("too large to show") == 2 * (30 - len(pictures))
    assert 0 < len(pictures) < 30


def test_validation_page_says_what_it_leaves_out() -> None:
    page = page_of("validation")
    assert page.count('<article class="card pair') == 50
    assert "The first 50 are shown here" in page


def test_validation_page_shows_what_differs_before_the_rest() -> None:
    page = page_of("validation")
    sheet = page[page.index('class="sheet"') :]
    assert sheet.index('class="outcome">different') < sheet.index('class="outcome">identical')
    assert "0" * 32 in sheet


def test_validation_page_without_verdict_says_why() -> None:
    page = page_of("no verdict")
    assert "No verdict" in page
    assert "could not list" in page


def test_written_page_is_for_its_owner_alone_and_takes_odd_text(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    html.write(file, "a\udcffb")
    assert file.read_bytes() == b"a?b"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("timeline", "seconds", "steps"),
    [
        pytest.param([], 3.0, [], id="nothing"),
        pytest.param([(0, 1, 5, 50, 0)], 0.5, [[0, 0.5, 5, 50, 0]], id="cut short by the end"),
        pytest.param(
            [(0, 10, 5, 50, 0), (10, 10, 1, 10, 2)], 12.0, [[0, 12.0, 6, 60, 2]], id="little left joins"
        ),
        pytest.param(
            [(0, 10, 5, 50, 0), (10, 10, 4, 40, 0)],
            18.0,
            [[0, 10, 5, 50, 0], [10, 8.0, 4, 40, 0]],
            id="much left stays",
        ),
        pytest.param([(0, 10, 5, 50, 0)], 70.0, [[0, 10, 5, 50, 0]], id="idle at the end"),
    ],
)
def test_last_step_has_its_true_length(timeline: Any, seconds: float, steps: Any) -> None:
    assert html._whole_steps(timeline, seconds) == steps


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param(html.whole("12345"), "12,345", id="field that is a number"),
        pytest.param(html.whole("-"), "-", id="field that is none"),
        pytest.param(html.latency(None), "–", id="not measured"),
        pytest.param(html.latency(0.0004), "under 1 ms", id="under a ms"),
        pytest.param(html.latency(0.038), "38 ms", id="ms"),
        pytest.param(html.latency(1.239), "1.24 s", id="seconds"),
    ],
)
def test_numbers_are_said_as_a_person_does(words: str, found: str) -> None:
    assert words == found


def test_kept_bytes_are_given_up_when_they_are_too_many() -> None:
    small, large = BoundedCapture(), BoundedCapture()
    small.add(memoryview(b"abc"))
    small.add(memoryview(b"def"))
    large.add(memoryview(bytes(LARGEST)))
    large.add(memoryview(b"x"))
    large.add(memoryview(b"y"))
    assert (small.body(), large.body()) == (b"abcdef", b"")


def check_of(number: int, outcome: str, size: int, other: int | None = None) -> Check:
    pictures = Pictures(bytes(size), bytes(size if other is None else other))
    return Check(f"u{number}", f"k{number}", False, outcome, media_type="image/jpeg", pictures=pictures)


def test_photographs_are_shown_within_the_budget_of_the_page() -> None:
    spot = Spot(100, 1, drawn=100)
    for number in range(60):
        spot.add(check_of(number, "identical", 390_000))
    for number in range(60, 64):
        spot.add(check_of(number, "different", 900_000, 700_000))
    assert sum(both.size for both in spot.pictures.values()) <= 2 * SHEET_BYTES
    checks = [check._asdict() for check in spot.checks]
    sheet = html._contact_sheet(checks, spot.pictures)
    assert [check["key"] for check in sheet[:4]] == ["k60", "k61", "k62", "k63"]
    shown = [check["key"] for check in sheet if check["pictures"]["source"]]
    assert shown == [check["key"] for check in sheet[: len(shown)]]
    embedded = 4 * 1_600_000 + (len(shown) - 4) * 780_000
    assert SHEET_BYTES - 780_000 < embedded <= SHEET_BYTES
    assert len(sheet) == 50
    uris = sum(len(uri) for check in sheet for uri in check["pictures"].values())
    assert uris < SHEET_BYTES * 4 / 3 + 10_000


def test_picture_of_a_photograph_is_kept() -> None:
    kept = BoundedCapture()
    for _ in range(30):
        kept.add(memoryview(bytes(13_000)))
    assert len(kept.body()) == 390_000


def test_data_uri_is_only_for_what_browsers_show() -> None:
    assert data_uri("image/gif", b"GIF8") == "data:image/gif;base64,R0lGOA=="
    assert data_uri("image/tiff", b"II*") == ""
    assert data_uri("text/html", b"<p>") == ""
    assert data_uri("image/gif", b"") == ""


def test_page_tells_how_many_failures_may_heal() -> None:
    report = migration(200)
    report["failed_transfers"] = {
        cause: {"urls": urls, "meaning": "", "remedy": "", "examples": []}
        for cause, urls in (("timeout", 30), ("connection", 4), ("not_found", 500))
    }
    assert "34 of them may succeed in another run" in html.migration(report)
    del report["failed_transfers"]["timeout"], report["failed_transfers"]["connection"]
    assert "Another run would not change that" in html.migration(report)


def test_page_of_an_incomplete_validation_tells_the_known_gaps_apart() -> None:
    report, pictures = validation(1)
    page = html.validation(report, pictures)
    assert "100 URLs need another run" in page
    assert "500 more are known gaps" in page
    for cause in report["failed"]:
        assert cause in page.partition("What is not complete")[2].partition("Failed, by cause")[0]


def test_validation_page_names_each_cause_once_with_its_examples() -> None:
    report, pictures = validation(1)
    url = f"{PREFIX}/gone.jpg"
    report["examples"]["missing"]["failed:not_found"] = [{"url": url, "key": "k"}]
    report["missing"]["by_why"]["failed:not_found"] = report["failed"]["not_found"]["urls"]
    page = html.validation(report, pictures)
    assert "failed:not_found" not in page
    assert page.count("<h3>not_found</h3>") == 1
    assert url in page.partition("<h3>not_found</h3>")[2].partition("</article>")[0]
    assert page.index("Missing: lost") < page.index("Failed, by cause")
