"""`migrate.py --status`: how far the job is, also while a run is on; it reads files, and contacts nothing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from cdn2s3 import file_names
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.errors import EXIT_DONE
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.files import lock_holder
from cdn2s3.state.journal import Run, runs_in
from cdn2s3.state.ledger import seconds_of, timestamp
from cdn2s3.state.status_file import ENDED, status_in
from cdn2s3.text import MB, bytes_text, duration, percentage, pluralize, printable, span

OLD = 30.0  # seconds; then the figures of a run that is on are old


def found_status(settings: MigrationSettings, now: float) -> dict[str, Any]:
    """Return what is known of the job; now is in seconds since the epoch."""
    state = settings.state_dir
    holder = lock_holder(state / file_names.MIGRATION_LOCK)
    last = status_in(state) or {}
    runs = [run for run in runs_in(state) if run.script == "migrate.py"]
    running = holder is not None
    is_of_holder = running and str(last.get("pid")) == holder
    at = seconds_of(str(last.get("at", "")))
    return {
        "running": running,
        "pid": int(holder) if holder and holder.isdigit() else None,
        "killed": not running and bool(last) and last.get("phase") != ENDED,
        "is_current": is_of_holder or not running,
        "age_seconds": None if at is None else max(0, round(now - at)),
        "last": last or None,
        "unfinished": _unfinished(state),
        "all_runs": _all_runs(runs),
        "variants": _variants(state),
    }


def _unfinished(state: Path) -> str | None:
    """Return what is to be finished before anything else: undo, redo, or None."""
    files = {"undo": file_names.UNDO_FILE, "redo": file_names.REDO_FILE}
    return next((what for what, name in files.items() if (state / name).exists()), None)


def _variants(state: Path) -> dict[str, Any] | None:
    """Return how far variants.py is, None where it does not run."""
    holder = lock_holder(state / file_names.VARIANTS_LOCK)
    last = status_in(state, file_names.VARIANTS_STATUS_FILE)
    return last if holder is not None and last is not None and str(last.get("pid")) == holder else None


def _all_runs(runs: list[Run]) -> dict[str, Any]:
    """Return the sums over the runs that have ended."""
    return {
        "runs": len(runs),
        "began_at": timestamp(runs[0].started) if runs else None,
        "ended_at": timestamp(max(run.ended for run in runs)) if runs else None,
        "seconds": sum(run.ended - run.started for run in runs),
        "images": sum(run.totals.images for run in runs),
        "bytes": sum(run.totals.size or 0 for run in runs),
        "retries": sum(run.totals.retries or 0 for run in runs),
        "throttled_seconds": sum(run.totals.throttled or 0 for run in runs),
        "down_seconds": sum(run.totals.down or 0 for run in runs),
    }


def text(found: dict[str, Any]) -> list[str]:
    """Return what found_status returned, in lines for people."""
    last, runs = found["last"], found["all_runs"]
    lines = [_first_line(found)]
    if last is not None and last.get("urls"):
        share = percentage(last["done"] / last["urls"])
        lines.append(
            f"{last['done']:,} of {last['urls']:,} ({share}), {bytes_text(last['stored_bytes'])} stored; "
            f"failed {last['failed']:,}"
        )
    if found["running"] and found["is_current"] and last is not None:
        lines += _pace(last)
        if (found["age_seconds"] or 0) > OLD:
            lines.append(f"these figures are {duration(found['age_seconds'])} old")
    if runs["runs"]:
        limited = [
            f"{name} {duration(runs[f'{name}_seconds'])}"
            for name in ("throttled", "down")
            if runs[f"{name}_seconds"]
        ]
        ended = f"{pluralize(runs['runs'], 'run has', 'runs have')} ended since {runs['began_at']}"
        lines.append(
            f"{ended}: {runs['images']:,} images, "
            + ", ".join([bytes_text(runs["bytes"]), f"{span(runs['seconds'])} running", *limited])
        )
    if found["unfinished"] and not found["running"]:
        lines.append(f"the {found['unfinished']} that was begun is not finished")
    if found["variants"] is not None:
        made = found["variants"]
        lines.append(f"{printable(made['command'])} (process {made['pid']}): {made['phase']}{_step(made)}")
    if not found["running"]:
        lines.append(f"next: {_next(found)}")
    return lines


def _first_line(found: dict[str, Any]) -> str:
    last = found["last"]
    if found["running"] and found["is_current"]:
        what = f"{printable(last['command'])}; {last['phase']}{_step(last)}"
        return f"running since {last['started_at']} (process {found['pid']}): {what}"
    if found["running"]:
        return f"process {found['pid']} has just begun, or is a command without a status, such as --adopt"
    if last is None:
        return "no run has been here yet"
    if found["killed"]:
        return f"not running: the last run was killed; the figures are of {last['at']}, what it stored is recorded"
    return f"not running: the last run ended at {last['at']} with exit code {last['exit_code']}"


def _step(last: dict[str, Any]) -> str:
    """Return how far the phase is, where it counts other things than the figures of the job; else ""."""
    done, of = last.get("phase_done"), last.get("phase_of")
    return f", {done:,} of {of:,}" if isinstance(done, int) and isinstance(of, int) else ""


def _pace(last: dict[str, Any]) -> list[str]:
    lines = []
    if last["files_per_second"] is not None:
        parts = [f"{last['files_per_second']:,.0f} files/s", f"{last['bytes_per_second'] / MB:.1f} MB/s"]
        if last["eta_seconds"] is not None:
            parts.append(f"ETA {duration(last['eta_seconds'])}")
        lines.append(", ".join(parts))
    lines.append(f"limited by: {last['limited_by'] or 'neither side'}")
    return lines


def _next(found: dict[str, Any]) -> str:
    last = found["last"]
    if found["unfinished"] == "undo":
        return command("migrate.py", "--undo", "--yes")
    if found["unfinished"] == "redo":
        return command("migrate.py", "--redo")
    if last is None or last.get("exit_code") != EXIT_DONE or last["done"] < last["urls"]:
        return command("migrate.py")
    return command("validate.py")


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--status",
        action="store_true",
        help="how far the job is, also while a run is on; reads only, contacts nothing",
    )


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Print how far the job is, as text or as JSON; return the exit code."""
    found = found_status(settings, time.time())
    sys.stdout.write((json.dumps(found, indent=2) if arguments.json else "\n".join(text(found))) + "\n")
    return EXIT_DONE
