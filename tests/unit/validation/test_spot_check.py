"""The spot check reads both sides to their ends and tells every way in which they can be unequal."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.cdn.body_reader import BodyReader
from cdn2s3.cdn.buffer_pool import POOL_BYTES, BufferPool
from cdn2s3.cdn.digest import Md5
from cdn2s3.cdn.sources import Sources
from cdn2s3.destinations.base import PART_BYTES
from cdn2s3.destinations.s3.destination import open_bucket
from cdn2s3.errors import Cancelled, FatalError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.resilience.retry import RetryPolicy
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.state.ledger import Completed
from cdn2s3.transfer.pipeline import TransferPolicy
from cdn2s3.validation.body_comparison import Body
from cdn2s3.validation.expected import ADOPTED, DIFFERS, RECORDED, SEEN
from cdn2s3.validation.spot_check import Check, Sampled, SpotCheck, drawn, sampled
from tests.fakes.images import jpeg
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.scripted_cdn import ScriptedCdn
from tests.fakes.source import SourceServer
from tests.fakes.wire import Request, response
from tests.tiers import slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

MAX_BUFFER = 100_000  # bytes


class Both:
    """A CDN and a bucket, and the spot check between them."""

    def __init__(self, source: SourceServer, s3: S3Server, max_retries: int = 0) -> None:
        self.source, self.s3 = source, s3
        self.stop = threading.Event()
        values = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": s3.url}
        self.adapter = PooledAdapter(4)
        self.checker = SpotCheck(
            Sources(source.url_prefix, self.adapter, self.stop),
            open_bucket(build(MigrationSettings, values, {}, Path("migration.env")), self.adapter),
            BodyReader("image", MAX_BUFFER, Md5, PART_BYTES),
            KeyMaker(Naming(source.url_prefix, "images/", preserve=False)),
            BufferPool(POOL_BYTES, self.stop),
            TransferPolicy(RetryPolicy(max_retries), 2.0, 2.0),
            self.stop,
        )

    def check(
        self,
        url: str,
        md5: str = "m",
        media_type: str = "image/jpeg",
        finished: str = "now",
        source_etag: str = "-",
        source_modified: str = "-",
    ) -> Check:
        recorded = Completed(
            url, "images/a", "1", "e", md5, media_type, finished, "stored", source_etag, source_modified, "s3"
        )
        return self.checker.check(recorded)


@pytest.fixture
def both(
    source_server: Callable[..., SourceServer],
    s3_server: Callable[..., S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Both]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    made: list[Both] = []

    def make(max_retries: int = 0, **settings: object) -> Both:
        made.append(Both(source_server(), s3_server(**settings), max_retries))
        return made[-1]

    yield make
    for one in made:
        one.adapter.close()


def body_of(data: bytes) -> Body:
    return Body(len(data), hashlib.md5(data).hexdigest())


SIZES = [
    pytest.param(20_000, id="small"),
    pytest.param(MAX_BUFFER + 1, id="over MAX_BUFFER"),
    pytest.param(20_000_000, id="of several parts"),
]


@pytest.mark.parametrize("size", SIZES)
def test_check_of_equal_sides(both: Callable[..., Both], size: int) -> None:
    one = both()
    url = one.source.url_of("a", size=size)
    data = one.source.body(url)
    item = one.s3.put("bucket", "images/a", data)
    check = one.check(url)
    assert (check.outcome, check.message, check.media_type) == ("identical", "", "image/jpeg")
    assert check.source == check.object == body_of(data)
    assert check.etag == item.etag.strip('"')


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: flipped(data, 0), id="first byte"),
        slow(lambda data: flipped(data, len(data) // 2), id="a byte in the middle"),
        pytest.param(lambda data: flipped(data, len(data) - 1), id="last byte"),
        slow(lambda data: data[:-1], id="one byte less"),
        slow(lambda data: data[: len(data) // 3], id="much less"),
        slow(lambda data: b"", id="nothing"),
        pytest.param(lambda data: data + b"x", id="one byte more"),
        slow(lambda data: data + data, id="twice"),
    ],
)
def test_check_of_different_sides(
    both: Callable[..., Both], size: int, change: Callable[[bytes], bytes]
) -> None:
    one = both()
    url = one.source.url_of("a", size=size)
    data = one.source.body(url)
    one.s3.put("bucket", "images/a", change(data))
    check = one.check(url)
    assert (check.outcome, check.source, check.object) == ("different", body_of(data), body_of(change(data)))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        pytest.param("404", "source gone", id="404"),
        pytest.param("410", "source gone", id="410"),
        pytest.param("403", "source failed", id="403"),
        pytest.param("html", "source failed", id="web page"),
        pytest.param("empty", "source failed", id="empty"),
        pytest.param("503", "unanswered", id="503"),
        pytest.param("short_body", "unanswered", id="cut short"),
        pytest.param("close", "unanswered", id="no answer"),
    ],
)
def test_check_whose_source_does_not_give_the_image(
    both: Callable[..., Both], fault: str, outcome: str
) -> None:
    one = both()
    one.s3.put("bucket", "images/a", b"x")
    check = one.check(one.source.url_of("a", fault=fault))
    assert check.outcome == outcome
    assert check.message
    assert (check.source, check.object) == (None, None)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        pytest.param("NoSuchKey", "object gone", id="gone"),
        pytest.param("AccessDenied", "refused", id="not allowed"),
        pytest.param("SlowDown", "unanswered", id="throttled"),
        pytest.param("InternalError", "unanswered", id="server error"),
        pytest.param("InvalidRequest", "unanswered", id="odd error"),
        pytest.param("cut_answer", "unanswered", id="cut short"),
        pytest.param("drop_before", "unanswered", id="no answer"),
    ],
)
def test_check_whose_bucket_does_not_give_the_object(
    both: Callable[..., Both], fault: str, outcome: str
) -> None:
    one = both()
    url = one.source.url_of("a")
    one.s3.put("bucket", "images/a", one.source.body(url))
    one.s3.rules.add(Rule(fault, operation="GetObject"))
    check = one.check(url)
    assert check.outcome == outcome
    assert check.message


@pytest.mark.parametrize("fault", ["NoSuchBucket", "ExpiredToken"])
def test_check_that_no_other_would_pass_either(both: Callable[..., Both], fault: str) -> None:
    one = both()
    one.s3.rules.add(Rule(fault, operation="GetObject"))
    with pytest.raises(FatalError, match=fault):
        one.check(one.source.url_of("a"))


def test_check_with_faults_that_pass(both: Callable[..., Both], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdn2s3.resilience.retry.backoff", lambda failures: 0.0)
    one = both(max_retries=2)
    url = one.source.url_of("a", fault="503.1")
    one.s3.put("bucket", "images/a", one.source.body(url))
    one.s3.rules.add(Rule("InternalError", operation="GetObject", count=1))
    assert one.check(url).outcome == "identical"


def test_check_that_is_stopped(both: Callable[..., Both]) -> None:
    one = both(max_retries=9)
    threading.Timer(0.3, one.stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        one.check(one.source.url_of("a", fault="503"))
    assert time.monotonic() - began < 3


def test_check_of_an_adopted_record(both: Callable[..., Both]) -> None:
    one = both()
    assert one.check(one.source.url_of("a", fault="404"), "-", "-").adopted
    assert not one.check(one.source.url_of("a", fault="404"), "-").adopted  # INTEGRITY=crc32


# --- the record, the object and the CDN now ---

FINISHED = "2026-11-20T10:15:00Z"
LATER = "Fri, 20 Nov 2026 10:15:01 GMT"
DATE = ("Date", "Fri, 27 Nov 2026 10:00:00 GMT")


class Changing:
    """A CDN whose image and headers a test changes, and a bucket with the image that was moved."""

    def __init__(self, both: Both, cdn: ScriptedCdn) -> None:
        self.cdn = cdn
        self.moved = jpeg("before", 5000)
        self.now = jpeg("after", 6000)
        self.headers: list[tuple[str, str]] = []
        cdn.answer = lambda request: response(200, [*self.headers], self.now)
        both.s3.put("bucket", "images/a", self.moved)
        both.checker._sources = Sources(cdn.url_prefix, both.adapter, both.stop)
        both.checker._keys = KeyMaker(Naming(cdn.url_prefix, "images/", preserve=False))
        self._both = both

    def check(self, md5: str = "", **validators: str) -> Check:
        md5 = md5 or hashlib.md5(self.moved).hexdigest()
        return self._both.check(f"{self.cdn.url_prefix}a", md5, finished=FINISHED, **validators)


@pytest.fixture
def changing(both: Callable[..., Both]) -> Iterator[Changing]:
    with ScriptedCdn(lambda request: b"") as cdn:
        yield Changing(both(), cdn)


@pytest.mark.parametrize(
    ("modified", "outcome"),
    [
        pytest.param(LATER, "changed at the source since", id="a second later"),
        pytest.param("Fri, 20 Nov 2026 10:15:00 GMT", "different", id="the same second"),
        pytest.param("Mon, 01 Jan 2018 00:00:00 GMT", "different", id="long before"),
        pytest.param("", "different", id="unknown"),
        pytest.param("yesterday", "different", id="unreadable"),
        pytest.param("Fri, 20 Nov 2026 10:15:01 -0000", "changed at the source since", id="without a zone"),
        pytest.param("Fri, 20 Nov 2026 10:15:01 +0200", "different", id="of another zone, before"),
        pytest.param("Fri, 99 Nov 2026 10:15:01 GMT", "different", id="no such day"),
    ],
)
def test_source_that_differs_has_changed_if_it_says_so(
    changing: Changing, modified: str, outcome: str
) -> None:
    changing.headers = [DATE, ("Last-Modified", modified)]
    check = changing.check()
    assert check.outcome == outcome
    assert check.source == body_of(changing.now)
    assert check.object == body_of(changing.moved)
    assert check.expected == check.source


EARLIER = "Mon, 01 Jan 2018 00:00:00 GMT"


@pytest.mark.parametrize(
    ("recorded", "now", "outcome"),
    [
        pytest.param('"a"', '"b"', "changed at the source since", id="another"),
        pytest.param('"a"', '"a"', "different", id="the same"),
        pytest.param('W/"a"', '"a"', "different", id="the same, weak then"),
        pytest.param("-", '"b"', "different", id="none then"),
        pytest.param('"a"', "", "different", id="none now"),
    ],
)
def test_source_with_another_etag_than_the_recorded_one_has_changed(
    changing: Changing, recorded: str, now: str, outcome: str
) -> None:
    changing.headers = [DATE, ("Last-Modified", EARLIER), ("ETag", now)]
    assert changing.check(source_etag=recorded, source_modified=EARLIER).outcome == outcome


def test_source_with_an_earlier_time_than_the_recorded_one_has_changed(changing: Changing) -> None:
    """As where an older file was put back."""
    changing.headers = [DATE, ("Last-Modified", EARLIER)]
    assert (
        changing.check(source_modified="Tue, 02 Jan 2018 00:00:00 GMT").outcome
        == "changed at the source since"
    )


def test_etag_that_is_new_in_each_response_shows_nothing(changing: Changing) -> None:
    numbers = iter(range(9))
    changing.cdn.answer = lambda request: response(200, [("ETag", f'"{next(numbers)}"')], changing.now)
    check = changing.check(source_etag='"of the move"')
    assert (check.outcome, check.message) == (
        "different",
        "the CDN's ETag or Last-Modified is another one in each response",
    )


def test_source_that_says_it_changed_and_did_not_is_identical(changing: Changing) -> None:
    changing.now, changing.headers = changing.moved, [DATE, ("Last-Modified", LATER)]
    assert changing.check().outcome == "identical"


def test_object_that_is_not_the_recorded_one_has_not_changed_at_the_source(changing: Changing) -> None:
    changing.headers = [DATE, ("Last-Modified", LATER)]
    assert changing.check("0" * 32).outcome == "different"


def test_object_and_source_that_are_the_same_but_not_the_record_differ_from_it(changing: Changing) -> None:
    changing.now = changing.moved
    check = changing.check("0" * 32)
    assert check.outcome == "different"
    assert check.expected is not None and check.expected.md5 == "0" * 32


def test_row_without_an_md5_counts_as_the_object(changing: Changing) -> None:
    changing.headers = [DATE, ("Last-Modified", LATER)]
    assert changing.check("-").outcome == "changed at the source since"


def test_last_modified_that_is_the_time_of_each_response_shows_nothing(
    changing: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdn2s3.validation.spot_check._ASK_AGAIN_AFTER", 0.0)
    times = iter(["Fri, 27 Nov 2026 10:00:00 GMT", "Fri, 27 Nov 2026 10:00:01 GMT"])

    def answer(request: Request) -> bytes:
        now = next(times)
        return response(200, [("Date", now), ("Last-Modified", now)], changing.now)

    changing.cdn.answer = answer
    check = changing.check()
    assert (check.outcome, len(changing.cdn.log)) == ("different", 2)
    assert "another one in each response" in check.message


def test_last_modified_of_a_moment_ago_that_stays_is_the_files(
    changing: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdn2s3.validation.spot_check._ASK_AGAIN_AFTER", 0.0)
    changing.headers = [("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT")]
    assert changing.check().outcome == "changed at the source since"
    assert len(changing.cdn.log) == 2


def test_cdn_that_encodes_anew_each_time_is_named(changing: Changing) -> None:
    changing.cdn.answer = lambda request: response(200, [], jpeg(str(len(changing.cdn.log)), 5000))
    check = changing.check()
    assert (check.outcome, check.message) == ("different", "the CDN sends other bytes each time it is asked")


def test_same_drawing_compressed_in_another_way_is_identical(changing: Changing) -> None:
    changing.now = jpeg("before", 5000)
    changing.headers = [("Content-Encoding", "gzip")]
    changing.now = gzip.compress(changing.moved)
    assert changing.check().outcome == "identical"
    coded = gzip.compress(changing.moved, 1)
    changing._both.s3.put("bucket", "images/a", coded)  # stored under SOURCE_ENCODING=keep
    check = changing.check(hashlib.md5(coded).hexdigest())
    assert (check.outcome, check.message) == ("identical", "the same content, compressed in another way")
    changing._both.s3.put("bucket", "images/a", coded[:-20])
    assert changing.check(hashlib.md5(coded[:-20]).hexdigest()).outcome == "different"


# --- which images are checked ---


STATES = bytearray(
    [RECORDED | SEEN, ADOPTED | SEEN, RECORDED, RECORDED | SEEN | DIFFERS, ADOPTED, 0, ADOPTED | SEEN]
    + 5 * [RECORDED | SEEN]
)


@pytest.mark.parametrize(
    ("number", "adopted", "others"),
    [
        pytest.param(0, 0, 0, id="none"),
        pytest.param(1, 1, 0, id="fewer than were adopted"),
        pytest.param(2, 2, 0, id="all adopted"),
        pytest.param(5, 2, 3, id="adopted and others"),
        pytest.param(8, 2, 6, id="all"),
        pytest.param(99, 2, 6, id="more than there are"),
    ],
)
def test_drawn_adopted_first(number: int, adopted: int, others: int) -> None:
    for seed in range(20):
        chosen = list(drawn(STATES, number, random.Random(seed)))
        assert len(set(chosen)) == adopted + others
        assert set(chosen[:adopted]) <= {1, 6}
        assert set(chosen[adopted:]) <= {0, 7, 8, 9, 10, 11}


def test_drawn_evenly() -> None:
    times = [0] * len(STATES)
    for seed in range(1200):
        for chosen in drawn(STATES, 3, random.Random(seed)):
            times[chosen] += 1
    assert times[1] == times[6] == 1200
    assert all(150 < times[number] < 250 for number in (0, 7, 8, 9, 10, 11))


def test_drawn_again_with_the_same_seed() -> None:
    assert list(drawn(STATES, 4, random.Random(7))) == list(drawn(STATES, 4, random.Random(7)))


@pytest.mark.parametrize(
    ("number", "of"),
    [
        pytest.param(1, Sampled(True, 2, "the adopted ones"), id="some of the adopted ones"),
        pytest.param(2, Sampled(False, 6, "those that were not adopted"), id="all of these alone"),
        pytest.param(5, Sampled(False, 6, "those that were not adopted"), id="and some others"),
        pytest.param(8, None, id="each one"),
    ],
)
def test_sample_stands_for_those_it_was_drawn_from(number: int, of: Sampled | None) -> None:
    assert sampled(STATES, number) == of


def test_sample_without_adopted_ones_stands_for_all() -> None:
    assert sampled(bytearray(9 * [RECORDED | SEEN]), 4) == Sampled(False, 9, "all")
    assert sampled(bytearray(9 * [ADOPTED | SEEN]), 4) == Sampled(True, 9, "all")
    assert sampled(bytearray(), 0) is None
