"""Move images with a Dask cluster of this machine, of which one worker comes late, one is killed, one is unfit.

    make demo-dask                 # or, with requirements-dev.txt installed: python -m demo.cluster

A scheduler and three workers as processes of their own over TCP with TLS, the demo's CDN and S3. The same list is moved
by one process before; objects and rows of both are compared. Exit codes: 0 as it must be, 1 not, 130 / 143 stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import trustme

from demo.cdn import CdnServer
from demo.children import ROOT, Children, ServerError
from demo.driver import drive
from demo.envfiles import CREDENTIALS, PREFIX, STRIP, migration_env
from demo.planted import planted
from demo.stage import Stage, client, shown, title
from demo.world import NEAREST_REGION, build_faultless_world

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALONE, TOGETHER = "demo-alone", "demo-together"  # buckets
LATE, KILLED = 0.15, 0.5  # of all rows: when a worker joins, and when another one is killed
PATIENCE = 60.0  # seconds
WITH_CREDENTIALS = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), CREDENTIALS))


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    return drive(_demo, "Move images with a Dask cluster on this machine.", "out-dask", argv)


def _demo(children: Children, out: Path) -> int:
    """Move the list by one process, then with the cluster; compare, and return the exit code."""
    world = build_faultless_world()
    s3_url = f"http://127.0.0.1:{children.serve('demo.s3')}"
    s3 = client(s3_url)
    with CdnServer(world, log=out / "servers" / "cdn.log") as cdn:
        urls = list(planted(world, cdn.url, PREFIX, STRIP)["objects"])
        stages = {}
        for bucket, more in ((ALONE, ""), (TOGETHER, "CONCURRENCY=4\n")):
            folder = out / bucket
            folder.mkdir()
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": NEAREST_REGION})
            settings = migration_env(cdn.url, s3_url, NEAREST_REGION, bucket)
            settings = settings.replace("CONCURRENCY=32\n", more or "CONCURRENCY=32\n")
            (folder / "migration.env").write_text(settings, encoding="utf-8")
            (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
            stages[bucket] = Stage(children, folder, cdn.url, bucket, s3)
        title("One process")
        stages[ALONE].step("python migrate.py", 0, "all done, nothing wrong")
        with Cluster(out / "servers") as cluster:
            _together(stages[TOGETHER], cluster, len(urls))
        stages[TOGETHER].step("python validate.py", 0, "the bucket has all of the list; no cluster is needed")
    return _compared(s3, out, len(urls))


def _together(stage: Stage, cluster: Cluster, urls: int) -> None:
    """Move the list with the cluster, and let happen to it what may happen."""
    title("A Dask cluster: a scheduler, a worker, and one without credentials")
    with (stage.folder / "migration.env").open("a", encoding="utf-8") as settings:
        settings.write(f"DASK_SCHEDULER={cluster.address}\n")
    first = cluster.worker("first", WITH_CREDENTIALS)
    cluster.worker("unfit", {})
    stage.step("python migrate.py --check", 1, "one of the workers has no credentials")

    def meanwhile() -> None:
        _until(lambda: _rows(stage) >= LATE * urls)
        print(f"\n--- {_rows(stage)} of {urls} are moved: a second worker joins", flush=True)
        cluster.worker("late", WITH_CREDENTIALS)
        _until(lambda: _rows(stage) >= KILLED * urls)
        print(f"\n--- {_rows(stage)} of {urls} are moved: kill -9 of the first worker's machine", flush=True)
        os.killpg(first.pid, signal.SIGKILL)

    events = threading.Thread(target=meanwhile, daemon=True)
    events.start()
    stage.step("python migrate.py", 0, "all done, nothing wrong")
    events.join(1)


def _compared(s3: S3Client, out: Path, urls: int) -> int:
    """Compare both buckets and both lists of rows, and what the log says; return the exit code."""
    title("What one process and the cluster have done")
    log = (out / TOGETHER / "migration.log").read_text(encoding="utf-8")
    rows = {bucket: _comparable_rows(out / bucket / "completed.txt") for bucket in (ALONE, TOGETHER)}
    found = {
        "as many rows as URLs": len(rows[TOGETHER]) == urls,
        "rows equal but for order, time and how": rows[ALONE] == rows[TOGETHER],
        "objects equal byte for byte": _objects(s3, ALONE) == _objects(s3, TOGETHER),
        "the worker without credentials is named and left out": "is left out: no AWS credentials were found"
        in log,
        "the killed worker is named, and others had its URLs": "is gone: others take over its" in log,
        "the late worker was used": log.count(" begins: ") >= 3,
        "no key is in the log": CREDENTIALS[1] not in log,
    }
    for what, holds in found.items():
        print(f"{'ok' if holds else 'NOT':<4} {what}")
    print(f"\nEverything is in {shown(out)}/")
    return 0 if all(found.values()) else 1


def _rows(stage: Stage) -> int:
    path = stage.folder / "completed.txt"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _comparable_rows(path: Path) -> list[tuple[str, ...]]:
    """Return the rows of a completed.txt without time and how, sorted."""
    lines = path.read_text(encoding="utf-8").splitlines()
    fields = [line.split("\t") for line in lines]
    return sorted((*row[:6], *row[8:]) for row in fields)


def _objects(s3: S3Client, bucket: str) -> dict[str, bytes]:
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            found[entry["Key"]] = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
    return found


class Cluster:
    """A scheduler and workers with TLS; leaving the `with` ends them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: list[subprocess.Popen[bytes]] = []
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(logs / "ca.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(logs / "pair.pem"))
        self._variables = {
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(logs / "ca.pem"),
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        }
        for end in ("SCHEDULER", "WORKER", "CLIENT"):
            for what in ("CERT", "KEY"):
                self._variables[f"DASK_DISTRIBUTED__COMM__TLS__{end}__{what}"] = str(logs / "pair.pem")
        os.environ.update(self._variables)  # for migrate.py
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.address = f"tls://127.0.0.1:{port}"

    def __enter__(self) -> Cluster:
        with contextlib.ExitStack() as undo:
            undo.callback(self._end)
            words = (
                f"scheduler --host tls://127.0.0.1 --port {self.address.rpartition(':')[2]} --no-dashboard"
            )
            self._start(
                "scheduler", [*words.split(), "--dashboard-address", "127.0.0.1:0"], {}, "Scheduler at:"
            )
            undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def worker(self, name: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a worker with variables in its environment; return when it has joined."""
        words = (
            f"worker {self.address} --nthreads 1 --nworkers 1 --no-dashboard --dashboard-address 127.0.0.1:0"
        )
        words += f" --host tls://127.0.0.1 --local-directory {self._logs / 'scratch'}"
        return self._start(f"worker-{name}", words.split(" "), variables, "Registered to:")

    def _start(
        self, name: str, words: list[str], variables: Mapping[str, str], until_said: str
    ) -> subprocess.Popen[bytes]:
        print(f"$ python -m dask {' '.join(words)}", flush=True)
        log = self._logs / f"{name}.txt"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._processes.append(process)
        if not _until(
            lambda: until_said in log.read_text(errors="replace") or process.poll() is not None
        ) or (process.poll() is not None):
            raise ServerError(f"{name} did not start; its output is in {log}")
        return process

    def _end(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until(condition: Callable[[], bool]) -> bool:
    """Wait until condition holds; return False when it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    sys.exit(main())
