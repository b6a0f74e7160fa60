"""The paths of a validation's reports, checked before it begins."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cdn2s3 import file_names
from cdn2s3.errors import UsageError
from cdn2s3.file_names import LOCK_SUFFIX, VALIDATION_JSON, VALIDATION_PAGE
from cdn2s3.settings.declarations import MigrationSettings


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        type=Path,
        metavar="PATH",
        help="HTML report (default: STATE_DIR/validation_report.html)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="PATH",
        help="JSON report (default: STATE_DIR/validation_report.json)",
    )


def report_paths(settings: MigrationSettings, arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Return where the JSON and the page go; raise UsageError now, not after hours, if they are unusable."""
    for option, path in (("--json", arguments.json), ("--report", arguments.report)):
        if path is not None:
            _check_path(option, path)
    json_path: Path = arguments.json or settings.state_dir / VALIDATION_JSON
    page_path: Path = arguments.report or settings.state_dir / VALIDATION_PAGE
    urls = settings.source_urls_file
    inputs = [
        urls,
        urls.with_name(urls.name + LOCK_SUFFIX),
        arguments.env_file,
        *filter(None, [settings.ca_bundle]),
    ]
    file_names.refuse_reports(
        {"--json": json_path, "--report": page_path},
        {"--json": VALIDATION_JSON, "--report": VALIDATION_PAGE},
        inputs,
    )
    return json_path, page_path


def _check_path(option: str, path: Path) -> None:
    """Raise UsageError when no file can be written to path."""
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder, not a file.")
    if not path.parent.is_dir():
        raise UsageError(
            f"{option} {path}: there is no folder {path.parent}. Create it, or correct the path."
        )
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UsageError(
            f"{option} {path}: cannot write there: {error.strerror or error}. Correct the path or the "
            "folder's permissions."
        ) from error
