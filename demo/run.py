"""Run the whole job on local worlds, with every command shown before it runs.

    make demo                      # or, with requirements-dev.txt installed: python -m demo.run

Starts APIs, CDNs and an S3 on this machine and runs the three scripts against them as a user would. Part 1 is a small
migration that ends well (demo/out/small). Part 2 has 2,000 images and known faults, and compares what the scripts
found with what was planted (demo/out). Exit codes: 0 as it must be, 1 not, 130 / 143 stopped by a signal.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from demo import good_end
from demo.children import ROOT, Children
from demo.driver import drive
from demo.envfiles import PREFIX, STRIP
from demo.planted import planted, write_planted
from demo.stage import Stage, build, shown, title
from demo.world import build_world

BUCKET = "demo-images"


class Step(NamedTuple):
    """One of the three scripts in part 2."""

    command: str
    exit_code: int  # the only one that this world may end with
    meaning: str  # of that exit code, here


STEPS = (
    Step(
        "python collect_urls.py",
        1,
        "More than 0.1% of the URLs belong to other hosts, which this demo plants",
    ),
    Step(
        "python migrate.py",
        1,
        "Some files cannot be downloaded: failed_transfers.txt lists them with their causes",
    ),
    Step(
        "python validate.py", 1, "`complete_except_known` means that every gap has a known, permanent cause"
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    return drive(_demo, "Collect, migrate and validate two local worlds.", "out", argv)


def _demo(children: Children, out: Path) -> int:
    """Play both parts; return the exit code."""
    begun = time.monotonic()
    s3_url = f"http://127.0.0.1:{children.serve('demo.s3')}"
    (out / "small" / "servers").mkdir(parents=True)
    with Children(out / "small" / "servers") as small:
        good_end.play(small, out / "small", s3_url)
    if not _faults(children, out, s3_url):
        return 1
    _show_end(out, time.monotonic() - begun)
    return 0


def _faults(children: Children, out: Path, s3_url: str) -> bool:
    """Run the three scripts and the comparison in a world with faults; tell whether all was as it must be."""
    title("Part 2 of 2: two thousand images, with permanent faults")
    world = build_world()
    stage = build(children, out, world, BUCKET, s3_url)
    plan = planted(world, stage.cdn_url, PREFIX, STRIP)
    write_planted(out / "planted.json", plan)
    _show_planted(plan)
    for step in STEPS:
        if not _is_as_expected(stage, step):
            return False
    title("Compare what was found with what was planted")
    command = ["python", "-m", "demo.check", shown(out)]
    print(f"$ {shlex.join(command)}\n")
    if children.run([sys.executable, *command[1:]], ROOT) != 0:
        print(f"\ndemo: FAILED; the table shows where.  The files are in {shown(out)}/")
        return False
    return True


def _is_as_expected(stage: Stage, step: Step) -> bool:
    """Run one script under a heading; tell whether it ended as it must."""
    title(step.command)
    code = stage.run(step.command)
    if code != step.exit_code:
        print(f", but this world must end with {step.exit_code}. Its files are in {shown(stage.folder)}/")
        return False
    print(f", as expected here:\n{step.meaning}.")
    return True


def _show_planted(plan: dict[str, Any]) -> None:
    """Print what is wrong with this world, as a table."""
    expected, names = plan["expected"], plan["names"]
    title("What is planted")
    rows = [
        (expected["items"], "lots from the API, in pages of 50, one page shorter"),
        (expected["duplicates"], "URLs that the API returns twice"),
        (expected["rejected"], "URLs of other hosts"),
        (1, "API error (500)"),
        (1, "throttled page (429 with Retry-After: 1)"),
        (expected["urls"], "URLs to migrate, in 40 auctions; among them"),
        *((len(fault["urls"]), fault["shown"]) for fault in plan["faults"].values()),
        (len(names["same_name"]), "files with the same name in as many folders"),
        (len(names["encoded"]), "names with spaces and Unicode, percent-encoded"),
        (len(names["raw"]), "names with spaces and Unicode, raw"),
        (len(names["mislabelled"]), "WebP files that the CDN labels image/jpeg"),
        (len(names["over_10_mb"]), "image over 10 MB"),
    ]
    for count, what in rows:
        print(f"{count:7,}  {what}")


def _show_end(out: Path, seconds: float) -> None:
    """Print the verdict and which pages to open."""
    report = json.loads((out / "validation_report.json").read_text(encoding="utf-8"))
    title("Verdict")
    print(f"{report['verdict']}: everything planted was found and reported. The demo took {seconds:.0f} s.")
    print("\nOpen these two pages in a browser:")
    for name in ("migration_report.html", "validation_report.html"):
        print(f"  {(out / name).as_uri()}")
    print("No browser on this machine? see docs/reports.md for how to view them.")
    print(f"All files: {shown(out)}/, and of part 1: {shown(out / 'small')}/")


if __name__ == "__main__":
    raise SystemExit(main())
