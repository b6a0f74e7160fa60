"""S3's operations on the store: one method each, called after signature, owner and policy were checked."""

from __future__ import annotations

import hashlib
import re
import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import NamedTuple

from tests.servers import s3_listing
from tests.servers.s3_errors import S3Error
from tests.servers.s3_payload import Payload
from tests.servers.s3_settings import Settings
from tests.servers.store import Bucket, Store, StoredObject, Upload
from tests.servers.wire import Request

_KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_CHECKED_GET = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_BUCKET_NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Reply(NamedTuple):
    """An answer before it is on the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


@dataclass(frozen=True)
class Call:
    """One authenticated request, its target and its checked body."""

    operation: str
    request: Request
    bucket: str
    key: str  # decoded; empty for operations on the bucket
    query: Mapping[str, str]
    payload: Payload

    def header(self, name: str, default: str = "") -> str:
        """Return a request header by its lower-case name."""
        return self.request.headers.get(name, default)


class Operations:
    """The table operation name -> method. Safe for many threads: the store has its own lock."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, call: Call) -> Reply:
        """Carry out one operation. Raises S3Error."""
        method = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", call.operation).lower())
        reply: Reply = method(call)
        return reply

    # -- buckets -------------------------------------------------------------------------------------------

    def _create_bucket(self, call: Call) -> Reply:
        if not _BUCKET_NAME.fullmatch(call.bucket):
            raise S3Error("InvalidBucketName", BucketName=call.bucket)
        region = _text(call.payload.body, "LocationConstraint") or "us-east-1"
        if region != self._settings.region:
            raise S3Error("IllegalLocationConstraintException")
        self._store.add_bucket(Bucket(call.bucket, region, self._settings.owner, acls=self._settings.acls))
        return Reply(200, [("Location", f"/{call.bucket}")])

    def _head_bucket(self, call: Call) -> Reply:
        region = self._store.bucket(call.bucket).region
        return Reply(200, [("x-amz-bucket-region", region), ("Content-Type", "application/xml")])

    def _get_bucket_location(self, call: Call) -> Reply:
        region = self._store.bucket(call.bucket).region
        body = s3_listing.document("LocationConstraint", "" if region == "us-east-1" else region)
        return Reply(200, _XML, body)

    def _put_public_access_block(self, call: Call) -> Reply:
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        blocked = all(_text(call.payload.body, name) == "true" for name in names)
        self._store.bucket(call.bucket).public_access_blocked = blocked
        return Reply(200, [])

    def _get_public_access_block(self, call: Call) -> Reply:
        blocked = self._store.bucket(call.bucket).public_access_blocked
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        inner = "".join(s3_listing.element(name, blocked) for name in names)
        return Reply(200, _XML, s3_listing.document("PublicAccessBlockConfiguration", inner))

    # -- objects -------------------------------------------------------------------------------------------

    def _put_object(self, call: Call) -> Reply:
        only_if_absent = self._condition(call)
        payload = call.payload
        if len(payload.body) > self._settings.max_put:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(self._settings.max_put))
        item = self._store.keep(payload.body, payload.md5, self._etag(call), self._kept(call))
        item = replace(item, key=call.key, checksums=payload.checksums)
        self._store.put(call.bucket, item, only_if_absent)
        return Reply(200, _etag_header(item) + _encryption(item) + list(item.checksums.items()))

    def _head_object(self, call: Call) -> Reply:
        return self._get_object(call)

    def _get_object(self, call: Call) -> Reply:
        item = self._existing(call)
        if any(name in call.request.headers for name in _CHECKED_GET):
            raise S3Error("NotImplemented", "conditional reads are not implemented here")
        headers = [*_etag_header(item), ("Accept-Ranges", "bytes"), *item.headers.items()]
        headers.append(("Last-Modified", formatdate(item.modified, usegmt=True)))
        if call.header("x-amz-checksum-mode").upper() == "ENABLED":
            headers += item.checksums.items()
        wanted = _range(call.header("range"), item.size)
        head = call.operation == "HeadObject"
        start, end = wanted or (0, item.size)
        body = b"" if head else item.read()[start:end]
        if wanted is not None:
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{item.size}"))
        return Reply(200 if wanted is None else 206, [*headers, ("Content-Length", str(end - start))], body)

    def _delete_object(self, call: Call) -> Reply:
        self._store.delete(call.bucket, call.key)
        return Reply(204, [])

    def _list_objects_v2(self, call: Call) -> Reply:
        query = dict(call.query)
        if query.get("delimiter") or query.get("fetch-owner") == "true":
            raise S3Error("NotImplemented", "delimiter and fetch-owner are not implemented here")
        limit = min(_number(query.get("max-keys", "1000"), "max-keys"), 1000)
        token = query.get("continuation-token")
        after = query.get("start-after", "") if token is None else s3_listing.read_token(token)
        found, more = self._store.page(call.bucket, query.get("prefix", ""), after, limit)
        following = s3_listing.make_token(found[-1].key) if more and found else ""
        return Reply(200, _XML, s3_listing.objects_page(query, call.bucket, found, following))

    # -- multipart uploads ---------------------------------------------------------------------------------

    def _create_multipart_upload(self, call: Call) -> Reply:
        upload = self._store.begin_upload(call.bucket, call.key, self._kept(call))
        inner = s3_listing.element("Bucket", call.bucket) + s3_listing.element("Key", call.key)
        inner += s3_listing.element("UploadId", upload.id)
        return Reply(200, _XML, s3_listing.document("InitiateMultipartUploadResult", inner))

    def _upload_part(self, call: Call) -> Reply:
        upload = self._upload(call)
        number = _number(call.query["partNumber"], "partNumber")
        if not 1 <= number <= 10000:
            raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        payload = call.payload
        part = self._store.keep(payload.body, payload.md5, self._etag(call), {})
        old = upload.parts.get(number)
        upload.parts[number] = part
        if old is not None and old.file is not None:
            old.file.unlink()
        return Reply(200, _etag_header(part) + list(payload.checksums.items()))

    def _complete_multipart_upload(self, call: Call) -> Reply:
        only_if_absent = self._condition(call)
        upload = self._upload(call)
        parts = self._named_parts(upload, call.payload.body)
        body = b"".join(part.read() for part in parts)
        digest = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts)).hexdigest()
        etag = f'"{digest}-{len(parts)}"'
        item = self._store.keep(body, hashlib.md5(body).hexdigest(), etag, upload.headers)
        item = replace(item, key=call.key)
        self._store.put(call.bucket, item, only_if_absent)
        self._store.end_upload(upload.id)
        inner = s3_listing.element("Location", f"/{call.bucket}/{call.key}")
        inner += s3_listing.element("Bucket", call.bucket) + s3_listing.element("Key", call.key)
        inner += s3_listing.element("ETag", etag)
        body = s3_listing.document("CompleteMultipartUploadResult", inner)
        return Reply(200, [*_XML, *_encryption(item)], body)

    def _abort_multipart_upload(self, call: Call) -> Reply:
        self._store.end_upload(self._upload(call).id)
        return Reply(204, [])

    def _list_multipart_uploads(self, call: Call) -> Reply:
        query = dict(call.query)
        if query.get("delimiter"):
            raise S3Error("NotImplemented", "delimiter is not implemented here")
        limit = min(_number(query.get("max-uploads", "1000"), "max-uploads"), 1000)
        marker, identifier = query.get("key-marker", ""), query.get("upload-id-marker", "")
        found = [u for u in self._store.uploads(call.bucket) if u.key.startswith(query.get("prefix", ""))]
        skipped = [i for i, u in enumerate(found) if u.key < marker or (u.key == marker and not identifier)]
        skipped += [i for i, u in enumerate(found) if (u.key, u.id) == (marker, identifier)]
        found = found[max(skipped) + 1 :] if skipped else found
        page = found[:limit]
        return Reply(200, _XML, s3_listing.uploads_page(query, call.bucket, page, len(found) > limit))

    # -- pieces --------------------------------------------------------------------------------------------

    def _existing(self, call: Call) -> StoredObject:
        item = self._store.get(call.bucket, call.key)
        if item is not None:
            return item
        allow = self._settings.allow
        if allow is not None and "ListBucket" not in allow:
            raise S3Error("AccessDenied")  # whether the key exists is not theirs to know
        raise S3Error("NoSuchKey", Key=call.key)

    def _upload(self, call: Call) -> Upload:
        return self._store.upload(call.bucket, call.key, call.query["uploadId"])

    def _condition(self, call: Call) -> bool:
        """Whether the write must not replace an object. Raises S3Error for conditions not known here."""
        if "if-match" in call.request.headers:
            raise S3Error("NotImplemented", "If-Match on writes is not implemented here")
        value = call.header("if-none-match")
        if value not in ("", "*"):
            raise S3Error("NotImplemented", "If-None-Match on writes takes * only")
        if value and self._settings.if_none_match_status == 501:
            raise S3Error("NotImplemented", "If-None-Match")
        return value == "*" and not self._settings.ignore_if_none_match

    def _named_parts(self, upload: Upload, body: bytes) -> list[StoredObject]:
        try:
            nodes = [node for node in ElementTree.fromstring(body) if _local(node.tag) == "Part"]
            named = [{_local(child.tag): child.text or "" for child in node} for node in nodes]
            wanted = [(int(part["PartNumber"]), part["ETag"].strip('"')) for part in named]
        except (ElementTree.ParseError, KeyError, ValueError) as exc:
            raise S3Error("MalformedXML") from exc
        numbers = [number for number, _ in wanted]
        if not wanted or numbers != sorted(set(numbers)):
            raise S3Error("InvalidPartOrder" if wanted else "MalformedXML")
        for number, etag in wanted:
            if number not in upload.parts or upload.parts[number].etag.strip('"') != etag:
                raise S3Error("InvalidPart", PartNumber=str(number))
        parts = [upload.parts[number] for number in numbers]
        if any(part.size < self._settings.min_part for part in parts[:-1]):
            raise S3Error("EntityTooSmall", MinSizeAllowed=str(self._settings.min_part))
        return parts

    def _kept(self, call: Call) -> dict[str, str]:
        """Return the headers that HEAD gives back."""
        headers = call.request.headers
        kept = {
            name: value for name, value in headers.items() if name in _KEPT or name.startswith("x-amz-meta-")
        }
        kept.setdefault("content-type", "binary/octet-stream")
        encodings = [part.strip() for part in kept.pop("content-encoding", "").split(",")]
        content_encoding = ",".join(part for part in encodings if part not in ("", "aws-chunked"))
        if content_encoding:
            kept["content-encoding"] = content_encoding
        storage = headers.get("x-amz-storage-class", "STANDARD")
        if storage != "STANDARD":
            kept["x-amz-storage-class"] = storage
        encryption = headers.get("x-amz-server-side-encryption", "")
        if encryption not in ("", "AES256", "aws:kms"):
            raise S3Error("InvalidArgument", "The encryption method specified is not supported")
        if encryption or self._settings.kms_announced or not self._settings.kms_default:
            default = "aws:kms" if self._settings.kms_default else "AES256"
            kept["x-amz-server-side-encryption"] = encryption or default
        key_id = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
        if key_id:
            kept["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
        return kept

    def _etag(self, call: Call) -> str:
        """Return the ETag of a body: its MD5 in quotes, unless encryption or the settings say otherwise."""
        asked = call.header("x-amz-server-side-encryption")
        kms = asked == "aws:kms" or (self._settings.kms_default and not asked)
        mode = "random" if kms else self._settings.etag_mode
        md5 = call.payload.md5
        return {
            "md5": f'"{md5}"',
            "random": f'"{secrets.token_hex(16)}"',
            "opaque": f'"{secrets.token_urlsafe(12)}-v1"',
            "unquoted": md5,
            "weak": f'W/"{md5}"',
            "none": "",
        }[mode]


_XML = [("Content-Type", "application/xml")]


def _etag_header(item: StoredObject) -> list[tuple[str, str]]:
    return [("ETag", item.etag)] if item.etag else []


def _encryption(item: StoredObject) -> list[tuple[str, str]]:
    return [(name, value) for name, value in item.headers.items() if "-server-side-encryption" in name]


def _text(body: bytes, name: str) -> str:
    if not body:
        return ""
    try:
        nodes = ElementTree.fromstring(body).iter()
    except ElementTree.ParseError as exc:
        raise S3Error("MalformedXML") from exc
    return next((node.text or "" for node in nodes if _local(node.tag) == name), "")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _number(text: str, name: str) -> int:
    if not text.isdigit():
        raise S3Error("InvalidArgument", f"Argument {name} must be an integer", ArgumentName=name)
    return int(text)


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
