"""What the probe of a delta finds out about If-Match, each way of writing by itself, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition, Support
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe_renewal import QUESTIONS, probe_renewing
from cdn2s3.destinations.s3.probe_requests import probe_keys
from cdn2s3.errors import FatalError
from cdn2s3.http.requests_adapter import PooledAdapter
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.unit.destinations.s3.test_capabilities import settings_with

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
KNOWN = Capabilities(etag_is_md5=True, checksum_refused=True, can_read=True)
ASKED = {**KNOWN.conditions, **dict.fromkeys(QUESTIONS, Support.HONORED)}
H, R, X = Support.HONORED, Support.REFUSED, Support.IGNORED
Probe = Callable[..., Capabilities]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def probed(server: S3Server, known: Capabilities = KNOWN, **values: str) -> Capabilities:
        settings = settings_with(AWS_ENDPOINT_URL=server.url, **{"MAX_RETRIES": "0", **values})
        objects = Objects(settings, S3Client(settings, adapter))
        return probe_renewing(settings, objects, known, sleep=lambda seconds: None)

    yield probed
    adapter.close()


@pytest.mark.parametrize(
    ("store", "by_put", "by_parts"),
    [
        ({}, H, H),
        ({"put_if_match": "ignore"}, X, H),
        ({"complete_if_match": "ignore"}, H, X),  # moto
        ({"put_if_match": "refuse", "complete_if_match": "refuse"}, R, R),
        ({"put_if_match": "create"}, X, H),  # MinIO until 2025
        ({"complete_if_match": "create"}, H, X),
        ({"replaces_on_412": True}, X, X),
        ({"etag_mode": "random"}, H, H),
        ({"kms_default": True}, H, H),
        ({"etag_mode": "weak"}, H, H),
    ],
    ids=str,
)
def test_each_way_is_asked_both_ways(
    probe: Probe, s3_server: Any, store: dict[str, Any], by_put: Support, by_parts: Support
) -> None:
    server = s3_server(**store)
    found = probe(server)
    assert found.conditions[Condition.RENEW_BY_PUT] is by_put
    assert found.conditions[Condition.RENEW_BY_PARTS] is by_parts
    assert found.conditions[Condition.NEW_BY_PUT] is H  # as it was known
    assert server.objects("bucket") == {} and server.store.uploads("bucket") == []


def test_what_may_not_be_read_is_refused_without_a_word_of_the_store(probe: Probe, s3_server: Any) -> None:
    found = probe(s3_server(allow=frozenset({"PutObject"})), KNOWN._replace(can_read=False))
    assert not found.honors(Condition.RENEW_BY_PUT) and not found.honors(Condition.RENEW_BY_PARTS)
    with pytest.raises(FatalError, match=r"--delta needs it(.|\n)*s3:GetObject"):
        list(capabilities.renewing_notes(found, settings_with()))
    assert set(found.left) <= probe_keys(settings_with())


def test_store_without_uploads_in_parts_is_not_asked_for_them(probe: Probe, s3_server: Any) -> None:
    found = probe(s3_server(takes_parts=False), KNOWN._replace(takes_parts=False))
    assert found.honors(Condition.RENEW_BY_PUT)
    assert Condition.RENEW_BY_PARTS not in found.conditions or not found.takes_parts
    assert list(capabilities.renewing_notes(found, settings_with())) == []


@pytest.mark.parametrize(
    ("condition", "support", "said"),
    [
        (Condition.RENEW_BY_PUT, X, "ignores If-Match on PUT: the run sends a HEAD before it replaces"),
        (Condition.RENEW_BY_PARTS, R, "refuses If-Match on the completion of uploads in parts"),
    ],
)
def test_what_is_not_honored_is_said(condition: Condition, support: Support, said: str) -> None:
    found = KNOWN._replace(conditions={**ASKED, condition: support})
    (note,) = capabilities.renewing_notes(found, settings_with())
    assert note.level == logging.WARNING
    assert said in note.text and "not atomic" in note.text


@pytest.mark.parametrize("status", ["SlowDown", "InternalError"])
def test_error_that_passes_shows_nothing(probe: Probe, s3_server: Any, status: str) -> None:
    server = s3_server()
    server.rules.add(Rule(status, operation="PutObject", count=1))
    assert probe(server, MAX_RETRIES="1").honors(Condition.RENEW_BY_PUT)
