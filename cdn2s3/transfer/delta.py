"""What a worker does with a URL that is completed: look whether it has changed, or renew its object.

A look stores nothing. A renewal stores only the bytes that the first pass of a delta has judged, and only over the
object that is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import md5

from cdn2s3.cdn.body_reader import BodyReader, LargeBody
from cdn2s3.cdn.buffer_pool import BufferLease
from cdn2s3.cdn.validators import Validators, age_of
from cdn2s3.destinations.base import Content, NotRenewed, ReadRefused, Upload, hash_all, same_etag
from cdn2s3.errors import DESTINATION, Cancelled, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.records import COMPUTED, LOOK, RENEW, UNKNOWN, Image, Recorded, Stored, Task
from cdn2s3.transfer.attempts import marked
from cdn2s3.transfer.outcome import FailureEvidence, Look, Result, SourceVersion, source_version
from cdn2s3.transfer.pipeline import Transfer, TransferAttempts

_MD5_LIKE = re.compile("[0-9a-f]{32}")
_NOT_MODIFIED = 304


def carry_out(transfer: Transfer, task: Task, address: Address) -> Result:
    """Do what task says; raise Cancelled, Parked, or FatalError when every URL would fail."""
    if task.purpose == LOOK:
        return LookAttempts(transfer, task, address).result()
    if task.purpose == RENEW:
        return RenewalAttempts(transfer, task, address).result()
    return transfer.move(task.url, address, task.place, task.recorded)


class LookAttempts(TransferAttempts):
    """The attempts to look at one URL, in one worker: one conditional GET, and its body where there is one."""

    def __init__(self, transfer: Transfer, task: Task, address: Address) -> None:
        assert task.recorded is not None
        super().__init__(transfer, task.url, address, transfer.sites[task.place], task.recorded)
        self._row: Recorded = task.recorded
        self._known = Validators(task.source_etag, task.source_modified)

    def _outcome(self, lease: BufferLease) -> Result:
        look = self._retrying(
            self._source,
            lambda: lease.when_free(
                lambda: self._attempt_once(self._source, lambda: self._looked(lease)),
            ),
        )
        if look.is_changed and self._row.md5 == UNKNOWN and not self._differs_from_object(look):
            look = look._replace(is_changed=False)
        return Result(
            self._url,
            self._address.key,
            attempts=sum(self._failures.values()) + 1,
            retried=tuple(self._retried),
            look=look,
        )

    def _looked(self, lease: BufferLease) -> Look:
        """Make one attempt; raise PermanentError, TransientError, BufferExhausted or Cancelled."""
        run = self._run
        answer: Response | None = None
        if not run.bandwidth.admit(run.stop):
            raise Cancelled
        try:
            deadline = Deadline(run.policy.download_timeout, run.stop)
            with run.sources.get(self._address, deadline, self._known) as answer:
                version, age = source_version(answer.headers), age_of(answer.headers)
                if answer.status == _NOT_MODIFIED:
                    run.sources.note_success(self._address)
                    return Look(False, _NOT_MODIFIED, 0, "", version, age)
                content = _content(self._site.reader, answer, lease, deadline)
            run.sources.note_success(self._address)
            return self._judged(content, version, age)
        finally:
            run.bandwidth.received(0 if answer is None else answer.received)

    def _judged(self, content: Content, version: SourceVersion, age: int) -> Look:
        digest = content.md5.hex()
        recorded = self._row.etag if self._row.md5 == UNKNOWN else self._row.md5
        is_same = digest == recorded and content.size == self._row.size
        return Look(not is_same, 200, content.size, digest, version, age)

    def _differs_from_object(self, look: Look) -> bool:
        """Return whether the object of a row without an MD5 has other bytes than the CDN, or is not the recorded one.

        What becomes of the latter is decided where it is renewed.
        """
        run, key, destination = self._run, self._address.key, self._site.destination

        def ask() -> bool:
            deadline = Deadline(run.policy.upload_timeout, run.stop)
            try:
                found = destination.head(key, deadline)
            except ReadRefused as refused:
                raise refused.as_failure() from None
            if found is None or found.size != look.size or not same_etag(found.etag, self._row.etag):
                return True
            return destination.md5(key, deadline) != look.md5

        try:
            return self._retrying(self._bucket, lambda: self._attempt_at_bucket(ask))
        except PermanentError:
            if not _MD5_LIKE.fullmatch(self._row.etag):
                raise
            return True  # the ETag is all there is to compare with


class RenewalAttempts(TransferAttempts):
    """The attempts to put the CDN's bytes over the recorded object of one URL, in one worker."""

    def __init__(self, transfer: Transfer, task: Task, address: Address) -> None:
        assert task.recorded is not None
        super().__init__(transfer, task.url, address, transfer.sites[task.place], task.recorded)
        self._row: Recorded = task.recorded
        self._wanted_md5 = task.wanted_md5
        self._was_sent = task.was_sent

    def _outcome(self, lease: BufferLease) -> Result:
        """Return the outcome; an object that has the bytes already is this run's renewal where it has sent them."""
        outcome = super()._outcome(lease)
        if outcome.stored is None or not (self._was_sent or DESTINATION in self._retried):
            return outcome
        return outcome._replace(stored=outcome.stored._replace(already_there=False))

    def _moved(self, lease: BufferLease) -> tuple[Stored, str]:
        stored, media_type = super()._moved(lease)
        return stored._replace(md5=self._wanted_md5, md5_from=COMPUTED), media_type  # computed, and compared

    def _failure(
        self, error: TransientError | PermanentError, attempts: int, evidence: FailureEvidence | None
    ) -> Result:
        failed = super()._failure(error, attempts, evidence)
        return failed._replace(what=error.what) if isinstance(error, NotRenewed) else failed

    def _upload_of(self, image: Image) -> Upload:
        return self._site.destination.renew(self._address.key, image, self._row)

    def _check(self, image: Image) -> None:
        if image.digest().hex() != self._wanted_md5:
            raise _other_bytes()

    def _stored_in_parts(self, body: LargeBody) -> Stored:
        return self._site.destination.renew_parts(
            self._address.key,
            body.media_type,
            marked(self._wanted(body.parts())),
            self._run.policy.upload_timeout,
            self._row,
            body.encoding,
        )

    def _wanted(self, parts: Iterator[memoryview]) -> Iterator[memoryview]:
        """Yield parts; raise TransientError after the last one if they are not what has been judged."""
        digest = md5(usedforsecurity=False)
        for part in parts:
            digest.update(part)
            yield part
        if digest.hexdigest() != self._wanted_md5:
            raise _other_bytes()


def _other_bytes() -> TransientError:
    return TransientError("unstable", "the CDN sends other bytes than a moment ago")


def _content(reader: BodyReader, answer: Response, lease: BufferLease, deadline: Deadline) -> Content:
    """Return what the checked body of answer is; raise as BodyReader.read."""
    body = reader.read(answer, lease, deadline)
    if isinstance(body, Image):
        return Content(len(body.body), body.digest())
    body.start()
    return hash_all(body.parts())
