"""The wiring of what the workers of a process share."""

from __future__ import annotations

import threading

from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.cdn.buffer_pool import POOL_BYTES, BufferPool
from cdn2s3.cdn.sources import Sources
from cdn2s3.destinations.base import PART_BYTES, Destination
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import WHOLE, Share
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.transfer.pipeline import Endpoints, Transfer, TransferPolicy


def equip(
    settings: MigrationSettings,
    destination: Destination,
    share: Share = WHOLE,
    stop: threading.Event | None = None,
) -> Transfer:
    """Return what the workers of a process share, which has that share of the run.

    destination is prepared, or knows what another process has found out.
    """
    stop = stop or threading.Event()
    workers = share.workers(settings.concurrency)
    sources = Sources(settings.url_prefix, PooledAdapter(workers, settings.ca_bundle, stop), stop)
    endpoints = Endpoints(
        [
            Endpoint(client.name, workers, settings.outage_limit, stop, client.probe)
            for client in sources.clients
        ],
        Endpoint(destination.name, workers, settings.outage_limit, stop, destination.is_up),
    )
    return Transfer(
        sources,
        destination,
        endpoints,
        BodyReader(settings.content_check, settings.max_buffer_bytes, destination.integrity, PART_BYTES),
        BufferPool(POOL_BYTES // share.of, stop),
        Bandwidth(settings.bandwidth_limit_mbps * 1e6 / 8 / share.of),
        TransferPolicy(RetryPolicy(settings.max_retries), settings.download_timeout, settings.upload_timeout),
        stop,
    )
