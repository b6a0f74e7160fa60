"""The names of all files that the scripts read and write, so that no user's path replaces one of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cdn2s3.errors import UsageError

FAILED = "failed_transfers.txt"  # written, but also a possible input: SOURCE_URLS_FILE may name it
WRITTEN = frozenset({
    "completed.txt", "collisions.txt", "missing.txt", "mismatched.txt", "unexpected.txt", "run.json",
    "failed_transfers.txt.input",
    "migration.lock", "migration.log", "migration_report.json", "migration_report.html",
    "validation.lock", "validation.log", "validation_report.json", "validation_report.html",
})  # fmt: skip
LISTS = frozenset({"missing.txt", "mismatched.txt"})  # of these, what a run may use as its list of URLs
COLLECTED = frozenset({"urls.txt", "urls.txt.lock", "rejected.txt", "checkpoint.json", "collection.log"})
READ = frozenset({"collection.env", "migration.env", "prices.json"})


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
        names = (WRITTEN | COLLECTED | READ | {FAILED}) - {defaults[option]}
        if is_kept(path, names, inputs):
            raise UsageError(
                f"{option} {path}: the scripts use that file for something else, and the report would replace "
                "it. Choose another name."
            )
    if len({*map(os.path.realpath, given.values())}) < len(given):
        raise UsageError(f"{' and '.join(given)} name the same file. Give each report its own.")
