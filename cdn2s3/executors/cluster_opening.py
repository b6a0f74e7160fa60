"""The opening of a Dask cluster for a run: the scheduler first, then the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Callable

from cdn2s3.console.rerun_hint import settings_file
from cdn2s3.destinations.factory import Destinations, open_destinations
from cdn2s3.executors.cluster import Cluster
from cdn2s3.executors.dask_client import connect
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.ledger import Ledger
from cdn2s3.transfer.wiring import received_before_in


@contextmanager
def open_cluster(
    settings: MigrationSettings, ledger: Ledger, on_prepared: Callable[[Destinations], None], tick: float
) -> Iterator[Cluster]:
    """Contact the scheduler, then the bucket (on_prepared is told), and yield the executor; raise FatalError."""
    with (
        closing(connect(settings.dask_scheduler)) as connection,
        closing(PooledAdapter(settings.concurrency, settings.ca_bundle)) as adapter,
    ):
        destinations = open_destinations(settings, adapter)
        destinations.prepare()
        on_prepared(destinations)
        known, before = destinations.handover(), received_before_in(settings)
        yield Cluster(connection, settings, known, ledger, before, settings_file(), tick)
