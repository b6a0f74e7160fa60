"""The capability probe: find out, before anything is moved, what this store checks and what we may do.

One fixed key with a fixed body is put, put again under `If-None-Match: *`, put with a wrong checksum, read
and deleted. S3-compatible stores differ in all of this, and a store that ignores a check answers 200 to it.
"""

from __future__ import annotations

import logging
from hashlib import md5
from typing import Callable, NamedTuple
from zlib import crc32

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import PROBE_BODY, PROBE_NAME, ReadRefused
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.errors import FatalError, MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_TIMES = 4  # that an unlikely answer is asked for again before it is believed


class Capabilities(NamedTuple):
    """What the store checks and allows, as found out by the probe."""

    etag_is_md5: bool  # the ETag of a PUT is the MD5 of its body
    checksum_refused: bool  # a body that does not fit its checksum is refused
    if_none_match: bool  # `If-None-Match: *` protects an existing object
    can_read: bool  # s3:GetObject is granted: HEAD and GET work
    md5_refused: bool = True  # a body that does not fit its Content-MD5 is refused: parts always have one
    takes_if_none_match: bool = True  # it may be sent: no PUT is refused for it, whether it protects or not
    encrypted_by_kms: bool = False  # the store says that it encrypts with KMS
    can_delete: bool = True  # s3:DeleteObject is granted


def probe_capabilities(settings: MigrationSettings, objects: Objects) -> Capabilities:
    """Put, compare and delete the probe object; return what was found out.

    Raise FatalError (credentials, permission, bucket, region), TransientError when the store does not answer.
    """
    key, image = probe_key(settings), probe_image()

    right = image if settings.integrity == "md5" else image._replace(md5=b"")
    wrong = right._replace(md5=bytes(16)) if right.md5 else right._replace(crc32=right.crc32 ^ 1)

    def put(sent: Image, guarded: bool = False) -> S3Response:
        reply = objects.put(key, sent, Deadline(settings.upload_timeout), guarded)
        if reply.is_passing:  # 501, some stores' response to If-None-Match, isn't
            raise reply.error(f"PUT {key}")
        if reply.status == 200 and not reply.etag:
            raise TransientError(
                "server_error", "its response to a PUT has no ETag: there may be a proxy in between"
            )
        return reply

    first = put(right)
    if first.status != 200:
        error = objects.put_error(first, f"PUT {key}")
        if first.code == "NoSuchBucket":
            raise FatalError(f"DESTINATION_BUCKET={settings.destination_bucket} does not exist: {error}")
        raise error if isinstance(error, (FatalError, TransientError)) else FatalError(_refusal(error, first))
    again = _first_not(200, lambda: put(right, guarded=True))
    refused = 400 <= put(wrong).status < 500
    return Capabilities(
        etag_is_md5=first.etag == image.md5.hex() and not first.by_kms,
        checksum_refused=refused,
        md5_refused=refused if right.md5 else 400 <= put(image._replace(md5=bytes(16))).status < 500,
        if_none_match=again in (412, 304),
        can_read=_can_read(objects, key, settings, lambda: put(right)),
        takes_if_none_match=again in (200, 412, 304),
        encrypted_by_kms=first.by_kms,
        can_delete=_can_delete(objects, key, settings),  # the last request: it ends the probe
    )


def _first_not(usual: int, ask: Callable[[], S3Response]) -> int:
    """Return the first status but the usual one that ask brings, or usual after some times.

    Another run under the same prefix may delete the probe object between two requests of this one.
    """
    return next((status for status in (ask().status for _ in range(_TIMES)) if status != usual), usual)


def _refusal(error: MigrationError, answer: S3Response) -> str:
    """Return the message for a refusal without a known remedy; a response without a code is not from a store."""
    return f"{error}." + ("" if answer.code else " Is AWS_ENDPOINT_URL an S3 store?")


def _can_read(objects: Objects, key: str, settings: MigrationSettings, put: Callable[[], S3Response]) -> bool:
    """Return whether the probe object may be read; if it is gone (another run may delete it), put it again."""
    try:
        for _ in range(_TIMES):
            if objects.head(key, Deadline(settings.upload_timeout)) is not None:
                return True
            put()
    except (ReadRefused, PermanentError):
        pass
    return False


def _can_delete(objects: Objects, key: str, settings: MigrationSettings) -> bool:
    try:
        return objects.delete(key, Deadline(settings.upload_timeout))
    except PermanentError:
        return False


def integrity(found: Capabilities, settings: MigrationSettings) -> str:
    """Return the digest that the run computes of each body: INTEGRITY, or md5 if the store checks no CRC."""
    return settings.integrity if found.checksum_refused else "md5"


def log_capabilities(found: Capabilities, settings: MigrationSettings) -> None:
    """Log what the store lacks and what that means; raise FatalError where objects could be overwritten."""
    if settings.on_existing == "verify" and not found.if_none_match:
        if not found.can_read:
            raise FatalError(
                "the store ignores If-None-Match and refuses s3:GetObject, so an existing object could be "
                f"overwritten unseen: set ON_EXISTING=overwrite, or grant\n  {policy(settings, 'GetObject')}"
            )
        log.warning("the store ignores If-None-Match: the run sends a HEAD before each PUT (slower)")
    if not found.etag_is_md5:
        log.warning("the store's ETag is not an MD5%s", " (KMS encryption)" if found.encrypted_by_kms else "")
    if not found.checksum_refused and found.etag_is_md5 and settings.integrity == "md5":
        log.info(
            "the store does not check the MD5 of an upload; its ETag is compared instead, which proves the same"
        )
    elif not found.checksum_refused:
        log.warning("the store does not refuse a wrong %s checksum", settings.integrity)
        log.warning(
            "nothing in the store proves the bytes: a HEAD compares the size after each PUT; run "
            "`%s` afterwards",
            command("validate.py", "--spot-check", "1000"),
        )
    if not found.can_read:
        log.warning(
            "s3:GetObject is not granted: an existing object cannot be compared, so its URL fails as "
            "`unverified`. To change that, grant %s",
            policy(settings, "GetObject"),
        )
    if not found.can_delete:
        log.info("s3:DeleteObject is not granted: the probe object stays")


def probe_key(settings: MigrationSettings) -> str:
    return settings.destination_prefix + PROBE_NAME


def probe_image() -> Image:
    """Return the body of the probe as an image with its MD5."""
    digest = md5(PROBE_BODY, usedforsecurity=False).digest()
    return Image(memoryview(PROBE_BODY), "text/plain", digest, crc32(PROBE_BODY))
