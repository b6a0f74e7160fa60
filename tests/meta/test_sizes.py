"""A module fits in one reading: 300 lines, a script 400. What is longer is one idea; its reason stands here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ROOT

MODULE, SCRIPT = 300, 400  # lines
MOST = 500  # of a module that is longer for a reason
LONGER = {
    "collection/api/pagination.py": "one walk over pages, whose steps share their state",
    "collection/checkpoint.py": "the checkpoint's fields, and reading and writing them",
    "collection/suggest/paging_lines.py": "one table of what a page may show",
    "commands/create_bucket.py": "the steps of one command",
    "commands/preview.py": "the steps of one command",
    "console/progress.py": "one bar and its lines",
    "destinations/base.py": "one contract, method by method",
    "destinations/local_files.py": "one class: the files below one open folder",
    "destinations/local_folder.py": "one destination: what a Destination does, and two uploads",
    "destinations/s3/client.py": "one client and its address",
    "destinations/s3/destination.py": "one destination: what a Destination does with a bucket",
    "executors/cluster.py": "one coordinator: who is there, and what each of them has",
    "keys.py": "one rule, from a URL to its key",
    "planning/run_plan.py": "what --plan prints is what a run executes",
    "planning/survey.py": "one pass over the list",
    "reports/accounting.py": "one sum that must hold",
    "reports/migration_report.py": "one record, field by field",
    "resilience/endpoint.py": "one lock over the limits, the breaker and the rate of an endpoint",
    "settings/declarations.py": "one table of settings",
    "state/files.py": "one file format: lines that survive a kill",
    "state/journal.py": "one pair of files",
    "validation/expected.py": "one table over all lines",
}


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


MODULES = sorted(path.relative_to(ROOT / "cdn2s3").as_posix() for path in (ROOT / "cdn2s3").rglob("*.py"))


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.py")))
def test_script_fits_its_bound(script: str) -> None:
    assert lines_of(ROOT / script) <= SCRIPT


def test_modules_fit_their_bound_unless_there_is_a_reason() -> None:
    lengths = {name: lines_of(ROOT / "cdn2s3" / name) for name in MODULES}
    assert {name for name, length in lengths.items() if length > MODULE} - LONGER.keys() == set()
    assert {name: length for name, length in lengths.items() if length > MOST} == {}
