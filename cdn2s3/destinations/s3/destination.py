"""The S3 bucket as a destination: objects are created, never replaced unasked, and each is proven.

prepare() finds out what the store can prove before anything is moved (`Capabilities`). After a PUT, at
least one of these is true: the server refused wrong checksums when tried and got the right one; the ETag
that it returned is the MD5 of the bytes sent; a HEAD returned the size (and the run has logged that this is all).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from cdn2s3.destinations.base import (
    Found,
    KeyRefused,
    Note,
    ObjectBody,
    hash_all,
)
from cdn2s3.destinations.s3 import capabilities as judging
from cdn2s3.destinations.s3 import probe_requests
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Client, S3Response
from cdn2s3.destinations.s3.endpoint import Address
from cdn2s3.destinations.s3.first_put import style_hint
from cdn2s3.destinations.s3.listing import Listing
from cdn2s3.destinations.s3.multipart import MultipartUpload, Protection
from cdn2s3.destinations.s3.multipart_cleanup import MultipartCleanup
from cdn2s3.destinations.s3.object_md5 import Md5Source
from cdn2s3.destinations.s3.object_upload import ObjectUpload, exists
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe import probe_capabilities
from cdn2s3.destinations.s3.probe_renewal import probe_renewing
from cdn2s3.destinations.s3.range_listing import in_ranges, is_sorted_by_key
from cdn2s3.destinations.s3.renewal import MultipartRenewal, ObjectRenewal
from cdn2s3.errors import FatalError, MigrationError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Image, Recorded, Stored
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped, with_retries
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_UNTIL_DEADLINE = RetryPolicy(10)  # for deleting the probe at the end: the deadline comes first


class S3Handover(NamedTuple):
    """What the processes of a run need not find out again."""

    capabilities: Capabilities
    address: Address


def open_bucket(
    settings: MigrationSettings, adapter: PooledAdapter, known: S3Handover | None = None
) -> S3Destination:
    """Return the bucket of settings; known is the handover() of another process's. Raise FatalError."""
    client = S3Client(settings, adapter, known.address if known else None)
    return S3Destination(settings, client, known.capabilities if known else None)


