"""The request for a page from a template: where a value goes, how it is escaped, what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.api.page_request import PageRequest
from cdn2s3.collection.api.styles import STYLES
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

BASE = "https://api.test/v1/images"
NOTHING_MORE = {"API_PER_PAGE_PARAM": ""}


def settings_with(style: str, **settings: str) -> CollectionSettings:
    values = {"API_BASE_URL": BASE, "API_PAGINATION": style, **settings}
    return build(CollectionSettings, values, {}, Path("collection.env"))


def request(style: str, asked: Any, **settings: str) -> PageRequest:
    built = settings_with(style, **settings)
    return STYLES[style](built).request(asked)


BODIES: list[Any] = [
    # template, style, value, body
    pytest.param('{"p": {page}, "n": {limit}}', "page", 3, {"p": 3, "n": 100}, id="page"),
    pytest.param('{"p": "{page}"}', "page", 3, {"p": "3"}, id="quoted-number-stays-text"),
    pytest.param('{"from": {offset}, "size": {limit}}', "offset", 200, {"from": 200, "size": 100}, id="offset"),
    pytest.param('{"v": {"after": {cursor}}}', "cursor", 'a"b\\', {"v": {"after": 'a"b\\'}}, id="cursor"),
    pytest.param('{"v": {"after": "{cursor}"}}', "cursor", 'a"b\\', {"v": {"after": 'a"b\\'}}, id="quoted"),
    pytest.param('{"q": "after:\\"{cursor}\\""}', "cursor", 'x"y', {"q": 'after:"x"y"'}, id="within-a-text"),
    pytest.param('{"v": {"after": {cursor}}, "n": 1}', "cursor", None, {"v": {}, "n": 1}, id="first-page"),
    pytest.param('{"after": "{cursor}"}', "cursor", None, {}, id="first-page-quoted"),
    pytest.param(
        '{"query": "q", "variables": {"after": {cursor}, "w": {"a": {cursor}}}, "extra": {cursor}}', "cursor", None,
        {"query": "q", "variables": {"after": None, "w": {"a": None}}}, id="first-page-graphql",
    ),
    pytest.param('{"a": ["x", {cursor}]}', "cursor", None, {"a": ["x"]}, id="first-page-in-a-list"),
    pytest.param('{"search_after": {cursor}}', "cursor", [17, "a"], {"search_after": [17, "a"]}, id="a-list"),
    pytest.param('{"token": {cursor}}', "cursor", {"a": 1}, {"token": {"a": 1}}, id="an-object"),
    pytest.param(
        '{"a": {cursor.id}, "b": "{cursor.at}", "c": {cursor.no}}', "cursor", {"id": 5, "at": "t"},
        {"a": 5, "b": "t"}, id="parts-of-an-object",
    ),
    pytest.param('[{"skip": {offset}}]', "offset", 0, [{"skip": 0}], id="a-list-as-the-body"),
    pytest.param(
        '{"query": "{edges{node{ cursor }}}", "n": {limit}}', "cursor", "x",
        {"query": "{edges{node{ cursor }}}", "n": 100}, id="graphql-field-of-that-name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("template", "style", "value", "body"), BODIES)
def test_json_body(template: str, style: str, value: Any, body: Any) -> None:
    found = request(style, value, API_METHOD="POST", API_BODY=template)
    assert found.body is not None
    assert json.loads(found.body) == body
    assert (found.method, found.content_type) == ("POST", "application/json")


def test_body_with_places_leaves_the_url_as_it_is() -> None:
    assert request("page", 2, API_METHOD="POST", API_BODY='{"page": {page}}').url == BASE


def test_body_without_places_leaves_the_paging_to_the_url() -> None:
    found = request("page", 2, API_METHOD="POST", API_BODY='{"q": "cats"}')
    assert (found.url, found.body) == (BASE + "?per_page=100&page=2", b'{"q":"cats"}')


def test_form_body() -> None:
    settings = {"API_METHOD": "POST", "API_BODY": "action=list&page={page}&n={limit}&after={page}:a b"}
    found = request("page", 2, **settings)
    assert found.body == b"action=list&page=2&n=100&after=2:a b"
    assert found.content_type == "application/x-www-form-urlencoded"


PLAIN_TEXT: list[Any] = [
    pytest.param("fields id; where n = 5; offset {offset};", "fields id; where n = 5; offset 3;"),
    pytest.param("SELECT ?i {?s ?p ?i} LIMIT {limit} OFFSET {offset}", "SELECT ?i {?s ?p ?i} LIMIT 100 OFFSET 3"),
    pytest.param('<r xmlns="u=1"><from>{offset}</from></r>', '<r xmlns="u=1"><from>3</from></r>'),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sent"), PLAIN_TEXT, ids=["apicalypse", "sparql", "xml"])
def test_body_that_is_neither_json_nor_a_form_is_sent_as_text(body: str, sent: str) -> None:
    found = request("offset", 3, API_METHOD="POST", API_BODY=body)
    assert (found.body or b"").decode() == sent
    assert found.content_type == "text/plain; charset=utf-8"


def test_body_goes_with_each_page_of_linked_styles() -> None:
    settings = {"API_METHOD": "POST", "API_BODY": '{"n": {limit}}'}
    for asked, url in ((None, BASE), (BASE + "?page=2", BASE + "?page=2")):
        assert request("next_url", asked, **settings)[:3] == (url, b'{"n":100}', "POST")


URLS = [
    pytest.param("/{page}/x?n={limit}", "page", 2, "/2/x?n=100", id="path"),
    pytest.param("/{cursor}", "cursor", "a/b?c", "/a%2Fb%3Fc", id="path-is-escaped"),
    pytest.param("?after={cursor}&a=1", "cursor", "a&b=c", "?after=a%26b%3Dc&a=1", id="query-is-escaped"),
    pytest.param("?after={cursor}&a=1", "cursor", None, "?a=1", id="parameter-without-a-value"),
    pytest.param(
        "?filter=skip:{offset},take:{limit}", "offset", 5, "?filter=skip:5,take:100", id="in-a-text"
    ),
    pytest.param(
        '?variables={"after":{cursor}}', "cursor", "x", "?variables=%7B%22after%22%3A%22x%22%7D", id="json"
    ),
    pytest.param(
        '?variables={"after":{cursor}}',
        "cursor",
        None,
        "?variables=%7B%22after%22%3Anull%7D",
        id="json-first-page",
    ),
    pytest.param('?$lastId="{cursor}"', "cursor", None, "?$lastId=%22%22", id="json-text-first-page"),
    pytest.param('?$lastId="{cursor}"', "cursor", 'a"b', "?$lastId=%22a%5C%22b%22", id="json-text"),
    pytest.param("?q={a}&after={cursor}", "cursor", "x", "?q={a}&after=x", id="other-braces-stay"),
    pytest.param("?c={cursor}", "cursor", {"a": 1}, "?c=%7B%22a%22%3A1%7D", id="an-object-in-one-place"),
    pytest.param("?i={cursor.id}&d={cursor.d}", "cursor", {"id": 1}, "?i=1", id="an-object-in-places"),
]


@pytest.mark.parametrize(("template", "style", "value", "url"), URLS)
def test_places_in_the_url(template: str, style: str, value: Any, url: str) -> None:
    assert request(style, value, API_BASE_URL=BASE + template, **NOTHING_MORE).url == BASE + url


def test_limit_has_its_place_or_its_parameter() -> None:
    assert request("page", 1, API_BASE_URL=BASE + "?take={limit}").url == BASE + "?take=100&page=1"
    assert request("page", 1).url == BASE + "?per_page=100&page=1"


def test_object_goes_out_as_several_parameters() -> None:
    asked = {"gcmcontinue": "file|3", "continue": "gcmcontinue||", "iicontinue": None}
    found = request("cursor", asked, API_BASE_URL=BASE + "?continue=", **NOTHING_MORE)
    assert found.url == BASE + "?gcmcontinue=file%7C3&continue=gcmcontinue%7C%7C"


def test_one_page_is_asked_for_as_it_stands() -> None:
    assert request("none", None, API_BASE_URL=BASE + "?a=1#x") == PageRequest(BASE + "?a=1")


REFUSED = [
    pytest.param("page", {"API_BODY": "{}"}, "it needs API_METHOD=POST", id="body-of-a-get"),
    pytest.param("page", {"API_METHOD": "PUT"}, "one of GET, POST", id="method"),
    pytest.param(
        "page", {"API_BASE_URL": BASE + "/{offset}"}, "does not fill: it has {page}", id="other-place"
    ),
    pytest.param(
        "none", {"API_BASE_URL": BASE + "/{page}"}, "API_PAGINATION=none does not fill.", id="no-place"
    ),
    pytest.param("page", {"API_METHOD": "POST", "API_BODY": '{"a": 1,}'}, "must be JSON", id="no-json"),
    pytest.param(
        "page", {"API_METHOD": "POST", "API_BODY": "@nowhere.json"}, "nowhere.json: No such", id="no-file"
    ),
    pytest.param(
        "cursor",
        {"API_METHOD": "POST", "API_BODY": '{"page": {page}}'},
        "API_BODY has {page}",
        id="in-a-body",
    ),
]


@pytest.mark.parametrize(("style", "settings", "said"), REFUSED)
def test_request_that_does_not_fit_is_refused(style: str, settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_with(style, **settings)
    assert said in str(caught.value)


def test_body_is_read_from_a_file_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('\ufeff{\n  "key": "s3cret",\n  "page": {page}\n}\n', encoding="utf-8")
    settings = settings_with("page", API_METHOD="POST", API_BODY=f"@{file}")
    assert STYLES["page"](settings).request(4).body == b'{"key":"s3cret","page":4}'
    assert "s3cret" not in repr(settings)
    with pytest.raises(UsageError) as caught:
        settings_with("page", API_METHOD="POST", API_BODY='{"key": "s3cret"')
    assert "s3cret" not in str(caught.value)
