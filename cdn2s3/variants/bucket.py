"""The bucket as variants.py uses it: with a prefix of its own, and its warnings in the log."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from cdn2s3.destinations.base import Note
from cdn2s3.destinations.s3.destination import S3Destination, open_bucket
from cdn2s3.destinations.s3.removal import S3Remover
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.resilience.attempts import Attempts
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)


def _there(settings: MigrationSettings) -> MigrationSettings:
    """Return the settings under which variants are stored: their prefix, which the probe's objects have too."""
    return dataclasses.replace(settings, destination_prefix=settings.variants_prefix)


@contextmanager
def opened_to_store(
    settings: MigrationSettings, workers: int, stop: threading.Event
) -> Iterator[tuple[S3Destination, Attempts]]:
    """Yield the bucket, probed, and what makes attempts there for so many workers; raise FatalError."""
    with closing(PooledAdapter(workers, settings.ca_bundle, stop)) as adapter:
        bucket = open_bucket(_there(settings), adapter)
        bucket.prepare()
        say(bucket.notes())
        with closing(bucket):
            endpoint = Endpoint(bucket.name, workers, settings.outage_limit, stop, bucket.is_up)
            yield bucket, Attempts(endpoint, settings.max_retries, stop)


@contextmanager
def opened_to_delete(
    settings: MigrationSettings, workers: int, stop: threading.Event
) -> Iterator[tuple[S3Remover, Attempts]]:
    """Yield what deletes objects of the bucket, probed, and what makes attempts there; raise FatalError."""
    with closing(PooledAdapter(workers, settings.ca_bundle, stop)) as adapter:
        there = _there(settings)
        with closing(open_bucket(there, adapter)) as bucket:
            remover = S3Remover(there, bucket)
            say(remover.prepare())
            endpoint = Endpoint(bucket.name, workers, settings.outage_limit, stop, remover.is_up)
            yield remover, Attempts(endpoint, settings.max_retries, stop)


def say(notes: Iterable[Note]) -> None:
    """Log what the bucket lacks."""
    for note in notes:
        log.log(note.level, "%s", note.text)
