"""What the workers of a process share: pools and limits are its share of the run's."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.cdn.buffer_pool import POOL_BYTES
from cdn2s3.destinations.factory import Destinations
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.file_names import COMPLETED_FILE
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import S3, WHOLE, Share
from cdn2s3.resilience.circuit_breaker import FAILURES_TO_OPEN
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.transfer.limiting import limiting, text_of
from cdn2s3.transfer.pipeline import Endpoints
from cdn2s3.transfer.wiring import equip
from tests.fakes.source import SourceServer

CAPABILITIES = Capabilities(True, True, True)


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
    transfer = equip(settings, Destinations({S3: destination}), process, stop)
    assert [endpoint.workers for endpoint in transfer.endpoints] == [workers, workers]
    assert transfer.sources.clients[0]._pool._most_idle == workers
    assert transfer.stop is stop
    assert transfer.buffer_pool.acquire(POOL_BYTES // process.of, wait=False) is not None
    assert transfer.buffer_pool.acquire(1, wait=False) is None
    assert transfer.bandwidth._rate == 10e6 / process.of


class TestProbe:
    """What shows that the CDN works, in a run that has received nothing yet."""

    def probes(self, tmp_path: Path, source: SourceServer, *received: str) -> list[bool | None]:
        """Return what the probe says after an earlier run has received those URLs: before and after the CDN goes."""
        rows = (f"{url}\tkey\t1\tetag\tmd5\timage/jpeg\t2026-01-01T00:00:00Z\n" for url in received)
        (tmp_path / COMPLETED_FILE).write_text("".join(rows))
        settings = settings_with(STATE_DIR=str(tmp_path), URL_PREFIX=source.url_prefix)
        with closing(PooledAdapter(1)) as adapter:
            destination = S3Destination(settings, S3Client(settings, adapter), CAPABILITIES)
            transfer = equip(settings, Destinations({S3: destination}))
            with closing(transfer):
                client = transfer.sources.clients[0]
                before = client.probe()
                source.close()
                return [before, client.probe()]

    def test_nothing_was_received_ever(
        self, tmp_path: Path, source_server: Callable[..., SourceServer]
    ) -> None:
        assert self.probes(tmp_path, source_server()) == [None, False]

    @pytest.mark.parametrize(
        ("fault", "works"), [("", True), ("404", True), ("403", None), ("500", None), ("429", None)]
    )
    def test_file_of_an_earlier_run_is_asked_for(
        self, tmp_path: Path, source_server: Callable[..., SourceServer], fault: str, works: bool | None
    ) -> None:
        source = source_server()
        many = [source.url_of(f"{number:04}.jpg", "500") for number in range(1500)]
        last = source.url_of("a.jpg", fault)
        assert self.probes(tmp_path, source, *many, last, "https://cdn.example/of-another-prefix") == [
            works,
            False,
        ]
        assert [entry.target for entry in source.log] == [last[len(source.url) :]]


def opened(error: TransientError | PermanentError) -> Endpoints:
    """Return endpoints of which the source fails with error until its circuit opens."""
    stop = threading.Event()
    source, bucket = (Endpoint(name, 100, 1800.0, stop, clock=lambda: 0.0) for name in ("source", "bucket"))
    for permit in [source.acquire() for _ in range(FAILURES_TO_OPEN)]:
        source.failed(permit, error)
    return Endpoints([source], bucket)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (TransientError("server_error", "the CDN answered badly", status=500), "500"),
        (PermanentError("forbidden", "the CDN answered 403", doubtful=True, status=403), "403"),
        (TransientError("timeout", "the time limit is over"), "no answer"),
        (TransientError("connection", "cdn.example:80: Connection refused"), "no connection"),
        (TransientError("server_error", "invalid response: 7"), "server error"),
    ],
    ids=["status", "refusal", "timeout", "connection", "other"],
)
def test_note_says_in_short_why_an_endpoint_is_down(
    error: TransientError | PermanentError, short: str
) -> None:
    assert text_of(limiting(opened(error))) == f"source down 0 s ({short}), probe in 5 s"
