"""The reports that a run leaves behind, as JSON for scripts: every field stands in docs/reports.md."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.errors import CAUSES, redact
from cdn2s3.ledger import timestamp
from cdn2s3.settings import MigrationSettings, shown
from cdn2s3.statefile import replacing
from cdn2s3.tally import Distribution, Tally

FORMAT = 1  # of migration_report.json; grows when a field changes its meaning
_LIBRARIES = ("requests", "boto3", "botocore", "urllib3", "tqdm")
_SIZE_BOUNDS = [10e3, 30e3, 100e3, 300e3, 1e6, 3e6, 10e6]  # bytes


class Audit(NamedTuple):
    """Where every line of the input is at the end of a run; each number is counted on its own."""

    lines: int
    blank: int
    duplicates: int
    completed: int  # before this run, and lines appended to completed.txt by it
    failed: int  # lines of failed_transfers.txt that belong to this input
    not_tried: int  # pending URLs that have no result

    @property
    def holds(self) -> bool:
        parts = self.blank + self.duplicates + self.completed + self.failed + self.not_tried
        return self.lines == parts

    def __str__(self) -> str:
        return (
            f"{self.lines} lines {'=' if self.holds else '!='} {self.blank} blank + {self.duplicates} duplicates "
            f"+ {self.completed} completed + {self.failed} failed + {self.not_tried} not tried"
        )


def versions() -> dict[str, str]:
    """Return the versions that a bug report needs."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def migration(
    settings: MigrationSettings, tally: Tally, audit: Audit, ended: float, exit_code: int, why: str
) -> dict[str, Any]:
    """Return the report of a run of migrate.py; why says what ended it, "" for the end of its work."""
    return {
        "format": FORMAT,
        "began_at": timestamp(tally.began),
        "ended_at": timestamp(ended),
        "seconds": round(ended - tally.began, 1),
        "exit_code": exit_code,
        "ended_by": why,
        "lines": {**audit._asdict(), "add_up": audit.holds},
        "run": {
            "stored": tally.stored,
            "already_there": tally.already_there,
            "bytes": tally.bytes,
            "failed": sum(tally.failed.values()),
            "files_per_second": round(tally.stored / max(ended - tally.began, 0.001), 1),
        },
        "failed": {cause: _failure(tally, cause) for cause, count in tally.failed.most_common() if count},
        "retried": {
            cause: {"attempts": attempts, "examples": [redact(url) for url in tally.retried_examples[cause]]}
            for cause, attempts in tally.retried.most_common()
        },
        "download_seconds": _quantiles(tally.download_seconds),
        "upload_seconds": _quantiles(tally.upload_seconds),
        "sizes": {"up_to_bytes": _SIZE_BOUNDS, "files": tally.sizes.counts(_SIZE_BOUNDS)},
        "timeline": [list(step) for step in tally.timeline],
        "slowest": [
            {"seconds": round(seconds, 3), "url": redact(url)}
            for seconds, url in sorted(tally.slowest, reverse=True)
        ],
        "settings": {name: redact(value) for name, value in shown(settings).items()},
        "versions": versions(),
    }


def _failure(tally: Tally, cause: str) -> dict[str, Any]:
    return {
        "urls": tally.failed[cause],
        "meaning": CAUSES[cause].meaning,
        "remedy": CAUSES[cause].remedy,
        "examples": [
            {"url": redact(example.url), "message": redact(example.message)}
            for example in tally.examples.get(cause, ())
        ],
    }


def _quantiles(values: Distribution) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: values.quantile(share) for name, share in shares.items()}
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write report to path; raise CannotGoOn when the disk does not take it."""
    with replacing(path) as file:
        file.write(json.dumps(report, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
