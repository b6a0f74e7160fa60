"""certificate.html: collection, migration and validation on one page to sign, and why it cannot be signed yet.

validate.py alone writes it. A run of migrate.py that may change completed.txt sets it aside: what it says is no longer
proven.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdn2s3.atomic_file import cannot_write, sync_folder
from cdn2s3.file_names import CERTIFICATE_PAGE, CHECKPOINT_FILE, COMPLETED_FILE
from cdn2s3.reports.earlier_reports import read_json
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.files import size_of
from cdn2s3.text import redact

log = logging.getLogger(__name__)

_BLOCK = 1 << 20  # bytes read at a time


def certificate(
    settings: MigrationSettings,
    migration: Mapping[str, Any] | None,
    validation: Mapping[str, Any],
    open_work: str,
) -> dict[str, Any]:
    """Return what the page says.

    migration is the content of migration_report.json, None where there is none; validation that of this validation,
    which has a verdict; open_work says what is not finished, "" for nothing (a redo).
    """
    urls, state = settings.source_urls_file, settings.state_dir
    collection = read_json(urls.with_name(CHECKPOINT_FILE))
    reasons = [*_of_list(collection, size_of(urls)), *_of_validation(validation), *_of_migration(migration)]
    if open_work:
        reasons.append(redact(open_work))
    known = validation["counts"]["known"] if validation["verdict"] == "complete_except_known" else 0
    return {
        "is_proven": not reasons,
        "known": known,
        "reasons": reasons,
        "collection": collection,
        "migration": migration,
        "validation": validation,
        "files": [
            {"name": path.name, "bytes": size_of(path), "sha256": _digest(path)}
            for path in (urls, state / COMPLETED_FILE)
        ],
    }


def _of_list(checkpoint: Mapping[str, Any] | None, length: int) -> list[str]:
    """Return why the list, so many bytes long, may not be all there is."""
    if checkpoint is None:
        return ["Nothing vouches for the list: there is no checkpoint.json of its collection beside it."]
    if not checkpoint.get("complete"):
        return ["The collection of the list has not come to its end."]
    found = []
    if not checkpoint.get("evidence"):
        found.append("Nothing vouches for the end of the list: it may be short.")
    found += [redact(str(doubt)) for doubt in checkpoint.get("doubts") or () if checkpoint.get("evidence")]
    if checkpoint.get("bytes") != length:
        found.append("The list is not the one that was collected: it was changed since, or is another file.")
    return found


def _of_validation(validation: Mapping[str, Any]) -> list[str]:
    found = []
    if validation["verdict"] == "incomplete":
        found.append(f"The validation found {validation['counts']['open']:,} URLs that need another run.")
    if not validation["spot_check"]["holds"]:
        found.append("Too few images could be compared byte for byte.")
    if not validation["spot_check"]["asked"]:
        found.append("No image was compared byte for byte (--spot-check 0).")
    if not validation["lines"].get("add_up", True):
        found.append("The lines of the list do not add up.")
    not_selected = validation["lines"].get("not_selected", 0)
    if not_selected:
        found.append(f"{not_selected:,} URLs of the list are not selected.")
    return found


def _of_migration(migration: Mapping[str, Any] | None) -> list[str]:
    if migration is None:
        return ["There is no migration_report.json: no run has come to its end here."]
    return [] if migration.get("lines", {}).get("add_up") else ["The lines of the last run do not add up."]


def _digest(path: Path) -> str:
    """Return the SHA-256 of path, "" where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def set_aside(state: Path) -> None:
    """Rename the certificate before completed.txt may change; raise FatalError when that is not possible."""
    path = state / CERTIFICATE_PAGE
    try:
        path.replace(path.with_name(f"{CERTIFICATE_PAGE}.bak"))
        sync_folder(state)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from error
    log.info(
        "%s no longer holds once this run has changed something: it is now %s.bak", CERTIFICATE_PAGE, path
    )
