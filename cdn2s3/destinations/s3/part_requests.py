"""The requests of an upload in parts, one by one: create it, store a part, complete it, abort it.

MultipartUpload stores a body with them; the capability probe asks with the same ones.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, NamedTuple

from cdn2s3.destinations.base import plain_etag, quoted_etag
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.http.deadline import Deadline


class Part(NamedTuple):
    """A part that the store has."""

    number: int  # from 1
    etag: str  # as the store gave it, quotes included: the completion repeats it


class Completion(NamedTuple):
    """The response to a completion."""

    reply: S3Response
    etag: str  # plain; "" if the response is an error, also an error in a 200, or has none (Ceph 16)
    encrypted_by_kms: bool
    is_done: bool  # the response is the store's word that the parts are an object


class PartRequests:
    """Make the requests of uploads in parts to one bucket; shared by all workers.

    Each raises TransientError, Cancelled or FatalError where there is no response.
    """

    def __init__(self, objects: Objects) -> None:
        self._client = objects.client
        self._params = objects.boto3_params

    def create(
        self, key: str, media_type: str, deadline: Deadline, encoding: str = ""
    ) -> tuple[S3Response, str]:
        """Begin an upload with the headers of the run; return the response and the upload's id, "" on an error."""
        params = self._params(media_type)
        if encoding:
            params["ContentEncoding"] = encoding
        reply, parsed = self._client.call("create_multipart_upload", deadline, Key=key, **params)
        return reply, str(parsed.get("UploadId", "")) if reply.status == 200 else ""

    def store(
        self, key: str, upload_id: str, number: int, body: bytes, md5: bytes, deadline: Deadline
    ) -> tuple[S3Response, dict[str, Any]]:
        """Store a part with its Content-MD5; return the response and boto3's parsing of it."""
        return self._client.call(
            "upload_part",
            deadline,
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentMD5=b64encode(md5).decode(),
        )

    def complete(
        self,
        key: str,
        upload_id: str,
        parts: list[Part],
        deadline: Deadline,
        guarded: bool,
        match: str = "",
    ) -> Completion:
        """Make parts one object; guarded sends `If-None-Match: *`, which S3 evaluates here and nowhere earlier.

        match as in Objects.put().
        """
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        more = {"IfNoneMatch": "*"} if guarded else {}
        if match:
            more["IfMatch"] = quoted_etag(match)
        reply, parsed = self._client.call(
            "complete_multipart_upload",
            deadline,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            **more,
        )
        etag = plain_etag(str(parsed.get("ETag", "")))
        is_done = reply.status == 200 and bool(etag or parsed.get("Key"))
        return Completion(reply, etag, is_by_kms(parsed), is_done)


def is_by_kms(parsed: dict[str, Any]) -> bool:
    """Return whether the store says that it encrypts with KMS: then an ETag is not an MD5."""
    return str(parsed.get("ServerSideEncryption", "")).startswith("aws:kms")
