"""The requests on one object of the bucket: put, head, get, delete, and what their responses mean.

Objects knows nothing about what the store can prove (capabilities.py): callers pass that.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import NamedTuple

from cdn2s3.destinations.base import (
    Conflict,
    Content,
    Found,
    ObjectBody,
    ReadRefused,
    how_met,
    plain_etag,
    quoted_etag,
)
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Client, S3Response
from cdn2s3.destinations.s3.iam import policy, policy_to_put
from cdn2s3.destinations.s3.refusals import denial_in
from cdn2s3.errors import FatalError, MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.records import Image, Recorded, Stored
from cdn2s3.settings.cache_control import policy as cache_policy
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

EXISTS = frozenset(
    {412, 304}
)  # responses to `If-None-Match: *` where there is an object; 304: an older MinIO
_BLOCK = 1 << 18  # bytes read at a time
_MD5_LIKE = re.compile(r"[0-9a-f]{32}")


class ObjectInfo(NamedTuple):
    """An object as HEAD shows it."""

    size: int  # bytes
    etag: str  # without quotes
    encrypted_by_kms: bool  # then the ETag is not an MD5 even where it looks like one
    version: str = ""  # its id; "" where the bucket has no versions
    media_type: str = ""


class Objects:
    """Make single requests on the objects of one bucket; shared by all workers."""

    def __init__(self, settings: MigrationSettings, client: S3Client) -> None:
        self._settings = settings
        self.client = client
        self.caching = cache_policy(settings.cache_control)
        self._headers = _common_headers(settings)
        self._boto3_params = _boto3_params(settings)

    def put(self, key: str, image: Image, deadline: Deadline, guarded: bool, match: str = "") -> S3Response:
        """PUT image once and return the store's response.

        guarded sends `If-None-Match: *`; match is the plain ETag for If-Match, "" for none.
        """
        if self._settings.upload_method == "put_object":
            return self._put_by_boto3(key, image, deadline, guarded, match)
        headers = {"content-type": image.media_type, **self._headers}
        if caching := self.caching.of(image.media_type):
            headers["cache-control"] = caching
        if image.encoding:
            headers["content-encoding"] = image.encoding
        if image.md5:
            headers["content-md5"] = b64encode(image.md5).decode()
        else:
            headers["x-amz-checksum-crc32"] = b64encode(image.crc32.to_bytes(4, "big")).decode()
        if guarded:
            headers["if-none-match"] = "*"
        if match:
            headers["if-match"] = quoted_etag(match)
        return self.client.request("PUT", key, deadline, headers=headers, body=(image.body,))

    def _put_by_boto3(
        self, key: str, image: Image, deadline: Deadline, guarded: bool, match: str
    ) -> S3Response:
        params = self.boto3_params(image.media_type)
        if image.encoding:
            params["ContentEncoding"] = image.encoding
        if image.md5:
            params["ContentMD5"] = b64encode(image.md5).decode()
        else:
            params["ChecksumCRC32"] = b64encode(image.crc32.to_bytes(4, "big")).decode()
        if guarded:
            params["IfNoneMatch"] = "*"
        if match:
            params["IfMatch"] = quoted_etag(match)
        body = bytes(image.body)  # botocore takes no memoryview
        return self.client.call("put_object", deadline, Key=key, Body=body, **params)[0]

    def boto3_params(self, media_type: str) -> dict[str, str]:
        """Return what boto3's calls that create an object of media_type get."""
        caching = self.caching.of(media_type)
        of_type = {"CacheControl": caching} if caching else {}
        return {"ContentType": media_type, **self._boto3_params, **of_type}

    def put_error(self, reply: S3Response) -> MigrationError:
        """Return what a response to put() other than a success means; a missing permission has its policy line."""
        error = reply.error("PUT")
        if reply.code != "AccessDenied":
            return error
        denial = denial_in(reply.sentence)
        if denial is not None and not denial.lacks_grant:
            return error
        return FatalError(f"{error}\n  {policy_to_put(self._settings)}")

    def head(self, key: str, deadline: Deadline) -> ObjectInfo | None:
        """Return what is at key, None when nothing is; raise ReadRefused, or what another response means."""
        reply = self.client.request("HEAD", key, deadline)
        if reply.status == 404:
            return None
        if reply.status == 403:
            raise self._refused("HEAD")
        if reply.status != 200:
            raise reply.error("HEAD")
        size = reply.headers.get("content-length", "")
        if not (size.isascii() and size.isdigit()):
            raise TransientError("server_error", "the bucket's response to HEAD has no size")
        version, media_type = (reply.headers.get(name, "") for name in ("x-amz-version-id", "content-type"))
        return ObjectInfo(int(size), reply.etag, reply.by_kms, version, media_type)

    def exists(self, key: str, deadline: Deadline, can_read: bool) -> bool:
        """Return whether an object exists at key, before a write that `If-None-Match` does not protect.

        Where reading is granted (can_read), 403 is S3's way to say "absent" without s3:ListBucket; elsewhere
        raise PermanentError (unverified). Raise otherwise as head().
        """
        try:
            return self.head(key, deadline) is not None
        except ReadRefused as refused:
            if can_read:
                return False
            raise refused.as_failure() from None

    @contextmanager
    def get(self, key: str, deadline: Deadline) -> Iterator[ObjectBody | None]:
        """Yield the object at key to read, None if there is none; raise ReadRefused, or what the response means."""
        with self.client.open("GET", key, deadline) as answer:
            if answer.status == 200:
                yield _Body(answer)
                return
            reply = S3Response(answer.status, answer.headers, answer.body())
        if reply.status == 404 and reply.code != "NoSuchBucket":
            yield None
        elif reply.is_refusal:
            raise self._refused("GET")
        else:
            raise reply.error("GET")

    def md5(self, key: str, deadline: Deadline) -> str:
        """Return the MD5 of the object at key as hex digits, from its bytes.

        Raise PermanentError (unverified) when it may not be read, TransientError when nothing is there, or what
        the response means.
        """
        digest = md5(usedforsecurity=False)
        block = memoryview(bytearray(_BLOCK))
        try:
            with self.get(key, deadline) as body:
                if body is None:
                    raise TransientError("server_error", "the object at the key is gone")
                while got := body.read_into(block):
                    digest.update(block[:got])
        except ReadRefused as refused:
            raise refused.as_failure() from None
        return digest.hexdigest()

    def delete(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key; return False when that is refused, or not offered; raise what else it means."""
        reply = self.client.request("DELETE", key, deadline)
        if reply.status in (200, 204) or (reply.status == 404 and reply.code in ("", "NoSuchKey")):
            return True
        if reply.status in (405, NOT_IMPLEMENTED) or reply.is_refusal:
            return False
        raise reply.error("DELETE")

    def delete_matching(self, key: str, etag: str, deadline: Deadline) -> S3Response:
        """Ask for the deletion of the object at key if it has the plain ETag etag; return the store's response."""
        return self.client.request("DELETE", key, deadline, headers={"if-match": quoted_etag(etag)})

    def remove_bad(self, key: str, deadline: Deadline) -> bool:
        """Delete an object of ours that is not its image; log it if it stays, and return False. Never raises."""
        try:
            deleted = self.delete(key, deadline)
        except MigrationError as error:
            log.debug("delete failed: %s", error)
            deleted = False
        if not deleted:
            log.error("an incorrect object remains at key %r: delete it by hand", key)
        return deleted

    def verify_existing(
        self,
        key: str,
        content: Content,
        etag_is_md5: bool,
        deadline: Deadline,
        recorded: Recorded | None = None,
    ) -> Stored:
        """Return the object that is already at key when it is content; recorded is what the last row of key says.

        Its ETag proves that where etag_is_md5 (what the store's ETags are); elsewhere its bytes are read. Raise
        Conflict when it is other content, PermanentError (unverified) when it may not be read; TransientError when
        there is nothing at key after all.
        """
        try:
            found = self.head(key, deadline)
        except ReadRefused as refused:
            raise refused.as_failure() from None
        if found is None:
            raise TransientError(
                "server_error", "the bucket reported that the object exists, but it does not"
            )
        if found.size != content.size:
            raise Conflict(
                f"the existing object has {found.size} bytes, the CDN's file has {content.size}", found.etag
            )
        etag_tells = etag_is_md5 and not found.encrypted_by_kms and _MD5_LIKE.fullmatch(found.etag)
        theirs = found.etag if etag_tells else self.md5(key, deadline)
        if theirs != content.md5.hex():
            raise Conflict(
                f"the existing object has different content of the same size (MD5 {theirs})", found.etag
            )
        how = how_met(recorded, found.etag)
        return Stored(found.etag, content.size, content.md5.hex(), already_there=True, how=how)

    def look(self, key: str, deadline: Deadline) -> Found | None:
        """Return what is at key, None when nothing is; raise ReadRefused, TransientError or FatalError."""
        try:
            info = self.head(key, deadline)
        except PermanentError as error:
            raise FatalError(error.message) from error
        return None if info is None else Found(key, info.size, info.etag)

    def _refused(self, method: str) -> ReadRefused:
        return ReadRefused(method, f"grant {policy(self._settings, 'GetObject')}")


class _Body:
    """The body of a response to GET."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    @property
    def etag(self) -> str:
        return plain_etag(self._answer.headers.get("etag", ""))

    def read_into(self, block: memoryview) -> int:
        return self._answer.read_into(block)


def _common_headers(settings: MigrationSettings) -> dict[str, str]:
    """Return the headers that every object of the run gets, whatever its type."""
    headers = {
        "x-amz-acl": settings.object_acl,
        "x-amz-storage-class": settings.storage_class,
        "x-amz-server-side-encryption": settings.server_side_encryption,
        "x-amz-server-side-encryption-aws-kms-key-id": settings.sse_kms_key_id,
    }
    return {name: value for name, value in headers.items() if value}


def _boto3_params(settings: MigrationSettings) -> dict[str, str]:
    """Return the same as parameters of boto3's put_object and create_multipart_upload."""
    params = {
        "ACL": settings.object_acl,
        "StorageClass": settings.storage_class,
        "ServerSideEncryption": settings.server_side_encryption,
        "SSEKMSKeyId": settings.sse_kms_key_id,
    }
    return {name: value for name, value in params.items() if value}