class S3Destination:
    """Store images in one bucket; a Destination."""

    name = "bucket"

    def __init__(
        self, settings: MigrationSettings, client: S3Client, capabilities: Capabilities | None = None
    ) -> None:
        """capabilities are what another process's prepare() has found out."""
        self._settings = settings
        self.client = client
        self.objects = Objects(settings, client)
        self.overwrites = settings.on_existing == "overwrite"
        self._known = capabilities
        if capabilities is not None:
            client.signs_payload = capabilities.signs_payload
        self._cleanup = MultipartCleanup(settings, client)
        self._listing: Listing | None = None  # the last one
        self._probe_was_put = False  # since prepare(), by is_up()
        # What the answers say of each object's MD5.
        self.md5s = Md5Source(settings.integrity == "auto", self._end_auto)
        self._renews = False  # True: prepare_renewing() has been called

    # --- identity

    @property
    def probe_keys(self) -> frozenset[str]:
        return probe_requests.probe_keys(self._settings)

    @property
    def probes_left(self) -> tuple[str, ...]:
        left = () if self._known is None else self._known.left
        return (*left, self._up_key) if self._probe_was_put else left

    @property
    def _up_key(self) -> str:
        return probe_requests.probe_key(self._settings, probe_requests.UP)

    @property
    def endpoint(self) -> str:
        return self.client.endpoint

    @property
    def capabilities(self) -> Capabilities:
        """What prepare() has found out."""
        assert self._known is not None, "prepare() comes first"
        return self._known

    @property
    def integrity(self) -> str:
        return judging.integrity(self.capabilities, self._settings)

    @property
    def integrity_text(self) -> str:
        return judging.integrity_text(self.capabilities, self._settings)

    def _end_auto(self) -> bool:
        """Go on with md5, and return True; unless the store does not check the MD5, and does check the CRC-32."""
        if not self.capabilities.md5_refused:
            return False
        self._known = judging.without_answers(self.capabilities)
        return True

    def describe(self) -> str:
        return self._settings.destination_text

    def prepare(self) -> None:
        for line in self.objects.caching.lines():
            log.info("Cache-Control of %s", line)
        try:
            self._known = probe_capabilities(
                self._settings,
                self.objects,
                on_failure=lambda failed: log.warning(
                    "the bucket at %s: %s", self.client.endpoint, failed.error.message
                ),
            )
        except TransientError as error:
            attempts = RetryPolicy(self._settings.max_retries).max_attempts
            raise _no_bucket(self._settings, self.client, error, attempts) from error

    def notes(self) -> list[Note]:
        judging.refuse_blind_overwriting(self.capabilities, self._settings)
        found, settings = self.capabilities, self._settings
        renewing = list(judging.renewing_notes(found, settings)) if self._renews else []
        return [*judging.notes(found, settings), *renewing]

    def handover(self) -> S3Handover:
        return S3Handover(self.capabilities, self.client.address)

    # --- storing

    def upload(self, key: str, image: Image, recorded: Recorded | None = None) -> ObjectUpload:
        return ObjectUpload(self.objects, self.capabilities, self.md5s, self.overwrites, key, image, recorded)

    def store_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        encoding: str = "",
        recorded: Recorded | None = None,
    ) -> Stored:
        found = self.capabilities
        is_honored = found.honors(Condition.NEW_BY_PARTS)
        if not (self.overwrites or is_honored) and exists(self.objects, key, Deadline(limit_seconds), found):
            content, deadline = hash_all(parts), Deadline(limit_seconds)
            return self.objects.verify_existing(key, content, found.etag_is_md5, deadline, recorded)
        protection = Protection(
            guarded=found.takes(Condition.NEW_BY_PARTS),
            # To overwrite, too: some stores forget an upload that they do not complete.
            must_look=found.can_read if self.overwrites else not is_honored,
            overwrites=self.overwrites,
            is_blind=self.overwrites and not (is_honored or found.can_read),
            recorded=recorded,
        )
        upload = MultipartUpload(self.objects, self._cleanup, found, key, limit_seconds)
        return upload.store(media_type, parts, protection, encoding)

    # --- renewing

    def prepare_renewing(self) -> None:
        try:
            found = probe_renewing(self._settings, self.objects, self.capabilities)
        except TransientError as error:
            attempts = RetryPolicy(self._settings.max_retries).max_attempts
            raise _no_bucket(self._settings, self.client, error, attempts) from error
        # Other threads may have found out more meanwhile (_end_auto).
        self._known = self.capabilities._replace(conditions=found.conditions, left=found.left)
        self._renews = True

    def renew(self, key: str, image: Image, recorded: Recorded) -> ObjectRenewal:
        return ObjectRenewal(self.objects, self.capabilities, self.md5s, key, image, recorded)

    def renew_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        recorded: Recorded,
        encoding: str = "",
    ) -> Stored:
        found = self.capabilities
        renewal = MultipartRenewal(self.objects, self._cleanup, found, key, limit_seconds, recorded)
        return renewal.renew(media_type, parts, encoding)

    def is_up(self) -> bool:
        """Return whether the bucket accepts the probe object; raise FatalError if it would accept no other either."""
        self._probe_was_put = True
        try:
            reply = self._put_probe()
        except TransientError:
            return False
        if reply.status != 200:
            error = self.objects.put_error(reply)
            if isinstance(error, FatalError):
                raise error
        return reply.status == 200 and bool(reply.etag)  # a proxy's own page has none

    def _put_probe(self) -> S3Response:
        """Store the probe object; once more where another process may have done so within the same second."""
        reply = self.objects.put(self._up_key, probe_requests.probe_image(), self._short_deadline(), False)
        if not probe_requests.is_throttled(reply):
            return reply
        time.sleep(probe_requests.WRITE_INTERVAL)
        return self.objects.put(self._up_key, probe_requests.probe_image(), self._short_deadline(), False)

    # --- reading

    def head(self, key: str, deadline: Deadline) -> Found | None:
        try:
            return self.objects.look(key, deadline)
        except TransientError as error:
            if error.status == 400 and self._answers_for_others(deadline):
                raise KeyRefused from error
            raise

    def _answers_for_others(self, deadline: Deadline) -> bool:
        """Return whether a HEAD of a plain key is answered: then a 400, which has no code, is the other key's own."""
        return self.client.request("HEAD", self._up_key, deadline).status in (200, 403, 404)

    def read(self, key: str, deadline: Deadline) -> AbstractContextManager[ObjectBody | None]:
        return self.objects.get(key, deadline)

    def md5(self, key: str, deadline: Deadline) -> str:
        return self.objects.md5(key, deadline)

    def list_pages(self, dividers: Sequence[str] = ()) -> Generator[list[Found], None, None]:
        stop = threading.Event()
        self._listing = Listing(self.client, self._settings, unless_stopped(stop), stop)
        if dividers and is_sorted_by_key(self._settings.destination_bucket):
            return in_ranges(self._listing, dividers, stop)
        return iter(self._listing)

    @property
    def listing_notes(self) -> tuple[str, ...]:
        return () if self._listing is None else tuple(self._listing.notes)

    # --- removing

    def delete(self, key: str, deadline: Deadline) -> bool:
        return self.objects.delete(key, deadline)

    def close(self) -> None:
        """Delete the probe object where is_up() has put it; never raises."""
        if not self._probe_was_put:
            return
        try:
            deleted = self._delete_with_retries(self._up_key, self._short_deadline())
        except MigrationError as error:
            log.debug("deleting the probe failed: %s", error)
            deleted = False
        if not deleted:
            log.info("the probe object stays at %s", self._up_key)

    def _delete_with_retries(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key, with further attempts until deadline; return and raise as delete()."""

        def sleep(seconds: float) -> None:
            time.sleep(min(seconds, deadline.remaining()))

        return with_retries(lambda: self.delete(key, deadline), _UNTIL_DEADLINE, sleep)

    def _short_deadline(self) -> Deadline:
        return Deadline(min(10.0, self._settings.upload_timeout))


def _no_bucket(
    settings: MigrationSettings, client: S3Client, error: TransientError, attempts: int
) -> FatalError:
    """Return the error for a bucket that could not be probed in so many attempts, the last of which was error."""
    endpoint = client.endpoint
    if error.cause in ("connection", "timeout"):
        hint = style_hint(settings, client)
        return FatalError(
            f"the bucket at {endpoint} cannot be reached: {error.message}. "
            + (hint or "Check the network, AWS_ENDPOINT_URL and AWS_REGION, then run it again.")
        )
    is_of_a_store = error.code != "" and error.status != NOT_IMPLEMENTED
    if error.cause == "throttled" or (is_of_a_store and (error.status or 0) >= 500):
        return FatalError(
            f"the bucket at {endpoint} responds with errors ({attempts} attempts): {error.message}. The store "
            "throttles or has a problem: run it again later (AWS Health Dashboard)."
        )
    return FatalError(
        f"the bucket at {endpoint} responded, but not like an S3 service ({attempts} attempts): {error.message}. "
        "Is AWS_ENDPOINT_URL an S3 store, with no proxy in between?"
    )
