"""Measure time and memory with four million URLs: `make scale`, about ten minutes.

    python -m benchmarks.scale                    1, 2 and 4 million, written to benchmarks/scale.md
    python -m benchmarks.scale --urls 100000      another number, printed
    python -m benchmarks.scale --listing 4000000  validate.py's listing in ranges and in one piece, added to scale.md
    python -m benchmarks.scale --beyond 40000000  what a start takes beside that of 4 million, added to scale.md

Each row is a command in a process of its own, on made-up data, its peak memory from the kernel (wait4). The
data lies in the folder for temporary files, 1.6 GB of it (17 GB with 40 million).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import four_million, machine, measure
from benchmarks.children import python_server
from benchmarks.movers import CREDENTIALS, PREFIX, ROOT, STRIP, environment
from benchmarks.stubbed_collect import SETTINGS as COLLECTION

RESULTS = Path(__file__).with_name("scale.md")
COUNTS = (1_000_000, 2_000_000, 4_000_000)
_BEYOND = "## Beyond 4 million"  # the section that --beyond writes
_LISTING = "## Listing in ranges"  # the section that --listing writes
_MS = 40  # until the store answers
_BUCKET = "scale"
_LONGEST = 4 * 3600.0  # seconds that a command may take


class Row(NamedTuple):
    """A kind of work, with what it may take for four million URLs."""

    work: str
    bound: str
    aim: str


COLLECT = Row("collect_urls.py: dedupe and write, API stubbed in process", "500 MB, 120 s", "150 MB, 40 s")
START = Row("migrate.py with 97.5 % completed: until the first download", "1 GB, 60 s", "300 MB, 15 s")
PLAN = Row("migrate.py --plan, nothing done before", "1 GB, 90 s", "300 MB, 30 s")
END = Row("migrate.py, 1 % failed: from the last upload to the end", "10 s", "2 s")
VALIDATE = Row("validate.py against a listing in pages of 1,000", "1.5 GB, 600 s", "400 MB, 200 s")
ROWS = (COLLECT, START, PLAN, END, VALIDATE)


class Took(NamedTuple):
    """What a row took."""

    seconds: float
    rss: int | None  # bytes, peak; None: that of the whole command is another row's
    cpu: float | None = None  # seconds, of the whole command

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s" + ("" if self.rss is None else f", {self.rss / 1e6:.0f} MB")

    def per_url(self, count: int) -> str:
        """Return what it took of each of count URLs."""
        cpu = "" if self.cpu is None else f", {self.cpu / count * 1e6:.2f} us of CPU"
        memory = "" if self.rss is None else f", {self.rss / count:.0f} B"
        return f"{self.seconds / count * 1e6:.2f} us{cpu}{memory}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measure with many URLs.")
    parser.add_argument("--urls", type=int, nargs="+", metavar="N", help="instead of 1, 2 and 4 million")
    parser.add_argument(
        "--beyond", type=int, metavar="N", help="a start with N URLs beside one with 4 million"
    )
    parser.add_argument(
        "--listing", type=int, metavar="N", help="validate.py's listing of N objects, in two ways"
    )
    arguments = parser.parse_args(argv)
    if arguments.listing:
        return listing(arguments.listing)
    if arguments.beyond:
        return beyond(arguments.beyond)
    counts = arguments.urls or COUNTS
    columns = {count: measured(count) for count in counts}
    text = table(columns)
    print(text)
    if counts == COUNTS:
        RESULTS.write_text("".join([f"{head()}\n{text}\n", *sections().values()]), encoding="utf-8")
    return 0


def beyond(count: int) -> int:
    """Measure starts with count URLs, then with 4 million; write the section of scale.md that compares them."""
    columns = {number: starts(number) for number in (count, COUNTS[-1])}
    _record(_BEYOND, f"{_READING_BEYOND}\n{beyond_table(columns)}\n")
    return 0


def listing(count: int) -> int:
    """Let validate.py list count objects in ranges and in one piece; write the section of scale.md that compares."""
    ranges, whole = (listing_time(count, *more) for more in ([], ["whole"]))
    text = f"{count:,} objects: {ranges:.0f} s in ranges, {whole:.0f} s in one piece: {ranges / whole:.2f} of it.\n"
    _record(_LISTING, _READING_LISTING + text)
    return 0


def listing_time(count: int, *server: str) -> float:
    """Return the seconds from the first page of validate.py's listing to the last one."""
    with (
        tempfile.TemporaryDirectory(prefix="cdn2s3-scale-") as name,
        python_server("benchmarks.scale_server", str(count), str(_MS), *server) as url,
    ):
        folder = Path(name)
        four_million.write_urls(folder / "urls.txt", f"{url}/cdn/", count)
        four_million.write_completed(folder / "completed.txt", f"{url}/cdn/", count)
        _write_settings(folder, url)
        _run(folder, ["validate.py", "--spot-check", "0"], {0})
        times = _times(url)
    return times["last_request"] - times["first_page"]


