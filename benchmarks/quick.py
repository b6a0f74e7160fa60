"""Print what migrate.py costs for each file, in CPU: `make quick-bench`, about a minute.

    python -m benchmarks.quick             print it beside what is recorded in quick_recorded.json
    python -m benchmarks.quick --record    record it

For CI's log: a change that makes it 20 % worse is seen there. Needs nothing but this repository; the servers'
CPU is not counted, and neither is the start of the command: a short run is taken off a long one. Machines
differ, so the comparison with what is recorded is made in units of a yardstick that is measured beside it.

The last row is what a file costs the parent with PROCESSES=2: its own CPU, beside processes that move nothing and
answer at once (stubbed_migrate.py), with 16 workers each, as on a machine with many cores. PARENT_BOUND lets one
parent feed 20,000 files a second; the command ends with 1 above twice of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import measure
from benchmarks.children import python_server
from benchmarks.movers import CREDENTIALS, ROOT
from benchmarks.photographs import KB, path_of

RECORDED = Path(__file__).with_name("quick_recorded.json")
PARENT = "parent"  # the row of the parent's own work
PARENT_BOUND = 50.0  # microseconds
_SHORT = 100  # files of the run that is taken off
_PARENT_FILES = (2_000, 22_000)  # of the short and of the long run
_ROUNDS = 3


class Work(NamedTuple):
    """One figure to take."""

    size: int  # bytes of each file
    files: int  # of the long run
    integrity: str

    @property
    def name(self) -> str:
        return f"{self.size // KB} KB {self.integrity}"


WORKS = tuple(
    Work(size, files, kind)
    for size, files in ((390 * KB, 900), (20 * KB, 2_500))
    for kind in ("auto", "md5", "crc32")
)
_STUBBED = {
    "URL_PREFIX": "https://images.example.com/",
    "DESTINATION": "local",
    "LOCAL_ROOT": "stored",
    "PRESERVE_PATH_STRUCTURE": "true",
    "CONCURRENCY": "32",
    "PROCESSES": "2",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description="Print CPU ms per file.")
    parser.add_argument("--record", action="store_true", help="write the figures to quick_recorded.json")
    arguments = parser.parse_args(argv)
    taken: dict[str, list[float]] = {name: [] for name in (*(work.name for work in WORKS), PARENT)}
    yardsticks = []
    with python_server("benchmarks.quick_server") as url:
        for number in range(_ROUNDS):
            yardsticks.append(yardstick())
            for work in WORKS:
                taken[work.name].append(cpu_ms(work, url, number))
            taken[PARENT].append(parent_ms())
    unit = min(yardsticks)
    figures = {name: min(of_rounds) for name, of_rounds in taken.items()}
    say(figures, {name: statistics.median(of_rounds) for name, of_rounds in taken.items()}, unit)
    if arguments.record:
        in_units = {name: round(figure / unit, 4) for name, figure in figures.items()}
        RECORDED.write_text(json.dumps(in_units, indent=2) + "\n", encoding="ascii")
    return int(1000 * figures[PARENT] > 2 * PARENT_BOUND)


def say(figures: dict[str, float], medians: dict[str, float], unit: float) -> None:
    """Print the figures (ms), and how each compares with the recorded one in units of the yardstick (ms)."""
    recorded = json.loads(RECORDED.read_text(encoding="ascii")) if RECORDED.exists() else {}
    print(f"CPU ms per file, PROCESSES=1: least of {_ROUNDS} runs (median); yardstick {unit:.3f} ms")
    for name, figure in figures.items():
        change = (
            f"{100 * (figure / unit / recorded[name] - 1):+.0f} % of recorded" if name in recorded else ""
        )
        print(f"  {name:14} {figure:6.3f} ({medians[name]:.3f})  {change}")
    microseconds = 1000 * figures[PARENT]
    print(f"{PARENT}: {microseconds:.1f} us of its own CPU a file, PROCESSES=2; bound {PARENT_BOUND:.0f} us")
    if microseconds > 2 * PARENT_BOUND:
        print("above twice the bound: one parent cannot feed many processes. See what it does for each file.")


def cpu_ms(work: Work, url: str, number: int) -> float:
    """Return what a file costs: the CPU of a long run less that of a short one, over the files between."""
    short, long = (
        _run(work, url, files, f"{work.name.replace(' ', '-')}/{number}/{files}/")
        for files in (_SHORT, work.files)
    )
    return 1000 * (long - short) / (work.files - _SHORT)


def parent_ms() -> float:
    """Return what a file costs the parent, in milliseconds of its own CPU; as cpu_ms, of two runs."""
    (short, less), (long, more) = ((files, parent_seconds(files)) for files in _PARENT_FILES)
    return 1000 * (more - less) / (long - short)


def parent_seconds(files: int) -> float:
    """Run a parent with processes that answer at once; return its own CPU seconds.

    Raise RuntimeError unless each file is recorded.
    """
    with tempfile.TemporaryDirectory(prefix="cdn2s3-quick-") as name:
        folder = Path(name)
        (folder / "stored").mkdir()
        urls = (f"{_STUBBED['URL_PREFIX']}{path_of(number)}\n" for number in range(files))
        (folder / "urls.txt").write_text("".join(urls), encoding="ascii")
        _write_settings(folder, _STUBBED)
        command = [sys.executable, "-m", "benchmarks.stubbed_migrate"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        completed = folder / "completed.txt"
        recorded = completed.read_bytes().count(b"\n") if completed.exists() else 0
    if done.returncode or recorded != files:
        raise RuntimeError(
            f"{recorded} of {files} recorded, exit code {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return float(done.stdout.splitlines()[-1])


def _write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (folder / "migration.env").write_text(lines, encoding="ascii")


def _run(work: Work, url: str, files: int, prefix: str) -> float:
    """Let migrate.py move files and return its CPU seconds; raise RuntimeError when one did not arrive."""
    with tempfile.TemporaryDirectory(prefix="cdn2s3-quick-") as name:
        folder = Path(name)
        urls = (f"{url}/cdn/{work.size}/{number}.jpg\n" for number in range(files))
        (folder / "urls.txt").write_text("".join(urls), encoding="ascii")
        settings = {
            "DESTINATION_BUCKET": "quick-bench", "DESTINATION_PREFIX": prefix, "PRESERVE_PATH_STRUCTURE": "true",
            "STRIP_PATH_PREFIX": "cdn/", "URL_PREFIX": f"{url}/cdn/", "AWS_ENDPOINT_URL": url,
            "CONCURRENCY": "32", "INTEGRITY": work.integrity, **CREDENTIALS,
        }  # fmt: skip
        _write_settings(folder, settings)
        environment = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}
        log = folder / "output"
        cost = measure.run([sys.executable, str(ROOT / "migrate.py")], folder, log, environment)
        with urllib.request.urlopen(f"{url}/stored/{prefix}") as answer:
            arrived = int(answer.read())
        if cost.exit_code or arrived != files:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{arrived} of {files} arrived, exit code {cost.exit_code}:\n{said}")
    return cost.cpu_seconds


def yardstick() -> float:
    """Return the milliseconds that this machine needs for MD5 of 390 KB and a thousand small calls of Python."""
    body, best = bytes(390 * KB), float("inf")
    for _ in range(50):
        began = time.process_time()
        hashlib.md5(body, usedforsecurity=False).digest()
        for number in range(1000):
            str(number).encode()
        best = min(best, time.process_time() - began)
    return 1000 * best


if __name__ == "__main__":
    sys.exit(main())
