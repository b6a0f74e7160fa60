"""The state files of migrate.py on a full disk, after a crash, and as a person may hand them back."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from tests.fakes.rules import Rule
from tests.running import assert_consistent, counts
from tests.scripts.world import NewWorld, World
from tests.tiers import slow


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world(100)


def full_at(size: int) -> dict[int, tuple[int, int]]:
    """Return the limit under which every file is full at size bytes."""
    return {resource.RLIMIT_FSIZE: (size, size)}


@pytest.mark.parametrize("size", [slow(0), 2_113, slow(100), slow(2_000), slow(8_000)])
def test_full_disk_stops_the_run_and_leaves_whole_files(world: World, size: int) -> None:
    ran = world.job.run(limits=full_at(size))
    assert ran.code == 3, ran.said
    assert "cannot write" in ran.err
    assert "free disk space" in ran.err
    assert_consistent(world.job, world.source, world.s3)
    assert not list(world.job.folder.glob("*.tmp"))
    assert ran.err.count("Traceback") == 0, ran.err
    assert "do not add up" not in ran.err
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


@pytest.mark.slow
def test_full_disk_while_failures_are_recorded_stops_the_run(world: World) -> None:
    world.source.rules.add(Rule("404", pattern=r"i00[0-4]"))
    ran = world.job.run(limits=full_at(3_000))
    assert ran.code == 3, ran.said
    assert "cannot write" in ran.err
    assert_consistent(world.job, world.source, world.s3)
    assert ran.err.count("Traceback") == 0
    assert "do not add up" not in ran.err
    world.source.rules.clear()
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


def test_full_disk_at_the_report_stops_with_the_work_done(world: World) -> None:
    world.use(world.urls[:3])
    ran = world.job.run(limits=full_at(1_000))
    assert ran.code == 3, ran.said
    assert "migration_report" in ran.err
    assert len(world.job.completed()) == 3
    assert not world.job.path("migration_report.json").exists()
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


@pytest.mark.parametrize(
    ("name", "tail"), [("completed.txt", b"https://x\tkey\t1"), slow("failed_transfers.txt", b"https")]
)
def test_torn_last_line_is_cut_off_and_its_url_done_again(world: World, name: str, tail: bytes) -> None:
    assert world.job.run("--limit", "40").code == 0
    with world.job.path(name).open("ab") as file:
        file.write(tail)
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}
    assert "torn line" in world.job.log


def test_completed_file_cut_anywhere_is_accepted(world: World) -> None:
    assert world.job.run("--limit", "40").code == 0
    path = world.job.path("completed.txt")
    whole = path.read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert world.job.run("--limit", "1").code == 0
        assert_consistent(world.job, world.source, world.s3)
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


def test_url_in_both_files_counts_as_completed(world: World) -> None:
    assert world.job.run().code == 0
    failed = world.job.path("failed_transfers.txt")
    failed.write_text(f"{world.urls[3]}\ttimeout\t4\tslow\t2026-01-01T00:00:00Z\n" * 2)
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


def test_completed_row_under_another_key_does_not_count(world: World) -> None:
    assert world.job.run().code == 0
    path = world.job.path("completed.txt")
    path.write_text(path.read_text().replace("\timg/images/i0003.jpg\t", "\tother/i0003.jpg\t"))
    world.s3.store.delete("bucket", "img/images/i0003.jpg")
    assert world.job.run().code == 0
    assert "img/images/i0003.jpg" in world.s3.objects("bucket")


def test_unreadable_run_json_stops_with_the_way_out(world: World) -> None:
    assert world.job.run("--limit", "1").code == 0
    world.job.path("run.json").write_text("{")
    ran = world.job.run()
    assert ran.code == 3
    assert "run.json" in ran.err
    assert "restore it" in ran.err


def test_collection_that_is_not_complete_is_said(world: World) -> None:
    (world.job.folder / "checkpoint.json").write_text('{"complete": false}')
    ran = world.job.run()
    assert ran.code == 0
    assert ran.err.count("is not complete") == 2
    assert counts(world.job)["completed"] == 100


@pytest.mark.parametrize("name", ["completed.txt", "failed_transfers.txt", "migration.log", "run.json"])
def test_state_file_that_is_no_file_is_named(world: World, name: str) -> None:
    world.job.path(name).mkdir()
    ran: Any = world.job.run()
    assert ran.code in (2, 3)
    assert name in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), slow(("--retry-failed",))], ids=["plain", "retry-failed"])
def test_wrong_bucket_is_corrected_and_the_same_command_goes_on(
    world: World, arguments: tuple[str, ...]
) -> None:
    ran = world.job.run(DESTINATION_BUCKET="my-buckt")
    assert ran.code == 3, ran.said
    assert world.job.run("--plan").code == 0
    ran = world.job.run(*arguments)
    assert ran.code == 0, ran.said
    assert "nothing was stored yet: this state now belongs to s3://bucket/img/" in ran.err
    if not arguments:
        world.assert_all_moved()
        assert world.writes() == {1}
        ran = world.job.run(DESTINATION_BUCKET="my-buckt")
        assert ran.code == 2 and "belongs to another destination" in ran.err


@pytest.mark.slow
def test_lines_malformed_under_another_url_prefix_do_not_stay_failed(world: World) -> None:
    elsewhere = world.source.url_prefix + "else/"
    world.job.urls([*world.urls, elsewhere + "a.jpg"])
    world.source.rules.add(Rule("404", pattern=r"else/"))
    assert world.job.run(URL_PREFIX=elsewhere).code == 1
    assert len(world.job.failed()) == 101
    ran = world.job.run("--limit", "10")
    assert ran.code == 0, ran.said
    assert counts(world.job)["not_tried"] == 91
    assert world.job.failed() == {}


@pytest.mark.slow
def test_redo_of_a_foreign_file_forgets_nothing(world: World) -> None:
    assert world.job.run().code == 0
    before = world.job.text("completed.txt")
    (world.job.folder / "again.txt").write_text("auction/1.jpg\nauction/2.jpg\n")
    ran = world.job.run("--redo", "again.txt")
    assert ran.code == 2, ran.said
    assert "none of the 2 lines of again.txt is a URL in urls.txt" in ran.err
    (world.job.folder / "again.txt").write_text("")
    assert world.job.run("--redo", "again.txt").code == 0
    assert world.job.text("completed.txt") == before


@pytest.mark.parametrize("arguments", [(), ("--adopt",), ("--sample", "1")], ids=["run", "adopt", "sample"])
def test_list_of_another_cdn_is_refused_before_anything_is_recorded(
    world: World, arguments: tuple[str, ...]
) -> None:
    ran = world.job.run(*arguments, URL_PREFIX="https://elsewhere.example/")
    assert ran.code == 2, ran.said
    assert "none of the 100 lines of urls.txt is under URL_PREFIX=https://elsewhere.example/" in ran.err
    assert not world.job.path("failed_transfers.txt").exists()
    assert not world.job.path("run.json").exists()


def test_last_screen_names_lines_that_were_never_tried(world: World) -> None:
    world.job.urls([*world.urls[:3], "ftp://h/a.jpg", "ftp://h/b.jpg"])
    ran = world.job.run()
    assert ran.code == 1
    assert "  2 malformed: not an http or https URL, e.g. ftp://h/a.jpg\n" in ran.out
    world.job.path("completed.txt").unlink()
    assert world.job.run().out.startswith("0 stored, 3 already there, ")


def redo_under_way(world: World) -> None:
    """Complete all URLs, lose every second object, and list these in missing.txt."""
    assert world.job.run().code == 0
    for url in world.urls[::2]:
        world.s3.store.delete("bucket", world.key(url))
    lines = (f"{url}\t{world.key(url)}\tlost\n" for url in world.urls[::2])
    (world.job.folder / "missing.txt").write_text("".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["kill", slow("signal")])
def test_redo_that_is_stopped_has_forgotten_nothing_and_goes_on(new_world: NewWorld, stop: str) -> None:
    world = new_world(100, latency=0.05, CONCURRENCY=4)
    redo_under_way(world)
    before = world.job.text("completed.txt")
    with world.job.running("--redo", "missing.txt") as running:
        running.until(lambda: world.has_completed(110))
        if stop == "kill":
            running.kill()
        else:
            running.send(15)
            assert running.end(30).code == 143
    assert world.job.text("completed.txt").startswith(before)
    plain = world.job.run()
    assert plain.code == 1, plain.said
    assert "the redo of missing.txt is not finished" in plain.said
    assert "next: python migrate.py --redo" in plain.said
    done = len(world.s3.objects("bucket"))
    assert 50 < done < 100
    redone = world.job.run("--redo")
    assert redone.code == 0, redone.said
    world.assert_all_moved()
    assert not world.job.path("unfinished_redo.txt").exists()
    again = world.job.run()
    assert (again.code, "not finished" in again.said) == (0, False), again.said


@pytest.mark.slow
def test_failed_redo_is_recorded_and_loses_its_row_where_the_object_is_gone(new_world: NewWorld) -> None:
    world = new_world(20)
    assert world.job.run().code == 0
    gone, intact, changed = world.urls[3], world.urls[4], world.urls[5]
    world.s3.store.delete("bucket", world.key(gone))
    world.s3.put("bucket", world.key(changed), b"changed")
    world.source.rules.add(Rule("404", pattern=r"i000[345]\.jpg$"))
    (world.job.folder / "again.txt").write_text("".join(f"{url}\n" for url in (gone, intact, changed)))
    ran = world.job.run("--redo", "again.txt")
    assert ran.code == 1, ran.said
    assert world.job.causes() == dict.fromkeys((gone, intact, changed), "not_found")
    rows = {line.split("\t")[0] for line in world.job.text("completed.txt").splitlines()}
    assert rows == {*world.urls} - {gone, changed}
    assert not world.job.path("unfinished_redo.txt").exists()
    assert world.job.run().code == 1
    assert world.job.causes() == dict.fromkeys((gone, changed), "not_found")
