"""The spot check: a few images downloaded again from the CDN and from S3, compared byte for byte."""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import md5
from itertools import islice
from typing import Callable, NamedTuple

from cdn2s3.cdn.body_reader import BodyReader, LargeBody
from cdn2s3.cdn.buffer_pool import POOL_BYTES, BufferLease, BufferPool
from cdn2s3.cdn.digest import Md5
from cdn2s3.cdn.sources import Sources, sources_of
from cdn2s3.destinations.base import Destination, ObjectBody, ReadRefused
from cdn2s3.destinations.factory import Destinations
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import Address, KeyMaker
from cdn2s3.records import Image
from cdn2s3.reports.contact_sheet import Pictures
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, unless_stopped, with_retries
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.ledger import Completed, timestamp
from cdn2s3.transfer.pipeline import TransferPolicy
from cdn2s3.transfer.wiring import body_reader
from cdn2s3.validation import source_change
from cdn2s3.validation.body_comparison import BLOCK, Bodies, Body, read_both
from cdn2s3.validation.expected import ADOPTED, RECORDED, SEEN, UNKNOWN

log = logging.getLogger(__name__)

IDENTICAL = "identical"
DIFFERENT = "different"
CHANGED = "changed at the source since"  # the object is the recorded one, and the CDN's file is younger
SOURCE_GONE = "source gone"  # the CDN no longer has the file (404, 410)
SOURCE_FAILED = "source failed"  # the CDN refuses it, or now sends something that isn't an image
OBJECT_GONE = "object gone"  # it was listed, and is not there
REFUSED = "refused"  # s3:GetObject is not granted
UNANSWERED = "unanswered"  # the CDN or the bucket did not respond, after all attempts
PLURAL = {SOURCE_GONE: "sources gone", SOURCE_FAILED: "sources failed", OBJECT_GONE: "objects gone"}

ALL = sys.maxsize  # URLs to check: each once

_ASK_AGAIN_AFTER = 1.1  # seconds; HTTP's times are whole seconds


class Check(NamedTuple):
    """The result of checking one URL."""

    url: str
    key: str
    adopted: bool  # True: nobody had compared it with the CDN before
    outcome: str  # IDENTICAL … UNANSWERED
    message: str = ""  # why, for people; "" if the outcome is clear
    media_type: str = ""  # detected from the CDN's bytes; "" if there are none
    source: Body | None = None  # None: it was not read to its end
    object: Body | None = None  # likewise
    etag: str = ""  # of the object, without quotes
    recorded: Body | None = None  # what completed.txt says; its MD5 may be UNKNOWN
    modified: str = ""  # the CDN's Last-Modified, as times in files are; "" if it has none
    pictures: Pictures | None = None  # both bodies, if they are small; None: they were not read

    @property
    def expected(self) -> Body | None:
        """What the object should be: what the CDN sends, or the record where the object is what the CDN sends."""
        return self.recorded if self.source == self.object else self.source


_CHECKABLE = (ADOPTED | SEEN, RECORDED | SEEN)  # states of a line whose object is the recorded one


def checkable(states: bytearray) -> int:
    """Return how many lines there are to draw from."""
    return sum(map(states.count, _CHECKABLE))


class Sampled(NamedTuple):
    """The images of which only some are drawn: adopted ones are drawn first, so it is these or the others."""

    adopted: bool
    images: int  # how many there are
    of: str  # what they are called


def sampled(states: bytearray, number: int) -> Sampled | None:
    """Return what number lines that are drawn are a sample of; None if they are all there are."""
    adopted, others = map(states.count, _CHECKABLE)
    if number < adopted:
        return Sampled(True, adopted, "the adopted ones" if others else "all")
    if number < adopted + others:
        return Sampled(False, others, "those that were not adopted" if adopted else "all")
    return None


def drawn(states: bytearray, number: int, draw: random.Random) -> Iterator[int]:
    """Yield the numbers of up to number lines whose object is the recorded one, at random, adopted ones first."""
    left = number
    for state in _CHECKABLE:
        of_this = states.count(state)
        all_of_them = left >= of_this  # four million numbers are not sorted, nor even made
        chosen = range(of_this) if all_of_them else sorted(draw.sample(range(of_this), left))
        left -= len(chosen)
        places = _places(states, state)
        before = -1
        for ordinal in chosen:
            yield next(islice(places, ordinal - before - 1, None))
            before = ordinal


def _places(states: bytearray, state: int) -> Iterator[int]:
    at = states.find(state)
    while at >= 0:
        yield at
        at = states.find(state, at + 1)


