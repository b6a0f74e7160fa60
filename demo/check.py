"""Compare what was planted in the demo's world with what the scripts wrote down.

    python -m demo.check [FOLDER]          # default: demo/out

Knows neither the tool nor the world: it reads planted.json and the state files of FOLDER, nothing else.
Exit codes: 0 everything planted was found, and nothing else; 1 not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    what: str
    planted: int
    found: int
    where: str  # the files that were looked into
    wrong: list[str]  # what is missing or too much there, for a reader


class Folder:
    """The files of one migration, as they lie in a folder. A file that is missing reads as an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self, name: str) -> list[list[str]]:
        """Return a state file's lines, split into fields, and empty ones behind those up to seven."""
        return [[*line.split("\t"), *[""] * 7][:7] for line in self.text(name).split("\n") if line]

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON file's object. Raises ValueError when it is no JSON."""
        contents: dict[str, Any] = json.loads(self.text(name) or "{}")
        return contents

    def text(self, name: str) -> str:
        """Return a file's text."""
        path = self.path / name
        return path.read_bytes().decode("utf-8") if path.exists() else ""


def compare(what: str, planted: Iterable[str], found: Iterable[str], where: str) -> Row:
    """Make a row of two lists that must hold the same, each thing once, in any order."""
    expected, seen = Counter(planted), Counter(found)
    wrong = [f"missing: {thing}" for thing in (expected - seen).elements()]
    wrong += [f"not planted: {thing}" for thing in (seen - expected).elements()]
    return Row(what, sum(expected.values()), sum((expected & seen).values()), where, wrong)


def number(what: str, planted: int, found: Any, where: str) -> Row:
    """Make a row of two numbers that must be equal; `found` may be anything that a file held."""
    wrong = [] if found == planted else [f"{planted} expected, {found} found"]
    return Row(what, planted, found if isinstance(found, int) else 0, where, wrong)


def collection_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check what collect_urls.py left."""
    checkpoint = folder.json("checkpoint.json")
    expected = plan["expected"]
    permanent = [url for fault in plan["faults"].values() if not fault["heals"] for url in fault["urls"]]
    log = folder.text("collection.log")
    urls = [record[0] for record in folder.records("urls.txt")]
    rejected = [record[0] for record in folder.records("rejected.txt")]
    return [
        compare("URLs of the API", [*plan["objects"], *permanent], urls, "urls.txt"),
        number(
            "lots, including those after a short page",
            expected["items"],
            checkpoint.get("items"),
            "checkpoint.json",
        ),
        number("duplicate URLs", expected["duplicates"], checkpoint.get("duplicates"), "checkpoint.json"),
        compare("URLs of other hosts", plan["foreign"], rejected, "rejected.txt"),
        number("API error 500", 1, _status_seen(log, plan["api"]["error"]), "collection.log"),
        number("throttled page 429", 1, _status_seen(log, plan["api"]["throttled"]), "collection.log"),
        number(
            "region of the CDN's edge", 1, int(plan["region"] in log), f"collection.log ({plan['region']})"
        ),
        number("collection complete", 1, int(checkpoint.get("complete") is True), "checkpoint.json"),
    ]


def _status_seen(log: str, status: int) -> int:
    """Say (1 or 0) whether a line of the log speaks of an answer with this status, not of a count."""
    told = re.compile(
        rf"(?i)(?=.*\b{status}\b)(?=.*(http|status|answer|respon|retry|again|attempt|throttl|error))"
    )
    return int(any(told.match(line) for line in log.split("\n")))


def migration_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check what migrate.py left."""
    failed = folder.records("failed_transfers.txt")
    completed = folder.records("completed.txt")
    urls_completed = {record[0] for record in completed}
    retried = folder.json("migration_report.json").get("retried", {})
    rows = []
    for fault in plan["faults"].values():
        if fault["heals"]:
            told = [
                url for url in retried.get(fault["cause"], {}).get("examples", []) if url in fault["urls"]
            ]
            where = f"migration_report.json (retried: {fault['cause']})"
            healed = [url for url in told if url in urls_completed]
            rows.append(compare(fault["shown"], fault["urls"], healed, where))
        else:
            named = [record[0] for record in failed if record[1] == fault["cause"]]
            rows.append(
                compare(fault["shown"], fault["urls"], named, f"failed_transfers.txt ({fault['cause']})")
            )
    causes = {fault["cause"] for fault in plan["faults"].values() if not fault["heals"]}
    others = [f"{record[0]} ({record[1]})" for record in failed if record[1] not in causes]
    return [
        *rows,
        compare("failures of other causes", [], others, "failed_transfers.txt"),
        *_object_rows(plan, completed),
    ]


