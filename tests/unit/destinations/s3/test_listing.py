"""Listings are believed only whole: each way a page can lie is asked for again, and then an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.base import Found, NotInOrder, ReadRefused
from cdn2s3.destinations.s3 import listing_page
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.listing import OTHER_KEY_COUNT, PLAIN_KEYS, PLAIN_PLUS, Listing
from cdn2s3.destinations.s3.listing_page import Page, parsed
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.range_listing import in_ranges
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
Factory = Callable[..., S3Server]
Connect = Callable[..., tuple[S3Client, MigrationSettings]]


def xml(inner: str, root: str = f'ListBucketResult xmlns="{NAMESPACE}"') -> bytes:
    return f'<?xml version="1.0"?>\n<{root}>{inner}</{root.split()[0]}>'.encode()


def entry(key: str, size: str = "7", etag: str = "&quot;abc&quot;") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag></Contents>"


HEAD = "<Name>bucket</Name><EncodingType>url</EncodingType>"
LAST = "<IsTruncated>false</IsTruncated>"
MORE = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"


def page(keys: str, count: int, end: str = LAST, head: str = HEAD) -> bytes:
    return xml(f"{head}<KeyCount>{count}</KeyCount>{end}{keys}")


# --- one page ---


def aws_entry(key: str, size: int, etag: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-11-20T09:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;"
        f"</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}"
        "</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


AWS = [aws_entry("p/a+b%20c", 7, "ab"), aws_entry("p/d", 8, "x-2"), aws_entry("p/e;f=g?h", 0, "")]


@pytest.mark.parametrize(
    ("keys", "count", "is_plain"),
    [
        pytest.param("".join(AWS), 3, True, id="plain"),
        pytest.param(AWS[0] + "<CommonPrefixes/>" + AWS[1], 2, False, id="two runs"),
        pytest.param(AWS[0] + AWS[1].replace("p/d", "p/&amp;"), 2, False, id="an escaped key"),
        pytest.param(AWS[0] + "<!--" + AWS[1] + "-->", 1, False, id="one in a comment"),
        pytest.param(
            "<!--" + AWS[1] + "-->" + AWS[0].replace("<Size>", " <Size>"), 1, False, id="run in a comment"
        ),
        pytest.param("<Other>" + AWS[1] + "</Other>", 0, False, id="not the root's own"),
    ],
)
def test_plain_objects_are_what_the_tree_holds(
    keys: str, count: int, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = page(keys, count)
    assert bool(listing_page._tree_and_rows(body)[1]) is is_plain
    found = parsed(body, "bucket", "p/")
    monkeypatch.setattr(listing_page, "_without_plain_objects", lambda marker, text: (text, 0))
    assert parsed(body, "bucket", "p/") == found
    assert len(found.objects) == count


def test_plain_objects_of_a_page_that_is_cut_off_or_has_a_dtd_are_not_believed() -> None:
    for body in (
        page("".join(AWS), 3)[:-20],
        page("".join(AWS), 3).replace(b"<List", b"<!DOCTYPE a><List", 1),
    ):
        with pytest.raises(TransientError):
            parsed(body, "bucket", "p/")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(page("", 0), Page([], None), id="empty"),
        pytest.param(xml(HEAD + LAST), Page([], None), id="empty, as rclone writes it"),
        pytest.param(page(entry("p/a"), 1), Page([Found("p/a", 7, "abc")], None), id="last"),
        pytest.param(page(entry("p/a"), 1, MORE), Page([Found("p/a", 7, "abc")], "t"), id="more"),
        pytest.param(
            page(entry("p/a+b%2Bc%C3%BC%0A%26"), 1),
            Page([Found("p/a b+cü\n&", 7, "abc")], None),
            id="encoded",
        ),
        pytest.param(
            page(entry("p/a+b%20c"), 1, head="<Name>bucket</Name>"),
            Page([Found("p/a+b%20c", 7, "abc")], None),
            id="a server that ignores encoding-type",
        ),
        pytest.param(page(entry("p/a", etag="x-2"), 1), Page([Found("p/a", 7, "x-2")], None), id="bare etag"),
        pytest.param(
            page("<Contents><Key>p/a</Key><Size>7</Size></Contents>", 1),
            Page([Found("p/a", 7, "")], None),
            id="no etag",
        ),
        pytest.param(
            page(f"<Contents>{'<Owner><ID>1</ID></Owner>'}<Key>p/a</Key><Size>7</Size></Contents>", 1),
            Page([Found("p/a", 7, "")], None),
            id="owner",
        ),
        pytest.param(
            xml(f"{HEAD}<KeyCount>1</KeyCount>{LAST}{entry('p/a')}", "ListBucketResult"),
            Page([Found("p/a", 7, "abc")], None),
            id="no namespace",
        ),
    ],
)
def test_page_whole(body: bytes, expected: Page) -> None:
    assert parsed(body, "bucket", "p/") == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "an empty response", id="empty answer"),
        pytest.param(b"   ", "not complete XML", id="blank answer"),
        pytest.param(page(entry("p/a"), 1)[:-30], "not complete XML", id="cut short"),
        pytest.param(page(entry("p/a"), 1) + b"<x/>", "not complete XML", id="more than one document"),
        pytest.param(b"<html><body>Sign in</body></html>", "not ListBucketResult", id="web page"),
        pytest.param(b"<!DOCTYPE html><html></html>", "a DTD", id="web page with a doctype"),
        pytest.param(xml("", "Error"), "not ListBucketResult", id="error document with status 200"),
        pytest.param(
            b'<!DOCTYPE x [<!ENTITY a "b">]>' + page(entry("p/&a;"), 1).partition(b"\n")[2],
            "a DTD",
            id="entity",
        ),
        pytest.param(
            page("", 0).replace(b'version="1.0"', b'version="1.0" encoding="nonsense"'),
            "not complete XML",
            id="unknown encoding",
        ),
        pytest.param(page("", 0, head="<Name>other</Name>"), "another bucket ('other')", id="other bucket"),
        pytest.param(page("", 0, head=""), "another bucket (None)", id="no name"),
        pytest.param(xml(HEAD + LAST + entry("p/a")), "1 keys, but no KeyCount", id="no key count"),
        pytest.param(xml(HEAD + MORE), "0 keys, but no KeyCount", id="no key count, and more follows"),
        pytest.param(xml(HEAD), "no KeyCount", id="no key count, and nothing else"),
        pytest.param(page(entry("p/a"), 2), "has 1 keys, but KeyCount is 2", id="fewer keys than counted"),
        pytest.param(page("", 0, ""), "IsTruncated None", id="no IsTruncated"),
        pytest.param(page("", 0, "<IsTruncated>no</IsTruncated>"), "IsTruncated no", id="odd IsTruncated"),
        pytest.param(page("", 0, "<IsTruncated>true</IsTruncated>"), "no NextContinuation", id="no token"),
        pytest.param(page(entry("other/a"), 1), "not under the prefix", id="key outside the prefix"),
        pytest.param(page(entry(""), 1), "without key or size", id="object without key"),
        pytest.param(page(entry("p/a", "many"), 1), "without key or size", id="object with an odd size"),
        pytest.param(page(entry("p/%FF"), 1), "not UTF-8", id="key that is not UTF-8"),
    ],
)
def test_page_doubtful(body: bytes, message: str) -> None:
    with pytest.raises(TransientError) as caught:
        parsed(body, "bucket", "p/")
    assert message in caught.value.message


# --- a whole listing, from a server ---


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return what connects to an S3 server, with further settings."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    adapters = []

    def make(server: S3Server, **more: str) -> tuple[S3Client, MigrationSettings]:
        values = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": server.url, "MAX_RETRIES": "2", **more}
        settings = build(MigrationSettings, values, {}, Path("migration.env"))
        adapters.append(PooledAdapter(2))
        return S3Client(settings, adapters[-1]), settings

    yield make
    for adapter in adapters:
        adapter.close()


def listed(connected: tuple[S3Client, MigrationSettings], waits: list[float] | None = None) -> list[Found]:
    pause = (waits if waits is not None else []).append
    return [found for page_ in Listing(*connected, pause=pause) for found in page_]


def test_listing_of_several_pages(s3_server: Factory, connect: Connect) -> None:
    server = s3_server()
    for number in range(2345):
        server.put("bucket", f"images/{number:04d}", b"x" * (number % 7))
    server.put("bucket", "other", b"not under the prefix")
    found = listed(connect(server))
    assert [item.key for item in found] == [f"images/{number:04d}" for number in range(2345)]
    assert found[6] == Found("images/0006", 6, server.objects("bucket")["images/0006"].md5)
    assert server.counters["ListObjectsV2"] == 3


ODD = ["a", "a b", "a%2Fb", "a+b", "a/b", "a~b", "z&=#?", "ü", "\ue000", "\ufffd", "\U0001d11e", "\U0010ffff"]


def test_listing_in_ranges_of_odd_keys_while_the_store_throttles(
    s3_server: Factory, connect: Connect
) -> None:
    server = s3_server()
    for name in ODD:
        server.put("bucket", f"images/{name}", b"x")
    server.put("bucket", "images0", b"after the prefix")
    server.rules.add(Rule("SlowDown", operation="ListObjectsV2", count=3))
    listing_ = Listing(*connect(server, MAX_RETRIES="3"), pause=lambda seconds: None)
    pages = in_ranges(listing_, [f"images/{name}" for name in ODD], threading.Event())
    assert [found.key for page_ in pages for found in page_] == [f"images/{name}" for name in ODD]
    assert server.counters["ListObjectsV2"] == len(ODD) + 1 + 3 + 2  # throttled; what % and + mean


@pytest.mark.parametrize("answer", ["refused", "ignored"])
def test_store_that_knows_no_start_after_is_listed_in_no_ranges(
    s3_server: Factory, connect: Connect, answer: str
) -> None:
    server = s3_server(start_after=answer)
    for name in ODD:
        server.put("bucket", f"images/{name}", b"x")
    with pytest.raises(NotInOrder):
        list(in_ranges(Listing(*connect(server)), ["images/b"], threading.Event()))


# --- habits of some stores


def notes_and_keys(connected: tuple[S3Client, MigrationSettings]) -> tuple[list[str], list[str]]:
    listing_ = Listing(*connected, pause=lambda seconds: None)
    keys = [found.key for page_ in listing_ for found in page_]
    return listing_.notes, keys


PLUSES = ["a b.jpg", "a+b.jpg", "a+ b.jpg", "+", "a%2Bb.jpg", "z.jpg"]


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("names", [PLUSES, ["a+b.jpg"], ["a b.jpg"], ["a b.jpg", "a+b.jpg"]], ids=len)
def test_plus_in_a_listed_key_is_what_the_store_means_by_it(
    s3_server: Factory, connect: Connect, is_plain: bool, names: list[str]
) -> None:
    server = s3_server(plus_in_listing=is_plain)
    keys = sorted((f"images/{name}" for name in names), key=str.encode)
    for key in keys:
        server.put("bucket", key, b"x")
    notes, found = notes_and_keys(connect(server))
    assert found == keys
    has_plus = any("+" in name for name in names)
    assert notes == ([PLAIN_PLUS] if is_plain and has_plus else [])


@pytest.mark.parametrize("encodes", [True, False])
@pytest.mark.parametrize(
    ("names", "shows"),
    [
        pytest.param(["a%20b.jpg"], True, id="looks encoded"),
        pytest.param(["a b.jpg", "a%20b.jpg"], True, id="a key, and what it would be encoded"),
        pytest.param(["a%20b.jpg", "a%2520b.jpg"], True, id="encoded twice"),
        pytest.param(["50%.jpg"], True, id="no escape"),
        pytest.param(["%FF.jpg"], True, id="no UTF-8"),
        pytest.param(["ü.jpg", "z%41.jpg"], True, id="no ASCII"),
        pytest.param(["a+b.jpg", "c%2Bd.jpg"], True, id="plus"),
        pytest.param(["a.jpg", "b.jpg"], False, id="the same in both"),
    ],
)
def test_keys_that_are_only_called_encoded_are_read_as_they_stand(
    s3_server: Factory, connect: Connect, names: list[str], shows: bool, encodes: bool
) -> None:
    server = s3_server(listing_encodes=encodes)
    keys = sorted((f"images/{name}" for name in names), key=str.encode)
    for key in keys:
        server.put("bucket", key, b"x")
    notes, found = notes_and_keys(connect(server))
    assert found == keys
    assert (PLAIN_KEYS in notes) is (shows and not encodes)


def test_order_of_a_listing_is_the_stores_own(s3_server: Factory, connect: Connect) -> None:
    """SeaweedFS lists folder by folder, others newest first."""
    server = s3_server()
    for name in ("a/1", "a-b", "a.jpg", "b"):
        server.put("bucket", f"images/{name}", b"x")
    page_of = server.store.page
    server.store.page = lambda *given: (page_of(*given)[0][::-1], False)  # type: ignore[method-assign]
    assert [found.key for found in listed(connect(server))] == [
        "images/b",
        "images/a/1",
        "images/a.jpg",
        "images/a-b",
    ]


def test_key_count_of_the_whole_bucket_is_told_and_believed_no_more(
    s3_server: Factory, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = s3_server(key_count="bucket")
    for number in range(1002):
        server.put("bucket", f"images/{number:04d}", b"x")
    server.put("bucket", "other", b"not under the prefix")
    notes, found = notes_and_keys(connect(server))
    assert len(found) == 1002
    assert notes == [OTHER_KEY_COUNT]
    assert caplog.messages == [OTHER_KEY_COUNT]


def test_page_that_has_lost_a_key_is_not_taken_for_another_key_count(
    s3_server: Factory, connect: Connect
) -> None:
    server = s3_server()
    for number in range(5):
        server.put("bucket", f"images/{number}", b"x")
    page = server.store.page
    server.store.page = lambda *given: (page(*given)[0][:3], False)  # type: ignore[method-assign]
    server.change(key_count="bucket")  # of the whole bucket: 5, and 1 key was asked for: it is a habit
    assert notes_and_keys(connect(server))[0] == [OTHER_KEY_COUNT]
    server.change(key_count="page_plus_one")
    with pytest.raises(FatalError, match="KeyCount is 4"):
        notes_and_keys(connect(server))


def test_listing_of_odd_keys(s3_server: Factory, connect: Connect) -> None:
    keys = [
        "a b.jpg",
        "a+b.jpg",
        "ü/日本.png",
        "50%.jpg",
        "a%20b.jpg",
        "<&>'\".jpg",
        "a\x01b",
        "line\nbreak",
        "\ufffe",
    ]
    server = s3_server()
    for key in keys:
        server.put("bucket", "images/" + key, b"x")
    assert sorted(item.key[7:] for item in listed(connect(server))) == sorted(keys)


@pytest.mark.parametrize("fault", [None, "list_no_key_count"])
def test_listing_of_an_empty_bucket(s3_server: Factory, connect: Connect, fault: str | None) -> None:
    server = s3_server()
    if fault:
        server.rules.add(Rule(fault, operation="ListObjectsV2"))
    assert listed(connect(server)) == []


def test_listing_without_a_prefix(s3_server: Factory, connect: Connect) -> None:
    server = s3_server()
    server.put("bucket", "anything", b"x")
    assert [item.key for item in listed(connect(server, DESTINATION_PREFIX=""))] == ["anything"]


FAULTS = [
    pytest.param("200_empty", "an empty response", id="middlebox answers with nothing"),
    pytest.param("200_html", "DTD", id="middlebox answers with a page"),
    pytest.param("list_empty", "an empty response", id="empty 200"),
    pytest.param("list_truncated_xml", "not complete XML", id="truncated XML"),
    pytest.param("list_no_token", "no NextContinuationToken", id="IsTruncated without a token"),
    pytest.param("list_no_key_count", "1 keys, but no KeyCount", id="no KeyCount"),
    pytest.param("SlowDown", "503 SlowDown", id="throttled"),
    pytest.param("InternalError", "500 InternalError", id="server error"),
    pytest.param("drop_before", "connection", id="connection closed"),
    pytest.param("cut_answer", "ended before the body did", id="answer cut short"),
    pytest.param("garbage_answer", "not HTTP", id="no HTTP"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_listing_with_a_fault_that_stays(
    s3_server: Factory, connect: Connect, fault: str, message: str
) -> None:
    server = s3_server()
    server.put("bucket", "images/a", b"x")
    server.rules.add(Rule(fault, operation="ListObjectsV2"))
    waits: list[float] = []
    with pytest.raises(FatalError) as caught:
        listed(connect(server), waits)
    assert str(caught.value).startswith("could not list the bucket bucket: ")
    assert message in str(caught.value)
    assert "(3 attempts)" in str(caught.value)
    assert len(waits) == 2
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_listing_with_a_fault_that_passes(
    s3_server: Factory, connect: Connect, fault: str, message: str
) -> None:
    server = s3_server()
    server.put("bucket", "images/a", b"x")
    server.rules.add(Rule(fault, operation="ListObjectsV2", count=2))
    assert [item.key for item in listed(connect(server))] == ["images/a"]


def test_listing_waits_as_long_as_it_is_asked_to(s3_server: Factory, connect: Connect) -> None:
    server = s3_server()
    server.rules.add(Rule("SlowDown", operation="ListObjectsV2", count=1, value="17"))
    waits: list[float] = []
    listed(connect(server), waits)
    assert waits == [17.0]


def test_listing_that_repeats_a_token(s3_server: Factory, connect: Connect) -> None:
    server = s3_server()
    for number in range(1500):
        server.put("bucket", f"images/{number:04d}", b"x")
    server.rules.add(Rule("list_same_token", operation="ListObjectsV2"))
    with pytest.raises(FatalError, match="token for the next page is that of an earlier page"):
        listed(connect(server))


def test_listing_that_repeats_a_page_under_new_tokens(s3_server: Factory, connect: Connect) -> None:
    client, settings = connect(s3_server())
    pages = (page(entry("images/a"), 1, MORE.replace(">t<", f">t{number}<")) for number in range(9))
    listing = Listing(client, settings)
    listing._ask = lambda token, after: next(pages)  # type: ignore[method-assign]
    with pytest.raises(FatalError, match="the same page came back"):
        list(listing)


@pytest.mark.parametrize(
    ("server_settings", "settings", "message"),
    [
        pytest.param({"allow": ["PutObject"]}, {}, '"Action": ["s3:ListBucket"]', id="not allowed"),
        pytest.param({}, {"DESTINATION_BUCKET": "absent"}, "NoSuchBucket", id="no such bucket"),
        pytest.param({}, {"EXPECTED_BUCKET_OWNER": "999988887777"}, "403", id="another owner"),
        pytest.param({"credentials": {"AKIATEST": "other"}}, {}, "SignatureDoesNotMatch", id="wrong secret"),
        pytest.param({}, {"AWS_REGION": "eu-west-1"}, "set AWS_REGION=us-west-2", id="wrong region"),
    ],
)
def test_listing_refused(
    s3_server: Factory,
    connect: Connect,
    server_settings: dict[str, Any],
    settings: dict[str, str],
    message: str,
) -> None:
    server = s3_server(**server_settings)
    waits: list[float] = []
    with pytest.raises(FatalError) as caught:
        listed(connect(server, **settings), waits)
    assert "could not list the bucket" in str(caught.value)
    assert message in str(caught.value)
    assert waits == []  # another attempt would not help


# --- one key ---


def test_look_at_a_key(s3_server: Factory, connect: Connect) -> None:
    server = s3_server()
    server.put("bucket", "images/a b", b"1234")
    objects = Objects(*reversed(connect(server)))
    assert objects.look("images/a b", Deadline(5)) == Found(
        "images/a b", 4, "81dc9bdb52d04dc20036dbd8313ed055"
    )
    assert objects.look("images/b", Deadline(5)) is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param("AccessDenied", ReadRefused, id="not allowed"),
        pytest.param("InternalError", TransientError, id="server error"),
        pytest.param("InvalidRequest", TransientError, id="a 400, which may be expired credentials"),
        pytest.param("MethodNotAllowed", FatalError, id="refused for good"),
    ],
)
def test_look_that_tells_nothing(
    s3_server: Factory, connect: Connect, fault: str, error: type[Exception]
) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, operation="HeadObject"))
    with pytest.raises(error):
        Objects(*reversed(connect(server))).look("images/a", Deadline(5))
