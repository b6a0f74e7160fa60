"""Which operation a request is: path-style addressing."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from tests.fakes.wire import Request

UNKNOWN = "Unknown"  # the operation of a request that S3 may have a meaning for and this server none

_SUBRESOURCES = frozenset(
    {
        "acl",
        "cors",
        "delete",
        "encryption",
        "lifecycle",
        "list-type",
        "location",
        "partNumber",
        "policy",
        "publicAccessBlock",
        "restore",
        "select",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)  # query names that choose the operation

_ROUTES: dict[tuple[str, bool, frozenset[str]], str] = {
    ("PUT", False, frozenset()): "CreateBucket",
    ("HEAD", False, frozenset()): "HeadBucket",
    ("GET", False, frozenset({"list-type"})): "ListObjectsV2",
    ("GET", False, frozenset({"uploads"})): "ListMultipartUploads",
    ("GET", False, frozenset({"location"})): "GetBucketLocation",
    ("PUT", False, frozenset({"publicAccessBlock"})): "PutPublicAccessBlock",
    ("GET", False, frozenset({"publicAccessBlock"})): "GetPublicAccessBlock",
    ("PUT", True, frozenset()): "PutObject",
    ("GET", True, frozenset()): "GetObject",
    ("HEAD", True, frozenset()): "HeadObject",
    ("DELETE", True, frozenset()): "DeleteObject",
    ("DELETE", True, frozenset({"versionId"})): "DeleteObjectVersion",
    ("GET", False, frozenset({"versions"})): "ListObjectVersions",
    ("POST", True, frozenset({"uploads"})): "CreateMultipartUpload",
    ("PUT", True, frozenset({"uploadId", "partNumber"})): "UploadPart",
    ("POST", True, frozenset({"uploadId"})): "CompleteMultipartUpload",
    ("DELETE", True, frozenset({"uploadId"})): "AbortMultipartUpload",
}


def route(request: Request) -> tuple[str, str, str]:
    """Return operation, bucket and key; the operation is UNKNOWN where S3 has one and this server none."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    key = unquote_to_bytes(key).decode("utf-8", "surrogateescape")
    marks = _SUBRESOURCES.intersection(name for name, _ in request.query)
    if not bucket and request.method == "GET" and not marks:
        return "ListBuckets", "", ""
    if not bucket or "x-amz-copy-source" in request.headers:
        return UNKNOWN, bucket, key
    return _ROUTES.get((request.method, bool(key), marks), UNKNOWN), bucket, key


def is_unicode(text: str) -> bool:
    """Whether the bytes that the text was decoded from were UTF-8."""
    return not any("\udc80" <= letter <= "\udcff" for letter in text)