def _object_rows(plan: dict[str, Any], completed: list[list[str]]) -> list[Row]:
    """Check that every object was stored under its key, with its bytes and its true type."""
    titles = {
        "same_name": "the same file name in many folders",
        "encoded": "spaces and Unicode, percent-encoded",
        "raw": "spaces and Unicode, raw",
        "mislabelled": "WebP labeled image/jpeg",
        "over_10_mb": "image over 10 MB",
    }
    objects = {
        url: " ".join([url, o["key"], str(o["bytes"]), o["md5"], o["content_type"]])
        for url, o in plan["objects"].items()
    }
    stored = [(url, " ".join([url, key, size, md5, kind])) for url, key, size, _, md5, kind, *_ in completed]
    rows = []
    for name, title in titles.items():
        chosen = set(plan["names"][name])
        wanted = [objects[url] for url in chosen]
        rows.append(compare(title, wanted, [told for url, told in stored if url in chosen], "completed.txt"))
    where = "completed.txt (key, bytes, MD5, type)"
    return [*rows, compare("images stored", objects.values(), [told for _, told in stored], where)]


def validation_rows(plan: dict[str, Any], folder: Folder) -> list[Row]:
    """Check what validate.py left."""
    faults = [fault for fault in plan["faults"].values() if not fault["heals"]]
    gaps = [f"{url} failed:{fault['cause']}" for fault in faults for url in fault["urls"]]
    missing = [f"{record[0]} {record[2]}" for record in folder.records("missing.txt")]
    mismatched = [record[0] for record in folder.records("mismatched.txt")]
    unexpected = [record[0] for record in folder.records("unexpected.txt")]
    verdict = folder.json("validation_report.json").get("verdict")
    return [
        compare("gaps with a known cause", gaps, missing, "missing.txt"),
        compare("objects that differ", [], mismatched, "mismatched.txt"),
        compare("unexpected objects", [], unexpected, "unexpected.txt"),
        compare(
            "verdict", [plan["expected"]["verdict"]], [str(verdict)], f"validation_report.json ({verdict})"
        ),
    ]


def unplanned_retries(plan: dict[str, Any], folder: Folder) -> list[str]:
    """List retries that nobody planted: told, not judged; the rows judge what became of the URLs."""
    retried = folder.json("migration_report.json").get("retried", {})
    planted = {url for fault in plan["faults"].values() if fault["heals"] for url in fault["urls"]}
    return [
        f"{url} ({cause})"
        for cause, told in retried.items()
        for url in told.get("examples", [])
        if url not in planted
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare what was planted with what was found.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "out")
    folder = Folder(parser.parse_args(argv).folder)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may not be printable
    plan = folder.json("planted.json")
    if not plan:
        parser.error(f"no planted.json in {folder.path}; python -m demo.run writes it")
    rows = [*collection_rows(plan, folder), *migration_rows(plan, folder), *validation_rows(plan, folder)]
    code = show(rows)
    for line in unplanned_retries(plan, folder):
        print(f"Retried, although nothing was planted:  {line}")
    return code


def show(rows: list[Row]) -> int:
    """Print the table; return 1 where something is wrong, else 0."""
    print(f"{'planted':36} {'planted':>7} {'found':>6}      where")
    for row in rows:
        mark = "WRONG" if row.wrong else "ok"
        print(f"{row.what:36} {row.planted:>7,} {row.found:>6,}  {mark:5} {row.where}")
        for line in row.wrong[:5]:
            print(f"    {line}")
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
