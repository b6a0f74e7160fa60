"""S3's multipart uploads: parts that become one object when they are completed."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Callable

from tests.fakes import s3_listing
from tests.fakes.s3_calls import (
    XML,
    Call,
    Reply,
    encryption_headers,
    etag_header,
    etag_of,
    integer,
    kept_headers,
    local_name,
    only_if_absent,
    required_etag,
)
from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_settings import Settings
from tests.fakes.store import Store, StoredObject, Upload


class MultipartUploads:
    """The operations on uploads. Safe for many threads: the store has its own lock."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self.table: dict[str, Callable[[Call], Reply]] = {
            "CreateMultipartUpload": self._create,
            "UploadPart": self._part,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
            "ListMultipartUploads": self._list,
        }  # operation -> method

    def _create(self, call: Call) -> Reply:
        upload = self._store.begin_upload(call.bucket, call.key, kept_headers(call, self._settings))
        inner = s3_listing.element("Bucket", call.bucket) + s3_listing.element("Key", call.key)
        inner += s3_listing.element("UploadId", upload.id)
        return Reply(200, XML, s3_listing.document("InitiateMultipartUploadResult", inner))

    def _part(self, call: Call) -> Reply:
        upload = self._upload(call)
        position = integer(call.query["partNumber"], "partNumber")
        if not 1 <= position <= 10000:
            raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        payload = call.payload
        part = self._store.keep(payload.body, payload.md5, etag_of(call, self._settings), {})
        old = upload.parts.get(position)
        upload.parts[position] = part
        if old is not None and old.file is not None:
            old.file.unlink()
        return Reply(200, etag_header(part) + list(payload.checksums.items()))

    def _complete(self, call: Call) -> Reply:
        fresh = only_if_absent(call, self._settings)
        match = required_etag(call, self._settings.complete_if_match, self._settings)
        upload = self._upload(call)
        parts = self._named_parts(upload, call.payload.body)
        body = b"".join(part.read() for part in parts)
        digest = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts)).hexdigest()
        etag = f'"{digest}-{len(parts)}"'
        item = self._store.keep(body, hashlib.md5(body).hexdigest(), etag, upload.headers)
        item = replace(item, key=call.key)
        replaces = self._settings.replaces_on_412
        creates = self._settings.complete_if_match == "create"
        self._store.put(call.bucket, item, fresh, replaces, match, creates)
        self._store.end_upload(upload.id)
        inner = s3_listing.element("Location", f"/{call.bucket}/{call.key}")
        inner += s3_listing.element("Bucket", call.bucket) + s3_listing.element("Key", call.key)
        inner += s3_listing.element("ETag", "" if self._settings.completion_without_etag else etag)
        body = s3_listing.document("CompleteMultipartUploadResult", inner)
        return Reply(200, [*XML, *encryption_headers(item)], body)

    def _abort(self, call: Call) -> Reply:
        self._store.end_upload(self._upload(call).id)
        return Reply(204, [])

    def _list(self, call: Call) -> Reply:
        query = dict(call.query)
        if query.get("delimiter"):
            raise S3Error("NotImplemented", "delimiter is not implemented here")
        limit = min(integer(query.get("max-uploads", "1000"), "max-uploads"), 1000)
        marker, identifier = query.get("key-marker", ""), query.get("upload-id-marker", "")
        found = [u for u in self._store.uploads(call.bucket) if u.key.startswith(query.get("prefix", ""))]
        skipped = [i for i, u in enumerate(found) if u.key < marker or (u.key == marker and not identifier)]
        skipped += [i for i, u in enumerate(found) if (u.key, u.id) == (marker, identifier)]
        found = found[max(skipped) + 1 :] if skipped else found
        page = found[:limit]
        return Reply(200, XML, s3_listing.uploads_page(query, call.bucket, page, len(found) > limit))

    def _upload(self, call: Call) -> Upload:
        return self._store.upload(call.bucket, call.key, call.query["uploadId"])

    def _named_parts(self, upload: Upload, body: bytes) -> list[StoredObject]:
        try:
            nodes = [node for node in ElementTree.fromstring(body) if local_name(node.tag) == "Part"]
            named = [{local_name(child.tag): child.text or "" for child in node} for node in nodes]
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
