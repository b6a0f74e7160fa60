"""What the S3 server holds: buckets, objects, multipart uploads, and a count of every write.

All methods may be called from any thread; bodies are hashed before they come here, the lock is held briefly.
"""

from __future__ import annotations

import hashlib
import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from tests.fakes.s3_errors import S3Error


@dataclass(frozen=True)
class StoredObject:
    """One object. Either `body` or `file` holds the bytes."""

    key: str
    size: int  # bytes
    md5: str  # 32 hex digits, of the bytes really stored
    etag: str  # what the server answers, quotes included
    headers: dict[str, str]  # content-type, cache-control, x-amz-meta-* ... as HEAD gives them back
    checksums: dict[str, str]  # x-amz-checksum-*, base64
    modified: float  # Unix time
    body: bytes | None  # None when the store keeps bodies on disk
    file: Path | None  # None when the store keeps bodies in memory
    version: str = "null"  # its id; "null" where the bucket had no versions yet
    is_marker: bool = False  # a delete marker, which has neither bytes nor ETag

    def read(self) -> bytes:
        """Return the bytes."""
        if self.body is not None:
            return self.body
        assert self.file is not None
        return self.file.read_bytes()


@dataclass
class Upload:
    """A multipart upload that is neither completed nor aborted."""

    id: str
    bucket: str
    key: str
    headers: dict[str, str]  # for the object to be
    initiated: float  # Unix time
    parts: dict[int, StoredObject] = field(default_factory=dict)


@dataclass
class Bucket:
    """A bucket and the properties that a bucket's owner sets."""

    name: str
    region: str
    owner: str  # account id, 12 digits
    acls: bool = False  # False: object ownership "bucket owner enforced", the default since April 2023
    public_access_blocked: bool = False
    objects: dict[str, StoredObject] = field(default_factory=dict)
    versioned: bool = False
    suspended: bool = (
        False  # with versioned: what is written has the version "null", and takes the last one's place
    )
    versions: dict[str, list[StoredObject]] = field(default_factory=dict)  # of each key, the newest first
    sorted_keys: list[str] | None = None  # None after a change; built again by the next listing

    def history(self, key: str) -> list[StoredObject]:
        """Return the versions of a key, to be changed in place; what was stored before there were any is one."""
        current = self.objects.get(key)
        return self.versions.setdefault(key, [] if current is None else [current])


