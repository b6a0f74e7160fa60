"""A recipe is found by the host of a service, or by the path that every installation of a software has."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.collection.suggest.recipes import like


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://api.flickr.com/services/rest/?method=flickr.photos.search", ["flickr"]),
        ("https://blog.of.mine/wp-json/wp/v2/media", ["wordpress", "wordpress-hole"]),
        ("https://shop.of.mine/rest/V1/products?x=1", ["magento", "magento-exact"]),
        (
            "https://fr.wikimedia.org/w/api.php",
            ["mediawiki-by-id", "wikimedia-allimages", "wikimedia-generator"],
        ),
        ("https://mine.myshopify.com/admin/api/2026-01/products.json", ["shopify-graphql", "shopify-rest"]),
        ("https://mine.test/api/images", []),
        ("https://mine.test/", []),
        ("http://[", []),
    ],
)
def test_recipe_is_found_by_host_or_path(url: str, names: list[str]) -> None:
    assert like(url) == names


def test_checkout_without_recipes_has_none(tmp_path: Path) -> None:
    assert like("https://api.flickr.com/", tmp_path) == []
