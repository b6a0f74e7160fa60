"""The renewal of objects: new bytes over the recorded object, and over no other.

Where the store honors If-Match, it decides in one step. Elsewhere a HEAD comes first, which is not atomic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from cdn2s3.destinations.base import (
    BOTH_ENDS,
    LOST,
    Conflict,
    Content,
    NotRenewed,
    ReadRefused,
    how_over,
    same_etag,
)
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.multipart import MultipartUpload, Sent, error_of
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.destinations.s3.object_md5 import Md5Source
from cdn2s3.destinations.s3.object_upload import ObjectUpload, of_its_key
from cdn2s3.destinations.s3.objects import EXISTS, Objects
from cdn2s3.errors import MigrationError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import UNKNOWN, Image, Recorded, Stored

_GONE = 404
_REFUSALS = range(400, 500)  # after any other status it may have been stored, whatever the response says
_RACE = 409  # ConditionalRequestConflict: another write to the key was under way

Seen = Union[Stored, str]  # the object where it is the new bytes already, else the ETag that may be replaced


class Recognizer:
    """Tell by a HEAD what is at the key of a recorded object now."""

    def __init__(self, objects: Objects, found: Capabilities, key: str, recorded: Recorded) -> None:
        self._objects = objects
        self._found = found
        self._key = key
        self._recorded = recorded
        self.how = how_over(recorded, recorded.etag)

    def look(self, content: Content, deadline: Deadline) -> Seen:
        """Return the object where it is content, else the plain ETag of the recorded object, which is still there.

        Raise NotRenewed where neither is, PermanentError (unverified) where it may not be read.
        """
        try:
            info = self._objects.head(self._key, deadline)
        except ReadRefused as refused:
            if not self._found.can_read:
                raise refused.as_failure() from None
            info = None  # S3's way to say "absent" without s3:ListBucket
        if info is None:
            raise lost()
        if info.size == self._recorded.size and self._is_recorded(info.etag, deadline):
            return info.etag
        try:
            etag_is_md5 = self._found.etag_is_md5
            stored = self._objects.verify_existing(self._key, content, etag_is_md5, deadline)
        except Conflict as other:
            raise NotRenewed(BOTH_ENDS, f"{other.message}; it is not the recorded one") from None
        return stored._replace(how=self.how)

    def _is_recorded(self, etag: str, deadline: Deadline) -> bool:
        if self._recorded.etag != UNKNOWN:
            # Some stores name an object in parts anew once it is complete, by the MD5 of its bytes (rclone serve s3).
            return same_etag(etag, self._recorded.etag) or etag == self._recorded.md5
        return self._objects.md5(self._key, deadline) == self._recorded.md5


def lost() -> NotRenewed:
    return NotRenewed(LOST, "the recorded object is gone; it is not created again")


class ObjectRenewal(ObjectUpload):
    """Put one image over the recorded object, attempt by attempt."""

    def __init__(
        self,
        objects: Objects,
        found: Capabilities,
        md5s: Md5Source,
        key: str,
        image: Image,
        recorded: Recorded,
    ) -> None:
        super().__init__(objects, found, md5s, False, key, image)
        self._at_key = Recognizer(objects, found, key, recorded)
        self._how = self._at_key.how
        self._etag = "" if recorded.etag == UNKNOWN else recorded.etag  # what may be replaced
        self._must_look = not self._etag or not found.honors(Condition.RENEW_BY_PUT)
        self._has_sent = False  # True: an attempt of ours may have stored the image

    def attempt(self, deadline: Deadline) -> Stored:
        if self._must_look and not self._wrote_bad_object:
            seen = self._look(deadline)
            if isinstance(seen, Stored):
                return seen
            self._etag = seen
        is_sent = self._capabilities.takes(Condition.RENEW_BY_PUT)
        reply = self._put(deadline, self._etag if is_sent else "")
        if reply.status in EXISTS:
            seen = self._look(deadline)
            if isinstance(seen, Stored):
                return seen
            self._etag = seen  # it may have another ETag than the recorded one by now: for the next attempt
            raise TransientError("server_error", f"the bucket answered {reply.status} to the recorded ETag")
        if reply.status == _GONE and reply.code in ("", "NoSuchKey"):
            raise lost()
        if reply.status == _RACE:
            self._must_look = True  # the next attempt takes a fresh look
            raise TransientError(
                "server_error", f"the bucket answered {reply.status} {reply.code} to PUT", status=_RACE
            )
        if reply.status != 200:
            raise of_its_key(self._key, self._objects.put_error(reply))
        try:
            self._prove(reply, deadline)
        except TransientError:
            self._etag = reply.etag  # a bad object of ours, which the next attempt replaces
            raise
        return self._stored(reply)

    def _put(self, deadline: Deadline, etag: str) -> S3Response:
        try:
            reply = self._objects.put(self._key, self._image, deadline, guarded=False, match=etag)
            self._has_sent = self._has_sent or deadline.resent or reply.status not in _REFUSALS
            return reply
        except TransientError:
            self._has_sent = True  # the answer was lost, and may have been a success
            raise

    def _look(self, deadline: Deadline) -> Seen:
        seen = self._at_key.look(Content(len(self._image.body), self._image.digest()), deadline)
        if isinstance(seen, Stored):
            return seen._replace(already_there=not self._has_sent)
        return seen


class MultipartRenewal(MultipartUpload):
    """Put one body over the recorded object, in parts, once, from one thread."""

    def __init__(
        self,
        objects: Objects,
        cleanup: MultipartCleanup,
        capabilities: Capabilities,
        key: str,
        limit_seconds: float,
        recorded: Recorded,
    ) -> None:
        super().__init__(objects, cleanup, capabilities, key, limit_seconds)
        self._at_key = Recognizer(objects, capabilities, key, recorded)
        self._etag = "" if recorded.etag == UNKNOWN else recorded.etag

    def renew(self, media_type: str, parts: Iterator[memoryview], encoding: str = "") -> Stored:
        """Store parts and complete them over the recorded object; raise as store(), and NotRenewed."""
        return self._stored(media_type, parts, encoding, self._complete_over)

    def _complete_over(self, sent: Sent) -> Stored:
        condition, etag = Condition.RENEW_BY_PARTS, self._etag
        if not etag or not self._capabilities.honors(condition):  # storing the parts has taken its time
            seen = self._at_key.look(sent.content, self._deadline())
            if isinstance(seen, Stored):
                self._abort(sent.upload_id)
                return seen
            etag = seen
        match = etag if self._capabilities.takes(condition) else ""
        try:
            reply, new_etag, by_kms, _ = self._requests.complete(
                self._key, sent.upload_id, sent.parts, self._deadline(), False, match
            )
        except TransientError as error:
            return self._completed_after_all(sent, error, self._at_key.how)
        if reply.status in EXISTS:
            seen = self._at_key.look(sent.content, self._deadline())
            self._abort(sent.upload_id)
            if isinstance(seen, Stored):
                return seen
            self._etag = seen  # it may have another ETag than the recorded one by now: for the next attempt
            raise TransientError("server_error", f"the bucket answered {reply.status} to the recorded ETag")
        if reply.status == _GONE and reply.code == "NoSuchKey":
            raise lost()
        if reply.status != 200 or not new_etag:
            return self._unclear(sent, reply)
        return self._proven(sent, new_etag, by_kms)._replace(how=self._at_key.how)

    def _unclear(self, sent: Sent, reply: S3Response) -> Stored:
        """Return the object where the upload is complete after all; raise what the response means where it is not.

        After a 409 the upload begins anew, with a fresh look.
        """
        failure: MigrationError = error_of(reply, "CompleteMultipartUpload")
        if reply.status == _RACE:
            failure = TransientError("server_error", str(failure), status=_RACE)
        if 400 <= reply.status < 500 and reply.code != "NoSuchUpload":
            raise failure
        return self._completed_after_all(sent, failure, self._at_key.how)
