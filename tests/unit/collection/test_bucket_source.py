"""SOURCE=s3: the keys of a bucket, or of its S3 Inventory, as URLs under URL_PREFIX."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.bucket_inventory import inventory_of, is_inventory
from cdn2s3.collection.bucket_listing import BucketSource, ListingPosition
from cdn2s3.collection.files.export_files import ExportFiles
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

Factory = Callable[..., S3Server]


@pytest.fixture
def server(s3_server: Factory, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    running = s3_server(buckets=("their-bucket",))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return running


def settings_for(server: S3Server, bucket: str = "their-bucket", **more: str) -> CollectionSettings:
    values = {
        "SOURCE": "s3",
        "SOURCE_BUCKET": bucket,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": server.settings.region,
        "URL_PREFIX": "https://cdn.example/",
        "MAX_RETRIES": "0",
    }
    return build(CollectionSettings, {**values, **more}, {}, Path("collection.env"))


def read_all(settings: CollectionSettings) -> list[Any]:
    """Return all URLs, each page by a new process."""
    position: ListingPosition | None = ListingPosition(0, None)
    urls: list[Any] = []
    while position is not None:
        with api_session(settings) as session:
            source = BucketSource(settings, session)
            batch = source.read(source.resume(json.loads(json.dumps(position._asdict()))))
        urls += batch.urls
        position = batch.following
    return urls


def copied(settings: CollectionSettings) -> CollectionSettings:
    with api_session(settings) as session:
        return inventory_of(settings, session)


def test_keys_become_urls_under_the_prefix(server: S3Server) -> None:
    for key in ("a b.jpg", "x/ü&1.jpg", "x/", "x/50%+1.jpg", "x/#?.jpg"):
        server.put("their-bucket", key, b"" if key.endswith("/") else b"x")
    assert set(read_all(settings_for(server))) == {
        "https://cdn.example/a%20b.jpg",
        "https://cdn.example/x/%C3%BC&1.jpg",
        "https://cdn.example/x/50%25+1.jpg",
        "https://cdn.example/x/%23%3F.jpg",
    }
    assert len(read_all(settings_for(server, "s3://their-bucket/x/"))) == 3


def test_pages_go_on_from_the_checkpoint(server: S3Server) -> None:
    for number in range(2_100):
        server.put("their-bucket", f"{number:04}.jpg", b"x")
    urls = read_all(settings_for(server))
    assert urls == [f"https://cdn.example/{number:04}.jpg" for number in range(2_100)]
    assert len(server.requests("ListObjectsV2")) == 3


def test_refused_listing_names_the_permission_and_the_setting(server: S3Server) -> None:
    server.rules.add(Rule("AccessDenied", operation="ListObjectsV2"))
    with pytest.raises(FatalError, match=r"(?s)their-bucket \(SOURCE_BUCKET\).*s3:ListBucket") as refused:
        read_all(settings_for(server))
    assert "missing.txt" not in str(refused.value)


def test_missing_bucket_is_named(server: S3Server) -> None:
    with pytest.raises(FatalError, match="SOURCE_BUCKET"):
        read_all(settings_for(server, "no-such-bucket"))


@pytest.mark.parametrize("stored", [{}, {"pages": -1, "token": None}, {"pages": 0, "token": 1}], ids=str)
def test_position_that_is_none_is_refused(server: S3Server, stored: dict[str, Any]) -> None:
    settings = settings_for(server)
    with api_session(settings) as session, pytest.raises(ValueError, match="position"):
        BucketSource(settings, session).resume(stored)


@pytest.mark.parametrize("bucket", ["A_bucket", "s3://", "https://x/y", "b"])
def test_bucket_that_is_none_is_fixable(server: S3Server, bucket: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_BUCKET"):
        settings_for(server, bucket)


def put_inventory(server: S3Server, rows: str, size: int | None = None) -> None:
    data = gzip.compress(rows.encode())
    server.put("their-bucket", "inv/data/1.csv.gz", data)
    manifest = {
        "sourceBucket": "images",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key",
        "files": [{"key": "inv/data/1.csv.gz", "size": len(data) if size is None else size}],
    }
    server.put("their-bucket", "inv/manifest.json", json.dumps(manifest).encode())


def test_inventory_is_copied_once_and_read(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_inventory(server, '"images","a+b.jpg"\n"images","c.jpg"\n')
    settings = settings_for(server, "their-bucket/inv/manifest.json")
    assert is_inventory(settings.source_bucket)
    source = ExportFiles(copied(settings))
    assert source.read(source.first()).urls == ["https://cdn.example/a%20b.jpg", "https://cdn.example/c.jpg"]
    copied(settings)
    assert len(server.requests("GetObject")) == 3  # the manifest twice, its file once


def test_inventory_that_is_cut_or_gone_ends_the_collection(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_inventory(server, '"images","c.jpg"\n', size=1_000)
    with pytest.raises(FatalError, match="the manifest says 1,000"):
        copied(settings_for(server, "their-bucket/inv/manifest.json"))
    with pytest.raises(FatalError, match=r"other/manifest\.json cannot be copied.*404"):
        copied(settings_for(server, "their-bucket/other/manifest.json"))
    server.put("their-bucket", "json/manifest.json", b"{}")
    with pytest.raises(FatalError, match="lists no files"):
        copied(settings_for(server, "their-bucket/json/manifest.json"))
