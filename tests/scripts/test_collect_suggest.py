"""collect_urls.py --suggest: the lines that it prints collect the API or export that they were made from."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.fakes.api_shapes import SHAPES, ShapeServer
from tests.recipes import QUICK, Collected, collect, localized, settings_of

LOGIN = ("API_AUTH_TOKEN", "API_AUTH_HEADER", "API_AUTH_SCHEME", "API_HEADERS")
COLLECTED = [  # the shapes for which the lines are all that it takes
    "wordpress", "shopify-rest", "bigcommerce-v3", "sfcc-ocapi", "ebay", "woocommerce", "squarespace", "etsy",
    "medusa", "commercetools", "spree", "ebay-browse", "walmart", "rakuten", "amazon-sp", "contentful",
    "strapi-files", "cloudinary", "cloudinary-420", "airtable", "drupal-jsonapi", "ghost", "prismic",
    "storyblok", "payload", "strapi-entries", "contentstack", "unsplash", "pixabay", "instagram", "bynder",
    "imagekit", "uploadcare", "pexels", "smugmug", "tumblr", "wikimedia-allimages", "wikimedia-generator",
    "met-files", "iiif-manifest", "europeana", "dpla", "harvard", "smithsonian", "nasa-images", "cleveland",
    "loc", "met-api", "inaturalist", "stripe", "elasticsearch-scroll", "drf", "drf-proxy", "graphql-get",
    "deep-path", "no-image", "hubspot", "salesforce", "algolia", "typesense", "meilisearch", "supabase", "solr",
    "odata", "spring-hal", "zendesk", "intercom", "slack-files", "auction-inline", "auction-nested", "sitemap",
    "json-export", "jsonl-export", "csv-export", "csv-list", "laravel", "spring-page", "ckan", "socrata",
    "arcgis", "nocodb", "last-id", "scroll-again", "mediawiki-by-id", "mastodon",
]  # fmt: skip


def suggested(name: str, server: ShapeServer, folder: Path) -> tuple[Collected, dict[str, str]]:
    """Return what --suggest says about a shape, and the settings to collect it with."""
    recipe = localized(settings_of(name), server.site)
    for file, content in SHAPES[name].files(server.site).items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content, encoding="utf-8")
    source = recipe.get("API_BASE_URL") or recipe.get("SITEMAP_URL") or recipe["FILES"]
    login = {setting: recipe[setting] for setting in LOGIN if setting in recipe}
    said = collect(folder, {**login, **QUICK}, ["--suggest", source])
    lines = [line for line in said.out.splitlines() if line and not line.startswith("#")]
    return said, {**QUICK, **login, **dict(line.split("=", 1) for line in lines)}


@pytest.mark.parametrize("name", COLLECTED)
def test_suggested_lines_collect_all_that_the_api_has(name: str, tmp_path: Path) -> None:
    with ShapeServer(SHAPES[name]) as server:
        said, settings = suggested(name, server, tmp_path)
        collected = collect(tmp_path, settings)
        assert said.code == 0, said.said
        assert sorted(collected.urls) == sorted(SHAPES[name].expected(server.site)), said.out + collected.said
        assert collected.code == 0, said.out + collected.said


def test_one_page_is_not_proposed_where_there_may_be_more(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["sanity"]) as server:
        said, settings = suggested("sanity", server, tmp_path)
        collected = collect(tmp_path, settings)
    assert "API_PAGINATION" not in settings
    assert "# ! nothing names a next page" in said.out
    assert collected.code != 0


def test_suggesting_writes_no_file(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["drf"]) as server:
        suggested("drf", server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["collection.env"]


def test_what_no_line_can_express_is_named(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["google-drive"]) as server:
        said, settings = suggested("google-drive", server, tmp_path)
    assert said.code == 1
    assert settings["API_CURSOR_PARAM"] == "pageToken"
    assert "# ! no image URL found in the 7 items of files, which have: id." in said.out
    assert "API_URL_TEMPLATE" in said.out


def test_tested_settings_for_such_an_api_are_named(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["magento"]) as server:
        said, _ = suggested("magento", server, tmp_path)
    assert said.code == 1
    assert "# ! /m/b/0.jpg isn't a complete URL" in said.out
    assert "docs/recipes/magento.env" in said.out


def test_api_that_takes_only_post_says_what_it_needs(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["shopify-graphql"]) as server:
        said, _ = suggested("shopify-graphql", server, tmp_path)
    assert said.code == 3
    assert "needs API_METHOD and API_BODY" in said.said


def test_refused_login_says_what_to_set(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["unsplash"]) as server:
        said = collect(tmp_path, QUICK, ["--suggest", f"{server.site.origin}/users/me/photos"])
    assert said.code == 3
    assert "the API answered 401" in said.said
    assert "API_AUTH_TOKEN" in said.said


def test_key_in_the_query_is_in_the_line_that_needs_it_alone(tmp_path: Path) -> None:
    with ShapeServer(SHAPES["pixabay"]) as server:
        said = collect(tmp_path, QUICK, ["--suggest", f"{server.site.origin}/api/?key=s3cret&q=a"])
    assert [line for line in said.said.splitlines() if "s3cret" in line] == [
        f"API_BASE_URL={server.site.origin}/api/?key=s3cret&q=a"
    ]


@pytest.mark.parametrize("file", [{}, {"API_RATE_LIMIT": "fast"}], ids=["missing", "bad"])
def test_settings_file_may_be_missing_but_not_wrong(file: dict[str, str], tmp_path: Path) -> None:
    with ShapeServer(SHAPES["drf"]) as server:
        source = f"{server.site.origin}/api/images/"
        said = collect(tmp_path, file, ["--suggest", source] + ([] if file else ["--env-file", "none.env"]))
    assert said.code == 2
    assert ("cannot read the settings file" if not file else "API_RATE_LIMIT") in said.said


URL = "https://cdn.example/{}.jpg"
EXPORTS = [  # a file's name, its content, and the format that it is
    ("feed.tsv", "sku\tpicture\n1\t" + URL.format(1) + "\n", "tsv"),
    ("feed.csv.gz", "sku;picture\n1;" + URL.format(1) + "\n2;" + URL.format(2) + "\n", "csv"),
    (
        "feed.xml",
        f'<rss xmlns:g="http://base.google.com/ns/1.0"><item><g:image_link>{URL.format(1)}</g:image_link></item></rss>',
        "xml",
    ),
    ("page.html", f'<html><img src="{URL.format(1)}"><a href="https://shop.example/">x</a></html>', "html"),
    ("list.txt", URL.format(1) + "\n" + URL.format(2) + "\n", "list"),
    ("bulk.jsonl", '{"id": 1, "image": {"src": "' + URL.format(1) + '"}}\n', "json"),
]


@pytest.mark.parametrize(("name", "content", "file_format"), EXPORTS, ids=[name for name, _, _ in EXPORTS])
def test_suggested_lines_collect_an_export(name: str, content: str, file_format: str, tmp_path: Path) -> None:
    data = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
    (tmp_path / name).write_bytes(data)
    said = collect(tmp_path, {}, ["--suggest", name])
    lines = dict(line.split("=", 1) for line in said.out.splitlines() if not line.startswith("#"))
    assert lines["FILE_FORMAT"] == file_format
    assert lines["URL_PREFIX"] == "https://cdn.example/"
    collected = collect(tmp_path, lines)
    assert collected.urls == [URL.format(number) for number in (1, 2) if URL.format(number) in content]
    assert collected.code == 0, collected.said


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("names.csv", "sku,file\n1,a.jpg\n", "API_URL_BASE"),
        ("pages.csv", "sku,page\n1,https://shop.example/hat.html\n", "no URL of an image was found"),
        ("book.xlsx", "PK\x03\x04...", "save the sheet as CSV"),
        ("missing.csv", None, "it is no file"),
    ],
)
def test_export_that_cannot_be_collected_says_what_to_do(
    name: str, content: str | None, advice: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    said = collect(tmp_path, {}, ["--suggest", name])
    assert said.code in (1, 2)
    assert advice in said.said
