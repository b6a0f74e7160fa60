"""What the guard probe finds out about a store, how it survives one that fails, and what a run says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
PROBE = "images/.cdn2s3-probe"
AMAZON = Capabilities(etag_is_md5=True, checksum_refused=True, if_none_match=True, can_read=True)
READER = frozenset({"PutObject", "GetObject"})
Probe = Callable[..., Capabilities]


def settings_with(**values: str) -> MigrationSettings:
    return build(MigrationSettings, {"DESTINATION_BUCKET": "bucket", **values}, {}, Path("migration.env"))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def probed(server: S3Server, **values: str) -> Capabilities:
        settings = settings_with(AWS_ENDPOINT_URL=server.url, **values)
        return capabilities.probe_capabilities(settings, Objects(settings, S3Client(settings, adapter)))

    yield probed
    adapter.close()


@pytest.mark.parametrize("after", range(1, 5))
def test_probe_object_that_another_run_deletes_meanwhile_misleads_nobody(
    probe: Probe, s3_server: Any, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    server, puts, put = s3_server(), 0, Objects.put

    def deleted_once_after_so_many(*arguments: Any, **more: Any) -> Any:
        nonlocal puts
        reply = put(*arguments, **more)
        puts += 1
        if puts == after:
            server.store.delete("bucket", PROBE)
        return reply

    monkeypatch.setattr(Objects, "put", deleted_once_after_so_many)
    assert probe(server) == AMAZON


@pytest.mark.parametrize("integrity", ["md5", "crc32"])
@pytest.mark.parametrize(
    ("store", "found"),
    [
        pytest.param({}, AMAZON, id="all that Amazon checks"),
        pytest.param({"ignore_if_none_match": True}, AMAZON._replace(if_none_match=False), id="overwrites"),
        pytest.param(
            {"if_none_match_status": 501},
            AMAZON._replace(if_none_match=False, takes_if_none_match=False),
            id="501",
        ),
        pytest.param({"if_none_match_status": 304}, AMAZON, id="304"),
        pytest.param({"etag_mode": "random"}, AMAZON._replace(etag_is_md5=False), id="random ETag"),
        pytest.param({"kms_default": True}, AMAZON._replace(etag_is_md5=False), id="KMS"),
        pytest.param({"allow": frozenset({"PutObject"})}, AMAZON._replace(can_read=False), id="write only"),
        pytest.param(
            {"ignore_content_md5": True, "ignore_checksums": True},
            AMAZON._replace(checksum_refused=False, md5_refused=False),
            id="no checks",
        ),
    ],
)
def test_what_the_store_does_is_found_out(
    probe: Probe, s3_server: Any, store: dict[str, Any], found: Capabilities, integrity: str
) -> None:
    server = s3_server(**store)
    probed = probe(server, INTEGRITY=integrity)
    kms, can_delete = bool(store.get("kms_default")), "allow" not in store
    assert probed == found._replace(encrypted_by_kms=kms, can_delete=can_delete)
    assert set(server.objects("bucket")) == (set() if probed.can_delete else {PROBE})


@pytest.mark.parametrize("ignored", ["md5", "crc32"])
def test_checks_of_both_digests_are_told_apart(probe: Probe, s3_server: Any, ignored: str) -> None:
    ignore = {"md5": "ignore_content_md5", "crc32": "ignore_checksums"}[ignored]
    guard = probe(s3_server(**{ignore: True}), INTEGRITY="crc32")
    assert (guard.md5_refused, guard.checksum_refused) == (ignored != "md5", ignored != "crc32")


def test_probe_object_stays_where_it_may_not_be_deleted_and_the_next_probe_finds_the_same(
    probe: Probe, s3_server: Any
) -> None:
    server = s3_server(allow=READER)
    first = probe(server)
    assert first == AMAZON._replace(can_delete=False)
    assert probe(server) == first


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "drop_before", "200_html"])
def test_fault_on_the_way_is_never_taken_for_what_the_store_does(
    probe: Probe, s3_server: Any, fault: str, at: int
) -> None:
    puts = []

    def hook(operation: str, key: str, request: object) -> Rule | None:
        if operation != "PutObject":
            return None
        puts.append(key)
        return Rule(fault) if len(puts) == at + 1 else None

    try:
        found = probe(s3_server(hook=hook))
    except TransientError:
        return
    assert found == AMAZON


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "RequestTimeout"])
def test_delete_that_fails_is_not_taken_for_refused(probe: Probe, s3_server: Any, fault: str) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, operation="DeleteObject", count=1))
    with pytest.raises(TransientError):
        probe(server)
    assert probe(server).can_delete
    assert server.objects("bucket") == {}


@pytest.mark.parametrize("fault", ["AccessDenied", "MethodNotAllowed", "NotImplemented", "InvalidRequest"])
def test_store_that_deletes_nothing_for_us_is_probed_all_the_same(
    probe: Probe, s3_server: Any, fault: str
) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, operation="DeleteObject"))
    assert probe(server) == AMAZON._replace(can_delete=False)


def test_delete_that_nobody_may_ask_for_stops_the_run(probe: Probe, s3_server: Any) -> None:
    server = s3_server()
    server.rules.add(Rule("InvalidAccessKeyId", operation="DeleteObject"))  # a 403 too
    with pytest.raises(FatalError):
        probe(server)


@pytest.mark.parametrize(
    "code", ["AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "RequestTimeTooSkewed"]
)
def test_refusal_is_named_with_its_remedy(probe: Probe, s3_server: Any, code: str) -> None:
    server = s3_server()
    server.rules.add(Rule(code, operation="PutObject"))
    with pytest.raises(FatalError):
        probe(server)


@pytest.mark.parametrize(
    ("wanted", "refused", "computed"),
    [("md5", True, "md5"), ("md5", False, "md5"), ("crc32", True, "crc32"), ("crc32", False, "md5")],
)
def test_bodies_are_hashed_with_what_the_store_checks(wanted: str, refused: bool, computed: str) -> None:
    probed = AMAZON._replace(checksum_refused=refused)
    assert capabilities.integrity(probed, settings_with(INTEGRITY=wanted)) == computed


@pytest.mark.parametrize(
    ("lacks", "values", "said"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({"if_none_match": False}, {}, ["sends a HEAD before each PUT"], id="overwrites"),
        pytest.param({"if_none_match": False}, {"ON_EXISTING": "overwrite"}, [], id="overwrites as asked"),
        pytest.param({"etag_is_md5": False}, {}, ["ETag is not an MD5"], id="ETag"),
        pytest.param({"checksum_refused": False}, {}, [], id="checksum that the ETag replaces"),
        pytest.param({"can_read": False}, {}, ["s3:GetObject is not granted"], id="reading"),
        pytest.param(
            {"checksum_refused": False, "etag_is_md5": False},
            {},
            ["ETag is not an MD5", "does not refuse a wrong md5", "nothing in the store proves the bytes"],
            id="no proof",
        ),
        pytest.param(
            {"checksum_refused": False},
            {"INTEGRITY": "crc32"},
            ["does not refuse a wrong crc32", "nothing in the store proves the bytes"],
            id="no proof of a CRC",
        ),
    ],
)
def test_what_the_store_lacks_is_said(
    caplog: pytest.LogCaptureFixture, lacks: dict[str, bool], values: dict[str, str], said: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        capabilities.log_capabilities(AMAZON._replace(**lacks), settings_with(**values))
    assert len(caplog.messages) == len(said), caplog.messages
    assert all(words in message for words, message in zip(said, caplog.messages))


def test_checksum_that_the_etag_replaces_is_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        capabilities.log_capabilities(AMAZON._replace(checksum_refused=False), settings_with())
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert "does not check the MD5 of an upload; its ETag is compared instead" in record.getMessage()


def test_store_that_could_overwrite_unseen_stops_the_run() -> None:
    blind = AMAZON._replace(if_none_match=False, can_read=False)
    with pytest.raises(
        FatalError, match=r"(?s)overwritten unseen.*ON_EXISTING=overwrite.*s3:GetObject.*bucket/images/\*"
    ):
        capabilities.log_capabilities(blind, settings_with())
    capabilities.log_capabilities(blind, settings_with(ON_EXISTING="overwrite"))
