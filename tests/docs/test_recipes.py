"""Each recipe in docs/recipes/ collects the API that it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jmespath
import pytest

from tests import ROOT
from tests.fakes.api_shapes import SHAPES, ShapeServer
from tests.recipes import QUICK, RECIPES, collect, localized, settings_of
from tests.tiers import slow


def put_files(name: str, server: ShapeServer, folder: Path) -> None:
    """Write what a shape has on the disk into folder."""
    folder.mkdir(exist_ok=True)
    for file, content in SHAPES[name].files(server.site).items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("name", SHAPES)
def test_recipe_collects_all_that_its_api_has(name: str, tmp_path: Path) -> None:
    with ShapeServer(SHAPES[name]) as server:
        put_files(name, server, tmp_path)
        settings = {**localized(settings_of(name), server.site), **QUICK}
        collected = collect(tmp_path, settings)
        assert sorted(collected.urls) == sorted(SHAPES[name].expected(server.site)), collected.said
        assert collected.code == 0, collected.said


def mistyped(settings: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each setting that names something in the API's pages or requests, and the settings with a typo in it."""
    for name, value in settings.items():
        typo = re.sub(r"([A-Za-z]\w*)(?=\W*$)", r"\1x", value)
        if typo != value and (
            name.endswith(("_FIELD", "_PARAM", "_IDS")) or name in ("API_TOTAL_HEADER", "URL_COLUMNS")
        ):
            yield name, {**settings, name: typo}


@pytest.mark.parametrize(
    "name", [name if number % 16 == 0 else slow(name) for number, name in enumerate(SHAPES)]
)
def test_recipe_with_a_typo_never_passes_for_complete(name: str, tmp_path: Path) -> None:
    with ShapeServer(SHAPES[name]) as server:
        settings = {**localized(settings_of(name), server.site), **QUICK, "MAX_RETRIES": "0"}
        for setting, wrong in mistyped(settings):
            folder = tmp_path / setting
            put_files(name, server, folder)
            collected = collect(folder, wrong)
            is_all = sorted(collected.urls) == sorted(SHAPES[name].expected(server.site))
            assert is_all or collected.code != 0, f"{setting}={wrong[setting]}\n{collected.said}"


def test_each_shape_has_a_recipe_and_each_recipe_a_shape() -> None:
    assert set(RECIPES) == set(SHAPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_begins_with_what_it_is_for(name: str) -> None:
    first, *rest = RECIPES[name].read_text(encoding="utf-8").splitlines()
    assert first == f"# {SHAPES[name].title}"
    settings = [line for line in rest if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S.*|[A-Z_]+=", line) for line in settings)
    assert rest[-len(settings) :] == settings, "comments come first"


def test_document_has_each_recipe_with_what_it_is_for() -> None:
    document = (ROOT / "docs" / "api-integration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+)\]\(recipes/(.+)\.env\) \| (.+) \|$", document, re.MULTILINE)
    assert sorted(rows) == sorted((name, name, shape.title) for name, shape in SHAPES.items())


EXPRESSIONS = {  # of the table in the document: a page, and what the expression finds in it
    "items[].[image_url || photo_url][]": ({"items": [{"photo_url": "a"}, {"image_url": "b"}]}, ["a", "b"]),
    "items[].sizes.*.url[]": ({"items": [{"sizes": {"s": {"url": "a"}, "l": {"url": "b"}}}, {}]}, ["a", "b"]),
    "items[].[image.url, more[].url][][]": (
        {"items": [{"image": {"url": "a"}, "more": [{"url": "b"}, {"url": "c"}]}]},
        ["a", "b", "c"],
    ),
    "pages.*.url": ({"pages": {"12": {"url": "a"}, "-1": {}}}, ["a"]),
    "included[?type=='image'].attributes.url": (
        {"included": [{"type": "image", "attributes": {"url": "a"}}, {"type": "tag"}]},
        ["a"],
    ),
    'items[]."image-url"': ({"items": [{"image-url": "a"}]}, ["a"]),
    "documents[].image || `[]`": ({}, []),
    "links[?rel=='next'].href | [0]": ({"links": [{"rel": "prev"}, {"rel": "next", "href": "a"}]}, "a"),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_in_the_document_finds_what_it_says(expression: str) -> None:
    document = (ROOT / "docs" / "api-integration.md").read_text(encoding="utf-8").replace("\\|", "|")
    assert expression in document
    page, found = EXPRESSIONS[expression]
    assert jmespath.search(expression, page) == found


@pytest.mark.parametrize(("name", "setting"), [("magento", "API_URL_BASE"), ("flickr", "API_URL_TEMPLATE")])
def test_typo_in_what_builds_the_urls_is_found_at_the_cdn_and_repeated(
    name: str, setting: str, tmp_path: Path
) -> None:
    with ShapeServer(SHAPES[name]) as server:
        settings = {**localized(settings_of(name), server.site), **QUICK}
        settings[setting] = settings[setting].replace("/u/", "/ux/").replace("product", "products")
        settings[setting] = settings[setting].replace("_b.jpg", "_c.jpg")
        for said in (collect(tmp_path, settings), collect(tmp_path, settings)):
            assert said.code == 1, said.said
            assert f"correct {setting}" in said.out
