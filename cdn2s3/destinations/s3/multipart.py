"""Store a body too large for memory in parts, and complete it only when the whole body has been proven.

A multipart upload that nobody completes or aborts is invisible in listings and is billed. So it is aborted on
every failure, and what a crash left for the same key is aborted before a new one begins.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import md5
from typing import Any, NamedTuple, Protocol

from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.errors import MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Stored

log = logging.getLogger(__name__)

PART_BYTES = 8 << 20  # S3 takes parts from 5 MiB on, and 10,000 of them


class Objects(Protocol):
    """What is at a key; Bucket is it."""

    def compared(self, key: str, size: int, digest: bytes, deadline: Deadline) -> Stored:
        """Return the object at key where its content is that of size and digest; raise as Bucket.compared."""

    def delete(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key; return False when that is refused; raise as Bucket.delete."""


class _Whole(NamedTuple):
    """All parts together, as they have been stored."""

    size: int  # bytes
    digest: bytes  # MD5 of the body
    etag: str  # what S3 makes of the parts' MD5s, without quotes


class PartsUpload(NamedTuple):
    """How one body is stored in parts."""

    client: S3Client
    key: str
    params: Mapping[str, str]  # of create_multipart_upload: content type, ACL, encryption and so on
    guarded: bool  # True: complete it only where nothing is at the key
    etag_is_md5: bool  # the ETag of a part is its MD5
    md5_is_checked: bool  # a part that is not what its Content-MD5 says is refused
    limit_seconds: float  # of each request
    unfinished: MultipartCleanup


def store_parts(upload: PartsUpload, parts: Iterator[memoryview], objects: Objects) -> Stored:
    """Store parts and return the object; objects tells what is already at the key, or became of an upload.

    parts raises, after its last part, when the body is not whole; then, as on every error, the upload is
    aborted and nothing is at the key. Raise what parts, objects or the store's answers say.
    """
    upload.unfinished.clear(upload.key, upload.limit_seconds)
    reply, parsed = upload.client.call(
        "create_multipart_upload", _deadline(upload), Key=upload.key, **upload.params
    )
    if reply.status != 200 or "UploadId" not in parsed:
        raise _error(reply, "CreateMultipartUpload")
    upload_id = parsed["UploadId"]
    try:
        whole, listed = _filled(upload, upload_id, parts)
        return _completed(upload, upload_id, whole, listed, objects)
    except BaseException:
        upload.unfinished.abort(upload.key, upload_id, upload.limit_seconds)
        raise


def _filled(
    upload: PartsUpload, upload_id: str, parts: Iterator[memoryview]
) -> tuple[_Whole, list[dict[str, Any]]]:
    """Store all parts; return what they are together, and the list of them that completes the upload."""
    whole, of_parts, size = md5(usedforsecurity=False), md5(usedforsecurity=False), 0
    listed: list[dict[str, Any]] = []
    for number, part in enumerate(parts, 1):
        digest = md5(part, usedforsecurity=False).digest()
        listed.append({"PartNumber": number, "ETag": _store_part(upload, upload_id, number, part, digest)})
        whole.update(part)
        of_parts.update(digest)
        size += len(part)
    return _Whole(size, whole.digest(), f"{of_parts.hexdigest()}-{len(listed)}"), listed


def _completed(
    upload: PartsUpload, upload_id: str, whole: _Whole, listed: list[dict[str, Any]], objects: Objects
) -> Stored:
    more = {"IfNoneMatch": "*"} if upload.guarded else {}
    try:
        reply, parsed = upload.client.call(
            "complete_multipart_upload",
            _deadline(upload),
            Key=upload.key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            **more,
        )
    except TransientError as error:
        return _completed_after_all(upload, upload_id, whole, objects, error)
    if upload.guarded and reply.status == 412:
        upload.unfinished.abort(upload.key, upload_id, upload.limit_seconds)
        return objects.compared(upload.key, whole.size, whole.digest, _limit_to_read(upload, whole))
    etag = str(parsed.get("ETag", "")).strip('"')
    if reply.status != 200 or not etag:
        failure = _error(reply, "CompleteMultipartUpload")
        if reply.status < 500 and reply.status != 200 and reply.code != "NoSuchUpload":
            raise failure
        return _completed_after_all(upload, upload_id, whole, objects, failure)
    kms = str(parsed.get("ServerSideEncryption", "")).startswith("aws:kms")
    if upload.etag_is_md5 and not kms:
        if "-" in etag and etag != whole.etag:
            return _proven(upload, whole, objects, f"the ETag {etag} is not {whole.etag}", True)
    elif not upload.md5_is_checked:
        return _proven(upload, whole, objects, "nothing shows that the store has checked the parts", False)
    return Stored(etag, whole.size, whole.digest.hex(), already_there=False)


