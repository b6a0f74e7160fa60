"""What a Dask worker finds out about itself for `migrate.py --check`, against the local S3."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.executors.dask_inspection import inspected
from cdn2s3.executors.dask_messages import headers_digest
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.parsers import source_headers
from tests.fakes.s3 import S3Server

SettingsFor = Callable[..., MigrationSettings]


@pytest.fixture
def settings_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsFor:
    """Return a maker of settings for a server, on a machine that has credentials in its environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "SOURCE_HEADERS"):
        monkeypatch.delenv(name, raising=False)

    def make(server: S3Server, **changed: Any) -> MigrationSettings:
        settings = MigrationSettings(
            destination_bucket="bucket",
            aws_endpoint_url=server.url,
            concurrency=4,
            max_retries=0,
            upload_timeout=5.0,
        )
        return dataclasses.replace(settings, **changed)

    return make


NONE = headers_digest(source_headers(""))


def test_worker_that_could_work_has_no_problem_and_leaves_nothing(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    found = inspected(settings_for(server), NONE)
    assert found.credentials.endswith("key ...TEST")
    assert (found.problems, found.warnings) == ((), ())
    assert server.objects("bucket") == {}


def test_worker_that_may_not_read_is_warned_of(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server]
) -> None:
    found = inspected(settings_for(s3_server(allow=frozenset({"PutObject"}))), NONE)
    assert found.problems == ()
    (warning,) = found.warnings
    assert "s3:GetObject is refused" in warning
    assert "`unverified`" in warning


def test_worker_that_may_not_write_has_a_problem(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server]
) -> None:
    found = inspected(settings_for(s3_server(allow=frozenset({"GetObject"}))), NONE)
    assert any("AccessDenied" in problem for problem in found.problems), found


def test_worker_without_the_bundle_or_the_headers_says_so(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server], tmp_path: Path
) -> None:
    secret = headers_digest(source_headers("Cookie: CANARY7f3a"))
    settings = settings_for(s3_server(), ca_bundle=tmp_path / "absent.pem")
    headers, bundle = inspected(settings, secret).problems
    assert headers == "SOURCE_HEADERS in its environment are not those of the coordinator"
    assert bundle == f"there is no file {tmp_path / 'absent.pem'} (CA_BUNDLE)"


def test_worker_with_the_same_headers_has_no_problem(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_HEADERS", "Cookie: CANARY7f3a")
    found = inspected(settings_for(s3_server()), headers_digest(source_headers("Cookie: CANARY7f3a")))
    assert found.problems == ()
    assert "CANARY" not in repr(found)


def test_worker_without_credentials_says_so(
    settings_for: SettingsFor, s3_server: Callable[..., S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = inspected(settings_for(s3_server()), NONE)
    assert found.credentials == ""
    assert "no AWS credentials were found" in found.problems[0]
