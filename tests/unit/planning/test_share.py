"""Which lines a run does under PERCENT and DESTINATION=hybrid, by what completed.txt says of which place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from cdn2s3.planning import redo
from cdn2s3.planning.run_plan import Choice, RunPlan, plan_run, prepare_run
from cdn2s3.planning.survey import LineStatus
from cdn2s3.records import LOCAL, S3, Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.share import share_in
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import Completed, last_rows
from cdn2s3.state.lines import encode

CDN = "https://cdn.example/"
PERCENT = 40
NAMES = [f"{number}.jpg" for number in range(60)]
IN = [name for name in NAMES if share_in((CDN + name).encode()) < PERCENT]
OUT = [name for name in NAMES if name not in IN]


def row(name: str, place: str, url: str = "", how: str = "stored") -> bytes:
    at = "2026-11-20T10:15:00Z"
    return encode(
        Completed(
            url or CDN + name, f"images/{name}", "5", f"e-{place}", "m", "image/jpeg", at, how, place=place
        )
    )


def settings_of(folder: Path, lines: Iterable[str], rows: Iterable[bytes], **given: str) -> MigrationSettings:
    (folder / "urls.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "completed.txt").write_bytes(b"".join(rows))
    every = {
        "DESTINATION": "hybrid", "PERCENT": str(PERCENT), "LOCAL_ROOT": "/mnt/images", "DESTINATION_BUCKET": "bucket",
        "URL_PREFIX": CDN, "STATE_DIR": str(folder), "SOURCE_URLS_FILE": str(folder / "urls.txt"), **given,
    }  # fmt: skip
    return build(MigrationSettings, every, {}, Path("migration.env"))


def plan_of(settings: MigrationSettings, choice: Choice = Choice()) -> RunPlan:  # noqa: B008  # it is immutable
    return plan_run(settings, key_maker(settings), choice)[0]


def urls(names: Iterable[str]) -> list[str]:
    return [CDN + name for name in names]


def test_each_url_goes_where_it_belongs(tmp_path: Path) -> None:
    plan = plan_of(settings_of(tmp_path, urls(NAMES), []))
    assert {task.url: task.place for task in plan.tasks()} == {
        **dict.fromkeys(urls(IN), S3),
        **dict.fromkeys(urls(OUT), LOCAL),
    }
    assert (plan.work.not_selected, plan.work.moving, plan.work.superfluous) == (0, 0, 0)


def test_a_row_counts_where_its_url_belongs_today_or_in_the_bucket(tmp_path: Path) -> None:
    rows = [
        row(IN[0], LOCAL),
        row(IN[1], S3),
        row(IN[2], LOCAL),
        row(IN[2], S3),
        row(IN[3], S3),
        row(IN[3], LOCAL),
    ]
    rows += [row(OUT[0], LOCAL), row(OUT[1], S3), row(OUT[2], S3), row(OUT[2], LOCAL)]
    names = [*IN[:5], *OUT[:4]]
    plan = plan_of(settings_of(tmp_path, urls(names), rows))
    assert {task.url for task in plan.tasks()} == {CDN + name for name in (IN[0], IN[4], OUT[3])}
    assert (plan.work.done, plan.work.pending, plan.work.moving, plan.work.superfluous) == (6, 3, 1, 2)


def test_the_line_decides_in_whatever_spelling_its_row_is(tmp_path: Path) -> None:
    spelled = [(f"a b{n}.jpg", f"a%20b{n}.jpg") for n in range(200)]
    pairs = [
        (plain, coded)
        for plain, coded in spelled
        if share_in((CDN + plain).encode()) < PERCENT <= share_in((CDN + coded).encode())
    ][:2]
    rows = [row(plain, LOCAL, CDN + coded) for plain, coded in pairs]
    listed = [CDN + pairs[0][0], CDN + pairs[1][1]]
    plan = plan_of(settings_of(tmp_path, listed, rows))
    assert [task.url for task in plan.tasks()] == listed[:1]
    assert plan.work.moving == 1


def test_url_that_moves_keeps_its_key(tmp_path: Path) -> None:
    moving, other = f"{CDN}x/{IN[0]}", f"{CDN}y/{IN[0]}"
    percent = str(share_in(moving.encode()) + 1)
    rows = [row(IN[0], LOCAL, moving)]
    plan = plan_of(settings_of(tmp_path, [other, moving], rows, ON_COLLISION="first", PERCENT=percent))
    assert [LineStatus(status) for status in plan.work.statuses] == [LineStatus.COLLISION, LineStatus.PENDING]


def test_failure_of_a_url_that_moves_is_kept(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, urls(IN[:2]), [row(IN[0], LOCAL), row(IN[1], S3)])
    failed = "".join(f"{CDN}{name}\ttimeout\t1\twhy\t2026-11-20T10:15:00Z\n" for name in IN[:2])
    (tmp_path / "failed_transfers.txt").write_text(failed)
    plan = prepare_run(settings, key_maker(settings), Choice(), 0.0)
    assert (tmp_path / "failed_transfers.txt").read_text() == failed.splitlines(keepends=True)[0]
    assert (plan.failed_pending, plan.failed_elsewhere) == (1, 0)


def test_redo_writes_to_the_place_of_the_last_row_that_counts(tmp_path: Path) -> None:
    rows = [row(IN[0], S3), row(IN[0], LOCAL), row(OUT[0], LOCAL), row(OUT[0], S3), row(IN[1], LOCAL)]
    settings = settings_of(tmp_path, urls([IN[0], OUT[0], IN[1]]), rows)
    chosen = Fingerprints()
    for url in urls([IN[0], OUT[0], IN[1]]):
        chosen.add(key_maker(settings).object_id(url.encode()))
    plan = plan_of(settings, Choice(chosen, redo=True))
    found: list[Task] = list(plan.tasks())
    assert [(task.place, task.recorded and task.recorded.etag) for task in found] == [
        (S3, "e-s3"),
        (S3, "e-s3"),
        (S3, None),
    ]
    assert (plan.redone, plan.work.done) == (2, 0)


def test_finished_redo_supersedes_the_row_of_the_same_place_alone(tmp_path: Path) -> None:
    rows = [row(IN[0], LOCAL), row(IN[0], S3)]
    settings = settings_of(tmp_path, urls(IN[:1]), rows)
    keys = key_maker(settings)
    redo.begin(tmp_path, "some.txt", [(CDN + IN[0]).encode()])
    new = row(IN[0], S3, how="renewed")
    with (tmp_path / "completed.txt").open("ab") as file:
        file.write(new)
    assert [found.how for found in last_rows(tmp_path / "completed.txt", keys)] == ["stored", "renewed"]
    redo.finish(tmp_path, keys, Fingerprints())
    assert (tmp_path / "completed.txt").read_bytes() == rows[0] + new


@pytest.mark.parametrize("place", [S3, LOCAL])
def test_percent_selects_and_what_is_completed_or_done_again_counts(tmp_path: Path, place: str) -> None:
    lines = [*urls(NAMES), CDN + NAMES[0], "", "nonsense"]
    settings = settings_of(tmp_path, lines, [row(OUT[0], place), row(OUT[1], place)], DESTINATION=place)
    plan = plan_of(settings)
    assert [task.url for task in plan.tasks()] == urls(IN)
    assert {task.place for task in plan.tasks()} == {place}
    work = plan.work
    assert (work.done, work.not_selected) == (2, len(OUT) - 2)
    assert (
        work.lines
        == work.blank + work.duplicates + work.malformed + work.done + work.pending + work.not_selected
    )
    chosen = Fingerprints()
    for name in OUT[:3]:
        chosen.add(key_maker(settings).object_id((CDN + name).encode()))
    again = plan_of(settings, Choice(chosen, redo=True))
    assert [task.url for task in again.tasks()] == urls(OUT[:2])
    assert (again.redone, again.work.not_selected) == (2, len(OUT) - 2)


def test_nothing_is_hashed_where_everything_is_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, urls(NAMES), [row(IN[0], S3)], DESTINATION=S3, PERCENT="100")
    monkeypatch.setattr("cdn2s3.settings.placement.share_in", None)
    assert len(list(plan_of(settings).tasks())) == len(NAMES) - 1
    with pytest.raises(TypeError):
        plan_of(dataclasses.replace(settings, percent=99))
