"""The report of a run, as JSON for scripts and as the summary on screen: docs/reports.md has every field."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.cdn.source_headers import WANTS_HEADERS
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import (
    CAUSES,
    EXIT_CANNOT_GO_ON,
    EXIT_DONE,
    EXIT_SIGHUP,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    EXIT_SOME_FAILED,
)
from cdn2s3.file_names import MIGRATION_PAGE
from cdn2s3.keys import KEY_FIELD, divided
from cdn2s3.records import ANSWERED, UNANSWERED
from cdn2s3.reports.metrics import EXAMPLES, Distribution, Example, Tally
from cdn2s3.reports.same_content import SameContent
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import redacted_values
from cdn2s3.state import ledger
from cdn2s3.state.ledger import timestamp
from cdn2s3.text import MB, duration, pluralize, redact
from cdn2s3.transfer.limiting import rate_text

FORMAT = 1  # of migration_report.json; grows when a field changes its meaning
_LIBRARIES = ("requests", "boto3", "botocore", "urllib3", "tqdm", "pygal", "Jinja2")
_LIMITED = 1.0  # seconds; a shorter time is not worth a line
_SIZE_BOUNDS = [10e3, 30e3, 100e3, 300e3, 1e6, 3e6, 10e6]  # bytes


class Audit(NamedTuple):
    """Where every line of the input is at the end of a run; each number is counted independently."""

    lines: int
    blank: int
    duplicates: int
    completed: int  # before this run, and lines appended to completed.txt by it
    failed: int  # lines of failed_transfers.txt that belong to this input
    not_tried: int  # pending URLs that have no result
    not_selected: int = 0  # URLs that PERCENT leaves out, without a row in either file

    @property
    def holds(self) -> bool:
        parts = self.blank + self.duplicates + self.completed + self.failed + self.not_tried
        return self.lines == parts + self.not_selected

    def __str__(self) -> str:
        unselected = f" + {self.not_selected:,} not selected" if self.not_selected else ""
        return (
            f"{self.lines:,} lines {'=' if self.holds else '!='} {self.blank:,} blank + {self.duplicates:,} duplicates "
            f"+ {self.completed:,} completed + {self.failed:,} failed + {self.not_tried:,} not tried{unselected}"
        )


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a bug report needs, not to be changed: they are looked up once (20 ms)."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def of_share(verdict: str, percent: int, not_selected: int) -> str:
    """Return verdict; one that says complete, with how much of the list it is about, if that is not all."""
    if not not_selected or not verdict.startswith("complete"):
        return verdict
    return f"{verdict} for {percent} % of the list ({not_selected:,} not selected)"


class Ending(NamedTuple):
    """How a run of migrate.py ended."""

    at: float  # seconds since the epoch
    exit_code: int
    why: str  # what stopped it, "" if it finished
    next_command: str  # the command to type next

    def verdict(self, audit: Audit, percent: int) -> str:
        """Return the verdict: complete (and of how much), some_failed, not_all_tried, interrupted or stopped.

        percent is PERCENT.
        """
        if self.exit_code in (EXIT_SIGHUP, EXIT_SIGINT, EXIT_SIGTERM):
            return "interrupted"
        if self.exit_code not in (EXIT_DONE, EXIT_SOME_FAILED) or not audit.holds:
            return "stopped"
        if audit.failed:
            return "some_failed"
        return "not_all_tried" if audit.not_tried else of_share("complete", percent, audit.not_selected)


class Failures:
    """The failures of one cause in failed_transfers.txt."""

    def __init__(self) -> None:
        self.urls = 0
        self.examples: list[Example] = []  # the first ones

    def add(self, example: Example) -> None:
        self.urls += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


def standing(path: Path) -> dict[str, Failures]:
    """Return the content of path, a failed_transfers.txt, by cause, most frequent first."""
    found: dict[str, Failures] = {}
    for record in ledger.records(path) if path.exists() else ():
        found.setdefault(record.cause, Failures()).add(Example(record.url, record.message))
    return dict(sorted(found.items(), key=lambda item: -item[1].urls))


def migration(
    settings: MigrationSettings,
    tally: Tally,
    audit: Audit,
    ending: Ending,
    failed: dict[str, Failures],
    same: SameContent | None = None,
    destination_notes: Sequence[str] = (),
    job: dict[str, Any] | None = None,
    superfluous: int = 0,
    integrity: str = "",
) -> dict[str, Any]:
    """Return the report of a run of migrate.py; failed is the content of failed_transfers.txt at its end.

    same is what is the same under several URLs, None where nobody looked; destination_notes say what the destination
    lacks, and what that means; job is what whole_job() returns; superfluous is how many files of the folder are in the
    bucket now; integrity is what the run went by (Destination.integrity), "" if it did not get that far.
    """
    seconds, prefix = ending.at - tally.began, settings.destination_prefix
    return {
        "format": FORMAT,
        "verdict": ending.verdict(audit, settings.percent),
        "began_at": timestamp(tally.began),
        "ended_at": timestamp(ending.at),
        "seconds": round(seconds, 1),
        "exit_code": ending.exit_code,
        "ended_by": redact(ending.why),
        "next": ending.next_command,
        "destination": destination(settings, settings.aws_endpoint_url or ""),
        "destination_notes": [redact(note) for note in (*destination_notes, *_unanswered(tally))],
        "integrity": {"mode": integrity, "md5_answered": tally.md5_from[ANSWERED]},
        "superfluous_files": superfluous,
        "lines": {**audit._asdict(), "add_up": audit.holds},
        "run": _run(tally, seconds),
        "failed": {
            cause: _failure(cause, count, tally.examples.get(cause, []), prefix)
            for cause, count in tally.failed.most_common()
            if count
        },
        "failed_transfers": {
            cause: _failure(cause, found.urls, found.examples, prefix) for cause, found in failed.items()
        },
        "refused_types": dict(tally.refused.most_common()),
        "noted": [noted._asdict() for noted in tally.noted.most_common()],
        "same_content": None if same is None else same.as_json(),
        "retried": {
            cause: {
                "attempts": attempts,
                "examples": [redact(divided(url)[0]) for url in tally.retried_examples[cause]],
            }
            for cause, attempts in tally.retried.most_common()
        },
        "download_seconds": _quantiles(tally.download_seconds),
        "upload_seconds": _quantiles(tally.upload_seconds),
        "sizes": {"up_to_bytes": _SIZE_BOUNDS, "files": tally.sizes.counts(_SIZE_BOUNDS)},
        "limited": {
            name: {
                "seconds": round(limited.seconds, 1),
                "files_per_second": round(limited.files_per_second, 2),
            }
            for name, limited in tally.limited.items()
        },
        "timeline": [list(step) for step in tally.timeline],
        "slowest": [
            {"seconds": round(seconds, 3), **_fields(url, prefix)}
            for seconds, url in sorted(tally.slowest, reverse=True)
        ],
        "settings": {name: redact(value) for name, value in redacted_values(settings).items()},
        "versions": versions(),
        "job": job,
        "largest_run": None,
        "delta": None,
        "validation": None,
    }


def _unanswered(tally: Tally) -> list[str]:
    count = tally.md5_from[UNANSWERED]
    if not count:
        return []
    return [
        f"INTEGRITY=auto: {pluralize(count, 'PUT was', 'PUTs were')} answered without an MD5, which was computed from "
        "the bytes sent. The bucket's encryption may have changed; nothing is to be done"
    ]


def _run(tally: Tally, seconds: float) -> dict[str, Any]:
    return {
        "stored": tally.stored,
        "already_there": tally.already_there,
        "renewed": tally.renewed,
        "replaced": tally.replaced,
        "bytes": tally.bytes,
        "failed": sum(tally.failed.values()),
        "files_per_second": round(tally.stored / max(seconds, 0.001), 1),
    }


def destination(settings: MigrationSettings, endpoint: str) -> dict[str, str]:
    """Return where the images go, as in the reports."""
    has_bucket, folder = settings.placement.uses_bucket, settings.local_folder
    return {
        "endpoint": endpoint if has_bucket else "",
        "bucket": settings.destination_bucket if has_bucket else "",
        "prefix": settings.destination_prefix,
        **({"folder": folder} if folder else {}),
    }


def _fields(line: str, prefix: str) -> dict[str, str]:
    """Return a line of the input as fields: its URL, and where it names its object that one's key."""
    url, name = divided(line)
    return {"url": redact(url), **({"key": prefix + name[len(KEY_FIELD) :]} if name else {})}


