"""Torture of a Dask cluster: a migration under faults, while workers, scheduler and coordinator are killed in between.

    python -m tests.torture.dask --workers 3 --urls 5000 --kills 30 --seed 7

The same seed draws the same URLs, faults, victims and moments (numbers of rows). Exit code 0 when everything holds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Callable

from tests.dask_cluster import DaskCluster, until
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import make_tls
from tests.running import Migration, Running, migration
from tests.torture.checks import check_after_kill, check_migration
from tests.torture.plan import bucket_rules, plan, size_of
from tests.torture.run import PATIENCE, SETTINGS

VICTIMS = ("worker", "worker", "worker", "coordinator", "scheduler")


def torture(
    folder: Path, seed: int, urls: int, kills: int, workers: int, say: Callable[[str], None] = print
) -> Counter[str]:
    """Do it, and assert that everything holds; return how often each kind of victim was killed."""
    draw, tls, killed = random.Random(seed), make_tls(folder), Counter[str]()
    say(f"torture of a cluster with seed {seed}: {urls} URLs, {workers} workers, {kills} kills")
    with ExitStack() as stack:
        source = stack.enter_context(SourceServer(tls=tls.context, sizes=size_of, seed=seed))
        s3 = stack.enter_context(S3Server(tls=tls.context))
        planned = plan(source, draw, urls)
        for rule in bucket_rules():
            s3.rules.add(rule)
        for key, body in planned.foreign.items():
            s3.put("bucket", key, body)
        (folder / "dask").mkdir()
        cluster = stack.enter_context(closing(DaskCluster(folder / "dask")))
        for _ in range(workers):
            cluster.start_worker()
        job = migration(folder, source, s3, tls, **{**SETTINGS, "DASK_SCHEDULER": cluster.address})
        job.urls(planned.urls)
        running = stack.enter_context(closing(_Runs(job)))
        for number in range(kills):
            rows = running.rows()
            goal = min(rows + draw.randrange(1, max(2, int(urls * 1.2 / kills))), int(urls * 0.9))
            running.until_rows(goal)
            victim = draw.choice(VICTIMS)
            running.strike(victim, cluster, draw, workers)
            killed[victim] += 1
            check_after_kill(job, s3)
            say(f"kill {number + 1}, of the {victim}: {running.rows()} completed")
        ran = running.end()
        assert ran == (1 if planned.causes else 0)
        check_migration(job, source, s3, planned, set())
    return killed


class _Runs:
    """Runs of one migration, one after the other: one that has ended for a kill is followed by another."""

    def __init__(self, job: Migration) -> None:
        self._job = job
        self._running: Running | None = None

    def rows(self) -> int:
        path = self._job.path("completed.txt")
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def until_rows(self, goal: int) -> None:
        """Let the migration go on until it has so many rows."""
        deadline = time.monotonic() + PATIENCE
        while self.rows() < goal:
            assert time.monotonic() < deadline, f"{goal} rows did not come: {self._job.log[-2000:]}"
            self._start()
            time.sleep(0.02)

    def _start(self) -> None:
        if self._running is not None and self._running.is_over:
            ended, self._running = self._running.end(), None
            assert ended.code in (0, 1, 3), ended.said
        if self._running is None:
            self._running = self._job.start()

    def strike(self, victim: str, cluster: DaskCluster, draw: random.Random, workers: int) -> None:
        """Kill victim, and let there be a new one."""
        if victim == "coordinator":
            if self._running is not None:
                self._running.kill()
                self._running = None
        elif victim == "scheduler":
            cluster.scheduler.close()
            if self._running is not None:
                assert self._running.end(PATIENCE).code in (0, 1, 3)
                self._running = None
            for worker in cluster.workers:
                worker.close()
            cluster.workers.clear()
            cluster.restart_scheduler()
            for _ in range(workers):
                cluster.start_worker()
        else:
            process = draw.choice(cluster.workers)
            until(lambda: bool(process.children()))
            for pid in process.children():  # its nanny starts another
                os.kill(pid, signal.SIGKILL)

    def end(self) -> int:
        """Let the migration end; return its exit code."""
        self._start()
        assert self._running is not None
        ran = self._running.end(PATIENCE)
        self._running = None
        while ran.code == 3:  # what the last kill has left
            ran = self._job.run(patience=PATIENCE)
        return ran.code

    def close(self) -> None:
        if self._running is not None:
            self._running.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture a migration with a Dask cluster.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--urls", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture") as folder:
        killed = torture(Path(folder), given.seed, given.urls, given.kills, given.workers)
    print(f"seed {given.seed}: all holds after {sum(killed.values())} kills: {dict(killed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
