"""The capability probe: find out, before anything is moved, what this store checks and what we may do.

Each question has an object of its own, from a fixed set of keys, because some stores refuse a second write to one
key within a second (Google Cloud Storage, "Quotas & limits": one write per second to the same object name;
Cloudflare R2, "Limits": the same); where two writes to one key are the question, the second waits that long. What is
written has exactly the headers of the run. A condition is asked both ways: the wrong one must be refused with 412
and change nothing, the right one must do its work.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import md5
from typing import Callable, TypeVar
from zlib import crc32

from cdn2s3.destinations.base import PROBE_BODY, PROBE_NAME, same_etag
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition, Support
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Response
from cdn2s3.destinations.s3.first_put import absent_bucket, first_put
from cdn2s3.destinations.s3.listing import parsed
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.part_requests import Part, PartRequests
from cdn2s3.errors import FatalError, MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, ignore, with_retries
from cdn2s3.settings.declarations import MigrationSettings

Returned = TypeVar("Returned")

WRITE_INTERVAL = 1.1  # seconds between two writes to one key, where the store refuses them for their rate
_RATE_WAITS = 5  # such waits before the refusal is an answer like any other
_TIMES = (
    4  # that an unlikely answer is asked for again before it is believed: another run may delete the object
)
_EXISTS = frozenset({412, 304})  # 304: an older MinIO
_CANNOT = frozenset({400, 405, NOT_IMPLEMENTED})  # the store does not know the condition
_OTHER_BODY = PROBE_BODY + b"This is its second body.\n"

MEDIA_TYPE = "image/webp"  # no store guesses it from this key or this body
_PUT, UP, _MD5, _CRC32, ACL = "put", "up", "md5", "crc32", "acl"
NAMES = (_PUT, UP, _MD5, _CRC32, ACL, *(condition.value for condition in Condition))


def probe_key(settings: MigrationSettings, name: str) -> str:
    """Return the key of one probe object, by a name in NAMES."""
    return f"{settings.destination_prefix}{PROBE_NAME}-{name}"


def probe_keys(settings: MigrationSettings) -> frozenset[str]:
    """Return all keys that are no images' own, the one of earlier versions among them."""
    return frozenset(
        {settings.destination_prefix + PROBE_NAME, *(probe_key(settings, name) for name in NAMES)}
    )


def probe_image(body: bytes = PROBE_BODY) -> Image:
    """Return a body of the probe as an image with its MD5."""
    digest = md5(body, usedforsecurity=False).digest()
    return Image(memoryview(body), MEDIA_TYPE, digest, crc32(body))


def is_throttled(reply: S3Response) -> bool:
    return reply.status in (429, 503)


def probe_capabilities(
    settings: MigrationSettings,
    objects: Objects,
    sleep: Callable[[float], object] = time.sleep,
    on_failure: Callable[[FailedAttempt], object] = ignore,
) -> Capabilities:
    """Ask the store everything; return what was found out, and leave nothing behind where that is allowed.

    Raise FatalError (credentials, permission, bucket, region), TransientError when the store does not answer; each
    request has the attempts that MAX_RETRIES allows.
    """
    return Prober(settings, objects, sleep, on_failure).found()


