"""Move one URL: download, check, upload, prove, with the one layer of retries there is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple, TypeVar

from cdn2s3.cdn.body_reader import BodyReader, LargeBody
from cdn2s3.cdn.buffer_pool import BufferExhausted, BufferLease, BufferPool
from cdn2s3.cdn.client import CdnClient
from cdn2s3.destinations.base import Destination
from cdn2s3.errors import OUTAGE_CAUSES, Cancelled, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.records import Image, Stored
from cdn2s3.resilience.circuit_breaker import Endpoint
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import backoff
from cdn2s3.transfer.outcome import FailureEvidence, Result

log = logging.getLogger(__name__)

Returned = TypeVar("Returned")


_REFUSED = (
    "It may refuse this machine's address: open one URL in a browser, ask the CDN's owner, then run it again."
)


class Endpoints(NamedTuple):
    """Both sides of a run."""

    source: Endpoint
    bucket: Endpoint


class RetryPolicy(NamedTuple):
    """How long and how often a URL is tried."""

    max_retries: int  # further attempts after the first, for the download and for the upload each
    download_timeout: float  # seconds of a download attempt in all
    upload_timeout: float  # seconds of an upload attempt in all


class Transfer:
    """What every worker needs to move a URL; one for all of them, each thing in it owns its lock."""

    def __init__(
        self,
        source: CdnClient,
        destination: Destination,
        endpoints: Endpoints,
        reader: BodyReader,
        buffer_pool: BufferPool,
        bandwidth: Bandwidth,
        policy: RetryPolicy,
        stop: threading.Event,
    ) -> None:
        self.source = source
        self.destination = destination
        self.endpoints = endpoints
        self.reader = reader
        self.buffer_pool = buffer_pool
        self.bandwidth = bandwidth
        self.policy = policy
        self.stop = stop

    def move(self, url: str, address: Address) -> Result:
        """Move url to its key; raise Cancelled, or FatalError when no URL would fare better."""
        return TransferAttempts(self, url, address).result()

    def close(self) -> None:
        """Leave both sides as they are to be left, when no worker is at work any more."""
        self.source.close()
        if self.endpoints.bucket.health().down_for is None:  # else it is asked in vain
            self.destination.close()

    @property
    def outages(self) -> int:
        return self.endpoints.source.outages + self.endpoints.bucket.outages


class _PartsFailedError(Exception):
    """Carry a failure of the download through the upload that takes its parts."""

    def __init__(self, error: TransientError) -> None:
        super().__init__(error)
        self.error = error


class TransferAttempts:
    """One URL on its way, in one worker."""

    def __init__(self, transfer: Transfer, url: str, address: Address) -> None:
        self._run = transfer
        self._url = url
        self._address = address
        self._failures = 0  # attempts that failed, but for those that an outage made vain
        self._retried: list[str] = []  # causes of the attempts that were made again
        self._seconds = {"source": 0.0, "bucket": 0.0}  # of the latest attempt on each side
        self._started_after = {"source": 0, "bucket": 0}  # number of each side's newest attempt before ours

    def result(self) -> Result:
        with BufferLease(self._run.buffer_pool) as lease:
            try:
                stored, media_type = self._moved(lease)
            except PermanentError as failure:
                evidence = None
                if failure.doubtful:
                    endpoint = (
                        self._run.endpoints.bucket
                        if failure.cause == "destination"
                        else self._run.endpoints.source
                    )
                    repeated = isinstance(failure.__cause__, TransientError)
                    evidence = FailureEvidence(
                        endpoint.name,
                        endpoint.health(),
                        self._started_after[endpoint.name] if repeated else -1,
                    )
                return Result(
                    self._url,
                    self._address.key,
                    cause=failure.cause,
                    message=failure.message,
                    attempts=self._failures + (not isinstance(failure.__cause__, TransientError)),
                    retried=tuple(self._retried),
                    evidence=evidence,
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

    def _moved(self, lease: BufferLease) -> tuple[Stored, str]:
        """Return the object and its media type; raise PermanentError."""
        run = self._run
        image = self._retrying(run.endpoints.source, lease, lambda: self._download(lease))
        if not isinstance(image, Image):
            return image
        upload = run.destination.upload(self._address.key, image)
        try:
            stored = self._retrying(
                run.endpoints.bucket, lease, lambda: upload.attempt(Deadline(run.policy.upload_timeout))
            )
        except BaseException:
            upload.give_up()
            raise
        return stored, image.media_type

    def _download(self, lease: BufferLease) -> Image | tuple[Stored, str]:
        """Return the image, or, where it is too large for memory, the object that it has become."""
        run = self._run
        answer: Response | None = None
        if not run.bandwidth.admit(run.stop):
            raise Cancelled
        try:
            deadline = Deadline(run.policy.download_timeout, run.stop)
            with run.source.get(self._address.target, deadline) as answer:
                body = run.reader.read(answer, lease, deadline)
                if isinstance(body, Image):
                    run.source.gave(self._address.target)
                    return body
                body.start()
                return self._attempt_once(
                    run.endpoints.bucket, lambda: self._store_parts(body)
                ), body.media_type
        finally:
            run.bandwidth.was(0 if answer is None else answer.received)

    def _store_parts(self, body: LargeBody) -> Stored:
        timeout = self._run.policy.upload_timeout
        return self._run.destination.store_parts(
            self._address.key, body.media_type, _marked(body.parts()), timeout
        )

    def _retrying(self, endpoint: Endpoint, lease: BufferLease, attempt: Callable[[], Returned]) -> Returned:
        """Make attempts on side until one succeeds; raise PermanentError after the last one that is allowed.

        An outage of either side makes the failures before its end vain.
        """
        failures, outages = 0, self._run.outages
        for either in self._run.endpoints:
            self._started_after[either.name] = either.newest_attempt
        while True:
            try:
                return self._attempt_once(endpoint, attempt)
            except BufferExhausted as error:
                lease.wait_for(error.size)
            except TransientError as error:
                if outages != self._run.outages:
                    self._failures -= failures
                    failures, outages = 0, self._run.outages
                failures += 1
                self._failures += 1
                if failures > self._run.policy.max_retries:
                    doubtful = error.cause in OUTAGE_CAUSES or error.cause == "destination"
                    raise PermanentError(error.cause, error.message, doubtful) from error
                self._retried.append(error.cause)
                log.debug("%s: attempt %d failed (%s: %s)", self._url, failures, error.cause, error.message)
                if self._run.stop.wait(backoff(failures)):
                    raise Cancelled from error

    def _attempt_once(self, endpoint: Endpoint, attempt: Callable[[], Returned]) -> Returned:
        """Make one attempt, and report to side how it answered."""
        ticket = endpoint.acquire()
        began = time.monotonic()
        try:
            returned = attempt()
        except _PartsFailedError as carried:
            endpoint.release(ticket)
            raise carried.error from carried
        except TransientError as error:
            if error.cause in OUTAGE_CAUSES:
                endpoint.failed(ticket, error.message, error.cause == "throttled", error.retry_after)
            else:
                endpoint.release(ticket)
            if endpoint is self._run.endpoints.bucket:
                raise TransientError("destination", error.message) from error
            raise
        except PermanentError as error:
            if error.doubtful:
                endpoint.failed(ticket, error.message, advice=_REFUSED if error.cause == "forbidden" else "")
            else:
                endpoint.succeeded(ticket)
            raise
        except BaseException:
            endpoint.release(ticket)
            raise
        endpoint.succeeded(ticket)
        self._seconds[endpoint.name] = time.monotonic() - began
        return returned


def _marked(parts: Iterator[memoryview]) -> Iterator[memoryview]:
    """Yield parts; let what fails in them pass through the upload unmistaken for a failure of the bucket."""
    try:
        yield from parts
    except TransientError as error:
        raise _PartsFailedError(error) from error
