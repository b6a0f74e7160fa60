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

from cdn2s3.destinations.base import Content, ReadRefused, same_etag
from cdn2s3.destinations.s3.capabilities import NOT_ATOMIC, Condition, Support
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.object_upload import ObjectUpload
from cdn2s3.destinations.s3.probe_delete import probe_delete
from cdn2s3.destinations.s3.probe_renewal import probe_renewing
from cdn2s3.errors import PermanentError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Stored
from cdn2s3.settings.declarations import MigrationSettings

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
        self._settings = settings
        self._sleep = sleep
        self._by_put = self._by_delete = Support.UNKNOWN

    # --- asking

    def probe_replacing(self) -> Support:
        """Find out what the store makes of If-Match on PUT; raise TransientError or FatalError."""
        known = self._destination.capabilities._replace(takes_parts=False)  # what is stored here is small
        found = probe_renewing(self._settings, self._objects, known, self._sleep)
        self._by_put = found.conditions[Condition.RENEW_BY_PUT]
        return self._by_put

    def probe_deleting(self) -> Support:
        """Find out what the store makes of If-Match on DELETE; raise TransientError or FatalError."""
        self._by_delete = probe_delete(self._settings, self._objects, self._sleep).condition
        return self._by_delete

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
