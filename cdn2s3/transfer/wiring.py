"""The wiring of what the workers of a process share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Callable

from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.cdn.buffer_pool import POOL_BYTES, BufferPool
from cdn2s3.cdn.digest import Digest, digest_of
from cdn2s3.cdn.source_headers import Concealer
from cdn2s3.cdn.sources import Sources, sources_of
from cdn2s3.destinations.base import PART_BYTES, Destination
from cdn2s3.destinations.factory import Destinations
from cdn2s3.file_names import COMPLETED_FILE
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import InvalidUrl
from cdn2s3.records import WHOLE, Share
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.ledger import last_completed
from cdn2s3.transfer.pipeline import Endpoints, Site, Transfer, TransferPolicy


def equip(
    settings: MigrationSettings,
    destinations: Destinations,
    share: Share = WHOLE,
    stop: threading.Event | None = None,
    new_digest: Callable[[], Digest] | None = None,
    received_before: Iterable[str] | None = None,
) -> Transfer:
    """Return what the workers of a process share, which has that share of the run.

    destinations are prepared, or know what another process has found out; or nothing is stored, and new_digest
    returns the digest to compute. received_before are URLs that the probes of sources may ask for; None: those of the
    state.
    """
    stop = stop or threading.Event()
    workers = share.workers(settings.concurrency)
    sources = sources_of(settings, PooledAdapter(workers, settings.ca_bundle, stop), stop)
    before = received_before_in(settings) if received_before is None else received_before
    _note_earlier_successes(sources, settings, before)
    limit = settings.outage_limit
    sites = {}
    for place, own in settings.by_place.items():
        destination = destinations[place]
        endpoint = Endpoint(destination.name, workers, limit, stop, destination.is_up)
        sites[place] = Site(destination, endpoint, body_reader(own, new_digest or digests_for(destination)))
    endpoints = Endpoints(
        [Endpoint(client.name, workers, limit, stop, client.probe) for client in sources.clients],
        *(site.endpoint for site in sites.values()),
    )
    return Transfer(
        sources,
        sites,
        endpoints,
        BufferPool(POOL_BYTES // share.of, stop),
        Bandwidth(settings.bandwidth_limit_mbps * 1e6 / 8 / share.of),
        TransferPolicy(RetryPolicy(settings.max_retries), settings.download_timeout, settings.upload_timeout),
        stop,
    )


def digests_for(destination: Destination) -> Callable[[], Digest]:
    """Return what makes the digest of an image for destination, as it goes by at that moment: that may change."""
    return lambda: digest_of(destination.integrity)


def body_reader(settings: MigrationSettings, new_digest: Callable[[], Digest]) -> BodyReader:
    """Return the reader of the CDN's bodies for one place, which computes digests that new_digest returns.

    settings are those of the place, as by_place gives them.
    """
    return BodyReader(
        settings.content_check,
        settings.max_buffer_bytes,
        new_digest,
        PART_BYTES,
        # A folder has no place for a Content-Encoding.
        decodes=settings.source_encoding == "decode" or settings.placement.uses_folder,
        conceal=Concealer(settings.source_headers.pairs),
    )


def received_before_in(settings: MigrationSettings) -> list[str]:
    """Return URLs that earlier runs received, as the state has them."""
    return [record.url for record in last_completed(settings.state_dir / COMPLETED_FILE)]


def _note_earlier_successes(sources: Sources, settings: MigrationSettings, urls: Iterable[str]) -> None:
    """Give the probes of sources files that were received before.

    A run that only has URLs left which fail each time would otherwise have nothing to probe with, and take their
    faults for an outage.
    """
    keys = key_maker(settings)
    for url in urls:
        with suppress(InvalidUrl):  # URL_PREFIX has changed since
            sources.note_success_before(keys.address(url))
