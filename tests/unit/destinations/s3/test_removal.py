"""Undoing single objects of a bucket: what the probe finds out, and that nothing but ours is ever removed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.base import Found
from cdn2s3.destinations.removal import Fate
from cdn2s3.destinations.s3.capabilities import Support
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe_delete import DeleteSupport, probe_delete
from cdn2s3.destinations.s3.probe_requests import probe_keys
from cdn2s3.destinations.s3.removal import S3Remover
from cdn2s3.destinations.s3.versions import versions_of
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.store import StoredObject

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
KEY = "images/a.jpg"
PROBE = "images/.cdn2s3-probe-delete"
ALL = frozenset(
    {"PutObject", "GetObject", "ListBucket", "DeleteObject", "DeleteObjectVersion", "ListBucketVersions"}
)


class Bench:
    """A store, and what undoes in it."""

    def __init__(self, server: S3Server, adapter: PooledAdapter) -> None:
        self.server = server
        values = {
            "DESTINATION_BUCKET": "bucket",
            "DESTINATION_PREFIX": "images/",
            "AWS_ENDPOINT_URL": server.url,
        }
        self.settings: MigrationSettings = build(
            MigrationSettings, {**values, "MAX_RETRIES": "0"}, {}, Path("migration.env")
        )
        self.client = S3Client(self.settings, adapter)

    def probed(self) -> DeleteSupport:
        return probe_delete(self.settings, Objects(self.settings, self.client), lambda seconds: None)

    def remover(self) -> S3Remover:
        remover = S3Remover(self.settings, S3Destination(self.settings, self.client))
        remover.prepare()
        return remover

    def put(self, body: bytes, key: str = KEY) -> StoredObject:
        return self.server.put("bucket", key, body)

    def content(self, key: str = KEY) -> bytes | None:
        held = self.server.objects("bucket").get(key)
        return None if held is None else held.read()


def found(item: StoredObject) -> Found:
    return Found(item.key, item.size, item.md5)


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, s3_server: Callable[..., S3Server]
) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    adapter = PooledAdapter(2)
    yield lambda **store: Bench(s3_server(**store), adapter)
    adapter.close()


# --- the probe


@pytest.mark.parametrize("is_left", [False, True], ids=["", "after one that was killed"])
@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ({}, DeleteSupport(Support.HONORED, False)),
        ({"versioned": True}, DeleteSupport(Support.HONORED, True)),
        ({"demands_if_match": True}, DeleteSupport(Support.HONORED, False)),
        ({"delete_if_match": "ignore"}, DeleteSupport(Support.IGNORED, False)),
        ({"delete_if_match": "refuse"}, DeleteSupport(Support.REFUSED, False)),
        ({"delete_if_match": "400"}, DeleteSupport(Support.REFUSED, False)),
        ({"delete_if_match": "405", "versioned": True}, DeleteSupport(Support.REFUSED, True)),
        ({"if_none_match_status": 501}, DeleteSupport(Support.HONORED, False)),
        ({"allow": ALL - {"GetObject"}}, DeleteSupport(Support.UNKNOWN, False)),
        ({"etag_mode": "weak"}, DeleteSupport(Support.HONORED, False)),
        ({"write_interval": 0.05}, DeleteSupport(Support.HONORED, False)),
    ],
)
def test_probe_asks_both_ways_and_leaves_nothing(
    bench: Callable[..., Bench], store: dict[str, Any], expected: DeleteSupport, is_left: bool
) -> None:
    made = bench(**store)
    if is_left and "GetObject" in store.get("allow", ALL):
        made.put(b"left by a probe that was killed", PROBE)
    assert made.probed() == expected
    assert made.server.store.history("bucket", "images/") == []
    assert PROBE in probe_keys(made.settings), "a listing ignores it"


def test_probe_of_a_role_that_may_not_write_knows_nothing(bench: Callable[..., Bench]) -> None:
    made = bench(allow=ALL - {"PutObject"})
    assert made.probed() == DeleteSupport(Support.UNKNOWN, None)


def test_probe_of_a_store_that_is_down_does_not_guess(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.server.rules.add(Rule("InternalError"))
    with pytest.raises(TransientError):
        made.probed()
    with pytest.raises(FatalError, match="cannot be reached"):
        made.remover()


def test_probe_object_that_another_run_deletes_meanwhile_misleads_nobody(bench: Callable[..., Bench]) -> None:
    made = bench()
    deletes = iter((True, False, False, False))

    def disturb(operation: str, key: str, request: object) -> None:
        if operation == "DeleteObject" and next(deletes, False):
            made.server.store.delete("bucket", PROBE)

    made.server.hook = disturb
    assert made.probed() == DeleteSupport(Support.HONORED, False)


# --- removing

STORES = [
    {},
    {"versioned": True},
    {"delete_if_match": "ignore"},
    {"delete_if_match": "refuse"},
    {"delete_if_match": "refuse", "versioned": True},
    {"allow": ALL - {"PutObject"}},
    {"allow": ALL - {"ListBucket"}},
    {"etag_mode": "weak"},
]


@pytest.mark.parametrize("store", STORES)
def test_ours_goes_and_what_has_changed_stays(bench: Callable[..., Bench], store: dict[str, Any]) -> None:
    made = bench(**store)
    remover = made.remover()
    ours = found(made.put(b"ours"))
    assert remover.remove(ours, Deadline(5)).fate is Fate.REMOVED
    assert made.content() is None
    made.put(b"theirs, longer")
    assert remover.remove(ours, Deadline(5)).fate is Fate.CHANGED
    made.put(b"hers")
    assert remover.remove(ours, Deadline(5)).fate is Fate.CHANGED
    assert made.content() == b"hers"


@pytest.mark.parametrize("store", STORES[:6])
def test_what_is_gone_is_gone(bench: Callable[..., Bench], store: dict[str, Any]) -> None:
    made = bench(**store)
    remover = made.remover()
    ours = found(made.put(b"ours"))
    made.server.store.delete("bucket", KEY)
    assert remover.remove(ours, Deadline(5)).fate is Fate.ABSENT


def test_condition_and_version_are_never_sent_together(bench: Callable[..., Bench]) -> None:
    made = bench(versioned=True)
    remover = made.remover()
    removal = remover.remove(found(made.put(b"ours")), Deadline(5))
    assert removal.fate is Fate.REMOVED and removal.version.startswith("v")
    deletes = [entry for entry in made.server.requests("DeleteObjectVersion") if entry.key == KEY]
    assert deletes and all("if-match" not in entry.headers for entry in deletes)


def test_an_object_of_before_versioning_has_the_version_null(bench: Callable[..., Bench]) -> None:
    made = bench()
    ours = found(made.put(b"ours"))
    made.server.store.bucket("bucket").versioned = True
    assert made.remover().remove(ours, Deadline(5)).version == "null"
    assert made.content() is None


def test_etag_is_sent_quoted(bench: Callable[..., Bench]) -> None:
    made = bench()
    remover = made.remover()
    ours = found(made.put(b"ours"))
    remover.remove(ours._replace(etag=f"W/{ours.etag}"), Deadline(5))
    sent = [entry.headers["if-match"] for entry in made.server.requests("DeleteObject") if entry.key == KEY]
    assert sent == [f'"{ours.etag}"'], "quoted, and strong where a proxy has weakened it"


def test_without_reading_nothing_is_removed_where_no_condition_protects(bench: Callable[..., Bench]) -> None:
    made = bench(allow=ALL - {"GetObject", "ListBucket"}, delete_if_match="ignore")
    remover = made.remover()
    removal = remover.remove(found(made.put(b"ours")), Deadline(5))
    assert removal.fate is Fate.REFUSED and "s3:GetObject" in removal.said
    assert made.content() == b"ours"


def test_what_covers_our_own_is_hidden_with_it(bench: Callable[..., Bench]) -> None:
    made = bench(versioned=True)
    remover = made.remover()
    made.put(b"older")
    assert remover.remove(found(made.put(b"newer")), Deadline(5), covers_ours=True).fate is Fate.HIDDEN
    assert made.content() is None


# --- going back


def test_goes_back_to_the_version_below(bench: Callable[..., Bench]) -> None:
    made = bench(versioned=True)
    remover = made.remover()
    older = made.put(b"older")
    made.put(b"another's", KEY + "x")
    newer = made.put(b"newer")
    removal = remover.go_back(found(newer), int(time.time()), Deadline(5), is_again=False)
    assert removal.fate is Fate.WENT_BACK and removal.below is not None
    assert (removal.below.etag, removal.below.size, removal.below.is_first) == (older.md5, 5, True)
    assert made.content() == b"older"
    # Killed before it was recorded, the same is found again; without such an undo it is somebody else's.
    later = int(time.time()) + 10
    again = remover.go_back(found(newer), later, Deadline(5), is_again=True)
    assert again.fate is Fate.WENT_BACK and again.below == removal.below
    assert remover.go_back(found(newer), later, Deadline(5), is_again=False).fate is Fate.CHANGED


@pytest.mark.parametrize("below", ["nothing", "marker"])
def test_stays_where_no_version_is_below(bench: Callable[..., Bench], below: str) -> None:
    made = bench(versioned=True)
    remover = made.remover()
    if below == "marker":
        made.put(b"older")
        made.server.store.delete("bucket", KEY)
    newer = found(made.put(b"newer"))
    assert remover.go_back(newer, 0, Deadline(5), is_again=False).fate is Fate.NOTHING_BELOW
    assert made.content() == b"newer"


def test_what_came_over_ours_stays(bench: Callable[..., Bench]) -> None:
    made = bench(versioned=True)
    remover = made.remover()
    made.put(b"older")
    newer = found(made.put(b"newer"))
    made.put(b"theirs")
    for is_again in (False, True):
        removal = remover.go_back(newer, int(time.time()) + 10, Deadline(5), is_again)
        assert removal.fate is Fate.CHANGED
    assert made.content() == b"theirs"


@pytest.mark.parametrize("missing", ["ListBucketVersions", "DeleteObjectVersion"])
def test_permission_that_going_back_lacks_is_named(bench: Callable[..., Bench], missing: str) -> None:
    made = bench(versioned=True, allow=ALL - {missing})
    remover = made.remover()
    made.put(b"older")
    newer = found(made.put(b"newer"))
    removal = remover.go_back(newer, 0, Deadline(5), is_again=False)
    assert removal.fate is Fate.REFUSED and f"s3:{missing}" in removal.said
    assert made.content() == b"newer"


@pytest.mark.parametrize("key", ["images/a b+c.jpg", "images/ü%2F.jpg", "images/&<x>.jpg"])
def test_versions_are_those_of_the_very_key(bench: Callable[..., Bench], key: str) -> None:
    made = bench(versioned=True)
    bodies = [made.put(body, key) for body in (b"one", b"two")]
    made.put(b"other", key + ".bak")
    listed = versions_of(made.client, key, Deadline(5))
    assert [(version.etag, version.size) for version in listed] == [
        (item.md5, item.size) for item in bodies[::-1]
    ]
