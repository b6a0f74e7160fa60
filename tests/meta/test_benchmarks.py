"""The benchmarks' own arithmetic and checks; nothing here looks at a clock."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks import four_million, measure, photographs, quick
from benchmarks.movers import PLAIN, RCLONE, integrity_fault, ours
from benchmarks.runs import Figures, median
from benchmarks.servers import times_in
from benchmarks.tables import table
from cdn2s3.cdn import image_type
from cdn2s3.file_names import MIGRATION_JSON


def figures(mover: str, seconds: float, cpu_seconds: float = 1.0) -> Figures:
    return Figures(mover, 100, 39.0, seconds, seconds / 2, cpu_seconds, 10**8)


def test_sizes_have_the_mean_that_they_are_named_for() -> None:
    drawn = photographs.sizes_of(photographs.LARGE, 20_000)
    assert sum(drawn) / len(drawn) == pytest.approx(390_000, rel=0.03)
    assert drawn == photographs.sizes_of(photographs.LARGE, 20_000)


def test_photographs_are_images_of_the_size_drawn(tmp_path: Path) -> None:
    paths = photographs.make(tmp_path, photographs.SMALL, 3)
    bodies = [(tmp_path / path).read_bytes() for path in paths]
    assert [len(body) for body in bodies] == photographs.sizes_of(photographs.SMALL, 3)
    assert {image_type.content_type(body) for body in bodies} == {"image/jpeg"}
    assert all(image_type.is_whole(body, body, len(body), "image/jpeg") for body in bodies)
    assert len(set(bodies)) == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda stored: (stored / "b").unlink(), ["b is absent"], id="absent"),
        pytest.param(
            lambda stored: (stored / "a").write_bytes(b"on_"), ["a has other bytes"], id="other bytes"
        ),
        pytest.param(lambda stored: (stored / "c").write_bytes(b""), ["c was not asked for"], id="too many"),
        pytest.param(lambda stored: None, [], id="all there"),
    ],
)
def test_differences_of_a_bucket(tmp_path: Path, damage: object, said: list[str]) -> None:
    source, stored = tmp_path / "source", tmp_path / "stored"
    for folder in (source, stored):
        folder.mkdir()
        (folder / "a").write_bytes(b"one")
        (folder / "b").write_bytes(b"two")
    assert callable(damage)
    damage(stored)
    assert photographs.differences(source, stored, {"a": "a", "b": "b"}) == said


def test_times_begin_with_the_first_get_and_end_with_the_last_request(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    log.write_text(
        "99.000 0.500 PUT 200\n102.000 1.500 GET 200\n101.000 0.200 GET 200\n104.000 0.100 HEAD 200\n"
    )
    times = times_in(log)
    assert times.seconds == pytest.approx(3.5)
    assert times.requests == 4
    late = times_in(log, since=101.5, first="HEAD")
    assert (late.requests, late.answers["HEAD", "200"]) == (2, 1)
    assert late.seconds == pytest.approx(0.1)


def test_median_takes_each_figure_on_its_own() -> None:
    middle = median([figures("a", 1, 9), figures("a", 2, 7), figures("a", 9, 8)])
    assert (middle.seconds, middle.cpu_seconds) == (2, 8)


def test_table_gives_ratios_of_files_per_second() -> None:
    lines = table([figures("ours", 1), figures(RCLONE.name, 2), figures(PLAIN.name, 5)]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")][6:8] == ["2.00", "5.00"]


def test_run_measures_the_exit_code_the_cpu_of_children_and_the_memory(tmp_path: Path) -> None:
    child = "sum(range(10**6)); b = bytearray(50_000_000)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('said'); sys.exit(3)"
    cost = measure.run([sys.executable, "-c", script], tmp_path, tmp_path / "log", dict(os.environ))
    assert cost.exit_code == 3
    assert cost.cpu_seconds > 0
    assert cost.peak_rss >= 50_000_000
    assert (tmp_path / "log").read_text() == "said\n"


def test_keys_go_up_with_their_numbers() -> None:
    numbers = [0, 1, 199, 200, 399, 400, 3_999, 4_000, 3_999_999]
    keys = [four_million.key_of(number).encode() for number in numbers]
    assert keys == sorted(set(keys))


def test_listing_pages_show_every_object_once() -> None:
    pages = [four_million.listing_page("b", first, 2_500, 1_000) for first in (0, 1_000, 2_000)]
    assert [page.count(b"<Contents>") for page in pages] == [1_000, 1_000, 500]
    assert [b"<IsTruncated>true" in page for page in pages] == [True, True, False]


@pytest.mark.parametrize(
    ("mode", "answered", "said"),
    [
        pytest.param("auto", 3, "", id="each answered"),
        pytest.param("auto", 2, "the store answered the MD5 of 2 of 3 files", id="one computed"),
        pytest.param("md5", 0, "INTEGRITY=auto went by md5", id="fallen back"),
    ],
)
def test_run_that_did_not_go_by_auto_does_not_count_as_auto(
    tmp_path: Path, mode: str, answered: int, said: str
) -> None:
    report = {"integrity": {"mode": mode, "md5_answered": answered}}
    (tmp_path / MIGRATION_JSON).write_text(json.dumps(report))
    fault = integrity_fault(ours(1), tmp_path, 3)
    assert said in fault
    assert bool(fault) == bool(said)
    assert integrity_fault(ours(1, "md5"), tmp_path, 3) == ""


def test_parent_row_is_the_parents_own_work_for_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "parent_seconds", {2_000: 0.5, 22_000: 1.3}.__getitem__)
    assert quick.parent_ms() == pytest.approx(0.040)


def test_parent_runs_to_its_end_and_its_processes_are_not_counted() -> None:
    before = os.times()
    parent = quick.parent_seconds(300)
    after = os.times()
    tree = after.children_user + after.children_system - before.children_user - before.children_system
    assert 0 < parent < tree - 0.1  # two processes import what they need, which takes more


def test_parent_that_has_not_recorded_each_file_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(quick._STUBBED, "PROCESSES", "many")
    with pytest.raises(RuntimeError, match=r"(?s)0 of 3 recorded, exit code 2.*PROCESSES"):
        quick.parent_seconds(3)


@pytest.mark.parametrize(("microseconds", "code"), [(49.0, 0), (99.0, 0), (101.0, 1)])
def test_quick_benchmark_fails_above_twice_the_parents_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], microseconds: float, code: int
) -> None:
    monkeypatch.setattr(quick, "cpu_ms", lambda *unused: 0.5)
    monkeypatch.setattr(quick, "yardstick", lambda: 1.0)
    monkeypatch.setattr(quick, "parent_ms", lambda: microseconds / 1000)
    assert quick.main([]) == code
    assert (
        f"parent: {microseconds:.1f} us of its own CPU a file, PROCESSES=2; bound 50 us"
        in capsys.readouterr().out
    )
