"""The S3 bucket as a destination: objects are created, never replaced unasked, and each is proven.

What the store can prove is found out by the guard probe before anything is moved (`Guard`). After a PUT at
least one of these holds: the server refused wrong checksums when tried and was given the right one; the ETag
it answered is the MD5 of the bytes sent; a HEAD showed the size (and the run has said that this is all).
"""

from __future__ import annotations

import logging
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from typing import NamedTuple
from zlib import crc32

from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.iam import policy, policy_to_put
from cdn2s3.destinations.s3.multipart import PartsUpload, store_parts
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.destinations.s3.objects import ObjectInfo, Refused, head
from cdn2s3.errors import FatalError, MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Stored
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_PAUSE = 0.5  # seconds between two attempts to delete the probe at the end
PROBE_NAME = ".cdn2s3-probe"
PROBE_BODY = b"cdn2s3 writes and deletes this object to see what the bucket checks.\n"
_MD5_LIKE = re.compile(r"[0-9a-f]{32}")
_EXISTS = frozenset({412, 304})  # 304: an older MinIO


class Capabilities(NamedTuple):
    """What the store does, found out by the guard probe."""

    etag_is_md5: bool  # the ETag of a PUT is the MD5 of its body
    checksum_refused: bool  # a body that does not fit its checksum is refused
    if_none_match: bool  # `If-None-Match: *` protects an existing object
    can_read: bool  # s3:GetObject is granted: HEAD and GET work
    md5_refused: bool = True  # a body that does not fit its Content-MD5 is refused: parts always have one
    takes_if_none_match: bool = True  # it may be sent: no PUT is refused for it, whether it protects or not


