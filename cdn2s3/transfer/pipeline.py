"""Move one URL: download, check, upload, prove, with the one layer of retries there is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple, TypeVar

from cdn2s3.cdn.body_reader import LargeBody, Reader
from cdn2s3.cdn.buffer_pool import Budget, NoRoom, Room
from cdn2s3.cdn.client import Source
from cdn2s3.destinations.base import Destination
from cdn2s3.errors import OUTAGE_CAUSES, Stopped, TryAgain, UrlFailed
from cdn2s3.http.deadline import Limit
from cdn2s3.http.response import Answer
from cdn2s3.keys import Address
from cdn2s3.records import Image, Stored
from cdn2s3.resilience.circuit_breaker import Side
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import backoff
from cdn2s3.transfer.outcome import Doubt, Result

log = logging.getLogger(__name__)

Returned = TypeVar("Returned")


_REFUSED = (
    "It may refuse this machine's address: open one URL in a browser, ask the CDN's owner, then run it again."
)


class Sides(NamedTuple):
    """Both sides of a run."""

    source: Side
    bucket: Side


class Patience(NamedTuple):
    """How long and how often a URL is tried."""

    max_retries: int  # further attempts after the first, for the download and for the upload each
    download_timeout: float  # seconds of a download attempt in all
    upload_timeout: float  # seconds of an upload attempt in all


class Transfer:
    """What every worker needs to move a URL; one for all of them, each thing in it owns its lock."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        sides: Sides,
        reader: Reader,
        budget: Budget,
        bandwidth: Bandwidth,
        patience: Patience,
        stop: threading.Event,
    ) -> None:
        self.source = source
        self.destination = destination
        self.sides = sides
        self.reader = reader
        self.budget = budget
        self.bandwidth = bandwidth
        self.patience = patience
        self.stop = stop

    def move(self, url: str, address: Address) -> Result:
        """Move url to its key; raise Stopped, or CannotGoOn when no URL would fare better."""
        return _Journey(self, url, address).result()

    def close(self) -> None:
        """Leave both sides as they are to be left, when no worker is at work any more."""
        self.source.close()
        if self.sides.bucket.health().down_for is None:  # else it is asked in vain
            self.destination.close()

    @property
    def outages(self) -> int:
        return self.sides.source.outages + self.sides.bucket.outages


class _PartsFailedError(Exception):
    """Carry a failure of the download through the upload that takes its parts."""

    def __init__(self, error: TryAgain) -> None:
        super().__init__(error)
        self.error = error


