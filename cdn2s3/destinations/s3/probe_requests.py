"""The objects of the capability probe, and the requests on them: retried, and patient with stores that limit writes.

Each question has an object of its own, from a fixed set of keys, because some stores refuse a second write to one
key within a second (Google Cloud Storage, "Quotas & limits": one write per second to the same object name;
Cloudflare R2, "Limits": the same); where two writes to one key are the question, the second waits that long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import md5
from typing import Callable, NamedTuple, TypeVar
from zlib import crc32

from cdn2s3.console.signals import Interrupted
from cdn2s3.destinations.base import PROBE_BODY, PROBE_NAME
from cdn2s3.destinations.s3.capabilities import Condition
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.part_requests import Part, PartRequests
from cdn2s3.errors import MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, with_retries
from cdn2s3.settings.declarations import MigrationSettings

Returned = TypeVar("Returned")

WRITE_INTERVAL = 1.1  # seconds between two writes to one key, where the store refuses them for their rate
_LAST_SECONDS = 2.0  # for each request after a signal: the bucket may be why somebody stops the run
_RATE_WAITS = 5  # such waits before the refusal is an answer like any other

_NO_ETAG = "its response to a PUT has no ETag: there may be a proxy in between"
MEDIA_TYPE = "image/webp"  # no store guesses it from this key or this body
PUT, UP, MD5, CRC32, ACL = "put", "up", "md5", "crc32", "acl"
DELETE = "delete"  # of what is asked about the deletion of objects of our own (probe_delete.py)
ABSENT = "-absent"  # after the name of a condition: a key that the right answer leaves empty
_RENEWING = (Condition.RENEW_BY_PUT, Condition.RENEW_BY_PARTS)
NAMES = (
    *(PUT, UP, MD5, CRC32, ACL, DELETE),
    *(condition.value for condition in Condition),
    *(condition.value + ABSENT for condition in _RENEWING),
)


def probe_key(settings: MigrationSettings, name: str) -> str:
    """Return the key of one probe object, by a name in NAMES."""
    return f"{settings.destination_prefix}{PROBE_NAME}-{name}"


def probe_keys(settings: MigrationSettings) -> frozenset[str]:
    """Return all keys that are no images' own, the one of earlier versions among them."""
    of_now = (probe_key(settings, name) for name in NAMES)
    return frozenset({settings.destination_prefix + PROBE_NAME, *of_now})


def probe_image(body: bytes = PROBE_BODY) -> Image:
    """Return a body of the probe as an image with its MD5."""
    digest = md5(body, usedforsecurity=False).digest()
    return Image(memoryview(body), MEDIA_TYPE, digest, crc32(body))


def is_throttled(reply: S3Response) -> bool:
    return reply.status in (429, 503)


