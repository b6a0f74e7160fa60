"""`migrate.py --undo`: what this tool stored is removed again, and nothing that is anybody else's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import resource
import signal
import sys
import time
from typing import Any

import pytest

from cdn2s3.state import ledger
from cdn2s3.state.files import held_lock
from cdn2s3.state.journal import runs_in
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.status_file import status_in
from cdn2s3.variants.record import Variant
from tests import ROOT, processes
from tests.fakes.rules import Rule
from tests.running import QUICK, counts, environment
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors, slow


def undone(world: World) -> list[list[str]]:
    """Return the fields of each line of undone.txt."""
    return [line.split("\t") for line in world.job.text("undone.txt").splitlines()]


def images(world: World) -> set[str]:
    """Return the keys in the bucket that are no probes."""
    return {key for key in world.s3.objects("bucket") if "probe" not in key}


def moved(new_world: NewWorld, urls: int = 5, **options: Any) -> World:
    """Return a world whose images are moved."""
    world = new_world(urls, **options)
    assert world.job.run().code == 0
    return world


def test_without_yes_it_only_says_what_it_would_do(new_world: NewWorld) -> None:
    world = moved(new_world)
    requests = len(world.s3.log)
    ran = world.job.run("--undo")
    assert ran.code == 0, ran.said
    assert "5 objects, " in ran.out and "of the run from 20" in ran.out
    assert "python migrate.py --undo --yes" in ran.out
    assert len(world.s3.log) == requests, "a dry run contacts nothing"
    assert len(images(world)) == 5 and not world.job.path("undone.txt").exists()


def test_with_yes_all_that_is_ours_is_gone_and_the_state_says_so(new_world: NewWorld) -> None:
    world = moved(new_world)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
    assert sorted(fields[0] for fields in undone(world)) == sorted(world.urls)
    assert world.job.completed() == [] and world.job.text("completed.txt.bak").count("\n") == 5
    assert not world.job.path("unfinished_undo.txt").exists()
    headers = [entry.headers for entry in world.s3.requests("DeleteObject") if "probe" not in entry.key]
    assert all("if-match" in header for header in headers) and len(headers) == 5
    run = runs_in(world.job.folder)[-1]
    assert (run.command, run.exit_code, run.totals.undone) == ("migrate.py --undo --yes", 0, 5)
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_what_was_there_before_or_changed_since_stays(new_world: NewWorld) -> None:
    world = new_world(4)
    found, changed = world.urls[0], world.urls[1]
    world.s3.put("bucket", world.key(found), world.source.body(found))
    assert world.job.run().code == 0
    world.s3.put("bucket", world.key(changed), b"somebody else's")
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert images(world) == {world.key(found), world.key(changed)}
    assert world.s3.objects("bucket")[world.key(changed)].read() == b"somebody else's"
    assert "1 object stays: changed since" in ran.out and "1 object stays: were there before" in ran.out
    assert sorted(row.url for row in world.job.completed()) == [found, changed]


def test_rows_of_older_versions_and_adopted_ones_stay(new_world: NewWorld) -> None:
    world = moved(new_world, 3)
    rows = world.job.completed()
    lines = ["\t".join(rows[0][:7]), "\t".join(rows[1]._replace(how="adopted")), "\t".join(rows[2])]
    world.job.path("completed.txt").write_text("".join(f"{line}\n" for line in lines))
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert images(world) == {rows[0].key, rows[1].key}


def test_since_takes_only_what_is_newer(new_world: NewWorld) -> None:
    world = moved(new_world, 3)
    rows = world.job.completed()
    old = rows[0]._replace(finished_at=timestamp(1_700_000_000))
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in [old, *rows[1:]]))
    ran = world.job.run("--undo", "--since", "2024-01-01", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == {old.key}
    assert [row.url for row in world.job.completed()] == [old.url]


def test_a_file_names_what_is_undone(new_world: NewWorld) -> None:
    world = moved(new_world, 4)
    gone = world.job.folder / "gone.txt"
    gone.write_text(f"{world.urls[2]}\t2026-11-20\nhttps://elsewhere.example/x.jpg\n")
    ran = world.job.run("--undo", "gone.txt", "--yes")
    assert ran.code == 0, ran.said
    assert len(images(world)) == 3 and world.key(world.urls[2]) not in images(world)


# --- buckets with versions


def renewed(world: World, url: str, body: bytes) -> str:
    """Put newer bytes over the object of url as a delta does, with its row; return the key."""
    key = world.key(url)
    row = next(row for row in world.job.completed() if row.url == url)
    item = world.s3.put("bucket", key, body)
    digest = item.md5
    now = timestamp(max(seconds_of(one.finished_at) for one in world.job.completed()) + 1)  # the newest row
    newer = row._replace(size=str(len(body)), etag=digest, md5=digest, how="renewed", finished_at=now)
    rows = [row for row in world.job.completed() if row.url != url] + [newer]
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    return key


def seconds_of(text: str) -> int:
    seconds = ledger.seconds_of(text)
    assert seconds is not None
    return seconds


def versions(world: World, key: str) -> list[str]:
    """Return the versions of key, the newest first: their MD5, "" for a delete marker."""
    return [item.md5 for item in world.s3.store.bucket("bucket").versions.get(key, [])]


def test_a_version_is_deleted_for_good(new_world: NewWorld) -> None:
    world = moved(new_world, 3, store={"versioned": True})
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
    assert [versions(world, world.key(url)) for url in world.urls] == [[], [], []]
    assert all(fields[4].startswith("v") for fields in undone(world))
    left = world.s3.store.history("bucket", "img/.cdn2s3-probe-delete")
    assert left == [], "the probe leaves neither version nor marker"


def test_without_the_permission_for_versions_a_marker_hides_the_object(new_world: NewWorld) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    world.s3.change(allow={"PutObject", "GetObject", "ListBucket", "DeleteObject"})
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
    assert "2 hidden by a delete marker: their bytes stay" in ran.out
    assert all(fields[4].startswith("marker:v") for fields in undone(world))
    for url in world.urls:
        assert versions(world, world.key(url)) == ["", hashlib.md5(world.source.body(url)).hexdigest()]


@pytest.mark.slow
def test_a_locked_version_is_hidden(new_world: NewWorld) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    world.s3.change(locked=world.key(world.urls[0]))
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
    assert "1 hidden by a delete marker" in ran.out and "1 removed" in ran.out


def test_a_plain_undo_of_a_renewed_object_does_not_bring_the_older_one_back(new_world: NewWorld) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    key = renewed(world, world.urls[0], b"newer bytes")
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert key not in images(world) and versions(world, key)[0] == ""


def test_since_takes_a_renewed_object_back_to_the_version_below(new_world: NewWorld) -> None:
    world = moved(new_world, 3, store={"versioned": True})
    url, before = world.urls[0], world.job.completed()
    key = renewed(world, url, b"newer bytes")
    newer = next(row for row in world.job.completed() if row.url == url)
    ran = world.job.run("--undo", "--since", newer.finished_at, "--yes")
    assert ran.code == 0, ran.said
    assert "1 went back to the version below" in ran.out
    assert world.s3.objects("bucket")[key].read() == world.source.body(url)
    again = next(row for row in world.job.completed() if row.url == url)
    first = next(row for row in before if row.url == url)
    assert again[:6] == first[:6] and (again.how, again.place) == ("stored", "s3")
    assert seconds_of(again.finished_at) <= seconds_of(first.finished_at)
    world.assert_all_moved()
    assert world.job.run().code == 0


@pytest.mark.parametrize("habit", [{"etag_mode": "random"}, {"kms_default": True, "kms_announced": False}])
def test_an_etag_that_only_looks_like_an_md5_is_recorded_as_none(
    new_world: NewWorld, habit: dict[str, object]
) -> None:
    world = moved(new_world, 1, store={"versioned": True, **habit})
    world.source.change(world.urls[0])
    time.sleep(1.1)  # --since tells by the second
    assert world.job.run("--delta", MAX_CHANGE_RATE=1).code == 0
    newer = world.job.completed()[0]
    ran = world.job.run("--undo", "--since", newer.finished_at, "--yes")
    assert ran.code == 0 and "1 went back to the version below" in ran.out, ran.said
    row = world.job.completed()[0]
    item = world.s3.objects("bucket")[row.key]
    assert (row.etag, row.md5) == (item.etag.strip('"'), "-")


@pytest.mark.parametrize("habit", [{}, {"delete_if_match": "ignore"}, {"versioned": True}])
def test_an_object_in_parts_that_the_store_names_anew_is_ours_all_the_same(
    new_world: NewWorld, habit: dict[str, object]
) -> None:
    """As rclone serve s3: once it is complete, its ETag is the MD5 of its bytes."""
    world = new_world(1, store={"min_part": 1, **habit}, MAX_BUFFER_MB=1)
    world.use([world.source.url_of("large.jpg", size=1_200_000)])
    assert world.job.run().code == 0
    bucket, key = world.s3.store.bucket("bucket"), world.key(world.urls[0])
    named = dataclasses.replace(bucket.objects[key], etag=f'"{bucket.objects[key].md5}"')
    assert named.etag.strip('"') != world.job.completed()[0].etag
    bucket.objects[key] = named
    if bucket.versioned:
        bucket.versions[key] = [named]
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set() and world.job.completed() == []


@pytest.mark.parametrize("settings", [{}, slow({"DESTINATION": "local", "LOCAL_ROOT": "here"})])
def test_what_was_moved_again_in_the_second_of_its_undo_is_undone_again(
    new_world: NewWorld, settings: dict[str, object]
) -> None:
    world = new_world(3, **settings)
    (world.job.folder / "here").mkdir()
    assert world.job.run().code == 0
    for _ in range(2):
        assert world.job.run("--undo", "--yes").code == 0
        assert world.job.run().code == 0
    rows = world.job.completed()
    undone_at = max(seconds_of(fields[5]) for fields in undone(world))
    rows = [row._replace(finished_at=timestamp(undone_at)) for row in rows]  # as in a run that took no time
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0 and "3 objects, " in ran.out, ran.said
    assert world.job.completed() == [] and "3 removed" in ran.out


@pytest.mark.parametrize("habit", [{"etag_mode": "random"}, {"kms_default": True}])
def test_changes_undone_twice_go_back_once(new_world: NewWorld, habit: dict[str, object]) -> None:
    """Where no MD5 is known of the version below, it is not taken for what the delta wrote."""
    world = moved(new_world, 2, store={"versioned": True, **habit})
    first = world.source.body(world.urls[0])
    world.source.change(world.urls[0])
    assert world.job.run("--delta", MAX_CHANGE_RATE=1).code == 0
    assert world.job.run("--undo", "changes.txt", "--yes").code == 0
    ran = world.job.run("--undo", "changes.txt", "--yes")
    assert ran.code == 1 and "changed again since that delta" in ran.out, ran.said
    assert world.s3.objects("bucket")[world.key(world.urls[0])].read() == first


def test_an_undo_that_follows_another_at_once_is_one_of_its_own(new_world: NewWorld) -> None:
    """What has gone back is not done by the next undo, though its line has the second in which that begins."""
    world = moved(new_world, 2, store={"versioned": True})
    url = world.urls[0]
    key = renewed(world, url, b"newer bytes")
    row = next(row for row in world.job.completed() if row.url == url)
    line = (url, key, "renewed", "-", row.md5, "-", row.finished_at)
    (world.job.folder / "changes.txt").write_text("\t".join(line) + "\n")
    assert world.job.run("--undo", "changes.txt", "--yes").code == 0
    assert world.s3.objects("bucket")[key].read() == world.source.body(url)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0 and "2 removed" in ran.out, ran.said
    assert images(world) == set() and world.job.completed() == []


def test_what_is_gone_is_undone_also_where_the_store_says_412_to_it(new_world: NewWorld) -> None:
    world = moved(new_world, 3, store={"delete_if_match": "absent_412"})
    gone, changed = world.urls[:2]
    world.s3.store.delete("bucket", world.key(gone))
    world.s3.put("bucket", world.key(changed), b"somebody else's")
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert "1 were gone already" in ran.out and "1 object stays: changed since" in ran.out
    assert images(world) == {world.key(changed)}
    assert [row.url for row in world.job.completed()] == [changed]


def test_without_versions_a_renewed_object_stays(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    key = renewed(world, world.urls[0], b"newer bytes")
    newer = next(row for row in world.job.completed() if row.how == "renewed")
    ran = world.job.run("--undo", "--since", newer.finished_at, "--yes")
    assert ran.code == 1, ran.said
    assert "1 object stays: no version below to go back to" in ran.out
    assert world.s3.objects("bucket")[key].read() == b"newer bytes"
    assert newer in world.job.completed()


def test_a_replaced_object_comes_back_and_is_moved_no_more(new_world: NewWorld) -> None:
    world = new_world(2, store={"versioned": True}, ON_EXISTING="overwrite")
    url = world.urls[0]
    world.s3.put("bucket", world.key(url), b"somebody else's")
    assert world.job.run().code == 0
    assert [row.how for row in sorted(world.job.completed())] == ["replaced", "stored"]
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert {key: world.s3.objects("bucket")[key].read() for key in images(world)} == {
        world.key(url): b"somebody else's"
    }
    assert world.job.completed() == []


def test_of_changes_only_what_that_delta_wrote_counts(new_world: NewWorld) -> None:
    world = moved(new_world, 4, store={"versioned": True})
    one, two, three, four = world.urls
    keys = {url: renewed(world, url, f"newer {url}".encode()) for url in (one, two)}
    rows = {row.url: row for row in world.job.completed()}
    lines = [
        (one, keys[one], "renewed", "-", rows[one].md5, "-", rows[one].finished_at),
        (two, keys[two], "renewed", "-", "0" * 32, "-", rows[two].finished_at),
        (three, world.key(three), "changed, not ours", "-", rows[three].md5, "-", "-"),
        (four, world.key(four), "gone", "-", "-", "-", "-"),
    ]
    (world.job.folder / "changes.txt").write_text("".join("\t".join(line) + "\n" for line in lines))
    ran = world.job.run("--undo", "changes.txt", "--yes")
    assert ran.code == 1, ran.said
    assert "1 object would stay: changed again since that delta" in ran.out
    objects = world.s3.objects("bucket")
    assert objects[keys[one]].read() == world.source.body(one)
    assert objects[keys[two]].read() == f"newer {two}".encode()
    assert {world.key(three), world.key(four)} <= set(objects)


def changes_of(world: World, **whats: str) -> str:
    """Return the lines of a changes.txt: what it says of the first URLs, whose rows have the MD5 that it stored."""
    rows = {row.url: row for row in world.job.completed()}
    told = [(rows[url], what) for url, what in zip(world.urls, whats.values())]
    return "".join(
        f"{row.url}\t{row.key}\t{what}\t-\t{row.md5}\t-\t{row.finished_at}\n" for row, what in told
    )


@pytest.mark.parametrize("before", ["\n", slow("  \r\n\n"), "\ufeff"])
def test_what_stands_before_the_changes_does_not_make_them_a_plain_list(
    new_world: NewWorld, before: str
) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    key = renewed(world, world.urls[0], b"newer bytes")
    (world.job.folder / "some.txt").write_text(before + changes_of(world, first="renewed", second="gone"))
    ran = world.job.run("--undo", "some.txt", "--yes")
    assert ran.code == 0 and "1 went back to the version below" in ran.out, ran.said
    assert world.s3.objects("bucket")[key].read() == world.source.body(world.urls[0])
    assert images(world) == {world.key(url) for url in world.urls}


@pytest.mark.parametrize("plain_first", [True, slow(False)])
def test_changes_and_plain_lines_in_one_file_are_refused(new_world: NewWorld, plain_first: bool) -> None:
    world = moved(new_world, 2)
    parts = [f"{world.urls[1]}\n", changes_of(world, first="gone")]
    (world.job.folder / "some.txt").write_text("".join(parts if plain_first else reversed(parts)))
    ran = world.job.run("--undo", "some.txt", "--yes")
    assert ran.code == 2 and "make two files of it" in ran.said, ran.said
    assert len(images(world)) == 2 and not world.job.path("unfinished_undo.txt").exists()


@pytest.mark.parametrize("end", ["", slow("\timg/"), slow("\tk\trenew")])
def test_line_that_a_killed_delta_has_torn_is_none(new_world: NewWorld, end: str) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    key = renewed(world, world.urls[0], b"newer bytes")
    (world.job.folder / "changes.txt").write_text(changes_of(world, first="renewed") + world.urls[1] + end)
    ran = world.job.run("--undo", "changes.txt", "--yes")
    assert ran.code == 0 and "1 went back to the version below" in ran.out, ran.said
    assert images(world) == {world.key(url) for url in world.urls}
    assert world.s3.objects("bucket")[key].read() == world.source.body(world.urls[0])


def test_what_was_moved_again_since_a_delta_is_none_of_its_changes(new_world: NewWorld) -> None:
    """Even with the same bytes: no delta writes a row that says `stored`."""
    world = moved(new_world, 1)
    (world.job.folder / "changes.txt").write_text(changes_of(world, first="renewed"))
    ran = world.job.run("--undo", "changes.txt", "--yes")
    assert ran.code == 1 and "1 object would stay: changed again since that delta" in ran.out, ran.said
    assert len(images(world)) == 1


def test_variants_are_refused(new_world: NewWorld) -> None:
    world = moved(new_world, 1)
    url = (world.urls[0],)
    row = Variant(
        *url, "k", "thumbnail", "variants/k.webp", "1", "e", "300x200", "0" * 32, "2026-11-20", "stored"
    )
    for name, rows in (
        ("variants.txt", [row]),
        ("renamed.txt", [row]),
        ("blank.txt", [(), row]),
        ("below.txt", [url, row]),
        ("without_variants.txt", [(*url, "k", "thumbnail", "smaller")]),
        ("failed_variants.txt.bak", [(*url, "k", "undecodable", "broken", "2026-11-20")]),
    ):
        (world.job.folder / name).write_text("".join("\t".join(fields) + "\n" for fields in rows))
        ran = world.job.run("--undo", name, "--yes")
        assert ran.code == 2 and "variants.py --undo" in ran.said, ran.said
    assert len(images(world)) == 1


# --- stores that differ


@pytest.mark.parametrize("way", neighbors("ignore", "refuse", "400", "405"))
def test_where_the_condition_is_not_honored_it_looks_first(new_world: NewWorld, way: str) -> None:
    world = moved(new_world, 3)
    world.s3.put("bucket", world.key(world.urls[0]), b"somebody else's")
    world.s3.change(delete_if_match=way)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert images(world) == {world.key(world.urls[0])}
    assert "not atomic" in ran.said and "changed since" in ran.out
    assert not [key for key in world.s3.objects("bucket") if "probe-delete" in key]


def test_a_policy_that_demands_the_condition(new_world: NewWorld) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    world.s3.change(demands_if_match=True)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
    assert "2 hidden by a delete marker" in ran.out


@pytest.mark.slow
def test_a_policy_that_demands_the_condition_without_versions(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    world.s3.change(demands_if_match=True)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert world.s3.objects("bucket").keys() - {"img/.cdn2s3-probe-up"} == set()


@pytest.mark.slow
def test_ten_refusals_in_a_row_end_it(new_world: NewWorld) -> None:
    world = moved(new_world, 30)
    world.s3.change(allow={"PutObject", "GetObject", "ListBucket"})
    ran = world.job.run("--undo", "--yes", CONCURRENCY=1)
    assert ran.code == 3, ran.said
    assert "not authorized to perform: s3:DeleteObject" in ran.said
    assert len(images(world)) == 30
    assert len(world.s3.requests("DeleteObject")) < 60
    world.s3.change(allow=None)
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()


@pytest.mark.slow
def test_a_bucket_that_is_down_ends_it_and_it_goes_on(new_world: NewWorld) -> None:
    world = moved(new_world, 60)
    deletes = iter(range(1000))

    def goes_down(operation: str, key: str, request: object) -> Rule | None:
        is_down = operation == "DeleteObject" and key.endswith(".jpg") and next(deletes) >= 5
        return Rule("InternalError") if is_down or (operation == "HeadObject" and next(deletes) > 5) else None

    world.s3.hook = goes_down
    ran = world.job.run("--undo", "--yes", OUTAGE_LIMIT=1, CONCURRENCY=60)
    assert ran.code == 3, ran.said
    assert "longer than OUTAGE_LIMIT" in ran.said and "--undo --yes" in ran.said, ran.said
    world.s3.hook = None
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == set() and world.job.completed() == []


@pytest.mark.slow
def test_a_few_failures_are_tried_again(new_world: NewWorld) -> None:
    world = moved(new_world, 6)
    world.s3.rules.add(Rule("InternalError", operation="DeleteObject", pattern="i0002", count=2))
    world.s3.rules.add(Rule("ConditionalRequestConflict", operation="DeleteObject", pattern="i0003", count=1))
    world.s3.rules.add(Rule("SlowDown", operation="DeleteObject", pattern="i0004", count=3))
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()


@pytest.mark.slow
def test_one_that_keeps_failing_stays(new_world: NewWorld) -> None:
    world = moved(new_world, 4)
    world.s3.rules.add(Rule("InternalError", operation="DeleteObject", pattern="i0002"))
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert "1 object stays: the destination kept failing, for example " in ran.out
    assert [row.url for row in world.job.completed()] == [world.urls[2]]


# --- stopped in the middle


def test_killed_it_is_remembered_and_goes_on(new_world: NewWorld) -> None:
    world = moved(new_world, 20)
    world.s3.change(latency=0.03)
    with world.job.running("--undo", "--yes", CONCURRENCY=2) as running:
        running.until(lambda: len(undone(world)) >= 6)
        running.kill()
    world.s3.change(latency=0.0)
    done = {fields[0] for fields in undone(world)}
    assert 6 <= len(done) < 20
    ran = world.job.run("--plan")
    assert f"{20 - len(done)}" in ran.out and ran.code == 0, ran.said
    ran = world.job.run("--limit", "1", "--retry-failed")
    assert ran.code == 1 and "the undo of all that was stored is not finished" in ran.said, ran.said
    assert counts(world.job)["completed"] == 20 - len(done)
    ran = world.job.run("--undo")
    assert ran.code == 1 and "going on with the undo" in ran.said, ran.said
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set() and world.job.completed() == []
    assert len(undone(world)) == 20


@pytest.mark.slow
def test_killed_while_it_takes_objects_back_it_ends_the_same(new_world: NewWorld) -> None:
    world = moved(new_world, 12, store={"versioned": True})
    first = {row.url: row for row in world.job.completed()}
    for url in world.urls:
        renewed(world, url, b"newer " + url.encode())
    since = min(row.finished_at for row in world.job.completed())
    deleted = [0]

    def dies(operation: str, key: str, request: object) -> Rule | None:
        if operation != "DeleteObjectVersion" or "probe" in key:
            return None
        deleted[0] += 1
        return Rule("drop_after_store") if deleted[0] == 4 else None

    world.s3.hook = dies
    with world.job.running("--undo", "--since", since, "--yes", CONCURRENCY=1, MAX_RETRIES=0) as running:
        running.until(lambda: deleted[0] >= 6)
        running.kill()
    world.s3.hook = None
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    for row in world.job.completed():
        assert row[:6] == first[row.url][:6] and row.how == "stored"
        assert world.s3.objects("bucket")[row.key].read() == world.source.body(row.url)
    assert len(world.job.completed()) == 12


@pytest.mark.slow
def test_what_has_gone_back_is_not_removed_when_it_goes_on(new_world: NewWorld) -> None:
    world = moved(new_world, 2, store={"versioned": True})
    url, other = world.urls
    key = renewed(world, url, b"newer bytes")
    rows = sorted(world.job.completed())
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    world.s3.hook = lambda operation, key, request: (
        Rule("ExpiredToken") if operation == "DeleteObjectVersion" and key == world.key(other) else None
    )
    ran = world.job.run("--undo", "--since", "2026-01-01", "--yes", CONCURRENCY=1)
    assert ran.code == 3 and "expired" in ran.said, ran.said
    assert world.s3.objects("bucket")[key].read() == world.source.body(url)
    world.s3.hook = None
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == {key}
    assert [row.url for row in world.job.completed()] == [url]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(new_world: NewWorld, number: signal.Signals) -> None:
    world = moved(new_world, 20)
    world.s3.change(latency=0.03)
    with world.job.running("--undo", "--yes", CONCURRENCY=2) as running:
        running.until(lambda: len(undone(world)) >= 4)
        running.send(number)
        ran = running.end()
    assert ran.code == 128 + number, ran.said
    assert "stopped by a signal. To go on: python migrate.py --undo --yes" in ran.out
    report = world.job.report()
    assert (report["verdict"], report["next"]) == ("interrupted", "python migrate.py --undo --yes")
    assert report["run"]["undone"] == len(undone(world)) == 20 - report["lines"]["completed"]
    world.s3.change(latency=0.0)
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == set()


DIES = """
import os
import {module} as there
kept = there.{name}
def dies(*given, **more):
    if {after}:
        kept(*given, **more)
    os.kill(os.getpid(), 9)
