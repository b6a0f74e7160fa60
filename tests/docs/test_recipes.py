"""Each recipe in docs/recipes/ collects the API that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes.api_shapes import SHAPES, ShapeServer
from tests.recipes import QUICK, RECIPES, collect, localized, settings_of

# What has a recipe, but not yet all settings that the recipe names.
WAITING = frozenset({
    "algolia", "archive-files", "archive-thumbs", "artic", "auction-nested", "cloudinary", "cloudinary-420",
    "contentful", "contentstack", "couchdb", "csv-export", "csv-list", "datocms", "deep-path", "directus",
    "drf-proxy", "drupal-jsonapi", "ebay-browse", "elasticsearch", "elasticsearch-scroll", "etsy", "flickr",
    "gbif", "gitlab", "google-drive", "google-photos", "graphql-get", "hygraph", "iiif-manifest", "imagekit",
    "imgix", "imgur", "json-export", "jsonl-export", "magento", "magento-exact", "medusa", "met-api",
    "met-files", "mongodb-find", "nasa-images", "no-image", "notion", "odata", "odoo", "payload", "pixabay",
    "prestashop", "prismic", "rakuten", "saleor", "salesforce", "shopify-graphql", "shopify-rest", "sitemap",
    "squarespace", "storyblok", "strapi-entries", "strapi-files", "stripe", "supabase", "unsplash",
    "uploadcare", "vam", "walmart", "wikidata", "wikimedia-generator", "wix", "woocommerce", "wordpress",
    "zendesk",
})  # fmt: skip
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
