"""The listing of the bucket: ListObjectsV2, page by page, accepting only complete, plausible pages.

An empty response taken for "no objects", or a truncated list taken for the whole, would be the worst result of a
validation. So every page must be well-formed XML, a ListBucketResult of this bucket, with KeyCount
and IsTruncated, and a new token if more follows; anything else is retried, and then an error.

Two habits of some stores are neither: they are asked about with a request that only one meaning fits, and noted.
"""

from __future__ import annotations

import logging
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Callable, NamedTuple
from urllib.parse import unquote, unquote_plus

from cdn2s3.destinations.base import Found, plain_etag
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.file_names import MISSING_FILE
from cdn2s3.http.deadline import Deadline
from cdn2s3.resilience.retry import RetryPolicy, with_retries
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_ROOT = "ListBucketResult"
_MOST_EMPTY_PAGES = 100  # in a row, each with a token for more: a listing that makes no progress
_LIST = "the listing (ListObjectsV2)"


class _Row(NamedTuple):
    """An object as the page has it."""

    key: str | None
    etag: str | None
    size: str | None


class Page(NamedTuple):
    """A page of a listing."""

    objects: list[Found]
    token: str | None  # what the next page is asked for with; None: this is the last one


OTHER_KEY_COUNT = (
    "the store's KeyCount is not the number of keys on the page: that the listing is whole rests on IsTruncated alone, "
    "and on a HEAD for keys that it lacks"
)
PLAIN_PLUS = (
    "the store's listing does not encode + in keys, where S3 writes it for a blank: it is read as it stands"
)


class Listing:
    """List the objects of a bucket under DESTINATION_PREFIX, once, from one thread.

    pause gets seconds to wait before a page is asked for again.
    """

    def __init__(
        self, client: S3Client, settings: MigrationSettings, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._client = client
        self._settings = settings
        self._bucket = settings.destination_bucket
        self._prefix = settings.destination_prefix
        self._timeout = settings.upload_timeout
        self._policy = RetryPolicy(settings.max_retries)
        self._pause = pause
        self._before = (settings.state_dir / MISSING_FILE).exists()  # a validation has been here
        self._counts_keys = True  # KeyCount is the number of keys on the page
        self._plus_is_blank: bool | None = None  # what + means in an encoded key; None: not known yet
        self.notes: list[str] = []  # in what the store's listing differs from S3's
        self.pages = 0  # read so far

    def __iter__(self) -> Iterator[list[Found]]:
        """Yield the objects page by page; raise FatalError unless the listing ends properly."""
        tokens: set[str] = set()
        first_keys: set[str] = set()
        token: str | None = None
        empty_pages = 0
        while True:
            page = self._page(token, tokens)
            self.pages += 1
            empty_pages = 0 if page.objects else empty_pages + 1
            if (page.objects and page.objects[0].key in first_keys) or empty_pages > _MOST_EMPTY_PAGES:
                raise self._failure(
                    "it repeats itself in a loop: the same page came back, or page after page had no key. Ask "
                    "the store's owner."
                )
            first_keys.update(found.key for found in page.objects[:1])
            yield page.objects
            if page.token is None:
                return
            tokens.add(page.token)
            token = page.token

    def _page(self, token: str | None, known: set[str]) -> Page:
        """Return the page of token, with further attempts; known are the tokens that had their turn."""

        def attempt() -> Page:
            page = self._parsed(self._ask(token))
            if page.token in known:
                raise TransientError("server_error", "the token for the next page is that of an earlier page")
            return page

        try:
            return with_retries(attempt, self._policy, self._pause)
        except TransientError as error:
            raise self._failure(
                f"{error.message} ({self._policy.max_attempts} attempts). Check the network, AWS_ENDPOINT_URL and "
                "AWS_REGION, then run it again."
            ) from error

    def _parsed(self, body: bytes) -> Page:
        """Return the page in body, read as this store means it."""
        try:
            return parsed(body, self._bucket, self._prefix, self._decode, self._counts_keys)
        except OtherKeyCount:
            if not self._counts_more_than_a_page():
                raise
        self._counts_keys = False
        self._note(OTHER_KEY_COUNT)
        return parsed(body, self._bucket, self._prefix, self._decode, self._counts_keys)

    def _counts_more_than_a_page(self) -> bool:
        """Return whether KeyCount exceeds the most keys that were asked for, as no count of a page can."""
        root = _tree(self._ask(None, most="1"))
        count = root.findtext(root.tag[: -len(_ROOT)] + "KeyCount") or ""
        return count.isascii() and count.isdigit() and int(count) > 1

    def _decode(self, key: str) -> str:
        """Return a URL-encoded key; S3 writes a blank as +, as in a form, and + as %2B: not all stores do."""
        if "+" in key and self._plus_is_blank is None:
            self._plus_is_blank = not self._has_plain_plus(key)
            if not self._plus_is_blank:
                self._note(PLAIN_PLUS)
        return _unquoted(key, self._plus_is_blank is not False)

    def _has_plain_plus(self, key: str) -> bool:
        """Return whether key, read with its + as it stands, is listed under that name, and written the same way."""
        body = self._ask(None, most="1", prefix=_unquoted(key, plus_is_blank=False))
        root, rows = _tree_and_rows(body)
        listed = [row.key for row in rows or _rows(root, root.tag[: -len(_ROOT)])]
        return any(name is not None and "+" in name and "%2b" not in name.lower() for name in listed)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        log.warning("%s", text)

    def _ask(self, token: str | None, most: str = "1000", prefix: str | None = None) -> bytes:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": most, "prefix": prefix or self._prefix}
        if token is not None:
            query["continuation-token"] = token
        reply = self._client.request("GET", "", Deadline(self._timeout), query=query)
        if reply.status == 200:
            return reply.body
        if reply.is_refusal:
            missing = policy(self._settings, "ListBucket")
            raise self._failure(f"403, the permission is missing. Add to the role's policy:\n  {missing}")
        error = reply.error(_LIST)
        if isinstance(error, (FatalError, PermanentError)):
            raise self._failure(str(error)) from error
        raise error

    def _failure(self, why: str) -> FatalError:
        state = "are unchanged from an earlier validation" if self._before else "were not written"
        return FatalError(
            f"could not list the bucket {self._bucket}: {why}\n"
            "Nothing is known about what exists or is missing; "
            f"missing.txt, mismatched.txt and unexpected.txt {state}."
        )


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


class OtherKeyCount(TransientError):
    """The page has another number of keys than its KeyCount."""


def _unquoted(key: str, plus_is_blank: bool = True) -> str:
    try:
        return unquote_plus(key, errors="strict") if plus_is_blank else unquote(key, errors="strict")
    except UnicodeDecodeError as error:
        raise TransientError("server_error", f"the key {key!r} is not UTF-8") from error


def parsed(
    body: bytes,
    bucket: str,
    prefix: str,
    decode: Callable[[str], str] = _unquoted,
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
    if counts_keys and count != str(len(objects)):
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


def _tree(body: bytes) -> ET.Element:
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
            root = _tree(rest.encode())
            space = root.tag[: -len(_ROOT)]
            if root.find(space + "plain-objects") is not None and root.find(space + "Contents") is None:
                return root, list(map(_Row._make, _plain_objects(text)))
    return _tree(body), []


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
        if decode is not None and ("%" in key or "+" in key):
            key = decode(key)
        if not key.startswith(prefix):
            raise TransientError("server_error", f"the key {key!r} is not under the prefix {prefix!r}")
        objects.append(Found(key, int(size), plain_etag(etag or "")))
    return objects
