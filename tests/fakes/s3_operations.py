"""S3's operations on the store: one method each, called after signature, owner and policy were checked."""

from __future__ import annotations

import re
from dataclasses import replace
from email.utils import formatdate
from typing import Callable

from tests.fakes import s3_listing, s3_versions
from tests.fakes.s3_calls import (
    XML,
    Call,
    Reply,
    encryption_headers,
    etag_header,
    etag_of,
    integer,
    kept_headers,
    only_if_absent,
    required_etag,
    text_of,
)
from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_multipart import MultipartUploads
from tests.fakes.s3_settings import Settings
from tests.fakes.store import Bucket, Store, StoredObject

_CHECKED_GET = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_BUCKET_NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Operations:
    """The table operation name -> method. Safe for many threads: the store has its own lock."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._table: dict[str, Callable[[Call], Reply]] = {
            "CreateBucket": self._create_bucket,
            "ListBuckets": self._list_buckets,
            "HeadBucket": self._head_bucket,
            "GetBucketLocation": self._get_bucket_location,
            "PutPublicAccessBlock": self._put_public_access_block,
            "GetPublicAccessBlock": self._get_public_access_block,
            "PutObject": self._put_object,
            "GetObject": self._get_object,
            "HeadObject": self._get_object,
            "DeleteObject": self._delete_object,
            "DeleteObjectVersion": lambda call: s3_versions.delete_version(call, settings, store),
            "ListObjectVersions": lambda call: s3_versions.list_versions(call, store),
            "ListObjectsV2": self._list_objects_v2,
            **MultipartUploads(store, settings).table,
        }

    def run(self, call: Call) -> Reply:
        """Carry out one operation. Raises S3Error."""
        return self._table[call.operation](call)

    # -- buckets -------------------------------------------------------------------------------------------

    def _create_bucket(self, call: Call) -> Reply:
        if not _BUCKET_NAME.fullmatch(call.bucket):
            raise S3Error("InvalidBucketName", BucketName=call.bucket)
        here = self._settings
        named = text_of(call.payload.body, "LocationConstraint")
        if named and not here.knows_regions:
            raise S3Error("InvalidLocationConstraint")
        region = here.region if not here.knows_regions else named or "us-east-1"
        if region != here.region:
            raise S3Error("IllegalLocationConstraintException")
        try:
            made = Bucket(call.bucket, region, here.owner, acls=here.acls, versioned=here.versioned)
            self._store.add_bucket(made)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou" or here.creates_again == "refuse":
                raise
            if here.creates_again == "taken":
                raise S3Error("BucketAlreadyExists") from error
        return Reply(200, [("Location", f"/{call.bucket}")])

    def _list_buckets(self, call: Call) -> Reply:
        return Reply(200, XML, s3_listing.buckets_page(self._store.names(self._settings.owner)))

    def _head_bucket(self, call: Call) -> Reply:
        region = self._store.bucket(call.bucket).region
        return Reply(200, [("x-amz-bucket-region", region), ("Content-Type", "application/xml")])

    def _get_bucket_location(self, call: Call) -> Reply:
        region = self._store.bucket(call.bucket).region
        body = s3_listing.document("LocationConstraint", "" if region == "us-east-1" else region)
        return Reply(200, XML, body)

    def _put_public_access_block(self, call: Call) -> Reply:
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        blocked = all(text_of(call.payload.body, name) == "true" for name in names)
        self._store.bucket(call.bucket).public_access_blocked = blocked
        return Reply(200, [])

    def _get_public_access_block(self, call: Call) -> Reply:
        blocked = self._store.bucket(call.bucket).public_access_blocked
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        inner = "".join(s3_listing.element(name, blocked) for name in names)
        return Reply(200, XML, s3_listing.document("PublicAccessBlockConfiguration", inner))

    # -- objects -------------------------------------------------------------------------------------------

    def _put_object(self, call: Call) -> Reply:
        fresh = only_if_absent(call, self._settings)
        payload = call.payload
        if len(payload.body) > self._settings.max_put:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(self._settings.max_put))
        item = self._store.keep(
            payload.body, payload.md5, etag_of(call, self._settings), kept_headers(call, self._settings)
        )
        item = replace(item, key=call.key, checksums=payload.checksums)
        match = required_etag(call, self._settings.put_if_match, self._settings)
        creates = self._settings.put_if_match == "create"
        self._store.put(call.bucket, item, fresh, self._settings.replaces_on_412, match, creates)
        versions = s3_versions.header(self._store, call.bucket, self._store.get(call.bucket, call.key))
        return Reply(
            200, etag_header(item) + encryption_headers(item) + list(item.checksums.items()) + versions
        )

    def _get_object(self, call: Call) -> Reply:
        item = self._existing(call)
        if any(name in call.request.headers for name in _CHECKED_GET):
            raise S3Error("NotImplemented", "conditional reads are not implemented here")
        headers = [*etag_header(item), ("Accept-Ranges", "bytes"), *item.headers.items()]
        headers += s3_versions.header(self._store, call.bucket, item)
        headers.append(("Last-Modified", formatdate(item.modified, usegmt=True)))
        if call.header("x-amz-checksum-mode").upper() == "ENABLED":
            headers += item.checksums.items()
        wanted = _range(call.header("range"), item.size)
        head = call.operation == "HeadObject"
        if not head and item.headers.get("x-amz-storage-class") in ("GLACIER", "DEEP_ARCHIVE"):
            raise S3Error("InvalidObjectState")
        start, end = wanted or (0, item.size)
        body = b"" if head else item.read()[start:end]
        if wanted is not None:
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{item.size}"))
        return Reply(200 if wanted is None else 206, [*headers, ("Content-Length", str(end - start))], body)

    def _delete_object(self, call: Call) -> Reply:
        return s3_versions.delete_object(call, self._settings, self._store)

    def _list_objects_v2(self, call: Call) -> Reply:
        query = dict(call.query)
        if query.get("delimiter") or query.get("fetch-owner") == "true":
            raise S3Error("NotImplemented", "delimiter and fetch-owner are not implemented here")
        limit = min(integer(query.get("max-keys", "1000"), "max-keys"), 1000)
        token = query.get("continuation-token")
        if "start-after" in query and self._settings.start_after != "honored":
            if self._settings.start_after == "refused":
                raise S3Error("NotImplemented", "start-after")
            del query["start-after"]
        after = query.get("start-after", "") if token is None else s3_listing.read_token(token)
        found, more = self._store.page(call.bucket, query.get("prefix", ""), after, limit)
        following = s3_listing.make_token(found[-1].key) if more and found else ""
        total = len(self._store.bucket(call.bucket).objects)
        page = s3_listing.objects_page(query, call.bucket, found, following, self._settings, total)
        return Reply(200, XML, page)

    # -- pieces --------------------------------------------------------------------------------------------

    def _existing(self, call: Call) -> StoredObject:
        item = self._store.get(call.bucket, call.key)
        if item is not None:
            return item
        allow = self._settings.allow
        if allow is not None and "ListBucket" not in allow:
            raise S3Error("AccessDenied")  # whether the key exists is not theirs to know
        raise S3Error("NoSuchKey", Key=call.key)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the half-open range that a Range header asks for; None = all (also for forms S3 ignores)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size or (first and last and int(last) < int(first)):
        raise S3Error("InvalidRange", ActualObjectSize=str(size))
    return start, end
