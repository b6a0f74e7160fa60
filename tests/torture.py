"""Torture: many URLs, faults of all kinds on both sides, kill -9 in between; and then the books are checked.

    python -m tests.torture                     20,000 URLs, ten kills, a seed of this moment
    python -m tests.torture --seed 7 --urls 2000 --kills 3 --processes 2

The same seed makes the same URLs, faults and kills (the moments of the kills are counted in completed files).
Exit code 0 when everything holds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple

from tests.running import Migration, assert_consistent, counts, key_of, migration
from tests.servers.rules import Rule
from tests.servers.s3 import S3Server
from tests.servers.source import SourceServer
from tests.servers.tls import make_tls

FAULTY = 0.05  # share of URLs that meet a fault of the CDN, and of uploads that meet one of the bucket
FOR_EVER = {  # fault -> causes it may end as
    "short_body": "truncated", "chunked_cut": "truncated", "no_length_cut": "truncated",
    "stall_body": "timeout", "stall_headers": "timeout", "drip_body": "timeout", "drip_headers": "timeout",
    "gzip": "not_an_image", "gzip_cut": "not_an_image", "html": "not_an_image", "empty": "empty",
    "204": "empty", "206": "server_error", "redirect_host": "forbidden", "redirect_loop": "forbidden",
    "403": "forbidden", "404": "not_found", "410": "not_found", "garbage": "server_error",
    "lengths_differ": "server_error", "500": "server_error", "close": "connection",
}  # fmt: skip
PASSING = [
    "short_body.1", "chunked_cut.1", "no_length_cut.1", "500.1", "503.1", "reset.1", "close.1", "stall_body.1",
    "garbage.1", "chunked", "no_length", "http10", "surplus", "close_after", "gzip_mislabelled",
    "redirect_fine", "early_hints", "cookies",
]  # fmt: skip
OF_THE_BUCKET = [
    "SlowDown", "InternalError", "BadDigest", "RequestTimeout", "500_after_store", "drop_after_store",
    "drop_before", "reset_mid_body", "200_empty", "200_html", "200_without_etag", "200_wrong_etag",
    "cut_answer", "garbage_answer", "close_after",
]  # fmt: skip
SETTINGS = {"CONCURRENCY": 60, "MAX_RETRIES": 3, "DOWNLOAD_TIMEOUT": 2, "UPLOAD_TIMEOUT": 5}


class Plan(NamedTuple):
    """What a seed makes of a number of URLs."""

    urls: list[str]  # distinct, well-formed
    causes: dict[str, str]  # the URLs that can only fail, and how
    lines: list[str]  # of urls.txt: the URLs, and blank, malformed and repeated lines among them
    foreign: dict[str, bytes]  # key -> what it held before, which is not its image


class Figures(NamedTuple):
    """What a torture did."""

    seed: int
    urls: int
    completed: int
    failed: Counter[str]  # by cause
    kills: int
    struck: Counter[str]  # faults by name, both sides
    seconds: float

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {cause}" for cause, count in self.failed.most_common())
        faults = sum(self.struck.values())
        return (
            f"seed {self.seed}: {self.urls} URLs, {self.completed} completed, failed: {failed or 'none'}; "
            f"{faults} faults of {len(self.struck)} kinds, {self.kills} kills, {self.seconds:.0f} s"
        )


def plan(source: SourceServer, draw: random.Random, urls: int) -> Plan:
    """Draw URLs with their faults, lines between them, and objects that are there before."""
    made, causes, foreign = [], {}, {}
    for number in range(urls):
        fault, name = "", f"{number % 97}/i{number:06}.jpg"
        chance = draw.random()
        if chance < FAULTY / 2:
            fault = draw.choice(sorted(FOR_EVER))
        elif chance < FAULTY:
            fault = draw.choice(PASSING)
        url = source.url_of(name, fault)
        made.append(url)
        if fault in FOR_EVER:
            causes[url] = FOR_EVER[fault]
        elif chance > 0.998:
            foreign[key_of(source, url)] = b"somebody else's " + name.encode()
            causes[url] = "conflict"
    lines = list(made)
    for number in range(max(3, urls // 500)):
        at = draw.randrange(len(lines))
        lines.insert(at, draw.choice(["", f"https://elsewhere.example/{number}.jpg", draw.choice(made)]))
    return Plan(made, causes, lines, foreign)


def torture(
    folder: Path, seed: int, urls: int, kills: int, say: Callable[[str], None] = print, **settings: object
) -> Figures:
    """Do it, and assert that everything holds at the end; return the figures."""
    draw, began, tls = random.Random(seed), time.monotonic(), make_tls(folder)
    say(f"torture with seed {seed}: {urls} URLs, {kills} kills")
    with SourceServer(tls=tls.context, sizes=_size, seed=seed) as source, S3Server(tls=tls.context) as s3:
        planned = plan(source, draw, urls)
        for key, body in planned.foreign.items():
            s3.put("bucket", key, body)
        for fault in OF_THE_BUCKET:
            share = FAULTY / len(OF_THE_BUCKET)
            s3.rules.add(Rule(fault, operation="PutObject", pattern=r"\.jpg$", probability=share))
        job = migration(folder, source, s3, tls, **{**SETTINGS, **settings})
        job.urls(planned.lines)
        for number in range(1, kills + 1):
            done = _rows(job)  # more than was asked for where the machine is slow to look
            goal = min(done + draw.randrange(1, max(2, int(urls * 0.8 / kills))), max(done, int(urls * 0.9)))
            with job.running() as running:
                running.until(lambda goal=goal: _rows(job) >= goal, patience=600)
                running.kill()
            say(f"kill {number} at {_rows(job)} completed")
        ran = job.run(patience=900)
        assert ran.code == (1 if planned.causes else 0), ran.said
        check(job, source, s3, planned)
        struck = source.rules.struck + s3.rules.struck
        failed = Counter(job.causes().values())
    return Figures(seed, urls, len(job.completed()), failed, kills, struck, time.monotonic() - began)


def check(job: Migration, source: SourceServer, s3: S3Server, planned: Plan) -> None:
    """Assert that every URL is accounted for, all bytes are right, and nothing that was there has changed."""
    counts(job)
    assert_consistent(job, source, s3)
    causes = job.causes()
    malformed = {line for line in planned.lines if "elsewhere" in line}
    expected = {**planned.causes, **dict.fromkeys(malformed, "malformed")}
    differing = {url: (cause, causes.get(url)) for url, cause in expected.items() if causes.get(url) != cause}
    assert differing == {}, differing
    assert causes.keys() == expected.keys(), causes.keys() ^ expected.keys()
    assert {row.url for row in job.completed()} == set(planned.urls) - planned.causes.keys()
    objects = s3.objects("bucket")
    for key, body in planned.foreign.items():
        assert objects[key].read() == body, f"{key} was overwritten"
    assert objects.keys() - {"img/.cdn2s3-probe"} == planned.foreign.keys() | {
        row.key for row in job.completed()
    }
    assert s3.store.uploads("bucket") == []


def _size(target: str) -> int:
    return 2_000 + zlib.crc32(target.encode()) % 6_000


def _rows(job: Migration) -> int:
    path = job.path("completed.txt")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture migrate.py.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--processes", default="1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture") as folder:
        print(torture(Path(folder), given.seed, given.urls, given.kills, PROCESSES=given.processes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
