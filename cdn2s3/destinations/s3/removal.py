"""Undoing in a bucket: DELETE with If-Match, or a version by its id; never what is not ours any more.

A version id is immutable, so a HEAD and a DELETE of that version have no race; only that of NULL may be another object
by then. The two conditions cannot be combined:
S3 answers 501 to If-Match with a versionId.
"""

from __future__ import annotations

import logging
import re

from cdn2s3.destinations.base import Found, Note, ReadRefused, same_etag
from cdn2s3.destinations.removal import NO_VERSION, Below, Fate, Removal
from cdn2s3.destinations.s3.capabilities import ALONE, NOT_ATOMIC, Support
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.destinations.s3.objects import ObjectInfo
from cdn2s3.destinations.s3.probe_delete import VERSION_ID, DeleteSupport, probe_delete
from cdn2s3.destinations.s3.probe_requests import DELETE, probe_key
from cdn2s3.destinations.s3.versions import Version, VersionsRefused, versions_of
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_MD5_LIKE = re.compile(r"[0-9a-f]{32}")
_DONE = frozenset({200, 204})
NULL = "null"  # the version that a bucket whose versioning is suspended writes again and again
_MARKER = "marker:"  # before the id of a delete marker


class S3Remover:
    """Remove single objects of one bucket; a Remover."""

    def __init__(self, settings: MigrationSettings, bucket: S3Destination) -> None:
        self._settings = settings
        self._bucket = bucket
        self._client = bucket.client
        self._objects = bucket.objects
        self._found = DeleteSupport(Support.UNKNOWN, None)

    def prepare(self) -> list[Note]:
        try:
            self._found = probe_delete(
                self._settings,
                self._objects,
                on_failure=lambda failed: log.warning(
                    "the bucket at %s: %s", self._client.endpoint, failed.error.message
                ),
            )
        except TransientError as error:
            raise FatalError(
                f"the bucket at {self._client.endpoint} cannot be reached: {error.message}. Check the network, "
                "AWS_ENDPOINT_URL and AWS_REGION, then run the same command again."
            ) from error
        return list(_notes(self._found))

    def is_up(self) -> bool:
        key = probe_key(self._settings, DELETE)
        try:
            reply = self._client.request("HEAD", key, Deadline(min(10.0, self._settings.upload_timeout)))
        except TransientError:
            return False
        return reply.status in (200, 403, 404)

    # --- removing

    def remove(self, ours: Found, deadline: Deadline, covers_ours: bool = False) -> Removal:
        must_look = self._found.condition is not Support.HONORED
        if self._found.is_versioned is False and not must_look:
            return self._delete(ours, deadline)
        try:
            info = self._objects.head(ours.key, deadline)
        except ReadRefused as refused:
            return self._unseen(ours, deadline, refused)
        if info is None:
            return Removal(Fate.ABSENT)
        if not _is_ours(ours, info.size, info.etag):
            return Removal(Fate.CHANGED)
        ours = ours._replace(etag=info.etag)  # some stores name an object in parts anew once it is complete
        # Elsewhere that version is of the time before there were any, and nothing takes its place.
        is_null = info.version == NULL and self._found.is_suspended
        if not info.version or covers_ours or (is_null and not must_look):
            return self._delete(ours, deadline, is_null)
        return self._delete_version(ours.key, info.version, deadline) or self._delete(ours, deadline)

    def _unseen(self, ours: Found, deadline: Deadline, refused: ReadRefused) -> Removal:
        """Remove an object that HEAD does not show; without s3:ListBucket an absent one is refused as well."""
        if self._found.condition is Support.HONORED:
            return self._delete(ours, deadline)
        return Removal(Fate.REFUSED, said=f"HEAD was refused: {refused.remedy}")

    def _delete(self, ours: Found, deadline: Deadline, is_null: bool = False) -> Removal:
        """Delete what is at the key, on condition that it is ours where the store takes conditions.

        is_null: its version is NULL, and a marker takes its place instead of covering it.
        """
        etag = ours.etag.removeprefix("W/")  # a proxy's doing: If-Match compares strong ones
        if self._takes_condition:
            reply = self._objects.delete_matching(ours.key, etag, deadline)
        else:
            reply = self._client.request("DELETE", ours.key, deadline)
        if reply.status in _DONE:
            if reply.headers.get("x-amz-delete-marker") == "true":
                marker = reply.headers.get(VERSION_ID, "")
                if is_null and marker == NULL:
                    return Removal(Fate.REMOVED, NULL)
                return Removal(Fate.HIDDEN, _MARKER + marker if marker else NO_VERSION)
            return Removal(Fate.REMOVED)
        if reply.status == 404 and reply.code in ("", "NoSuchKey"):
            return Removal(Fate.ABSENT)
        if reply.status == 412:
            return self._after_mismatch(ours, deadline, is_null)
        return _refused(reply, "DELETE")

    def _after_mismatch(self, ours: Found, deadline: Deadline, is_null: bool) -> Removal:
        """Return what a 412 means: another object, or none (SeaweedFS, Ceph), or ours under a newer ETag."""
        try:
            info = self._objects.head(ours.key, deadline)
        except ReadRefused:
            return Removal(Fate.CHANGED)
        if info is None:
            return Removal(Fate.ABSENT)
        if same_etag(info.etag, ours.etag) or not _is_ours(ours, info.size, info.etag):
            return Removal(Fate.CHANGED)
        return self._delete(ours._replace(etag=info.etag), deadline, is_null)

    @property
    def _takes_condition(self) -> bool:
        return self._found.condition in (Support.HONORED, Support.UNKNOWN)

    def _delete_version(self, key: str, version: str, deadline: Deadline) -> Removal | None:
        """Delete a version; return None where that is refused: a lock, a policy, or no such permission."""
        reply = self._client.request("DELETE", key, deadline, query={"versionId": version})
        if reply.status in _DONE or (
            reply.status == 404 and reply.code in ("", "NoSuchKey", "NoSuchVersion")
        ):
            return Removal(Fate.REMOVED, version)
        removal = _refused(reply, "DELETE of a version")
        log.debug("%s: the version %s was refused: %s", key, version, removal.said)
        return None

    # --- going back

    def go_back(self, ours: Found, written_at: int, deadline: Deadline, is_again: bool) -> Removal:
        if self._found.is_versioned is False:
            return Removal(Fate.NOTHING_BELOW)
        try:
            versions = versions_of(self._client, ours.key, deadline)
        except VersionsRefused:
            said = f"the versions may not be listed: grant {policy(self._settings, 'ListBucketVersions')}"
            return Removal(Fate.REFUSED, said=said)
        if not versions or versions[0].is_marker:
            return self._without_versions(ours.key, deadline) if not versions else Removal(Fate.ABSENT)
        top, rest = versions[0], versions[1:]
        if not _is_ours(ours, top.size, top.etag):
            # Only where our version is there no more, and what shows is older, has an undo before done this.
            is_done = (
                is_again
                and top.modified < written_at
                and not any(_is_ours(ours, version.size, version.etag) for version in rest)
            )
            return (
                self._went_back(ours.key, NO_VERSION, versions, deadline)
                if is_done
                else Removal(Fate.CHANGED)
            )
        if not rest or rest[0].is_marker:
            return Removal(Fate.NOTHING_BELOW)
        removed = self._delete_version(ours.key, top.id, deadline)
        if removed is None:
            missing = policy(self._settings, "DeleteObjectVersion")
            said = f"the version was refused: if it is not locked, grant {missing}"
            return Removal(Fate.REFUSED, said=said)
        return self._went_back(ours.key, top.id, rest, deadline)

    def _without_versions(self, key: str, deadline: Deadline) -> Removal:
        """Return what an empty list of versions means: nothing is there, or the store has no versions."""
        try:
            return Removal(Fate.ABSENT if self._objects.head(key, deadline) is None else Fate.NOTHING_BELOW)
        except ReadRefused as refused:
            return Removal(Fate.REFUSED, said=f"HEAD was refused: {refused.remedy}")

    def _went_back(self, key: str, removed: str, shown: list[Version], deadline: Deadline) -> Removal:
        """Return that the first of shown, versions from the newest on, is at key again."""
        now, before = shown[0], shown[1:]
        info = self._head_or_none(key, deadline)
        is_md5 = bool(_MD5_LIKE.fullmatch(now.etag)) and info is not None and not info.encrypted_by_kms
        below = Below(
            now.size,
            now.etag,
            now.modified,
            is_first=not before or before[0].is_marker,
            media_type=info.media_type if info is not None and same_etag(info.etag, now.etag) else "",
            etag_is_md5=is_md5,
        )
        return Removal(Fate.WENT_BACK, removed, below=below)

    def _head_or_none(self, key: str, deadline: Deadline) -> ObjectInfo | None:
        """Return what HEAD shows, for the record alone: the version is removed already."""
        try:
            return self._objects.head(key, deadline)
        except (ReadRefused, TransientError) as error:
            log.debug("%s: %s", key, error)
            return None


