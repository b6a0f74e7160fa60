"""The making of one original's variants: read it, draw, store, record."""

from __future__ import annotations

import logging
import threading
import time
from hashlib import md5
from typing import NamedTuple
from zlib import crc32

from cdn2s3.destinations.base import WHOLE, Conflict, ReadRefused, same_etag
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.object_upload import ObjectUpload
from cdn2s3.errors import Cancelled, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import OURS, S3, Image, Recorded, Stored
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import Completed, timestamp
from cdn2s3.state.lines import encode
from cdn2s3.text import MB
from cdn2s3.variants import bucket
from cdn2s3.variants.drawing_pool import DrawingPool
from cdn2s3.variants.drawn import TOO_LARGE, Drawn, Picture, Undrawable
from cdn2s3.variants.originals import Due
from cdn2s3.variants.record import SMALLER, Variant

log = logging.getLogger(__name__)

MEDIA_TYPE = "image/webp"
MOST_BYTES = 200 * MB  # of an original, which is in memory as a whole, once here and once where it is drawn
_BLOCK = 1 << 18  # bytes read at a time
_LONGEST_KEY = 1024  # bytes (S3 User Guide, "Object key naming")


class Made(NamedTuple):
    """The outcome of one original."""

    original: Completed
    variants: list[Variant]  # recorded now
    cause: str = ""  # why it failed; "" if it did not
    message: str = ""
    is_stopped: bool = False  # the run stopped before all were made


def variant_key(prefix: str, size: str, key: str) -> str:
    """Return the key of a variant: the whole key of the original is in it, since a.jpg and a.png are two."""
    return f"{prefix}{size}/{key}.webp"


class Maker:
    """What all workers need to make variants; each thing in it owns its lock."""

    def __init__(
        self,
        settings: MigrationSettings,
        destination: S3Destination,
        attempts: Attempts,
        pool: DrawingPool,
        journal: AppendFile,
        stop: threading.Event,
    ) -> None:
        """settings are the user's own; destination is prepared."""
        self._settings = settings
        self._destination = destination
        self._can_renew = (
            False  # True: the destination has been asked what protects an object that is replaced
        )
        self._probing = threading.Lock()
        self._attempts = attempts
        self._pool = pool
        self._journal = journal
        self._stop = stop

    def make(self, due: Due) -> Made:
        """Make the variants that are due and return the outcome; raise FatalError.

        Each variant is recorded as soon as it is stored.
        """
        made: list[Variant] = []
        try:
            self._make(due, made)
        except Cancelled:
            return Made(due.original, made, is_stopped=True)
        except TransientError as error:
            cause = error.cause if error.cause == "throttled" else "destination"
            return Made(due.original, made, cause, error.message)
        except (PermanentError, Undrawable) as error:
            return Made(due.original, made, error.cause, error.message)
        return Made(due.original, made)

    def _make(self, due: Due, made: list[Variant]) -> None:
        original = due.original
        for size in due.sizes:
            key = variant_key(self._settings.variants_prefix, size.name, original.key)
            if len(key.encode("utf-8", "surrogateescape")) > _LONGEST_KEY:
                raise PermanentError(
                    "key_refused", f"the variant's key would be longer than {_LONGEST_KEY} bytes"
                )
        body = self._attempts.result_of(lambda: self._read(original))
        digest = md5(body, usedforsecurity=False).hexdigest()
        if original.md5 not in ("-", digest):
            raise PermanentError(
                "conflict",
                f"the object is not the one that was recorded (MD5 {digest}): validate.py says more",
            )
        drawn = self._pool.draw(body, due.sizes)
        pictures = {picture.size: picture for picture in drawn.pictures}
        for size in due.sizes:
            row = self._stored(due, size, digest, drawn, pictures.get(size.name))
            self._journal.append(encode(row))
            made.append(row)

    def _read(self, original: Completed) -> bytes:
        """Return the bytes of the original in the bucket."""
        if int(original.size) > MOST_BYTES:
            raise Undrawable(TOO_LARGE, f"its {int(original.size):,} bytes are more than {MOST_BYTES:,}")
        body, block = bytearray(), memoryview(bytearray(_BLOCK))
        deadline = Deadline(self._settings.upload_timeout, self._stop)
        try:
            with self._destination.read(original.key, deadline) as found:
                if found is None:
                    raise PermanentError(
                        "not_found", "the original is not in the bucket: validate.py says more"
                    )
                while got := found.read_into(block):
                    body += block[:got]
                    if len(body) > MOST_BYTES:
                        raise Undrawable(TOO_LARGE, f"it has more than {MOST_BYTES:,} bytes")
        except ReadRefused as refused:
            raise refused.as_failure() from None
        return bytes(body)

    def _stored(
        self, due: Due, size: VariantSize, digest: str, drawn: Drawn, picture: Picture | None
    ) -> Variant:
        """Store picture as the variant in size, where there is one, and return the line for variants.txt."""
        original, before = due.original, due.before.get(size.name)
        if picture is None:
            dimensions = f"{drawn.width}x{drawn.height}"
            nothing = ("-", "0", "-", dimensions, digest, timestamp(time.time()), SMALLER)
            return Variant(original.url, original.key, size.name, *nothing)
        if self._stop.is_set():
            raise Cancelled
        key = variant_key(self._settings.variants_prefix, size.name, original.key)
        stored = self._put(key, self._image(picture.body), before)
        dimensions = f"{picture.width}x{picture.height}"
        return Variant(
            original.url,
            original.key,
            size.name,
            key,
            str(stored.size),
            stored.etag or "-",
            dimensions,
            digest,
            timestamp(time.time()),
            stored.how,
        )

    def _image(self, body: bytes) -> Image:
        if self._destination.integrity == "md5":
            return Image(memoryview(body), MEDIA_TYPE, md5(body, usedforsecurity=False).digest(), 0)
        return Image(memoryview(body), MEDIA_TYPE, b"", crc32(body))

    def _put(self, key: str, image: Image, before: Variant | None) -> Stored:
        """Store image over nothing, or over a variant of ours; over another object only as ON_EXISTING says."""
        recorded = None
        if before is not None and before.variant_key == key:
            recorded = Recorded(before.how, before.etag, S3, int(before.bytes))
        try:
            return self._carried_out(self._destination.upload(key, image, recorded))
        except Conflict as conflict:
            if recorded is None or recorded.how not in OURS or not same_etag(recorded.etag, conflict.etag):
                raise
        self._prepare_renewing()
        return self._carried_out(self._destination.renew(key, image, recorded))

    def _carried_out(self, upload: ObjectUpload) -> Stored:
        timeout = self._settings.upload_timeout
        try:
            return self._attempts.result_of(lambda: upload.attempt(Deadline(timeout)))
        except BaseException:
            upload.give_up()
            raise

    def _prepare_renewing(self) -> None:
        """Find out, once, what protects an object that is replaced."""
        with self._probing:
            if self._can_renew:
                return
            self._destination.prepare_renewing()
            bucket.say(note for note in self._destination.notes() if note.way == WHOLE)
            self._can_renew = True