class Store:
    """Buckets by name. With `folder`, bodies lie on disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self.writes: dict[tuple[str, str], int] = {}  # (bucket, key) -> how often bytes were stored there
        self._buckets: dict[str, Bucket] = {}
        self._uploads: dict[str, Upload] = {}
        self._folder = folder
        self._lock = threading.RLock()
        self._serial = 0

    # -- buckets -------------------------------------------------------------------------------------------

    def add_bucket(self, bucket: Bucket) -> None:
        """Add a bucket. Raises S3Error when the name is taken."""
        with self._lock:
            old = self._buckets.get(bucket.name)
            if old is not None:
                raise S3Error(
                    "BucketAlreadyOwnedByYou" if old.owner == bucket.owner else "BucketAlreadyExists"
                )
            self._buckets[bucket.name] = bucket

    def bucket(self, name: str) -> Bucket:
        """Return a bucket. Raises S3Error NoSuchBucket."""
        try:
            return self._buckets[name]
        except KeyError:
            raise S3Error("NoSuchBucket", BucketName=name) from None

    def names(self, owner: str) -> list[str]:
        """Return the names of an account's buckets."""
        return sorted(bucket.name for bucket in self._buckets.values() if bucket.owner == owner)

    def size(self) -> int:
        """Return how many bytes the buckets hold."""
        with self._lock:
            return sum(item.size for bucket in self._buckets.values() for item in bucket.objects.values())

    # -- objects -------------------------------------------------------------------------------------------

    def keep(self, body: bytes, md5: str, etag: str, headers: dict[str, str]) -> StoredObject:
        """Make an object record (no key yet) of bytes; the caller puts it somewhere."""
        if self._folder is None:
            return StoredObject("", len(body), md5, etag, headers, {}, time.time(), body, None)
        with self._lock:
            self._serial += 1
            file = self._folder / f"{self._serial:09d}"
        file.write_bytes(body)
        return StoredObject("", len(body), md5, etag, headers, {}, time.time(), None, file)

    def put(
        self,
        bucket: str,
        item: StoredObject,
        only_if_absent: bool,
        replaces_all_the_same: bool = False,
        match: str = "",
        creates: bool = False,
    ) -> None:
        """Store an object in one step, match being the ETag of the one that it may replace, "" for any.

        Raises S3Error PreconditionFailed, NoSuchKey (unless creates), NoSuchBucket.
        """
        with self._lock:
            home = self.bucket(bucket)
            old = home.objects.get(item.key)
            if match and not (old is None and creates):
                try:
                    _check_match(old, match)
                except S3Error:
                    if old is not None and replaces_all_the_same:
                        home.objects[item.key] = item
                    raise
            refused = old is not None and only_if_absent
            if refused and not replaces_all_the_same:
                raise S3Error("PreconditionFailed", Condition="If-None-Match")
            if home.versioned:
                item = self._as_version(home, item)
            home.objects[item.key] = item
            if old is None:
                home.sorted_keys = None
            self.writes[bucket, item.key] = self.writes.get((bucket, item.key), 0) + 1
        if refused:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if old is not None and old.file is not None and not home.versioned:
            old.file.unlink(missing_ok=True)

    def _as_version(self, home: Bucket, item: StoredObject) -> StoredObject:
        """Return item as the newest version of its key."""
        self._serial += 1
        item = replace(item, version="null" if home.suspended else f"v{self._serial:09d}")
        history = home.history(item.key)
        history[:] = [item, *(one for one in history if not (home.suspended and one.version == "null"))]
        return item

    def get(self, bucket: str, key: str) -> StoredObject | None:
        """Return an object, or None."""
        return self.bucket(bucket).objects.get(key)

    def delete(
        self, bucket: str, key: str, admits: Callable[[StoredObject | None], None] = lambda current: None
    ) -> StoredObject | None:
        """Remove an object; a missing one is no error. Return the delete marker that a versioned bucket keeps.

        admits raises where what is at the key now may not be removed.
        """
        with self._lock:
            home = self.bucket(bucket)
            admits(home.objects.get(key))
            marker = None
            if home.versioned:
                home.history(key)
                blank = StoredObject(key, 0, "", "", {}, {}, time.time(), b"", None, is_marker=True)
                marker = self._as_version(home, blank)
            old = home.objects.pop(key, None)
            if old is not None:
                home.sorted_keys = None
        if old is not None and old.file is not None and not home.versioned:
            old.file.unlink(missing_ok=True)
        return marker

    def delete_version(self, bucket: str, key: str, version: str) -> None:
        """Remove one version of a key for good; a missing one is no error. The one below shows again."""
        with self._lock:
            home = self.bucket(bucket)
            left = [item for item in home.history(key) if item.version != version]
            home.versions[key] = left
            home.sorted_keys = None
            if left and not left[0].is_marker:
                home.objects[key] = left[0]
            else:
                home.objects.pop(key, None)

    def history(self, bucket: str, prefix: str) -> list[list[StoredObject]]:
        """Return the versions of each key under prefix, the newest first, in the order of the keys."""
        with self._lock:
            home = self.bucket(bucket)
            keys = sorted(key for key in {*home.versions, *home.objects} if key.startswith(prefix))
            if not home.versioned:
                return [[home.objects[key]] for key in keys]
            found = [list(home.history(key)) for key in keys]
            return [versions for versions in found if versions]

    def page(self, bucket: str, prefix: str, after: str, limit: int) -> tuple[list[StoredObject], bool]:
        """Return up to `limit` objects after the key `after` in UTF-8 byte order, and whether more follow."""
        with self._lock:
            home = self.bucket(bucket)
            if home.sorted_keys is None:
                home.sorted_keys = sorted(home.objects)  # code point order is UTF-8 byte order
            keys = home.sorted_keys
            start = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
            found = []
            for key in keys[start : start + limit + 1]:
                if not key.startswith(prefix):
                    break
                found.append(home.objects[key])
            return found[:limit], len(found) > limit

    # -- multipart uploads ---------------------------------------------------------------------------------

    def begin_upload(self, bucket: str, key: str, headers: dict[str, str]) -> Upload:
        """Open a multipart upload."""
        with self._lock:
            self._serial += 1
            identifier = hashlib.sha256(
                f"{bucket}/{key}/{self._serial}".encode("utf-8", "replace")
            ).hexdigest()
            upload = Upload(identifier, bucket, key, headers, time.time())
            self._uploads[identifier] = upload
            return upload

    def upload(self, bucket: str, key: str, identifier: str) -> Upload:
        """Return an open upload. Raises S3Error NoSuchUpload."""
        found = self._uploads.get(identifier)
        if found is None or (found.bucket, found.key) != (bucket, key):
            raise S3Error("NoSuchUpload", UploadId=identifier)
        return found

    def end_upload(self, identifier: str) -> None:
        """Forget an upload and its parts (completed or aborted)."""
        with self._lock:
            upload = self._uploads.pop(identifier, None)
        for part in upload.parts.values() if upload else ():
            if part.file is not None:
                part.file.unlink(missing_ok=True)

    def uploads(self, bucket: str) -> list[Upload]:
        """Return the open uploads of a bucket, by key and age."""
        with self._lock:
            mine = [upload for upload in self._uploads.values() if upload.bucket == bucket]
        return sorted(mine, key=lambda upload: (upload.key, upload.initiated))


def _check_match(item: StoredObject | None, match: str) -> None:
    """Raise S3Error unless item has the ETag match: NoSuchKey where there is none, as S3 (conditional writes)."""
    if match and item is None:
        raise S3Error("NoSuchKey")
    if match and item is not None and item.etag != match:
        raise S3Error("PreconditionFailed", Condition="If-Match")
