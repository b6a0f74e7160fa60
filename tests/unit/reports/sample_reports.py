"""Reports with everything in them, hostile text included, for the tests of the pages."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

from cdn2s3.cdn.response_notes import VARIES
from cdn2s3.records import Stored
from cdn2s3.reports import migration_report
from cdn2s3.reports.contact_sheet import LARGEST, Pictures
from cdn2s3.reports.metrics import Example, Tally
from cdn2s3.reports.migration_report import Audit, Ending, Failures
from cdn2s3.reports.same_content import SameContent, Shared
from cdn2s3.reports.whole_job import Standing, whole_job
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.state.journal import Event, Run, Totals
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.stored_times import StoredTimes
from cdn2s3.transfer.outcome import Result
from tests import ROOT

GB = 10**9
BEGAN = 1_790_000_000.0
PREFIX = "https://d278yjzsv5tla9.cloudfront.net/auctionimages"
HOSTILE = "<script>alert(1)</script>"
MESSAGES = {
    "not_found": "the CDN answered 404",
    "forbidden": "the CDN answered 403",
    "timeout": "120,331 of 390,112 bytes after 30 s",
    "not_an_image": f"the first bytes are {HOSTILE}",
    "connection": "the connection was reset",
}
SETTINGS = build(
    MigrationSettings,
    {"DESTINATION_BUCKET": "auction-images", "PRESERVE_PATH_STRUCTURE": "true"},
    {},
    Path("migration.env"),
)
_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
SAME = SameContent(
    4, 1, 0, [Shared("0" * 32, 4, 1234, "image/gif", [f"{PREFIX}/{name}.jpg{HOSTILE}" for name in "abc"])]
)
_IMAGES = ROOT / "demo" / "images"


def migration(urls: int = 20_000) -> dict[str, Any]:
    """Return the report of a run of so many URLs, 3 in 100 of which failed."""
    draw = random.Random(1)
    tally, now = Tally(BEGAN), BEGAN
    failed: dict[str, Failures] = {}
    for number in range(urls):
        now += 1 / (180 + 60 * math.sin(number / 2500))
        url = f"{PREFIX}/{3400 + number // 500}/{1713553344 + number // 500}/i{number % 500:04d}-1.jpg"
        if number % 100 < 3:
            cause = draw.choice(sorted(MESSAGES))
            url += HOSTILE if number % 500 == 1 else ""
            failed.setdefault(cause, Failures()).add(Example(url, MESSAGES[cause]))
            label = f"text/{HOSTILE}" if cause == "not_an_image" else ""
            result = Result(url, "k", cause=cause, message=MESSAGES[cause], attempts=4, label=label)
        else:
            size = int(draw.lognormvariate(12.6, 0.7)) if number % 2 else draw.randint(8000, 32_000)
            result = Result(
                url,
                url[len(PREFIX) :],
                Stored("e", size, "m", already_there=False),
                "image/webp" if number == 50 else "image/jpeg",
                noted=(VARIES,) if number % 1000 == 51 else (),
                retried=("connection",) if number % 90 == 5 else (),
                download_seconds=draw.lognormvariate(-2, 0.6),
                upload_seconds=draw.lognormvariate(-2.6, 0.5),
            )
        tally.add(result, now)
    failures = sum(tally.failed.values())
    audit = Audit(urls + 12, 2, 10, urls - failures, failures, 0)
    ending = Ending(now, 1, "", "python migrate.py --retry-failed timeout")
    return migration_report.migration(SETTINGS, tally, audit, ending, failed, SAME, job=whole())


def whole() -> dict[str, Any]:
    """Return the story of a migration of two days: four runs, a kill, an outage, throttling, a night without one."""
    start, hour, times = int(BEGAN), 3600, StoredTimes()
    second, third, last = start + 10 * hour, start + 28 * hour, start + 47 * hour + 60
    retry = f"migrate.py --retry-failed {HOSTILE}"
    runs = [
        Run(start, start + 9 * hour, "migrate.py", None, Totals(900_000, size=350 * GB, down=1500), "1"),
        Run(
            second,
            start + 20 * hour,
            "migrate.py",
            143,
            Totals(1_000_000, size=390 * GB, throttled=7200),
            "1",
        ),
        Run(third, start + 47 * hour, "migrate.py", 1, Totals(2_098_120, size=818 * GB, failed=1204), "1"),
        Run(last, last + 3, retry, 1, Totals(failed=24), "1"),
    ]
    runs[0] = runs[0]._replace(totals=runs[0].totals._replace(failed=None, retries=None))
    machine = {
        "name": "ip-10-0-0-7",
        "kind": "c5.2xlarge",
        "region": "us-west-2",
        "cpus": 8,
        "memory": 16 * GB,
    }
    plan: dict[str, Any] = {"files": 4_000_000, "bytes": 1560 * GB, "seconds": 36 * hour, "dollars": 32.24}
    plan.update(rate="assumed: 150 workers, 0.25 s per file each", size="assumed")
    events = [
        Event(start + 5, start, "plan", "-", json.dumps(plan)),
        Event(start + 5, start, "machine", "-", json.dumps(machine)),
        Event(start + 3 * hour, start, "down", "source", f"503 {HOSTILE}"),
        Event(start + 3 * hour + 1500, start, "up", "source", "after 1500 s"),
        Event(start + 14 * hour, second, "throttled", "bucket", "429"),
        Event(start + 16 * hour, second, "unthrottled", "bucket", "after 7200 s"),
        Event(start + 20 * hour, second, "stop", "-", "signal 15"),
        Event(last + 2, last, "recovered", "-", "1180"),
    ]
    for run in runs[:3]:
        for at in range(run.started, run.ended, 10):
            is_down = start + 3 * hour < at < start + 3 * hour + 1500
            slow = 0.25 if start + 14 * hour < at < start + 16 * hour else 1.0
            rate = 0 if is_down else int(slow * (30 + 4 * math.sin(at / 5000)))
            row = [b"u", b"k", b"3900000", b"e", b"m", b"image/jpeg", timestamp(at).encode()]
            times.add([row] * rate)
    job = whole_job(runs, events, times, Standing(3_998_096, 24))
    return {**job, "dollars": 30.11, "region": "us-west-2"}


def empty_migration(exit_code: int = 3, why: str = "the bucket does not exist") -> dict[str, Any]:
    """Return the report of a run that moved nothing."""
    ending = Ending(BEGAN + 2, exit_code, why, "python migrate.py")
    return migration_report.migration(SETTINGS, Tally(BEGAN), Audit(100, 0, 0, 0, 0, 100), ending, {})


def validation(checks: int = 60) -> tuple[dict[str, Any], dict[str, Pictures]]:
    """Return the report of a validation with gaps, and the pictures of its spot check."""
    files = sorted(path for path in _IMAGES.iterdir() if path.suffix in _TYPES)
    made: list[dict[str, Any]] = []
    pictures = {}
    for number in range(checks):
        file = files[number % len(files)]
        body = file.read_bytes()
        key = f"images/3483/1713553344/{number:03d}-{file.name}"
        size = 3 * LARGEST if number == 11 else len(body)
        side = {"size": size, "md5": hashlib.md5(body).hexdigest()}
        different = number == 7
        made.append(
            {
                "url": f"{PREFIX}/{key}",
                "key": key,
                "adopted": number == 3,
                "outcome": "different" if different else "identical",
                "message": "",
                "media_type": _TYPES[file.suffix],
                "source": side,
                "object": {**side, "md5": "0" * 32} if different else side,
                "etag": side["md5"],
                "recorded": side,
                "modified": "",
            }
        )
        if size <= LARGEST:
            pictures[key] = Pictures(body, files[2].read_bytes() if different else body)
    base = migration(2000)
    url = made[-1]["url"]
    mismatch = {"url": url, "key": "k", "bytes_expected": "12345", "bytes_found": "12"}
    return (
        {
            **{
                name: base[name]
                for name in ("format", "began_at", "ended_at", "seconds", "destination", "destination_notes")
            },
            **{name: base[name] for name in ("settings", "versions")},
            "verdict": "incomplete",
            "exit_code": 1,
            "ended_by": "",
            "success_rate": 0.96971,
            "promised": 0.999,
            "promise_kept": False,
            "lines": {"lines": 20_012, "blank": 2, "duplicates": 10, "urls": 20_000, "add_up": True},
            "counts": {
                "complete": 19_400,
                "missing": 599,
                "lost": 3,
                "not_tried": 2,
                "failed": 594,
                "mismatched": 1,
                "present_unrecorded": 0,
                "present_unproven": 0,
                "known": 500,
                "open": 100,
                "listed": 19_401,
                "unexpected": 1,
                "records_elsewhere": 0,
                "changed_at_source": 1,
            },
            "same_content": SAME.as_json(),
            "bytes": {"listed": 4_100_000_000, "unexpected": 5000},
            "failed": {
                cause: {
                    "urls": failure["urls"],
                    "present": 0,
                    "known": cause == "not_found",
                    "meaning": failure["meaning"],
                    "remedy": failure["remedy"],
                }
                for cause, failure in base["failed"].items()
            },
            "missing": {
                "by_why": {"lost": 3, "not tried": 2},
                "looked_at": 5,
                "look_refused": False,
                "omitted": 0,
            },
            "examples": {
                "missing": {
                    "lost": [{"url": url, "key": "k"}],
                    "not tried": [{"url": url + HOSTILE, "key": "k"}],
                },
                "mismatched": [{**mismatch, "etag_expected": "0" * 32, "etag_found": "f" * 32}],
                "unexpected": [{"key": f"images/{HOSTILE}.jpg", "size": 5000, "etag": "e"}],
                "changed_at_source": [
                    {
                        "url": url + HOSTILE,
                        "key": "k",
                        "md5_recorded": "0" * 32,
                        "md5_now": "1" * 32,
                        "modified": "2026-11-27T12:00:00Z",
                    }
                ],
            },
            "spot_check": {
                "asked": 100,
                "drawn": checks,
                "compared": checks,
                "holds": True,
                "summary": f"{checks} of {checks} compared byte for byte: {checks - 1} identical, 1 different",
                "seed": 4711,
                "outcomes": {"identical": checks - 1, "different": 1},
                "not_done": "",
                "checks": made,
            },
            "next": ["python migrate.py --redo missing.txt"],
            "next_replaces_objects": [False],
            "advice": "",
            "through": through(),
        },
        pictures,
    )


def through() -> dict[str, Any]:
    """Return the section of a new CDN that has something wrong."""
    example = {
        "url": f"{PREFIX}/a+b.jpg",
        "new_url": f"https://img.example/images/a%2Bb.jpg{HOSTILE}",
        "expected": "200",
        "found": f"403 {HOSTILE}",
    }
    return {
        "verdict": "not ready",
        "exit_code": 1,
        "ended_by": "",
        "began_at": "2026-11-27T12:00:00Z",
        "ended_at": "2026-11-27T12:00:09Z",
        "seconds": 9.0,
        "new_base": "https://img.example/",
        "stored": 20_000,
        "elsewhere": 3,
        "asked": 200,
        "seed": 4711,
        "whole": 200,
        "heads": 0,
        "asked_more": 5,
        "failures": {"status": 2},
        "warnings": {"absent name": 1},
        "examples": {what: [{**example, "what": what}] for what in ("status", "absent name")},
        "remedies": {"status": "let the distribution read the bucket", "absent name": "grant s3:ListBucket"},
        "notes": ["CORS was not asked: CORS_ORIGIN is empty"],
        "headers": {"x-cache": {"Hit from cloudfront": 150, HOSTILE: 50}},
        "etags": 200,
        "weak_etags": 0,
        "redirected": 0,
        "oldest_copy_seconds": 3600,
    }
