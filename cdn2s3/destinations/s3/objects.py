"""What HEAD shows of an object in the bucket."""

from __future__ import annotations

from typing import NamedTuple

from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.errors import TransientError
from cdn2s3.http.deadline import Deadline


class ObjectInfo(NamedTuple):
    """An object as HEAD shows it."""

    size: int  # bytes
    etag: str  # without quotes
    encrypted_by_kms: bool  # then the ETag is no MD5 even where it looks like one


class Refused(Exception):
    """Tell that the store does not let us look at an object (403).

    Without s3:ListBucket that is also S3's answer for a key where nothing is.
    """


def head(client: S3Client, key: str, deadline: Deadline) -> ObjectInfo | None:
    """Return what is at key, None when nothing is; raise Refused, or what another answer means."""
    reply = client.request("HEAD", key, deadline)
    if reply.status == 404:
        return None
    if reply.status == 403:
        raise Refused
    if reply.status != 200:
        raise reply.error("HEAD")
    size = reply.headers.get("content-length", "")
    if not (size.isascii() and size.isdigit()):
        raise TransientError("server_error", "the bucket's answer to HEAD tells no size")
    kms = reply.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    return ObjectInfo(int(size), reply.etag, kms)
