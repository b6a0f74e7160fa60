"""The promises of destinations/base.py, case by case, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from cdn2s3.destinations.base import PART_BYTES, PROBE_NAME, Destination, Found, NotInOrder, NotRenewed
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Recorded, Stored
from tests.destinations.stores import BOTH as BOTH_PLACES
from tests.destinations.stores import LESS_OFTEN, MAKERS, STORES, Store
from tests.tiers import slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

BODY = b"\xff\xd8\xff an image"
OTHER = b"\xff\xd8\xff  another"
LARGE = bytes(range(256)) * 40_000  # two parts
assert len(BODY) == len(OTHER) and PART_BYTES < len(LARGE) < 2 * PART_BYTES


@pytest.fixture(params=[slow(name) if name in LESS_OFTEN else name for name in (*STORES, *BOTH_PLACES)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with MAKERS[request.param](tmp_path, monkeypatch) as made:
        yield made


def cases(*without: str) -> list[Any]:
    """Return the destinations but for some, as parameters."""
    return [slow(name) if name in LESS_OFTEN else name for name in MAKERS if name not in without]


CASES = cases()
EVERYWHERE = pytest.mark.parametrize("store", CASES, indirect=True)


def soon() -> Deadline:
    return Deadline(20)


def image(body: bytes) -> Image:
    return Image(memoryview(body), "image/jpeg", md5(body).digest(), crc32(body))


def put(destination: Destination, key: str, body: bytes, recorded: Recorded | None = None) -> Stored:
    return destination.upload(key, image(body), recorded).attempt(soon())


def parts(body: bytes) -> Iterator[memoryview]:
    for at in range(0, len(body), PART_BYTES):
        yield memoryview(body)[at : at + PART_BYTES]


def put_large(destination: Destination, key: str, body: bytes, recorded: Recorded | None = None) -> Stored:
    return destination.store_parts(key, "image/jpeg", parts(body), 20.0, recorded=recorded)


BOTH = pytest.mark.parametrize(
    ("store_it", "body", "other"),
    [
        pytest.param(put, BODY, OTHER, id="whole"),
        pytest.param(put_large, LARGE, LARGE[:-1] + b"x", id="in parts"),
    ],
)
# Where the way of storing hardly matters to the promise.
MOSTLY_WHOLE = pytest.mark.parametrize(
    ("store_it", "body", "other"),
    [
        pytest.param(put, BODY, OTHER, id="whole"),
        slow(put_large, LARGE, LARGE[:-1] + b"x", id="in parts"),
    ],
)


# --- storing


@pytest.mark.parametrize(
    "store", [slow(name) if name in LESS_OFTEN - {"moto"} else name for name in MAKERS], indirect=True
)
@BOTH
def test_image_is_stored_as_it_is(store: Store, store_it, body: bytes, other: bytes) -> None:  # type: ignore[no-untyped-def]
    stored = store_it(store.open(), store.key("1/a.jpg"), body)
    assert (stored.size, stored.md5, stored.already_there) == (len(body), md5(body).hexdigest(), False)
    assert stored.etag
    assert store.objects() == {"1/a.jpg": body}


@EVERYWHERE
@MOSTLY_WHOLE
def test_image_that_is_there_already_is_said_to_be(store: Store, store_it, body: bytes, other: bytes) -> None:  # type: ignore[no-untyped-def]
    store.put("a.jpg", body)
    stored = store_it(store.open(), store.key("a.jpg"), body)
    assert (stored.size, stored.md5, stored.already_there) == (len(body), md5(body).hexdigest(), True)
    assert store.objects() == {"a.jpg": body}


@EVERYWHERE
@BOTH
def test_other_content_of_the_same_size_is_a_conflict_and_stays(  # type: ignore[no-untyped-def]
    store: Store, store_it, body: bytes, other: bytes
) -> None:
    store.put("a.jpg", other)
    with pytest.raises(PermanentError) as caught:
        store_it(store.open(), store.key("a.jpg"), body)
    assert caught.value.cause == "conflict"
    assert store.objects() == {"a.jpg": other}


@EVERYWHERE
@MOSTLY_WHOLE
def test_content_of_another_size_is_a_conflict_and_stays(
    store: Store, store_it, body: bytes, other: bytes
) -> None:  # type: ignore[no-untyped-def]
    store.put("a.jpg", b"short")
    with pytest.raises(PermanentError, match=f"has 5 bytes, the CDN's file has {len(body)}") as caught:
        store_it(store.open(), store.key("a.jpg"), body)
    assert caught.value.cause == "conflict"
    assert store.objects() == {"a.jpg": b"short"}


@EVERYWHERE
@BOTH
def test_on_existing_overwrite_replaces(store: Store, store_it, body: bytes, other: bytes) -> None:  # type: ignore[no-untyped-def]
    store.put("a.jpg", other)
    stored = store_it(store.open(ON_EXISTING="overwrite"), store.key("a.jpg"), body)
    assert (stored.md5, stored.already_there) == (md5(body).hexdigest(), False)
    assert store.objects() == {"a.jpg": body}


@MOSTLY_WHOLE
@pytest.mark.parametrize("on_existing", ["verify", "overwrite"])
def test_object_says_how_it_came_to_its_key(  # type: ignore[no-untyped-def]
    store: Store, store_it, body: bytes, other: bytes, on_existing: str
) -> None:
    destination, key = store.open(ON_EXISTING=on_existing), store.key("a.jpg")
    first = store_it(destination, key, other)
    assert (first.how, first.already_there) == ("stored", False)
    again = store_it(destination, key, other)
    assert (again.how, again.already_there, again.etag) == ("found", True, first.etag)
    as_recorded = store_it(destination, key, other, Recorded("-", first.etag))
    assert (as_recorded.how, as_recorded.already_there) == ("-", True)
    if on_existing == "overwrite":
        over = store_it(destination, key, body, Recorded("stored", first.etag))
        assert (over.how, over.already_there) == ("renewed", False)
        stale = store_it(destination, key, other, Recorded("stored", first.etag))
        assert (stale.how, store.objects()) == ("replaced", {"a.jpg": other})
        assert store_it(destination, key, body[:-1], Recorded("found", stale.etag)).how == "replaced"


@EVERYWHERE
def test_body_that_is_not_whole_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[memoryview]:
        yield from parts(LARGE)
        raise TransientError("truncated", "the body ended early")

    destination = store.open()
    with pytest.raises(TransientError, match="ended early"):
        destination.store_parts(store.key("a.jpg"), "image/jpeg", broken(), 20.0)
    assert store.objects() == {}
    assert list(destination.list_pages()) == [[]]


def test_of_several_writers_of_one_key_one_wins(store: Store) -> None:
    destination, bodies = store.open(), [b"\xff\xd8\xff image %d" % n for n in range(8)]

    def outcome(body: bytes) -> str:
        try:
            return "" if not put(destination, store.key("new/a.jpg"), body).already_there else "there"
        except PermanentError as error:
            return error.cause

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, bodies))
    assert sorted(outcomes) == ["", *["conflict"] * 7]
    assert store.objects() == {"new/a.jpg": bodies[outcomes.index("")]}


def test_many_writers_of_many_keys_all_succeed(store: Store) -> None:
    destination, names = store.open(), [f"{n % 3}/{n % 2}/{n}.jpg" for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: put(destination, store.key(name), name.encode()), names))
    assert store.objects() == {name: name.encode() for name in names}


# --- looking


def test_head_shows_what_is_there(store: Store) -> None:
    destination = store.open()
    stored = put(destination, store.key("a.jpg"), BODY)
    assert destination.head(store.key("a.jpg"), soon()) == Found(store.key("a.jpg"), len(BODY), stored.etag)
    for absent in ("b.jpg", "a", "a.jpg/b"):
        assert destination.head(store.key(absent), soon()) is None


def test_object_is_read_back(store: Store) -> None:
    destination = store.open()
    store.put("a.jpg", LARGE)
    got, block = bytearray(), memoryview(bytearray(1 << 20))
    with destination.read(store.key("a.jpg"), soon()) as body:
        assert body is not None
        while count := body.read_into(block):
            got += block[:count]
        assert body.etag
    assert got == LARGE
    assert destination.md5(store.key("a.jpg"), soon()) == md5(LARGE).hexdigest()


def test_nothing_is_read_where_nothing_is(store: Store) -> None:
    destination = store.open()
    with destination.read(store.key("a.jpg"), soon()) as body:
        assert body is None
    with pytest.raises(TransientError):
        destination.md5(store.key("a.jpg"), soon())


def test_listing_is_sorted_by_the_bytes_of_keys_and_keeps_to_the_prefix(store: Store) -> None:
    names = [
        "b.jpg",
        "a/b.jpg",
        "a-b.jpg",
        "a.jpg",
        "a0.jpg",
        "a/b/c.jpg",
        "ü.jpg",
        "\uff5e.jpg",
        "\U0001f600.jpg",
    ]
    for name in names:
        store.put(f"here/{name}", name.encode())
    store.put("elsewhere/a.jpg", b"not under the prefix")
    destination = store.open(DESTINATION_PREFIX=store.key("here/"))
    listed = [found for page in destination.list_pages() for found in page]
    assert [found.key for found in listed] == sorted(
        (store.key(f"here/{name}") for name in names), key=str.encode
    )
    assert {found.size for found in listed} == {len(name.encode()) for name in names}
    own = {found.key: destination.head(found.key, soon()) for found in listed}
    assert {found.key: found for found in listed} == own


def test_listing_of_a_prefix_that_does_not_end_in_a_slash(store: Store) -> None:
    for name in ("a/1", "ab/2", "ac", "b"):
        store.put(name, b"x")
    destination = store.open(DESTINATION_PREFIX=store.key("a"))
    assert [found.key for page in destination.list_pages() for found in page] == [
        store.key(name) for name in ("a/1", "ab/2", "ac")
    ]


def test_listing_in_parts_is_the_listing_or_says_that_it_is_none(store: Store) -> None:
    names = ["a", "b/c", "b0", "ü", "z~"]
    for name in names:
        store.put(name, b"x")
    destination = store.open()
    whole = [found for page in destination.list_pages() for found in page]
    dividers = [store.key(name) for name in ("Z", "b/c", "m", "ü", "\U0001d11e")]
    try:
        parts = [found for page in destination.list_pages(dividers) for found in page]
    except NotInOrder as unfit:
        parts = whole
        assert str(unfit)
    assert parts == whole


def test_empty_listing_comes_to_an_end(store: Store) -> None:
    assert [found for page in store.open(prepared=False).list_pages() for found in page] == []


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "a b.jpg",
        "a+b&c=d.jpg",
        "%41.jpg",
        "ü/ñ.jpg",
        "日本.jpg",
        "-",
        "a'\"\\.jpg",
        "~a.jpg",
        "..a",
        "n" * 200,
    ],
)
def test_every_name_comes_back_as_it_was(store: Store, name: str) -> None:
    destination = store.open()
    put(destination, store.key(name), BODY)
    assert store.objects() == {name: BODY}
    assert [found.key for page in destination.list_pages() for found in page] == [store.key(name)]
    assert destination.md5(store.key(name), soon()) == md5(BODY).hexdigest()
    assert destination.delete(store.key(name), soon())
    assert store.objects() == {}


# --- removing, and what is left


def test_delete_removes_one_object_and_finds_none_without_complaint(store: Store) -> None:
    destination = store.open()
    store.put("1/a.jpg", BODY)
    store.put("1/b.jpg", BODY)
    for _ in range(2):
        assert destination.delete(store.key("1/a.jpg"), soon())
        assert store.objects() == {"1/b.jpg": BODY}


@EVERYWHERE
def test_probes_leave_nothing(store: Store) -> None:
    destination = store.open()
    assert all(key.startswith(store.key(PROBE_NAME)) for key in destination.probe_keys)
    assert destination.integrity in ("auto", "md5")
    assert destination.integrity_text
    destination.notes()
    assert store.objects() == {}
    assert destination.is_up()
    assert {store.key(name) for name in store.objects()} == set(destination.probes_left)
    assert set(destination.probes_left) <= destination.probe_keys
    destination.close()
    assert store.objects() == {}


# --- renewing


def renew(destination: Destination, key: str, body: bytes, recorded: Recorded) -> Stored:
    return destination.renew(key, image(body), recorded).attempt(soon())


def renew_large(destination: Destination, key: str, body: bytes, recorded: Recorded) -> Stored:
    return destination.renew_parts(key, "image/jpeg", parts(body), 20.0, recorded)


BOTH_RENEWALS = pytest.mark.parametrize(
    ("store_it", "renew_it", "body", "newer"),
    [
        pytest.param(put, renew, BODY, OTHER, id="whole"),
        pytest.param(put_large, renew_large, LARGE, LARGE[:-1] + b"x", id="in parts"),
    ],
)
# Google refuses a second write to one key within a second; tests/scripts/test_delta.py waits.
PROMPT = pytest.mark.parametrize("store", cases("Google"), indirect=True)


def recorded_of(stored: Stored, how: str = "stored") -> Recorded:
    """Return what the row of an object says."""
    return Recorded(how, stored.etag, size=stored.size, md5=stored.md5)


def renewing(store: Store) -> Destination:
    destination = store.open()
    destination.prepare_renewing()
    destination.notes()
    return destination


@PROMPT
@BOTH_RENEWALS
@pytest.mark.parametrize(
    ("how", "then"), [("stored", "renewed"), slow("renewed", "renewed"), slow("found", "replaced")]
)
def test_recorded_object_is_renewed(  # type: ignore[no-untyped-def]
    store: Store, store_it, renew_it, body: bytes, newer: bytes, how: str, then: str
) -> None:
    destination = renewing(store)
    recorded = recorded_of(store_it(destination, store.key("a.jpg"), body), how)
    stored = renew_it(destination, store.key("a.jpg"), newer, recorded)
    assert (stored.md5, stored.how, stored.already_there) == (md5(newer).hexdigest(), then, False)
    assert store.objects() == {"a.jpg": newer}
    again = renew_it(destination, store.key("a.jpg"), body, recorded_of(stored))
    assert again.md5 == md5(body).hexdigest()
    assert store.objects() == {"a.jpg": body}


@PROMPT
@BOTH_RENEWALS
def test_object_that_is_not_the_recorded_one_is_never_replaced(  # type: ignore[no-untyped-def]
    store: Store, store_it, renew_it, body: bytes, newer: bytes
) -> None:
    destination = renewing(store)
    recorded = recorded_of(store_it(destination, store.key("a.jpg"), body))
    store.put("a.jpg", b"somebody else's")
    with pytest.raises(NotRenewed) as caught:
        renew_it(destination, store.key("a.jpg"), newer, recorded)
    assert caught.value.what == "changed at both ends"
    assert store.objects() == {"a.jpg": b"somebody else's"}


@BOTH_RENEWALS
def test_object_that_is_gone_is_not_created_again(  # type: ignore[no-untyped-def]
    store: Store, store_it, renew_it, body: bytes, newer: bytes
) -> None:
    destination = renewing(store)
    recorded = recorded_of(store_it(destination, store.key("a.jpg"), body))
    destination.delete(store.key("a.jpg"), soon())
    with pytest.raises(NotRenewed) as caught:
        renew_it(destination, store.key("a.jpg"), newer, recorded)
    assert caught.value.what == "lost"
    assert store.objects() == {}


@BOTH_RENEWALS
def test_object_that_is_renewed_already_is_recognized(  # type: ignore[no-untyped-def]
    store: Store, store_it, renew_it, body: bytes, newer: bytes
) -> None:
    destination = renewing(store)
    recorded = recorded_of(store_it(destination, store.key("a.jpg"), body))
    store.put("a.jpg", newer)
    stored = renew_it(destination, store.key("a.jpg"), newer, recorded)
    assert (stored.md5, stored.how, stored.already_there) == (md5(newer).hexdigest(), "renewed", True)


@pytest.mark.parametrize(("how", "then"), [("renewed", "renewed"), ("found", "replaced"), ("-", "replaced")])
def test_what_was_not_ours_does_not_become_ours(store: Store, how: str, then: str) -> None:
    destination = renewing(store)
    recorded = recorded_of(put(destination, store.key("a.jpg"), BODY), how)
    assert renew(destination, store.key("a.jpg"), OTHER, recorded).how == then


@pytest.mark.parametrize("store", ["strict S3"], indirect=True)
def test_object_that_has_its_md5_as_a_new_etag_is_the_recorded_one(store: Store) -> None:
    """As rclone serve s3 names an object in parts once it is complete."""
    destination, key = renewing(store), store.key("a.jpg")
    recorded = recorded_of(put(destination, key, BODY))._replace(etag=f"{'0' * 32}-2")
    renewal = destination.renew(key, image(OTHER), recorded)
    with pytest.raises(TransientError):  # If-Match with the recorded ETag
        renewal.attempt(soon())
    assert renewal.attempt(soon()).how == "renewed"
    with pytest.raises(NotRenewed):
        renew(destination, key, LARGE, recorded)


def test_row_without_an_etag_is_known_by_its_bytes(store: Store) -> None:
    destination = renewing(store)
    recorded = recorded_of(put(destination, store.key("a.jpg"), BODY))._replace(etag="-")
    assert renew(destination, store.key("a.jpg"), OTHER, recorded).how == "renewed"
    assert store.objects() == {"a.jpg": OTHER}
    with pytest.raises(NotRenewed):
        renew(destination, store.key("a.jpg"), LARGE, recorded)


@BOTH_RENEWALS
def test_body_that_is_not_whole_replaces_nothing(  # type: ignore[no-untyped-def]
    store: Store, store_it, renew_it, body: bytes, newer: bytes
) -> None:
    destination = renewing(store)
    recorded = recorded_of(store_it(destination, store.key("a.jpg"), body))

    def broken() -> Iterator[memoryview]:
        yield from parts(LARGE)
        raise TransientError("truncated", "it ended early")

    with pytest.raises(TransientError, match="ended early"):
        destination.renew_parts(store.key("a.jpg"), "image/jpeg", broken(), 20.0, recorded)
    assert store.objects() == {"a.jpg": body}
