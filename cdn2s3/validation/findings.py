"""The findings of a validation, and the record of validation_report.json: docs/reports.md has every field."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, NamedTuple

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import Found
from cdn2s3.errors import CAUSES
from cdn2s3.keys import divided
from cdn2s3.planning.survey import UrlSurvey
from cdn2s3.reports.metrics import EXAMPLES
from cdn2s3.reports.migration_report import destination, of_share, versions
from cdn2s3.reports.same_content import SameContent
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import redacted_values
from cdn2s3.state.ledger import timestamp
from cdn2s3.text import redact
from cdn2s3.validation.comparison import KNOWN, PROMISED, Mismatch, Repair, known, success_rate, verdict
from cdn2s3.validation.expected import Counts, Missing
from cdn2s3.validation.extrapolation import CONFIDENCE, Extrapolation
from cdn2s3.validation.spot_check import ALL, Check
from cdn2s3.validation.spot_findings import Spot

FORMAT = 1  # of validation_report.json; grows when a field changes its meaning


class Changed(NamedTuple):
    """A line of changed_at_source.txt."""

    url: str  # its line of urls.txt: a field key=NAME comes last in the file
    key: str
    md5_recorded: str  # UNKNOWN where none is
    md5_now: str  # of what the CDN sends
    modified: str  # the CDN's Last-Modified


@dataclasses.dataclass
class Findings:
    """The findings of a validation so far; their size does not grow with the migration."""

    work: UrlSurvey
    spot: Spot
    endpoint: str = ""
    notes: list[str] = dataclasses.field(
        default_factory=list
    )  # on the store: what it lacks, what proves instead
    listed: int = 0  # objects
    listed_bytes: int = 0
    unexpected: int = 0  # objects
    unexpected_bytes: int = 0
    unexpected_examples: list[Found] = dataclasses.field(default_factory=list)
    mismatched_examples: list[Mismatch] = dataclasses.field(default_factory=list)
    changed: int = 0  # URLs whose file changed at the source since, of those that the spot check drew
    changed_examples: list[Changed] = dataclasses.field(default_factory=list)
    same: SameContent | None = None  # None: not looked for
    missing: Counter[str] = dataclasses.field(default_factory=Counter)  # by why
    missing_examples: dict[str, list[Missing]] = dataclasses.field(default_factory=dict)
    looked_at: int = 0  # keys that HEAD was asked about
    look_refused: bool = False
    omitted: int = 0  # objects that HEAD found but the listing omitted
    elsewhere: int = 0  # completed records that do not belong to a line
    superfluous: int = 0  # files in the folder whose image is in the bucket now
    superfluous_bytes: int = 0

    def add_unexpected(self, found: Found) -> None:
        self.unexpected += 1
        self.unexpected_bytes += found.size
        if len(self.unexpected_examples) < EXAMPLES:
            self.unexpected_examples.append(found)

    def add_superfluous(self, found: Found) -> None:
        self.superfluous += 1
        self.superfluous_bytes += found.size

    def add_mismatched(self, row: Mismatch) -> None:
        if len(self.mismatched_examples) < EXAMPLES:
            self.mismatched_examples.append(row)

    def add_changed(self, row: Changed) -> None:
        self.changed += 1
        if len(self.changed_examples) < EXAMPLES:
            self.changed_examples.append(row)

    def add_missing(self, row: Missing) -> None:
        self.missing[row.why] += 1
        examples = self.missing_examples.setdefault(row.why, [])
        if len(examples) < EXAMPLES:
            examples.append(row)


class Steps(NamedTuple):
    """What to do after a validation."""

    repairs: list[Repair]  # in the order to type them
    advice: str  # if there is none


def finished(
    settings: MigrationSettings, findings: Findings, counts: Counts, steps: Steps, exit_code: int
) -> dict[str, Any]:
    """Return the report of a validation with a verdict, without its times."""
    work = findings.work
    return {
        "format": FORMAT,
        "verdict": of_share(verdict(counts), settings.percent, counts.not_selected),
        "exit_code": exit_code,
        "ended_by": "",
        "destination": destination(settings, findings.endpoint),
        "destination_notes": [redact(note) for note in findings.notes],
        "success_rate": success_rate(counts),
        "promised": PROMISED,
        "promise_kept": success_rate(counts) >= PROMISED,
        "lines": {
            "lines": work.lines,
            "blank": work.blank,
            "duplicates": work.duplicates,
            "urls": counts.urls,
            "not_selected": counts.not_selected,
            "add_up": work.lines == work.blank + work.duplicates + counts.urls + counts.not_selected,
        },
        "counts": _counts(findings, counts),
        "same_content": findings.same and findings.same.as_json(),
        "bytes": {
            "listed": findings.listed_bytes,
            "unexpected": findings.unexpected_bytes,
            "superfluous": findings.superfluous_bytes,
        },
        "failed": {cause: _failure(cause, counts) for cause in _causes(counts)},
        "missing": {
            "by_why": dict(findings.missing.most_common()),
            "looked_at": findings.looked_at,
            "look_refused": findings.look_refused,
            "omitted": findings.omitted,
        },
        "examples": _examples(findings),
        "spot_check": _spot_check(findings.spot),
        "next": [repair.command for repair in steps.repairs],
        "next_replaces_objects": [repair.replaces_objects for repair in steps.repairs],
        "advice": steps.advice,
        **_circumstances(settings),
    }


def _examples(findings: Findings) -> dict[str, Any]:
    return {
        "missing": {
            why: [{"url": _url(row.url), "key": row.key} for row in rows]
            for why, rows in findings.missing_examples.items()
        },
        "mismatched": [
            {**_redacted(row._asdict()), "url": _url(row.url)} for row in findings.mismatched_examples
        ],
        "unexpected": [found._asdict() for found in findings.unexpected_examples],
        "changed_at_source": [_redacted(row._asdict()) for row in findings.changed_examples],
    }


def _spot_check(spot: Spot) -> dict[str, Any]:
    return {
        "asked": "all" if spot.asked == ALL else spot.asked,
        "drawn": spot.drawn,
        "compared": spot.compared,
        "holds": spot.holds,
        "summary": spot.text(),
        "estimate": _estimate(spot.extrapolation),
        "seed": spot.seed,
        "outcomes": dict(spot.outcomes.most_common()),
        "not_done": redact(spot.not_done),
        "checks": [_check(check) for check in spot.checks],
    }


def stopped(settings: MigrationSettings, why: str, exit_code: int) -> dict[str, Any]:
    """Return the report of a validation without a verdict, without its times."""
    return {
        "format": FORMAT,
        "verdict": None,
        "exit_code": exit_code,
        "ended_by": redact(why),
        "next": [command("validate.py")],
        **_circumstances(settings),
    }


def not_validated(settings: MigrationSettings, began: float) -> dict[str, Any]:
    """Return the report of a bucket that nobody has validated yet; began is in seconds since the epoch."""
    untimed = {**stopped(settings, "", 0), "exit_code": None}
    return timed(untimed, began, began)


def timed(report: dict[str, Any], began: float, ended: float) -> dict[str, Any]:
    """Return report with its times; began and ended are in seconds since the epoch."""
    times = {
        "began_at": timestamp(began),
        "ended_at": timestamp(ended),
        "seconds": round(ended - began, 1),
    }
    return {**report, **times}


def _counts(findings: Findings, counts: Counts) -> dict[str, int]:
    return {
        "complete": counts.complete,
        "missing": counts.missing,
        "lost": counts.lost,
        "not_tried": counts.not_tried,
        "failed": sum(counts.failed.values()),
        "mismatched": counts.mismatched,
        "present_unrecorded": counts.unrecorded,
        "present_unproven": sum(counts.unproven.values()),
        "known": known(counts),
        "open": counts.urls - counts.complete - known(counts),
        "listed": findings.listed,
        "unexpected": findings.unexpected,
        "superfluous": findings.superfluous,
        "records_elsewhere": findings.elsewhere,
        "changed_at_source": findings.changed,
    }


def _causes(counts: Counts) -> list[str]:
    """Return the causes: first those that another run may fix, the most frequent first."""
    return sorted(
        {*counts.failed, *counts.unproven},
        key=lambda cause: (cause in KNOWN, -counts.failed.get(cause, 0), cause),
    )


def _failure(cause: str, counts: Counts) -> dict[str, Any]:
    return {
        "urls": counts.failed.get(cause, 0),
        "present": counts.unproven.get(cause, 0),
        "known": cause in KNOWN,
        "meaning": CAUSES[cause].meaning,
        "remedy": CAUSES[cause].remedy,
    }


def _estimate(found: Extrapolation | None) -> dict[str, Any] | None:
    return found and {**found._asdict(), "confidence": CONFIDENCE}


def _check(check: Check) -> dict[str, Any]:
    fields = {
        **check._asdict(),
        "url": _url(check.url),
        "message": redact(check.message),
        "source": check.source and check.source._asdict(),
        "object": check.object and check.object._asdict(),
        "recorded": check.recorded and check.recorded._asdict(),
    }
    del fields["pictures"]  # the page shows them
    return fields


def _url(line: str) -> str:
    """Return the URL of a line of urls.txt as it may be shown; the key stands beside it."""
    return redact(divided(line)[0])


def _redacted(row: dict[str, str]) -> dict[str, str]:
    return {name: redact(value) for name, value in row.items()}


def _circumstances(settings: MigrationSettings) -> dict[str, Any]:
    return {
        "settings": {name: redact(value) for name, value in redacted_values(settings).items()},
        "versions": versions(),
    }
