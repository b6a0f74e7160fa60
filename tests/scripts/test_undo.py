"""`migrate.py --undo`: what this tool stored is removed again, and nothing that is anybody else's."""

from __future__ import annotations

from typing import Any

from cdn2s3.state.ledger import timestamp
from tests.scripts.world import NewWorld, World


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
