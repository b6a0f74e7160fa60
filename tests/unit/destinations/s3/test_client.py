"""Requests to the bucket: both ways over one transport, errors of the credentials told apart from the bucket's."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

import botocore.exceptions
import pytest

from cdn2s3.destinations.s3.client import S3Client, S3Response, aws_session, credentials_of
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[S3Client, MigrationSettings]]]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def client(server: S3Server, **file: str) -> tuple[S3Client, MigrationSettings]:
        given = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": server.url, **file}
        settings = build(MigrationSettings, given, {}, Path("migration.env"))
        return S3Client(settings, adapter), settings

    yield client
    adapter.close()


Make = Callable[..., Any]
KEY_NAMES = ["a b.jpg", "ä/€.jpg", "a+b&c=d.jpg", "100%.jpg", "~-_.jpg", "a//b", "./a", "😀"]


@pytest.mark.parametrize("key", KEY_NAMES)
def test_object_goes_under_its_key_both_ways(make: Make, s3_server: Make, key: str) -> None:
    server = s3_server()
    client, _ = make(server, EXPECTED_BUCKET_OWNER="111122223333")
    assert client.request("PUT", key, Deadline(5), body=(b"he", b"llo")).status == 200
    assert server.objects("bucket")[key].read() == b"hello"
    assert client.call("put_object", Deadline(5), Key=key, Body=b"again")[0].status == 200
    assert server.objects("bucket")[key].read() == b"again"
    assert {entry.headers["x-amz-expected-bucket-owner"] for entry in server.log} == {"111122223333"}
    assert len({entry.target for entry in server.log}) == 1


def test_error_answer_has_its_code_and_retry_after(make: Make, s3_server: Make) -> None:
    server = s3_server()
    server.rules.add(Rule("SlowDown", value="7"))
    client, _ = make(server)
    for reply in (
        client.request("PUT", "k", Deadline(5), body=(b"x",)),
        client.call("put_object", Deadline(5), Key="k", Body=b"x")[0],
    ):
        error = reply.error("PUT")
        assert (reply.status, reply.code, error.cause, error.retry_after) == (
            503,
            "SlowDown",
            "throttled",
            7.0,
        )


def test_answer_that_boto3_cannot_read_is_worth_another_attempt(make: Make, s3_server: Make) -> None:
    client, _ = make(s3_server())

    def broken(**unused: Any) -> None:
        raise botocore.exceptions.BotoCoreError

    client._boto3.meta.events.register("after-call.s3.PutObject", broken)
    with pytest.raises(TransientError, match="response to put_object cannot be read") as caught:
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    assert (caught.value.cause, caught.value.status) == ("server_error", 200)


def test_request_that_boto3_refuses_is_not_sent(make: Make, s3_server: Make) -> None:
    server = s3_server()
    client, _ = make(server)
    with pytest.raises(FatalError, match=r"boto3 refuses the request \(put_object\)"):
        client.call("put_object", Deadline(5), Key="a", Metadata=7)
    assert not server.log


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.ClientError(
            {"Error": {"Code": "AccessDenied", "Message": "canary"}}, "AssumeRole"
        ),
        botocore.exceptions.CredentialRetrievalError(provider="iam", error_msg="canary"),
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired: canary"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_credentials_that_cannot_be_renewed_stop_the_run(
    make: Make, s3_server: Make, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = make(s3_server())

    def broken(*unused: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(client._boto3._request_signer._credentials, "get_frozen_credentials", broken)
    with pytest.raises(FatalError, match="could not be renewed") as caught:
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    assert "canary" not in str(caught.value)


class Metadata(BaseHTTPRequestHandler):
    """An instance's metadata service that is slow to give a token, and fails four times to name the role."""

    failures = 0

    def do_PUT(self) -> None:
        time.sleep(3)
        self.answer(200, b"token")

    def do_GET(self) -> None:
        role = "/latest/meta-data/iam/security-credentials/"
        if self.headers["x-aws-ec2-metadata-token"] != "token":
            self.answer(401, b"")  # as HttpTokens=required has it
        elif self.path == role and type(self).failures < 4:
            type(self).failures += 1
            self.answer(500, b"")
        elif self.path == role:
            self.answer(200, b"the-role")
        else:
            found = {"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "t"}
            self.answer(200, json.dumps({**found, "Expiration": "2099-01-01T00:00:00Z"}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what: object) -> None:
        """Say nothing."""


def test_slow_and_failing_metadata_service_is_given_5_s_and_5_attempts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # no profile of this machine's
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
            settings = build(MigrationSettings, {"DESTINATION_BUCKET": "bucket"}, {}, Path("migration.env"))
            found = credentials_of(aws_session(settings))
        finally:
            server.shutdown()
            thread.join()
    assert found is not None and found.access_key == "AKIAROLE"


def test_redirect_stops_the_run_and_is_not_followed(make: Make, s3_server: Make) -> None:
    server = s3_server()
    server.rules.add(Rule("307"))
    client, _ = make(server)
    with pytest.raises(FatalError, match="AWS_REGION"):
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    assert len(server.log) == 1


def test_head_without_a_length_is_no_size(
    make: Make, s3_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, settings = make(s3_server())
    objects = Objects(settings, client)
    for headers in ({}, {"content-length": "abc"}, {"content-length": "\u00b2"}):
        monkeypatch.setattr(client, "request", lambda *a, found=headers, **b: S3Response(200, found, b""))
        with pytest.raises(TransientError, match="no size"):
            objects.head("k", Deadline(5))