def _is_ours(ours: Found, size: int, etag: str) -> bool:
    is_same = same_etag(etag, ours.etag) or (ours.md5 != "" and etag == ours.md5)
    return size == ours.size and is_same


def _refused(reply: S3Response, action: str) -> Removal:
    """Return that the store refuses it, in its own words; raise what any other response means."""
    if reply.is_refusal:
        return Removal(Fate.REFUSED, said=reply.sentence or f"{reply.status} {reply.code}".strip())
    raise reply.error(action)


_SUSPENDED = (
    "to go back to an older version, the one without an id is compared, then deleted, which is " + NOT_ATOMIC
)


def _notes(found: DeleteSupport) -> list[Note]:
    """Return what the store's conditions mean for the undo."""
    if found.is_suspended:
        suspended = [Note(logging.WARNING, f"the bucket's versioning is suspended: {_SUSPENDED}. {ALONE}.")]
    else:
        suspended = []
    if found.condition is Support.HONORED:
        return suspended
    if found.condition is Support.UNKNOWN:
        what = "it is not known whether the store honors If-Match on DELETE"
    else:
        verb = "refuses" if found.condition is Support.REFUSED else "ignores"
        what = f"the store {verb} If-Match on DELETE"
    return [
        *suspended,
        Note(
            logging.WARNING, f"{what}: a HEAD, a comparison, then a DELETE, which is {NOT_ATOMIC}. {ALONE}."
        ),
    ]
