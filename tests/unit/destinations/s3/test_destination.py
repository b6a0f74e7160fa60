"""What is said of a bucket that cannot be prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.destination import open_bucket
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TransientError("connection", "refused"), "cannot be reached: refused"),
        (TransientError("timeout", "late"), "cannot be reached: late"),
        (TransientError("throttled", "slow down", None, 503, "SlowDown"), "responds with errors"),
        (TransientError("server_error", "oops", None, 500, "InternalError"), "responds with errors"),
        (TransientError("server_error", "what?", None, 501, "NotImplemented"), "not like an S3 service"),
        (TransientError("server_error", "a proxy's page", None, 502), "not like an S3 service"),
        (TransientError("server_error", "no ETag"), "not like an S3 service"),
    ],
    ids=["refused", "timeout", "throttled", "a store's 500", "501", "a proxy's 502", "no status"],
)
def test_bucket_that_cannot_be_probed_is_described_by_status_and_code(
    error: TransientError, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(settings: MigrationSettings, objects: Objects, on_failure: object) -> Capabilities:
        raise error

    monkeypatch.setattr("cdn2s3.destinations.s3.destination.probe_capabilities", probe)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": "http://s3.example", "MAX_RETRIES": "0"}
    settings = build(MigrationSettings, given, {}, Path("migration.env"))
    with pytest.raises(FatalError, match=said):
        open_bucket(settings, PooledAdapter(1)).prepare()
