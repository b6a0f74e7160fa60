"""Compare what was planted in the demo of the cutover with what the scripts wrote down, and what lies in the bucket.

    python -m demo.check_cutover [FOLDER]          # default: demo/out-cutover

Knows neither the tool nor the site: it reads planted.json, the state files of FOLDER, and what the demo itself has
noted there (fetched.json, bucket.json). Exit codes: 0 everything planted was found, and nothing else; 1 not.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.check import Folder, Row, compare, show

WARNING = " (warning)"


def delta_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check what the catch-up found, and that it left alone what is not the tool's."""
    first, last = folder.records("changes.txt.bak"), folder.records("changes.txt")
    new = [*plan["replaced"], *plan["changed_not_ours"]]
    known = {"renewed", "changed, not ours"}
    others = [f"{record[0]} ({record[2]})" for record in first if record[2] not in known]
    return [
        compare("URLs that the API dropped", plan["gone"], _first(folder.records("gone.txt")), "gone.txt"),
        compare("images replaced at the source", plan["replaced"], _of(first, "renewed"), "changes.txt.bak"),
        compare(
            "changed, but put there by others",
            plan["changed_not_ours"],
            _of(first, "changed, not ours"),
            "changes.txt.bak",
        ),
        compare("other changes", [], others, "changes.txt.bak"),
        compare("left for the last delta", [], _of(last, "renewed"), "changes.txt"),
        _completed(plan, folder, new),
    ]


def _completed(plan: dict[str, Any], folder: Folder, changed: list[str]) -> Row:
    """Check the record of each image that is left: its MD5 and whose it is."""
    expected = []
    for url, told in plan["objects"].items():
        how = "found" if url in plan["found"] else "renewed" if url in changed else "stored"
        if url not in plan["removed"]:
            expected.append(f"{url} {told['md5']} {how}")
    lines = [line.split("\t") for line in folder.text("completed.txt").split("\n") if line]
    found = [f"{line[0]} {line[4]} {line[7]}" for line in lines if len(line) == 11]
    return compare("records that are left", expected, found, "completed.txt (MD5, how)")


def map_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check the map, and that each of its new URLs gave the right bytes once the new CDN was right."""
    mapped = {row["old_url"]: row for row in _csv(folder, "url_map.csv")}
    exceptions = [row["old_url"] for row in _csv(folder, "url_map_exceptions.csv")]
    fetched = folder.json("fetched.json")
    expected = [f"{new} {plan['objects'][url]['md5']}" for url, new in plan["new_urls"].items()]
    found = [f"{row['new_url']} {fetched['after'].get(row['new_url'])}" for row in mapped.values()]
    plus = [
        f"{url} {before} -> {after}"
        for url, before, after in zip(plan["plus"], fetched["raw_plus_before"], fetched["raw_plus_after"])
    ]
    return [
        compare("URLs that do not follow the rule", plan["exceptions"], exceptions, "url_map_exceptions.csv"),
        compare(
            "share at which each URL moves",
            [f"{url} {percent}" for url, percent in plan["percent"].items()],
            [f"{url} {row['percent']}" for url, row in mapped.items()],
            "url_map.csv (percent)",
        ),
        compare("new URLs with the right bytes", expected, found, "url_map.csv, each one fetched"),
        compare(
            "old spelling with a raw +", [f"{url} 404 -> 200" for url in plan["plus"]], plus, "fetched.json"
        ),
    ]


def through_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check what was found through the new CDN, before and after it was mended."""
    before, after = folder.records("through.first.txt"), folder.records("through.txt")
    known = {"status", "content type"}
    others = [
        f"{record[0]} ({record[2]})" for record in before if _matters(record) and record[2] not in known
    ]
    return [
        compare(
            "names with +, lost at the new CDN", plan["plus"], _of(before, "status"), "through.first.txt"
        ),
        compare(
            "content types replaced",
            plan["wrong_type"],
            _of(before, "content type"),
            "through.first.txt",
        ),
        compare("other findings", [], others, "through.first.txt"),
        compare("findings after the repair", [], _first(filter(_matters, after)), "through.txt"),
    ]


def undo_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check that the undo removed what was the tool's, and nothing else."""
    bucket = [f"{key} {md5}" for key, md5 in folder.json("bucket.json").items()]
    verdict = str(folder.json("validation_report.json").get("verdict"))
    return [
        compare("images taken back", plan["removed"], _first(folder.records("undone.txt")), "undone.txt"),
        compare(
            "bucket", [f"{key} {md5}" for key, md5 in plan["bucket"].items()], bucket, "each object read"
        ),
        compare("verdict", ["complete"], [verdict], f"validation_report.json ({verdict})"),
    ]


def _first(records: Iterable[list[str]]) -> list[str]:
    return [record[0] for record in records]


def _of(records: list[list[str]], what: str) -> list[str]:
    """Return the URLs of the records whose third field is what."""
    return [record[0] for record in records if record[2] == what]


def _matters(record: list[str]) -> bool:
    return not record[2].endswith(WARNING)


def _csv(folder: Folder, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(folder.text(name).splitlines()))


def main(argv: list[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare what was planted with what was found.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "out-cutover")
    folder = Folder(parser.parse_args(argv).folder)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may not be printable
    plan = folder.json("planted.json")
    if not plan:
        parser.error(f"no planted.json in {folder.path}; python -m demo.cutover writes it")
    groups = (delta_rows, map_rows, through_rows, undo_rows)
    return show([row for rows in groups for row in rows(plan, folder)])


if __name__ == "__main__":
    raise SystemExit(main())
