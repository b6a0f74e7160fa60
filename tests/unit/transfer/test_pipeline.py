"""One URL's way: attempts counted, permanent failures once, and nothing of a wrong body is ever stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.cdn.buffer_pool import BufferPool
from cdn2s3.cdn.sources import Sources
from cdn2s3.destinations.base import PART_BYTES
from cdn2s3.destinations.s3.destination import open_bucket
from cdn2s3.errors import Cancelled, FatalError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import S3
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.rate_limit import Bandwidth
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.transfer.outcome import Result
from cdn2s3.transfer.pipeline import Endpoints, Site, Transfer, TransferPolicy
from cdn2s3.transfer.wiring import digests_for
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.source_bodies import BODIES
from tests.tiers import slow

KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}
pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")


NOT_HERE = {  # those that only the time limit ends
    "endless", "endless_no_length", "drip_body", "stall_body", "stall_no_length",
}  # fmt: skip


class World:
    """A CDN, a bucket, and a transfer between them."""

    def __init__(
        self, source: SourceServer, s3: S3Server, settings: MigrationSettings, transfer: Transfer
    ) -> None:
        self.source, self.s3, self.settings, self.transfer = source, s3, settings, transfer

    def move(self, name: str, fault: str = "", size: int | None = None) -> Result:
        url = self.source.url_of(name, fault, size)
        return self.transfer.move(url, key_maker(self.settings).address(url), S3)

    def objects(self) -> dict[str, bytes]:
        return {key: item.read() for key, item in self.s3.objects("bucket").items() if "probe" not in key}


Make = Callable[..., World]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    for name, value in {**KEYS, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("cdn2s3.resilience.retry.backoff", lambda failures: 0.001)
    closing: list[Callable[[], None]] = []

    @contextmanager
    def servers() -> Iterator[None]:
        try:
            yield
        finally:
            for close in reversed(closing):
                close()

    def world(s3: dict[str, Any] | None = None, **file: str) -> World:
        source, bucket = SourceServer(), S3Server(**(s3 or {}))
        stop = threading.Event()
        given = {
            "DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": bucket.url, "URL_PREFIX": source.url_prefix,
            "DOWNLOAD_TIMEOUT": "2", "UPLOAD_TIMEOUT": "5", **file,
        }  # fmt: skip
        settings = build(MigrationSettings, given, {}, Path("migration.env"))
        adapter = PooledAdapter(4)
        closing.extend([source.close, bucket.close, adapter.close])
        images = Sources(source.url_prefix, adapter, stop)
        store = open_bucket(settings, adapter)
        store.prepare()
        endpoints = Endpoints(
            [Endpoint("source", 4, 60, stop, images.clients[0].probe)],
            Endpoint("bucket", 4, 60, stop, store.is_up),
        )
        reader = BodyReader("image", settings.max_buffer_bytes, digests_for(store), PART_BYTES)
        site = Site(store, endpoints.destinations[0], reader)
        policy = TransferPolicy(RetryPolicy(3), 2.0, 5.0)
        pool = BufferPool(400_000_000, stop)
        transfer = Transfer(images, {S3: site}, endpoints, pool, Bandwidth(0), policy, stop)
        return World(source, bucket, settings, transfer)

    with servers():
        yield world


@pytest.mark.parametrize("method", ["signed", "put_object"])
@pytest.mark.parametrize("integrity", ["md5", "crc32", "auto"])
def test_image_is_moved(make: Make, method: str, integrity: str) -> None:
    world = make(UPLOAD_METHOD=method, INTEGRITY=integrity)
    result = world.move("a.jpg")
    body = world.source.body(result.url)
    assert world.objects() == {"images/a.jpg": body}
    assert (result.cause, result.attempts, result.retried, result.media_type) == ("", 1, (), "image/jpeg")
    assert result.stored is not None and result.stored.size == len(body)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("404", "not_found"),
        ("410", "not_found"),
        ("403", "forbidden"),
        ("html", "not_an_image"),
        ("empty", "empty"),
        ("204", "empty"),
        ("redirect_host", "forbidden"),
    ],
)
def test_permanent_failure_is_tried_once(make: Make, fault: str, cause: str) -> None:
    world = make()
    result = world.move("a.jpg", fault)
    assert (result.cause, result.attempts, result.retried) == (cause, 1, ())
    assert sum(world.source.requests.values()) == 1
    assert world.objects() == {}


def test_refusals_cost_no_connection(make: Make) -> None:
    world = make()
    for number, fault in enumerate(["404", "403", "410", "500.1", "redirect_fine", "429.1", ""]):
        world.move(f"{number}.jpg", fault)
    assert world.source.network.connections == 1


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("500", "server_error"),
        ("503", "server_error"),
        ("short_body", "truncated"),
        ("length_too_small", "truncated"),
        ("close", "connection"),
        ("garbage", "server_error"),
        ("206", "server_error"),
    ],
)
def test_transient_failure_is_tried_as_often_as_allowed(make: Make, fault: str, cause: str) -> None:
    world = make()
    result = world.move("a.jpg", fault)
    assert (result.cause, result.attempts, result.retried) == (cause, 4, (cause,) * 3)
    assert sum(world.source.requests.values()) == 4
    assert world.objects() == {}


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an endpoint that throttles everything be asked more often than once a second."""
    monkeypatch.setattr("cdn2s3.resilience.adaptive_rate.LEAST_RATE", 200.0)
    monkeypatch.setattr("cdn2s3.resilience.adaptive_rate.SECOND", 0.01)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("side", ["source", "bucket", "bucket, in parts"])
