"""The making of one original's variants: read it, draw, store, record."""

from __future__ import annotations

import logging
import threading
import time
from hashlib import md5
from typing import NamedTuple
from zlib import crc32

from cdn2s3.destinations.base import Conflict, ReadRefused, same_etag
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.own_objects import OwnObjects, not_atomic
from cdn2s3.errors import Cancelled, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import OURS, RENEWED, REPLACED, Image, Recorded, Stored
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import Completed, timestamp
from cdn2s3.state.lines import encode
from cdn2s3.text import MB
from cdn2s3.variants.attempts import Attempts
from cdn2s3.variants.bucket import there
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
        """settings are the user's own; destination is prepared, and replaces nothing unasked."""
        self._settings = settings
        self._destination = destination
        self._own = OwnObjects(there(settings), destination)
        self._own_is_probed = False
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
        body = self._attempts.until_done(lambda: self._read(original))
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
        stored, how = self._put(key, self._image(picture.body), before)
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
            how,
        )

    def _image(self, body: bytes) -> Image:
        if self._destination.integrity == "md5":
            return Image(memoryview(body), MEDIA_TYPE, md5(body, usedforsecurity=False).digest(), 0)
        return Image(memoryview(body), MEDIA_TYPE, b"", crc32(body))

    def _put(self, key: str, image: Image, before: Variant | None) -> tuple[Stored, str]:
        """Store image and return how: over nothing, or over what is ours; over what is not only where that is set."""
        is_of_key = before is not None and before.variant_key == key
        recorded = Recorded(before.how, before.etag) if before is not None and is_of_key else None
        upload = self._destination.upload(key, image, recorded)
        try:
            stored = self._attempts.until_done(
                lambda: upload.attempt(Deadline(self._settings.upload_timeout))
            )
        except Conflict as conflict:
            return self._put_over(key, image, recorded, conflict)
        except BaseException:
            upload.give_up()
            raise
        return stored, stored.how

    def _put_over(
        self, key: str, image: Image, recorded: Recorded | None, conflict: Conflict
    ) -> tuple[Stored, str]:
        """Replace the object at key, if it is ours or ON_EXISTING says so; raise conflict otherwise."""
        is_known = recorded is not None and same_etag(recorded.etag, conflict.etag)
        is_ours = recorded is not None and is_known and recorded.how in OURS
        if not conflict.etag or not (is_ours or self._settings.on_existing == "overwrite"):
            raise conflict
        self._probe_own()
        upload = self._own.replacement(key, image, conflict.etag)
        try:
            stored = self._attempts.until_done(
                lambda: upload.attempt(Deadline(self._settings.upload_timeout))
            )
        except BaseException:
            upload.give_up()
            raise
        return stored, RENEWED if is_ours else REPLACED

    def _probe_own(self) -> None:
        """Find out, once, what protects an object that is replaced."""
        with self._probing:
            if self._own_is_probed:
                return
            support = self._attempts.until_done(self._own.probe_replacing)
            warning = not_atomic(support, "PUT")
            if warning:
                log.warning("%s.", warning)
            self._own_is_probed = True
