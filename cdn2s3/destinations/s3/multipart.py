"""Multipart uploads of bodies too large for memory, completed only when the whole body has been proven.

A multipart upload that nobody completes or aborts is invisible in listings, but billed. So it is aborted on
every failure, and leftovers of a crash at the same key are aborted before a new one begins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from hashlib import md5
from typing import Callable, NamedTuple

from cdn2s3.destinations.base import PART_BYTES, Content, met
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.multipart_cleanup import NOT_FOUND, MultipartCleanup
from cdn2s3.destinations.s3.objects import EXISTS, Objects
from cdn2s3.destinations.s3.part_requests import Part, PartRequests, is_by_kms
from cdn2s3.errors import MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import FOUND, REPLACED, STORED, Recorded, Stored

log = logging.getLogger(__name__)


class Sent(NamedTuple):
    """All parts together, as they have been stored."""

    upload_id: str
    content: Content  # the whole body
    etag: str  # what S3 makes of the parts' MD5s, without quotes
    parts: list[Part]  # what completes the upload


class Protection(NamedTuple):
    """What becomes of an object that is at the key of an upload already."""

    guarded: bool  # the completion sends `If-None-Match: *`
    must_look: bool  # a HEAD comes before the completion: the store does not honor that condition
    overwrites: bool = False  # other content is replaced
    is_blind: bool = False  # and nothing can show what is there
    recorded: Recorded | None = None  # what the last row of the key says, if it has one


class MultipartUpload:
    """Store one body at one key, once, from one thread."""

    def __init__(
        self,
        objects: Objects,
        cleanup: MultipartCleanup,
        capabilities: Capabilities,
        key: str,
        limit_seconds: float,
    ) -> None:
        """limit_seconds is for each request."""
        self._objects = objects
        self._requests = PartRequests(objects)
        self._cleanup = cleanup
        self._capabilities = capabilities
        self._key = key
        self._limit_seconds = limit_seconds

    def store(
        self, media_type: str, parts: Iterator[memoryview], protection: Protection, encoding: str = ""
    ) -> Stored:
        """Store parts and return the object; encoding is its Content-Encoding, "" for none.

        parts raises, after its last part, when the body is not whole; then, as on every error, the upload is
        aborted and nothing is at the key. Raise what parts, objects or the store's answers say.
        """
        return self._stored(media_type, parts, encoding, lambda sent: self._complete(sent, protection))

    def _stored(
        self,
        media_type: str,
        parts: Iterator[memoryview],
        encoding: str,
        complete: Callable[[Sent], Stored],
    ) -> Stored:
        """Store parts and let complete make them an object; abort the upload on every error."""
        self._cleanup.clear(self._key, self._limit_seconds)
        reply, upload_id = self._requests.create(self._key, media_type, self._deadline(), encoding)
        if not upload_id:
            raise error_of(reply, "CreateMultipartUpload")
        try:
            return complete(self._send(upload_id, parts))
        except BaseException:
            self._abort(upload_id)
            raise

    # --- the parts

    def _send(self, upload_id: str, parts: Iterator[memoryview]) -> Sent:
        """Store all parts; return what they are together."""
        whole, of_parts, size = md5(usedforsecurity=False), md5(usedforsecurity=False), 0
        listed: list[Part] = []
        for number, part in enumerate(parts, 1):
            digest = md5(part, usedforsecurity=False).digest()
            listed.append(Part(number, self._store_part(upload_id, number, part, digest)))
            whole.update(part)
            of_parts.update(digest)
            size += len(part)
        content = Content(size, whole.digest())
        return Sent(upload_id, content, f"{of_parts.hexdigest()}-{len(listed)}", listed)

    def _store_part(self, upload_id: str, number: int, part: memoryview, digest: bytes) -> str:
        """Store one part and return its ETag as the store gave it."""
        reply, parsed = self._requests.store(
            self._key, upload_id, number, bytes(part), digest, self._deadline()
        )
        if reply.status != 200 or "ETag" not in parsed:
            raise error_of(reply, "UploadPart")
        if self._capabilities.etag_is_md5 and not is_by_kms(parsed) and reply.etag != digest.hex():
            raise TransientError(
                "server_error", f"the ETag {reply.etag} of a part is not its MD5 {digest.hex()}"
            )
        return str(parsed["ETag"])

    # --- the completion

    def _complete(self, sent: Sent, protection: Protection) -> Stored:
        if protection.is_blind:
            return self._completed(sent, protection, REPLACED)
        if protection.must_look and self._exists():  # storing the parts has taken its time
            return self._at_existing(sent, protection)
        return self._completed(sent, protection, STORED)

    def _at_existing(self, sent: Sent, protection: Protection) -> Stored:
        """Return the object at the key where it is the body; else complete the upload over it, or raise if it stays."""
        existing = met(
            lambda: self._verify_existing(sent, protection.recorded),
            protection.overwrites,
            protection.recorded,
        )
        if not isinstance(existing, Stored):
            return self._completed(sent, protection, existing)
        self._abort(sent.upload_id)
        return existing

    def _completed(self, sent: Sent, protection: Protection, how: str) -> Stored:
        """Complete the upload, over nothing where how is STORED."""
        guarded = protection.guarded and how == STORED
        try:
            reply, etag, by_kms, _ = self._requests.complete(
                self._key, sent.upload_id, sent.parts, self._deadline(), guarded
            )
        except TransientError as error:
            return self._completed_after_all(sent, error, how)
        if guarded and reply.status in EXISTS:
            return self._at_existing(sent, protection)
        if reply.status != 200 or not etag:
            failure = error_of(reply, "CompleteMultipartUpload")
            if reply.status < 500 and reply.status != 200 and reply.code != "NoSuchUpload":
                raise failure
            return self._completed_after_all(sent, failure, how)
        return self._proven(sent, etag, by_kms)._replace(how=how)

    def _exists(self) -> bool:
        return self._objects.exists(self._key, self._deadline(), self._capabilities.can_read)

    def _completed_after_all(self, sent: Sent, failure: MigrationError, how: str) -> Stored:
        """Return the object if its upload is complete despite a lost or invalid response; otherwise raise failure.

        A request that is sent again, as one on a kept-alive connection is, no longer finds the upload.
        """
        try:
            stored = self._verify_existing(sent)
        except (TransientError, PermanentError):
            raise failure from None  # a new upload of the body will find out what is at the key
        # Complete, the upload is gone; else the same content may have been there before.
        was_gone = self._cleanup.end(self._key, sent.upload_id, self._limit_seconds) == NOT_FOUND
        if how == STORED and not was_gone:
            how = FOUND
        return stored._replace(already_there=how == FOUND, how=how)

    # --- the proof

    def _proven(self, sent: Sent, etag: str, by_kms: bool) -> Stored:
        """Return the object that we have completed, which the store says has etag, once it is proven.

        | the store's answer                              | what proves the object                        |
        |-------------------------------------------------|-----------------------------------------------|
        | the ETag of our parts, or one of another kind   | the ETag, or each part's                      |
        | an ETag of parts that are not ours              | its bytes; it is removed where they differ or |
        |                                                 | cannot be read: it must not stay              |
        | an ETag without proof, Content-MD5 checked      | each part's Content-MD5                       |
        | the same, Content-MD5 not checked               | its bytes; where they cannot be read now it   |
        |                                                 | stays, and the next attempt compares it       |
        """
        if self._capabilities.etag_is_md5 and not by_kms:
            if "-" in etag and etag != sent.etag:
                return self._cleared(sent, f"the ETag {etag} is not {sent.etag}")
        elif not self._capabilities.md5_refused:
            return self._shown(sent, "nothing shows that the store has checked the parts")
        return Stored(etag, sent.content.size, sent.content.md5.hex(), already_there=False)

    def _shown(self, sent: Sent, doubt: str) -> Stored:
        """Return the object where its bytes show that it is right; remove it, and raise, where they do not."""
        stored = self._reread(sent, doubt)
        if stored is None:
            raise self._removed(doubt)
        return stored

    def _cleared(self, sent: Sent, doubt: str) -> Stored:
        """Do the same under suspicion: what cannot be read just now is removed too."""
        try:
            stored = self._reread(sent, doubt)
        except TransientError as error:
            log.debug("%s, and it cannot be read: %s", doubt, error.message)
            stored = None
        if stored is None:
            raise self._removed(doubt)
        return stored

    def _reread(self, sent: Sent, doubt: str) -> Stored | None:
        """Return the object that we have completed where its bytes are the right ones; None where they are not."""
        try:
            return self._verify_existing(sent)._replace(already_there=False)
        except PermanentError as error:
            if error.cause == "conflict":
                return None
            raise PermanentError(error.cause, f"{doubt}; {error.message}") from error

    def _removed(self, doubt: str) -> MigrationError:
        """Delete the object, which is ours and wrong: it must not be met as a conflict later; return the failure."""
        if self._objects.remove_bad(self._key, self._deadline()):
            return TransientError("server_error", doubt)
        return PermanentError("destination", f"{doubt}, and the object cannot be deleted")

    def _verify_existing(self, sent: Sent, recorded: Recorded | None = None) -> Stored:
        """Do as Objects.verify_existing(); reading the whole body may take as long as storing its parts."""
        parts = max(1, -(-sent.content.size // PART_BYTES))
        deadline = Deadline(self._limit_seconds * parts)
        return self._objects.verify_existing(
            self._key, sent.content, self._capabilities.etag_is_md5, deadline, recorded
        )

    def _abort(self, upload_id: str) -> None:
        self._cleanup.abort(self._key, upload_id, self._limit_seconds)

    def _deadline(self) -> Deadline:
        return Deadline(self._limit_seconds)


def error_of(reply: S3Response, action: str) -> MigrationError:
    """Return the error for a response that is not a success, including an error in a 200."""
    if reply.status == 200:
        return TransientError("server_error", f"the bucket answered {action} without the fields it promises")
    return reply.error(action)
