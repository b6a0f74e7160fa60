"""The page that a collection leaves: what vouches for the list, what was left out of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT, processes
from tests.running import environment
from tests.unit.reports.sample_reports import HOSTILE

IMAGES = ["a", "b", "a", f"{HOSTILE}"]


class Collected:
    """A folder in which lot files are collected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        images = [{"image_url": f"https://cdn.example.com/{name}.jpg"} for name in IMAGES]
        images += [{"image_url": f"https://u:pw@other.example/x.jpg?sig=s3cr3t&n={n}"} for n in range(12)]
        (folder / "lot_1_images.json").write_text(json.dumps(images))
        (folder / "collection.env").write_text(
            "SOURCE=lots\nLOT_FILES=lot_*_images.json\nURL_PREFIX=https://cdn.example.com/\n"
        )

    def run(self, *arguments: str) -> int:
        command = [sys.executable, str(ROOT / "collect_urls.py"), *arguments]
        ended = processes.run(command, self.folder, environment(self.folder))
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "collection_report.json").read_text())
        return found

    def page(self) -> str:
        return (self.folder / "collection_report.html").read_text()


@pytest.fixture
def collected(tmp_path: Path) -> Collected:
    return Collected(tmp_path)


def test_report_has_what_vouches_for_the_list_and_what_was_left_out(collected: Collected) -> None:
    code = collected.run()
    report = collected.report()
    assert report["exit_code"] == code == 1
    assert report["evidence"] == "every part of the source was read to its end"
    assert (report["counts"]["urls"], report["counts"]["duplicates"], report["counts"]["rejected"]) == (
        3,
        1,
        12,
    )
    assert sum(report["rejected"]["by_reason"].values()) == 12
    assert len(report["rejected"]["examples"]) == 10
    assert report["verdict"] == "doubtful"
    assert "rejected" in report["doubts"][0]
    assert "check this first" in collected.page()


def test_report_holds_no_secret_and_hostile_text_is_text(collected: Collected) -> None:
    collected.run()
    said = collected.page() + json.dumps(collected.report())
    assert "s3cr3t" not in said
    assert "pw@" not in said
    assert HOSTILE not in collected.page()
    assert re.search(r"<script|<a |src=", collected.page()) is None


def test_second_call_leaves_the_same_page(collected: Collected) -> None:
    collected.run()
    first = collected.report()
    (collected.folder / "collection_report.html").unlink()
    collected.run()
    second = collected.report()
    assert second["runs"] == 2
    assert {name: second[name] for name in ("counts", "doubts", "finished_at")} == {
        name: first[name] for name in ("counts", "doubts", "finished_at")
    }
    assert "3 URLs" in collected.page()


def test_list_without_doubts_is_confirmed(collected: Collected) -> None:
    (collected.folder / "lot_1_images.json").write_text('[{"image_url": "https://cdn.example.com/a.jpg"}]')
    assert collected.run() == 0
    assert collected.report()["verdict"] == "confirmed"
    assert "the list is complete" in collected.page()


def test_update_is_shown(collected: Collected) -> None:
    collected.run()
    (collected.folder / "lot_1_images.json").write_text('[{"image_url": "https://cdn.example.com/c.jpg"}]')
    collected.run("--update")
    report = collected.report()
    assert (report["update"]["new"], report["update"]["gone"]) == (1, 3)
    assert "The last update" in collected.page()


def test_documented_fields_are_those_of_the_report(collected: Collected) -> None:
    collected.run()
    text = (ROOT / "docs/reports.md").read_text(encoding="utf-8")
    section = text.partition("## collection_report.json")[2].partition("\n## ")[0]
    names = {
        name.partition(".")[0]
        for row in re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", section, re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", row)
    }
    assert names == set(collected.report())
