"""One run of one mover in one case, measured and checked; and several of them, interleaved."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import measure, memory, photographs
from benchmarks.movers import Mover, integrity_fault, key_of
from benchmarks.servers import LOOPBACK, Servers, Service, write_md5s

_PROBES = 50  # requests by which a delta asks the CDN first what its answers are worth
MEMORY_DISK = Path("/dev/shm")


class Figures(NamedTuple):
    """What one run, or the medians of several, came to."""

    mover: str
    files: int  # each of them compared byte by byte with its source after the run
    mb: float  # 10^6 bytes
    seconds: float  # the whole command
    moving_seconds: float  # first request to last answer, as the servers saw it: without start and end
    cpu_seconds: float  # user and system, children included
    peak_rss: int  # bytes, of the process tree

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds

    @property
    def moving_rate(self) -> float:
        return self.files / self.moving_seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU for each file, start and end of the command included."""
        return 1000 * self.cpu_seconds / self.files


class Place(NamedTuple):
    """Where servers and movers run."""

    address: str = LOOPBACK  # of the servers
    servers_prefix: tuple[str, ...] = ()  # command to start the servers with
    movers_prefix: tuple[str, ...] = ()  # command to start a mover with


class CheckFailedError(Exception):
    """Tell that a run did not do its work: its figures do not count."""


@contextmanager
def photographs_in_memory(sizes: photographs.Sizes, count: int) -> Iterator[tuple[Path, list[str]]]:
    """Give a folder on a memory disk with photographs in `source`, and their paths; removed at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="cdn2s3-bench-", dir=MEMORY_DISK) as name,
        memory.disk_in_large_pages(Path(name)),
    ):
        folder = Path(name) / "disk"
        folder.mkdir()
        paths = photographs.make(folder / "source", sizes, count)
        write_md5s(folder, {path: key_of(path) for path in paths})
        yield folder, paths
        shutil.rmtree(folder)


def one(mover: Mover, folder: Path, paths: Sequence[str], service: Service, place: Place) -> Figures:
    """Let mover move paths from folder/source into an empty bucket; raise CheckFailedError if it does not."""
    paths = list(paths[: max(1, round(len(paths) * mover.share))])
    with (
        tempfile.TemporaryDirectory(prefix="cdn2s3-bench-state-") as name,
        Servers(folder, service, place.address, place.servers_prefix) as servers,
    ):
        state = Path(name)
        if mover.before is not None:
            _carried_out(mover.before, servers, paths, state, place)
        since = time.time()
        cost, output = _carried_out(mover, servers, paths, state, place)
        method, status = mover.asks
        times = servers.stop(since, method or "GET")
        if method and not len(paths) <= times.answers[method, status] <= len(paths) + _PROBES:
            raise CheckFailedError(f"{mover.name} was to get {len(paths)} times {status}: {times.answers}")
        key_of_path = {path: key_of(path) for path in paths}
        wrong = photographs.differences(folder / "source", servers.stored, key_of_path)
        if wrong:
            raise CheckFailedError(f"{mover.name}: {len(wrong)} wrong, e.g. {wrong[:5]}\n{output[-3000:]}")
    size = sum((folder / "source" / path).stat().st_size for path in paths)
    shutil.rmtree(servers.stored)
    return Figures(
        mover.name, len(paths), size / 1e6, cost.seconds, times.seconds, cost.cpu_seconds, cost.peak_rss
    )


def _carried_out(
    mover: Mover, servers: Servers, paths: list[str], state: Path, place: Place
) -> tuple[measure.Cost, str]:
    """Run a mover, and return what it cost and what it said.

    Raise CheckFailedError unless it ends with 0 and went by its own INTEGRITY.
    """
    command = mover.command(servers, paths, state)
    cost = measure.run(
        [*place.movers_prefix, *command.arguments], state, state / "output", command.environment
    )
    output = (state / "output").read_text(encoding="utf-8", errors="replace")
    if cost.exit_code != 0:
        raise CheckFailedError(f"{mover.name} ended with {cost.exit_code}:\n{output[-3000:]}")
    fault = integrity_fault(mover, state, len(paths))
    if fault:
        raise CheckFailedError(f"{mover.name}: {fault}\n{output[-3000:]}")
    return cost, output


def interleaved(
    movers: Sequence[Mover], folder: Path, paths: Sequence[str], service: Service, place: Place, rounds: int
) -> list[Figures]:
    """Let each mover run in each round, and return the medians, in the order of movers."""
    runs: dict[str, list[Figures]] = {mover.name: [] for mover in movers}
    for number in range(rounds):
        for mover in movers:
            figures = one(mover, folder, paths, service, place)
            runs[mover.name].append(figures)
            print(
                f"  round {number + 1}: {mover.name}: {figures.files_per_second:.0f} files/s, "
                f"{figures.cpu_ms:.2f} ms CPU/file",
                file=sys.stderr,
            )
    return [median(of_mover) for of_mover in runs.values()]


def median(runs: Sequence[Figures]) -> Figures:
    """Return the medians, each figure on its own."""
    first = runs[0]
    return first._replace(
        seconds=statistics.median(run.seconds for run in runs),
        moving_seconds=statistics.median(run.moving_seconds for run in runs),
        cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
        peak_rss=round(statistics.median(run.peak_rss for run in runs)),
    )
