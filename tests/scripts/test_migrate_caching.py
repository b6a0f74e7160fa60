"""CACHE_CONTROL by content type, on the objects: by both ways of uploading, and in parts."""

from __future__ import annotations

import pytest

from tests.scripts.world import NewWorld
from tests.tiers import neighbors

RULES = "image/*: public, max-age=2592000; image/svg+xml: no-cache; *: max-age=604800"


@pytest.mark.parametrize("method", neighbors("signed", "put_object"))
def test_each_object_gets_what_its_type_says(
    new_world: NewWorld, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(2, UPLOAD_METHOD=method, CACHE_CONTROL=RULES, MAX_BUFFER_MB=1)
    large = world.source.url_of("large.jpg", size=9_000_000)
    drawing = world.source.url_of("drawing.svg")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    whole = world.source.body
    monkeypatch.setattr(
        world.source, "body", lambda target: svg if target.endswith(".svg") else whole(target)
    )
    world.use([*world.urls, large, drawing])
    planned = world.job.run("--plan")
    assert "image/svg+xml: no-cache" in planned.out and "all other types: max-age=604800" in planned.out
    sampled = world.job.run("--sample", "4")
    assert sampled.code == 0, sampled.said
    assert "image/jpeg: public, max-age=2592000" in sampled.out
    assert world.job.run().code == 0
    assert "Cache-Control of image/svg+xml: no-cache" in world.job.log
    objects = world.s3.objects("bucket")
    found = {url: objects[world.key(url)].headers.get("cache-control") for url in world.urls}
    assert found.pop(drawing) == "no-cache"
    assert set(found.values()) == {"public, max-age=2592000"}


def test_type_without_a_rule_gets_none(new_world: NewWorld) -> None:
    world = new_world(1, CACHE_CONTROL="image/png: no-cache")
    assert world.job.run().code == 0
    assert "cache-control" not in world.s3.objects("bucket")[world.key(world.urls[0])].headers
    assert "does not keep" not in world.job.log


def test_rule_that_is_none_is_refused_before_anything_is_contacted(new_world: NewWorld) -> None:
    world = new_world(1, CACHE_CONTROL="image/jpg: no-cache")
    ran = world.job.run()
    assert ran.code == 2
    assert "write image/jpeg, not image/jpg" in ran.err
    assert list(world.s3.log) == []
