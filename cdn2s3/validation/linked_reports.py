"""The pages that a validation leaves: its own, its verdict in the migration's, and the certificate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cdn2s3.file_names import CERTIFICATE_PAGE, MIGRATION_JSON, MIGRATION_PAGE
from cdn2s3.reports import certificate, earlier_reports, html, migration_report
from cdn2s3.settings.declarations import MigrationSettings


def link(to: Path, folder: Path) -> str:
    """Return the path of a page for a link from a page in folder."""
    return quote(os.path.relpath(to.absolute(), folder.absolute()))


def back(settings: MigrationSettings, page: Path) -> str:
    """Return the link from page, the validation's, to the migration's; "" where that one is not there."""
    migration = settings.state_dir / MIGRATION_PAGE
    return link(migration, page.parent) if migration.exists() else ""


def write_linked(settings: MigrationSettings, found: dict[str, Any], page: Path, open_work: str) -> None:
    """Write the verdict of found, a validation whose page is page, into the migration's report; then the certificate.

    open_work says what is not finished, "" for nothing. Raise FatalError when the disk does not take them.
    """
    state = settings.state_dir
    to_page = link(page, state)
    migration = earlier_reports.read_json(state / MIGRATION_JSON)
    is_ours = migration is not None and migration.get("format") == migration_report.FORMAT
    if migration is not None and is_ours and isinstance(migration.get("job"), dict):
        migration["validation"] = earlier_reports.proof(found, to_page, str(migration.get("ended_at")))
        migration_report.write_json(state / MIGRATION_JSON, migration)
        html.write(state / MIGRATION_PAGE, html.migration(migration))
    else:
        migration = None
    links = {"validation": to_page, "migration": MIGRATION_PAGE if migration else ""}
    record = certificate.certificate(settings, migration, found, open_work)
    html.write(state / CERTIFICATE_PAGE, html.certificate(record, links))
