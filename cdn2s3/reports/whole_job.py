"""The whole migration, all runs of it, as the report tells it: from the journal and from completed.txt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cdn2s3.planning.forecast import spent
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.journal import (
    DOWN,
    MACHINE,
    PLAN,
    RECOVERED,
    STOP,
    Event,
    Journal,
    Run,
    Span,
    spans_of,
)
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.stored_times import SLOT, Slot, StoredTimes

SCRIPT = "migrate.py"
_MOST_STEPS = 600  # of the timeline
_MOST_RUNS = 500  # that are listed, the newest


class Standing(NamedTuple):
    """What the job has come to."""

    completed: int  # URLs
    failed: int  # URLs that are in failed_transfers.txt


def whole_job(
    runs: Iterable[Run], events: Sequence[Event], stored: StoredTimes, standing: Standing
) -> dict[str, Any]:
    """Return the field `job` of migration_report.json; runs has one of migrate.py at least, the current one.

    docs/reports.md has its fields.
    """
    runs = sorted((run for run in runs if run.script == SCRIPT), key=lambda run: run.started)
    ends = {run.started: run.ended for run in runs}
    events = [event for event in events if event.run in ends]
    slots = list(stored)
    first = runs[0].started if runs else 1 << 62
    began = min([first] + [slot.at for slot in slots if slot.at + SLOT <= first])
    ended = max([run.ended for run in runs] or [slot.at + SLOT for slot in slots])
    spans = list(spans_of(events, ends))
    down = sum(run.totals.down or 0 for run in runs)
    running = sum(run.ended - run.started for run in runs) + _seconds_outside(runs, slots)
    undoing = sum(run.ended - run.started for run in runs if "--undo" in run.command.split())
    moving = max(running - down - undoing, 1)
    recovered = sum(
        int(event.detail) for event in events if event.event == RECOVERED and event.detail.isdigit()
    )
    average = stored.images / moving
    return {
        "began_at": timestamp(began),
        "ended_at": timestamp(ended),
        "seconds": ended - began,
        "running_seconds": running,
        "moving_seconds": moving,
        "images": standing.completed,
        "bytes": stored.size + stored.adopted_size,
        "adopted": stored.adopted,
        "files_per_second": round(average, 1),
        "bytes_per_second": round(stored.size / moving),
        "peak_files_per_second": round(max([slot.images / SLOT for slot in slots] + [average]), 1),
        "peak_bytes_per_second": round(max([slot.size / SLOT for slot in slots] + [stored.size / moving])),
        "undone": sum(run.totals.undone or 0 for run in runs),
        "retries": sum(run.totals.retries or 0 for run in runs),
        "throttled_seconds": sum(run.totals.throttled or 0 for run in runs),
        "down_seconds": down,
        "outages": sum(span.event == DOWN for span in spans),
        "failed_ever": recovered + standing.failed,
        "recovered": recovered,
        "failed_now": standing.failed,
        "plan": next(
            (event.facts for event in events if event.event == PLAN and event.facts.get("files")), None
        ),
        "machine": next((event.facts for event in reversed(events) if event.event == MACHINE), None),
        "runs_in_all": len(runs),
        "runs": [_run(run) for run in runs[-_MOST_RUNS:]],
        "spans": [_span(span) for span in spans],
        "stops": [
            {"at": timestamp(event.at), "why": event.detail} for event in events if event.event == STOP
        ],
        "timeline": timeline(slots, began, ended),
    }


def job_of(
    settings: MigrationSettings, journal: Journal, stored: StoredTimes, standing: Standing, exit_code: int
) -> dict[str, Any]:
    """Return the field `job` at the end of the run whose journal this is."""
    runs, events = journal.history()
    job = whole_job([*runs, journal.as_run(exit_code)], events, stored, standing)
    job["dollars"] = spent(settings, stored.images, job["moving_seconds"])
    job["region"] = settings.aws_region if settings.placement.uses_bucket else ""
    return job


def _seconds_outside(runs: Sequence[Run], slots: Iterable[Slot]) -> int:
    """Return the seconds in which images were stored and no run of the journal was on: by older versions."""
    first = runs[0].started if runs else 1 << 62
    return SLOT * sum(slot.at + SLOT <= first for slot in slots)


def _run(run: Run) -> dict[str, Any]:
    return {
        "started_at": timestamp(run.started),
        "ended_at": timestamp(run.ended),
        "seconds": run.ended - run.started,
        "command": run.command,
        "exit_code": run.exit_code,
        **run.totals._asdict(),
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "event": span.event,
        "side": span.side,
        "began_at": timestamp(span.began),
        "seconds": span.ended - span.began,
        "detail": span.detail,
    }


def timeline(slots: Iterable[Slot], began: int, ended: int) -> list[list[int]]:
    """Return equal steps of [seconds since began, seconds, images, bytes], at most _MOST_STEPS."""
    length = SLOT * max(1, math.ceil((ended - began) / SLOT / _MOST_STEPS))
    steps = [[at, length, 0, 0] for at in range(0, max(ended - began, 1), length)]
    for slot in slots:
        step = steps[min(max(0, slot.at - began) // length, len(steps) - 1)]
        step[2] += slot.images
        step[3] += slot.size
    steps[-1][1] = max(1, ended - began - steps[-1][0])
    return steps
