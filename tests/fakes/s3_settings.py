"""How strict, how capable and how permissive the S3 server is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CreateBucket": "CreateBucket",
    "CreateMultipartUpload": "PutObject",
    "DeleteObject": "DeleteObject",
    "DeleteObjectVersion": "DeleteObjectVersion",
    "GetBucketLocation": "GetBucketLocation",
    "GetObject": "GetObject",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutObject": "PutObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}  # operation -> the action a policy must allow, without "s3:"


@dataclass(frozen=True)
class Settings:
    """Everything a test may choose; the defaults are Amazon's behaviour today."""

    credentials: Mapping[str, str] = field(
        default_factory=lambda: {"AKIATEST": "secret"}
    )  # access key -> secret
    tokens: Mapping[str, str] = field(default_factory=dict)  # access key -> session token it must bring
    region: str = "us-west-2"
    buckets: tuple[str, ...] = ("bucket",)  # created at start, owned by `owner`
    owner: str = "111122223333"  # account id behind every credential
    allow: frozenset[str] | None = None  # allowed actions without "s3:"; None = all
    acls: bool = False  # whether the buckets take x-amz-acl
    min_part: int = 5 * 1024 * 1024  # bytes of every part but the last
    max_put: int = 5 * 1024**3  # bytes of one PutObject
    clock_offset: float = 0.0  # seconds the server's clock is ahead
    latency: float = 0.0  # seconds before every answer
    # -- encryption by bucket default
    kms_default: bool = False  # ETags are 32 hex digits that are no MD5
    kms_announced: bool = True  # with kms_default: PUT and HEAD say aws:kms
    # -- lesser servers
    etag_mode: str = "md5"  # md5 | random (32 hex digits) | opaque | unquoted | weak | none
    md5_for_md5: bool = False  # the ETag is the MD5 of bodies with Content-MD5 alone
    ignore_if_none_match: bool = False  # overwrites and answers 200
    if_none_match_status: int = (
        0  # not 0: the answer to any conditional PUT (501), or to one that fails (304)
    )
    ignore_content_md5: bool = False
    ignore_checksums: bool = False
    aws_chunked: str = "decode"  # decode | refuse (501) | store (the framing becomes content)
    ignore_expect: bool = False  # never says 100 Continue
    complete_ignores_if_none_match: bool = False  # as Ceph: a PUT honors it, a completion replaces
    completion_without_etag: bool = False  # as Ceph 16: the ETag of a completion is an empty element
    put_if_match: str = (
        "honor"  # honor | ignore | refuse (501) | create (where nothing is): If-Match on PutObject
    )
    complete_if_match: str = "honor"  # the same on CompleteMultipartUpload: ignore as moto
    delete_if_match: str = (
        # On DeleteObject: honor | ignore (MinIO) | refuse (501, LocalStack) | 400 | 405 | absent_412 (SeaweedFS: also
        # where nothing is).
        "honor"
    )
    replaces_on_412: bool = False  # refuses the condition and writes all the same
    always_412: bool = False  # refuses If-None-Match also where nothing is at the key
    takes_parts: bool = True  # False: 501 to uploads in parts
    write_interval: float = 0.0  # seconds between two writes to one key: 429 before (Google, R2, Storj)
    refused_headers: Mapping[str, str] = field(default_factory=dict)  # name -> code of a write that has it
    not_kept: frozenset[str] = frozenset()  # headers of a write that HEAD does not give back
    listing_etag: str = "same"  # same | weak | other: what the listing shows
    start_after: str = "honored"  # honored | ignored | refused (501): in a listing
    key_count: str = "page"  # page | bucket | page_plus_one: what KeyCount counts
    listing_encodes: bool = True  # False: keys as they are, and EncodingType says url all the same
    plus_in_listing: bool = False  # a + stays one in a listing that is URL-encoded
    odd_keys: str = "take"  # take | refuse: // and /./ and a trailing / (400)
    checks_owner: bool = True  # False: x-amz-expected-bucket-owner is ignored
    makes_buckets: bool = False  # a PUT creates the bucket
    knows_regions: bool = True  # False: InvalidLocationConstraint
    creates_again: str = "refuse"  # of a bucket of one's own: refuse (409) | succeed (200) | taken (409)
    block_refuses_puts: bool = False  # a public access block refuses every PUT (Ceph 16)
    signed_bodies_only: bool = False  # a policy forbids UNSIGNED-PAYLOAD
    requester_pays: bool = False
    virtual_hosts_only: bool = False  # 403 to path-style addresses
    denied: str = ""  # the sentence of AccessDenied to every PUT
    quota: int | None = None  # bytes that the buckets hold together; more: 403 QuotaExceeded
    versioned: bool = False  # the buckets keep versions: a DELETE leaves a delete marker
    demands_if_match: bool = False  # a policy denies every DELETE without If-Match (s3:if-match)
    locked: str = ""  # of keys that begin so, no version may be deleted (Object Lock); "" = of none
    object_lock: bool = False  # a PUT needs Content-MD5 or a checksum
    log_limit: int = 100_000  # requests kept in the log, the newest

    def __post_init__(self) -> None:
        """Take lists for tuples and sets (JSON has no others). Raises ValueError on what no server can be."""
        object.__setattr__(self, "buckets", tuple(self.buckets))
        if self.allow is not None:
            object.__setattr__(self, "allow", frozenset(self.allow))
        if self.etag_mode not in ("md5", "random", "opaque", "unquoted", "weak", "none"):
            raise ValueError(f"etag_mode {self.etag_mode!r}")
        if self.aws_chunked not in ("decode", "refuse", "store"):
            raise ValueError(f"aws_chunked {self.aws_chunked!r}")
        unknown = (self.allow or frozenset()) - set(ACTIONS.values()) - {"PutObjectAcl"}
        if unknown:
            raise ValueError(f"unknown actions: {', '.join(sorted(unknown))}")
