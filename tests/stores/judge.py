"""The judge: what is in the bucket, seen by plain boto3 alone."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stores.book import equal
from tests.stores.store import Endpoint

_CONFIG = Config(
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",  # several stores refuse botocore's own trailing checksums
    response_checksum_validation="when_required",
    retries={"mode": "standard", "total_max_attempts": 4},
)


class Judge:
    """Somebody else with the same bucket."""

    def __init__(self, endpoint: Endpoint, region: str) -> None:
        self.client: Any = boto3.client(
            "s3", endpoint_url=endpoint.url, region_name=region, config=_CONFIG,
            aws_access_key_id=endpoint.access_key, aws_secret_access_key=endpoint.secret_key,
        )  # fmt: skip

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket where there is none, in our region or the only one that the store has."""
        if self.has_bucket(bucket):
            return
        where = {"LocationConstraint": self.client.meta.region_name}
        try:
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        except ClientError:
            self.client.create_bucket(Bucket=bucket)

    def has_bucket(self, bucket: str) -> bool:
        try:
            self.client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="image/jpeg")

    def delete(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def get(self, bucket: str, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, bucket: str, prefix: str) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {item["Key"] for page in pages for item in page.get("Contents", ())}

    def content_types(self, bucket: str, keys: set[str]) -> set[str]:
        return {self.client.head_object(Bucket=bucket, Key=key)["ContentType"] for key in keys}

    def unfinished_uploads(self, bucket: str, prefix: str) -> set[str]:
        try:
            uploads = self.client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
        except self.client.exceptions.NoSuchUpload:  # rclone's way to say that there is none
            return set()
        return {upload["Key"] for upload in uploads}

    def assert_holds(self, bucket: str, prefix: str, expected: Mapping[str, bytes]) -> None:
        """Assert that under prefix are these objects, byte for byte, and no others."""
        equal(self.keys(bucket, prefix), set(expected), "objects in the bucket")
        self.assert_bytes(bucket, expected)

    def assert_bytes(self, bucket: str, expected: Mapping[str, bytes]) -> None:
        """Assert that each of these keys has its bytes."""
        wrong = []
        for key, body in expected.items():
            try:
                found = self.get(bucket, key)
            except ClientError as error:
                wrong.append(f"{key!r}: {error}")
                continue
            if found != body:
                wrong.append(f"{key!r} has {_what(found)} instead of {_what(body)}")
        assert not wrong, f"{len(wrong)} objects: {'; '.join(wrong[:3])}"


def _what(body: bytes) -> str:
    return f"{len(body)} bytes with MD5 {md5(body, usedforsecurity=False).hexdigest()}"
