"""The storing of one image with a PUT, attempt by attempt: over nothing, or over what may be replaced, and proven."""

from __future__ import annotations

from cdn2s3.destinations.base import Content, ReadRefused, met
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.object_md5 import Md5Source
from cdn2s3.destinations.s3.objects import EXISTS, Objects
from cdn2s3.errors import MigrationError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.odd_keys import oddity
from cdn2s3.records import REPLACED, STORED, Image, Recorded, Stored


class ObjectUpload:
    """Store one image with a PUT, attempt by attempt."""

    def __init__(
        self,
        objects: Objects,
        capabilities: Capabilities,
        md5s: Md5Source,
        overwrites: bool,
        key: str,
        image: Image,
        recorded: Recorded | None = None,
    ) -> None:
        """overwrites: other content at key is replaced; recorded is what the last row of key says."""
        self._objects = objects
        found = self._capabilities = capabilities
        self._md5s = md5s
        self._is_honored = found.honors(Condition.NEW_BY_PUT)
        self._is_taken = found.takes(Condition.NEW_BY_PUT)
        self._overwrites = overwrites
        self._key = key
        self._image = image
        self._recorded = recorded
        self._how = STORED
        self._replaces = (
            False  # True: what is at the key is to be replaced, which the user wants or is our own
        )
        self._wrote_bad_object = False  # True: our own PUT left an object that is not the image
        if self._overwrites and not (self._is_honored or found.can_read):
            self._how, self._replaces = REPLACED, True  # nothing can show what is there

    def attempt(self, deadline: Deadline) -> Stored:
        objects, found, key = self._objects, self._capabilities, self._key
        if not (self._replaces or self._is_honored) and exists(objects, key, deadline, found):
            existing = self._met(deadline)
            if existing is not None:
                return existing
        protect = not self._replaces
        reply = objects.put(key, self._image, deadline, guarded=protect and self._is_taken)
        if protect and reply.status in EXISTS:
            existing = self._met(deadline)
            if existing is not None:
                return existing
            reply = objects.put(key, self._image, deadline, guarded=False)
        if reply.status != 200:
            raise of_its_key(key, objects.put_error(reply))
        self._prove(reply, deadline)
        return self._stored(reply)

    def _stored(self, reply: S3Response) -> Stored:
        """Return the object that the response to a proven PUT is of."""
        self._wrote_bad_object = False
        md5, md5_from = self._md5s.of(self._image, reply)
        size = len(self._image.body)
        return Stored(reply.etag, size, md5, already_there=False, how=self._how, md5_from=md5_from)

    def _met(self, deadline: Deadline) -> Stored | None:
        """Return the object at the key where it is the image, None where it is to be replaced; raise if it stays."""
        content = Content(len(self._image.body), self._image.digest())

        def verify() -> Stored:
            etag_is_md5 = self._capabilities.etag_is_md5
            return self._objects.verify_existing(self._key, content, etag_is_md5, deadline, self._recorded)

        existing = met(verify, self._overwrites, self._recorded)
        if isinstance(existing, Stored):
            return existing
        self._how, self._replaces = existing, True
        return None

    def _prove(self, reply: S3Response, deadline: Deadline) -> None:
        """Raise TransientError when the response to our PUT does not prove that the object is the image."""
        found, image = self._capabilities, self._image
        if not reply.etag:
            raise TransientError("server_error", "the response has no ETag: it may not come from the store")
        if found.etag_is_md5 and image.md5 and not reply.by_kms:
            if reply.etag != image.md5.hex():
                self._wrote_bad_object = self._replaces = True
                raise TransientError(
                    "server_error", f"the ETag {reply.etag} is not the MD5 {image.md5.hex()}"
                )
        elif not found.checksum_refused and self._stored_size(deadline) != len(image.body):
            self._wrote_bad_object = self._replaces = True
            raise TransientError("server_error", "the stored object has a different size")

    def _stored_size(self, deadline: Deadline) -> int | None:
        """Return the size in bytes of the object at the key; None when there is none."""
        try:
            info = self._objects.head(self._key, deadline)
        except ReadRefused as refused:
            raise refused.as_failure() from None
        return None if info is None else info.size

    def give_up(self) -> None:
        if self._wrote_bad_object:
            self._objects.remove_bad(self._key, Deadline(10))


def exists(objects: Objects, key: str, deadline: Deadline, found: Capabilities) -> bool:
    """Return and raise as Objects.exists(); an odd key whose HEAD is answered with 400 is refused."""
    try:
        return objects.exists(key, deadline, found.can_read)
    except TransientError as error:
        if error.status == 400 and oddity(key):
            message = f"{error.message}; the key has {oddity(key)}"
            raise PermanentError("key_refused", message, status=400) from error
        raise


def of_its_key(key: str, error: MigrationError) -> MigrationError:
    """Return what a refused PUT means: where the key is odd, some stores refuse it alone."""
    odd = oddity(key) if isinstance(error, PermanentError) else ""
    return PermanentError("key_refused", f"{error}; the key has {odd}") if odd else error
