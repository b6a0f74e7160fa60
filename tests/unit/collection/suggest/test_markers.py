"""What a page says about the next one, under the names that APIs use."""

from __future__ import annotations

from typing import Any

import pytest

from cdn2s3.collection.api.styles import next_in
from cdn2s3.collection.suggest import markers

URL = "https://api.example/items?page=2"


@pytest.mark.parametrize(
    ("page", "style", "field", "value"),
    [
        ({"next": URL}, "next_url", "next", URL),
        ({"count": 3, "next": None}, "next_url", "next", None),
        ({"links": {"self": {"href": "x"}, "next": {"href": URL}}}, "next_url", "links.next.href", URL),
        ({"_links": {"next": {"href": "/items?page=2"}}}, "next_url", "_links.next.href", "/items?page=2"),
        ({"@odata.nextLink": URL}, "next_url", '"@odata.nextLink"', URL),
        ({"paging": {"cursors": {"after": "Q"}, "next": URL}}, "next_url", "paging.next", URL),
        ({"nextRecordsUrl": "/services/data/v60.0/query/01g-2000"}, "next_url", "nextRecordsUrl", None),
        ({"pagination": {"next_url": URL}}, "next_url", "pagination.next_url", URL),
        ({"next_page": {"offset": "eyJ0", "path": "/t?o=1", "uri": URL}}, "next_url", "next_page.uri", URL),
        ({"pagination": {"urls": {"next": URL, "last": URL}}}, "next_url", "pagination.urls.next", URL),
        ({"data": {"after": "t3_x", "children": []}}, "cursor", "data.after", "t3_x"),
        ({"next_cursor": "abc"}, "cursor", "next_cursor", "abc"),
        ({"meta": {"next": 40}}, "cursor", "meta.next", 40),
        ({"paging": {"next": {"after": "NTI1"}}}, "cursor", "paging.next.after", "NTI1"),
        ({"nextPageToken": "~1"}, "cursor", "nextPageToken", "~1"),
        ({"records": [], "offset": "itr/rec5"}, "cursor", "offset", "itr/rec5"),
        ({"data": {"f": {"pageInfo": {"endCursor": "Mw"}}}}, "cursor", "data.f.pageInfo.endCursor", "Mw"),
        ({"continue": {"a": "1", "continue": "-||"}}, "cursor", "continue", {"a": "1", "continue": "-||"}),
    ],
)
def test_name_of_the_next_page_is_found(page: Any, style: str, field: str, value: Any) -> None:
    marker = markers.marker_of(page, "")
    assert marker is not None
    assert (marker.style, marker.field) == (style, field)
    assert marker.value == (
        value if value is not None or "nextRecordsUrl" not in page else page["nextRecordsUrl"]
    )


@pytest.mark.parametrize(
    "page", [{"offset": 20}, {"page": 1, "pages": 3}, {"items": [{"next": URL}]}, [], {"self": {"href": URL}}]
)
def test_numbers_and_what_is_in_items_name_no_next_page(page: Any) -> None:
    assert markers.marker_of(page, "") is None


def test_link_header_comes_before_what_the_page_has() -> None:
    header = f'<{URL}>; rel="next", <https://api.example/items>; rel="first"'
    marker = markers.marker_of({"next": "/x"}, next_in(header) or "")
    assert marker == markers.Marker("link_header", "", URL)


@pytest.mark.parametrize(
    ("page", "items", "has_next", "found"),
    [
        ({"total": 99, "totalHits": 7}, 3, True, ("totalHits", 7)),
        ({"count": 3, "total": 7}, 3, True, ("total", 7)),
        ({"count": 3}, 3, True, None),
        ({"count": 7}, 7, False, ("count", 7)),
        ({"photos": {"total": "7", "pages": 3}}, 3, True, ("photos.total", 7)),
        ({"hits": {"total": {"value": 7}}}, 3, True, ("hits.total.value", 7)),
        ({"meta": {"pagination": {"total": 7, "total_pages": 3}}}, 3, True, ("meta.pagination.total", 7)),
        ({"total": 2}, 3, True, None),
        ({"total": True}, 1, True, None),
    ],
)
def test_total_is_found_by_its_name_and_size(page: Any, items: int, has_next: bool, found: Any) -> None:
    assert markers.total_of(page, items, has_next) == found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-wp-total": "7"}, ("X-WP-Total", 7)),
        ({"x-total-count": "7"}, ("X-Total-Count", 7)),
        ({"content-range": "items 0-2/7"}, ("Content-Range", 7)),
        ({"content-range": "items 0-2/*"}, None),
        ({"x-total": "2"}, None),
    ],
)
def test_total_is_found_in_a_header(headers: dict[str, str], found: Any) -> None:
    assert markers.total_header(headers, 3) == found


@pytest.mark.parametrize(
    ("following", "lost"),
    [
        ("?page=2&limit=3", ["include"]),
        ("?page=2&limit=3&include=images", []),
        ("?page_info=xyz&limit=3", []),
        ("/query/01g-2000", []),
    ],
)
def test_link_that_only_counts_pages_must_repeat_the_other_parameters(
    following: str, lost: list[str]
) -> None:
    assert markers.lost_params("https://api.example/p?include=images&limit=3", following) == lost
