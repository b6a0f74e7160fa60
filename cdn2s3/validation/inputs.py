"""What a validation rests upon: a state that stands still, and the objects that it leads to expect."""

from __future__ import annotations

import logging

from cdn2s3 import file_names
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.keys import KeyMaker
from cdn2s3.planning import survey
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import run_binding
from cdn2s3.state.files import lock_holder
from cdn2s3.text import pluralize
from cdn2s3.validation.expected import Expected, RecordedObjects
from cdn2s3.validation.stored_rows import StoredRows

log = logging.getLogger(__name__)


def refuse_to_start(settings: MigrationSettings) -> None:
    """Raise FatalError while another run writes what is validated, UsageError for another destination's state."""
    holder = lock_holder(settings.state_dir / file_names.MIGRATION_LOCK)
    if holder is not None:
        raise FatalError(
            f"migrate.py is running (process id {holder}): what it is still moving would be reported as missing. "
            "Wait until it ends."
        )
    run_binding.check(settings)
    if not run_binding.is_bound(settings) and not (settings.state_dir / file_names.COMPLETED_FILE).exists():
        log.warning(
            "there is no state of a migration in %s: every URL counts as not tried",
            settings.state_dir.resolve(),
        )


def stamps(settings: MigrationSettings) -> list[tuple[int, int]]:
    """Return size and time of the files that a validation rests upon."""
    found = []
    for path in (
        settings.source_urls_file,
        settings.state_dir / file_names.COMPLETED_FILE,
        settings.state_dir / file_names.FAILED_FILE,
    ):
        known = path.stat() if path.is_file() else None
        found.append((known.st_size, known.st_mtime_ns) if known else (0, 0))
    return found


def refuse_changes(settings: MigrationSettings, before: list[tuple[int, int]]) -> None:
    """Raise FatalError if what stamps() has shown before is not so any more, or somebody is about to change it."""
    if stamps(settings) != before or lock_holder(settings.state_dir / file_names.MIGRATION_LOCK) is not None:
        raise FatalError(
            "the state files or the list of URLs were changed during the validation. Wait until "
            f"nothing changes them, then run `{command('validate.py')}` again."
        )


def stored_rows(settings: MigrationSettings, keys: KeyMaker) -> StoredRows:
    """Return the objects in the bucket that completed.txt proves; raise UsageError when there are none."""
    path = settings.state_dir / file_names.COMPLETED_FILE
    rows = StoredRows(path, keys, run_binding.first_place(settings))
    if not len(rows):
        why = f"; {pluralize(rows.elsewhere, 'row')} of it are of a folder" if rows.elsewhere else ""
        raise UsageError(
            f"{path.resolve()} names no object in a bucket{why}. Move the images first: {command('migrate.py')}"
        )
    if rows.unreadable:
        log.warning("%s of %s are not records", pluralize(rows.unreadable, "line"), path)
    return rows


def expected(settings: MigrationSettings, keys: KeyMaker) -> Expected:
    """Read what is expected; raise UsageError when that is not possible."""
    urls, state, recorded = settings.source_urls_file, settings.state_dir, RecordedObjects()
    completed = survey.completed_before(state / file_names.COMPLETED_FILE, keys, observer=recorded)
    work = survey.survey(urls, keys, completed, _ignore, _ignore)
    if work.collisions and settings.on_collision == "refuse":
        raise UsageError(
            f"{pluralize(work.collisions, 'URL')} of {urls} would overwrite another one, so no migration can have "
            f"started with this list. `{command('migrate.py')}` shows them, and the setting that fixes it."
        )
    found = Expected(keys, work, completed, recorded)
    if not run_binding.is_rebound(settings):
        found.read_failed(state / file_names.FAILED_FILE)
    if found.unreadable:
        log.warning("%s lines of the ledger in %s are not records", f"{found.unreadable:,}", state)
    return found


def _ignore(*what: object) -> None:
    """Do nothing: missing.txt lists malformed lines and collisions, and migrate.py explains them."""