def sections() -> dict[str, str]:
    """Return the sections of scale.md after the first one, each with its heading, by that."""
    parts = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {f"## {part.partition(chr(10))[0]}": f"\n## {part}" for part in parts}


def _record(heading: str, text: str) -> None:
    """Write a section of scale.md, and print it."""
    said = "\n".join(f"- {line}" for line in machine.described({}))
    section = f"\n{heading}\n\n- measured {time.strftime('%Y-%m-%d')}\n{said}\n{text}"
    first = RESULTS.read_text(encoding="utf-8").partition("\n## ")[0].rstrip() + "\n"
    RESULTS.write_text(first + "".join({**sections(), heading: section}.values()), encoding="utf-8")
    print(section)


def starts(count: int) -> dict[Row, Took]:
    """Plan with count URLs, nothing done before; then start with 97.5 % of them completed and 1 % failed."""
    with _world(count) as (folder, url):
        return _planned_and_started(folder, url, count)


def measured(count: int) -> dict[Row, Took]:
    """Do all works with count URLs and return what each took."""
    with _world(count) as (folder, url):
        took = {COLLECT: collect(folder, count), **_planned_and_started(folder, url, count)}
        four_million.write_completed(folder / "completed.txt", f"{url}/cdn/", count)
        (folder / "failed_transfers.txt").unlink()
        took[VALIDATE] = _whole(_run(folder, ["validate.py", "--spot-check", "0"], {0}))
    for row, what in took.items():
        print(f"  {count:,}: {row.work}: {what}", file=sys.stderr, flush=True)
    return took


@contextmanager
def _world(count: int) -> Iterator[tuple[Path, str]]:
    """Yield a folder, and the URL of a server whose bucket lists count objects."""
    with (
        tempfile.TemporaryDirectory(prefix="cdn2s3-scale-") as name,
        python_server("benchmarks.scale_server", str(count)) as url,
    ):
        yield Path(name), url


def _planned_and_started(folder: Path, url: str, count: int) -> dict[Row, Took]:
    base = f"{url}/cdn/"
    four_million.write_urls(folder / "urls.txt", base, count)
    _write_settings(folder, url)
    took = {PLAN: _whole(_run(folder, ["migrate.py", "--plan"], {0}))}
    print(f"  {count:,}: {PLAN.work}: {took[PLAN].per_url(count)}", file=sys.stderr, flush=True)
    done, failed = count * 975 // 1000, count // 100
    four_million.write_completed(folder / "completed.txt", base, done)
    four_million.write_failed(folder / "failed_transfers.txt", base, range(count - failed, count))
    took[START], took[END] = start_and_end(folder, url)
    print(f"  {count:,}: {START.work}: {took[START].per_url(count)}", file=sys.stderr, flush=True)
    return took


def collect(parent: Path, count: int) -> Took:
    """Collect count URLs in a folder of its own; raise RuntimeError unless all of them are written."""
    folder = parent / "collection"
    folder.mkdir()
    settings = {**COLLECTION, "EXPECTED_TOTAL": str(count)}
    (folder / "collection.env").write_text(_env_lines(settings), encoding="ascii")
    cost = _run(folder, ["-m", "benchmarks.stubbed_collect", str(count)], {0})
    with (folder / "urls.txt").open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != count:
        raise RuntimeError(f"{lines} URLs collected, not {count}")
    return _whole(cost)


