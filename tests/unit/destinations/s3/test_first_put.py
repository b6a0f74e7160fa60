"""Why a store refuses the first PUT: named before anything is moved, with the line to change."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.s3.destination import S3Destination, open_bucket
from cdn2s3.destinations.s3.first_put import PutRefused
from cdn2s3.errors import FatalError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
Open = Callable[..., S3Destination]
POLICY = '"Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::bucket/images/*"'


@pytest.fixture
def open_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    """Return a maker of the bucket at a server, under settings."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def opened(server: S3Server, **values: str) -> S3Destination:
        given = {
            "DESTINATION_BUCKET": "bucket",
            "AWS_ENDPOINT_URL": server.url,
            "MAX_RETRIES": "0",
            **values,
        }
        return open_bucket(build(MigrationSettings, given, {}, Path("migration.env")), adapter)

    yield opened
    adapter.close()


def refused(destination: S3Destination) -> PutRefused:
    with pytest.raises(PutRefused) as caught:
        destination.prepare()
    return caught.value


USED = {
    "STORAGE_CLASS": "STANDARD_IA",
    "SERVER_SIDE_ENCRYPTION": "aws:kms",
    "SSE_KMS_KEY_ID": "alias/images",
    "CACHE_CONTROL": "max-age=5",
}
SSE = "x-amz-server-side-encryption"


@pytest.mark.parametrize("method", ["signed", "put_object"])
@pytest.mark.parametrize(
    ("headers", "named", "remedy"),
    [
        ({"x-amz-storage-class": "InvalidStorageClass"}, "STORAGE_CLASS=STANDARD_IA", "STORAGE_CLASS="),
        ({SSE: "NotImplemented"}, "SERVER_SIDE_ENCRYPTION=aws:kms", "SERVER_SIDE_ENCRYPTION="),
        ({f"{SSE}-aws-kms-key-id": "InvalidArgument"}, "SSE_KMS_KEY_ID=alias/images", "SSE_KMS_KEY_ID="),
        ({"cache-control": "InvalidRequest"}, "CACHE_CONTROL=max-age=5", "CACHE_CONTROL="),
        (
            {"x-amz-storage-class": "NotImplemented", SSE: "NotImplemented"},
            "STORAGE_CLASS=STANDARD_IA and SERVER_SIDE_ENCRYPTION=aws:kms",
            "STORAGE_CLASS=; SERVER_SIDE_ENCRYPTION=",
        ),
    ],
    ids=["class", "encryption", "key", "cache", "two"],
)
def test_setting_that_the_store_refuses_is_named(
    open_at: Open,
    s3_server: Callable[..., S3Server],
    method: str,
    headers: dict[str, str],
    named: str,
    remedy: str,
) -> None:
    server = s3_server(refused_headers=headers)
    error = refused(open_at(server, UPLOAD_METHOD=method, **USED))
    assert f"the store refuses {named}: the bucket answered" in str(error)
    assert next(iter(headers.values())) in str(error)
    assert error.remedy == remedy
    assert "\n" not in str(error)


