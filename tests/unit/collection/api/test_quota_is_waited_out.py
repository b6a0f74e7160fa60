"""A used-up quota: how long is waited, what is said, when it is given up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.api.client import Api, api_session
from cdn2s3.collection.api.page_request import PageRequest
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.api import TOKEN, Answer, ApiServer

NOW = 1_700_000_000.0  # 22:13:20 UTC


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdn2s3.collection.api.client.time.time", lambda: NOW)


def waits(*answers: Answer, **settings: str) -> list[float]:
    """Return how long was waited until the page came, while the API gave these answers first."""
    slept: list[float] = []
    with ApiServer([{"url": "https://cdn.test/1.jpg"}]) as server:
        server.fault = lambda number, query: answers[number - 1] if number <= len(answers) else None
        values = {"API_BASE_URL": server.url, "API_AUTH_TOKEN": TOKEN, "API_RATE_LIMIT": "10000", **settings}
        built = build(CollectionSettings, values, {}, Path("collection.env"))
        with api_session(built) as session:
            reply = Api(built, session, slept.append).get(PageRequest(server.url), "page 7")
        assert reply.content["total"] == 1
    return [wait for wait in slept if wait > 0.01]


def throttled(status: int = 429, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, body, tuple((name.replace("_", "-"), value) for name, value in headers.items()))


GRAPHQL = b'{"errors": [{"extensions": {"code": "THROTTLED"}}]}'
DATE = "Tue, 14 Nov 2023 22:13:40 GMT"
EPOCH = str(NOW + 3000)
KINDS: list[Any] = [
    pytest.param(throttled(Retry_After="61"), 61, id="longer than a minute"),
    pytest.param(throttled(Retry_After="2.5"), 2.5, id="a fraction"),
    pytest.param(throttled(503, Retry_After="1800"), 1800, id="503"),
    pytest.param(throttled(420, X_FeatureRateLimit_Reset=DATE), 20, id="420, a date"),
    pytest.param(throttled(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=EPOCH), 3000, id="403"),
    pytest.param(throttled(200, GRAPHQL, Retry_After="9"), 9, id="GraphQL"),
]


@pytest.mark.parametrize(("answer", "seconds"), KINDS)
def test_quota_is_waited_out_whatever_the_retries(answer: Answer, seconds: float) -> None:
    assert waits(answer, MAX_RETRIES="0") == [seconds]


def test_quota_that_does_not_say_until_when_is_asked_again_ever_more_slowly() -> None:
    slept = waits(*[throttled()] * 9, MAX_RETRIES="0")
    assert [least / 2 <= wait <= least for wait, least in zip(slept, (1, 2, 4, 8, 16, 32, 60, 60, 60))] == [
        True
    ] * 9


def test_end_of_the_wait_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    waits(throttled(Retry_After="2520"))
    assert (
        "page 7: the API answered 429 Too Many Requests: the quota is used up. Waiting until 22:55:20 UTC (42 min)"
        in caplog.text
    )
    waits(throttled(Retry_After="7200"), API_WAIT_LIMIT="9000")
    assert "Waiting until 2023-11-15 00:13:20 UTC (2 h 00 min)" in caplog.text


def test_wait_beyond_the_limit_is_exit_3_after_the_retries() -> None:
    answer = throttled(403, b'{"message": "API rate limit exceeded"}', Retry_After="7200")
    with pytest.raises(
        FatalError, match=r"403 Forbidden to page 7: the quota is used up until 2023-11-15 00:13:20 UTC"
    ) as caught:
        waits(*[answer] * 9, MAX_RETRIES="1")
    assert "API_WAIT_LIMIT=3600" in str(caught.value)
    assert "token" not in str(caught.value).lower()
    assert caught.value.exit_code == 3


def test_limit_that_a_header_names_wrongly_does_not_end_a_collection() -> None:
    assert waits(throttled(Retry_After="7200"), MAX_RETRIES="1")[0] <= 1


def test_limit_is_of_all_waits_for_one_page() -> None:
    with pytest.raises(FatalError, match="used up until"):
        waits(*[throttled(Retry_After="30")] * 9, API_WAIT_LIMIT="100", MAX_RETRIES="2")
    with pytest.raises(FatalError, match="does not say until when"):
        waits(*[throttled()] * 99, API_WAIT_LIMIT="100", MAX_RETRIES="2")


def test_failures_between_throttled_answers_have_their_own_count() -> None:
    assert len(waits(throttled(), Answer(500), throttled(), Answer(500), MAX_RETRIES="1")) == 4


def test_graphql_errors_without_data_are_retried_and_then_said() -> None:
    broken = Answer(200, b'{"data": null, "errors": [{"message": "Internal error at node 5"}]}')
    assert len(waits(broken, MAX_RETRIES="1")) == 1
    with pytest.raises(FatalError, match="answered 200, but with errors: Internal error at node 5"):
        waits(*[broken] * 9, MAX_RETRIES="1")
