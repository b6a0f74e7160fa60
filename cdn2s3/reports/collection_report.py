"""The report of a collection: what vouches for the list, what was left out. docs/reports.md has every field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cdn2s3.collection.base import Verdict
from cdn2s3.collection.checkpoint import Checkpoint
from cdn2s3.collection.url_list import rejected_file
from cdn2s3.console.rerun_hint import command
from cdn2s3.reports.metrics import EXAMPLES
from cdn2s3.reports.migration_report import versions
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import redacted_values
from cdn2s3.state.journal import Run
from cdn2s3.state.ledger import decode_line, timestamp
from cdn2s3.state.lines import whole_lines
from cdn2s3.text import printable, redact

FORMAT = 1  # of collection_report.json; grows when a field changes its meaning
_MOST_REASONS = 100


def collection(
    settings: CollectionSettings,
    done: Checkpoint,
    found: Verdict,
    region: str,
    runs: Iterable[Run],
    code: int,
    ended_by: str = "",
) -> dict[str, Any]:
    """Return the report of a collection that has ended, or was interrupted by ended_by.

    found is what it is worth, region the one that is recommended ("": none), runs those of runs.txt with this one.
    """
    own = sorted((run for run in runs if run.script == "collect_urls.py"), key=lambda run: run.started)
    counts = done.counts
    by_reason, examples = _rejected(rejected_file(settings.output_file))
    return {
        "format": FORMAT,
        "verdict": "interrupted" if ended_by else "doubtful" if found.doubts else "confirmed",
        "exit_code": code,
        "ended_by": ended_by,
        "evidence": found.evidence,
        "doubts": [redact(doubt) for doubt in found.doubts],
        "finished_at": timestamp(own[-1].ended) if ended_by and own else done.finished_at,
        "began_at": timestamp(own[0].started) if own else "",
        "seconds": sum(run.ended - run.started for run in own),
        "runs": len(own),
        "source": settings.source,
        "output": str(settings.output_file),
        "region": region,
        "expected_total": settings.expected_total,
        "counts": counts._asdict(),
        "update": None if done.update is None else _update(done),
        "rejected": {"by_reason": dict(by_reason.most_common()), "examples": examples},
        "notes": [
            {"what": what, "times": note.times, "example": redact(note.example)}
            for what, note in sorted(done.notes.items(), key=lambda item: -item[1].times)
        ],
        "next": _next(done, bool(ended_by)),
        "settings": {name: redact(value) for name, value in redacted_values(settings).items()},
        "versions": versions(),
    }


def _next(done: Checkpoint, is_interrupted: bool) -> str:
    """Return the command to type next: after a stop, the one that resumes."""
    if is_interrupted:
        return command("collect_urls.py", *(["--update"] if done.update is not None else []))
    return command("migrate.py", "--plan") if done.counts.urls else command("collect_urls.py", "--restart")


def _update(done: Checkpoint) -> dict[str, Any]:
    update = done.update
    assert update is not None
    return {name: getattr(update, name) for name in ("new", "known", "gone", "newly_gone", "changed")}


def _rejected(path: Path) -> tuple[Counter[str], list[dict[str, str]]]:
    """Return how many lines of rejected.txt have which reason, and the first ones."""
    reasons: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    for line in whole_lines(path):
        url, _, why = decode_line(line).partition("\t")
        reasons[why if why in reasons or len(reasons) < _MOST_REASONS else "others"] += 1
        if len(examples) < EXAMPLES:
            examples.append({"url": redact(printable(url)), "why": redact(printable(why))})
    return reasons, examples
