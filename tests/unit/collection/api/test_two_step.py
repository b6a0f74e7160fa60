"""A list of IDs, then the details of each: what is asked for, what is counted, where a resume goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import requests

from cdn2s3.collection.api import two_step
from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.two_step import TwoStepPosition, TwoStepSource
from cdn2s3.collection.base import Batch
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

API = "https://api.test/auctions"
Answers = Callable[[str, "dict[str, str]"], Any]  # by path and query: a page, or a status


class Source:
    """A source whose API is a function, and what was asked of it; page 0 is a 404, unless the function has it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answers: Answers, has_page_0: bool = False, **settings: str
    ) -> None:
        values = {
            "API_BASE_URL": API,
            "API_DETAIL_URL": API + "/{id}/lots",
            "API_DETAIL_IDS": "auctions[].id",
            "API_URLS_FIELD": "lots[].url",
            "API_PER_PAGE_PARAM": "",
            "API_HAS_MORE_FIELD": "more",
            **settings,
        }
        self.asked: list[str] = []
        asked = self.asked

        class FakeApi:
            def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
                self.auth = session.auth

            def get(self, request: PageRequest, page: str) -> ApiResponse:
                parts = urlsplit(request.url)
                asked.append(f"{unquote(parts.path)}?{parts.query}".replace("/auctions", "", 1).rstrip("?"))
                query = dict(parse_qsl(parts.query))
                is_missing = query.get("page") == "0" and not has_page_0
                answer = 404 if is_missing else answers(unquote(parts.path), query)
                if isinstance(answer, int):
                    return ApiResponse(
                        request.url, None, {}, answer, FatalError(f"the API answered {answer}")
                    )
                return ApiResponse(request.url, answer, {})

        monkeypatch.setattr(two_step, "Api", FakeApi)
        self.settings = build(CollectionSettings, values, {}, Path("collection.env"))
        self.source = self.again()

    def again(self) -> TwoStepSource:
        """Return the source as another process has it."""
        with api_session(self.settings) as session:
            return TwoStepSource(self.settings, session)

    def walk(self, position: TwoStepPosition | None = None) -> list[Batch]:
        batches: list[Batch] = []
        position = position or self.source.first()
        while position is not None:
            batches.append(self.source.read(position))
            position = batches[-1].following
            assert len(batches) < 100
        return batches


def urls(batches: list[Batch]) -> list[Any]:
    return [url for batch in batches for url in batch.urls]


def of_lots(auction: str, page: int, pages: int = 2) -> dict[str, Any]:
    return {"lots": [{"url": f"{auction}-{page}"}], "more": page < pages}


def auctions(path: str, query: dict[str, str]) -> Any:
    """Two pages of auctions, 1 and 2, then 3; each with two pages of one lot."""
    page = int(query["page"])
    if path == "/auctions":
        return {
            "auctions": [{"id": 1}, {"id": 2}] if page == 1 else [{"id": 3}],
            "more": page < 2,
            "total": 3,
        }
    return of_lots(path.split("/")[2], page)


ALL = ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"]


def test_details_of_a_page_come_before_the_next_page_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, auctions)
    batches = source.walk()
    assert urls(batches) == ALL
    assert source.asked == [
        "?page=1", "/1/lots?page=1", "/1/lots?page=2", "/2/lots?page=1", "/2/lots?page=2",
        "?page=2", "/3/lots?page=1", "/3/lots?page=2", "?page=0",
    ]  # fmt: skip


def test_items_are_the_list_s_and_count_when_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Source(monkeypatch, auctions, API_ITEMS_FIELD="auctions", API_TOTAL_FIELD="total").walk()
    assert [batch.items for batch in batches] == [0, 0, 1, 0, 1, 0, 0, 1]
    assert [batch.total for batch in batches if batch.total is not None] == [3, 3]
    ending = batches[-1].ending
    assert ending is not None and "page 2 says that there is no more" in ending.evidence
    assert sum(batch.open_ends + batch.lost for batch in batches) == 0


def test_several_ids_of_one_item_leave_the_count_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        return {"auctions": [{"id": [1, 2]}], "more": False} if path == "/auctions" else of_lots("a", 1, 1)

    ids = {"API_DETAIL_IDS": "auctions[].id[]", "API_ITEMS_FIELD": "auctions"}
    assert [batch.items for batch in Source(monkeypatch, answers, **ids).walk()] == [1, 0, 0, 0]


