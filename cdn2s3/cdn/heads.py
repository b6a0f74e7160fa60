"""The heads of several files of the CDN, requested at the same time: for plans and checks."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cdn2s3.cdn.client import Head
from cdn2s3.cdn.sources import sources_of
from cdn2s3.errors import TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import Address
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.settings.declarations import MigrationSettings

_WORKERS = 16
_SECONDS_EACH = 5.0  # for HEAD, and for a GET where that tells nothing


def heads(
    settings: MigrationSettings, addresses: Sequence[Address], seconds: float, by_get: bool = False
) -> list[Head]:
    """Request the head of each of addresses within seconds in total; results in order; by_get as CdnClient.head."""
    adapter = PooledAdapter(_WORKERS, settings.ca_bundle)
    stop = threading.Event()
    sources = sources_of(settings, adapter, stop)
    whole = Deadline(seconds, stop)

    def ask(number: int) -> tuple[int, Head]:
        try:
            deadline = Deadline(min(_SECONDS_EACH, whole.remaining()), stop)
        except TransientError as error:
            return number, Head(None, None, "", error.message)
        return number, sources.head(addresses[number], deadline, by_get)

    try:
        with fan_out(ask, range(len(addresses)), _WORKERS, stop) as answers:
            return [head for _, head in sorted(answers)]
    finally:
        adapter.close()
