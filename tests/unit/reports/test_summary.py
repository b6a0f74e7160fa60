"""The summary of a run, as a person reads it."""

from __future__ import annotations

import re

import pytest

from cdn2s3.records import Stored
from cdn2s3.reports.metrics import Example, Tally
from cdn2s3.reports.migration_report import Audit, next_command, summary
from cdn2s3.transfer.outcome import Result
from tests.unit.reports.sample_reports import SETTINGS


@pytest.mark.parametrize(
    ("causes", "not_tried", "code", "command"),
    [
        pytest.param([], 0, 0, "python validate.py", id="all done"),
        pytest.param(["not_found"], 0, 1, "python validate.py", id="nothing that may heal"),
        pytest.param(
            ["not_found", "timeout"], 0, 1, "python migrate.py --retry-failed timeout", id="one cause"
        ),
        pytest.param(["throttled", "timeout"], 0, 1, "python migrate.py --retry-failed", id="two causes"),
        pytest.param(["timeout"], 5, 1, "python migrate.py", id="not all tried"),
        pytest.param(["timeout"], 0, 3, "python migrate.py", id="stopped"),
    ],
)
def test_next_command(causes: list[str], not_tried: int, code: int, command: str) -> None:
    tally = Tally(0.0)
    for cause in causes:
        tally.add(Result("https://h/a.jpg", "a.jpg", cause=cause, message="m"), 1.0)
    audit = Audit(len(causes) + not_tried, 0, 0, 0, len(causes), not_tried)
    assert next_command(tally, audit, code) == command


def test_numbers_of_the_last_screen_have_thousands_separators() -> None:
    tally = Tally(0.0)
    tally.stored, tally.bytes, tally.already_there = 1_234_567, 4_321_000_000, 2_000
    tally.failed["timeout"] = 1_500
    tally.examples["timeout"] = []
    audit = Audit(1_300_000, 0, 3_000, 1_234_567, 1_500, 60_933)
    text = summary(SETTINGS, tally, audit, 100.0, 1, {})
    assert "1,232,567 stored, 2,000 already there, 4,321.0 MB in" in text
    assert ": 12,346 files/s, " in text
    assert "1,300,000 lines = 0 blank + 3,000 duplicates + 1,234,567 completed + 1,500 failed" in text
    assert "  1,500 timeout: " in text
    assert "\nnot tried 60,933\n" in text
    assert not re.search(r"\d{4}", text.replace(str(SETTINGS.state_dir.resolve()), ""))


def test_summary_tells_stored_from_already_there_and_names_what_was_never_tried() -> None:
    tally = Tally(0.0)
    for already in (True, True, False):
        tally.add(Result("https://h/a.jpg", "a.jpg", Stored("e", 1, "m", already)), 1.0)
    faults = {"malformed": (3, Example("ftp://h/a.jpg", "not an http or https URL"))}
    said = summary(SETTINGS, tally, Audit(6, 0, 0, 3, 3, 0), 2.0, 1, faults)
    assert said.startswith("1 stored, 2 already there, ")
    assert "  3 malformed: not an http or https URL, e.g. ftp://h/a.jpg\n" in said


MESSAGE = "the body does not begin like an image (labelled image/jpeg), it begins with <html><head><title>"
URL = "https://cdn.example/auctionimages/3483/1713553344/i0178-1.jpg"


def test_summary_cuts_nothing() -> None:
    tally = Tally(0.0)
    for _ in range(2):
        tally.add(Result(URL, "a.jpg", cause="not_an_image", message=MESSAGE), 1.0)
    assert f"\n  2 not_an_image: {MESSAGE}, e.g. {URL}\n" in summary(
        SETTINGS, tally, Audit(2, 0, 0, 0, 2, 0), 2.0, 1, {}
    )
