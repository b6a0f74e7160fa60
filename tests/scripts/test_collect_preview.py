"""collect_urls.py --preview: what the settings find on the first two pages, and what to set where something lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.api_shapes import SHAPES, ShapeServer
from tests.recipes import QUICK, Collected, collect, localized, settings_of


def previewed(name: str, folder: Path, **changed: str) -> Collected:
    """Return what --preview says with a recipe's settings, some of them changed."""
    with ShapeServer(SHAPES[name]) as server:
        recipe = localized(settings_of(name), server.site)
        said = collect(folder, {**recipe, **QUICK, **changed}, ["--preview"])
        assert len(server.requests) <= 3
    assert sorted(path.name for path in folder.iterdir()) == ["collection.env"]
    return said


def test_preview_shows_pages_settings_urls_keys_and_the_end(tmp_path: Path) -> None:
    said = previewed("airtable", tmp_path)
    assert said.code == 0, said.said
    for line in (
        "records: list of 3",
        "API_URLS_FIELD=records[].fields.Photos[].url: 3 values",
        "API_CURSOR_FIELD=offset: text",
        "page 1: 3 items, 3 URLs",
        "page 2: 3 items, 2 URLs, 1 without a URL",
        "/cdn/u/0.jpg -> images/0.jpg",
        "page 2 was found at API_CURSOR_FIELD=offset",
        "a page that has no cursor confirms the end",
    ):
        assert line in said.out


def test_preview_makes_the_keys_by_migration_env(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "migration.env").write_text("DESTINATION_PREFIX=pictures/\nPRESERVE_PATH_STRUCTURE=true\n")
    with ShapeServer(SHAPES["drf"]) as server:
        said = collect(folder, {**localized(settings_of("drf"), server.site), **QUICK}, ["--preview"])
    assert "/cdn/u/0.jpg -> pictures/cdn/u/0.jpg" in said.out


@pytest.mark.parametrize(
    ("name", "header"),
    [("cloudinary", "X-FeatureRateLimit-Remaining: 490")],
)
def test_preview_shows_the_headers_about_limits(name: str, header: str, tmp_path: Path) -> None:
    assert header.lower() in previewed(name, tmp_path).out.lower()


@pytest.mark.parametrize(
    ("name", "changed", "advice"),
    [
        ("drf", {"API_TOTAL_FIELD": ""}, "API_TOTAL_FIELD=count (7)"),
        ("wordpress", {"API_TOTAL_HEADER": ""}, "API_TOTAL_HEADER=X-WP-Total (7)"),
        ("airtable", {"API_CURSOR_FIELD": "next_cursor"}, "there is one at offset"),
        ("artic", {"API_NEXT_FIELD": "next"}, "there is one at pagination.next_url"),
        ("drf", {"URL_PREFIX": "https://other.example/"}, "6 of 6 URLs would be rejected"),
        ("auction-inline", {"API_ITEMS_FIELD": ""}, "API_ITEMS_FIELD=lots"),
    ],
)
def test_preview_says_what_to_set(name: str, changed: dict[str, str], advice: str, tmp_path: Path) -> None:
    said = previewed(name, tmp_path, **changed)
    assert said.code == 1, said.said
    assert advice in said.out.partition("Check this:")[2]


def test_preview_of_two_steps_shows_the_details_too(tmp_path: Path) -> None:
    said = previewed("auction-nested", tmp_path)
    assert said.code == 0, said.said
    assert "API_DETAIL_IDS=auctions[].id: 3 values" in said.out
    assert "The first details: GET" in said.out
    assert "API_URLS_FIELD=lots[].images[].url: 2 values" in said.out


def test_preview_of_an_export_shows_its_first_urls(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text(
        "sku,image\n1,https://cdn.example.com/a.jpg\n2,https://other.example/b.jpg\n"
    )
    said = collect(tmp_path, settings_of("csv-export") | {"URL_COLUMNS": "image"}, ["--preview"])
    assert "https://cdn.example.com/a.jpg -> images/a.jpg" in said.out
    assert "1 of 2 URLs would be rejected, such as https://other.example/b.jpg" in said.out
    assert said.code == 1


def test_preview_stops_where_a_collection_would_and_shows_the_page(tmp_path: Path) -> None:
    said = previewed("drf", tmp_path, API_URLS_FIELD="results[].picture")
    assert said.code == 3
    assert "results: list of 3" in said.out
    assert "finds no URL in any of them" in said.said


def test_preview_asks_for_the_first_url_of_each_host(tmp_path: Path) -> None:
    typo = settings_of("flickr")["API_URL_TEMPLATE"].replace("_b.jpg", "_b.jgp")
    for name, changed, code, answer in (
        ("right", {}, 0, ": 200, image/jpeg"),
        ("typo", {"API_URL_TEMPLATE": typo}, 1, ": 404, no content type"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        with ShapeServer(SHAPES["flickr"]) as server:
            recipe = localized({**settings_of("flickr"), **changed}, server.site)
            said = collect(folder, {**recipe, **QUICK}, ["--preview"])
        assert said.code == code, said.said
        assert answer in said.out.partition("What the CDN answers to the first URL of each host:")[2]
        assert ("correct API_URL_TEMPLATE" in said.out.partition("Check this:")[2]) == bool(code)


def test_preview_shows_no_secret(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["instagram"]) as server:
        recipe = localized(settings_of("instagram"), server.site)
        recipe["API_BASE_URL"] = recipe["API_BASE_URL"].replace(
            "access_token=t", "access_token=t&x=s3cret-canary"
        )
        said = collect(tmp_path, {**recipe, **QUICK}, ["--preview"])
    assert said.code == 0, said.said
    assert "s3cret-canary" not in said.said
