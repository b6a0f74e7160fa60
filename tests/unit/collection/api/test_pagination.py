"""The five ways to page: which URL is asked for, what ends the walk, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.api.page_request import ApiResponse
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

BASE = "https://api.test/v1/images"


def paging(style: str = "page", **settings: str) -> Paging:
    values = {"API_BASE_URL": BASE, "API_PAGINATION": style, "API_URLS_FIELD": "items[].url", **settings}
    return Paging(build(CollectionSettings, values, {}, Path("collection.env")))


def page_with(count: int, start: int = 0, **more: Any) -> dict[str, Any]:
    return {"items": [{"url": f"https://cdn.test/{start + i}.jpg"} for i in range(count)], **more}


def read(
    walk: Paging, content: Any, position: PagePosition | None = None, link: str | None = None
) -> tuple[list[Any], PagePosition | None]:
    position = position or walk.first()
    batch = walk.read(
        ApiResponse(walk.request(position).url, content, {"link": link} if link else {}), position
    )
    return batch.urls, batch.following


FIRST = [
    pytest.param("page", {}, "?per_page=100&page=1", id="page"),
    pytest.param("page", {"API_FIRST_PAGE": "0"}, "?per_page=100&page=0", id="page-from-0"),
    pytest.param("page", {"API_PAGE_PARAM": "p[n]", "API_PER_PAGE_PARAM": ""}, "?p[n]=1", id="own-names"),
    pytest.param("offset", {"RESULTS_PER_PAGE": "7"}, "?per_page=7&offset=0", id="offset"),
    pytest.param("cursor", {}, "?per_page=100", id="cursor"),
    pytest.param("next_url", {}, "?per_page=100", id="next_url"),
    pytest.param("link_header", {"API_PER_PAGE_PARAM": "limit"}, "?limit=100", id="link_header"),
]


@pytest.mark.parametrize(("style", "settings", "query"), FIRST)
def test_first_url_of_style(style: str, settings: dict[str, str], query: str) -> None:
    walk = paging(style, **settings)
    assert walk.request(walk.first()).url == BASE + query


def test_base_url_keeps_its_own_query_but_not_paging_parameters() -> None:
    walk = paging(API_BASE_URL=BASE + "?key=a%20b&page=9&flag#top")
    assert walk.request(walk.first()).url == BASE + "?key=a%20b&flag&per_page=100&page=1"


FOLLOWING = [
    pytest.param("page", {}, None, "?per_page=100&page=2", id="page"),
    pytest.param("offset", {}, None, "?per_page=100&offset=3", id="offset-advances-by-items-received"),
    pytest.param("cursor", {"next_cursor": "a b&c"}, None, "?per_page=100&cursor=a%20b%26c", id="cursor"),
    pytest.param("cursor", {"next_cursor": 17}, None, "?per_page=100&cursor=17", id="cursor-a-number"),
    pytest.param("next_url", {"next": BASE + "?page=2#x"}, None, "?page=2", id="next_url"),
    pytest.param("next_url", {"next": "?page=2"}, None, "?page=2", id="next_url-relative-query"),
    pytest.param("next_url", {"next": "/v1/images?c=3"}, None, "?c=3", id="next_url-relative-path"),
    pytest.param("next_url", {"next": "https://API.test:443/v1/images?c=3"}, None, None, id="same-origin"),
    pytest.param(
        "link_header", {}, f'<{BASE}?c=1>; rel="prev", <?c=5>; rel="next"', "?c=5", id="link_header"
    ),
    pytest.param("link_header", {}, "<?c=5>; REL=Next", "?c=5", id="link_header-other-case"),
    pytest.param("link_header", {}, '<?c=5>; rel="next last"', "?c=5", id="link_header-two-relations"),
]


@pytest.mark.parametrize(("style", "more", "link", "query"), FOLLOWING)
def test_next_url_of_style(style: str, more: dict[str, Any], link: str | None, query: str | None) -> None:
    walk = paging(style)
    _, following = read(walk, page_with(3, **more), link=link)
    assert following is not None
    expected = BASE + query if query else "https://API.test:443/v1/images?c=3"
    assert walk.request(following).url == expected


OTHER_ORIGINS = [
    "https://evil.test/v1/images?page=2",
    "http://api.test/v1/images?page=2",
    "https://api.test:8443/v1/images?page=2",
    "//evil.test/images",
    "https://api.test@evil.test/",
    "https://user:pw@api.test/v1/images",
    "https://api.test.evil.test/",
]


@pytest.mark.parametrize("link", OTHER_ORIGINS)
@pytest.mark.parametrize("style", ["next_url", "link_header"])
def test_next_link_to_another_origin_is_asked_at_our_own_and_said_once(
    style: str, link: str, caplog: pytest.LogCaptureFixture
) -> None:
    walk = paging(style)
    _, second = read(walk, page_with(2, next=link), link=f'<{link}>; rel="next"')
    assert second is not None
    assert walk.request(second).url.startswith("https://api.test/")
    assert walk.request(second).url.endswith(link.partition("//")[2].partition("/")[2])
    link += "?page=3"
    read(walk, page_with(2, 2, next=link), second, link=f'<{link}>; rel="next"')
    assert caplog.text.count("the origin of API_BASE_URL") == 1
    assert "pw" not in caplog.text


@pytest.mark.parametrize(
    "link",
    [
        "https://api.test\\@evil.test/",
        "https://api.test/a b",
        "ftp://api.test/x",
        "https://[",
        "\t/x",
        "mailto:x",
    ],
)
def test_next_link_that_is_no_url_is_an_error(link: str) -> None:
    with pytest.raises(FatalError, match="does not have the expected shape"):
        read(paging("next_url"), page_with(2, next=link))


@pytest.mark.parametrize(
    ("style", "more", "setting"),
    [
        ("cursor", {"next_cursor": True}, "API_CURSOR_FIELD"),
        ("next_url", {"next": {"href": "/x"}}, "API_NEXT_FIELD"),
        ("next_url", {"next": 2}, "API_NEXT_FIELD"),
    ],
)
def test_next_of_another_type_is_an_error_that_names_the_setting(
    style: str, more: dict[str, Any], setting: str
) -> None:
    with pytest.raises(FatalError, match=setting):
        read(paging(style), page_with(2, **more))


STORED = [
    pytest.param("page", PagePosition(17, 16, 0), id="page"),
    pytest.param("offset", PagePosition(1600, 16, 0), id="offset"),
    pytest.param("cursor", PagePosition("abc", 3, 1), id="cursor"),
    pytest.param("cursor", PagePosition(None, 0, 0), id="cursor-first"),
    pytest.param("next_url", PagePosition(BASE + "?page=9", 8, 0), id="next_url"),
]


def test_position_of_an_older_version_has_the_defaults() -> None:
    assert paging("cursor").resume({"asked": "abc", "pages": 3, "empty": 1}) == PagePosition("abc", 3, 1)


@pytest.mark.parametrize(("style", "position"), STORED)
def test_position_survives_the_checkpoint(style: str, position: PagePosition) -> None:
    assert paging(style).resume(position._asdict()) == position


BROKEN: list[Any] = [
    pytest.param("page", {}, id="empty"),
    pytest.param("page", {"asked": "2", "pages": 1, "empty": 0}, id="page-as-text"),
    pytest.param("page", {"asked": True, "pages": 1, "empty": 0}, id="page-as-boolean"),
    pytest.param("page", {"asked": 2, "pages": -1, "empty": 0}, id="negative"),
    pytest.param("page", {"asked": 2, "pages": "1", "empty": 0}, id="pages-as-text"),
    pytest.param("cursor", {"asked": True, "pages": 1, "empty": 0}, id="cursor-as-boolean"),
    pytest.param("cursor", {"asked": "a", "pages": 1, "empty": 0, "marked": 1}, id="marked-as-number"),
    pytest.param("cursor", {"asked": "a", "pages": 1, "empty": 0, "total": "7"}, id="total-as-text"),
    pytest.param("none", {"asked": 5, "pages": 1, "empty": 0}, id="number-of-one-page"),
    pytest.param("next_url", {"asked": "https://evil.test/", "pages": 1, "empty": 0}, id="other-origin"),
    pytest.param("link_header", {"asked": "https://[", "pages": 1, "empty": 0}, id="no-url"),
]


@pytest.mark.parametrize(("style", "stored"), BROKEN)
def test_position_that_is_none_is_refused(style: str, stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="position"):
        paging(style).resume(stored)


def test_counts_are_of_items_where_their_field_is_set() -> None:
    content = {
        "items": [{"a": "u1", "b": "u2"}, {"a": "u3", "b": None}, {"a": None, "b": None}],
        "total": "3",
    }
    fields = {"API_URLS_FIELD": "items[].[a, b][]", "API_TOTAL_FIELD": "total"}
    walk = paging(API_ITEMS_FIELD="items", **fields)
    batch = walk.read(ApiResponse(BASE, content, {}), walk.first())
    assert (batch.urls, batch.items, batch.total) == (["u1", "u2", "u3"], 3, 3)
    walk = paging(**fields)
    assert walk.read(ApiResponse(BASE, content, {}), walk.first()).items == 3


def test_items_without_url_are_counted() -> None:
    walk = paging()
    content = {"items": [{"url": "https://cdn.test/1.jpg"}, {"url": None}, {}, {"url": 5}]}
    batch = walk.read(ApiResponse(BASE, content, {}), walk.first())
    assert (batch.urls, batch.without_url) == (["https://cdn.test/1.jpg", 5], 2)