class Prober:
    """Ask one question after the other; for one thread."""

    def __init__(
        self,
        settings: MigrationSettings,
        objects: Objects,
        sleep: Callable[[float], object],
        on_failure: Callable[[FailedAttempt], object],
    ) -> None:
        self._settings = settings
        self._objects = objects
        self._client = objects.client
        self._parts = PartRequests(objects)
        self._cleanup = MultipartCleanup(settings, objects.client, is_quiet=True)
        self._sleep = sleep
        self._on_failure = on_failure
        self._written: set[str] = set()  # names of the probe objects that were stored
        self._unfinished: list[
            tuple[str, str, list[Part]]
        ] = []  # uploads that may not be aborted: key, id, parts
        self._takes_parts = True

    def found(self) -> Capabilities:
        if self._answered(lambda: self._head("")).status == 404:
            raise absent_bucket(self._settings)
        sent = self._sent()
        first = first_put(
            self._settings,
            self._objects,
            self._key(_PUT),
            lambda objects: self._put(_PUT, sent, objects=objects),
        )
        can_read, not_kept = self._read_back(sent)
        md5_refused = self._is_refused(_MD5, sent._replace(md5=bytes(16)))
        refused = md5_refused
        if self._settings.integrity != "md5":
            refused = self._is_refused(_CRC32, sent._replace(crc32=sent.crc32 ^ 1))
        repeats = self._listing_repeats(first.etag)
        conditions = {condition: ask(self, condition, can_read) for condition, ask in QUESTIONS.items()}
        left = self._deleted_all()
        return Capabilities(
            etag_is_md5=first.etag == probe_image().md5.hex() and not first.by_kms,
            checksum_refused=refused,
            can_read=can_read,
            conditions=conditions,
            md5_refused=md5_refused,
            encrypted_by_kms=first.by_kms,
            can_delete=not left,
            signs_payload=self._client.signs_payload,
            takes_parts=self._takes_parts,
            listing_repeats_etag=repeats,
            not_kept=not_kept,
            left=left,
        )

    # --- requests

    def _key(self, name: str) -> str:
        return probe_key(self._settings, name)

    def _deadline(self) -> Deadline:
        return Deadline(self._settings.upload_timeout)

    def _retried(self, attempt: Callable[[], Returned]) -> Returned:
        """Return the result of attempt, after as many attempts as MAX_RETRIES allows; raise the last TransientError."""
        return with_retries(attempt, RetryPolicy(self._settings.max_retries), self._sleep, self._on_failure)

    def _answered(self, ask: Callable[[], S3Response], name: str = "") -> S3Response:
        """Return an answer that shows what the store does.

        name is of the object that is written: a second write to it may be refused for its rate, which is waited out.
        """

        def attempt() -> S3Response:
            reply = ask()
            for _ in range(_RATE_WAITS):
                if not (is_throttled(reply) and name in self._written):
                    break
                self._sleep(WRITE_INTERVAL)
                reply = ask()
            return _unless_passing(reply)

        return self._retried(attempt)

    def _head(self, key: str) -> S3Response:
        return self._client.request("HEAD", key, self._deadline())

    def _sent(self) -> Image:
        """Return the probe as an image of the run: with the digest that INTEGRITY selects."""
        image = probe_image()
        return image if self._settings.integrity == "md5" else image._replace(md5=b"")

    def _put(
        self, name: str, image: Image, guarded: bool = False, objects: Objects | None = None
    ) -> S3Response:
        def ask() -> S3Response:
            reply = (objects or self._objects).put(self._key(name), image, self._deadline(), guarded)
            if reply.status == 200 and not reply.etag:
                raise TransientError(
                    "server_error", "its response to a PUT has no ETag: there may be a proxy in between"
                )
            return reply

        reply = self._answered(ask, name)
        if reply.status == 200:
            self._written.add(name)
        return reply

    def _put_parts(self, name: str, image: Image, guarded: bool) -> S3Response:
        """Store image as an upload of one part; return the response to its completion, or to what failed before."""
        key = self._key(name)

        def ask() -> S3Response:
            reply, upload_id = self._retried(lambda: self._created(key, image.media_type))
            if not upload_id:
                return reply
            is_complete, parts = False, []
            try:
                reply, part = self._retried(lambda: self._stored(key, upload_id, image))
                if reply.status == 200:
                    parts.append(part)
                    done = self._parts.complete(key, upload_id, parts, self._deadline(), guarded)
                    reply, is_complete = done.reply, bool(done.etag)
                    if reply.status == 200 and not is_complete:
                        raise TransientError(
                            "server_error", "the completion of the probe's parts has no ETag"
                        )
                return reply
            finally:
                if not is_complete and not self._cleanup.abort(key, upload_id, self._settings.upload_timeout):
                    self._unfinished.append((key, upload_id, parts))

        reply = self._answered(ask, name)
        if reply.status == 200:
            self._written.add(name)
        return reply

    def _created(self, key: str, media_type: str) -> tuple[S3Response, str]:
        reply, upload_id = self._parts.create(key, media_type, self._deadline())
        return _unless_passing(reply), upload_id

    def _stored(self, key: str, upload_id: str, image: Image) -> tuple[S3Response, Part]:
        body, digest = bytes(image.body), image.digest()
        reply, parsed_reply = self._parts.store(key, upload_id, 1, body, digest, self._deadline())
        return _unless_passing(reply), Part(1, str(parsed_reply.get("ETag", "")))

    # --- questions

    def _is_refused(self, name: str, wrong: Image) -> bool:
        """Return whether a body that does not fit its digest is refused."""
        return 400 <= self._put(name, wrong).status < 500

    def _read_back(self, sent: Image) -> tuple[bool, tuple[str, ...]]:
        """Return whether the probe may be read, and what was sent with it that it lacks.

        If it is gone (another run may delete it), put it again.
        """
        for _ in range(_TIMES):
            reply = self._answered(lambda: self._head(self._key(_PUT)))
            if reply.status == 200:
                return True, tuple(name for name, kept in self._kept(reply.headers).items() if not kept)
            if reply.status != 404:
                return False, ()
            self._put(_PUT, sent)
        return False, ()

    def _kept(self, headers: Mapping[str, str]) -> dict[str, bool]:
        """Return whether each thing that was sent with the probe is in headers, the response to its HEAD.

        S3 shows no storage class for STANDARD (API Reference, HeadObject).
        """
        settings = self._settings
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        kept = {"Content-Type": media_type == MEDIA_TYPE}
        if settings.cache_control:
            kept["CACHE_CONTROL"] = headers.get("cache-control", "") == settings.cache_control
        if settings.storage_class not in ("", "STANDARD"):
            kept["STORAGE_CLASS"] = headers.get("x-amz-storage-class", "") == settings.storage_class
        if settings.server_side_encryption:
            shown = headers.get("x-amz-server-side-encryption", "")
            kept["SERVER_SIDE_ENCRYPTION"] = shown == settings.server_side_encryption
        return kept

    def _listing_repeats(self, etag: str) -> bool | None:
        """Return whether a listing shows etag, that of the PUT, for the probe; None where that cannot be seen."""
        key = self._key(_PUT)
        query = {"list-type": "2", "encoding-type": "url", "max-keys": "1", "prefix": key}
        try:
            reply = self._answered(lambda: self._client.request("GET", "", self._deadline(), query=query))
            page = parsed(reply.body, self._settings.destination_bucket, key) if reply.status == 200 else None
        except (TransientError, FatalError):  # of a listing: a run needs none
            return None
        listed = next((found.etag for found in page.objects if found.key == key), None) if page else None
        return None if listed is None else same_etag(listed, etag)

    def _new_by_put(self, condition: Condition, can_read: bool) -> Support:
        def write(image: Image) -> S3Response:
            return self._put(condition.value, image, guarded=True)

        return self._asked_for_new(condition, write, can_read)

    def _new_by_parts(self, condition: Condition, can_read: bool) -> Support:
        with suppress(TransientError):  # a few bytes that a killed probe left can wait
            self._cleanup.clear(self._key(condition.value), self._settings.upload_timeout)

        def write(image: Image) -> S3Response:
            return self._put_parts(condition.value, image, guarded=True)

        support = self._asked_for_new(condition, write, can_read)
        if support in (Support.REFUSED, Support.UNKNOWN):
            self._takes_parts = self._put_parts(condition.value, probe_image(), guarded=False).status == 200
        return support

    def _asked_for_new(
        self, condition: Condition, write: Callable[[Image], S3Response], can_read: bool
    ) -> Support:
        """Return what the store makes of `If-None-Match: *`, with which write stores an image.

        | the key is free | it is taken                              |                                     |
        |-----------------|------------------------------------------|-------------------------------------|
        | 200             | 412, and the object is the first one     | honored                             |
        | 200             | 200, each time; or 412, and it is        | ignored                             |
        |                 | replaced                                 |                                     |
        | 412, each time  |                                          | refused: nothing could be stored    |
        | 400, 405, 501   |                                          | refused                             |
        | others          |                                          | unknown                             |

        An earlier probe may have left its object: where it cannot be deleted, the key is never free, and 412 is
        enough.
        """
        name = condition.value
        first = write(probe_image()).status
        for _ in range(_TIMES):
            if first not in _EXISTS:
                break
            if not self._is_deleted(name):
                return Support.HONORED
            first = write(probe_image()).status
        if first in _EXISTS or first in _CANNOT:
            return Support.REFUSED
        if first != 200:
            return Support.UNKNOWN
        bodies = itertools.cycle((_OTHER_BODY, PROBE_BODY))
        for wrong in itertools.islice(bodies, _TIMES):  # another run may have deleted what is there
            if write(probe_image(wrong)).status in _EXISTS:
                replaced = can_read and self._size(name) == len(wrong)
                return Support.IGNORED if replaced else Support.HONORED
        return Support.IGNORED

    def _size(self, name: str) -> int | None:
        """Return the size of the probe object of name, None where HEAD does not show it."""
        reply = self._answered(lambda: self._head(self._key(name)))
        size = reply.headers.get("content-length", "") if reply.status == 200 else ""
        return int(size) if size.isascii() and size.isdigit() else None

    # --- the end

    def _is_deleted(self, name: str) -> bool:
        """Delete the probe object of name; return False when that is refused, or not offered."""

        def attempt() -> bool:
            for _ in range(_RATE_WAITS):
                try:
                    return self._objects.delete(self._key(name), self._deadline())
                except TransientError as error:
                    if error.cause != "throttled" or name not in self._written:
                        raise
                    self._sleep(WRITE_INTERVAL)
            return self._objects.delete(self._key(name), self._deadline())

        try:
            return self._retried(attempt)
        except PermanentError:
            return False

    def _deleted_all(self) -> tuple[str, ...]:
        """Delete every probe object that was stored; return the keys of those that stay.

        Uploads that may not be aborted are completed, over objects of ours: unfinished ones are billed for ever.
        """
        for key, upload_id, parts in self._unfinished:
            with suppress(MigrationError):
                self._parts.complete(key, upload_id, parts, self._deadline(), guarded=False)
        stored = [name for name in NAMES if name in self._written]
        return tuple(self._key(name) for name in stored if not self._is_deleted(name))


def _unless_passing(reply: S3Response) -> S3Response:
    """Return reply unless it shows nothing about what the store offers; 501, which some answer to conditions, does."""
    if reply.is_passing:
        raise reply.error("the probe")
    return reply


# How each condition is asked.
QUESTIONS: Mapping[Condition, Callable[[Prober, Condition, bool], Support]] = {
    Condition.NEW_BY_PUT: Prober._new_by_put,
    Condition.NEW_BY_PARTS: Prober._new_by_parts,
}
