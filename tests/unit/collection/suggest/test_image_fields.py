"""Where the images of a page are: found by the texts, written as JMESPath that finds them again."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest

from cdn2s3.collection.suggest.image_fields import (
    expression,
    image_fields,
    items_expression,
    list_of,
    main_list,
)

A, B = "https://cdn.example/a.jpg", "https://cdn.example/b.png?w=1"

PAGES = [
    pytest.param([A, B], "", [A, B], id="bare list"),
    pytest.param({"urls": [A, B]}, "urls[]", [A, B], id="list of URLs"),
    pytest.param(
        {"items": [{"image": A}, {"image": None}, {"image": B}]}, "items[].image", [A, B], id="items"
    ),
    pytest.param([{"urls": {"raw": A}}, {"urls": {"raw": B}}], "[].urls.raw", [A, B], id="list of objects"),
    pytest.param(
        {"data": {"files": {"nodes": [{"image": {"url": A}}, {"image": {"url": B}}]}}},
        "data.files.nodes[].image.url",
        [A, B],
        id="deep",
    ),
    pytest.param(
        {"lots": [{"images": [{"big": A, "small": B}]}]},
        "lots[].images[].[big, small][]",
        [A, B],
        id="two in one object",
    ),
    pytest.param(
        [{"src": A, "sizes": {"thumb": {"src": B}, "full": {"src": A}}}],
        "[].[src, sizes.*.src][][]",
        [A, B, A],
        id="beside an object whose names are data",
    ),
    pytest.param(
        {"query": {"pages": {"12": {"info": [{"url": A}]}, "-1": {"info": [{"url": B}]}}}},
        "query.pages.*.info[].url",
        [A, B],
        id="objects by their ID",
    ),
    pytest.param({"a": [{"resource": {"@id": A}}]}, 'a[].resource."@id"', [A], id="name in quotes"),
    pytest.param({"image": {"url": A}}, "[image.url]", [A], id="a single image"),
    pytest.param(
        {"feed": [{"full": "https://cdn.example/plain/x@jpeg"}, {"video": {"still": A}}]},
        "feed[].[full, video.still][]",
        ["https://cdn.example/plain/x@jpeg", A],
        id="ending after an @",
    ),
    pytest.param(
        {"next": "https://api.example/p2", "items": [{"photo": "https://img.example/x"}]},
        "items[].photo",
        ["https://img.example/x"],
        id="no ending, but a telling name",
    ),
]


@pytest.mark.parametrize(("page", "wanted", "urls"), PAGES)
def test_expression_finds_the_images_of_the_page(page: Any, wanted: str, urls: list[Any]) -> None:
    fields = image_fields(page)
    where = main_list(fields)
    found = expression([field.path for field in fields if list_of(field.path) == where])
    assert found == wanted
    assert jmespath.search(found or "@", page) == urls
    assert not items_expression(where) or isinstance(jmespath.search(items_expression(where), page), list)


def test_path_of_an_image_is_likelier_than_the_url_of_a_folder() -> None:
    """As in Wagtail, whose detail_url lies below /images/."""
    item = {"detail_url": "https://api.example/images/1/", "download_url": "/media/1.jpg"}
    (field,) = image_fields({"items": [{"meta": item}]})
    assert field.values == ["/media/1.jpg"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("//images.example/a.jpg", "schemeless"),
        ("/uploads/a.jpg", "path"),
        ("/uploads/a hat.jpg", "path"),
        ("a.jpg", "name"),
        ("2024/05/a.webp", "name"),
    ],
)
def test_address_that_needs_a_base_is_found_with_its_form(text: str, form: str) -> None:
    (field,) = image_fields(
        {"items": [{"file": text, "title": "A hat.", "href": "https://api.example/items/1"}]}
    )
    assert (field.form, field.values) == (form, [text])


@pytest.mark.parametrize(
    "page",
    [
        {"items": [{"id": 1, "title": "no.such thing"}], "self": "https://api.example/images/"},
        {"config": {"iiif_url": "https://iiif.example/iiif/2"}, "data": [{"image_id": "5"}]},
        {"items": [{"link": "https://shop.example/image-of-a-hat"}]},
        {"items": []},
        "https://cdn.example/",
        None,
    ],
    ids=["links to itself", "an address of the service", "a page about it", "empty", "text", "null"],
)
def test_page_without_images_has_no_field(page: Any) -> None:
    assert image_fields(page) == []


def test_whole_urls_win_over_names_of_files() -> None:
    page = {"items": [{"file": "a.jpg", "url": A}, {"file": "b.png", "url": B}]}
    assert [field.path for field in image_fields(page)] == [("items", "[]", "url")]


def test_fields_of_further_pages_count_too() -> None:
    pages = [{"image": A, "more": []}, {"image": "", "more": [B]}]
    paths = [field.path for field in image_fields(*pages)]
    found = expression(paths)
    assert [jmespath.search(found, page) for page in pages] == [[A], ["", B]]
