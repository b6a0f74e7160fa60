"""Deleting as S3 does: If-Match, delete markers, single versions, Object Lock, and the listing of versions.

As measured on AWS: If-Match on a key without an object, or under a delete marker, is 404; with a versionId, 501.
"""

from __future__ import annotations

from urllib.parse import quote_plus

from tests.fakes.s3_calls import XML, Call, Reply, integer
from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_listing import document, element, iso
from tests.fakes.s3_settings import Settings
from tests.fakes.store import Store, StoredObject

_REFUSALS = {"refuse": "NotImplemented", "400": "InvalidRequest", "405": "MethodNotAllowed"}


def header(store: Store, bucket: str, item: StoredObject | None) -> list[tuple[str, str]]:
    """Return the header with an object's version, where its bucket has versions."""
    return [("x-amz-version-id", item.version)] if item and store.bucket(bucket).versioned else []


def delete_object(call: Call, settings: Settings, store: Store) -> Reply:
    """Delete the object at a key, or cover it with a delete marker. Raises S3Error."""
    wanted = call.request.headers.get("if-match")
    _check_policy(wanted, settings)
    if wanted is not None and settings.delete_if_match in _REFUSALS:
        raise S3Error(_REFUSALS[settings.delete_if_match], "If-Match on DELETE is not offered here")

    def admits(current: StoredObject | None) -> None:
        if wanted is None or settings.delete_if_match == "ignore":
            return
        if settings.allow is not None and "GetObject" not in settings.allow:
            raise S3Error("AccessDenied", "User: test is not authorized to perform: s3:GetObject")
        if current is None and settings.delete_if_match != "absent_412":
            raise S3Error("NoSuchKey", Key=call.key)
        if current is None or current.etag.replace('"', "") != wanted.replace('"', ""):
            raise S3Error("PreconditionFailed", Condition="If-Match")

    marker = store.delete(call.bucket, call.key, admits)
    if marker is None:
        return Reply(204, [])
    return Reply(204, [("x-amz-delete-marker", "true"), ("x-amz-version-id", marker.version)])


def delete_version(call: Call, settings: Settings, store: Store) -> Reply:
    """Delete one version for good. Raises S3Error."""
    wanted, version = call.request.headers.get("if-match"), call.query["versionId"]
    _check_policy(wanted, settings)
    if wanted is not None:
        raise S3Error("NotImplemented", "If-Match and versionId are not taken together")
    if settings.locked and call.key.startswith(settings.locked):
        raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")
    store.delete_version(call.bucket, call.key, version)
    return Reply(204, [("x-amz-version-id", version)])


def _check_policy(wanted: str | None, settings: Settings) -> None:
    if settings.demands_if_match and wanted is None:
        raise S3Error(
            "AccessDenied",
            "User: arn:aws:iam::111122223333:user/test is not authorized to perform: s3:DeleteObject on resource: "
            '"arn:aws:s3:::bucket/a" with an explicit deny in a resource-based policy',
        )


def list_versions(call: Call, store: Store) -> Reply:
    """List the versions of the keys under a prefix, the newest of each key first, on one page. Raises S3Error."""
    most = min(integer(call.query.get("max-keys", "1000"), "max-keys"), 1000)
    if set(call.query) - {"versions", "prefix", "max-keys", "encoding-type"}:
        raise S3Error("NotImplemented", "this listing of versions is not implemented here")
    rows = []
    for versions in store.history(call.bucket, call.query.get("prefix", "")):
        for number, item in enumerate(versions):
            key = quote_plus(item.key, safe="/") if call.query.get("encoding-type") == "url" else item.key
            inner = element("Key", key) + element("VersionId", item.version)
            inner += element("IsLatest", number == 0) + element("LastModified", iso(item.modified))
            if item.is_marker:
                rows.append(f"<DeleteMarker>{inner}</DeleteMarker>")
            else:
                inner += element("ETag", item.etag) + element("Size", item.size)
                rows.append(f"<Version>{inner}</Version>")
    inner = element("Name", call.bucket) + element("IsTruncated", len(rows) > most)
    if call.query.get("encoding-type"):
        inner += element("EncodingType", "url")
    return Reply(200, XML, document("ListVersionsResult", inner + "".join(rows[:most])))