def test_attempts_that_were_throttled_do_not_count(make: Make, side: str) -> None:
    world = make(MAX_BUFFER_MB="1")
    operation = "UploadPart" if "parts" in side else "PutObject"
    if side != "source":
        world.s3.rules.add(Rule("SlowDown", operation=operation, count=9))
    size = 3_000_000 if "parts" in side else 20_000
    result = world.move("a.jpg", "429.9" if side == "source" else "", size)
    assert (result.cause, result.attempts, result.retried) == ("", 1, ("throttled",) * 9)
    assert list(world.objects().values()) == [world.source.body(result.url)]
    throttled = [bool(end._limits.rate) for end in world.transfer.endpoints]
    assert throttled == [side == "source", side != "source"]
    assert {end.in_flight for end in world.transfer.endpoints} == {0}


@pytest.mark.usefixtures("hurried")
def test_503_of_a_bucket_behind_the_cdn_is_told_by_its_code(make: Make) -> None:
    world = make()
    world.source.rules.add(Rule("s3_slow_down", count=5))
    result = world.move("a.jpg")
    assert (result.cause, result.attempts) == ("", 1)


@pytest.mark.parametrize("fault", ["500", "short_body", "chunked_cut", "no_length_cut", "reset"])
def test_failure_that_passes_is_counted_and_the_image_stored(make: Make, fault: str) -> None:
    world = make()
    result = world.move("a.jpg", f"{fault}.2")
    assert (result.cause, result.attempts, len(result.retried)) == ("", 3, 2)
    assert list(world.objects().values()) == [world.source.body(result.url)]


@pytest.mark.parametrize(
    "fault",
    sorted(set(BODIES) - NOT_HERE),
)
def test_only_the_images_bytes_are_ever_stored(make: Make, fault: str) -> None:
    world = make(MAX_BUFFER_MB="1")
    result = world.move("a.jpg", fault)
    stored = list(world.objects().values())
    assert stored == ([] if result.stored is None else [world.source.body(result.url)])


@pytest.mark.parametrize(
    "fault", ["", "short_body", slow("chunked"), "chunked_cut", slow("chunked_no_end"), slow("no_length_cut")]
)
def test_large_body_is_stored_whole_or_not_at_all(make: Make, fault: str) -> None:
    world = make(MAX_BUFFER_MB="1")
    result = world.move("a.jpg", fault, size=9_000_000)
    good = fault in ("", "chunked")
    assert (result.cause, result.attempts) == (("", 1) if good else ("truncated", 4))
    assert list(world.objects().values()) == ([world.source.body(result.url)] if good else [])
    assert not world.s3.store._uploads


@pytest.mark.parametrize(
    ("fault", "retried"),
    [
        ("500_after_store", 1),
        ("drop_after_store", 0),
        ("BadDigest", 1),
        ("200_without_etag", 1),
        ("200_html", 1),
    ],
)
@pytest.mark.parametrize("integrity", ["auto", "md5"])
def test_upload_that_fails_once_is_made_again(make: Make, fault: str, retried: int, integrity: str) -> None:
    world = make(INTEGRITY=integrity)
    world.s3.rules.add(Rule(fault, operation="PutObject", count=1, pattern="a.jpg"))
    result = world.move("a.jpg")
    assert (result.cause, result.retried) == ("", ("destination",) * retried)
    assert list(world.objects().values()) == [world.source.body(result.url)]
    assert sum(world.source.requests.values()) == 1  # the image is not downloaded again


@pytest.mark.parametrize("fault", ["200_wrong_etag", "corrupt_store"])
def test_upload_whose_etag_is_not_the_md5_of_the_bytes_is_made_again(make: Make, fault: str) -> None:
    world = make(INTEGRITY="md5")
    world.s3.rules.add(Rule(fault, operation="PutObject", count=1, pattern="a.jpg"))
    result = world.move("a.jpg")
    assert (result.cause, result.retried) == ("", ("destination",))
    assert list(world.objects().values()) == [world.source.body(result.url)]


def test_corrupt_object_of_ours_is_taken_away_when_it_cannot_be_made_good(make: Make) -> None:
    world = make(INTEGRITY="md5")
    world.s3.rules.add(Rule("corrupt_store", operation="PutObject", pattern="a.jpg"))
    assert (world.move("a.jpg").cause, world.objects()) == ("destination", {})


def test_other_content_at_the_key_is_a_conflict_and_stays(make: Make) -> None:
    world = make()
    world.s3.put("bucket", "images/a.jpg", b"theirs")
    result = world.move("a.jpg")
    assert (result.cause, result.attempts) == ("conflict", 1)
    assert world.objects() == {"images/a.jpg": b"theirs"}