def test_refusal_that_no_setting_explains_names_none(
    open_at: Open, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server(refused_headers={"content-type": "InvalidRequest"})
    error = refused(open_at(server, **USED))
    assert "the store refuses" not in str(error)
    assert '400 InvalidRequest to PUT images/.cdn2s3-probe-put ("Invalid Request")' in str(error)


@pytest.mark.parametrize(
    ("store", "said", "has_policy"),
    [
        ({"denied": "Access Denied"}, '("Access Denied")', True),
        ({"allow": frozenset({"GetObject"})}, "is not authorized to perform: s3:PutObject", True),
        (
            {"denied": "User: me is not authorized to perform: kms:GenerateDataKey on resource: key because no "
             "resource-based policy allows the kms:GenerateDataKey action"},
            "add the missing permission kms:GenerateDataKey",
            False,
        ),
        ({"denied": "with an explicit deny in a VPC endpoint policy"}, "deny in a VPC endpoint policy", False),
        ({"requester_pays": True}, "The bucket is Requester Pays", False),
    ],
    ids=["no reason", "no permission", "kms", "endpoint policy", "requester pays"],
)  # fmt: skip
def test_denial_says_what_it_is_for(
    open_at: Open, s3_server: Callable[..., S3Server], store: dict[str, Any], said: str, has_policy: bool
) -> None:
    server = s3_server(**store)
    error = refused(open_at(server))
    assert said in str(error)
    assert (POLICY in str(error)) == (POLICY in error.remedy) == has_policy
    assert server.objects("bucket") == {}


@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_bodies_are_signed_where_a_policy_wants_that(
    open_at: Open, s3_tls_server: Callable[..., S3Server], tls_material: Any, method: str
) -> None:
    server = s3_tls_server(signed_bodies_only=True)
    adapter = PooledAdapter(2, tls_material.ca_bundle)
    given = {
        "DESTINATION_BUCKET": "bucket",
        "AWS_ENDPOINT_URL": server.url,
        "UPLOAD_METHOD": method,
        "CA_BUNDLE": str(tls_material.ca_bundle),
    }
    settings = build(MigrationSettings, given, {}, Path("migration.env"))
    destination = open_bucket(settings, adapter)
    destination.prepare()
    assert any("UNSIGNED-PAYLOAD" in note.text for note in destination.notes())
    sent = [entry.headers["x-amz-content-sha256"] for entry in server.log if entry.status == 200]
    assert sent and "UNSIGNED-PAYLOAD" not in sent
    # Another process of the run need not find out again.
    elsewhere = open_bucket(settings, adapter, destination.handover())
    assert elsewhere.is_up()
    adapter.close()


def test_bodies_stay_unsigned_where_that_changes_nothing(
    open_at: Open, s3_server: Callable[..., S3Server]
) -> None:
    destination = open_at(s3_server(denied="Access Denied"))
    refused(destination)
    assert not destination.client.signs_payload


# --- addressing


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bucket.localhost be this machine, and no other name below localhost."""
    look_up = socket.getaddrinfo

    def looked_up(host: Any, *arguments: Any, **more: Any) -> Any:
        if str(host).endswith(".localhost") and host != "bucket.localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up("127.0.0.1" if str(host).endswith("localhost") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


def at_localhost(server: S3Server) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": server.url.replace("127.0.0.1", "localhost")}


def test_store_that_takes_virtual_hosts_only_works_with_the_setting(
    open_at: Open, s3_server: Callable[..., S3Server], names: None
) -> None:
    server = s3_server(virtual_hosts_only=True)
    destination = open_at(server, **at_localhost(server), S3_ADDRESSING_STYLE="virtual")
    destination.prepare()
    assert destination.endpoint.startswith("http://bucket.localhost:")
    assert list(destination.list_pages()) == [[]]


def test_store_that_takes_virtual_hosts_only_names_the_setting(
    open_at: Open, s3_server: Callable[..., S3Server], names: None
) -> None:
    server = s3_server(virtual_hosts_only=True)
    error = refused(open_at(server, **at_localhost(server)))
    assert "403 SecondLevelDomainForbidden" in str(error)
    assert "set S3_ADDRESSING_STYLE=virtual" in str(error)


@pytest.mark.parametrize("code", ["InvalidArgument", "AccessDenied", "MethodNotAllowed"])
def test_store_that_refuses_paths_in_any_words_names_the_setting(
    open_at: Open,
    s3_server: Callable[..., S3Server],
    names: None,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    monkeypatch.setattr("tests.fakes.s3_lesser.PATHS_REFUSED", code)
    server = s3_server(virtual_hosts_only=True)
    error = refused(open_at(server, **at_localhost(server)))
    assert code in str(error)
    assert "The bucket answers at its virtual-hosted address: set S3_ADDRESSING_STYLE=virtual." in str(error)
    assert error.remedy == "S3_ADDRESSING_STYLE=virtual"


def test_host_that_cannot_be_looked_up_names_the_setting_where_the_path_works(
    open_at: Open, s3_server: Callable[..., S3Server], names: None
) -> None:
    server = s3_server(buckets=["other"])
    destination = open_at(
        server, **at_localhost(server), DESTINATION_BUCKET="other", S3_ADDRESSING_STYLE="virtual"
    )
    with pytest.raises(FatalError, match=r"cannot be looked up.*set S3_ADDRESSING_STYLE=path"):
        destination.prepare()


def test_style_of_the_profile_counts_unless_the_setting_says_otherwise(
    open_at: Open, s3_server: Callable[..., S3Server], names: None, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    server = s3_server()
    hosts = {
        style: open_at(server, **at_localhost(server), S3_ADDRESSING_STYLE=style).client.address.host
        for style in ("auto", "virtual", "path")
    }
    port = server.network.port
    assert hosts == {
        "auto": f"bucket.localhost:{port}",
        "virtual": f"bucket.localhost:{port}",
        "path": f"localhost:{port}",
    }


def test_probe_waits_for_nothing_at_a_healthy_store(
    open_at: Open, s3_server: Callable[..., S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    destination = open_at(s3_server())
    destination.prepare()
    assert destination.head("images/absent", Deadline(5)) is None


@pytest.mark.parametrize(
    ("server_settings", "settings"),
    [
        ({"refused_headers": {"x-amz-storage-class": "InvalidStorageClass"}}, {"STORAGE_CLASS": "GLACIER"}),
        ({"acls": False}, {"OBJECT_ACL": "private"}),
        ({"etag_mode": "none"}, {}),
    ],
    ids=["class", "acl", "no etag"],
)
def test_bucket_that_cannot_be_used_keeps_no_probe(
    s3_server: Callable[..., S3Server], open_at: Open, server_settings: Any, settings: dict[str, str]
) -> None:
    server = s3_server(**server_settings)
    with pytest.raises(FatalError):
        open_at(server, **settings).prepare()
    assert server.counters["PutObject"] > 0
    assert server.objects("bucket") == {}
