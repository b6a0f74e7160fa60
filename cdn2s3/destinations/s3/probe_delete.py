"""The probe of an undo: what the store makes of If-Match on DELETE, and whether the bucket keeps versions.

Asked both ways, with an object of its own: the wrong ETag must be refused with 412 and leave the object, the right one
must delete it. A store that ignores the header answers 204 to both, so nothing is assumed.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Callable, NamedTuple

from cdn2s3.destinations.s3.capabilities import Support
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Response
from cdn2s3.destinations.s3.objects import EXISTS, Objects
from cdn2s3.destinations.s3.probe_requests import DELETE, ProbeRequests, probe_image
from cdn2s3.errors import TransientError
from cdn2s3.resilience.retry import FailedAttempt, ignore
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

WRONG_ETAG = "0" * 32
VERSION_ID = "x-amz-version-id"
_TIMES = 4  # that the object is put again: another run may delete it meanwhile
_DONE = frozenset({200, 204})
_CANNOT = frozenset({400, 405, NOT_IMPLEMENTED})  # the store does not know the condition


class DeleteSupport(NamedTuple):
    """What the probe has found out."""

    condition: Support  # of If-Match on DELETE
    is_versioned: bool | None  # whether the bucket keeps versions; None: the probe could not be stored
    is_suspended: bool = False  # it has kept them, and writes one without an id now


def probe_delete(
    settings: MigrationSettings,
    objects: Objects,
    sleep: Callable[[float], object] = time.sleep,
    on_failure: Callable[[FailedAttempt], object] = ignore,
) -> DeleteSupport:
    """Ask the store, and leave nothing behind where that is allowed; raise FatalError, or the last TransientError."""
    requests = ProbeRequests(settings, objects, sleep, on_failure)
    with requests.cleaned_up():
        return _Prober(requests).found()


class _Prober:
    """Ask one question after the other; for one thread."""

    def __init__(self, requests: ProbeRequests) -> None:
        self._requests = requests
        self._versions: set[str] = (
            set()
        )  # ids of what the probe has left; none where the bucket keeps no versions

    def found(self) -> DeleteSupport:
        etag = self._stored_etag()
        if not etag:
            return DeleteSupport(Support.UNKNOWN, None)
        condition = self._condition(etag)
        self._clean_up(condition)
        return DeleteSupport(condition, bool(self._versions), "null" in self._versions)

    def _stored_etag(self) -> str:
        """Store the probe object and return its ETag; "" where it may not be stored."""
        reply = self._requests.put(DELETE, probe_image(), guarded=True)
        if reply.status in _CANNOT:
            reply = self._requests.put(DELETE, probe_image())
        if reply.status in EXISTS:  # an earlier probe has left it
            reply = self._requests.head(DELETE)
        if reply.status != 200:
            return ""
        self._note_version(reply)
        return reply.etag

    def _note_version(self, reply: S3Response) -> None:
        self._versions |= {version for version in (reply.headers.get(VERSION_ID),) if version}

    def _condition(self, etag: str) -> Support:
        """Return what the store makes of If-Match, with which the object of that ETag is deleted.

        | the wrong ETag             | the right one, after it     |          |
        |----------------------------|-----------------------------|----------|
        | 412, and the object stays  | 200 or 204, and it is gone  | honored  |
        | 412, and it is gone        |                             | ignored  |
        | 412                        | 412 or another refusal      | refused  |
        | 200, 204                   |                             | ignored  |
        | 400, 405, 501              |                             | refused  |
        | others (403, 404)          |                             | unknown  |

        Where HEAD is refused, the answers alone have to do.
        """
        for _ in range(_TIMES):
            wrong = self._delete(WRONG_ETAG).status
            if wrong in _DONE:
                return Support.IGNORED
            if wrong in _CANNOT:
                return Support.REFUSED
            if wrong != 404:
                break
            etag = self._stored_etag() or etag  # another run has deleted it
        if wrong != 412:
            return Support.UNKNOWN
        if self._requests.head(DELETE).status == 404:
            return Support.IGNORED
        right = self._delete(etag).status
        if right not in _DONE:
            return Support.UNKNOWN if right in (403, 404) else Support.REFUSED
        return Support.REFUSED if self._requests.head(DELETE).status == 200 else Support.HONORED

    def _delete(self, etag: str) -> S3Response:
        reply = self._requests.delete_matching(DELETE, etag)
        self._note_version(reply)
        return reply

    def _clean_up(self, condition: Support) -> None:
        """Delete what the probe has left: its versions and delete markers by their ids, else the object."""
        with suppress(TransientError):
            deleted = [self._requests.delete_version(DELETE, version).status for version in self._versions]
            is_gone = condition is Support.HONORED or (bool(deleted) and _DONE.issuperset(deleted))
            if is_gone or self._requests.head(DELETE).status == 404:
                return
            if not self._requests.is_deleted(DELETE):
                log.info("the probe object stays at %s", self._requests.key(DELETE))