there.{name} = dies
"""


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        slow("cdn2s3.planning.undo", "begin", False, id="before it is remembered"),
        slow("cdn2s3.planning.undo", "begin", True, id="before anything is undone"),
        pytest.param("cdn2s3.executors.undoing", "_row_of", False, id="between deletion and row"),
        pytest.param("cdn2s3.state.undone", "append", False, id="between row and line"),
        slow("cdn2s3.state.undone", "append", True, id="after the line"),
        slow("cdn2s3.planning.undo", "finish", False, id="before the end"),
        slow("cdn2s3.planning.undo", "finish", True, id="before the report"),
        slow("cdn2s3.planning.undo", "keep_only", False, id="before completed.txt is replaced"),
        slow("cdn2s3.planning.undo", "keep_only", True, id="before it is forgotten"),
    ],
)
def test_killed_at_any_moment_an_object_goes_back_once(
    new_world: NewWorld, module: str, name: str, after: bool
) -> None:
    world = moved(new_world, 1, store={"versioned": True})
    since = world.job.completed()[0].finished_at
    for body in (b"second", b"third"):
        key = renewed(world, world.urls[0], body)
    before = versions(world, key)
    dies = DIES.format(module=module, name=name, after=after)
    ran = world.job.run("--undo", "--since", since, "--yes", before=dies)
    assert ran.code == -9, ran.said
    words = ("--undo", "--yes") if world.job.path("unfinished_undo.txt").exists() else ()
    if words or name == "begin":
        ran = world.job.run(*(words or ("--undo", "--since", since, "--yes")))
        assert ran.code == 0, ran.said
    assert versions(world, key) == before[1:], "one version is gone, and no more"
    (row,) = world.job.completed()
    assert (row.md5, row.how) == (before[1], "renewed")
    assert len(undone(world)) == 1
    assert not world.job.path("unfinished_undo.txt").exists()


def test_full_disk_stops_it_and_it_goes_on(new_world: NewWorld) -> None:
    world = moved(new_world, 12)
    ran = world.job.run("--undo", "--yes", CONCURRENCY=1, limits={resource.RLIMIT_FSIZE: (1_000, 1_000)})
    assert ran.code == 3 and "cannot write" in ran.said and "Traceback" not in ran.said, ran.said
    done = {fields[0] for fields in undone(world)}
    assert 0 < len(done) < 12
    ran = world.job.run("--plan")
    assert f"{len(done)} pending" in ran.out or f"{len(done):,}" in ran.out, ran.said
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == set() and world.job.completed() == []
    assert {fields[0] for fields in undone(world)} == set(world.urls)


@pytest.mark.parametrize("words", neighbors(("--delta",), ("--redo", "again.txt"), ("--delta", "--plan")))
def test_what_would_change_its_rows_waits_for_it(new_world: NewWorld, words: tuple[str, ...]) -> None:
    world = moved(new_world, 12)
    world.s3.change(latency=0.03)
    with world.job.running("--undo", "--yes", CONCURRENCY=2) as running:
        running.until(lambda: len(undone(world)) >= 4)
        running.kill()
    world.s3.change(latency=0.0)
    left = images(world)
    (world.job.folder / "again.txt").write_text(f"{world.urls[0]}\n")
    ran = world.job.run(*words)
    assert ran.code == 2 and "the undo of all that was stored is not finished" in ran.said, ran.said
    assert images(world) == left
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == set()
    assert world.job.run("--delta").code == 0, "what was undone is pending again"
    world.assert_all_moved()


def suspended(world: World) -> World:
    """Suspend the versioning of the bucket."""
    world.s3.store.bucket("bucket").suspended = True
    return world


def test_suspended_versions_are_removed_while_they_are_ours(new_world: NewWorld) -> None:
    world = suspended(new_world(3, store={"versioned": True}))
    assert world.job.run().code == 0
    world.s3.put("bucket", world.key(world.urls[0]), b"somebody else's")
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 1, ran.said
    assert images(world) == {world.key(world.urls[0])} and "2 removed" in ran.out
    deletes = [entry for entry in world.s3.requests("DeleteObject") if "probe" not in entry.key]
    assert len(deletes) == 3 or all("if-match" in entry.headers for entry in deletes)
    assert {fields[4] for fields in undone(world)} == {"null"}
    assert all(versions(world, world.key(url)) == [""] for url in world.urls[1:]), "no bytes are left"
    assert "versioning is suspended" in ran.said


def test_object_of_before_a_suspension_comes_back(new_world: NewWorld) -> None:
    world = suspended(moved(new_world, 2, store={"versioned": True}))
    key = renewed(world, world.urls[0], b"newer bytes")
    ran = world.job.run("--undo", "--since", world.job.completed()[-1].finished_at, "--yes")
    assert ran.code == 0, ran.said
    assert "1 went back to the version below" in ran.out and "which is not atomic" in ran.said
    assert world.s3.objects("bucket")[key].read() == world.source.body(world.urls[0])
    world.assert_all_moved()


# --- what others are told


def test_report_and_certificate_are_those_of_after_the_undo(new_world: NewWorld) -> None:
    world = moved(new_world, 6)
    (world.job.folder / "certificate.html").write_text("complete")
    (world.job.folder / "some.txt").write_text("".join(f"{url}\n" for url in world.urls[:2]))
    assert world.job.run("--undo", "some.txt", "--yes").code == 0
    report = world.job.report()
    assert report["lines"]["completed"] == report["job"]["images"] == 4
    assert report["lines"]["not_tried"] == 2 and report["lines"]["add_up"]
    assert (report["run"]["undone"], report["job"]["undone"]) == (2, 2)
    assert report["largest_run"]["run"]["stored"] == 6
    run = report["job"]["runs"][-1]
    assert (run["command"], run["undone"]) == ("migrate.py --undo some.txt --yes", 2)
    page = world.job.text("migration_report.html")
    assert "The last run was an undo: 2 objects" in page and "--undo some.txt --yes" in page
    assert not world.job.path("certificate.html").exists()
    assert world.job.run("--undo").code == 0
    assert world.job.report() == report, "a dry run changes nothing"


def test_undo_without_its_list_says_that_the_report_is_older(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    world.job.path("urls.txt").unlink()
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0 and images(world) == set(), ran.said
    assert "migration_report.html stays as it was before the undo" in ran.said


def test_undo_is_told_and_shown(new_world: NewWorld) -> None:
    tells = "sh -c 'cat >> told'"
    world = moved(new_world, 30)
    world.s3.change(latency=0.05)
    often = {**QUICK, "cdn2s3.state.status_file.EVERY": 0.05}
    with world.job.running("--undo", "--yes", quick=often, CONCURRENCY=2, NOTIFY_COMMAND=tells) as running:
        running.until(lambda: ((status_in(world.job.folder) or {}).get("phase_done") or 0) >= 2)
        found = status_in(world.job.folder)
        assert found is not None
        ran = running.end()
    assert ran.code == 0, ran.said
    assert (found["phase"], found["phase_of"], found["urls"]) == ("undoing", 30, 30)
    assert found["command"] == "migrate.py --undo --yes"
    ended = status_in(world.job.folder)
    assert ended is not None
    assert (ended["phase"], ended["exit_code"], ended["done"], ended["urls"]) == ("ended", 0, 0, 30)
    (message,) = map(json.loads, (world.job.folder / "told").read_text().splitlines())
    assert (message["event"], message["exit_code"], message["undone"]) == ("end", 0, 30)
    assert world.job.run("--undo", NOTIFY_COMMAND=tells).code == 0
    assert len((world.job.folder / "told").read_text().splitlines()) == 1, "a dry run tells nobody"


@pytest.mark.slow
def test_outage_of_an_undo_is_told(new_world: NewWorld) -> None:
    world = moved(new_world, 60)
    quick = {**QUICK, "cdn2s3.transfer.endpoint_watch.LASTING": 0.1}
    settings = {"NOTIFY_COMMAND": "sh -c 'cat >> told'", "CONCURRENCY": 60, "MAX_RETRIES": 5}
    down = [False]
    world.s3.hook = lambda operation, key, request: Rule("InternalError") if down[0] else None
    world.s3.change(latency=0.02)
    with world.job.running("--undo", "--yes", quick=quick, **settings) as running:
        running.until(lambda: len(undone(world)) >= 1)
        down[0] = True
        running.until(lambda: "outage_start" in world.job.text("told"))
        down[0] = False
        ran = running.end()
    assert ran.code == 0, ran.said
    told = [json.loads(line)["event"] for line in world.job.text("told").splitlines()]
    assert told == ["outage_start", "outage_end", "end"]
    assert runs_in(world.job.folder)[-1].totals.down is not None


@pytest.mark.slow
def test_a_run_in_between_moves_again_what_was_undone_and_keeps_it(new_world: NewWorld) -> None:
    world = moved(new_world, 16)
    world.s3.change(latency=0.03)
    with world.job.running("--undo", "--yes", CONCURRENCY=2) as running:
        running.until(lambda: len(undone(world)) >= 4)
        running.kill()
    world.s3.change(latency=0.0)
    done = {fields[0] for fields in undone(world)}
    new = world.source.url_of("new.jpg")
    world.use([*world.urls, new])
    time.sleep(1.1)  # a row and its undo are told apart by the second
    ran = world.job.run()
    assert ran.code == 1 and "is not finished" in ran.said, ran.said
    assert done <= {url for url in world.urls if world.key(url) in images(world)}
    assert world.job.run("--undo", "--yes").code == 0
    again = {row.url for row in world.job.completed()}
    assert {*done, new} <= again, "what was moved after the undo began is none of it"
    assert images(world) == {world.key(url) for url in again}


# --- together with others


@pytest.mark.slow
def test_another_undo_waits_for_the_first(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    asked = {"file": "gone.txt", "since": None, "began_at": 1_700_000_000, "newest": 1_900_000_000}
    world.job.path("unfinished_undo.txt").write_text(f"{json.dumps(asked)}\n{world.urls[0]}\n")
    (world.job.folder / "other.txt").write_text(f"{world.urls[1]}\n")
    ran = world.job.run("--undo", "other.txt", "--yes")
    assert ran.code == 2 and "the undo of gone.txt is not finished" in ran.said, ran.said
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == {world.key(world.urls[1])}


@pytest.mark.slow
def test_it_waits_for_a_redo_and_for_a_validation(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    redo = world.job.path("unfinished_redo.txt")
    redo.write_text('{"file": "a.txt", "completed_bytes": 0}\n')
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 2 and "a redo is not finished" in ran.said, ran.said
    redo.unlink()
    with held_lock(world.job.path("validation.lock"), "validate.py"):
        ran = world.job.run("--undo", "--yes")
    assert ran.code == 3 and "validate.py is running" in ran.said, ran.said
    assert len(images(world)) == 2


def test_it_refuses_wrong_arguments(new_world: NewWorld) -> None:
    world = moved(new_world, 1)
    for words, said in (
        (("--since", "2026-11-26"), "--since works only with --undo"),
        (("--undo", "--since", "yesterday"), "is no time"),
        (("--undo", "absent.txt"), "cannot read absent.txt (--undo)"),
        (("--undo", "--limit", "3"), "work only with a run"),
        (("--undo", "--plan"), "not allowed with"),
    ):
        ran = world.job.run(*words)
        assert ran.code == 2 and said in ran.said, ran.said
    (world.job.folder / "empty.txt").write_text("\n")
    ran = world.job.run("--undo", "empty.txt", "--yes")
    assert ran.code == 2 and "names nothing to undo" in ran.said, ran.said
    assert len(images(world)) == 1


def test_a_damaged_memory_is_named(new_world: NewWorld) -> None:
    world = moved(new_world, 1)
    world.job.path("unfinished_undo.txt").write_text("{}\n")
    for words in ((), ("--undo", "--yes")):
        ran = world.job.run(*words)
        assert ran.code == 3 and "It remembers an undo that is not finished" in ran.said, ran.said
    assert "Traceback" not in ran.said and len(images(world)) == 1


@pytest.mark.slow
def test_rows_that_a_newer_one_supersedes_never_count_again(new_world: NewWorld) -> None:
    world = moved(new_world, 2)
    older = [row._replace(etag="0" * 32, md5="0" * 32) for row in world.job.completed()]
    newer = world.job.completed()
    world.job.path("completed.txt").write_text("".join("\t".join(row) + "\n" for row in [*older, *newer]))
    assert world.job.run("--undo", "--yes").code == 0
    assert world.job.completed() == []


def test_validation_counts_what_is_undone_as_not_tried(new_world: NewWorld) -> None:
    world = moved(new_world, 3)
    row = world.job.completed()[0]
    later = timestamp(seconds_of(row.finished_at) + 1)
    asked = {"file": "", "since": None, "began_at": seconds_of(row.finished_at), "newest": None}
    world.job.path("unfinished_undo.txt").write_text(json.dumps(asked) + "\n")
    world.job.path("undone.txt").write_text("\t".join([*row[:4], "-", later]) + "\n")
    world.s3.store.delete("bucket", row.key)
    command = [sys.executable, str(ROOT / "validate.py")]
    ran = processes.run(command, world.job.folder, environment(world.job.folder))
    assert ran.returncode == 1, ran.stderr
    assert "the undo of all that was stored is not finished" in ran.stderr
    report = json.loads(world.job.text("validation_report.json"))
    assert world.job.text("missing.txt").split("\t")[2] == "not tried\n", report
    assert report["counts"]["records_elsewhere"] == 0
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_validation_of_a_complete_bucket_ends_with_1_while_an_undo_is_open(new_world: NewWorld) -> None:
    world = moved(new_world, 1)
    memory = world.job.path("unfinished_undo.txt")
    memory.write_text(json.dumps({"file": "", "since": None, "began_at": 1, "newest": 1}) + "\n")
    command = [sys.executable, str(ROOT / "validate.py")]
    for expected in (1, 0):
        ran = processes.run(command, world.job.folder, environment(world.job.folder))
        assert ran.returncode == expected, ran.stderr
        assert json.loads(world.job.text("validation_report.json"))["verdict"] == "complete"
        memory.unlink(missing_ok=True)


@pytest.mark.slow
def test_adopting_after_an_undo_takes_only_what_is_there(new_world: NewWorld) -> None:
    world = moved(new_world, 3)
    kept = world.urls[0]
    (world.job.folder / "list.txt").write_text("".join(f"{url}\n" for url in world.urls[1:]))
    assert world.job.run("--undo", "list.txt", "--yes").code == 0
    assert world.job.run("--adopt").code == 0
    assert [row.url for row in world.job.completed()] == [kept]


@pytest.mark.slow
def test_processes_have_no_part_in_it(new_world: NewWorld) -> None:
    world = moved(new_world, 4, PROCESSES=2)
    assert world.job.run("--undo", "--yes").code == 0
    assert images(world) == set()


@pytest.mark.slow
def test_parts_and_the_other_upload_method_are_undone_as_well(new_world: NewWorld) -> None:
    world = new_world(2, UPLOAD_METHOD="put_object", MAX_BUFFER_MB=8, store={"etag_mode": "md5"})
    world.use([*world.urls, world.source.url_of("large.jpg", size=12_000_000)])
    assert world.job.run().code == 0
    ran = world.job.run("--undo", "--yes")
    assert ran.code == 0, ran.said
    assert images(world) == set()
