"""The XML of S3's listings, and the continuation token."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from datetime import datetime, timezone
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_settings import Settings
from tests.fakes.store import StoredObject, Upload

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def document(root: str, inner: str) -> bytes:
    """Wrap elements into one of S3's documents."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {_NAMESPACE}>{inner}</{root}>'.encode()


def element(name: str, value: object) -> str:
    """Render one element; text is escaped, booleans are lower case."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def iso(moment: float) -> str:
    """Render Unix time as S3 does: 2026-11-20T10:24:00.000Z."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def make_token(key: str) -> str:
    """Return the opaque continuation token of the page after `key`."""
    return base64.urlsafe_b64encode(b"1:" + key.encode()).decode()


def read_token(token: str) -> str:
    """Return the key that a token stands for. Raises S3Error on a token that is none of ours."""
    try:
        mark, colon, key = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (binascii.Error, ValueError) as exc:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from exc
    if (mark, colon) != ("1", ":"):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    return key


def objects_page(
    query: dict[str, str],
    bucket: str,
    found: Iterable[StoredObject],
    token: str,
    settings: Settings,
    total: int,
) -> bytes:
    """Render a ListObjectsV2 page; an empty `token` means the last page, total is the bucket's number of objects."""
    url = query.get("encoding-type") == "url"
    items = [_object(item, url and settings.listing_encodes, settings) for item in found]
    head = [element("Name", bucket), element("Prefix", _name(query.get("prefix", ""), url))]
    head.append(element("MaxKeys", query.get("max-keys", "1000")))
    head.append(element("KeyCount", _key_count(settings, len(items), total)))
    if url:
        head.append(element("EncodingType", "url"))
    if "continuation-token" in query:
        head.append(element("ContinuationToken", query["continuation-token"]))
    if "start-after" in query:
        head.append(element("StartAfter", _name(query["start-after"], url)))
    head.append(element("IsTruncated", bool(token)))
    if token:
        head.append(element("NextContinuationToken", token))
    return document("ListBucketResult", "".join(head + items))


def _key_count(settings: Settings, listed: int, total: int) -> int:
    return {"page": listed, "bucket": total, "page_plus_one": listed + (listed > 1)}[settings.key_count]


def buckets_page(names: list[str]) -> bytes:
    """Render a ListBuckets answer."""
    rows = "".join(f"<Bucket>{element('Name', name)}</Bucket>" for name in names)
    return document("ListAllMyBucketsResult", f"<Buckets>{rows}</Buckets>")


def uploads_page(query: dict[str, str], bucket: str, found: list[Upload], more: bool) -> bytes:
    """Render a ListMultipartUploads page."""
    url = query.get("encoding-type") == "url"
    parts = [element("Bucket", bucket), element("Prefix", _name(query.get("prefix", ""), url))]
    parts.append(element("MaxUploads", query.get("max-uploads", "1000")))
    if url:
        parts.append(element("EncodingType", "url"))
    parts.append(element("IsTruncated", more))
    if more:
        parts.append(element("NextKeyMarker", _name(found[-1].key, url)))
        parts.append(element("NextUploadIdMarker", found[-1].id))
    for upload in found:
        inner = element("Key", _name(upload.key, url)) + element("UploadId", upload.id)
        parts.append(f"<Upload>{inner}{element('Initiated', iso(upload.initiated))}</Upload>")
    return document("ListMultipartUploadsResult", "".join(parts))


def _object(item: StoredObject, url: bool, settings: Settings) -> str:
    name = quote(item.key, safe="/-_.~*+") if url and settings.plus_in_listing else _name(item.key, url)
    etag = {
        "same": item.etag,
        "weak": f"W/{item.etag}",
        "other": f'"{hashlib.sha1(item.etag.encode()).hexdigest()}"',
    }[settings.listing_etag]
    inner = element("Key", name) + element("LastModified", iso(item.modified))
    inner += element("ETag", etag) + element("Size", item.size)
    storage = item.headers.get("x-amz-storage-class", "STANDARD")
    return f"<Contents>{inner}{element('StorageClass', storage)}</Contents>"


def _name(text: str, url: bool) -> str:
    return quote(text, safe="/-_.~* ").replace(" ", "+") if url else text
