"""The stores that the conformance suite runs on: each with the Destination under test, and a look behind its back."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Protocol

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from cdn2s3.destinations.base import Destination
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import LOCAL, S3
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.s3 import S3Server

REAL_BUCKET = (
    "CONFORMANCE_BUCKET"  # the environment names a bucket of one's own, with credentials and AWS_REGION
)
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}


class Behind(Protocol):
    """What is in the store, without the Destination."""

    def put(self, key: str, body: bytes) -> None: ...

    def objects(self, prefix: str) -> dict[str, bytes]: ...


class Store:
    """A store with room of its own under a prefix."""

    def __init__(
        self, behind: Behind, prefix: str, stack: ExitStack, place: str = "", **settings: str
    ) -> None:
        self.behind = behind
        self.place = place  # of the two of DESTINATION=hybrid; "": there is one alone
        self.prefix = prefix
        self._stack = stack
        self._settings = {"DESTINATION_PREFIX": prefix, "MAX_RETRIES": "0", **settings}

    def settings(self, **changed: str) -> MigrationSettings:
        """Return the settings that open() takes."""
        return build(MigrationSettings, {**self._settings, **changed}, {}, Path("migration.env"))

    def open(self, prepared: bool = True, **changed: str) -> Destination:
        """Return the destination under changed settings."""
        settings = self.settings(**changed)
        adapter = self._stack.enter_context(closing(PooledAdapter(8)))
        destinations = self._stack.enter_context(closing(open_destinations(settings, adapter)))
        destination = destinations[self.place or settings.destination]
        if prepared:
            destination.prepare()
        return destination

    def key(self, name: str) -> str:
        return self.prefix + name

    def put(self, name: str, body: bytes) -> None:
        """Let somebody else put an object there."""
        self.behind.put(self.key(name), body)

    def objects(self) -> dict[str, bytes]:
        """Return what is under the prefix, by its name after that."""
        return {key[len(self.prefix) :]: body for key, body in self.behind.objects(self.prefix).items()}


class BehindS3:
    """A bucket seen through boto3."""

    def __init__(self, bucket: str, endpoint: str | None = None) -> None:
        self._bucket = bucket
        self.client: Any = boto3.client("s3", endpoint_url=endpoint)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def objects(self, prefix: str) -> dict[str, bytes]:
        return {
            key: self.client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            for key in self._keys(prefix)
        }

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return (item["Key"] for page in pages for item in page.get("Contents", ()))

    def remove_all(self, prefix: str) -> None:
        """Leave nothing under prefix, unfinished uploads included."""
        for key in list(self._keys(prefix)):
            self.client.delete_object(Bucket=self._bucket, Key=key)
        try:
            uploads = self.client.list_multipart_uploads(Bucket=self._bucket, Prefix=prefix).get(
                "Uploads", ()
            )
        except ClientError:  # rclone says so that there is none (404), s3rver that it cannot list them (501)
            uploads = ()
        for upload in uploads:
            self.client.abort_multipart_upload(
                Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )


class BehindFolder:
    """A folder seen through the file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def objects(self, prefix: str) -> dict[str, bytes]:
        files = (path for path in self._root.rglob("*") if path.is_file())
        found = {path.relative_to(self._root).as_posix(): path.read_bytes() for path in files}
        return {key: body for key, body in found.items() if key.startswith(prefix)}


def _given_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **KEYS,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-west-2",
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **habits: Any) -> Iterator[Store]:
    """The local S3 that refuses what AWS refuses, but for the habits of another store (Settings of the fake)."""
    _given_keys(monkeypatch)
    monkeypatch.setattr("cdn2s3.destinations.s3.probe_requests.WRITE_INTERVAL", _SECOND)
    with ExitStack() as stack:
        server = stack.enter_context(S3Server(**habits))
        settings = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": server.url}
        yield Store(BehindS3("bucket", server.url), "images/", stack, **settings)