@pytest.mark.parametrize("size", [None, 9_000_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("fault", "readable", "cause"),
    [("MethodNotAllowed", True, "destination"), ("AccessDenied", False, "unverified")],
)
def test_object_that_cannot_be_looked_for_is_not_overwritten(
    make: Make, size: int | None, fault: str, readable: bool, cause: str
) -> None:
    world = make({"ignore_if_none_match": True}, MAX_BUFFER_MB="1")
    bucket: Any = world.transfer.sites[S3].destination
    bucket._known = bucket.capabilities._replace(can_read=readable)
    world.s3.rules.add(Rule(fault, operation="HeadObject"))
    world.s3.put("bucket", "images/a.jpg", b"theirs")
    assert world.move("a.jpg", size=size).cause == cause
    assert set(world.objects().values()) == {b"theirs"}


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "ExpiredToken", "PermanentRedirect"])
def test_fatal_answer_stops_the_run(make: Make, code: str) -> None:
    world = make()
    world.s3.rules.add(Rule(code, pattern="a.jpg"))
    with pytest.raises(FatalError, match=code):
        world.move("a.jpg")


@pytest.mark.parametrize(
    "code", ["AccessDenied", "NoSuchBucket", "ExpiredToken", "PermanentRedirect", "InvalidAccessKeyId"]
)
def test_fatal_answer_to_the_probe_stops_the_run(make: Make, code: str) -> None:
    world = make()
    world.s3.rules.add(Rule(code))
    with pytest.raises(FatalError, match=code):
        world.transfer.sites[S3].destination.is_up()


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "200_html", "drop_before", "InvalidRequest"])
def test_other_answers_to_the_probe_are_an_outage(make: Make, fault: str) -> None:
    world = make()
    world.s3.rules.add(Rule(fault))
    assert world.transfer.sites[S3].destination.is_up() is False
    world.s3.rules.clear()
    assert world.transfer.sites[S3].destination.is_up() is True


def test_probe_is_deleted_when_the_transfer_is_closed(make: Make) -> None:
    world = make()
    asked = len(world.s3.log)
    world.transfer.close()
    assert len(world.s3.log) == asked  # nothing was put since the guard probe
    world.transfer.sites[S3].destination.is_up()
    assert "images/.cdn2s3-probe-up" in world.s3.objects("bucket")
    world.transfer.close()
    assert world.s3.objects("bucket") == {}


@pytest.mark.parametrize("failures", [2, None], ids=["that passes", "that lasts"])
def test_probe_is_deleted_after_a_failure(make: Make, failures: int | None) -> None:
    world = make(UPLOAD_TIMEOUT="1")
    world.transfer.sites[S3].destination.is_up()
    world.s3.rules.add(Rule("InternalError", operation="DeleteObject", count=failures))
    began = time.monotonic()
    world.transfer.close()  # never raises
    assert bool(world.s3.objects("bucket")) == (failures is None)
    assert time.monotonic() - began < 30


class Counted(Bandwidth):
    """Note what is told of each download."""

    def __init__(self) -> None:
        super().__init__(0)
        self.told: list[int] = []

    def received(self, size: int) -> None:
        self.told.append(size)


@pytest.mark.parametrize("size", [300_000, slow(9_000_000)], ids=["small", "large"])
@pytest.mark.parametrize(
    ("fault", "share"),
    [
        ("", 1.0),
        ("404", 0.0),
        ("close", 0.0),
        ("short_body", 0.5),
        ("chunked_cut", 0.5),
        ("no_length_cut", 0.5),
    ],
)
def test_bytes_that_came_count_towards_the_bandwidth(make: Make, fault: str, share: float, size: int) -> None:
    world = make(MAX_BUFFER_MB="1")
    world.transfer.bandwidth = counted = Counted()
    result = world.move("a.jpg", fault, size=size)
    assert counted.told == pytest.approx([share * size] * result.attempts, rel=0.01)


def test_rejected_body_counts_towards_the_bandwidth(make: Make) -> None:
    world = make()
    world.transfer.bandwidth = counted = Counted()
    assert world.move("a.jpg", "html").cause == "not_an_image"
    assert counted.told[0] > 0


def test_stop_ends_a_download(make: Make) -> None:
    world = make()
    timer = threading.Timer(0.1, world.transfer.stop.set)
    timer.start()
    with pytest.raises(Cancelled):
        world.move("a.jpg", "stall_body")
    timer.join()
    assert [endpoint.in_flight for endpoint in world.transfer.endpoints] == [0, 0]


def test_body_waits_for_room(make: Make) -> None:
    world = make()
    buffer_pool = world.transfer.buffer_pool
    lent = buffer_pool.acquire(399_000_000, wait=True)
    timer = threading.Timer(0.2, buffer_pool.release, [lent])
    timer.start()
    result = world.move("a.jpg", size=2_000_000)
    timer.join()
    assert (result.cause, result.attempts, result.retried) == ("", 1, ())
    assert sum(world.source.requests.values()) == 1  # it was kept, and not asked for again
    assert buffer_pool.acquire(400_000_000, wait=False) is not None
