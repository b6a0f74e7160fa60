"""Objects that are known to be ours, by their ETag: replaced and deleted only while they still are what we stored.

S3 has If-Match on PutObject since 2024-11 and on DeleteObject since 2025-09; other stores ignore it, and delete, or
refuse it (docs/stores.md). So each is asked first, with a probe object of its own, both ways: the wrong ETag must be
refused with 412 and change nothing, the right one must do its work. Where that is not so, a HEAD comes first: not
atomic.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import Callable, NamedTuple

from cdn2s3.destinations.base import PROBE_BODY, Content, ReadRefused, same_etag
from cdn2s3.destinations.s3.capabilities import NOT_ATOMIC, Support
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Response
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.object_upload import ObjectUpload
from cdn2s3.destinations.s3.probe_requests import DELETE, REPLACE, ProbeRequests, probe_image
from cdn2s3.errors import PermanentError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Stored
from cdn2s3.resilience.retry import ignore
from cdn2s3.settings.declarations import MigrationSettings

_WRONG_ETAG = "0" * 32
_OTHER_BODY = PROBE_BODY + b"This is its second body.\n"
_CANNOT = frozenset({400, 405, NOT_IMPLEMENTED})  # the store does not know the condition
_CHANGED = 412


class Removal(Enum):
    """What has become of an object of ours."""

    DELETED = "deleted"
    GONE = "gone"  # it was not there any more
    CHANGED = "changed since"  # it is another object now, and stays


class Refused(NamedTuple):
    """The deletion is refused, by a permission, a policy or a lock: the object stays."""

    why: str  # in the store's words


class OwnObjects:
    """Replace and delete objects of ours in one bucket; shared by all workers, once probed."""

    def __init__(
        self,
        settings: MigrationSettings,
        destination: S3Destination,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """destination is prepared where objects are replaced; the probe's objects are under its prefix."""
        self._destination = destination
        self._objects = destination.objects
        self._requests = ProbeRequests(settings, destination.objects, sleep, ignore)
        self._by_put = self._by_delete = Support.UNKNOWN

    # --- asking

    def probe_replacing(self) -> Support:
        """Find out what the store makes of If-Match on PUT; raise TransientError or FatalError."""
        first = self._requests.put(REPLACE, probe_image())
        self._by_put = Support.UNKNOWN
        if first.status == 200:
            other = probe_image(_OTHER_BODY)
            wrong = self._requests.put(REPLACE, other, match=_WRONG_ETAG)
            self._by_put = self._judged(
                REPLACE, first, wrong, lambda: self._requests.put(REPLACE, other, match=first.etag)
            )
        self._requests.delete_all()
        return self._by_put

    def probe_deleting(self) -> Support:
        """Find out what the store makes of If-Match on DELETE; raise TransientError or FatalError."""
        first = self._requests.put(DELETE, probe_image())
        self._by_delete = Support.UNKNOWN
        if first.status == 200:
            wrong = self._requests.delete_matching(DELETE, _WRONG_ETAG)
            self._by_delete = self._judged(
                DELETE, first, wrong, lambda: self._requests.delete_matching(DELETE, first.etag)
            )
            if self._by_delete is Support.HONORED and self._requests.head(DELETE).status == 200:
                self._by_delete = Support.IGNORED  # it says that it has deleted, and has not
        self._requests.delete_all()
        return self._by_delete

    def _judged(
        self, name: str, first: S3Response, wrong: S3Response, right: Callable[[], S3Response]
    ) -> Support:
        """Return what the answer to the wrong ETag, and then that to the right one, show."""
        if wrong.status in _CANNOT:
            return Support.REFUSED
        if wrong.status in (200, 204):
            return Support.IGNORED
        there = self._requests.head(name)
        if wrong.status != _CHANGED or there.status not in (200, 403):
            return Support.UNKNOWN
        if there.status == 200 and not same_etag(there.etag, first.etag):
            return Support.IGNORED  # 412, and replaced all the same
        return Support.HONORED if right().status in (200, 204) else Support.REFUSED

    # --- replacing

    def replacement(self, key: str, image: Image, etag: str) -> ObjectUpload:
        """Return the storing of image over the object at key that has the plain ETag etag, not begun."""
        return _Replacement(self._destination, key, image, etag, self._by_put)

    # --- deleting

    def delete(self, key: str, etag: str, deadline: Deadline) -> Removal | Refused:
        """Delete the object at key if it has the plain ETag etag.

        Raise TransientError, PermanentError or FatalError; ReadRefused where a HEAD is needed and refused.
        """
        if self._by_delete is not Support.HONORED:
            info = self._objects.head(key, deadline)
            if info is None:
                return Removal.GONE
            if not same_etag(info.etag, etag):
                return Removal.CHANGED
            return Removal.DELETED if self._objects.delete(key, deadline) else Refused("DELETE is refused")
        reply = self._objects.delete_matching(key, etag, deadline)
        if reply.status in (200, 204):
            return Removal.DELETED
        if reply.status == 404 and reply.code in ("", "NoSuchKey"):
            return Removal.GONE
        if reply.status == _CHANGED:
            return Removal.CHANGED
        if reply.is_refusal:
            return Refused(reply.sentence or reply.code or "DELETE is refused")
        raise reply.error("DELETE")


def not_atomic(support: Support, method: str) -> str:
    """Return in a sentence what it means where method's If-Match is not honored, "" where it is."""
    if support is Support.HONORED:
        return ""
    does = {Support.IGNORED: "ignores", Support.REFUSED: "refuses"}.get(support, "may ignore")
    return (
        f"the store {does} If-Match on {method}: a HEAD compares the object first, which is {NOT_ATOMIC}. Let nothing "
        "else write there meanwhile"
    )


class _Replacement(ObjectUpload):
    """Store one image over an object of ours, and over no other."""

    def __init__(
        self, destination: S3Destination, key: str, image: Image, etag: str, support: Support
    ) -> None:
        super().__init__(destination.objects, destination.capabilities, destination.md5s, False, key, image)
        self._etag = etag
        self._support = support

    def attempt(self, deadline: Deadline) -> Stored:
        must_look = self._support is not Support.HONORED and not self._wrote_bad_object
        if must_look and not self._is_ours(deadline):
            return self._as_it_is(deadline)
        sends = self._support is not Support.REFUSED and not self._wrote_bad_object
        reply = self._objects.put(
            self._key, self._image, deadline, guarded=False, match=self._etag if sends else ""
        )
        if reply.status == _CHANGED:  # by somebody else; or by us, in an attempt whose response was lost
            return self._as_it_is(deadline)
        if reply.status == 404 and reply.code == "NoSuchKey":
            raise PermanentError("conflict", "the object that was to be replaced is gone")
        if reply.status != 200:
            raise self._objects.put_error(reply)
        self._prove(reply, deadline)
        return self._stored(reply)

    def _as_it_is(self, deadline: Deadline) -> Stored:
        """Return the object at the key where it is the image; raise Conflict where it is not."""
        content = Content(len(self._image.body), self._image.digest())
        etag_is_md5 = self._capabilities.etag_is_md5
        return self._objects.verify_existing(self._key, content, etag_is_md5, deadline)

    def _is_ours(self, deadline: Deadline) -> bool:
        try:
            info = self._objects.head(self._key, deadline)
        except ReadRefused as refused:
            raise refused.as_failure() from None
        if info is None:
            raise PermanentError("conflict", "the object that was to be replaced is gone")
        return same_etag(info.etag, self._etag)
