"""What ON_EXISTING=overwrite says of an object that it replaces, where a store shows little or answers badly."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, Callable
from zlib import crc32

import pytest

from cdn2s3.destinations.base import PART_BYTES
from cdn2s3.destinations.s3.destination import S3Destination, open_bucket
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Image, Recorded, Stored
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
BODIES = {"whole": b"\xff\xd8\xff new", "in parts": bytes(range(256)) * 40_000}
WRITES = {"whole": "PutObject", "in parts": "CompleteMultipartUpload"}
BLIND = frozenset({"PutObject", "DeleteObject", "AbortMultipartUpload"})
KEY = "images/a.jpg"


class World:
    """A bucket under ON_EXISTING=overwrite."""

    def __init__(self, s3: S3Server, adapter: PooledAdapter, **file: str) -> None:
        given = {
            "DESTINATION_BUCKET": "bucket",
            "AWS_ENDPOINT_URL": s3.url,
            "ON_EXISTING": "overwrite",
            **file,
        }
        self.s3 = s3
        self.destination: S3Destination = open_bucket(
            build(MigrationSettings, given, {}, Path("migration.env")), adapter
        )
        self.destination.prepare()

    def store(self, way: str, recorded: Recorded | None = None, attempts: int = 2) -> Stored:
        """Store a body as a run does that tries again after what may pass."""
        body = memoryview(BODIES[way])
        image = Image(body, "image/jpeg", md5(body).digest(), crc32(body))
        upload = self.destination.upload(KEY, image, recorded)
        for left in reversed(range(attempts)):
            try:
                if way == "whole":
                    return upload.attempt(Deadline(10))
                parts = (body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES))
                return self.destination.store_parts(KEY, "image/jpeg", parts, 10.0, recorded=recorded)
            except TransientError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def put(self, body: bytes) -> Recorded:
        """Put an object at the key; return what its row would say if it were ours."""
        return Recorded("stored", self.s3.put("bucket", KEY, body).etag.strip('"'))

    @property
    def held(self) -> bytes:
        return self.s3.objects("bucket")[KEY].read()


@pytest.fixture
def make(
    monkeypatch: pytest.MonkeyPatch, s3_server: Callable[..., S3Server]
) -> Iterator[Callable[..., World]]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    adapter = PooledAdapter(2)
    yield lambda habits=None, **file: World(s3_server(**habits or {}), adapter, **file)
    adapter.close()


BOTH = pytest.mark.parametrize("way", BODIES)


@BOTH
def test_without_permission_to_look_only_a_new_object_is_ours(make: Callable[..., World], way: str) -> None:
    world = make({"allow": BLIND})
    assert world.store(way).how == "stored"
    recorded = world.put(b"older")
    assert world.store(way, recorded).how == "replaced"
    assert world.held == BODIES[way]


@BOTH
def test_where_nothing_shows_what_is_there_nothing_is_ours(make: Callable[..., World], way: str) -> None:
    world = make({"allow": BLIND, "ignore_if_none_match": True})
    assert world.store(way).how == "replaced"
    assert world.held == BODIES[way]


@BOTH
def test_write_whose_answer_is_lost_keeps_what_was_seen_before(make: Callable[..., World], way: str) -> None:
    world = make()
    recorded = world.put(b"older")
    world.s3.rules.add(Rule("500_after_store", operation=WRITES[way], pattern="a.jpg", count=1))
    assert world.store(way, recorded).how == "renewed"
    assert world.held == BODIES[way]


@BOTH
def test_object_of_a_write_whose_answer_is_lost_may_be_anybodys(make: Callable[..., World], way: str) -> None:
    world = make()
    world.s3.rules.add(Rule("500_after_store", operation=WRITES[way], pattern="a.jpg", count=1))
    stored = world.store(way)
    # An upload in parts that is gone has been completed by nobody else.
    assert (stored.how, stored.already_there) == (("found", True) if way == "whole" else ("stored", False))


def test_equal_object_that_appears_while_a_completion_fails_is_not_ours(make: Callable[..., World]) -> None:
    world = make({"complete_ignores_if_none_match": True})
    good = world.destination.client.call

    def call(operation: str, deadline: Deadline, **params: Any) -> Any:
        if operation == "complete_multipart_upload":
            world.put(BODIES["in parts"])
            raise TransientError("connection", "lost before it arrived")
        return good(operation, deadline, **params)

    world.destination.client.call = call  # type: ignore[method-assign]
    stored = world.store("in parts")
    assert (stored.how, stored.already_there) == ("found", True)
    assert not world.s3.store.uploads("bucket")


def test_own_object_that_came_out_wrong_is_written_again_and_keeps_how_it_came(
    make: Callable[..., World],
) -> None:
    world = make({"ignore_if_none_match": True})
    recorded = world.put(b"older")
    world.s3.rules.add(Rule("corrupt_store", operation="PutObject", pattern="a.jpg", count=1))
    assert world.store("whole", recorded).how == "renewed"
    assert world.held == BODIES["whole"]


@BOTH
def test_object_that_appears_meanwhile_is_seen(make: Callable[..., World], way: str) -> None:
    world = make()
    look = world.destination.objects.exists

    def exists(*arguments: Any) -> bool:
        found = look(*arguments)
        world.put(b"somebody's")
        return found

    world.destination.objects.exists = exists  # type: ignore[method-assign]
    if way == "whole":
        world.put(b"somebody's")
    assert world.store(way).how == "replaced"
    assert world.held == BODIES[way]


@BOTH
def test_other_refusals_stay_failures(make: Callable[..., World], way: str) -> None:
    world = make()
    world.put(b"older")
    world.s3.rules.add(Rule("EntityTooLarge", operation=WRITES[way], pattern="a.jpg"))
    with pytest.raises(PermanentError) as caught:
        world.store(way)
    assert (caught.value.cause, world.held) == ("destination", b"older")
