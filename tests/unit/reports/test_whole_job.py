"""The whole migration in one record: times, rates, failures, plan, and nothing hidden by a short last run."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.reports import earlier_reports, html, whole_job
from cdn2s3.reports.time_axis import moment, time_axis
from cdn2s3.state.journal import Event, Run, Totals
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.stored_times import StoredTimes
from tests.tiers import neighbors
from tests.unit.reports import sample_reports as sample

T = 1_790_000_000
NOBODY = whole_job.Standing(0, 0)


def run(began: int, ended: int, command: str = "migrate.py", code: int | None = 0, **totals: Any) -> Run:
    return Run(T + began, T + ended, command, code, Totals(**totals), "1")


def stored(*seconds: int, size: int = 100) -> StoredTimes:
    times = StoredTimes()
    for at in seconds:
        row = ("u", "k", str(size), "e", "m", "image/jpeg", timestamp(T + at))
        times.add([[text.encode() for text in row]])
    return times


def test_times_are_of_all_runs_and_only_those_of_migrate() -> None:
    runs = [run(0, 100), run(1000, 1100, down=40), run(50, 5000, "validate.py")]
    job = whole_job.whole_job(runs, [], stored(5, 1050), whole_job.Standing(2, 0))
    assert (job["began_at"], job["ended_at"]) == (timestamp(T), timestamp(T + 1100))
    assert (job["seconds"], job["running_seconds"], job["moving_seconds"]) == (1100, 200, 160)
    assert (job["images"], job["bytes"], job["runs_in_all"], job["down_seconds"]) == (2, 200, 2, 40)


def test_last_run_of_three_seconds_hides_nothing() -> None:
    runs = [run(0, 172_800, stored=4), run(180_000, 180_003, "migrate.py --retry-failed")]
    job = whole_job.whole_job(runs, [], stored(5, 60, 900, 172_000), whole_job.Standing(4, 0))
    assert (job["seconds"], job["moving_seconds"], job["bytes"]) == (180_003, 172_803, 400)
    assert len(job["timeline"]) <= 600
    assert sum(step[2] for step in job["timeline"]) == 4


def test_images_of_an_older_version_without_a_journal_count_with_their_time() -> None:
    job = whole_job.whole_job([run(1000, 1010)], [], stored(0, 100, 1005), NOBODY)
    assert job["began_at"] == timestamp(T)
    assert job["running_seconds"] == 10 + 2 * 10


def test_average_is_over_the_time_of_moving_and_the_peak_over_ten_seconds() -> None:
    times = stored(*[3] * 50, *range(10, 110, 2))
    job = whole_job.whole_job([run(0, 100), run(200, 300)], [], times, NOBODY)
    assert (job["files_per_second"], job["peak_files_per_second"]) == (0.5, 5.0)
    assert (job["bytes_per_second"], job["peak_bytes_per_second"]) == (50, 500)


def test_failures_and_what_became_of_them() -> None:
    events = [Event(T + 9, T, "recovered", "-", "1180"), Event(T + 9, T, "recovered", "-", "nonsense")]
    job = whole_job.whole_job([run(0, 10)], events, stored(), whole_job.Standing(0, 24))
    assert (job["failed_ever"], job["recovered"], job["failed_now"]) == (1204, 1180, 24)


def test_plan_is_that_of_the_first_run_that_had_something_to_do() -> None:
    plans = ['{"files": 0}', '{"files": 5, "seconds": 7}', '{"files": 2}']
    events = [Event(T + at, T, "plan", "-", plan) for at, plan in enumerate(plans)]
    assert whole_job.whole_job([run(0, 10)], events, stored(), NOBODY)["plan"] == {"files": 5, "seconds": 7}


def test_events_of_a_run_that_is_not_listed_are_left_out() -> None:
    events = [Event(T + 1, T + 99, "down", "source", "")]
    assert whole_job.whole_job([run(0, 10)], events, stored(), NOBODY)["spans"] == []


def test_axis_marks_runs_pauses_outages_throttling_and_stops() -> None:
    axis = time_axis(sample.whole())
    for mark in (
        'class="run"',
        'class="run ended"',
        'class="pause"',
        'class="down"',
        'class="throttled"',
        'class="stop"',
    ):
        assert mark in axis.svg
    assert sample.HOSTILE not in axis.svg
    assert axis.ticks[0] == "21 Sep 14:13"


@pytest.mark.parametrize(
    ("at", "said"), [("2026-11-27T02:02:00Z", "27 Nov 02:02"), ("never", "never"), ("", "")]
)
def test_moment_is_said_as_people_do(at: str, said: str) -> None:
    assert moment(at) == said


def test_page_answers_the_managers_five_questions() -> None:
    report = sample.migration()
    report["validation"] = {
        "verdict": "complete",
        "at": "2026-09-23T15:00:00Z",
        "page": "validation_report.html",
        "is_newer": True,
        "complete": 7,
        "urls": 7,
        "success_rate": 1.0,
        "spot_check": "100 identical",
    }
    page = html.migration(report)
    for answer in (
        "47 h 01 min",
        "37 h 35 min",
        "1,180 of them are stored by now",
        'href="validation_report.html"',
    ):
        assert answer in page
    assert "c5.2xlarge" in page
    assert "$32.24" in page


@pytest.mark.slow
def test_largest_run_stays_when_a_smaller_one_follows() -> None:
    large, small = sample.migration(2000), sample.migration(200)
    second = earlier_reports.with_history(small, large)
    assert second["largest_run"]["run"] == large["run"]
    third = earlier_reports.with_history(sample.migration(100), second)
    assert third["largest_run"]["run"] == large["run"]
    assert earlier_reports.with_history(sample.migration(3000), third)["largest_run"] is None
    assert f"{large['run']['files_per_second']}" in str(third["largest_run"])
    assert "Of the run that stored most" in html.migration(third)


@pytest.mark.parametrize("before", neighbors(None, {}, {"format": 1}, {"format": 1, "run": 7}, {"format": 2}))
def test_older_report_that_is_none_changes_nothing(before: Any) -> None:
    report = sample.migration(100)
    assert earlier_reports.with_history(report, before) == report


@pytest.mark.parametrize(
    "found", [None, {}, {"verdict": None}, {"verdict": "complete"}, {"verdict": "x", "counts": 1}]
)
def test_validation_without_a_verdict_is_no_proof(found: Any) -> None:
    assert earlier_reports.proof(found, "validation_report.html", "2026-01-01T00:00:00Z") is None


def test_validation_from_before_the_last_run_is_said_to_be() -> None:
    validation, _ = sample.validation()
    found = earlier_reports.proof(validation, "v.html", "2999-01-01T00:00:00Z")
    assert found is not None
    assert not found["is_newer"]