def _completed_after_all(
    upload: PartsUpload, upload_id: str, whole: _Whole, objects: Objects, failure: MigrationError
) -> Stored:
    """Return the object where an upload is complete whose answer was lost or bad; raise failure elsewhere.

    A request that is sent again, as one on a kept-alive connection is, finds no upload any more.
    """
    try:
        stored = objects.compared(upload.key, whole.size, whole.digest, _limit_to_read(upload, whole))
    except (TransientError, PermanentError):
        raise failure from None  # a new upload of the body will be told what is at the key
    upload.unfinished.abort(
        upload.key, upload_id, upload.limit_seconds
    )  # complete, it is gone; else the same content was there before
    return stored._replace(already_there=False)


def _proven(upload: PartsUpload, whole: _Whole, objects: Objects, doubt: str, is_suspect: bool) -> Stored:
    """Return the object that we have completed where its bytes, read again, are the right ones.

    Otherwise it is ours and wrong: take it away, and raise TransientError; it must not be met as a conflict later.
    doubt says what there is against it without that; where it is not suspect, one that cannot be read just now
    stays, and the next attempt meets and compares it.
    """
    try:
        stored = objects.compared(upload.key, whole.size, whole.digest, _limit_to_read(upload, whole))
        return stored._replace(already_there=False)
    except PermanentError as error:
        if error.cause != "conflict":  # it may not be read
            raise PermanentError(error.cause, f"{doubt}; {error.message}") from error
    except TransientError as error:
        if not is_suspect:
            raise
        log.debug("%s, and it cannot be read: %s", doubt, error.message)
    if not _deleted(upload, objects):
        log.error("an object that is not its image is left at key %r: delete it by hand", upload.key)
        raise PermanentError("destination", f"{doubt}, and the object cannot be deleted")
    raise TransientError("server_error", doubt)


def _deleted(upload: PartsUpload, objects: Objects) -> bool:
    try:
        return objects.delete(upload.key, _deadline(upload))
    except MigrationError as error:
        log.debug("delete failed: %s", error)
        return False


def _store_part(upload: PartsUpload, upload_id: str, number: int, part: memoryview, digest: bytes) -> str:
    """Store one part and return its ETag as the store gave it."""
    reply, parsed = upload.client.call(
        "upload_part",
        _deadline(upload),
        Key=upload.key,
        UploadId=upload_id,
        PartNumber=number,
        Body=bytes(part),
        ContentMD5=b64encode(digest).decode(),
    )
    if reply.status != 200 or "ETag" not in parsed:
        raise _error(reply, "UploadPart")
    kms = str(parsed.get("ServerSideEncryption", "")).startswith("aws:kms")
    if upload.etag_is_md5 and not kms and reply.etag != digest.hex():
        raise TransientError("server_error", f"the ETag {reply.etag} of a part is not its MD5 {digest.hex()}")
    return str(parsed["ETag"])


def _deadline(upload: PartsUpload) -> Deadline:
    return Deadline(upload.limit_seconds)


def _limit_to_read(upload: PartsUpload, whole: _Whole) -> Deadline:
    """Return the limit of reading the whole body: as long as its parts had to be stored."""
    return Deadline(upload.limit_seconds * max(1, -(-whole.size // PART_BYTES)))


def _error(reply: S3Response, action: str) -> MigrationError:
    """Return the error for an answer that is no success, an error in a 200 among them."""
    if reply.status == 200:
        return TransientError("server_error", f"the bucket answered {action} without what it promises")
    return reply.error(action)
