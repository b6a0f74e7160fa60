"""What other stores than Amazon's, and stricter buckets, refuse: asked before the operation itself.

Each is a field of Settings, named for a store that was seen to do it (docs/stores.md).
"""

from __future__ import annotations

import threading
import time

from tests.fakes.s3_calls import Call
from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_settings import Settings
from tests.fakes.store import Bucket, Store
from tests.fakes.wire import Request

PATHS_REFUSED = "SecondLevelDomainForbidden"  # the code for a path-style address: that of Alibaba OSS
_WRITES = frozenset({"PutObject", "CompleteMultipartUpload"})
_OF_PARTS = frozenset(
    {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListMultipartUploads"}
)
_CREATES = frozenset({"PutObject", "CreateMultipartUpload"})


class WriteTimes:
    """When each key was written last, over all connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[tuple[str, str], float] = {}

    def check(self, call: Call, interval: float) -> None:
        """Raise SlowDown when the key was written less than interval seconds ago; note the write otherwise."""
        place, now = (call.bucket, call.key), time.monotonic()
        with self._lock:
            if now - self._at.get(place, float("-inf")) < interval:
                raise S3Error("TooManyRequests")
            self._at[place] = now


def is_path_style(request: Request) -> bool:
    """Whether the host is the store's own, without a bucket before it."""
    host = request.headers.get("host", "")
    return host.startswith(("127.", "localhost"))


def virtual_target(request: Request) -> Request:
    """Return a virtual-hosted request as a path-style one, for the router."""
    bucket = request.headers.get("host", "").partition(".")[0]
    return request._replace(target=f"/{bucket}{request.target}")


def check_request(request: Request, operation: str, settings: Settings) -> None:
    """Raise S3Error for what a store refuses whatever the bucket holds."""
    if settings.virtual_hosts_only and is_path_style(request):
        raise S3Error(PATHS_REFUSED)
    if settings.requester_pays and request.headers.get("x-amz-request-payer") != "requester":
        raise S3Error("AccessDenied")
    if settings.signed_bodies_only and request.headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD":
        who = f"arn:aws:sts::{settings.owner}:assumed-role/mover/i-0"
        raise S3Error(
            "AccessDenied",
            f'User: {who} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::bucket/a" '
            "with an explicit deny in a resource-based policy",
        )
    if operation in _CREATES:
        if settings.denied:
            raise S3Error("AccessDenied", settings.denied)
        for name, code in settings.refused_headers.items():
            if name in request.headers:
                raise S3Error(code)


def check_call(call: Call, settings: Settings, store: Store, bucket: Bucket) -> None:
    """Raise S3Error for what a store refuses of this key, this body or this bucket."""
    if settings.odd_keys == "refuse" and call.key and is_odd(call.key):
        raise S3Error("InvalidRequest", "The object name is not valid")
    if call.operation in _OF_PARTS and not settings.takes_parts:
        raise S3Error("NotImplemented")
    if call.operation in _CREATES:
        if settings.block_refuses_puts and bucket.public_access_blocked:
            raise S3Error("AccessDenied")
        if settings.quota is not None and store.size() + len(call.payload.body) > settings.quota:
            raise S3Error("QuotaExceeded")
    if settings.object_lock and call.operation in ("PutObject", "UploadPart"):
        digests = [name for name in call.request.headers if name.startswith("x-amz-checksum-")]
        if not digests and "content-md5" not in call.request.headers:
            raise S3Error(
                "InvalidRequest",
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock "
                "parameters",
            )


def is_odd(key: str) -> bool:
    """Whether a store that keeps objects as files has no name for the key."""
    segments = key.split("/")
    return any(part in ("", ".", "..") or len(part.encode()) > 255 for part in segments)


def is_limited(call: Call) -> bool:
    return call.operation in _WRITES