class ProbeRequests:
    """Make the requests of one probe; for one thread.

    Each has the attempts that MAX_RETRIES allows, and raises the last TransientError, or FatalError.
    """

    def __init__(
        self,
        settings: MigrationSettings,
        objects: Objects,
        sleep: Callable[[float], object],
        on_failure: Callable[[FailedAttempt], object],
    ) -> None:
        self._settings = settings
        self._objects = objects
        self._parts = PartRequests(objects)
        self._cleanup = MultipartCleanup(settings, objects.client, is_quiet=True)
        self._sleep = sleep
        self._on_failure = on_failure
        self._written: set[str] = set()  # names of the probe objects that were stored
        self._sent: set[str] = set()  # and of those that may have been
        self._unfinished: list[_Unfinished] = []

    @contextmanager
    def cleaned_up(self) -> Iterator[None]:
        """Where a signal ends the block, delete what the probe has put, as long as the bucket answers at once."""
        try:
            yield
        except Interrupted:
            with suppress(MigrationError):
                for name in sorted(self._sent):
                    self._objects.delete(self.key(name), Deadline(_LAST_SECONDS))
            raise

    def key(self, name: str) -> str:
        return probe_key(self._settings, name)

    def head(self, name: str) -> S3Response:
        """Return the response to a HEAD of the probe object of name; of the bucket where name is empty."""
        return self._answered(
            lambda: self._objects.client.request("HEAD", self.key(name) if name else "", self._deadline())
        )

    def list(self, prefix: str) -> S3Response:
        """Return the response to a listing of the first object under prefix."""
        query = {"list-type": "2", "encoding-type": "url", "max-keys": "1", "prefix": prefix}
        return self._answered(lambda: self._objects.client.request("GET", "", self._deadline(), query=query))

    def put(
        self,
        name: str,
        image: Image,
        guarded: bool = False,
        objects: Objects | None = None,
        match: str = "",
    ) -> S3Response:
        """Store image, with the headers of objects where they are given; return the response.

        guarded and match are those of Objects.put().
        """

        def ask() -> S3Response:
            self._sent.add(name)
            reply = (objects or self._objects).put(self.key(name), image, self._deadline(), guarded, match)
            if reply.status == 200:
                self._written.add(name)
                if not reply.etag:
                    raise TransientError("server_error", _NO_ETAG, status=200)
            return reply

        return self._answered(ask, name)

    def delete_matching(self, name: str, etag: str) -> S3Response:
        """Return the response to a DELETE of the probe object of name with If-Match."""
        return self._answered(
            lambda: self._objects.delete_matching(self.key(name), etag, self._deadline()), name
        )

    def put_parts(self, name: str, image: Image, guarded: bool, match: str = "") -> S3Response:
        """Store image as an upload of one part; return the response to its completion, or to what failed before."""
        key = self.key(name)

        def ask() -> S3Response:
            reply, upload_id = self._retried(lambda: self._created(key, image.media_type))
            if not upload_id:
                return reply
            is_complete, parts = False, []
            try:
                reply, part = self._retried(lambda: self._stored(key, upload_id, image))
                if reply.status == 200:
                    parts.append(part)
                    self._sent.add(name)
                    done = self._parts.complete(key, upload_id, parts, self._deadline(), guarded, match)
                    reply, is_complete = done.reply, done.is_done
                    if reply.status == 200 and not is_complete:
                        raise TransientError(
                            "server_error", "the completion of the probe's parts names neither ETag nor key"
                        )
                return reply
            finally:
                if not is_complete and not self._cleanup.abort(key, upload_id, self._settings.upload_timeout):
                    self._unfinished.append(_Unfinished(key, upload_id, parts))

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

    def clear_parts(self, name: str) -> None:
        """Abort the uploads to the key of name that a killed probe left."""
        with suppress(TransientError):  # a few bytes can wait
            self._cleanup.clear(self.key(name), self._settings.upload_timeout)

    def is_deleted(self, name: str) -> bool:
        """Delete the probe object of name; return False when that is refused, or not offered."""

        def attempt() -> bool:
            for _ in range(_RATE_WAITS):
                try:
                    return self._objects.delete(self.key(name), self._deadline())
                except TransientError as error:
                    if error.cause != "throttled" or name not in self._written:
                        raise
                    self._sleep(WRITE_INTERVAL)
            return self._objects.delete(self.key(name), self._deadline())

        try:
            return self._retried(attempt)
        except PermanentError:
            return False

    def delete_version(self, name: str, version: str) -> S3Response:
        """Return the response to a DELETE of one version of the probe object of name."""
        key, query = self.key(name), {"versionId": version}
        return self._answered(
            lambda: self._objects.client.request("DELETE", key, self._deadline(), query=query), name
        )

    def delete_all(self) -> tuple[str, ...]:
        """Delete every probe object that was stored; return the keys of those that stay.

        Uploads that may not be aborted are completed, over objects of ours: unfinished ones are billed for ever.
        """
        for left in self._unfinished:
            with suppress(MigrationError):
                self._parts.complete(*left, self._deadline(), guarded=False)
        stored = [name for name in NAMES if name in self._written]
        return tuple(self.key(name) for name in stored if not self.is_deleted(name))

    # --- attempts

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


class _Unfinished(NamedTuple):
    """An upload in parts that may not be aborted."""

    key: str
    upload_id: str
    parts: list[Part]


def _unless_passing(reply: S3Response) -> S3Response:
    """Return reply unless it shows nothing about what the store offers; 501, which some answer to conditions, does."""
    if reply.is_passing:
        raise reply.error("the probe")
    return reply
