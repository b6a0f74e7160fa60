"""migration_report.json: its fields, and that they are those of docs/reports.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cdn2s3.reports import migration_report
from cdn2s3.reports.metrics import Tally
from cdn2s3.reports.migration_report import Audit, Ending
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
    assert Ending(BEGAN, exit_code, "", "").verdict(audit) == verdict


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
