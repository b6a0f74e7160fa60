"""What an API says about its rate limit: in which header, in which form, with which status."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from cdn2s3.collection.api import quota

NOW = 1_700_000_000.0
IN_20 = formatdate(NOW + 20, usegmt=True)

WAITS: list[Any] = [
    pytest.param({"Retry-After": "7"}, 7, id="seconds"),
    pytest.param({"Retry-After": "2.5"}, 2.5, id="a fraction"),
    pytest.param({"Retry-After": "86400"}, 86400, id="a day"),
    pytest.param({"Retry-After": IN_20}, 20, id="an HTTP date"),
    pytest.param({"Retry-After": formatdate(NOW - 20, usegmt=True)}, 0, id="a date that has passed"),
    pytest.param({"Retry-After": IN_20, "Date": formatdate(NOW - 10, usegmt=True)}, 30, id="another clock"),
    pytest.param({"Retry-After-Ms": "250"}, 0.25, id="milliseconds of a wait"),
    pytest.param({"RateLimit-Reset": "30"}, 30, id="RateLimit-Reset"),
    pytest.param({"X-RateLimit-Reset": "40"}, 40, id="X-RateLimit-Reset in seconds"),
    pytest.param({"X-RateLimit-Reset": str(NOW + 40)}, 40, id="an epoch"),
    pytest.param({"X-RateLimit-Reset": f"{NOW + 40:.0f}000"}, 40, id="an epoch in milliseconds"),
    pytest.param({"X-FeatureRateLimit-Reset": IN_20}, 20, id="another name, a date"),
    pytest.param({"X-Rate-Limit-Reset": "2023-11-14T22:13:40Z"}, 20, id="ISO 8601"),
    pytest.param({"X-Rate-Limit-Time-Reset-Ms": "1500"}, 1.5, id="milliseconds by name"),
    pytest.param({"X-RateLimit-Reset-After": "1.5"}, 1.5, id="reset after"),
    pytest.param({"RateLimit": '"hour";r=0;t=90'}, 90, id="a structured field"),
    pytest.param({"RateLimit": "limit=100, remaining=0, reset=50"}, 50, id="an older one"),
    pytest.param({"x-ratelimit-reset-requests": "1m30s"}, 90, id="a duration"),
    pytest.param({"Retry-After": "3", "X-RateLimit-Reset": "3600"}, 3, id="Retry-After before others"),
    pytest.param({"Retry-After": "soon"}, None, id="garbage"),
    pytest.param({"X-Quota-Reset": "5"}, 5, id="any name that begins with X"),
    pytest.param({"Password-Reset": "5"}, None, id="not a limit"),
    pytest.param({}, None, id="nothing"),
    pytest.param(
        {"X-RateLimit-Reset-Minute": "20", "X-RateLimit-Remaining-Minute": "3",
         "X-RateLimit-Reset-Hour": "1800", "X-RateLimit-Remaining-Hour": "0"}, 1800, id="the one that is used up"),
    pytest.param({"X-RateLimit-Reset-Minute": "20", "X-RateLimit-Reset-Hour": "1800"}, 20, id="the first to open"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_headers_say_when_it_opens_again(headers: dict[str, str], seconds: float | None) -> None:
    assert quota.opens_in(CaseInsensitiveDict(headers), NOW) == seconds


NOTHING_LEFT = {"X-RateLimit-Remaining": "0"}
THROTTLED: list[Any] = [
    pytest.param(429, {}, b"", True, id="429"),
    pytest.param(420, {}, b"", True, id="420"),
    pytest.param(430, {}, b"", True, id="430"),
    pytest.param(503, {}, b"", False, id="bare 503"),
    pytest.param(503, {"Retry-After": "5"}, b"", True, id="503 with Retry-After"),
    pytest.param(403, NOTHING_LEFT, b"", True, id="403, nothing remaining"),
    pytest.param(403, {"RateLimit-Remaining": "0"}, b"", True, id="403, RateLimit-Remaining"),
    pytest.param(403, {"X-Rate-Limit-Requests-Left": "0"}, b"", True, id="403, requests left"),
    pytest.param(403, {"X-RateLimit-Remaining": "10"}, b"", False, id="403, some remaining"),
    pytest.param(403, {}, b'{"message": "API rate limit exceeded for user"}', True, id="403, words"),
    pytest.param(403, {}, b'{"errors": [{"reason": "quotaExceeded"}]}', True, id="403, quota"),
    pytest.param(403, {}, b'{"message": "Forbidden"}', False, id="403, forbidden"),
    pytest.param(400, {}, b'{"error": {"message": "(#4) Application request limit reached"}}', True, id="400, words"),
    pytest.param(400, {}, b'{"error": "per_page limit exceeded"}', False, id="400, another limit"),
    pytest.param(401, NOTHING_LEFT, b"", False, id="401"),
    pytest.param(404, NOTHING_LEFT, b"rate limit", False, id="404"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "body", "is_so"), THROTTLED)
def test_refusal_for_the_rate_is_told_from_others(
    status: int, headers: dict[str, str], body: bytes, is_so: bool
) -> None:
    assert quota.is_throttled(status, CaseInsensitiveDict(headers), body) is is_so


IN_A_200: list[Any] = [
    pytest.param({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}, True, id="Shopify"),
    pytest.param({"errors": [{"type": "RATE_LIMITED", "message": "x"}]}, True, id="GitHub"),
    pytest.param({"errors": [{"message": "Too many requests, slow down"}]}, True, id="words"),
    pytest.param({"error": {"code": "ratelimited", "info": "You've exceeded"}}, True, id="MediaWiki"),
    pytest.param({"error": {"code": "maxlag", "info": "Waiting for a host"}}, True, id="maxlag"),
    pytest.param({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, True, id="Google"),
    pytest.param({"errors": [{"message": "Field 'x' doesn't exist"}]}, False, id="another error"),
    pytest.param({"errors": [], "items": []}, False, id="no error"),
    pytest.param({"error": False}, False, id="false"),
    pytest.param({"items": [{"message": "rate limit"}]}, False, id="an item's text"),
    pytest.param(["rate limit"], False, id="a list"),
]  # fmt: skip


@pytest.mark.parametrize(("page", "is_so"), IN_A_200)
def test_page_that_says_that_it_was_throttled(page: Any, is_so: bool) -> None:
    assert quota.throttled_in(page) is is_so


def test_points_that_a_query_lacks_are_waited_for() -> None:
    status = {"maximumAvailable": 1000, "currentlyAvailable": 20, "restoreRate": 50}
    page = {"extensions": {"cost": {"requestedQueryCost": 520, "throttleStatus": status}}}
    assert quota.graphql_wait(page) == 10.0
    assert quota.graphql_wait(json.loads('{"extensions": {}}')) is None
