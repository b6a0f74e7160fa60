"""What an operation of S3 is given, what it answers, and what writing ones have in common."""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_payload import Payload
from tests.fakes.s3_settings import Settings
from tests.fakes.store import StoredObject
from tests.fakes.wire import Request

_KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
XML = [("Content-Type", "application/xml")]


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


def only_if_absent(call: Call, settings: Settings) -> bool:
    """Whether the write must not replace an object. Raises S3Error for conditions not known here."""
    if "if-match" in call.request.headers and "if-none-match" in call.request.headers:
        raise S3Error("NotImplemented", "If-Match beside If-None-Match")
    value = call.header("if-none-match")
    if value not in ("", "*"):
        raise S3Error("NotImplemented", "If-None-Match on writes takes * only")
    if value and settings.if_none_match_status == 501:
        raise S3Error("NotImplemented", "If-None-Match")
    if value and settings.always_412:
        raise S3Error("PreconditionFailed", Condition="If-None-Match")
    if call.operation == "CompleteMultipartUpload" and settings.complete_ignores_if_none_match:
        return False
    return value == "*" and not settings.ignore_if_none_match


def required_etag(call: Call, mode: str, settings: Settings) -> str:
    """Return the ETag that the object must have, quotes included, "" for any.

    Raises S3Error where mode refuses, and without the permission to read, which the condition needs too.
    """
    value = call.header("if-match")
    if value and mode == "refuse":
        raise S3Error("NotImplemented", "If-Match")
    if value and settings.allow is not None and "GetObject" not in settings.allow:
        raise S3Error("AccessDenied")
    if not value or mode == "ignore":
        return ""
    return value if value.startswith(('"', "W/")) else f'"{value}"'


def kept_headers(call: Call, settings: Settings) -> dict[str, str]:
    """Return the headers that HEAD gives back."""
    headers = call.request.headers
    kept = {name: value for name, value in headers.items() if name in _KEPT or name.startswith("x-amz-meta-")}
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
    if encryption or settings.kms_announced or not settings.kms_default:
        default = "aws:kms" if settings.kms_default else "AES256"
        kept["x-amz-server-side-encryption"] = encryption or default
    key_id = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if key_id:
        kept["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
    if "content-type" in settings.not_kept:
        kept["content-type"] = "binary/octet-stream"
    return {
        name: value for name, value in kept.items() if name == "content-type" or name not in settings.not_kept
    }


def etag_of(call: Call, settings: Settings) -> str:
    """Return the ETag of a body: its MD5 in quotes, unless encryption or the settings say otherwise."""
    asked = call.header("x-amz-server-side-encryption")
    kms = asked == "aws:kms" or (settings.kms_default and not asked)
    has_no_md5 = settings.md5_for_md5 and not call.header("content-md5")
    mode = "random" if kms or has_no_md5 else settings.etag_mode
    md5 = call.payload.md5
    return {
        "md5": f'"{md5}"',
        "random": f'"{secrets.token_hex(16)}"',
        "opaque": f'"{secrets.token_urlsafe(12)}-v1"',
        "unquoted": md5,
        "weak": f'W/"{md5}"',
        "none": "",
    }[mode]


def etag_header(item: StoredObject) -> list[tuple[str, str]]:
    """Return the ETag header, if the server gives one."""
    return [("ETag", item.etag)] if item.etag else []


def encryption_headers(item: StoredObject) -> list[tuple[str, str]]:
    """Return the headers that say how an object is encrypted."""
    return [(name, value) for name, value in item.headers.items() if "-server-side-encryption" in name]


def integer(text: str, name: str) -> int:
    """Read a query argument. Raises S3Error InvalidArgument."""
    if not text.isdigit():
        raise S3Error("InvalidArgument", f"Argument {name} must be an integer", ArgumentName=name)
    return int(text)


def text_of(body: bytes, name: str) -> str:
    """Return the text of the first element of that name, or nothing. Raises S3Error MalformedXML."""
    if not body:
        return ""
    try:
        nodes = ElementTree.fromstring(body).iter()
    except ElementTree.ParseError as exc:
        raise S3Error("MalformedXML") from exc
    return next((node.text or "" for node in nodes if local_name(node.tag) == name), "")


def local_name(tag: str) -> str:
    """Return an element's name without its namespace."""
    return tag.rpartition("}")[2]
