"""One PUT of an object, both ways: what goes along with the bytes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Callable
from zlib import crc32

import pytest

from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Image
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
BODY = b"\xff\xd8\xff an image"
IMAGES = {
    "content-md5": Image(memoryview(BODY), "image/jpeg", md5(BODY).digest(), 0),
    "x-amz-checksum-crc32": Image(memoryview(BODY), "image/jpeg", b"", crc32(BODY)),
}


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Iterator[PooledAdapter]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    pooled = PooledAdapter(2)
    yield pooled
    pooled.close()


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "overwriting"])
@pytest.mark.parametrize("header", IMAGES)
@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_put_brings_its_checksum_and_its_condition_and_no_chunks(
    s3_server: Callable[..., S3Server], adapter: PooledAdapter, method: str, header: str, guarded: bool
) -> None:
    server = s3_server()
    given = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": server.url, "UPLOAD_METHOD": method}
    settings = build(MigrationSettings, given, {}, Path("migration.env"))
    objects = Objects(settings, S3Client(settings, adapter))
    assert objects.put("a.jpg", IMAGES[header], Deadline(5), guarded).status == 200
    (put,) = server.requests("PutObject")
    assert {name for name in IMAGES if name in put.headers} == {header}
    assert put.headers.get("if-none-match") == ("*" if guarded else None)
    assert put.headers["content-type"] == "image/jpeg"
    assert "aws-chunked" not in put.headers.get("content-encoding", "")
    assert "transfer-encoding" not in put.headers
    assert "authorization" in put.headers
    assert put.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"  # no SHA-256 of each body
    assert server.objects("bucket")["a.jpg"].read() == BODY
