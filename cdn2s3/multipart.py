"""Store a body too large for memory in parts, and complete it only when the whole body has been proven.

A multipart upload that nobody completes or aborts is invisible in listings and is billed. So it is aborted on
every failure, and what a crash left for the same key is aborted before a new one begins.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import md5
from typing import Any, Callable, NamedTuple

from cdn2s3.connection import Limit
from cdn2s3.destination import Stored
from cdn2s3.errors import CannotGoOn, MigrationError, TryAgain
from cdn2s3.s3client import Reply, S3Client

log = logging.getLogger(__name__)

PART_BYTES = 8 << 20  # S3 takes parts from 5 MiB on, and 10,000 of them

Compare = Callable[[str, int, bytes, Limit], Stored]


class PartsUpload(NamedTuple):
    """How one body is stored in parts."""

    client: S3Client
    key: str
    params: Mapping[str, str]  # of create_multipart_upload: content type, ACL, encryption and so on
    guarded: bool  # True: complete it only where nothing is at the key
    etag_is_md5: bool  # the ETag of a part is its MD5
    limit_seconds: float  # of each request


def store_parts(upload: PartsUpload, parts: Iterator[memoryview], compare: Compare) -> Stored:
    """Store parts and return the object; compare tells what is already at the key, as Bucket.compared does.

    parts raises, after its last part, when the body is not whole; then, as on every error, the upload is
    aborted and nothing is at the key. Raise what parts, compare or the store's answers say.
    """
    _abort_left_over(upload)
    reply, parsed = upload.client.call(
        "create_multipart_upload", _limit(upload), Key=upload.key, **upload.params
    )
    if reply.status != 200 or "UploadId" not in parsed:
        raise _error(reply, "CreateMultipartUpload")
    upload_id = parsed["UploadId"]
    try:
        return _filled_and_completed(upload, upload_id, parts, compare)
    except BaseException:
        _abort(upload, upload_id)
        raise


def _filled_and_completed(
    upload: PartsUpload, upload_id: str, parts: Iterator[memoryview], compare: Compare
) -> Stored:
    whole, of_parts, size = md5(usedforsecurity=False), md5(usedforsecurity=False), 0
    listed: list[dict[str, Any]] = []
    for number, part in enumerate(parts, 1):
        digest = md5(part, usedforsecurity=False).digest()
        listed.append({"PartNumber": number, "ETag": _store_part(upload, upload_id, number, part, digest)})
        whole.update(part)
        of_parts.update(digest)
        size += len(part)
    more = {"IfNoneMatch": "*"} if upload.guarded else {}
    reply, parsed = upload.client.call(
        "complete_multipart_upload",
        _limit(upload),
        Key=upload.key,
        UploadId=upload_id,
        MultipartUpload={"Parts": listed},
        **more,
    )
    if upload.guarded and reply.status == 412:
        _abort(upload, upload_id)
        return compare(upload.key, size, whole.digest(), _limit(upload))
    etag = str(parsed.get("ETag", "")).strip('"')
    if reply.status != 200 or not etag:
        raise _error(reply, "CompleteMultipartUpload")
    kms = str(parsed.get("ServerSideEncryption", "")).startswith("aws:kms")
    expected = f"{of_parts.hexdigest()}-{len(listed)}"
    if upload.etag_is_md5 and not kms and "-" in etag and etag != expected:
        raise TryAgain("server_error", f"the ETag {etag} is not {expected}")
    return Stored(etag, size, whole.hexdigest(), already_there=False)


def _store_part(upload: PartsUpload, upload_id: str, number: int, part: memoryview, digest: bytes) -> str:
    """Store one part and return its ETag as the store gave it."""
    reply, parsed = upload.client.call(
        "upload_part",
        _limit(upload),
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
        raise TryAgain("server_error", f"the ETag {reply.etag} of a part is not its MD5 {digest.hex()}")
    return str(parsed["ETag"])


def _abort_left_over(upload: PartsUpload) -> None:
    """Abort the uploads to the same key that a crash left; where that is not allowed they stay, as before."""
    reply, parsed = upload.client.call("list_multipart_uploads", _limit(upload), Prefix=upload.key)
    if reply.status == 403:
        log.warning("unfinished multipart uploads cannot be looked for: grant s3:ListBucketMultipartUploads")
    elif reply.status != 200:
        error = _error(reply, "ListMultipartUploads")
        passing = reply.status in (200, 429) or (reply.status >= 500 and reply.status != 501)
        if passing or isinstance(error, CannotGoOn):
            raise error
        log.warning("unfinished multipart uploads cannot be looked for: the store answered %d", reply.status)
    for left in parsed.get("Uploads", ()):
        if left["Key"] == upload.key:
            _abort(upload, left["UploadId"])


def _abort(upload: PartsUpload, upload_id: str) -> None:
    try:
        reply, _ = upload.client.call(
            "abort_multipart_upload", Limit(upload.limit_seconds), Key=upload.key, UploadId=upload_id
        )
        status = reply.status
    except (TryAgain, CannotGoOn) as error:
        log.debug("abort failed: %s", error)
        status = 0
    if status not in (204, 200, 404):
        log.warning(
            "an unfinished multipart upload of %r is left (answer %s): a lifecycle rule "
            "AbortIncompleteMultipartUpload removes it",
            upload.key,
            status or "none",
        )


def _limit(upload: PartsUpload) -> Limit:
    return Limit(upload.limit_seconds)


def _error(reply: Reply, action: str) -> MigrationError:
    """Return the error for an answer that is no success, an error in a 200 among them."""
    if reply.status == 200:
        return TryAgain("server_error", f"the bucket answered {action} without what it promises")
    return reply.error(action)
