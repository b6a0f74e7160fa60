"""The bucket as variants.py uses it: with a prefix of its own, and nothing replaced unasked."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from cdn2s3.destinations.s3.destination import S3Destination, open_bucket
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.variants.attempts import Attempts

log = logging.getLogger(__name__)


def there(settings: MigrationSettings) -> MigrationSettings:
    """Return the settings under which variants are stored: their prefix, which the probe's objects have too."""
    return dataclasses.replace(settings, destination_prefix=settings.variants_prefix, on_existing="verify")


@contextmanager
def opened(
    settings: MigrationSettings, workers: int, stop: threading.Event, writes: bool
) -> Iterator[tuple[S3Destination, Attempts]]:
    """Yield the bucket, and what makes attempts there for so many workers; raise FatalError.

    Where the run writes, the bucket is probed and what it lacks is logged.
    """
    with closing(PooledAdapter(workers, settings.ca_bundle, stop)) as adapter:
        bucket = open_bucket(there(settings), adapter)
        if writes:
            bucket.prepare()
            for note in bucket.notes():
                log.log(note.level, "%s", note.text)
        with closing(bucket):
            endpoint = Endpoint(bucket.name, workers, settings.outage_limit, stop, bucket.is_up)
            yield bucket, Attempts(endpoint, settings.max_retries, stop)