def start_and_end(folder: Path, url: str) -> tuple[Took, Took]:
    """Let migrate.py move one pending URL; return what came before its download and after its upload."""
    _times(url)  # what --plan asked for does not count
    began = time.time()
    cost = _run(folder, ["migrate.py", "--limit", "1"], {0, 1})
    ended = time.time()
    times = _times(url)
    started = Took(times["first_image"] - began, cost.own_peak_rss, cost.cpu_seconds)
    return started, Took(ended - times["last_request"], None)


def _times(url: str) -> dict[str, float]:
    """Return what the server noted since it was asked last: first_image, last_request (seconds, epoch)."""
    with urllib.request.urlopen(f"{url}/times") as answer:
        times: dict[str, float] = json.load(answer)
    return times


def _whole(cost: measure.Cost) -> Took:
    return Took(cost.seconds, cost.own_peak_rss, cost.cpu_seconds)


def _run(folder: Path, arguments: list[str], expected: set[int]) -> measure.Cost:
    """Run Python in folder with a script of this project; raise RuntimeError on an unexpected exit code."""
    script, *rest = arguments
    command = [sys.executable, script if script == "-m" else str(ROOT / script), *rest]
    log = folder / "output"
    cost = measure.run(command, folder, log, environment(PYTHONPATH=str(ROOT)), timeout=_LONGEST)
    if cost.exit_code not in expected:
        said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RuntimeError(f"{arguments} ended with {cost.exit_code}:\n{said}")
    return cost


def _write_settings(folder: Path, url: str) -> None:
    settings = {
        "DESTINATION_BUCKET": _BUCKET, "DESTINATION_PREFIX": PREFIX, "PRESERVE_PATH_STRUCTURE": "true",
        "STRIP_PATH_PREFIX": f"cdn/{STRIP}", "URL_PREFIX": f"{url}/cdn/", "AWS_ENDPOINT_URL": url, **CREDENTIALS,
    }  # fmt: skip
    (folder / "migration.env").write_text(_env_lines(settings), encoding="ascii")


def _env_lines(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def table(columns: dict[int, dict[Row, Took]]) -> str:
    """Return the figures as a Markdown table, one column for each number of URLs."""
    names = [f"{count / 1e6:g} M" for count in columns]
    lines = [f"| | {' | '.join(names)} | 4 M at most | aim |", "|---|" + "---:|" * len(names) + "---|---|"]
    for row in ROWS:
        cells = (str(took[row]) for took in columns.values())
        lines.append(f"| {row.work} | {' | '.join(cells)} | {row.bound} | {row.aim} |")
    return "\n".join(lines)


def beyond_table(columns: dict[int, dict[Row, Took]]) -> str:
    """Return what starts took, in all and for each URL, as a Markdown table."""
    names = [f"{count / 1e6:g} M | each" for count in columns]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|---:|" * len(names)]
    for row in (PLAN, START, END):
        cells = (f"{took[row]} | {took[row].per_url(count)}" for count, took in columns.items())
        lines.append(f"| {row.work} | {' | '.join(cells)} |")
    return "\n".join(lines)


def head() -> str:
    """Return the beginning of scale.md."""
    said = "\n".join(f"- {line}" for line in machine.described({}))
    return f"# Millions of URLs\n\n- measured {time.strftime('%Y-%m-%d')}\n{said}\n{_READING}"


_READING = """
Written by `make scale`: time of the whole command and its peak memory (from the kernel, of that process
alone), on made-up URLs of the production's shape. Memory of "until the first download" is the peak of the
whole command, its end included. What breaks first beyond this is in docs/scale.md.
"""

_READING_BEYOND = """
Written by `make scale N=40000000`. "Each" is for one URL: time, CPU of the whole command (which other work on the
machine changes less), peak memory. At most 2.5 GB, and no more time for a URL than with 4 million.
"""

_READING_LISTING = f"""
Written by `python -m benchmarks.scale --listing N`: validate.py against a store that answers after {_MS} ms; in one
piece where it refuses start-after. From the first page to the last one, objects compared.

"""


if __name__ == "__main__":
    sys.exit(main())
