"""migration_report.json: its fields, and that they are those of docs/reports.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cdn2s3.records import Stored
from cdn2s3.reports import migration_report
from cdn2s3.reports.metrics import Example, Tally
from cdn2s3.reports.migration_report import Audit, Ending, next_command, summary
from cdn2s3.state.ledger import failed_line
from cdn2s3.transfer.outcome import Result
from tests import ROOT
from tests.unit.reports.sample_reports import BEGAN, SETTINGS, migration, validation

DOCS = ROOT / "docs" / "reports.md"


def documented(heading: str) -> set[str]:
    """Return the first part of each name in the first column of the tables under heading."""
    section = DOCS.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    names = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    return {re.split(r"[.\[]", name)[0] for name in names if not name.startswith(".")}


def test_migration_report_has_the_documented_fields() -> None:
    assert set(migration(200)) == documented("migration_report.json")


def test_validation_report_has_the_documented_fields() -> None:
    assert set(validation(1)[0]) <= documented("validation_report.json")


@pytest.mark.parametrize(
    ("exit_code", "audit", "verdict"),
    [
        pytest.param(0, Audit(9, 0, 0, 9, 0, 0), "complete", id="all done"),
        pytest.param(0, Audit(9, 0, 0, 5, 0, 4), "not_all_tried", id="limit reached"),
        pytest.param(1, Audit(9, 0, 0, 5, 4, 0), "some_failed", id="some failed"),
        pytest.param(1, Audit(9, 0, 0, 5, 0, 0), "stopped", id="lines do not add up"),
        pytest.param(3, Audit(9, 0, 0, 5, 0, 4), "stopped", id="outage"),
        pytest.param(130, Audit(9, 0, 0, 5, 0, 4), "interrupted", id="SIGINT"),
        pytest.param(143, Audit(9, 0, 0, 5, 0, 4), "interrupted", id="SIGTERM"),
    ],
)
def test_verdict_of_a_run(exit_code: int, audit: Audit, verdict: str) -> None:
    assert Ending(BEGAN, exit_code, "", "").verdict(audit, 100) == verdict


def test_verdict_on_a_share_says_of_how_much_it_is() -> None:
    audit = Audit(9_000, 0, 0, 900, 0, 0, 8_100)
    said = "complete for 10 % of the list (8,100 not selected)"
    assert (Ending(BEGAN, 0, "", "").verdict(audit, 10), audit.holds) == (said, True)
    assert str(audit).endswith("+ 0 not tried + 8,100 not selected")
    assert Ending(BEGAN, 0, "", "").verdict(audit._replace(not_tried=1, completed=899), 10) == "not_all_tried"


def test_report_holds_no_secret() -> None:
    secret = "https://me:canary@cdn/a.jpg?token=canary"
    tally = Tally(BEGAN)
    tally.add(Result(secret, "k", cause="timeout", message=f"GET {secret}", retried=("timeout",)), BEGAN + 1)
    failed = migration_report.Failures()
    failed.add(migration_report.Example(secret, f"GET {secret}"))
    ending = Ending(BEGAN + 2, 3, f"cannot go on: {secret}", "python migrate.py")
    found = migration_report.migration(SETTINGS, tally, Audit(1, 0, 0, 0, 1, 0), ending, {"timeout": failed})
    assert "canary" not in json.dumps(found)


def test_standing_counts_failed_transfers_by_cause(tmp_path: Path) -> None:
    file = tmp_path / "failed_transfers.txt"
    rows = [("timeout", f"https://cdn/{n}.jpg") for n in range(12)] + [("malformed", "nonsense")]
    file.write_bytes(b"".join(failed_line(url, cause, 4, "why", BEGAN) for cause, url in rows))
    found = migration_report.standing(file)
    assert [(cause, failures.urls) for cause, failures in found.items()] == [
        ("timeout", 12),
        ("malformed", 1),
    ]
    assert len(found["timeout"].examples) == 10
    assert found["malformed"].examples == [migration_report.Example("nonsense", "why")]


def test_standing_of_no_file_is_nothing(tmp_path: Path) -> None:
    assert migration_report.standing(tmp_path / "failed_transfers.txt") == {}


def test_written_json_is_for_its_owner_alone_and_takes_odd_text(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    migration_report.write_json(file, {"url": "a\udcffb", "name": "naïve"})
    assert json.loads(file.read_text("utf-8")) == {"url": "a?b", "name": "naïve"}
    assert file.stat().st_mode & 0o777 == 0o600


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


ENDING = Ending(2.0, 1, "", "python migrate.py")


def test_numbers_of_the_last_screen_have_thousands_separators() -> None:
    tally = Tally(0.0)
    tally.stored, tally.bytes, tally.already_there = 1_234_567, 4_321_000_000, 2_000
    tally.failed["timeout"] = 1_500
    tally.examples["timeout"] = []
    audit = Audit(1_300_000, 0, 3_000, 1_234_567, 1_500, 60_933)
    text = summary(SETTINGS, tally, audit, ENDING._replace(at=100.0), {})
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
    said = summary(SETTINGS, tally, Audit(6, 0, 0, 3, 3, 0), ENDING, faults)
    assert said.startswith("1 stored, 2 already there, ")
    assert "  3 malformed: not an http or https URL, e.g. ftp://h/a.jpg\n" in said


MESSAGE = "the body does not start like an image (labeled image/jpeg), it begins with <html><head><title>"
URL = "https://cdn.example/auctionimages/3483/1713553344/i0178-1.jpg"


def test_summary_cuts_nothing() -> None:
    tally = Tally(0.0)
    for _ in range(2):
        tally.add(Result(URL, "a.jpg", cause="not_an_image", message=MESSAGE), 1.0)
    assert f"\n  2 not_an_image: {MESSAGE}, e.g. {URL}\n" in summary(
        SETTINGS, tally, Audit(2, 0, 0, 0, 2, 0), ENDING, {}
    )
