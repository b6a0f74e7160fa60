"""The capability probe: find out, before anything is moved, what this store checks and what we may do.

What is written has exactly the headers of the run. A condition is asked both ways: the wrong one must be refused
with 412 and change nothing, the right one must do its work.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Callable

from cdn2s3.destinations.base import PROBE_BODY, same_etag
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition, Support
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Response
from cdn2s3.destinations.s3.first_put import absent_bucket, first_put
from cdn2s3.destinations.s3.listing_page import parsed
from cdn2s3.destinations.s3.objects import EXISTS, Objects
from cdn2s3.destinations.s3.probe_requests import CRC32, MD5, MEDIA_TYPE, PUT, ProbeRequests, probe_image
from cdn2s3.errors import FatalError, MigrationError, TransientError
from cdn2s3.records import Image
from cdn2s3.resilience.retry import FailedAttempt, ignore
from cdn2s3.settings.cache_control import CachePolicy
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_TIMES = 4  # that an unlikely answer is asked for again: another run may delete the object meanwhile
_CANNOT = frozenset({400, 405, NOT_IMPLEMENTED})  # the store does not know the condition
_OTHER_BODY = PROBE_BODY + b"This is its second body.\n"


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
    return Prober(settings, objects, ProbeRequests(settings, objects, sleep, on_failure)).found()


class Prober:
    """Ask one question after the other; for one thread."""

    def __init__(self, settings: MigrationSettings, objects: Objects, requests: ProbeRequests) -> None:
        self._settings = settings
        self._objects = objects
        self._requests = requests
        self._media_type = _type_with_a_header(objects.caching)
        self._takes_parts = True
        self._sends_crc = settings.integrity == "crc32"  # auto begins with the MD5, which every store takes

    def found(self) -> Capabilities:
        """Return what was found out; raise as probe_capabilities()."""
        try:
            with self._requests.cleaned_up():
                return self._found()
        except (FatalError, TransientError) as error:
            if (
                isinstance(error, FatalError) or error.status == 200
            ):  # it answers: what was put can be deleted
                with suppress(MigrationError):
                    self._requests.delete_all()
            raise

    def _found(self) -> Capabilities:
        settings, requests = self._settings, self._requests
        if self._bucket_is_absent():
            raise absent_bucket(settings)
        sent = self._sent()
        first = first_put(
            settings,
            self._objects,
            requests.key(PUT),
            lambda objects: requests.put(PUT, sent, objects=objects),
        )
        can_read, not_kept = self._read_back(sent)
        repeats = self._listing_repeats(first.etag)
        md5_refused = self._is_refused(MD5, sent._replace(md5=bytes(16)))
        refused, crc32_refused, answers_md5 = md5_refused, False, False
        if settings.integrity != "md5":
            with_crc = sent._replace(md5=b"")
            crc32_refused = self._is_refused(CRC32, with_crc._replace(crc32=sent.crc32 ^ 1))
            if settings.integrity == "auto" and crc32_refused:
                answers_md5 = self._answers_md5(with_crc)
            self._sends_crc = settings.integrity == "crc32" or answers_md5
            refused = crc32_refused if self._sends_crc else md5_refused
        conditions = {condition: ask(self, condition, can_read) for condition, ask in QUESTIONS.items()}
        left = requests.delete_all()
        return Capabilities(
            etag_is_md5=first.etag == probe_image().md5.hex() and not first.by_kms,
            checksum_refused=refused,
            can_read=can_read,
            conditions=conditions,
            md5_refused=md5_refused,
            encrypted_by_kms=first.by_kms,
            can_delete=not left,
            signs_payload=self._objects.client.signs_payload,
            takes_parts=self._takes_parts,
            listing_repeats_etag=repeats,
            not_kept=not_kept,
            left=left,
            crc32_refused=crc32_refused,
            answers_md5=answers_md5,
        )

    def _sent(self, body: bytes = PROBE_BODY) -> Image:
        """Return body as an image of the run: with the checksum that INTEGRITY selects, as far as it is known yet."""
        image = probe_image(body)._replace(media_type=self._media_type)
        return image._replace(md5=b"") if self._sends_crc else image

    def _bucket_is_absent(self) -> bool:
        """Return whether HEAD says so; where it only fails, the PUT shows more."""
        try:
            return self._requests.head("").status == 404
        except TransientError as error:
            if error.status is None:  # nobody answers
                raise
            return False

    def _is_refused(self, name: str, wrong: Image) -> bool:
        """Return whether a body that does not fit its digest is refused."""
        return 400 <= self._requests.put(name, wrong).status < 500

    def _answers_md5(self, sent: Image) -> bool:
        """Return whether a PUT of sent, which has no MD5, is answered with the MD5 of its body.

        Some stores answer it only where they were sent one.
        """
        reply = self._requests.put(CRC32, sent)
        return reply.status == 200 and reply.md5 == sent.digest().hex()

    def _read_back(self, sent: Image) -> tuple[bool, tuple[str, ...]]:
        """Return whether the probe may be read, and what was sent with it that it lacks.

        If it is gone (another run may delete it), put it again.
        """
        for _ in range(_TIMES):
            reply = self._requests.head(PUT)
            if reply.status == 200:
                return True, tuple(name for name, kept in self._kept(reply.headers).items() if not kept)
            if reply.status != 404:
                return False, ()
            self._requests.put(PUT, sent)
        return False, ()

    def _kept(self, headers: Mapping[str, str]) -> dict[str, bool]:
        """Return whether each thing that was sent with the probe is in headers, the response to its HEAD.

        S3 shows no storage class for STANDARD (API Reference, HeadObject).
        """
        settings = self._settings
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        kept = {"Content-Type": media_type == self._media_type}
        if caching := self._objects.caching.of(self._media_type):
            kept["CACHE_CONTROL"] = headers.get("cache-control", "") == caching
        if settings.storage_class not in ("", "STANDARD"):
            kept["STORAGE_CLASS"] = headers.get("x-amz-storage-class", "") == settings.storage_class
        if settings.server_side_encryption:
            shown = headers.get("x-amz-server-side-encryption", "")
            kept["SERVER_SIDE_ENCRYPTION"] = shown == settings.server_side_encryption
        return kept

    def _listing_repeats(self, etag: str) -> bool | None:
        """Return whether a listing shows etag, that of the PUT, for the probe; None where that cannot be seen."""
        key = self._requests.key(PUT)
        try:
            reply = self._requests.list(key)
            page = parsed(reply.body, self._settings.destination_bucket, key) if reply.status == 200 else None
        except (TransientError, FatalError):  # of a listing: a run needs none
            return None
        listed = next((found.etag for found in page.objects if found.key == key), None) if page else None
        return None if listed is None else same_etag(listed, etag)

    def _new_by_put(self, condition: Condition, can_read: bool) -> Support:
        def write(image: Image) -> S3Response:
            return self._requests.put(condition.value, image, guarded=True)

        return self._asked_for_new(condition, write, can_read)

    def _new_by_parts(self, condition: Condition, can_read: bool) -> Support:
        self._requests.clear_parts(condition.value)

        def write(image: Image) -> S3Response:
            return self._requests.put_parts(condition.value, image, guarded=True)

        try:
            support = self._asked_for_new(condition, write, can_read)
            if support in (Support.REFUSED, Support.UNKNOWN):
                unguarded = self._requests.put_parts(condition.value, probe_image(), guarded=False)
                self._takes_parts = unguarded.status == 200
        except TransientError as error:  # a PUT works: most images need no parts
            log.warning("uploads in parts could not be probed: %s", error.message)
            return Support.UNKNOWN
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
        first = write(self._sent()).status
        for _ in range(_TIMES):
            if first not in EXISTS:
                break
            if not self._requests.is_deleted(name):
                return Support.HONORED
            first = write(self._sent()).status
        if first in EXISTS or first in _CANNOT:
            return Support.REFUSED
        if first != 200:
            return Support.UNKNOWN
        bodies = itertools.cycle((_OTHER_BODY, PROBE_BODY))
        for wrong in itertools.islice(bodies, _TIMES):  # another run may have deleted what is there
            if write(self._sent(wrong)).status in EXISTS:
                replaced = can_read and self._size(name) == len(wrong)
                return Support.IGNORED if replaced else Support.HONORED
        return Support.IGNORED

    def _size(self, name: str) -> int | None:
        """Return the size of the probe object of name, None where HEAD does not show it."""
        reply = self._requests.head(name)
        size = reply.headers.get("content-length", "") if reply.status == 200 else ""
        return int(size) if size.isascii() and size.isdigit() else None


def _type_with_a_header(caching: CachePolicy) -> str:
    """Return the content type of the probe: one that CACHE_CONTROL has a value for, if there is one."""
    types = (MEDIA_TYPE, *(rule.type for rule in caching.rules))
    return next((name for name in types if caching.of(name)), MEDIA_TYPE)


# How each condition is asked.
QUESTIONS: Mapping[Condition, Callable[[Prober, Condition, bool], Support]] = {
    Condition.NEW_BY_PUT: Prober._new_by_put,
    Condition.NEW_BY_PARTS: Prober._new_by_parts,
}