def test_first_position_is_resumed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, auctions)
    assert source.source.resume(source.source.first()._asdict()) == source.source.first()


def test_resume_at_each_position_goes_on_with_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, auctions)
    batches = source.walk()
    for done in range(1, len(batches)):
        stored = batches[done - 1].following._asdict()
        assert json.loads(json.dumps(stored)) == stored
        source.source, asked = source.again(), len(source.asked)
        assert urls(source.walk(source.source.resume(stored))) == urls(batches[done:])
        assert source.asked[asked:] == source.asked[done : len(batches)]


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"asked": 3, "pages": 2, "empty": 0},
        {"listed": None, "ids": [], "detail": None, "pages": 1, "ending": None, "each": 1, "unfound": [0, 0]},
        {
            "listed": None,
            "ids": [1],
            "detail": None,
            "pages": 1,
            "ending": None,
            "each": 1,
            "unfound": [0, 0],
        },
        {
            "listed": None,
            "ids": [1],
            "detail": {"asked": 1},
            "pages": 1,
            "ending": ["a", "b"],
            "each": 1,
            "unfound": [0, 0],
        },
        {
            "listed": None,
            "ids": [1],
            "detail": None,
            "pages": -1,
            "ending": ["a", "b"],
            "each": 1,
            "unfound": [0, 0],
        },
    ],
    ids=["nothing", "of-one-step", "nothing-left", "no-ending", "broken-detail", "negative"],
)
def test_position_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="position"):
        Source(monkeypatch, auctions).source.resume(stored)


def one_list(details: Callable[[str], Any]) -> Answers:
    """Return an API with the auctions 1, 2 and 3 on one page."""

    def answers(path: str, query: dict[str, str]) -> Any:
        if path == "/auctions":
            return {"auctions": [{"id": 1}, {"id": 2}, {"id": 3}], "more": False}
        return details(path.split("/")[2])

    return answers


@pytest.mark.parametrize("status", [404, 410])
def test_details_that_are_gone_are_counted_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    batches = Source(monkeypatch, one_list(lambda of: status if of == "2" else of_lots(of, 1, 1))).walk()
    assert urls(batches) == ["1-1", "3-1"]
    assert [batch.lost for batch in batches] == [0, 0, 1, 0, 0]
    assert f"the details of 2 were not found ({status})" in caplog.text


def test_other_refusal_of_details_ends_the_run_and_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, one_list(lambda of: 400))
    with pytest.raises(FatalError, match="the details of 1: the API answered 400"):
        source.walk()


NO_IMAGES: list[Any] = [204, {}, {"lots": None}, {"lots": []}, {"lots": [{"url": ""}, {"url": False}]}]


@pytest.mark.parametrize("answer", NO_IMAGES, ids=repr)
def test_details_may_have_no_image(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    settings = {"API_DETAIL_PAGINATION": "none", "API_HAS_MORE_FIELD": "", "API_PAGINATION": "none"}
    details = one_list(lambda of: answer if of == "2" else of_lots(of, 1, 1))
    batches = Source(monkeypatch, details, **settings).walk()
    assert [url for url in urls(batches) if url] == ["1-1", "3-1"]
    assert sum(batch.lost + batch.open_ends + batch.blank for batch in batches) == 0


OPEN: list[Any] = [
    pytest.param({"API_PAGINATION": "cursor"}, {"lots": [{"url": "x"}]}, 3, id="no cursor on the first page"),
    pytest.param(
        {"API_PAGINATION": "cursor"}, {"lots": [{"url": "x"}], "next_cursor": None}, 0, id="cursor null"
    ),
    pytest.param({"API_PAGINATION": "page"}, {"lots": [{"url": "x"}]}, 3, id="the same document on page 2"),
    pytest.param({"API_DETAIL_PAGINATION": "none"}, {"lots": [{"url": "x"}]}, 0, id="one document each"),
    pytest.param({"API_DETAIL_PAGINATION": "link_header"}, {"lots": [{"url": "x"}]}, 3, id="no link"),
]


@pytest.mark.parametrize(("settings", "details", "count"), OPEN)
def test_end_of_details_needs_evidence(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], details: Any, count: int
) -> None:
    batches = Source(monkeypatch, one_list(lambda of: details), **settings).walk()
    assert sum(batch.open_ends for batch in batches) == count


