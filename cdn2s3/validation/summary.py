"""The summary of a validation: the verdict and what it is based on."""

from __future__ import annotations

from cdn2s3.file_names import CHANGED_FILE
from cdn2s3.reports.migration_report import of_share, superfluous_text
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import MB, percentage
from cdn2s3.validation.comparison import PROMISED, success_rate, verdict
from cdn2s3.validation.expected import Counts
from cdn2s3.validation.findings import Findings, Steps


def summary(settings: MigrationSettings, findings: Findings, counts: Counts, steps: Steps) -> str:
    """Return the verdict and what it is based on, in about ten lines."""
    rate = success_rate(counts)
    kept = "reaches" if rate >= PROMISED else "is below"
    missing = "".join(f", {number:,} {why}" for why, number in findings.missing.most_common())
    lines = [
        f"verdict: {of_share(verdict(counts), settings.percent, counts.not_selected)}",
        f"{counts.complete:,} of {counts.urls:,} URLs complete: {percentage(rate)} "
        f"{kept} the target of {percentage(PROMISED)}",
        f"listed {findings.listed:,} objects, {findings.listed_bytes / MB:,.1f} MB; {findings.unexpected:,} unexpected",
        f"missing {counts.missing:,}{missing}",
        f"mismatched {counts.mismatched:,}",
    ]
    if findings.superfluous:
        lines.append(superfluous_text(findings.superfluous))
    present = counts.unrecorded + sum(counts.unproven.values())
    if present:
        lines.append(f"present, but not proven by a record: {present:,}")
    lines += [f"note: {note}" for note in findings.notes]
    lines.append(f"spot check: {findings.spot.text()}")
    if findings.changed:
        lines.append(
            f"changed at the source since: {findings.changed:,} (each object is what was moved: see {CHANGED_FILE})"
        )
    if findings.same and findings.same.most:
        lines.append(findings.same.text())
    lines.append(f"state, log and report: {settings.state_dir.resolve()}")
    for repair in steps.repairs:
        if repair.replaces_objects:
            lines.append("the next command replaces these objects: look at the file first")
        lines.append(f"next: {repair.command}")
    if steps.advice:
        lines.append(f"next: {steps.advice}")
    return "\n".join(lines)
