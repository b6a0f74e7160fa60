"""The names of all files that the scripts read and write, so that no user's path replaces one of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cdn2s3.errors import UsageError

# What a run of migrate.py keeps in STATE_DIR.
COMPLETED_FILE = "completed.txt"
FAILED_FILE = "failed_transfers.txt"  # written, but also a possible input: SOURCE_URLS_FILE may name it
FAILED_INPUT_FILE = "failed_transfers.txt.input"  # a copy, while a run takes FAILED_FILE as its list
COLLISIONS_FILE = "collisions.txt"
CHANGES_FILE = "changes.txt"  # what the last delta has found and done
REDO_FILE = "unfinished_redo.txt"  # while a redo is not finished
UNDO_FILE = "unfinished_undo.txt"  # while an undo is not finished
UNDONE_FILE = "undone.txt"
RUN_FILE = "run.json"
MIGRATION_LOCK = "migration.lock"
MIGRATION_LOG = "migration.log"
MIGRATION_JSON = "migration_report.json"
MIGRATION_PAGE = "migration_report.html"
STATUS_FILE = "status.json"  # how far a run is, for `migrate.py --status`
# The journal, which each script keeps: migrate.py and validate.py in STATE_DIR, collect_urls.py beside OUTPUT_FILE.
RUNS_FILE = "runs.txt"
EVENTS_FILE = "events.txt"
# What validate.py keeps there.
MISSING_FILE = "missing.txt"
MISMATCHED_FILE = "mismatched.txt"
UNEXPECTED_FILE = "unexpected.txt"
CHANGED_FILE = "changed_at_source.txt"
VERDICT_FILES = (UNEXPECTED_FILE, MISMATCHED_FILE, CHANGED_FILE, MISSING_FILE)  # each written anew, or none
THROUGH_FILE = "through.txt"
URL_MAP_FILE = "url_map.csv"
URL_MAP_EXCEPTIONS_FILE = "url_map_exceptions.csv"
URL_MAP_MANIFEST_FILE = "url_map_manifest.csv"
URL_MAP_DYNAMODB_FOLDER = "url_map_dynamodb"
VALIDATION_LOCK = "validation.lock"
VALIDATION_LOG = "validation.log"
VALIDATION_JSON = "validation_report.json"
VALIDATION_PAGE = "validation_report.html"
CERTIFICATE_PAGE = "certificate.html"
# What variants.py keeps there.
VARIANTS_FILE = "variants.txt"
FAILED_VARIANTS_FILE = "failed_variants.txt"
WITHOUT_VARIANTS_FILE = "without_variants.txt"  # which originals lack a variant, and why
VARIANTS_STATUS_FILE = "variants_status.json"  # how far a run of it is, for `migrate.py --status`
VARIANTS_UNDO_FILE = "unfinished_variants_undo.txt"  # while `--undo` is not finished
VARIANTS_LOCK = "variants.lock"
VARIANTS_LOG = "variants.log"
# What collect_urls.py keeps: beside OUTPUT_FILE, and its log in the current folder.
URLS_FILE = "urls.txt"
LOCK_SUFFIX = ".lock"  # after the name of OUTPUT_FILE
REJECTED_FILE = "rejected.txt"
GONE_FILE = "gone.txt"
UPDATE_SUFFIX = ".update"  # after the name of OUTPUT_FILE: the journal of an update that is going on
NEW_SUFFIX = ".new"  # after it: what an update is about to replace it with
CHECKPOINT_FILE = "checkpoint.json"
COLLECTION_LOG = "collection.log"
COLLECTION_JSON = "collection_report.json"
COLLECTION_PAGE = "collection_report.html"
INVENTORY_FOLDER = "s3-inventory"  # a copy of the inventory that SOURCE_BUCKET names
# What the user writes.
COLLECTION_ENV = "collection.env"
MIGRATION_ENV = "migration.env"
PRICES_FILE = "prices.json"

# Of what is written, what a run may use as its list of URLs.
LISTS = frozenset({MISSING_FILE, MISMATCHED_FILE})
WRITTEN = LISTS | {
    COMPLETED_FILE, COLLISIONS_FILE, REDO_FILE, UNDO_FILE, UNDONE_FILE, UNEXPECTED_FILE, CHANGED_FILE,
    CHANGES_FILE, RUN_FILE, FAILED_INPUT_FILE,
    MIGRATION_LOCK, MIGRATION_LOG, MIGRATION_JSON, MIGRATION_PAGE,
    VALIDATION_LOCK, VALIDATION_LOG, VALIDATION_JSON, VALIDATION_PAGE, CERTIFICATE_PAGE,
    RUNS_FILE, EVENTS_FILE, STATUS_FILE,
    VARIANTS_FILE, FAILED_VARIANTS_FILE, VARIANTS_UNDO_FILE, VARIANTS_LOCK, VARIANTS_LOG,
    WITHOUT_VARIANTS_FILE, VARIANTS_STATUS_FILE,
    THROUGH_FILE, URL_MAP_FILE, URL_MAP_EXCEPTIONS_FILE, URL_MAP_MANIFEST_FILE, URL_MAP_DYNAMODB_FOLDER,
}  # fmt: skip
COLLECTED = frozenset({
    URLS_FILE, URLS_FILE + LOCK_SUFFIX, URLS_FILE + UPDATE_SUFFIX, URLS_FILE + NEW_SUFFIX, REJECTED_FILE, GONE_FILE,
    CHECKPOINT_FILE, COLLECTION_LOG, COLLECTION_JSON, COLLECTION_PAGE, RUNS_FILE, EVENTS_FILE,
})  # fmt: skip
READ = frozenset({COLLECTION_ENV, MIGRATION_ENV, PRICES_FILE})


def is_kept(path: Path, names: Iterable[str], paths: Iterable[Path] = ()) -> bool:
    """Return whether path has one of names, or of the copies that are kept of them, or is one of paths."""
    taken = {name + end for name in names for end in ("", ".bak", ".tmp")}
    real = os.path.realpath(path)
    return (
        path.name in taken
        or os.path.basename(real) in taken  # noqa: PTH119  # realpath bears what Path.resolve raises for
        or real in map(os.path.realpath, paths)
    )


def refuse_reports(given: Mapping[str, Path], defaults: Mapping[str, str], inputs: Iterable[Path]) -> None:
    """Raise UsageError if a report would replace a file with another purpose, or the other report.

    given are the paths by their options, defaults the name that each has of its own; inputs are files that
    the job reads.
    """
    inputs = list(inputs)
    for option, path in given.items():
        names = (WRITTEN | COLLECTED | READ | {FAILED_FILE}) - {defaults[option]}
        if is_kept(path, names, inputs):
            raise UsageError(
                f"{option} {path}: the scripts use that file for something else, and the report would replace "
                "it. Choose another name."
            )
    if len({*map(os.path.realpath, given.values())}) < len(given):
        raise UsageError(f"{' and '.join(given)} name the same file. Give each report its own.")
