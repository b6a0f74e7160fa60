"""Where a walk ends, and on what evidence: each style, each way in which an API ends its list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Union

import pytest

from cdn2s3.collection.api.page_request import ApiResponse
from cdn2s3.collection.api.pagination import MOST_EMPTY, Paging
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.collection.base import Batch, Ending
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

BASE = "https://api.test/v1/images"
Content = Union[dict[str, Any], list[Any], int, None]  # a page; a number: a status


class Walked(NamedTuple):
    """What a walk came to."""

    urls: list[str]
    ending: Ending
    requests: list[str]  # their queries
    batches: list[Batch]
    look: str = ""  # the query of the last look, where there was one


def paging(style: str, **settings: str) -> Paging:
    values = {"API_BASE_URL": BASE, "API_PAGINATION": style, "API_URLS_FIELD": "items[].url", **settings}
    values.setdefault("API_PER_PAGE_PARAM", "")
    return Paging(build(CollectionSettings, values, {}, Path("collection.env")))


def page(*numbers: int, **more: Any) -> dict[str, Any]:
    return {"items": [{"url": f"https://cdn.test/{number}.jpg"} for number in numbers], **more}


def response(url: str, content: Content) -> ApiResponse:
    if isinstance(content, int):
        return ApiResponse(url, None, {}, content, FatalError(f"the API answered {content}"))
    headers = content.pop("headers", {}) if isinstance(content, dict) else {}
    return ApiResponse(url, content, headers)


def walk(
    paging: Paging,
    pages: Iterable[Content],
    position: PagePosition | None = None,
    there: Content = 404,
) -> Walked:
    """Read pages in their order, whatever is asked for, until the walk ends; all of them must be asked for.

    there is what a last look finds.
    """
    position = position or paging.first()
    batches: list[Batch] = []
    requests = []
    for content in pages:
        assert position is not None, f"the walk has ended before {content}"
        url = paging.request(position).url
        requests.append(url.partition("?")[2])
        batches.append(paging.read(response(url, content), position))
        position = batches[-1].following
    look = ""
    if position is not None and position.ended:
        asked = paging.request(position)
        assert asked.may_be_missing
        look = asked.url.partition("?")[2]
        batches.append(paging.read(response(asked.url, there), position))
        position = batches[-1].following
    assert position is None, f"the walk goes on after the last page, with {position}"
    ending = batches[-1].ending
    assert ending is not None
    return Walked([url for batch in batches for url in batch.urls], ending, requests, batches, look)


TOTAL = {"API_TOTAL_FIELD": "total"}
MORE = {"API_HAS_MORE_FIELD": "has_more"}
DEEP = {"API_CURSOR_FIELD": "meta.paging.next", "API_NEXT_FIELD": "meta.paging.next"}
VOUCHED: list[Any] = [
    # what ends the list, style, settings, pages, why that is the end
    pytest.param("page", {}, [page(1), page(), page(), page()], "asked for twice, and page 3 are empty", id="page"),
    pytest.param("offset", {}, [page(1), page(), page(), page()], "and page 3 are empty", id="offset"),
    pytest.param("page", MORE, [page(1, has_more=True), page(2, has_more=False)], "no more", id="has-more-page"),
    pytest.param("offset", MORE, [page(1, has_more=0)], "no more (API_HAS_MORE_FIELD=has_more", id="has-more-0"),
    pytest.param(
        "cursor", MORE, [page(1, has_more="true", next_cursor=1), page(2, has_more="false", next_cursor=2)],
        "no more", id="has-more-text",
    ),
    pytest.param("cursor", {}, [page(1, next_cursor="a"), page(2)], "the pages before it did", id="cursor-gone"),
    pytest.param("cursor", {}, [page(1, next_cursor=None)], "is there and null", id="cursor-null"),
    pytest.param("cursor", {}, [page(1, next_cursor=False)], "is there and null", id="cursor-false"),
    pytest.param("cursor", {}, [page(1, next_cursor="")], "is there and null", id="cursor-empty"),
    pytest.param("cursor", DEEP, [page(1, meta={"paging": {"next": None}})], "there and null", id="cursor-deep"),
    pytest.param("next_url", DEEP, [page(1, meta={"paging": {"next": None}})], "there and null", id="link-deep"),
    pytest.param("next_url", {}, [page(1, next="?page=2"), page(2)], "the pages before it did", id="link-gone"),
    pytest.param(
        "next_url", {"API_NEXT_FIELD": '"@odata.nextLink"'},
        [page(1, **{"@odata.nextLink": "?p=2"}), page(2, **{"@odata.nextLink": None})], "there and null",
        id="link-quoted",
    ),
    pytest.param(
        "link_header", {}, [page(1, headers={"link": "<?page=2>; rel=next"}), page(2)], "the pages before it did",
        id="header-gone",
    ),
    pytest.param(
        "cursor", {"API_CURSOR_FIELD": "items[-1].url"}, [page(1), page(), page()], "the pages before it did",
        id="cursor-by-last-item",
    ),
    pytest.param(
        "cursor", {}, [page(1, next_cursor="a"), page(next_cursor="a"), page(next_cursor="a")],
        "also when it was asked for again", id="empty-page-names-itself",
    ),
    pytest.param("none", {}, [page(1)], "it is one page", id="one-page"),
    pytest.param("page", {"API_END_STATUS": "400,404"}, [page(1), page(2), 404], "answered 404", id="status"),
    pytest.param("next_url", {"API_END_STATUS": "204"}, [page(1, next="?p=2"), 204], "answered 204", id="204"),
]  # fmt: skip


@pytest.mark.parametrize(("style", "settings", "pages", "why"), VOUCHED)
def test_end_with_evidence(style: str, settings: dict[str, str], pages: list[Content], why: str) -> None:
    ending = walk(paging(style, **settings), pages).ending
    assert why in ending.evidence
    assert ending.refusal is None or "answered" in why


LOOKS_AT: list[Any] = [
    # style, settings, pages, what is asked for at the end
    pytest.param("page", {}, [page(1), page(), page(), page()], "page=0", id="two-empty-pages"),
    pytest.param("page", MORE, [page(1, has_more=False)], "page=0", id="has-more"),
    pytest.param("page", {"API_END_STATUS": "404"}, [page(1), 404], "page=0", id="end-status"),
    pytest.param("page", {**MORE, **TOTAL}, [page(1, total=2, has_more=False)], "page=0", id="total-not-reached"),
    pytest.param("page", {**MORE, **TOTAL}, [page(1, total=1, has_more=False)], "", id="total-reached"),
    pytest.param("page", {**MORE, "API_FIRST_PAGE": "0"}, [page(1, has_more=False)], "", id="from-page-0"),
    pytest.param("offset", MORE, [page(1, 2, 3, has_more=False)], "offset=2", id="offset"),
    pytest.param("offset", MORE, [page(1, 2, has_more=False)], "", id="offset-of-small-pages"),
    pytest.param("cursor", {}, [page(1, 2, 3, next_cursor=None)], "", id="cursor"),
    pytest.param("none", {}, [page(1, 2, 3)], "", id="one-page"),
    pytest.param("page", {}, [page(1), None], "", id="no-evidence"),
]  # fmt: skip


@pytest.mark.parametrize(("style", "settings", "pages", "look"), LOOKS_AT)
def test_end_that_says_nothing_of_the_beginning_is_followed_by_one_look(
    style: str, settings: dict[str, str], pages: list[Content], look: str
) -> None:
    assert walk(paging(style, **settings), pages).look == look


PAGE_0: list[Any] = [
    pytest.param(404, [], id="missing"),
    pytest.param(500, [], id="server-error"),
    pytest.param(None, [], id="no-page"),
    pytest.param(page(), [], id="empty"),
    pytest.param(page(1, 2), [], id="page-1-again"),
    pytest.param(page(8, 9), ["8", "9"], id="a-page-of-its-own"),
]


@pytest.mark.parametrize(("there", "more"), PAGE_0)
def test_urls_of_page_0_are_taken(there: Content, more: list[str]) -> None:
    pages = [page(1, 2, has_more=True), page(3, has_more=False)]
    walked = walk(paging("page", **MORE), pages, there=there)
    assert [url[-5] for url in walked.urls] == ["1", "2", "3", *more]
    assert "says that there is no more" in walked.ending.evidence
    of_all_new = walked.batches[-1].ended(len(more))
    assert of_all_new is not None and ("page 0 has URLs, too" in of_all_new.evidence) == bool(more)
    assert walked.batches[-1].items == 0


@pytest.mark.parametrize(("new", "vouched"), [(0, True), (1, True), (2, False), (3, False)])
def test_offset_that_counts_pages_has_skipped_some(new: int, vouched: bool) -> None:
    """A list may have grown at its beginning since; a page of new URLs is one that was skipped."""
    walked = walk(paging("offset", **MORE), [page(1, 2, 3, has_more=False)], there=page(7, 8, 9))
    ending = walked.batches[-1].ended(new)
    assert ending is not None and bool(ending.evidence) == vouched
    assert ("offset may count pages, not items" in ending.said) != vouched


@pytest.mark.parametrize("style", ["page", "offset"])
def test_items_that_a_last_look_sees_again_do_not_complete_the_total(style: str) -> None:
    """A search that shows 5 of its 8 items, and refuses the rest (Elasticsearch's window of results)."""
    settings = {**TOTAL, "API_END_STATUS": "404", "API_ITEMS_FIELD": "items"}
    pages: list[Any] = [page(1, 2, 3, total=8), page(4, 5, total=8), 404]
    walked = walk(paging(style, **settings), pages, there=page(3, 4, 5, total=8))
    assert [batch.counted(0) for batch in walked.batches[-2:]] == [0, 0]


def test_last_look_is_resumed_and_has_the_doubts_of_the_pages() -> None:
    settings = {**MORE, "API_URLS_FIELD": "items[].[url, thumb_ulr][]"}
    walking = paging("page", **settings)
    position = walking.read(response(BASE, page(1, has_more=False)), walking.first()).following
    again = paging("page", **settings)
    walked = walk(again, [], again.resume(json.loads(json.dumps(position._asdict()))))
    assert (walked.look, len(walked.ending.doubts)) == ("page=0", 1)


def test_next_link_that_is_put_together_may_be_missing_on_the_last_page() -> None:
    """As Confluence's: its path lacks the /wiki before it."""
    settings = {"API_NEXT_FIELD": "join('', ['/wiki', _links.next])"}
    walked = walk(paging("next_url", **settings), [page(1, _links={"next": "/a"}), page(2, _links={})])
    assert "names no next page, and the pages before it did" in walked.ending.evidence


EXPRESSION = {"API_CURSOR_FIELD": "more && next"}
NOTHING: list[Any] = [
    pytest.param("cursor", {}, [page(1)], "names no next page", id="cursor-never-there"),
    pytest.param("next_url", {}, [page(1)], "names no next page", id="link-never-there"),
    pytest.param("link_header", {}, [page(1)], "names no next page", id="header-never-there"),
    pytest.param("cursor", DEEP, [page(1, meta={})], "names no next page", id="parent-lacks-it"),
    pytest.param("cursor", DEEP, [page(1, meta=None)], "names no next page", id="parent-is-null"),
    pytest.param(
        "cursor", EXPRESSION, [page(1, more=None, next=None)], "names no next", id="null-of-an-expression"
    ),
    pytest.param("cursor", EXPRESSION, [page(1, more=False)], "names no next", id="false-of-an-expression"),
    pytest.param(
        "cursor", MORE, [page(1, next_cursor=None, has_more=True)], "there is more", id="contradiction"
    ),
    pytest.param("none", MORE, [page(1, has_more=True)], "more pages", id="one-page-of-several"),
    pytest.param(
        "none", {}, [page(1, headers={"link": "<?page=2>; rel=next"})], "more pages", id="one-of-linked"
    ),
]


@pytest.mark.parametrize(("style", "settings", "pages", "said"), NOTHING)
def test_end_without_evidence(style: str, settings: dict[str, str], pages: list[Content], said: str) -> None:
    ending = walk(paging(style, **settings), pages).ending
    assert (ending.evidence, ending.refusal) == ("", None)
    assert said in ending.said


def test_empty_pages_with_ever_new_cursors_are_followed_for_a_while() -> None:
    pages = [page(next_cursor=number) for number in range(MOST_EMPTY + 1)]
    ending = walk(paging("cursor"), [page(1, next_cursor="a"), page(next_cursor=0), *pages]).ending
    assert (ending.evidence, ending.refusal) == ("", None)
    assert "are empty" in ending.said


@pytest.mark.parametrize("style", ["page", "offset"])
def test_hole_in_the_pages_is_not_the_end(style: str) -> None:
    pages = [page(1, 2), page(), page(), page(5, 6), page(), page(), page()]
    walked = walk(paging(style), pages)
    assert [url[-5] for url in walked.urls] == ["1", "2", "5", "6"]
    expected = {
        "page": ["1", "2", "2", "3", "4", "4", "5"],
        "offset": ["0", "2", "2", "4", "6", "6", "8"],
    }[style]
    assert [query.partition("=")[2] for query in walked.requests] == expected


def test_empty_page_that_has_items_when_asked_again_was_a_slip() -> None:
    walked = walk(paging("page"), [page(1), page(), page(2), page(), page(), page()])
    assert walked.requests == ["page=1", "page=2", "page=2", "page=3", "page=3", "page=4"]


def test_hole_of_several_pages_is_crossed_while_the_total_is_not_reached() -> None:
    pages = [page(1, total=2), *[page(total=2)] * 9, page(2, total=2), page(total=2)]
    assert len(walk(paging("page", **TOTAL), pages).urls) == 2


def test_total_that_is_never_reached_ends_the_walk_after_many_empty_pages() -> None:
    pages = [page(1, total=9), page(total=9), *[page(total=9)] * (MOST_EMPTY + 1)]
    assert "are empty" in walk(paging("page", **TOTAL), pages).ending.evidence


def test_first_empty_page_is_the_end_where_the_total_is_reached() -> None:
    ending = walk(paging("page", **TOTAL), [page(1, total=1), page(total=1)]).ending
    assert ending == Ending("page 2 is empty")


def test_short_page_and_total_are_not_the_end() -> None:
    walked = walk(paging("page", **TOTAL), [page(1, total=1), page(2, total=1), page(total=1)])
    assert len(walked.urls) == 2


def test_link_wins_over_has_more() -> None:
    pages = [page(1, next="?page=2", has_more=False), page(2, next=None, has_more=False)]
    assert len(walk(paging("next_url", **MORE), pages).urls) == 2


@pytest.mark.parametrize("value", ["maybe", ["a"], {"a": 1}, 7])
def test_has_more_that_is_no_boolean_is_named(value: Any) -> None:
    with pytest.raises(FatalError, match="API_HAS_MORE_FIELD=has_more should return true or false"):
        walk(paging("page", **MORE), [page(1, has_more=value)])


HEADERS = [
    ("X-WP-Total", "7", 7),
    ("Content-Range", "items 0-2/319", 319),
    ("Content-Range", "0-2/*", None),
    ("X-Total", "many", None),
]


@pytest.mark.parametrize(("name", "value", "total"), HEADERS)
def test_total_in_a_header(name: str, value: str, total: int | None) -> None:
    walked = walk(paging("none", API_TOTAL_HEADER=name), [page(1, headers={name: value})])
    assert walked.batches[0].total == total


# What an API answers in place of a page past the end, and what it is without a total.
NO_PAGES: list[Any] = [
    pytest.param(lambda: None, "expected shape", id="null"),
    pytest.param(dict, "expected shape", id="no-list"),
    pytest.param(lambda: {"items": None}, "expected shape", id="null-list"),
    pytest.param(lambda: page(2, total=2), "repeats the previous page", id="last-page-again"),
    pytest.param(
        lambda: {"items": [], "errors": [{"message": "x"}]}, "`errors`", id="errors-and-an-empty-list"
    ),
    pytest.param(lambda: 204, "204", id="204"),
    pytest.param(lambda: 400, "400", id="400"),
    pytest.param(lambda: 404, "404", id="404"),
]


@pytest.mark.parametrize(("answer", "said"), NO_PAGES)
def test_no_page_is_the_end_only_together_with_a_total(answer: Callable[[], Content], said: str) -> None:
    walked = walk(paging("page", **TOTAL), [page(1, total=2), page(2, total=2), answer()])
    assert walked.ending.evidence == ""
    assert said in str(walked.ending.refusal)
    assert walked.batches[-1].urls == []
    assert sum(batch.items for batch in walked.batches) == 2


@pytest.mark.parametrize(("answer", "said"), NO_PAGES)
def test_no_page_as_the_first_one_is_an_error(answer: Callable[[], Content], said: str) -> None:
    content = answer()
    if isinstance(content, dict) and content.get("total"):
        return  # there is none before it to repeat
    with pytest.raises(FatalError, match=said):
        walk(paging("page", API_END_STATUS="204,400,404"), [content])


RESUMED = PagePosition("c9", 9, marked=True, items=90, largest=10)


@pytest.mark.parametrize("answer", [400, 404, 410, None, {"error": "bad cursor"}])
@pytest.mark.parametrize("end_status", ["", "400,404,410"])
def test_cursor_that_has_expired_begins_again(
    answer: Content, end_status: str, caplog: pytest.LogCaptureFixture
) -> None:
    walking = paging("cursor", API_END_STATUS=end_status)
    position = walking.resume(RESUMED._asdict())
    batch = walking.read(response(BASE, answer), position)
    assert (batch.begins_again, batch.following, batch.urls) == (True, PagePosition(None), [])
    assert caplog.text.count("the URLs so far are kept") == 1
    with pytest.raises(FatalError):  # once
        walking.read(response(BASE, answer), batch.following)


def test_status_after_a_good_page_of_this_process_is_the_end_after_a_resume_too() -> None:
    walking = paging("cursor", API_END_STATUS="404")
    position = walking.resume(RESUMED._asdict())
    assert "answered 404" in walk(walking, [page(1, next_cursor="d"), 404], position).ending.evidence


def test_number_of_a_page_does_not_expire() -> None:
    walking = paging("page")
    batch = walking.read(response(BASE, 404), walking.resume(PagePosition(10, 9)._asdict()))
    assert batch.ending is not None and batch.ending.refusal is not None


def test_end_status_as_the_first_answer_of_a_resume_is_no_end() -> None:
    walking = paging("page", API_END_STATUS="404")
    assert walking.read(response(BASE, 404), walking.resume(PagePosition(10, 9)._asdict())).begins_again


def test_page_before_is_known_again_after_a_resume() -> None:
    walking = paging("page", **TOTAL)
    following = walking.read(response(BASE, page(1, total=2)), walking.first()).following
    again = paging("page", **TOTAL)
    batch = again.read(response(BASE, page(1, total=2)), again.resume(following._asdict()))
    assert batch.ending is not None and "repeats" in batch.ending.said


def test_same_cursor_with_new_items_is_no_loop() -> None:
    pages = [page(number, next_cursor="same") for number in range(5)]
    walked = walk(paging("cursor"), [*pages, page(next_cursor="same"), page(next_cursor="same")])
    assert len(walked.urls) == 5


@pytest.mark.parametrize("length", [2, 3])
def test_loop_is_found(length: int) -> None:
    cursors = [f"c{number % length}" for number in range(20)]
    pages = [page(number % length, next_cursor=cursor) for number, cursor in enumerate(cursors)]
    walking = paging("cursor")
    with pytest.raises(FatalError, match="in a loop"):
        walk(walking, pages)


def test_walk_of_a_server_that_moves_on_by_itself_is_not_resumed() -> None:
    walking = paging("cursor")
    position = walking.first()
    for number in range(3):
        position = walking.read(response(BASE, page(number, next_cursor="same")), position).following
    again = paging("cursor")
    lost = again.lost(again.resume(position._asdict()))
    assert lost is not None and lost.begins_again
    assert again.lost(lost.following) is None


@pytest.mark.parametrize("empty", [None, []])
def test_page_on_which_no_item_has_a_url_is_counted(empty: Any) -> None:
    blank = {"items": [{"url": empty}, {"url": empty}], "next_cursor": None}
    walked = walk(paging("cursor", API_ITEMS_FIELD="items"), [page(1, next_cursor="a"), blank])
    assert [batch.blank for batch in walked.batches] == [0, 2]


def test_filter_may_leave_pages_without_urls() -> None:
    settings = {"API_URLS_FIELD": "items[?sold].url", "API_ITEMS_FIELD": "items"}
    pages = [page(1, next_cursor="a"), page(2, next_cursor=None)]
    assert [batch.blank for batch in walk(paging("cursor", **settings), pages).batches] == [0, 0]


@pytest.mark.parametrize("end", [{"next_cursor": None}, None])
def test_part_of_the_urls_field_that_finds_nothing_is_a_doubt(end: dict[str, Any] | None) -> None:
    settings = {
        "API_URLS_FIELD": "items[].[url, thumb_ulr][]",
        "API_TOTAL_FIELD": "total",
        "API_ITEMS_FIELD": "items",
    }
    last: list[Content] = [page(2, total=2, **end)] if end else [page(2, next_cursor="b", total=2), 404]
    ending = walk(paging("cursor", **settings), [page(1, next_cursor="a", total=2), *last]).ending
    assert [doubt.split(" finds")[0] for doubt in ending.doubts] == ["`thumb_ulr` in API_URLS_FIELD"]


SIZED = {"API_PER_PAGE_PARAM": "limit"}
PROOFS: list[Any] = [
    pytest.param("cursor", page(1, 2, next_cursor="a"), True, id="cursor"),
    pytest.param("next_url", page(1, 2, next="/x?page=2"), True, id="next_url"),
    pytest.param("link_header", page(1, 2, headers={"link": "<?page=2>; rel=next"}), True, id="link_header"),
    pytest.param("cursor", page(1, 2), False, id="no-cursor"),
    pytest.param("cursor", page(1, 2, nextcursor="a"), False, id="mistyped"),
    pytest.param("cursor", 400, False, id="refused"),
    pytest.param("cursor", None, False, id="null"),
]


@pytest.mark.parametrize(("style", "again", "proved"), PROOFS)
def test_only_page_is_asked_for_again_with_fewer_items(style: str, again: Content, proved: bool) -> None:
    walked = walk(paging(style, **SIZED), [page(1, 2, 3, 4), again])
    assert walked.requests == ["limit=100", "limit=2"]
    assert (len(walked.urls), sum(batch.items for batch in walked.batches)) == (4, 4)
    assert ("with 2 items a page it does" in walked.ending.evidence) == proved
    assert (walked.ending.evidence == "", walked.ending.refusal) == (not proved, None)


@pytest.mark.parametrize(
    ("only", "settings"),
    [
        (page(1), SIZED),
        (page(1, 2), {}),
        (page(1, 2, total=2), {**SIZED, **TOTAL}),
        (page(1, 2, has_more=True), {**SIZED, **MORE}),
    ],
    ids=["one-item", "no-page-size", "total-reached", "there-is-more"],
)
def test_only_page_is_not_asked_for_again_in_vain(only: Content, settings: dict[str, str]) -> None:
    assert len(walk(paging("cursor", **settings), [only]).requests) == 1


def test_proof_survives_the_checkpoint() -> None:
    walking = paging("cursor", **SIZED)
    position = walking.read(response(BASE, page(1, 2, 3)), walking.first()).following
    again = paging("cursor", **SIZED)
    assert again.request(again.resume(position._asdict())).url == BASE + "?limit=1"
