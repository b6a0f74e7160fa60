"""What a new CDN has shown: the screen, and the section of validation_report.json and .html (docs/reports.md)."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError
from cdn2s3.file_names import THROUGH_FILE
from cdn2s3.reports import html, migration_report
from cdn2s3.reports.metrics import EXAMPLES
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import pluralize, printable, redact
from cdn2s3.validation import findings as findings_module
from cdn2s3.validation.through_checks import REMEDIES, Finding, Headers

log = logging.getLogger(__name__)

READY, NOT_READY = "ready", "not ready"
_MOST_VALUES = 5  # of a header that are shown


@dataclasses.dataclass
class Result:
    """The results of asking a new CDN so far; their size does not grow with the migration."""

    base: str  # what its URLs start with
    asked: int  # images to get whole, if there are so many
    is_all: bool  # whether the head of every image is asked for as well
    stored: int  # objects in the bucket that completed.txt proves
    elsewhere: int  # rows whose objects are not in the bucket
    seed: int = dataclasses.field(default_factory=lambda: random.SystemRandom().getrandbits(32))
    whole: int = 0  # images got
    heads: int = 0  # images of which the head was asked
    asked_more: int = 0  # images of which ranges, CORS, 304, HEAD and http were asked
    failures: Counter[str] = dataclasses.field(default_factory=Counter)  # findings by what
    warnings: Counter[str] = dataclasses.field(default_factory=Counter)  # those that do not make it unfit
    examples: dict[str, list[Finding]] = dataclasses.field(default_factory=dict)
    headers: Headers = dataclasses.field(default_factory=Headers)
    notes: list[str] = dataclasses.field(default_factory=list)  # what was not asked
    ended_by: str = ""  # what stopped it, "" if it came to its end

    def add(self, finding: Finding) -> None:
        (self.warnings if finding.is_warning else self.failures)[finding.what] += 1
        examples = self.examples.setdefault(finding.what, [])
        if len(examples) < EXAMPLES:
            examples.append(finding)

    @property
    def is_ready(self) -> bool:
        return not self.failures and self.whole > 0 and not self.ended_by

    @property
    def verdict(self) -> str:
        return READY if self.is_ready else NOT_READY


def summary(settings: MigrationSettings, result: Result) -> str:
    """Return the verdict and what it is based on, with what to do about each finding."""
    lines = [
        f"through {result.base}: {result.verdict}",
        f"{result.whole:,} of {result.stored:,} images compared byte for byte"
        + (f", the heads of {result.heads:,} others" if result.is_all else "")
        + f"; {result.asked_more} of them asked for more (docs/cutover.md)",
    ]
    every = [("", *found) for found in result.failures.most_common()]
    every += [("warning: ", *found) for found in result.warnings.most_common()]
    for kind, what, count in every:
        example = result.examples[what][0]
        lines += [
            f"{kind}{what}: {count:,}; for example {redact(printable(example.new_url))}: "
            f"expected {printable(example.expected)}, found {redact(printable(example.found))}",
            f"  {REMEDIES[what]}",
        ]
    if result.elsewhere:
        lines.append(
            f"not asked for, since not in the bucket: {pluralize(result.elsewhere, 'row')} of completed.txt"
        )
    lines += [f"note: {redact(note)}" for note in result.notes]
    lines += [f"{name}: {text}" for name, text in _headers_text(result.headers).items()]
    lines.append(f"all findings: {settings.state_dir.resolve() / THROUGH_FILE}")
    again = command("validate.py", "--through", result.base, *(["--all"] if result.is_all else []))
    lines.append("next: switch over as docs/cutover.md says" if result.is_ready else f"next: {again}")
    return "\n".join(lines)


def _headers_text(headers: Headers) -> dict[str, str]:
    """Return what the CDN has said about caching, by header."""
    found = {
        name: ", ".join(
            f"{printable(value)} ({count:,})" for value, count in values.most_common(_MOST_VALUES)
        )
        for name, values in headers.values.items()
        if values and set(values) != {"none"}
    }
    etags = f"{headers.etags:,} of {headers.answers:,}"
    return {**found, "etag": etags + (f", {headers.weak_etags:,} of them weak" if headers.weak_etags else "")}


# --- the section of the report ---


def section(result: Result, exit_code: int, began: float, ended: float) -> dict[str, Any]:
    """Return the section as JSON."""
    headers = result.headers
    untimed = {
        "verdict": None if result.ended_by else result.verdict,
        "exit_code": exit_code,
        "ended_by": redact(result.ended_by),
        "new_base": result.base,
        "stored": result.stored,
        "elsewhere": result.elsewhere,
        "asked": result.asked,
        "seed": result.seed,
        "whole": result.whole,
        "heads": result.heads,
        "asked_more": result.asked_more,
        "failures": dict(result.failures.most_common()),
        "warnings": dict(result.warnings.most_common()),
        "examples": {what: [_example(row) for row in rows] for what, rows in result.examples.items()},
        "remedies": {what: REMEDIES[what] for what in result.examples},
        "notes": [redact(note) for note in result.notes],
        "headers": {name: dict(values.most_common()) for name, values in headers.values.items()},
        "etags": headers.etags,
        "weak_etags": headers.weak_etags,
        "redirected": headers.redirected,
        "oldest_copy_seconds": headers.oldest,
    }
    return findings_module.timed(untimed, began, ended)


def _example(finding: Finding) -> dict[str, str]:
    fields = finding._asdict()
    del fields["is_warning"]
    return {name: redact(text) for name, text in fields.items()}


def kept(path: Path) -> dict[str, Any] | None:
    """Return the section in the report at path, None where there is none that can be read."""
    found = _read(path).get("through")
    return found if isinstance(found, dict) else None


def write(
    paths: tuple[Path, Path], settings: MigrationSettings, result: Result, exit_code: int, began: float
) -> None:
    """Put the section into both reports, JSON and page; what they say of the bucket stays."""
    json_path, page_path = paths
    found = section(result, exit_code, began, time.time())
    report = {**(_read(json_path) or findings_module.not_validated(settings, began)), "through": found}
    migration_report.write_json(json_path, report)
    try:
        page = html.with_section(page_path.read_text(encoding="utf-8"), found)
    except (OSError, UnicodeDecodeError):
        page = ""
    html.write(page_path, page or html.validation(report))


def write_or_say(
    paths: tuple[Path, Path], settings: MigrationSettings, result: Result, exit_code: int, began: float
) -> None:
    """Do the same; a failure must not hide why the run was stopped."""
    try:
        write(paths, settings, result, exit_code, began)
    except FatalError as error:
        log.error("%s", error)


def _read(path: Path) -> dict[str, Any]:
    """Return the report at path; {} where there is none of this format."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(found, dict) and found.get("format") == findings_module.FORMAT
    return found if is_ours else {}
