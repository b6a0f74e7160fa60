"""Objects of ours are replaced and deleted while they are ours, on stores that honor If-Match, and on others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.s3.capabilities import Support
from cdn2s3.destinations.s3.destination import open_bucket
from cdn2s3.destinations.s3.own_objects import OwnObjects, Refused, Removal, not_atomic
from cdn2s3.destinations.s3.probe_requests import probe_keys
from cdn2s3.errors import PermanentError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Image
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
OURS, THEIRS, NEW = b"ours", b"somebody else's", b"our new one"
KEY = "images/a.jpg"
Open = Callable[..., OwnObjects]


def etag(body: bytes) -> str:
    return md5(body).hexdigest()


def image(body: bytes) -> Image:
    return Image(memoryview(body), "image/webp", md5(body).digest(), 0)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def opened(server: S3Server, **values: str) -> OwnObjects:
        file = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": server.url, "MAX_RETRIES": "0", **values}
        settings = build(MigrationSettings, file, {}, Path("migration.env"))
        bucket = open_bucket(settings, adapter)
        bucket.prepare()
        return OwnObjects(settings, bucket, lambda seconds: None)

    yield opened
    adapter.close()


@pytest.mark.parametrize("method", ["signed", "put_object"])
@pytest.mark.parametrize(
    ("store", "by_put", "by_delete"),
    [
        ({}, Support.HONORED, Support.HONORED),
        ({"put_if_match": "ignore"}, Support.IGNORED, Support.HONORED),
        ({"delete_if_match": "ignore"}, Support.HONORED, Support.IGNORED),
        ({"put_if_match": "refuse", "delete_if_match": "refuse"}, Support.REFUSED, Support.REFUSED),
        ({"allow": frozenset({"PutObject"})}, Support.UNKNOWN, Support.UNKNOWN),
    ],
    ids=["Amazon", "ignored by PUT", "ignored by DELETE (MinIO)", "refused (LocalStack)", "write only"],
)
def test_each_condition_is_asked_both_ways_and_nothing_stays(
    own: Open, s3_server: Any, store: dict[str, Any], by_put: Support, by_delete: Support, method: str
) -> None:
    server = s3_server(**store)
    ours = own(server, UPLOAD_METHOD=method)
    assert (ours.probe_replacing(), ours.probe_deleting()) == (by_put, by_delete)
    settings = build(MigrationSettings, {"DESTINATION_BUCKET": "bucket"}, {}, Path("migration.env"))
    left = set(server.objects("bucket"))
    assert left <= probe_keys(settings)
    assert bool(left) == ("allow" in store)


def test_two_writes_a_second_to_one_key_are_waited_for(own: Open, s3_server: Any) -> None:
    server = s3_server()
    ours = own(server)
    server.change(write_interval=0.05)
    ours._sleep = lambda seconds: time.sleep(0.06)
    assert (ours.probe_replacing(), ours.probe_deleting()) == (Support.HONORED, Support.HONORED)


@pytest.mark.parametrize("mode", ["honor", "ignore", "refuse"])
def test_only_the_object_that_we_know_is_replaced(own: Open, s3_server: Any, mode: str) -> None:
    server = s3_server(put_if_match=mode)
    ours = own(server)
    assert bool(not_atomic(ours.probe_replacing(), "PUT")) == (mode != "honor")
    server.put("bucket", KEY, OURS)
    stored = ours.replacement(KEY, image(NEW), etag(OURS)).attempt(Deadline(5))
    assert (stored.etag, stored.already_there) == (etag(NEW), False)
    assert server.objects("bucket")[KEY].read() == NEW
    again = ours.replacement(KEY, image(NEW), etag(OURS)).attempt(Deadline(5))  # the first response was lost
    assert again.already_there
    server.put("bucket", KEY, THEIRS)
    with pytest.raises(PermanentError) as conflict:
        ours.replacement(KEY, image(NEW), etag(NEW)).attempt(Deadline(5))
    assert conflict.value.cause == "conflict"
    assert server.objects("bucket")[KEY].read() == THEIRS
    server.store.delete("bucket", KEY)
    with pytest.raises(PermanentError, match="is gone"):
        ours.replacement(KEY, image(NEW), etag(NEW)).attempt(Deadline(5))
    assert KEY not in server.objects("bucket")


@pytest.mark.parametrize("mode", ["honor", "ignore", "refuse"])
def test_only_the_object_that_we_know_is_deleted(own: Open, s3_server: Any, mode: str) -> None:
    server = s3_server(delete_if_match=mode)
    ours = own(server)
    assert bool(not_atomic(ours.probe_deleting(), "DELETE")) == (mode != "honor")
    server.put("bucket", KEY, OURS)
    assert ours.delete(KEY, etag(OURS), Deadline(5)) is Removal.DELETED
    assert KEY not in server.objects("bucket")
    assert ours.delete(KEY, etag(OURS), Deadline(5)) is Removal.GONE
    server.put("bucket", KEY, THEIRS)
    assert ours.delete(KEY, etag(OURS), Deadline(5)) is Removal.CHANGED
    assert server.objects("bucket")[KEY].read() == THEIRS


def test_deletion_that_is_refused_says_so_in_the_stores_words(own: Open, s3_server: Any) -> None:
    server = s3_server()
    ours = own(server)
    ours.probe_deleting()
    server.put("bucket", KEY, OURS)
    server.change(allow=frozenset({"PutObject", "GetObject"}))
    refused = ours.delete(KEY, etag(OURS), Deadline(5))
    assert isinstance(refused, Refused) and "not authorized to perform: s3:DeleteObject" in refused.why
    assert KEY in server.objects("bucket")
