"""Torture: many URLs, faults of all kinds on both sides, kill -9 in between; and then the books are checked.

    python -m tests.torture.run                     20,000 URLs, fifty kills, a seed of this moment
    python -m tests.torture.run --seed 7 --urls 2000 --kills 15 --processes 2

All three scripts run and are killed: a fifth of the kills fall into collect_urls.py, which reads a local API,
a fifth into validate.py, the others into migrate.py. The same seed draws the same URLs, faults and moments; a
moment is a number of lines written, or of seconds since the start. Exit code 0 when everything holds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, NamedTuple

from tests import ROOT
from tests.fakes.api import TOKEN, ApiServer
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial, make_tls
from tests.running import Migration, Running, migration
from tests.torture.checks import check_after_kill, check_collection, check_migration, check_validation
from tests.torture.plan import Plan, api_fault, bucket_rules, edited, plan, size_of

SETTINGS = {
    "CONCURRENCY": 100, "MAX_RETRIES": 2, "DOWNLOAD_TIMEOUT": 2, "UPLOAD_TIMEOUT": 5, "MAX_BUFFER_MB": 1,
}  # fmt: skip
SCRIPTS = ("collect_urls.py", "migrate.py", "validate.py")
PATIENCE = 300.0  # seconds; a script that takes longer hangs
RETRIED = {"truncated", "timeout", "server_error", "connection"}  # causes that a second pass tries again
STARTING = 2.5  # seconds in which a script imports, reads its state and makes its first contact
PAGES = 300  # of the API, at least: enough that a kill falls between two of them


class Figures(NamedTuple):
    """What a torture did."""

    seed: int
    urls: int
    completed: int
    failed: Counter[str]  # by cause
    kills: Counter[str]  # by script
    orphans: int  # multipart uploads that kills left open, all of them gone at the end
    struck: Counter[str]  # faults by name, of the CDN and the bucket
    seconds: float

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {cause}" for cause, count in self.failed.most_common())
        kills = ", ".join(f"{self.kills[script]} of {script}" for script in SCRIPTS)
        return (
            f"seed {self.seed}: {self.urls} URLs, {self.completed} completed, failed: {failed or 'none'}; "
            f"{sum(self.struck.values())} faults of {len(self.struck)} kinds; {sum(self.kills.values())} kills "
            f"({kills}), {self.orphans} multipart uploads left by kills and cleared; {self.seconds:.0f} s"
        )


class World(NamedTuple):
    """The servers, the folder with the state, and what is to come of it."""

    source: SourceServer
    s3: S3Server
    api: ApiServer
    job: Migration
    planned: Plan
    draw: random.Random  # of the moments of the kills
    kills: Counter[str]
    say: Callable[[str], None]

    def killed(self, running: Running, script: str) -> None:
        """Kill a script that goes on, and count it."""
        running.kill()
        self.kills[script] += 1


def torture(
    folder: Path, seed: int, urls: int, kills: int, say: Callable[[str], None] = print, **settings: object
) -> Figures:
    """Do it, and assert that everything holds; return the figures."""
    began, tls = time.monotonic(), make_tls(folder)
    say(f"torture with seed {seed}: {urls} URLs, {kills} kills")
    with ExitStack() as stack:
        source = stack.enter_context(SourceServer(tls=tls.context, sizes=size_of, seed=seed))
        s3 = stack.enter_context(S3Server(tls=tls.context))
        api = stack.enter_context(ApiServer([], api_fault(seed)))
        planned = plan(source, random.Random(seed), urls)
        api.items = planned.listed
        for rule in bucket_rules():
            s3.rules.add(rule)
        for key, body in planned.foreign.items():
            s3.put("bucket", key, body)
        job = migration(folder, source, s3, tls, **{**SETTINGS, **settings})
        world = World(source, s3, api, job, planned, random.Random(seed + 1), Counter(), say)
        collect(world, tls, kills // 5)
        elsewhere = _edit(world)
        orphans = migrate(world, kills - 2 * (kills // 5), elsewhere)
        validate(world, kills // 5, elsewhere)
        failed, completed = Counter(job.causes().values()), len(job.completed())
    struck = source.rules.struck + s3.rules.struck
    return Figures(seed, urls, completed, failed, world.kills, orphans, struck, time.monotonic() - began)


def collect(world: World, tls: TlsMaterial, kills: int) -> None:
    """Collect the URLs with kills in between; assert that urls.txt is what the API has, in its order."""
    script, job, urls = SCRIPTS[0], world.job, len(world.planned.urls)
    page = max(1, min(20, urls // PAGES))
    settings = {
        "API_BASE_URL": world.api.url, "API_AUTH_TOKEN": TOKEN, "API_URLS_FIELD": "items",
        "API_ITEMS_FIELD": "items", "API_TOTAL_FIELD": "total", "API_RATE_LIMIT": 10_000,
        "RESULTS_PER_PAGE": page, "CHECKPOINT_INTERVAL": max(page, urls // 100), "EXPECTED_TOTAL": "",
        "MAX_RETRIES": 5, "URL_PREFIX": world.source.url_prefix, "CA_BUNDLE": tls.ca_bundle,
    }  # fmt: skip
    (job.folder / "collection.env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    while world.kills[script] < kills:
        collected = _lines(job.folder / "urls.txt")
        goal = min(collected + world.draw.randrange(1, max(2, urls // kills)), int(urls * 0.7))
        if world.kills[script] % 4 == 3:
            _killed_after(world, script, world.draw.uniform(0, STARTING))
        else:
            with _started(world, script) as running:
                running.until(lambda goal=goal: _lines(job.folder / "urls.txt") >= goal, PATIENCE)
                world.killed(running, script)
        world.say(f"{script}, kill {world.kills[script]}: {_lines(job.folder / 'urls.txt')} URLs")
    was_complete = json.loads(job.text("checkpoint.json") or "{}").get("complete", False)  # at the last kill
    ran = _started(world, script).end(PATIENCE)
    doubtful = len(world.planned.rejected) > len(world.planned.listed) / 1000 and not was_complete
    assert ran.code == (1 if doubtful else 0), ran.said
    check_collection(job, world.planned)


def _edit(world: World) -> set[str]:
    """Put blank and repeated lines, and those of another host, into urls.txt; return the last ones."""
    lines, elsewhere = edited(world.planned.urls, random.Random(len(world.planned.urls)))
    world.job.urls(lines)
    return elsewhere


def migrate(world: World, kills: int, elsewhere: set[str]) -> int:
    """Migrate with kills in between, check the books after each, and assert that all is right at the end.

    Return how many multipart uploads the kills left open.
    """
    script, job, urls = SCRIPTS[1], world.job, len(world.planned.urls)
    orphans: set[str] = set()
    late = kills // 10 if RETRIED & set(world.planned.causes.values()) else 0
    while world.kills[script] < kills:
        done = _lines(job.path("completed.txt"))  # more than was asked for where the machine is slow to look
        goal = min(
            done + world.draw.randrange(1, max(2, int(urls * 1.6 / kills))), max(done, int(urls * 0.9))
        )
        if world.kills[script] >= kills - late:
            passes = job.log.count("second pass over")
            with _started(world, script) as running:
                running.until(lambda seen=passes: job.log.count("second pass over") > seen, PATIENCE)
                if not _is_over_within(running, world.draw.uniform(0, STARTING)):
                    world.killed(running, script)
        elif world.kills[script] % 4 == 3:
            _killed_after(world, script, world.draw.uniform(0, STARTING))
        else:
            with _started(world, script) as running:
                running.until(lambda goal=goal: _lines(job.path("completed.txt")) >= goal, PATIENCE)
                world.killed(running, script)
        orphans |= {upload.id for upload in world.s3.store.uploads("bucket")}
        check_after_kill(job, world.s3)
        world.say(f"{script}, kill {world.kills[script]}: {_lines(job.path('completed.txt'))} completed")
    ran = _started(world, script).end(PATIENCE)
    assert ran.code == (1 if world.planned.causes or elsewhere else 0), ran.said
    check_migration(job, world.source, world.s3, world.planned, elsewhere)
    return len(orphans)


def validate(world: World, kills: int, elsewhere: set[str]) -> None:
    """Validate with kills in between; assert that no verdict is ever half a one, and the last one right."""
    script, job = SCRIPTS[2], world.job
    before = _ledger(job)
    ran = _started(world, script).end(PATIENCE)
    for _ in range(kills):
        after = world.draw.uniform(0, ran.seconds)
        while not _killed_after(world, script, after):
            after *= 0.8  # it was quicker this time
        json.loads(job.text("validation_report.json"))
        world.say(f"{script}, kill {world.kills[script]}: after {after:.1f} s")
    ran = _started(world, script).end(PATIENCE)
    assert ran.code == (1 if world.planned.causes or elsewhere else 0), ran.said
    assert _ledger(job) == before, "a validation changed the ledger"
    check_validation(job, world.planned, elsewhere)


def _started(world: World, script: str) -> Running:
    if script == "migrate.py":
        return world.job.start(from_nothing=True)
    return Running([sys.executable, str(ROOT / script)], world.job.folder, from_nothing=True)


def _killed_after(world: World, script: str, seconds: float) -> bool:
    """Start script and kill it after seconds; return False when it has ended before."""
    with _started(world, script) as running:
        if _is_over_within(running, seconds):
            return False
        world.killed(running, script)
        return True


def _is_over_within(running: Running, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not running.is_over:
        time.sleep(0.005)
    return running.is_over


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _ledger(job: Migration) -> tuple[str, str]:
    return job.text("completed.txt"), job.text("failed_transfers.txt")


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture the three scripts.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument(
        "--kills", type=int, default=50, help="in all; a fifth each collecting and validating"
    )
    parser.add_argument("--processes", default="1", help="PROCESSES of the migration")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture") as folder:
        print(torture(Path(folder), given.seed, given.urls, given.kills, PROCESSES=given.processes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