def _failure(cause: str, urls: int, examples: list[Example], prefix: str) -> dict[str, Any]:
    known = CAUSES.get(cause)  # an older or damaged file may contain others
    return {
        "urls": urls,
        "meaning": known.meaning if known else "",
        "remedy": known.remedy if known else "",
        "examples": [
            {**_fields(example.url, prefix), "message": redact(example.message)} for example in examples
        ],
    }


def superfluous_text(files: int) -> str:
    """Return what to say of so many files of the folder whose image is in the bucket now."""
    return f"superfluous in the folder: {files:,} (in the bucket now; nothing deletes them)"


def _quantiles(values: Distribution) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: values.quantile(share) for name, share in shares.items()}
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write report to path; raise FatalError when the disk does not take it."""
    with replacing(path) as file:
        file.write(json.dumps(report, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


MOST_CAUSES = 4  # in the summary; the report has all of them
_MOST_NOTED = 3  # likewise


def summary(
    settings: MigrationSettings,
    tally: Tally,
    audit: Audit,
    ending: Ending,
    faults: Mapping[str, tuple[int, Example]],
    same: SameContent | None = None,
    superfluous: int = 0,
) -> str:
    """Return the summary of the run, in about ten lines.

    faults are lines of the input that failed without being tried: how many for which cause, and an example;
    superfluous is how many files of the folder are in the bucket now.
    No line is cut, however long its message and URL: they are there to be read and copied.
    """
    seconds = max(ending.at - tally.began, 0.001)
    others = {"renewed": tally.renewed, "replaced": tally.replaced, "already there": tally.already_there}
    besides = "".join(f", {number:,} {how}" for how, number in others.items() if number)
    lines = [
        f"{tally.new:,} stored{besides}, {tally.bytes / MB:,.1f} MB in {duration(seconds)}: "
        f"{tally.stored / seconds:,.0f} files/s, {tally.bytes / MB / seconds:.1f} MB/s",
        f"{audit}",
    ]
    if audit.not_selected and ending.verdict(audit, settings.percent).startswith("complete"):
        lines.append(ending.verdict(audit, settings.percent))
    if superfluous:
        lines.append(superfluous_text(superfluous))
    if settings.on_existing == "overwrite" and tally.already_there:
        lines.append(
            f"{tally.already_there:,} already there have the same bytes and were not written again: they keep their "
            "Cache-Control and storage class (docs/settings.md)"
        )
    failed = tally.failed + Counter({cause: count for cause, (count, _) in faults.items()})
    examples = {**tally.examples, **{cause: [example] for cause, (_, example) in faults.items()}}
    causes = failed.most_common()
    for cause, count in causes[:MOST_CAUSES]:
        lines.append(f"  {count:,} {cause}: {CAUSES[cause].meaning}")
        for example in examples[cause][:1]:  # none if the run stopped between the passes
            lines[-1] = (
                f"  {count:,} {cause}: {redact(example.message)}, e.g. {redact(divided(example.url)[0])}"
            )
        if cause == "not_an_image":
            called = [f"{label} ({number:,})" for label, number in tally.refused.most_common(MOST_CAUSES)]
            lines += [f"    the CDN calls them {', '.join(called)}"] if called else []
    if len(causes) > MOST_CAUSES:
        rest = sum(count for _, count in causes[MOST_CAUSES:])
        lines.append(f"  {rest:,} of {len(causes) - MOST_CAUSES} more causes: see {MIGRATION_PAGE}")
    lines.extend(
        f"the {name} limited the run to {rate_text(limited.files_per_second)} for {duration(limited.seconds)}"
        for name, limited in sorted(tally.limited.items(), key=lambda item: -item[1].seconds)[:1]
        if limited.seconds >= _LIMITED
    )
    if tally.may_want_headers and not tally.stored:
        lines.append(f"  {WANTS_HEADERS}")
    noted_most = tally.noted.most_common()[:_MOST_NOTED]
    lines += [f"{noted.urls:,} {noted.what}, e.g. {noted.example}" for noted in noted_most]
    lines += [same.text()] if same and same.most else []
    if audit.not_tried:
        lines.append(f"not tried {audit.not_tried:,}")
    lines.append(f"state, log and report: {settings.state_dir.resolve()}")
    fix_first = "fix the problem above, then run: " if ending.exit_code == EXIT_CANNOT_GO_ON else ""
    lines.append(f"next: {fix_first}{ending.next_command}")
    return "\n".join(lines)


def next_command(tally: Tally, audit: Audit, code: int) -> str:
    """Return the command to type next."""
    if audit.not_tried or code not in (EXIT_DONE, EXIT_SOME_FAILED):
        return command("migrate.py")
    transient = [cause for cause, count in tally.failed.items() if count and CAUSES[cause].transient]
    if transient:
        return command("migrate.py", "--retry-failed", *(transient if len(transient) == 1 else ()))
    return command("validate.py")