class SpotCheck:
    """Check one URL after the other; shared by all workers."""

    def __init__(
        self,
        sources: Sources,
        destination: Destination,
        reader: BodyReader,
        keys: KeyMaker,
        pool: BufferPool,
        policy: TransferPolicy,
        stop: threading.Event,
    ) -> None:
        self._sources = sources
        self._destination = destination
        self._reader = reader
        self._keys = keys
        self._pool = pool
        self._policy = policy
        self._stop = stop

    def check(self, record: Completed, line: str = "") -> Check:
        """Compare both bodies of record; raise Cancelled, or FatalError when every other check would fail too.

        line is the URL's line of urls.txt, whose newest form is asked for; "": the record's URL is.
        """
        blank = Check(
            line or record.url,
            record.key,
            record.md5 == record.media_type == UNKNOWN,
            UNANSWERED,
            recorded=Body(int(record.size), record.md5),
        )

        def note(failed: FailedAttempt) -> None:
            if failed.wait is not None:
                log.debug("%s: attempt %d failed: %s", record.url, failed.failures, failed.error.message)

        with BufferLease(self._pool) as lease:
            try:
                return with_retries(
                    lambda: lease.when_free(
                        lambda: self._compared(blank, record, self._keys.address(line or record.url), lease)
                    ),
                    self._policy.retry,
                    unless_stopped(self._stop),
                    note,
                )
            except PermanentError as error:
                outcome = SOURCE_GONE if error.cause == "not_found" else SOURCE_FAILED
                return blank._replace(outcome=outcome, message=error.message)
            except TransientError as error:
                return blank._replace(message=error.message)

    def _compared(self, blank: Check, record: Completed, address: Address, lease: BufferLease) -> Check:
        """Make one attempt; raise PermanentError if the source refuses, TransientError, BufferExhausted."""
        deadline = Deadline(self._policy.download_timeout, self._stop)
        with self._sources.get(address, deadline) as answer:
            body = self._reader.read(answer, lease, deadline)
            if isinstance(body, LargeBody):
                body.start()
            parts = body.parts() if isinstance(body, LargeBody) else _whole(body)
            object_limit = Deadline(self._policy.upload_timeout, self._stop)
            with self._read(blank, object_limit) as theirs:
                if isinstance(theirs, Check):
                    return theirs
                bodies = read_both(parts, theirs, object_limit, self._policy.upload_timeout)
                etag = theirs.etag
        modified = source_change.last_modified(answer.headers)
        outcome, message = self._outcome(bodies, record, answer.headers)
        if outcome == CHANGED and not self._still(modified, answer.headers, address):
            outcome, message = DIFFERENT, "the CDN's ETag or Last-Modified is another one in each response"
        if outcome == DIFFERENT and not message and self._md5_now(address) not in ("", bodies.source.md5):
            message = "the CDN sends other bytes each time it is asked"
        return blank._replace(
            outcome=outcome,
            message=message,
            modified="" if modified is None else timestamp(modified),
            media_type=body.media_type,
            source=bodies.source,
            object=bodies.object,
            etag=etag,
            pictures=bodies.pictures,
        )

    def _outcome(self, bodies: Bodies, record: Completed, headers: Mapping[str, str]) -> tuple[str, str]:
        """Return what record, object and CDN are to each other, and why, for people."""
        is_recorded = source_change.is_recorded(record, bodies.object.md5)
        if bodies.are_equal:
            return (
                (IDENTICAL, "")
                if is_recorded
                else (DIFFERENT, "CDN and object are the same, completed.txt has another MD5")
            )
        if is_recorded and source_change.same_inside(*bodies.pictures):
            return IDENTICAL, "the same content, compressed in another way"
        if is_recorded and source_change.shows(headers, record):
            return CHANGED, ""
        return DIFFERENT, ""

    def _md5_now(self, address: Address) -> str:
        """Return the MD5 of what the CDN sends when it is asked once more, "" if it sends nothing."""
        deadline = Deadline(self._policy.download_timeout, self._stop)
        digest, room = md5(usedforsecurity=False), memoryview(bytearray(BLOCK))
        try:
            with self._sources.get(address, deadline) as answer:
                body = self._reader.body_of(answer)
                while got := body.read_into(room):
                    digest.update(room[:got])
        except (PermanentError, TransientError):
            return ""
        return digest.hexdigest()

    def _still(self, modified: int | None, headers: Mapping[str, str], address: Address) -> bool:
        """Ask again; return whether what the CDN calls the file is its own, and not each response's."""
        if modified is not None and source_change.may_be_made_up(modified, headers, time.time()):
            unless_stopped(self._stop)(_ASK_AGAIN_AFTER)
        deadline = Deadline(self._policy.download_timeout, self._stop)
        with self._sources.get(address, deadline) as again:
            return source_change.is_repeated(headers, again.headers)

    @contextmanager
    def _read(self, blank: Check, deadline: Deadline) -> Iterator[ObjectBody | Check]:
        """Give the object of blank to read, or the outcome where it cannot be; raise TransientError or FatalError."""
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._destination.read(blank.key, deadline))
            except ReadRefused as refused:
                yield blank._replace(outcome=REFUSED, message=refused.remedy)
                return
            except PermanentError as error:
                yield blank._replace(message=error.message)
                return
            yield body or blank._replace(outcome=OBJECT_GONE, message="there is no object at the key")


Comparer = Callable[[str, Completed, str], Check]  # of a place, a record of it, and the record's line


def checker(
    settings: MigrationSettings,
    adapter: PooledAdapter,
    destinations: Destinations,
    keys: KeyMaker,
    stop: threading.Event,
) -> Comparer:
    """Return what checks a place, the record of an object there, and its line, as SpotCheck.check() does.

    It reads the CDN over adapter and the objects from destinations; any thread may call it.
    """
    sources, pool = sources_of(settings, adapter, stop), BufferPool(POOL_BYTES, stop)
    policy = TransferPolicy(
        RetryPolicy(settings.max_retries), settings.download_timeout, settings.upload_timeout
    )
    checkers = {
        place: SpotCheck(sources, destinations[place], body_reader(own, Md5), keys, pool, policy, stop)
        for place, own in settings.by_place.items()
    }
    return lambda place, record, line: checkers[place].check(record, line)


def _whole(image: Image) -> Iterator[memoryview]:
    yield image.body
