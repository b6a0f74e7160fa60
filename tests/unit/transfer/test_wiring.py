"""What the workers of a process share: pools and limits are its share of the run's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cdn2s3.cdn.buffer_pool import POOL_BYTES
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import WHOLE, Share
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.transfer.wiring import equip

CAPABILITIES = Capabilities(True, True, True, True)


def settings_with(**values: str) -> MigrationSettings:
    given = {
        "DESTINATION_BUCKET": "bucket",
        "URL_PREFIX": "http://cdn.example/",
        "AWS_ENDPOINT_URL": "http://s3.example",
        **values,
    }
    return build(MigrationSettings, given, {}, Path("migration.env"))


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("process", "workers"), [(WHOLE, 150), (Share(0, 4), 38), (Share(3, 4), 37)], ids=str
)
def test_pools_and_paces_are_the_share_of_the_process(process: Share, workers: int) -> None:
    settings = settings_with(CONCURRENCY="150", BANDWIDTH_LIMIT_MBPS="80")
    stop = threading.Event()
    destination = S3Destination(settings, S3Client(settings, PooledAdapter(1)), CAPABILITIES)
    transfer = equip(settings, destination, process, stop)
    assert [endpoint.workers for endpoint in transfer.endpoints] == [workers, workers]
    assert transfer.source._wire._most_idle == workers
    assert transfer.stop is stop
    assert transfer.buffer_pool.acquire(POOL_BYTES // process.of, wait=False) is not None
    assert transfer.buffer_pool.acquire(1, wait=False) is None
    assert transfer.bandwidth._rate == 10e6 / process.of
