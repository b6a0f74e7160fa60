"""What the guard probe finds out about a store, how it survives one that fails, and what a run says of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.capabilities import (
    ALL_HONORED,
    ALL_IGNORED,
    Capabilities,
    Condition,
    Support,
)
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe import probe_capabilities
from cdn2s3.destinations.s3.probe_requests import NAMES, probe_keys
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.tiers import neighbors

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
PUT, CRC32, NEW, PARTS = (f"images/.cdn2s3-probe-{name}" for name in ("put", "crc32", "new", "parts"))
LEFT = (PUT, CRC32, NEW, PARTS)  # where nothing may be deleted
# As a run under INTEGRITY=auto finds it; the other settings ask less.
AMAZON = Capabilities(
    etag_is_md5=True, checksum_refused=True, can_read=True, crc32_refused=True, answers_md5=True
)
NOT_ASKED = {
    "md5": {"crc32_refused": False, "answers_md5": False},
    "crc32": {"answers_md5": False},
    "auto": {},
}
ALL_REFUSED = dict.fromkeys(ALL_HONORED, Support.REFUSED)
NO_MD5 = AMAZON._replace(etag_is_md5=False, answers_md5=False)
UNPROTECTED_PARTS = {**ALL_HONORED, Condition.NEW_BY_PARTS: Support.IGNORED}
UNCHECKED = {"checksum_refused": False, "crc32_refused": False, "answers_md5": False}
READER = frozenset({"PutObject", "GetObject"})
Probe = Callable[..., Capabilities]


def settings_with(**values: str) -> MigrationSettings:
    return build(MigrationSettings, {"DESTINATION_BUCKET": "bucket", **values}, {}, Path("migration.env"))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    adapter = PooledAdapter(2)

    def probed(
        server: S3Server, sleep: Callable[[float], object] = lambda seconds: None, **values: str
    ) -> Capabilities:
        settings = settings_with(AWS_ENDPOINT_URL=server.url, **{"MAX_RETRIES": "0", **values})
        return probe_capabilities(settings, Objects(settings, S3Client(settings, adapter)), sleep)

    yield probed
    adapter.close()


@pytest.mark.parametrize("gone", [PUT, NEW])
@pytest.mark.parametrize("after", range(1, 5))
def test_probe_object_that_another_run_deletes_meanwhile_misleads_nobody(
    probe: Probe, s3_server: Any, monkeypatch: pytest.MonkeyPatch, after: int, gone: str
) -> None:
    server, puts, put = s3_server(), 0, Objects.put

    def deleted_once_after_so_many(*arguments: Any, **more: Any) -> Any:
        nonlocal puts
        reply = put(*arguments, **more)
        puts += 1
        if puts == after:
            server.store.delete("bucket", gone)
        return reply

    monkeypatch.setattr(Objects, "put", deleted_once_after_so_many)
    assert probe(server)._replace(listing_repeats_etag=True) == AMAZON  # None where there was nothing to list


@pytest.mark.parametrize("integrity", ["md5", "crc32", "auto"])
@pytest.mark.parametrize(
    ("store", "found"),
    [
        pytest.param({}, AMAZON, id="all that Amazon checks"),
        pytest.param(
            {"ignore_if_none_match": True}, AMAZON._replace(conditions=ALL_IGNORED), id="overwrites"
        ),
        pytest.param(
            {"complete_ignores_if_none_match": True},
            AMAZON._replace(conditions=UNPROTECTED_PARTS),
            id="overwrites by parts (Ceph)",
        ),
        pytest.param(
            {"replaces_on_412": True}, AMAZON._replace(conditions=ALL_IGNORED), id="412, and writes"
        ),
        pytest.param({"always_412": True}, AMAZON._replace(conditions=ALL_REFUSED), id="412 always"),
        pytest.param({"if_none_match_status": 501}, AMAZON._replace(conditions=ALL_REFUSED), id="501"),
        pytest.param(
            {"takes_parts": False},
            AMAZON._replace(
                conditions={**ALL_HONORED, Condition.NEW_BY_PARTS: Support.REFUSED}, takes_parts=False
            ),
            id="no parts",
        ),
        pytest.param({"completion_without_etag": True}, AMAZON, id="no ETag of a completion (Ceph)"),
        pytest.param({"listing_etag": "weak"}, AMAZON, id="weak ETag in the listing"),
        pytest.param(
            {"listing_etag": "other"},
            AMAZON._replace(listing_repeats_etag=False),
            id="other ETag in the listing",
        ),
        pytest.param({"key_count": "bucket"}, AMAZON, id="KeyCount of the bucket"),
        pytest.param(
            {"not_kept": frozenset({"content-type"})},
            AMAZON._replace(not_kept=("Content-Type",)),
            id="no type",
        ),
        pytest.param({"signed_bodies_only": True}, AMAZON._replace(signs_payload=True), id="signed bodies"),
        pytest.param({"object_lock": True, "versioned": True}, AMAZON, id="Object Lock"),
        pytest.param({"write_interval": 0.05}, AMAZON, id="a write a second"),
        pytest.param({"if_none_match_status": 304}, AMAZON, id="304"),
        pytest.param({"etag_mode": "random"}, NO_MD5, id="random ETag"),
        pytest.param({"kms_default": True}, NO_MD5, id="KMS"),
        pytest.param(
            {"allow": frozenset({"PutObject"})},
            AMAZON._replace(can_read=False, listing_repeats_etag=None, left=LEFT),
            id="write only",
        ),
        pytest.param(
            {"ignore_content_md5": True, "ignore_checksums": True},
            AMAZON._replace(
                checksum_refused=False, md5_refused=False, crc32_refused=False, answers_md5=False
            ),
            id="no checks",
        ),
    ],
)
def test_what_the_store_does_is_found_out(
    probe: Probe, s3_server: Any, store: dict[str, Any], found: Capabilities, integrity: str
) -> None:
    server = s3_server(**store)
    interval = store.get("write_interval", 0.0)
    probed = probe(server, lambda seconds: time.sleep(interval), INTEGRITY=integrity)
    kms, can_delete = bool(store.get("kms_default")), "allow" not in store
    left = found.left if integrity == "auto" else tuple(key for key in found.left if key != CRC32)
    found = found._replace(encrypted_by_kms=kms, can_delete=can_delete, left=left, **NOT_ASKED[integrity])
    assert probed == found
    assert set(server.objects("bucket")) == set(probed.left)
    assert server.store.uploads("bucket") == []


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
    assert first == AMAZON._replace(can_delete=False, listing_repeats_etag=None, left=LEFT)
    assert probe(server) == first._replace(
        left=(PUT, CRC32)
    )  # the others are there already: nothing was stored


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("fault", neighbors("InternalError", "SlowDown", "drop_before", "200_html"))
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


@pytest.mark.parametrize("fault", ["InternalError", "RequestTimeout"])
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
    assert probe(server) == AMAZON._replace(can_delete=False, left=LEFT)


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
    [
        ("md5", True, "md5"),
        ("md5", False, "md5"),
        ("crc32", True, "crc32"),
        ("crc32", False, "md5"),
        ("auto", True, "auto"),
    ],
)
def test_bodies_are_hashed_with_what_the_store_checks(wanted: str, refused: bool, computed: str) -> None:
    probed = AMAZON._replace(checksum_refused=refused)
    assert capabilities.integrity(probed, settings_with(INTEGRITY=wanted)) == computed


@pytest.mark.parametrize(
    ("lacks", "values", "said"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param(
            {"conditions": ALL_IGNORED},
            {},
            [
                "ignores If-None-Match on PUT: the run sends a HEAD before each PUT (slower), compares, then writes, "
                "which is not atomic",
                "ignores If-None-Match on the completion of uploads in parts: the run sends a HEAD before each "
                "completion, compares, then writes, which is not atomic",
            ],
            id="overwrites",
        ),
        pytest.param(
            {"conditions": UNPROTECTED_PARTS},
            {},
            ["on the completion of uploads in parts"],
            id="overwrites by parts",
        ),
        pytest.param(
            {"conditions": ALL_REFUSED}, {}, ["refuses If-None-Match on PUT", "not atomic"], id="refuses"
        ),
        pytest.param({"conditions": ALL_IGNORED}, {"ON_EXISTING": "overwrite"}, [], id="overwrites as asked"),
        pytest.param({"takes_parts": False}, {}, ["takes no uploads in parts"], id="parts"),
        pytest.param({"signs_payload": True}, {}, ["forbids UNSIGNED-PAYLOAD"], id="signature"),
        pytest.param({"listing_repeats_etag": False}, {}, ["listing has other ETags"], id="listing"),
        pytest.param({"listing_repeats_etag": None}, {}, [], id="no listing"),
        pytest.param({"not_kept": ("Content-Type",)}, {}, ["does not keep Content-Type"], id="kept"),
        pytest.param(
            {}, {"STORAGE_CLASS": "DEEP_ARCHIVE"}, ["cannot be read before they are restored"], id="archive"
        ),
        pytest.param({}, {"STORAGE_CLASS": "GLACIER_IR"}, [], id="no archive"),
        pytest.param({"etag_is_md5": False}, {}, ["ETag is not an MD5"], id="ETag"),
        pytest.param(UNCHECKED, {}, [], id="checksum that the ETag replaces"),
        pytest.param({"can_read": False}, {}, ["s3:GetObject is not granted"], id="reading"),
        pytest.param(
            {**UNCHECKED, "etag_is_md5": False},
            {},
            ["ETag is not an MD5", "does not refuse a wrong md5", "nothing in the store proves the bytes"],
            id="no proof",
        ),
        pytest.param(
            {"checksum_refused": False, "etag_is_md5": False, "answers_md5": False},
            {},
            [
                "ETag is not an MD5",
                "does not refuse a wrong md5",
                "set INTEGRITY=crc32, which it checks; or run",
            ],
            id="no proof but a CRC",
        ),
        pytest.param(
            {"checksum_refused": False},
            {"INTEGRITY": "crc32"},
            ["does not refuse a wrong crc32", "nothing in the store proves the bytes"],
            id="no proof of a CRC",
        ),
    ],
)
def test_what_the_store_lacks_is_said(lacks: dict[str, Any], values: dict[str, str], said: list[str]) -> None:
    found = [
        note.text
        for note in capabilities.notes(AMAZON._replace(**lacks), settings_with(**values))
        if note.level >= logging.WARNING
    ]
    assert len(found) == len(said), found
    assert all(words in text for words, text in zip(said, found))


def test_checksum_that_the_etag_replaces_is_no_reason_to_warn() -> None:
    [note] = capabilities.notes(AMAZON._replace(**UNCHECKED), settings_with())
    assert note.level == logging.INFO
    assert "does not check the MD5 of an upload; its ETag is compared instead" in note.text


@pytest.mark.parametrize("conditions", [ALL_IGNORED, UNPROTECTED_PARTS], ids=["all", "parts"])
def test_store_that_could_overwrite_unseen_stops_the_run(conditions: Mapping[Condition, Support]) -> None:
    blind = AMAZON._replace(conditions=conditions, can_read=False)
    with pytest.raises(
        FatalError, match=r"(?s)overwritten unseen.*ON_EXISTING=overwrite.*s3:GetObject.*bucket/images/\*"
    ):
        capabilities.refuse_blind_overwriting(blind, settings_with())
    capabilities.refuse_blind_overwriting(blind, settings_with(ON_EXISTING="overwrite"))


# --- the probe itself


def test_each_question_has_a_key_of_its_own_and_all_are_known(probe: Probe, s3_server: Any) -> None:
    server = s3_server()
    probe(server, INTEGRITY="crc32")
    written = {key for _, key in server.store.writes}
    assert written <= probe_keys(settings_with())
    assert {key.rpartition("-")[2] for key in written} == {"put", "new", "parts"}
    assert "images/.cdn2s3-probe" in probe_keys(settings_with())  # of earlier versions
    assert len(NAMES) == len(set(NAMES))


def test_second_write_that_comes_too_soon_waits_more_than_a_second(probe: Probe, s3_server: Any) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(0.2)

    assert probe(s3_server(write_interval=0.2), sleep) == AMAZON
    assert waits and min(waits) > 1.0


@pytest.mark.parametrize("fault", ["InternalError", "SlowDown"])
def test_store_that_fails_one_in_four_requests_is_probed_all_the_same(
    probe: Probe, s3_server: Any, fault: str
) -> None:
    server, asked = s3_server(), 0

    def hook(operation: str, key: str, request: object) -> Rule | None:
        nonlocal asked
        asked += 1
        return Rule(fault) if asked % 4 == 0 else None

    server.hook = hook
    assert probe(server, MAX_RETRIES="3") == AMAZON


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_parts_that_keep_failing_are_unknown_and_end_nothing(
    probe: Probe, s3_server: Any, operation: str
) -> None:
    server = s3_server()
    server.rules.add(Rule("InternalError", operation=operation))
    unknown = {**ALL_HONORED, Condition.NEW_BY_PARTS: Support.UNKNOWN}
    assert probe(server) == AMAZON._replace(conditions=unknown)
    assert server.store.uploads("bucket") == []


@pytest.mark.parametrize("fault", ["InternalError", "NotImplemented", "AccessDenied", "MethodNotAllowed"])
def test_store_that_has_no_head_of_buckets_is_probed_all_the_same(
    probe: Probe, s3_server: Any, fault: str
) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, operation="HeadBucket"))
    assert probe(server) == AMAZON


HEADERS = {
    "STORAGE_CLASS": "STANDARD_IA",
    "SERVER_SIDE_ENCRYPTION": "AES256",
    "CACHE_CONTROL": "max-age=5",
}


def test_probe_has_the_headers_of_the_run_both_ways(probe: Probe, s3_server: Any) -> None:
    server = s3_server()
    assert probe(server, **HEADERS) == AMAZON
    sent = [*server.requests("PutObject"), *server.requests("CreateMultipartUpload")]
    assert {entry.headers.get("x-amz-storage-class") for entry in sent} == {"STANDARD_IA"}
    assert {entry.headers.get("x-amz-server-side-encryption") for entry in sent} == {"AES256"}
    assert {entry.headers.get("cache-control") for entry in sent} == {"max-age=5"}


def test_what_the_store_does_not_keep_is_named(probe: Probe, s3_server: Any) -> None:
    lost = frozenset({"x-amz-storage-class", "cache-control", "x-amz-server-side-encryption"})
    found = probe(s3_server(not_kept=lost), **HEADERS)
    assert found.not_kept == ("CACHE_CONTROL", "STORAGE_CLASS", "SERVER_SIDE_ENCRYPTION")


@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_bucket_that_is_absent_is_not_written_to(probe: Probe, s3_server: Any, method: str) -> None:
    server = s3_server(makes_buckets=True)
    with pytest.raises(FatalError, match="DESTINATION_BUCKET=typo does not exist"):
        probe(server, DESTINATION_BUCKET="typo", UPLOAD_METHOD=method)
    assert server.requests("PutObject") == []
    assert server.store.names(server.settings.owner) == ["bucket"]
