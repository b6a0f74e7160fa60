"""`migrate.py --delta`: what has changed at the source is renewed, and nothing else is touched."""

from __future__ import annotations

from hashlib import md5

import pytest

from cdn2s3.state.changes import Change, read
from tests.running import Migration, Ran, assert_consistent, counts
from tests.scripts.world import NewWorld, World


def changes(job: Migration) -> dict[str, Change]:
    """Return what changes.txt says, by URL."""
    return {change.line: change for change in read(job.path("changes.txt").parent)}


def told(job: Migration) -> dict[str, str]:
    """Return what changes.txt says became of each URL."""
    return {url: change.what for url, change in changes(job).items()}


def moved(world: World) -> World:
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.s3.store.writes.clear()
    world.source.bodies.clear()
    return world


def delta(world: World, *arguments: str, **options: object) -> Ran:
    return world.job.run("--delta", *arguments, **options)


def image_writes(world: World) -> dict[str, int]:
    """Return how often each image was written."""
    return {key: times for (_, key), times in world.s3.store.writes.items() if key.endswith(".jpg")}


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return moved(new_world(40))


def test_nothing_changed_moves_no_byte(world: World) -> None:
    before = world.job.text("completed.txt")
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "delta: 40 unchanged (304)" in ran.said
    assert image_writes(world) == {}
    assert sum(world.source.bodies.values()) == 1  # the source probe: an ETag that no file has
    assert world.job.text("completed.txt") == before
    assert told(world.job) == {}
    assert counts(world.job)["completed"] == 40


def test_changed_image_is_renewed_once(world: World) -> None:
    url = world.urls[7]
    old, new = md5(world.source.body(url)).hexdigest(), md5(world.source.change(url)).hexdigest()
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "39 unchanged" in ran.said and "1 renewed" in ran.said
    assert image_writes(world) == {world.key(url): 1}
    rows = world.job.completed()
    assert len(rows) == 40
    assert [(row.md5, row.how, row.source_etag) for row in rows if row.url == url] == [
        (new, "renewed", f'"{new}"')
    ]
    assert told(world.job) == {url: "renewed"}
    assert (changes(world.job)[url].old_md5, changes(world.job)[url].new_md5) == (old, new)
    assert len(world.job.text("completed.txt.bak").splitlines()) == 41
    assert_consistent(world.job, world.source, world.s3)
    assert counts(world.job)["completed"] == 40
    assert "delta: 40 unchanged (304)" in delta(world).said
