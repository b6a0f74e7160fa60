"""A page of a listing, ListObjectsV2's XML: read whole and plausible, or not at all. Pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Callable, NamedTuple
from urllib.parse import unquote, unquote_plus

from cdn2s3.destinations.base import Found, plain_etag
from cdn2s3.errors import TransientError

_ROOT = "ListBucketResult"


class _Row(NamedTuple):
    """An object as the page has it."""

    key: str | None
    etag: str | None
    size: str | None


class Page(NamedTuple):
    """A page of a listing."""

    objects: list[Found]
    token: str | None  # what the next page is asked for with; None: this is the last one


class _NoDoctype(ET.TreeBuilder):
    """Build the tree of a document without a DTD, hence without entities of its own."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise TransientError("server_error", "the page has a DTD, which a listing never has")


# An object as AWS writes it, when its key is ASCII and needs no escaping, as it is with encoding-type=url.
_PLAIN_OBJECT = (
    r"<Contents><Key>([!-%'-;=?-~]+)</Key>"
    r"(?:<LastModified>[0-9TZ:.-]*</LastModified>)?"
    r"<ETag>(?:&quot;|\")?([0-9A-Za-z-]*)(?:&quot;|\")?</ETag>"
    r"(?:<ChecksumAlgorithm>[0-9A-Z]*</ChecksumAlgorithm>)?(?:<ChecksumType>[A-Z_]*</ChecksumType>)?"
    r"<Size>([0-9]+)</Size>"
    r"(?:<StorageClass>[A-Z_]*</StorageClass>)?</Contents>"
)
_plain_objects = re.compile(_PLAIN_OBJECT).findall
_without_plain_objects = re.compile(f"(?:{_PLAIN_OBJECT})+").subn


_is_plain = re.compile(r"[!-$&-*,-~]*").fullmatch  # the same encoded or not: ASCII without blank, % and +
looks_encoded = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*").fullmatch  # what a URL-encoded key may look like


class OtherKeyCount(TransientError):
    """The page has another number of keys than its KeyCount."""


def unquoted(key: str, plus_is_blank: bool = True) -> str:
    try:
        return unquote_plus(key, errors="strict") if plus_is_blank else unquote(key, errors="strict")
    except UnicodeDecodeError as error:
        raise TransientError("server_error", f"the key {key!r} is not UTF-8") from error


def parsed(
    body: bytes,
    bucket: str,
    prefix: str,
    decode: Callable[[str], str] = unquoted,
    counts_keys: bool = True,
) -> Page:
    """Return the page in body; raise TransientError with what is wrong with it.

    decode reads a URL-encoded key; counts_keys is False where KeyCount is known to be something else.
    """
    root, rows = _tree_and_rows(body)
    space = root.tag[: -len(_ROOT)]
    if root.tag != space + _ROOT or (space and not space.startswith("{")):
        raise TransientError("server_error", f"the response is not {_ROOT} but {root.tag[:100]!r}")
    name = root.findtext(space + "Name")
    if name != bucket:
        raise TransientError("server_error", f"the page belongs to another bucket ({name!r})")
    rows = rows or _rows(root, space)
    is_encoded = root.findtext(space + "EncodingType") == "url"
    objects = _objects(rows, decode if is_encoded else None, prefix)
    count, more = root.findtext(space + "KeyCount"), root.findtext(space + "IsTruncated")
    if count is None and not (
        more == "false" and not objects
    ):  # as `rclone serve s3` writes an empty listing
        raise TransientError("server_error", f"the page has {len(objects)} keys, but no KeyCount")
    if counts_keys and count not in (None, str(len(objects))):
        raise OtherKeyCount("server_error", f"the page has {len(objects)} keys, but KeyCount is {count}")
    if more not in ("true", "false"):
        raise TransientError(
            "server_error", f"the page does not show whether more follows (IsTruncated {more})"
        )
    token = root.findtext(space + "NextContinuationToken") if more == "true" else None
    if more == "true" and not token:
        raise TransientError(
            "server_error", "more follows (IsTruncated), but there is no NextContinuationToken"
        )
    return Page(objects, token)


def tree(body: bytes) -> ET.Element:
    """Return the root of a complete XML document without a DTD; raise TransientError for anything else."""
    if not body:
        raise TransientError("server_error", "an empty response with status 200")
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314  # no DTD: no entities to expand
    try:
        parser.feed(body)
        return parser.close()
    except (ET.ParseError, LookupError, ValueError) as error:  # the latter two: an odd encoding
        raise TransientError("server_error", f"the response is not complete XML ({error})") from error


def _tree_and_rows(body: bytes) -> tuple[ET.Element, list[_Row]]:
    """Return the tree of body, and its objects where all are plain; else no rows, and the objects in the tree.

    A tree of all objects takes five times as long as finding plain ones. These are whole elements, so what is
    left of body is well-formed where body is, and shows whether they are the root's own.
    """
    if body.isascii():
        text = body.decode()
        rest, runs = _without_plain_objects("<plain-objects/>", text)
        if runs == 1:
            root = tree(rest.encode())
            space = root.tag[: -len(_ROOT)]
            if root.find(space + "plain-objects") is not None and root.find(space + "Contents") is None:
                return root, list(map(_Row._make, _plain_objects(text)))
    return tree(body), []


def _rows(root: ET.Element, space: str) -> list[_Row]:
    key_tag, size_tag, etag_tag = space + "Key", space + "Size", space + "ETag"
    return [
        _Row(item.findtext(key_tag), item.findtext(etag_tag), item.findtext(size_tag))
        for item in root.iterfind(space + "Contents")
    ]


def _objects(rows: list[_Row], decode: Callable[[str], str] | None, prefix: str) -> list[Found]:
    """Return the objects of rows; decode is None where the store does not know encoding-type, as not all do."""
    objects = []
    for key, etag, size in rows:
        if not key or size is None or not (size.isascii() and size.isdigit()):
            raise TransientError("server_error", f"an object without key or size ({key!r}, {size!r})")
        if decode is not None and not _is_plain(key):
            key = decode(key)
        if not key.startswith(prefix):
            raise TransientError("server_error", f"the key {key!r} is not under the prefix {prefix!r}")
        objects.append(Found(key, int(size), plain_etag(etag or "")))
    return objects


def key_count(body: bytes) -> str:
    """Return the KeyCount of the page in body, "" if it has none; raise TransientError."""
    root = tree(body)
    return root.findtext(root.tag[: -len(_ROOT)] + "KeyCount") or ""


def written_keys(body: bytes) -> list[str]:
    """Return the keys of the page in body as they are written there; raise TransientError."""
    root, rows = _tree_and_rows(body)
    return [row.key for row in rows or _rows(root, root.tag[: -len(_ROOT)]) if row.key]