class Bucket:
    """Store images in one bucket under one guard; shared by all workers."""

    def __init__(self, settings: MigrationSettings, client: S3Client, guard: Capabilities) -> None:
        self._settings = settings
        self._client = client
        self._guard = guard
        self._overwrite = settings.on_existing == "overwrite"
        self._fixed_headers = _fixed_headers(settings)
        self._unfinished = MultipartCleanup(settings, client)
        self._probe_was_put = False  # since the guard probe, by is_up()

    def upload(self, key: str, image: Image) -> ObjectUpload:
        return ObjectUpload(self, key, image)

    def is_up(self) -> bool:
        """Tell whether the bucket takes the probe object now; raise FatalError where it would take no other either."""
        self._probe_was_put = True
        try:
            reply = self.put(probe_key(self._settings), probe_image(), self._short_limit(), False)
        except TransientError:
            return False
        if reply.status != 200:
            error = self.put_error(reply)
            if isinstance(error, FatalError):
                raise error
        return reply.status == 200 and bool(reply.etag)  # a proxy's own page has none

    def close(self) -> None:
        """Delete the probe object where is_up() has put it; never raises."""
        if not self._probe_was_put:
            return
        try:
            deleted = self._deleted_at_last(probe_key(self._settings), self._short_limit())
        except MigrationError as error:
            log.debug("deleting the probe failed: %s", error)
            deleted = False
        if not deleted:
            log.info("the probe object stays at %s", probe_key(self._settings))

    def _deleted_at_last(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key, with further attempts until limit; return and raise as delete()."""
        while True:
            try:
                return self.delete(key, deadline)
            except TransientError:
                time.sleep(min(_PAUSE, deadline.remaining()))

    def _short_limit(self) -> Deadline:
        return Deadline(min(10.0, self._settings.upload_timeout))

    def put(self, key: str, image: Image, deadline: Deadline, guarded: bool) -> S3Response:
        """PUT image once and return the store's answer; guarded sends `If-None-Match: *`."""
        if self._settings.upload_method == "put_object":
            return self._put_by_boto3(key, image, deadline, guarded)
        headers = {"content-type": image.media_type, **self._fixed_headers}
        if image.md5:
            headers["content-md5"] = b64encode(image.md5).decode()
        else:
            headers["x-amz-checksum-crc32"] = b64encode(image.crc32.to_bytes(4, "big")).decode()
        if guarded:
            headers["if-none-match"] = "*"
        return self._client.request("PUT", key, deadline, headers=headers, body=(image.body,))

    def _put_by_boto3(self, key: str, image: Image, deadline: Deadline, guarded: bool) -> S3Response:
        params = _boto3_params(self._settings)
        if image.md5:
            params["ContentMD5"] = b64encode(image.md5).decode()
        else:
            params["ChecksumCRC32"] = b64encode(image.crc32.to_bytes(4, "big")).decode()
        if guarded:
            params["IfNoneMatch"] = "*"
        body = bytes(image.body)  # botocore takes no memoryview
        return self._client.call(
            "put_object", deadline, Key=key, Body=body, ContentType=image.media_type, **params
        )[0]

    def put_error(self, reply: S3Response, action: str = "PUT") -> MigrationError:
        """Return what an answer to put() that is no success means; a missing permission has its policy line."""
        error = reply.error(action)
        if reply.code != "AccessDenied":
            return error
        return FatalError(f"{error}\n  {policy_to_put(self._settings)}")

    def head(self, key: str, deadline: Deadline) -> ObjectInfo | None:
        """Return what is at key, None when nothing is; raise PermanentError (unverified) when HEAD is refused."""
        try:
            return head(self._client, key, deadline)
        except Refused:
            raise self._unread("HEAD was refused") from None

    def exists(self, key: str, deadline: Deadline) -> bool:
        """Tell whether something is at key, before a write that `If-None-Match` does not protect.

        Where the guard probe was read, 403 is S3's way to say "absent" without s3:ListBucket. Raise as head().
        """
        try:
            return head(self._client, key, deadline) is not None
        except Refused:
            if self._guard.can_read:
                return False
            raise self._unread("HEAD was refused") from None

    def md5_at(self, key: str, deadline: Deadline) -> str:
        """Return the MD5 of the object at key as hex digits, from its bytes; raise as head() does."""
        digest = md5(usedforsecurity=False)
        room = memoryview(bytearray(1 << 18))
        with self._client.open("GET", key, deadline) as answer:
            if answer.status == 403:
                raise self._unread("GET was refused")
            if answer.status != 200:
                raise S3Response(answer.status, answer.headers, answer.body()).error("GET")
            while got := answer.read_into(room):
                digest.update(room[:got])
        return digest.hexdigest()

    def _unread(self, what: str) -> PermanentError:
        return PermanentError("unverified", f"{what}: grant {policy(self._settings, 'GetObject')}")

    def delete(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key; return False when that is refused, or not offered; raise what else it means."""
        reply = self._client.request("DELETE", key, deadline)
        if reply.status in (200, 204) or (reply.status == 404 and reply.code in ("", "NoSuchKey")):
            return True
        if reply.status in (405, 501) or (reply.status == 403 and reply.code in ("", "AccessDenied")):
            return False
        raise reply.error("DELETE")

    def compared(self, key: str, size: int, digest: bytes, deadline: Deadline) -> Stored:
        """Return the object that is already at key when its content is that of size and digest (MD5).

        Raise PermanentError: conflict when it is other content, unverified when it may not be read; TransientError when
        there is nothing at key after all.
        """
        found = self.head(key, deadline)
        if found is None:
            raise TransientError("server_error", "the bucket said that the key exists, but there is nothing")
        if found.size != size:
            raise PermanentError("conflict", f"the key holds {found.size} bytes, the CDN has {size}")
        etag_tells = (
            self._guard.etag_is_md5 and not found.encrypted_by_kms and _MD5_LIKE.fullmatch(found.etag)
        )
        theirs = found.etag if etag_tells else self.md5_at(key, deadline)
        if theirs != digest.hex():
            raise PermanentError("conflict", f"the key holds other content of the same size (MD5 {theirs})")
        return Stored(found.etag, size, digest.hex(), already_there=True)

    def store_parts(
        self, key: str, media_type: str, parts: Iterator[memoryview], limit_seconds: float
    ) -> Stored:
        protect = not self.overwrites
        if protect and not self.guard.if_none_match and self.exists(key, Deadline(limit_seconds)):
            size, digest = hash_all(parts)
            return self.compared(key, size, digest, Deadline(limit_seconds))
        upload = PartsUpload(
            self._client,
            key,
            {"ContentType": media_type, **_boto3_params(self._settings)},
            protect and self.guard.takes_if_none_match,
            self.guard.etag_is_md5,
            self.guard.md5_refused,
            limit_seconds,
            self._unfinished,
        )
        return store_parts(upload, parts, self)

    # what an upload of either kind needs to know

    @property
    def guard(self) -> Capabilities:
        return self._guard

    @property
    def overwrites(self) -> bool:
        return self._overwrite


def hash_all(parts: Iterator[memoryview]) -> tuple[int, bytes]:
    """Read all parts and return their length in bytes and their MD5."""
    digest, size = md5(usedforsecurity=False), 0
    for part in parts:
        digest.update(part)
        size += len(part)
    return size, digest.digest()


class ObjectUpload:
    """Store one image with a PUT, attempt by attempt."""

    def __init__(self, bucket: Bucket, key: str, image: Image) -> None:
        self._bucket = bucket
        self._key = key
        self._image = image
        self._ours_is_wrong = False  # True: our own PUT left an object that is not the image

    def attempt(self, deadline: Deadline) -> Stored:
        bucket, key, image = self._bucket, self._key, self._image
        protect = not (bucket.overwrites or self._ours_is_wrong)
        if protect and not bucket.guard.if_none_match and bucket.exists(key, deadline):
            return bucket.compared(key, len(image.body), image.digest(), deadline)
        reply = bucket.put(key, image, deadline, guarded=protect and bucket.guard.takes_if_none_match)
        if protect and reply.status in _EXISTS:
            return bucket.compared(key, len(image.body), image.digest(), deadline)
        if reply.status != 200:
            raise bucket.put_error(reply)
        self._prove(reply, deadline)
        self._ours_is_wrong = False
        return Stored(reply.etag, len(image.body), image.md5.hex() or "-", already_there=False)

    def _prove(self, reply: S3Response, deadline: Deadline) -> None:
        """Raise TransientError when the answer to our PUT does not prove that the object is the image."""
        guard, image = self._bucket.guard, self._image
        if not reply.etag:
            raise TransientError("server_error", "the answer has no ETag: it may not come from the store")
        by_kms = reply.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        if guard.etag_is_md5 and image.md5 and not by_kms:
            if reply.etag != image.md5.hex():
                self._ours_is_wrong = True
                raise TransientError(
                    "server_error", f"the ETag {reply.etag} is not the MD5 {image.md5.hex()}"
                )
        elif not guard.checksum_refused:
            found = self._bucket.head(self._key, deadline)
            if found is None or found.size != len(image.body):
                self._ours_is_wrong = True
                raise TransientError("server_error", "the object stored has another size")

    def give_up(self) -> None:
        if not self._ours_is_wrong:
            return
        try:
            deleted = self._bucket.delete(self._key, Deadline(10))
        except MigrationError as error:
            log.debug("delete failed: %s", error)
            deleted = False
        if not deleted:
            log.error("an object that is not its image is left at key %r: delete it by hand", self._key)


def _fixed_headers(settings: MigrationSettings) -> dict[str, str]:
    """Return the headers that every object of the run gets."""
    headers = {
        "x-amz-acl": settings.object_acl,
        "x-amz-storage-class": settings.storage_class,
        "x-amz-server-side-encryption": settings.server_side_encryption,
        "x-amz-server-side-encryption-aws-kms-key-id": settings.sse_kms_key_id,
        "cache-control": settings.cache_control,
    }
    return {name: value for name, value in headers.items() if value}


def _boto3_params(settings: MigrationSettings) -> dict[str, str]:
    """Return the same as parameters of boto3's put_object and create_multipart_upload."""
    params = {
        "ACL": settings.object_acl,
        "StorageClass": settings.storage_class,
        "ServerSideEncryption": settings.server_side_encryption,
        "SSEKMSKeyId": settings.sse_kms_key_id,
        "CacheControl": settings.cache_control,
    }
    return {name: value for name, value in params.items() if value}


def probe_key(settings: MigrationSettings) -> str:
    return settings.destination_prefix + PROBE_NAME


def probe_image() -> Image:
    return image_of(PROBE_BODY, "text/plain")


def image_of(body: bytes, media_type: str) -> Image:
    """Return body as an image with its MD5."""
    return Image(memoryview(body), media_type, md5(body, usedforsecurity=False).digest(), crc32(body))
