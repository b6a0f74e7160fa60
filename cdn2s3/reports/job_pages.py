"""The report of the migration, as JSON and as a page: what every run that changes the state leaves at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdn2s3.file_names import FAILED_FILE, MIGRATION_JSON, MIGRATION_PAGE, VALIDATION_JSON, VALIDATION_PAGE
from cdn2s3.planning.run_plan import RunPlan
from cdn2s3.reports import earlier_reports, migration_report, whole_job
from cdn2s3.reports.metrics import Tally
from cdn2s3.reports.migration_report import Audit, Ending
from cdn2s3.reports.same_content import SameContent
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.journal import Journal


def write(
    settings: MigrationSettings,
    plan: RunPlan,
    journal: Journal,
    tally: Tally,
    audit: Audit,
    ending: Ending,
    same: SameContent | None = None,
    destination_notes: Sequence[str] = (),
    superfluous: int = 0,
    integrity: str = "",
    delta: dict[str, Any] | None = None,
) -> None:
    """Replace the report by that of a run which has ended; raise FatalError when the disk does not take it.

    What the report before has of other runs, it keeps; delta is what this run adds, None where it is none.
    """
    from cdn2s3.reports import html  # its libraries are slow to import: not before a run

    state = settings.state_dir
    before = earlier_reports.read_json(state / MIGRATION_JSON)
    standing = whole_job.Standing(audit.completed, audit.failed)
    job = whole_job.job_of(settings, journal, plan.stored, standing, ending.exit_code)
    failed = migration_report.standing(state / FAILED_FILE)
    written = migration_report.migration(
        settings, tally, audit, ending, failed, same, destination_notes, job, superfluous, integrity
    )
    written["run"]["undone"] = journal.totals().undone
    written = earlier_reports.with_history(written, before)
    validation = earlier_reports.read_json(state / VALIDATION_JSON)
    written["validation"] = earlier_reports.proof(validation, VALIDATION_PAGE, written["ended_at"])
    written["delta"] = earlier_reports.last_delta(before) if delta is None else delta
    migration_report.write_json(state / MIGRATION_JSON, written)
    html.write(state / MIGRATION_PAGE, html.migration(written))
