"""Each recipe in docs/recipes/ collects the API that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes.api_shapes import SHAPES, ShapeServer
from tests.recipes import QUICK, RECIPES, collect, localized, settings_of

# What has a recipe, but not yet all settings that the recipe names.
WAITING = frozenset(
    [
        "wordpress",
        "shopify-rest",
        "shopify-graphql",
        "magento",
        "magento-exact",
        "contentful",
        "strapi-files",
        "cloudinary-420",
        "drupal-jsonapi",
        "unsplash",
        "pixabay",
        "flickr",
        "wikimedia-generator",
        "archive-thumbs",
        "archive-files",
        "met-files",
        "artic",
        "iiif-manifest",
        "gitlab",
        "stripe",
        "elasticsearch",
        "elasticsearch-scroll",
        "drf-proxy",
        "graphql-get",
        "deep-path",
        "no-image",
        "google-drive",
        "auction-nested",
        "sitemap",
        "json-export",
        "jsonl-export",
        "csv-export",
        "csv-list",
    ]
)
_waits = pytest.mark.xfail(reason="its settings are not all there yet", strict=False)
RUN = [pytest.param(name, marks=_waits if name in WAITING else ()) for name in SHAPES]


@pytest.mark.parametrize("name", RUN)
def test_recipe_collects_all_that_its_api_has(name: str, tmp_path: Path) -> None:
    with ShapeServer(SHAPES[name]) as server:
        for file, content in SHAPES[name].files(server.site).items():
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(content, encoding="utf-8")
        settings = {**localized(settings_of(name), server.site), **QUICK}
        collected = collect(tmp_path, settings)
        assert sorted(collected.urls) == sorted(SHAPES[name].expected(server.site)), collected.said
        assert collected.code == 0, collected.said


def test_each_shape_has_a_recipe_and_each_recipe_a_shape() -> None:
    assert set(RECIPES) == set(SHAPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_begins_with_what_it_is_for(name: str) -> None:
    first, *rest = RECIPES[name].read_text(encoding="utf-8").splitlines()
    assert first == f"# {SHAPES[name].title}"
    settings = [line for line in rest if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S.*|[A-Z_]+=", line) for line in settings)
    assert rest[-len(settings) :] == settings, "comments come first"
