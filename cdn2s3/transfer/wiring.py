"""Put together what the workers of a process share."""

from __future__ import annotations

import logging
import threading

from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.cdn.buffer_pool import POOL_BYTES, BufferPool
from cdn2s3.cdn.client import CdnClient
from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.capabilities import ProbeResult
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.destination import Bucket
from cdn2s3.destinations.s3.multipart import PART_BYTES
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import WHOLE, Share
from cdn2s3.resilience.endpoint import Endpoint, LastFailure
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import RetryPolicy, with_retries
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import duration
from cdn2s3.transfer.pipeline import Endpoints, Transfer, TransferPolicy

log = logging.getLogger(__name__)

_NOT_IMPLEMENTED = 501  # the store is well, and does not know the request


def equip(
    settings: MigrationSettings,
    client: S3Client,
    probed: ProbeResult,
    share: Share = WHOLE,
    stop: threading.Event | None = None,
) -> Transfer:
    """Return what the workers of a process share, which has that share of the run."""
    stop = stop or threading.Event()
    workers = share.workers(settings.concurrency)
    source = CdnClient(settings.url_prefix, PooledAdapter(workers, settings.ca_bundle, stop), stop)
    bucket = Bucket(settings, client, probed.guard)
    endpoints = Endpoints(
        Endpoint("source", workers, settings.outage_limit, stop, source.probe),
        Endpoint("bucket", workers, settings.outage_limit, stop, bucket.is_up),
    )
    integrity = capabilities.integrity(probed, settings)
    return Transfer(
        source,
        bucket,
        endpoints,
        BodyReader(settings.content_check, settings.max_buffer_bytes, integrity, PART_BYTES),
        BufferPool(POOL_BYTES // share.of, stop),
        Bandwidth(settings.bandwidth_limit_mbps * 1e6 / 8 / share.of),
        TransferPolicy(RetryPolicy(settings.max_retries), settings.download_timeout, settings.upload_timeout),
        stop,
    )


def probe_patiently(settings: MigrationSettings, client: S3Client) -> capabilities.ProbeResult:
    """Probe the bucket, with retries like any upload; raise FatalError when it does not answer."""
    policy = RetryPolicy(settings.max_retries)
    try:
        return with_retries(
            lambda: capabilities.probe_capabilities(settings, client),
            policy,
            on_failure=lambda failed: log.warning(
                "the bucket at %s: %s", client.endpoint, failed.error.message
            ),
        )
    except TransientError as error:
        raise _no_bucket(client.endpoint, error, policy.max_attempts) from error


def _no_bucket(endpoint: str, error: TransientError, attempts: int) -> FatalError:
    """Return the error for a bucket that could not be probed in so many attempts, the last of which was error."""
    if error.cause in ("connection", "timeout"):
        return FatalError(
            f"the bucket at {endpoint} cannot be reached: {error.message}. Check the network, "
            "AWS_ENDPOINT_URL and AWS_REGION, then run it again."
        )
    is_of_a_store = error.code != "" and error.status != _NOT_IMPLEMENTED
    if error.cause == "throttled" or (is_of_a_store and (error.status or 0) >= 500):
        return FatalError(
            f"the bucket at {endpoint} answers, but not well ({attempts} attempts): {error.message}. It asks to "
            "slow down, or its service is disturbed: run it again later (AWS Health Dashboard)."
        )
    return FatalError(
        f"the bucket at {endpoint} answers, but not as a store does ({attempts} attempts): {error.message}. "
        "Is AWS_ENDPOINT_URL an S3 store, with no proxy in between?"
    )


def note_on(endpoints: Endpoints) -> str:
    """Return which side holds the run back at this moment and why, "" for neither."""
    notes = []
    for endpoint in endpoints:
        health = endpoint.health()
        if health.down_for is not None:
            notes.append(
                f"{endpoint.name} down {duration(health.down_for)} ({_in_short(health.last_failure)}), "
                f"probe in {duration(health.next_probe_in or 0)}"
            )
        elif health.limit < endpoint.workers:
            notes.append(f"{endpoint.name} throttled to {health.limit} of {endpoint.workers}")
    return ", ".join(notes)


def _in_short(failure: LastFailure | None) -> str:
    """Return why an attempt failed, short enough for a bar; the log has said it in full."""
    if failure is None:
        return ""
    if failure.status is not None:
        return str(failure.status)
    if failure.cause == "timeout":
        return "no answer"
    return failure.message.rpartition(": ")[2][:26]
