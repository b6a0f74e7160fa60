"""The versions of one object, as ListObjectVersions shows them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import unquote_plus

from cdn2s3.destinations.base import plain_etag
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Client, S3Response
from cdn2s3.destinations.s3.listing_page import tree
from cdn2s3.errors import TransientError
from cdn2s3.http.deadline import Deadline

_ROOT = "ListVersionsResult"
_MOST = "1000"  # versions of one object that are looked at: the newest


class Version(NamedTuple):
    """A version of an object, or a delete marker."""

    id: str
    is_marker: bool
    size: int  # bytes; 0 of a marker
    etag: str  # without quotes; "" of a marker
    modified: float  # seconds since the epoch


class VersionsRefused(Exception):
    """The versions may not be listed."""


def versions_of(client: S3Client, key: str, deadline: Deadline) -> list[Version]:
    """Return the versions of the object at key, the newest first; [] where the store has none.

    Raise VersionsRefused, TransientError, PermanentError or FatalError.
    """
    query = {"versions": "", "prefix": key, "max-keys": _MOST, "encoding-type": "url"}
    reply = client.request("GET", "", deadline, query=query)
    if reply.is_refusal:
        raise VersionsRefused
    if reply.status in (400, 405, NOT_IMPLEMENTED):
        return []
    if reply.status != 200:
        raise reply.error("ListObjectVersions")
    return _parsed(reply, key)


def _parsed(reply: S3Response, key: str) -> list[Version]:
    root = tree(reply.body)
    space = root.tag[: -len(_ROOT)]
    if root.tag != space + _ROOT:
        raise TransientError("server_error", f"the response is not {_ROOT} but {root.tag[:100]!r}")
    is_encoded = root.findtext(space + "EncodingType") == "url"
    found = []
    for item in root:
        if item.tag not in (space + "Version", space + "DeleteMarker"):
            continue
        name = item.findtext(space + "Key") or ""
        # A store that writes + for + would show another key here: then nothing is found, and the object stays.
        if (unquote_plus(name) if is_encoded else name) == key:
            found.append(_version(item, space))
    return found


def _version(item: ET.Element, space: str) -> Version:
    size, etag = item.findtext(space + "Size") or "0", item.findtext(space + "ETag") or ""
    number, modified = item.findtext(space + "VersionId"), item.findtext(space + "LastModified") or ""
    if not number or not size.isdigit():
        raise TransientError("server_error", "a version in the listing has no id, or no size")
    is_marker = item.tag == space + "DeleteMarker"
    return Version(number, is_marker, int(size), plain_etag(etag), _seconds(modified))


def _seconds(text: str) -> float:
    """Return a time as S3 writes it (2026-11-20T10:24:00.000Z) in seconds since the epoch."""
    try:
        moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise TransientError("server_error", "a version in the listing has no LastModified") from None
    return moment.replace(tzinfo=timezone.utc).timestamp()
