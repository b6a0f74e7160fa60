"""What a delta has come to: for the last screen, and for the report."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any

from cdn2s3.console.rerun_hint import command
from cdn2s3.delta.looks import LookTally
from cdn2s3.delta.renewals import RenewalTally
from cdn2s3.file_names import CHANGES_FILE
from cdn2s3.state.changes import LOST
from cdn2s3.text import duration, redact


def lines(looks: LookTally, renewals: RenewalTally | None) -> list[str]:
    """Return what the last screen says; renewals is None before the second pass."""
    counts = _counts(looks, renewals)
    met = renewals.met if renewals else 0
    unchanged = f"{looks.unchanged + met:,} unchanged"
    unchanged += f" ({looks.unchanged - looks.compared:,} by 304)" if looks.compared or met else " (304)"
    said = [unchanged]
    if renewals is None and len(looks.changed):
        said.append(f"{len(looks.changed):,} changed")
    for what in sorted(counts):
        known = looks.counts[what] - looks.new[what]
        said.append(f"{counts[what]:,} {what}" + (f" ({known:,} known before)" if known else ""))
    text = ["delta: " + ", ".join(said)]
    if met:
        text.append(f"{met:,} had been renewed by a run that was stopped, and are recorded now")
    if looks.age:
        since = datetime.fromtimestamp(time.time() - looks.age, timezone.utc)
        text.append(
            f"the CDN answered from copies up to {duration(looks.age)} old: what changed since "
            f"{since:%Y-%m-%d %H:%M} UTC may be unseen"
        )
    if counts[LOST]:
        redo_it = command("migrate.py", "--redo", "missing.txt")
        text.append(f"for what is lost run `{command('validate.py')}`, then `{redo_it}`")
    if renewals is not None and counts:
        text.append(f"{CHANGES_FILE} names them")
    return text


def as_json(
    looks: LookTally | None, renewals: RenewalTally | None, skipped: int, stopped_by: str, ended_at: str
) -> dict[str, Any]:
    """Return the field `delta` of migration_report.json; looks is None where the first pass has not begun.

    skipped is how many rows of completed.txt were not to be looked at, stopped_by what stopped the run ("": nothing).
    """
    counts = _counts(looks, renewals) if looks else Counter[str]()
    return {
        "ended_at": ended_at,
        "looked_at": looks.looked if looks else 0,
        "unchanged": (looks.unchanged if looks else 0) + (renewals.met if renewals else 0),
        "by_304": looks.unchanged - looks.compared if looks else 0,
        "changed": len(looks.changed) if looks else 0,
        "outcomes": dict(sorted(counts.items())),
        "new": {what: count for what, count in sorted(looks.new.items()) if count} if looks else {},
        "skipped": skipped,
        "oldest_copy_seconds": looks.age if looks else 0,
        "stopped_by": redact(stopped_by),
        "replaced_nothing": renewals is None,
    }


def _counts(looks: LookTally, renewals: RenewalTally | None) -> Counter[str]:
    return Counter(looks.counts) + (renewals.counts if renewals else Counter())
