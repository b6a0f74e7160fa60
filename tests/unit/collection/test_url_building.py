"""URLs from parts: a base that completes them, a template that builds them."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.collection.expressions import ItemError
from cdn2s3.collection.url_building import UrlBuilder, is_no_image

BASE = "https://cdn.example/media/"

JOINED = [
    ("//img.example/1.jpg", "https://img.example/1.jpg"),
    ("/u/1.jpg", "https://cdn.example/media/u/1.jpg"),
    ("1.jpg", "https://cdn.example/media/1.jpg"),
    ("u/1.jpg?v=3", "https://cdn.example/media/u/1.jpg?v=3"),
    ("../1.jpg", "https://cdn.example/1.jpg"),
    ("./1.jpg", "https://cdn.example/media/1.jpg"),
    (" a b.jpg ", "https://cdn.example/media/a%20b.jpg"),
    ("ü.jpg", "https://cdn.example/media/%C3%BC.jpg"),
    ("a%20b.jpg", "https://cdn.example/media/a%20b.jpg"),
    ("100%.jpg", "https://cdn.example/media/100%25.jpg"),
    ("File:1.jpg", "https://cdn.example/media/File:1.jpg"),
    ("12:30.jpg", "https://cdn.example/media/12:30.jpg"),
    ("http://other.example/a b.jpg", "http://other.example/a b.jpg"),
    ("HTTPS://other.example/1.jpg", "HTTPS://other.example/1.jpg"),
    ("data:image/png;base64,AA==", "data:image/png;base64,AA=="),
    ("s3://bucket/1.jpg", "s3://bucket/1.jpg"),
]


@pytest.mark.parametrize(("given", "url"), JOINED)
def test_base_completes_what_is_no_whole_url(given: str, url: str) -> None:
    assert UrlBuilder(BASE, "").urls(given) == [url]
    assert UrlBuilder(BASE.rstrip("/"), "").urls(given) == [url]


def test_base_may_be_taken_as_a_browser_does() -> None:
    joined = UrlBuilder(BASE, "", like_a_browser=True)
    assert joined.urls("/u/1.jpg") == ["https://cdn.example/u/1.jpg"]
    assert joined.urls("u/1.jpg") == ["https://cdn.example/media/u/1.jpg"]


@pytest.mark.parametrize("given", ["//img.example/1.jpg", "/1.jpg", " x "])
def test_without_a_base_nothing_is_changed(given: str) -> None:
    assert UrlBuilder(None, "").urls(given) == [given]


CDN = "https://cdn.example"
FILES = {"server": "ia8.example:80", "dir": "/5", "files": [{"name": "a"}, {"name": "b"}]}
FLICKR = {"server": 65535, "id": "5", "secret": "ab"}
IIIF = {"base": "https://iiif.example:8182/2?x=1", "id": 7.0}
BUILT: list[Any] = [
    pytest.param(CDN + "/{server}/{id}_{secret}_b.jpg", FLICKR, [CDN + "/65535/5_ab_b.jpg"], id="parts"),
    pytest.param(CDN + "/p{file}", {"file": "/a/b c.jpg"}, [CDN + "/p/a/b%20c.jpg"], id="path"),
    pytest.param(CDN + "/{n}", {"n": "5%? #1.jpg"}, [CDN + "/5%25%3F%20%231.jpg"], id="not in a path"),
    pytest.param(CDN + "/{n}", {"n": "ü%C3%BC.jpg"}, [CDN + "/%C3%BC%C3%BC.jpg"], id="encoded already"),
    pytest.param(CDN + "/i?id={n}&w=1", {"n": "a&b=c/d"}, [CDN + "/i?id=a%26b%3Dc/d&w=1"], id="query"),
    pytest.param("{base}/full/{id}.jpg", IIIF, [IIIF["base"] + "/full/7.jpg"], id="URL to begin with"),
    pytest.param(
        "https://{server}{dir}/{files[].name}",
        FILES,
        ["https://ia8.example:80/5/a", "https://ia8.example:80/5/b"],
        id="host and list",
    ),
    pytest.param(CDN + "/{id}{suffix || ''}.jpg", {"id": 1}, [CDN + "/1.jpg"], id="empty on purpose"),
    pytest.param(CDN + "/{@}.jpg", "abc", [CDN + "/abc.jpg"], id="the record itself"),
    pytest.param(CDN + "/{a.b.c.d}", {"a": {"b": {"c": {"d": "1"}}}}, [CDN + "/1"], id="deep"),
    pytest.param(CDN + "/{id}", {"id": None}, [None], id="null"),
    pytest.param(CDN + "/{id}", {"id": ""}, [None], id="empty"),
    pytest.param(CDN + "/{id}", {"id": False}, [None], id="false"),
    pytest.param(CDN + "/{files[].name}", {"files": []}, [None], id="no files"),
    pytest.param(CDN + "/{id}", {}, [None], id="absent"),
    pytest.param(CDN + "/{id}", {"id": 0}, [CDN + "/0"], id="zero is a number"),
]


@pytest.mark.parametrize(("template", "record", "urls"), BUILT)
def test_template_is_filled_from_a_record(template: str, record: Any, urls: list[str | None]) -> None:
    assert UrlBuilder(None, template).urls(record) == urls


def test_template_may_leave_the_host_to_the_base() -> None:
    assert UrlBuilder(BASE, "{id}/{n}.jpg").urls({"id": 5, "n": "a b"}) == [
        "https://cdn.example/media/5/a%20b.jpg"
    ]


@pytest.mark.parametrize(
    ("template", "record", "said"),
    [
        (
            "https://h/{id}",
            {"id": {"a": 1}},
            "item 4: API_URL_TEMPLATE: {id} should be text or a number, not an object",
        ),
        ("https://h/{id}", {"id": True}, "not a boolean"),
        (
            "https://h/{a[]}/{b[]}",
            {"a": ["1", "2"], "b": ["3", "4"]},
            "more than one of its fields found a list",
        ),
        ("https://h/{join('', [id])}", {"id": 5}, "join() takes a list of string, not a number"),
    ],
)
def test_record_that_does_not_fit_is_named(template: str, record: Any, said: str) -> None:
    (error,) = UrlBuilder(None, template).urls(record, 4)
    assert isinstance(error, ItemError)
    assert said in str(error)


@pytest.mark.parametrize("value", [None, False, "", " ", "\u00a0", [], {}])
def test_ways_to_say_that_there_is_no_image(value: object) -> None:
    assert is_no_image(value)
    assert UrlBuilder(BASE, "").urls(value) == [None]


@pytest.mark.parametrize("value", [0, 1, True, "x", ["x"], {"a": 1}])
def test_other_values_are_no_way_to_say_it(value: object) -> None:
    assert not is_no_image(value)