class _Journey:
    """One URL on its way, in one worker."""

    def __init__(self, transfer: Transfer, url: str, address: Address) -> None:
        self._run = transfer
        self._url = url
        self._address = address
        self._failures = 0  # attempts that failed, but for those that an outage made vain
        self._retried: list[str] = []  # causes of the attempts that were made again
        self._seconds = {"source": 0.0, "bucket": 0.0}  # of the latest attempt on each side
        self._begun_after = {"source": 0, "bucket": 0}  # number of each side's newest attempt before ours

    def result(self) -> Result:
        with Room(self._run.budget) as room:
            try:
                stored, media_type = self._moved(room)
            except UrlFailed as failure:
                doubt = None
                if failure.doubtful:
                    side = (
                        self._run.sides.bucket if failure.cause == "destination" else self._run.sides.source
                    )
                    repeated = isinstance(failure.__cause__, TryAgain)
                    doubt = Doubt(side.name, side.health(), self._begun_after[side.name] if repeated else -1)
                return Result(
                    self._url,
                    self._address.key,
                    cause=failure.cause,
                    message=failure.message,
                    attempts=self._failures + (not isinstance(failure.__cause__, TryAgain)),
                    retried=tuple(self._retried),
                    doubt=doubt,
                )
        return Result(
            self._url,
            self._address.key,
            stored,
            media_type,
            attempts=self._failures + 1,
            retried=tuple(self._retried),
            download_seconds=self._seconds["source"],
            upload_seconds=self._seconds["bucket"],
        )

    def _moved(self, room: Room) -> tuple[Stored, str]:
        """Return the object and its media type; raise UrlFailed."""
        run = self._run
        image = self._retrying(run.sides.source, room, lambda: self._download(room))
        if not isinstance(image, Image):
            return image
        upload = run.destination.upload(self._address.key, image)
        try:
            stored = self._retrying(
                run.sides.bucket, room, lambda: upload.attempt(Limit(run.patience.upload_timeout))
            )
        except BaseException:
            upload.give_up()
            raise
        return stored, image.media_type

    def _download(self, room: Room) -> Image | tuple[Stored, str]:
        """Return the image, or, where it is too large for memory, the object that it has become."""
        run = self._run
        answer: Answer | None = None
        if not run.bandwidth.admit(run.stop):
            raise Stopped
        try:
            limit = Limit(run.patience.download_timeout, run.stop)
            with run.source.get(self._address.target, limit) as answer:
                body = run.reader.read(answer, room, limit)
                if isinstance(body, Image):
                    run.source.gave(self._address.target)
                    return body
                body.start()
                return self._once(run.sides.bucket, lambda: self._store_parts(body)), body.media_type
        finally:
            run.bandwidth.was(0 if answer is None else answer.received)

    def _store_parts(self, body: LargeBody) -> Stored:
        timeout = self._run.patience.upload_timeout
        return self._run.destination.store_parts(
            self._address.key, body.media_type, _marked(body.parts()), timeout
        )

    def _retrying(self, side: Side, room: Room, attempt: Callable[[], Returned]) -> Returned:
        """Make attempts on side until one succeeds; raise UrlFailed after the last one that is allowed.

        An outage of either side makes the failures before its end vain.
        """
        failures, outages = 0, self._run.outages
        for either in self._run.sides:
            self._begun_after[either.name] = either.entered
        while True:
            try:
                return self._once(side, attempt)
            except NoRoom as error:
                room.wait_for(error.size)
            except TryAgain as error:
                if outages != self._run.outages:
                    self._failures -= failures
                    failures, outages = 0, self._run.outages
                failures += 1
                self._failures += 1
                if failures > self._run.patience.max_retries:
                    doubtful = error.cause in OUTAGE_CAUSES or error.cause == "destination"
                    raise UrlFailed(error.cause, error.message, doubtful) from error
                self._retried.append(error.cause)
                log.debug("%s: attempt %d failed (%s: %s)", self._url, failures, error.cause, error.message)
                if self._run.stop.wait(backoff(failures)):
                    raise Stopped from error

    def _once(self, side: Side, attempt: Callable[[], Returned]) -> Returned:
        """Make one attempt, and report to side how it answered."""
        ticket = side.enter()
        began = time.monotonic()
        try:
            returned = attempt()
        except _PartsFailedError as carried:
            side.neither(ticket)
            raise carried.error from carried
        except TryAgain as error:
            if error.cause in OUTAGE_CAUSES:
                side.failed(ticket, error.message, error.cause == "throttled", error.retry_after)
            else:
                side.neither(ticket)
            if side is self._run.sides.bucket:
                raise TryAgain("destination", error.message) from error
            raise
        except UrlFailed as error:
            if error.doubtful:
                side.failed(ticket, error.message, advice=_REFUSED if error.cause == "forbidden" else "")
            else:
                side.succeeded(ticket)
            raise
        except BaseException:
            side.neither(ticket)
            raise
        side.succeeded(ticket)
        self._seconds[side.name] = time.monotonic() - began
        return returned


def _marked(parts: Iterator[memoryview]) -> Iterator[memoryview]:
    """Yield parts; let what fails in them pass through the upload unmistaken for a failure of the bucket."""
    try:
        yield from parts
    except TryAgain as error:
        raise _PartsFailedError(error) from error
