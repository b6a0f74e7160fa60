"""The transfer of one URL: download, check, upload, prove."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cdn2s3.cdn.body_reader import BodyReader, LargeBody
from cdn2s3.cdn.buffer_pool import BufferLease, BufferPool
from cdn2s3.cdn.response_notes import oddities
from cdn2s3.cdn.sources import Sources
from cdn2s3.destinations.base import Destination, Upload
from cdn2s3.errors import BUCKET_CAUSES, OUTAGE_CAUSES, Cancelled, Parked, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.records import Image, Recorded, Stored
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped
from cdn2s3.transfer.attempts import Attempts, marked
from cdn2s3.transfer.outcome import FailureEvidence, Result, SourceVersion, source_version


class Site(NamedTuple):
    """A place of images: what stores them there, how it is doing, and what reads the bodies for it."""

    destination: Destination
    endpoint: Endpoint
    reader: BodyReader


class Endpoints:
    """The endpoints of a run: its sources, in the order of KeyMaker.origins, and its destinations."""

    def __init__(self, sources: Iterable[Endpoint], *destinations: Endpoint) -> None:
        self.sources = tuple(sources)
        self.destinations = destinations

    def __iter__(self) -> Iterator[Endpoint]:
        return iter((*self.sources, *self.destinations))

    def __len__(self) -> int:
        return len(self.sources) + len(self.destinations)

    @property
    def uploads(self) -> int:
        """How many uploads are in flight."""
        return sum(endpoint.in_flight for endpoint in self.destinations)

    def let_park(self) -> list[Endpoint]:
        """Let each endpoint park the URLs that would have to wait for it where its kind has others; return these."""
        parking = [one for kind in (self.sources, self.destinations) if len(kind) > 1 for one in kind]
        for endpoint in parking:
            endpoint.parks = True
        return parking


class TransferPolicy(NamedTuple):
    """The deadlines and retries of a URL."""

    retry: RetryPolicy  # of the download and of the upload each
    download_timeout: float  # total seconds of a download attempt
    upload_timeout: float  # total seconds of an upload attempt


class Transfer:
    """What every worker needs to move a URL; one for all of them, each thing in it owns its lock."""

    def __init__(
        self,
        sources: Sources,
        sites: Mapping[str, Site],
        endpoints: Endpoints,
        buffer_pool: BufferPool,
        bandwidth: Bandwidth,
        policy: TransferPolicy,
        stop: threading.Event,
    ) -> None:
        self.sources = sources
        self.sites = sites  # by place: records.S3, LOCAL
        self.endpoints = endpoints
        self.buffer_pool = buffer_pool
        self.bandwidth = bandwidth
        self.policy = policy
        self.stop = stop
        # A Retry-After is honored by the endpoint, which holds all its workers back at once.
        self.retry = policy.retry._replace(honors_retry_after=False)
        self.sleep = unless_stopped(stop)

    def move(self, url: str, address: Address, place: str, recorded: Recorded | None = None) -> Result:
        """Move url to its key at place; raise Cancelled, Parked, or FatalError when every URL would fail.

        recorded is what the last row of the key says, if it has one.
        """
        return TransferAttempts(self, url, address, self.sites[place], recorded).result()

    def close(self) -> None:
        """Clean up all endpoints, when no worker is busy anymore."""
        self.sources.close()
        for site in self.sites.values():
            if site.endpoint.health().down_for is None:  # otherwise the request would be futile
                site.destination.close()


class TransferAttempts(Attempts):
    """The attempts of one URL, in one worker."""

    def __init__(
        self, transfer: Transfer, url: str, address: Address, site: Site, recorded: Recorded | None = None
    ) -> None:
        source = transfer.endpoints.sources[address.source]
        super().__init__(url, source, site.endpoint, transfer.retry, transfer.sleep)
        self._run = transfer
        self._address = address
        self._recorded = recorded
        self._site = site
        # What is odd about the response that was taken, and its validators.
        self._noted: tuple[str, ...] = ()
        self._version = SourceVersion()

    def result(self) -> Result:
        """Move the URL and return its outcome; raise Cancelled or FatalError."""
        with BufferLease(self._run.buffer_pool) as lease:
            try:
                return self._outcome(lease)
            except TransientError as error:  # all attempts that are allowed have failed
                evidence = None
                if error.cause in OUTAGE_CAUSES or error.cause in BUCKET_CAUSES:
                    endpoint = self._endpoint_of(error)
                    evidence = self._evidence(endpoint, self._started_after[endpoint.name])
                return self._failure(error, sum(self._failures.values()), evidence)
            except PermanentError as error:  # the last attempt was refused
                evidence = self._evidence(self._endpoint_of(error), -1) if error.doubtful else None
                return self._failure(error, sum(self._failures.values()) + 1, evidence)

    def _outcome(self, lease: BufferLease) -> Result:
        """Do what is to be done; return the outcome, or raise as _moved()."""
        stored, media_type = self._moved(lease)
        return Result(
            self._url,
            self._address.key,
            stored,
            media_type,
            noted=self._noted,
            attempts=sum(self._failures.values()) + 1,
            retried=tuple(self._retried),
            download_seconds=self._seconds[self._source.name],
            upload_seconds=self._seconds[self._bucket.name],
            source=self._version,
        )

    def _failure(
        self, error: TransientError | PermanentError, attempts: int, evidence: FailureEvidence | None
    ) -> Result:
        return Result(
            self._url,
            self._address.key,
            status=error.status,
            label=error.label if isinstance(error, PermanentError) else "",
            cause=error.cause,
            message=error.message,
            attempts=attempts,
            retried=tuple(self._retried),
            evidence=evidence,
        )

    def _moved(self, lease: BufferLease) -> tuple[Stored, str]:
        """Return the object and its media type.

        Raise TransientError after the last attempt that is allowed, PermanentError, Cancelled or FatalError.
        """
        run = self._run
        if self._bucket.parks and not self._bucket.is_available():
            raise Parked(self._bucket.name)  # before the bytes are downloaded for nothing
        downloaded = self._download(lease)
        if not isinstance(downloaded, Image):
            return downloaded
        upload = self._upload_of(downloaded)
        try:
            stored = self._retrying(
                self._bucket,
                lambda: self._attempt_at_bucket(lambda: upload.attempt(Deadline(run.policy.upload_timeout))),
            )
        except BaseException:
            upload.give_up()
            raise
        return stored, downloaded.media_type

    def _upload_of(self, image: Image) -> Upload:
        """Return the storing of image, not begun."""
        return self._site.destination.upload(self._address.key, image, self._recorded)

    def _download(self, lease: BufferLease) -> Image | tuple[Stored, str]:
        """Return the image or, if it is too large for memory, the stored object."""

        def attempt() -> Image | tuple[Stored, str]:
            return self._attempt_once(self._source, lambda: self._downloaded(lease))

        return self._retrying(self._source, lambda: lease.when_free(attempt))

    def _downloaded(self, lease: BufferLease) -> Image | tuple[Stored, str]:
        """Make one attempt to download; return and raise as _download()."""
        run = self._run
        answer: Response | None = None
        if not run.bandwidth.admit(run.stop):
            raise Cancelled
        try:
            deadline = Deadline(run.policy.download_timeout, run.stop)
            with run.sources.get(self._address, deadline) as answer:
                body = self._site.reader.read(answer, lease, deadline)
                self._noted = oddities(answer.headers)
                self._version = source_version(answer.headers)
                if isinstance(body, Image):
                    run.sources.note_success(self._address)
                    self._check(body)
                    return body
                return self._store_parts(body), body.media_type
        finally:
            run.bandwidth.received(0 if answer is None else answer.received)

    def _check(self, image: Image) -> None:
        """Raise TransientError where the image is not to be stored; any is."""

    def _store_parts(self, body: LargeBody) -> Stored:
        body.start()
        return self._attempt_at_bucket(lambda: self._stored_in_parts(body))

    def _stored_in_parts(self, body: LargeBody) -> Stored:
        return self._site.destination.store_parts(
            self._address.key,
            body.media_type,
            marked(body.parts()),
            self._run.policy.upload_timeout,
            body.encoding,
            self._recorded,
        )
