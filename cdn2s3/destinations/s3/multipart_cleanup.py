"""The cleanup of multipart uploads: aborted after a failure, and leftovers of a crash before the next one.

They are in no listing of objects and are billed until they are aborted.
"""

from __future__ import annotations

import logging
import threading

from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

NOT_FOUND = 404
_GONE = frozenset({200, 204, NOT_FOUND})
_LIST, _ABORT = "ListBucketMultipartUploads", "AbortMultipartUpload"  # the actions, as a policy names them


class MultipartCleanup:
    """Look for and abort unfinished uploads; shared by all workers.

    What the store refuses is logged once, with its consequences, and not tried again.
    """

    def __init__(self, settings: MigrationSettings, client: S3Client, is_quiet: bool = False) -> None:
        """is_quiet is for uploads of a few bytes, whose leftovers cost nothing: what stays is no warning."""
        self._level = logging.DEBUG if is_quiet else logging.WARNING
        self._settings = settings
        self._client = client
        self._lock = threading.Lock()
        self._refused: set[str] = set()  # actions

    def clear(self, key: str, limit_seconds: float) -> None:
        """Abort the uploads to key that a crash left; where that is not allowed they stay, as before.

        limit_seconds is for each request. Raise TransientError, or FatalError.
        """
        if self._refused:
            return
        reply, parsed = self._client.call("list_multipart_uploads", Deadline(limit_seconds), Prefix=key)
        if reply.status != 200 and not reply.is_refusal:
            error = reply.error("ListMultipartUploads")
            if reply.is_passing or isinstance(error, FatalError):
                raise error
        if reply.status != 200:
            self._note_refused(_LIST, reply.status)
        for left in parsed.get("Uploads", ()):
            if left["Key"] == key:
                self.abort(key, left["UploadId"], limit_seconds)

    def abort(self, key: str, upload_id: str, limit_seconds: float) -> bool:
        """Abort one upload; log it and return False if it stays. Never raises for an error response."""
        return self.end(key, upload_id, limit_seconds) in _GONE

    def end(self, key: str, upload_id: str, limit_seconds: float) -> int:
        """Abort one upload as abort() does; return the status of the response, 0 if there is none.

        NOT_FOUND shows that it had come to its end before.
        """
        if _ABORT in self._refused:
            log.debug("an unfinished multipart upload of %r remains", key)
            return 0
        try:
            reply, _ = self._client.call(
                "abort_multipart_upload", Deadline(limit_seconds), Key=key, UploadId=upload_id
            )
        except (TransientError, FatalError) as error:
            log.debug("abort failed: %s", error)
            reply = S3Response(0, {}, b"")
        if reply.is_refusal:
            self._note_refused(_ABORT, reply.status)
        elif reply.status not in _GONE:
            log.log(
                self._level,
                "an unfinished multipart upload of %r remains (status %s): an "
                "AbortIncompleteMultipartUpload lifecycle rule removes it",
                key,
                reply.status or "none",
            )
        return reply.status

    def _note_refused(self, action: str, status: int) -> None:
        with self._lock:
            if action in self._refused:
                return
            self._refused.add(action)
        log.log(
            self._level,
            "unfinished multipart uploads cannot be %s (status %d): parts that a crash or a failure leaves of a "
            "body over MAX_BUFFER_MB are billed until an AbortIncompleteMultipartUpload lifecycle rule removes them%s",
            "aborted" if action == _ABORT else "looked for",
            status,
            f". To change that, grant {policy(self._settings, action)}" if status == 403 else "",
        )
