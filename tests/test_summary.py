"""Tests of cdn2s3/summary.py."""

from __future__ import annotations

import pytest

from cdn2s3.report import Audit
from cdn2s3.summary import next_command
from cdn2s3.tally import Tally
from cdn2s3.transfer import Result


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
