"""What earlier reports contribute to a new one: the largest run's figures, and the verdict of the validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cdn2s3.reports.migration_report import FORMAT

_OF_ONE_RUN = (  # the fields that describe one run, the last one
    *("began_at", "ended_at", "seconds", "run", "refused_types", "noted", "retried", "download_seconds"),
    *("upload_seconds", "sizes", "limited", "timeline", "slowest"),
)


def with_history(report: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return report with the figures of the largest run, which report or before (the older report) has.

    So a run of three seconds does not hide what was measured in 48 hours.
    """
    if before is None or before.get("format") != FORMAT:
        return report
    try:
        largest = before.get("largest_run") or {name: before[name] for name in _OF_ONE_RUN}
        is_larger = largest["run"]["stored"] > report["run"]["stored"]
    except (KeyError, TypeError):
        return report  # not one of our reports
    return {**report, "largest_run": largest} if is_larger else report


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the report in path; None where there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def last_delta(before: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the older report says of the last delta, None where there was none."""
    found = before.get("delta") if before is not None and before.get("format") == FORMAT else None
    return found if isinstance(found, dict) and found.keys() >= _DELTA else None


_DELTA = frozenset(
    {"ended_at", "looked_at", "unchanged", "by_304", "changed", "outcomes", "new", "skipped"}
    | {"oldest_copy_seconds", "stopped_by", "replaced_nothing"}
)


def proof(validation: dict[str, Any] | None, page: str, ended_at: str) -> dict[str, Any] | None:
    """Return what the newest validation (validation_report.json) says of a migration that ended then.

    page is the path of its page, from the report's folder. None: there is none with a verdict.
    """
    if validation is None or not validation.get("verdict"):
        return None
    try:
        return {
            "verdict": str(validation["verdict"]),
            "at": str(validation["ended_at"]),
            "page": page,
            "is_newer": str(validation["ended_at"]) >= ended_at,
            "complete": int(validation["counts"]["complete"]),
            "urls": int(validation["lines"]["urls"]),
            "success_rate": float(validation["success_rate"]),
            "spot_check": str(validation["spot_check"]["summary"]),
        }
    except (KeyError, TypeError, ValueError):
        return None  # not one of our reports
