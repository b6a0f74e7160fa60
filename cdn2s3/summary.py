"""The last screen of a migration: what became of it, in ten lines at most, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cdn2s3.console.progress import shortened
from cdn2s3.console.rerun_hint import typed
from cdn2s3.errors import CAUSES, EXIT_CANNOT_GO_ON, EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.reports import migration_report
from cdn2s3.reports.metrics import Example, Tally
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import MB, duration, redact

MOST_CAUSES = 4  # on the last screen; the report has them all
COLUMNS = 80  # of the last screen, for what can be made to fit


def summary(
    settings: MigrationSettings,
    tally: Tally,
    audit: migration_report.Audit,
    ended: float,
    code: int,
    faults: Mapping[str, tuple[int, Example]],
) -> str:
    """Return what became of the run, in ten lines at most.

    faults are lines of the input that failed without being tried: how many for which cause, and an example.
    """
    seconds = max(ended - tally.began, 0.001)
    already = f", {tally.already_there:,} already there" if tally.already_there else ""
    lines = [
        f"{tally.stored - tally.already_there:,} stored{already}, {tally.bytes / MB:,.1f} MB in {duration(seconds)}: "
        f"{tally.stored / seconds:,.0f} files/s, {tally.bytes / MB / seconds:.1f} MB/s",
        f"{audit}",
    ]
    failed = tally.failed + Counter({cause: count for cause, (count, _) in faults.items()})
    examples = {**tally.examples, **{cause: [example] for cause, (_, example) in faults.items()}}
    causes = failed.most_common()
    for cause, count in causes[:MOST_CAUSES]:
        lines.append(f"  {count:,} {cause}: {CAUSES[cause].meaning}")
        for example in examples[cause][:1]:  # none when a stop came between the passes
            line = f"  {count:,} {cause}: {shortened(redact(example.message), COLUMNS // 2)}, e.g. "
            lines[-1] = line + shortened(redact(example.url), COLUMNS - len(line))
    if len(causes) > MOST_CAUSES:
        rest = sum(count for _, count in causes[MOST_CAUSES:])
        lines.append(f"  {rest:,} of {len(causes) - MOST_CAUSES} more causes: see migration_report.html")
    if audit.not_tried:
        lines.append(f"not tried {audit.not_tried:,}")
    lines.append(f"state, log and report: {settings.state_dir.resolve()}")
    mend = "mend what stopped it, then " if code == EXIT_CANNOT_GO_ON else ""
    lines.append(f"next: {mend}{next_command(tally, audit, code)}")
    return typed("\n".join(lines))


def next_command(tally: Tally, audit: migration_report.Audit, code: int) -> str:
    """Return the command that a person would type now."""
    if audit.not_tried or code not in (EXIT_DONE, EXIT_SOME_FAILED):
        return "python migrate.py"
    transient = [cause for cause, count in tally.failed.items() if count and CAUSES[cause].transient]
    if transient:
        return "python migrate.py --retry-failed" + (f" {transient[0]}" if len(transient) == 1 else "")
    return "python validate.py"
