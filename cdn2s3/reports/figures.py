"""The numbers at the top of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdn2s3.text import MB, bytes_text, percentage, span


class Figure(NamedTuple):
    """A number that the top of a page shows."""

    value: str
    name: str
    tone: str = ""  # good, bad or "" for neither


def count(value: float) -> str:
    """Return a number of things: 4,000,000."""
    return f"{value:,.0f}"


def rate_of(per_second: float) -> str:
    """Return images a second: 481, 9.7."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:,.1f}"


# What became of URLs that were not stored where nothing was, by the field of the report.
_BESIDES = {"renewed": "renewed", "replaced": "replaced", "already_there": "already there"}


def migration_figures(report: Mapping[str, Any]) -> list[Figure]:
    run, lines, job = report["run"], report["lines"], report.get("job")
    besides = ", ".join(f"{count(run[how])} {_BESIDES[how]}" for how in _BESIDES if run.get(how))
    completed = Figure(
        count(lines["completed"]),
        "images completed" + (f"; in the last run {besides}" if besides else ""),
        "good" if lines["completed"] else "",
    )
    gaps = [
        Figure(count(lines["failed"]), "failed", "bad" if lines["failed"] else ""),
        Figure(count(lines["not_tried"]), "not tried", "bad" if lines["not_tried"] else ""),
    ]
    if not job:
        seconds = max(report["seconds"], 0.001)
        return [
            completed,
            *gaps,
            Figure(bytes_text(run["bytes"]), "moved in this run"),
            Figure(span(seconds), "took"),
        ]
    return [
        completed,
        Figure(bytes_text(job["bytes"]), "stored"),
        *gaps,
        Figure(span(job["seconds"]), "from the first start to the last end"),
        Figure(span(job["moving_seconds"]), "of it moving"),
        Figure(
            rate_of(job["files_per_second"]), f"images per second, {job['bytes_per_second'] / MB:,.1f} MB/s"
        ),
        Figure(
            rate_of(job["peak_files_per_second"]),
            f"at the peak, {job['peak_bytes_per_second'] / MB:,.1f} MB/s",
        ),
    ]


def validation_figures(report: Mapping[str, Any]) -> list[Figure]:
    if report["verdict"] is None:
        return []
    counts = report["counts"]
    gaps = ("missing", "mismatched", "unexpected")
    return [
        Figure(
            percentage(report["success_rate"]),
            f"complete; the target is {percentage(report['promised'])}",
            "good" if report["promise_kept"] else "bad",
        ),
        Figure(count(report["lines"]["urls"]), "URLs expected"),
        Figure(count(counts["complete"]), "complete"),
        *(
            Figure(count(counts[name]), name, "bad" if counts[name] and name != "unexpected" else "")
            for name in gaps
        ),
        Figure(count(counts["listed"]), "objects listed"),
        Figure(
            bytes_text(report["bytes"]["listed"]),
            "in the folder" if report["destination"].get("folder") else "in the bucket",
        ),
    ]