def like(**habits: Any) -> Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[Store]]:
    """Return a maker of the local S3 with the habits of another store."""
    return lambda tmp_path, monkeypatch: strict(tmp_path, monkeypatch, **habits)


@functools.cache
def moto_url() -> str:
    """Start moto's server, once for a whole process: its end takes half a second."""
    from moto.server import ThreadedMotoServer  # a second, which processes without a case of it do without

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    atexit.register(server.stop)
    return f"http://127.0.0.1:{server.get_host_and_port()[1]}"


@contextmanager
def moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Somebody else's idea of S3."""
    _given_keys(monkeypatch)
    url = moto_url()
    # moto keeps its buckets in the process: what another test left there is not ours.
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
    with ExitStack() as stack:
        behind = BehindS3("bucket", url)
        where = {"LocationConstraint": "us-west-2"}
        behind.client.create_bucket(Bucket="bucket", CreateBucketConfiguration=where)
        settings = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": url}
        yield Store(behind, "images/", stack, **settings)
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()


@contextmanager
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A folder of this machine."""
    root = tmp_path / "root"
    root.mkdir()
    settings = {"DESTINATION": "local", "LOCAL_ROOT": str(root), "STATE_DIR": str(tmp_path / "state")}
    with ExitStack() as stack:
        yield Store(BehindFolder(root), "images/", stack, **settings)


@contextmanager
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The bucket that the environment names, under a prefix that nobody else has; skipped where it names none."""
    bucket = os.environ.get(REAL_BUCKET)
    if not bucket:
        pytest.skip(f"{REAL_BUCKET} names no bucket: make conformance BUCKET=…")
    behind, prefix = (
        BehindS3(bucket, os.environ.get("AWS_ENDPOINT_URL")),
        f"conformance-{secrets.token_hex(8)}/",
    )
    settings = {"DESTINATION_BUCKET": bucket, "AWS_REGION": os.environ.get("AWS_REGION", "us-west-2")}
    if "AWS_ENDPOINT_URL" in os.environ:
        settings["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    try:
        with ExitStack() as stack:
            yield Store(behind, prefix, stack, **settings)
    finally:
        behind.remove_all(prefix)


@contextmanager
def _both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> Iterator[Store]:
    _given_keys(monkeypatch)
    monkeypatch.setattr("cdn2s3.destinations.s3.probe_requests.WRITE_INTERVAL", _SECOND)
    root = tmp_path / "root"
    root.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(S3Server())
        settings = {
            "DESTINATION": "hybrid",
            "LOCAL_ROOT": str(root),
            "STATE_DIR": str(tmp_path / "state"),
            "DESTINATION_BUCKET": "bucket",
            "AWS_ENDPOINT_URL": server.url,
        }
        behind = BehindS3("bucket", server.url) if place == S3 else BehindFolder(root)
        yield Store(behind, "images/", stack, place, **settings)


_SECOND = 0.02  # what a second is in these tests

STORES = {"strict S3": strict, "moto": moto, "folder": folder, "real bucket": real}
HABITS = {  # what other stores do differently when something is stored
    "Ceph": like(complete_ignores_if_none_match=True),
    "Google": like(ignore_if_none_match=True, write_interval=_SECOND / 2),
    "no conditions": like(if_none_match_status=501),
    "no digests": like(ignore_content_md5=True, ignore_checksums=True, etag_mode="opaque"),
    "signed bodies": like(signed_bodies_only=True),
    "Object Lock and KMS": like(object_lock=True, versioned=True, kms_default=True),
}
BOTH = {  # the two of DESTINATION=hybrid
    "hybrid's bucket": functools.partial(_both, place=S3),
    "hybrid's folder": functools.partial(_both, place=LOCAL),
}
MAKERS = {**STORES, **HABITS, **BOTH}
# `make test` leaves out somebody else's idea of S3, stores that differ from the others in what they
# check and not in what they do with a condition, and one of the two that ignore it.
LESS_OFTEN = {"moto", "Google", "no digests", "signed bodies", "Object Lock and KMS", *BOTH}