def test_ids_are_encoded_where_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        if path == "/auctions":
            return {"auctions": [{"id": "a b/c?d"}, {"id": 7.0}, {"id": None}, {"id": ""}], "more": False}
        return of_lots(f"{path} {query.get('of')}", 1, 1)

    detail = {"API_DETAIL_URL": "https://api.test/x/{id}?of={id}", "API_DETAIL_PAGINATION": "none"}
    batches = Source(monkeypatch, answers, **detail).walk()
    assert urls(batches) == ["/x/a b/c?d a b/c?d-1", "/x/7 7-1"]


def test_id_may_be_a_url_and_is_asked_for_at_our_own_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        if path == "/auctions":
            listed = ["/items/1?key=s3cret", "http://inner:80/items/2", "https://api.test/items/3"]
            return {"auctions": [{"id": url} for url in listed], "more": False}
        return of_lots(f"{path}{query}", 1, 1)

    detail = {"API_DETAIL_URL": "{id}", "API_DETAIL_PAGINATION": "none", "API_BASE_URL": f"{API}?key=s3cret"}
    source = Source(monkeypatch, answers, **detail)
    batches = source.walk()
    assert urls(batches) == ["/items/1{'key': '***'}-1", "/items/2{}-1", "/items/3{}-1"]
    assert all("s3cret" not in str(batch.following and batch.following._asdict()) for batch in batches)


def test_id_that_is_no_url_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"auctions": [{"id": "mailto:x"}], "more": False}
    source = Source(monkeypatch, lambda path, query: listed, API_DETAIL_URL="{id}")
    with pytest.raises(FatalError, match="needs a URL in API_DETAIL_IDS"):
        source.walk()


def test_list_without_ids_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(monkeypatch, auctions, API_DETAIL_IDS="auctions[].idd")
    with pytest.raises(FatalError, match=r"API_DETAIL_IDS=auctions\[\]\.idd finds no"):
        source.walk()


PARTS = {"API_URLS_FIELD": "lots[].[url, thumb][]", "API_DETAIL_PAGINATION": "none"}


@pytest.mark.parametrize("is_last_page_empty", [False, True])
@pytest.mark.parametrize(
    ("thumbs", "doubts"),
    [
        pytest.param({1: "t1"}, 0, id="one of the details has it"),
        pytest.param({1: None, 2: None, 3: None}, 0, id="all have it, and it is null"),
        pytest.param({}, 1, id="none has it"),
    ],
)
def test_part_that_no_details_have_is_a_doubt(
    monkeypatch: pytest.MonkeyPatch, thumbs: dict[int, Any], doubts: int, is_last_page_empty: bool
) -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        page = int(query.get("page", "1"))
        if path == "/auctions" and is_last_page_empty:
            return {"auctions": [{"id": page}] if page < 4 else []}
        if path == "/auctions":
            return {"auctions": [{"id": page}], "more": page < 3}
        auction = int(path.split("/")[2])
        return {"lots": [{"url": "u", **({"thumb": thumbs[auction]} if auction in thumbs else {})}]}

    source = Source(monkeypatch, answers, **PARTS)
    batches = source.walk()
    half = len(batches) // 2
    position = source.again().resume(json.loads(json.dumps(batches[half - 1].following._asdict())))
    for walked in (batches, source.walk(position)):
        ending = walked[-1].ending
        assert ending is not None
        assert ["`thumb` in API_URLS_FIELD" in doubt for doubt in ending.doubts] == [True] * doubts


@pytest.mark.parametrize(("style", "doubts"), [("none", 0), ("page", 1)])
def test_ids_of_page_0_are_taken_and_other_details_may_have_one(
    monkeypatch: pytest.MonkeyPatch, style: str, doubts: int
) -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        if path == "/auctions":
            return {"auctions": [{"id": query["page"]}], "more": query["page"] == "1"}
        return of_lots(path.split("/")[2], 1, 1)

    batches = Source(monkeypatch, answers, True, API_DETAIL_PAGINATION=style).walk()
    ending = batches[-1].ending
    assert ending is not None and "page 0 has URLs, too" in ending.evidence
    assert urls(batches) == ["1-1", "2-1", "0-1"]
    assert ["details may have a page 0" in doubt for doubt in ending.doubts] == [True] * doubts
