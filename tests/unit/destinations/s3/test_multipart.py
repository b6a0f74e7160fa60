"""An upload in parts ends completed once, or leaves nothing; what its completion says is never just believed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.destinations.base import PART_BYTES
from cdn2s3.destinations.s3.capabilities import ALL_HONORED, Capabilities, Condition, Support
from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.destination import S3Destination
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.records import Stored
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.tiers import neighbors, slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
BODY = bytes(range(256)) * 40_000  # two parts
MD5 = hashlib.md5(BODY).hexdigest()
COMPLETE = "CompleteMultipartUpload"
STRICT = Capabilities(etag_is_md5=True, checksum_refused=True, can_read=True)
UNCHECKED = STRICT._replace(etag_is_md5=False, md5_refused=False)


class World:
    """A bucket, and uploads in parts to its key `k`."""

    def __init__(
        self, s3: S3Server, adapter: PooledAdapter, guard: Capabilities = STRICT, **file: str
    ) -> None:
        given = {"DESTINATION_BUCKET": "bucket", "AWS_ENDPOINT_URL": s3.url, **file}
        self.s3 = s3
        self.settings = build(MigrationSettings, given, {}, Path("migration.env"))
        self.client = S3Client(self.settings, adapter)
        self.bucket = S3Destination(self.settings, self.client, guard)

    def store(self) -> Stored:
        parts = (memoryview(BODY)[at : at + PART_BYTES] for at in range(0, len(BODY), PART_BYTES))
        return self.bucket.store_parts("k", "image/jpeg", parts, 5.0)

    def says_after_completion(
        self, monkeypatch: pytest.MonkeyPatch, etag: str, then: Callable[[], None] = lambda: None
    ) -> None:
        """Let the completion happen, then something else, and let its answer have another ETag."""
        call = self.client.call

        def altered(operation: str, deadline: Deadline, **params: Any) -> tuple[S3Response, dict[str, Any]]:
            reply, parsed = call(operation, deadline, **params)
            if operation != "complete_multipart_upload" or reply.status != 200:
                return reply, parsed
            then()
            return reply, {**parsed, "ETag": etag}

        monkeypatch.setattr(self.client, "call", altered)

    @property
    def held(self) -> bytes | None:
        item = self.s3.objects("bucket").get("k")
        return None if item is None else item.read()

    def count(self, operation: str) -> int:
        return len(self.s3.requests(operation))


@pytest.fixture
def make(
    monkeypatch: pytest.MonkeyPatch, s3_server: Callable[..., S3Server]
) -> Iterator[Callable[..., World]]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    adapter = PooledAdapter(2)
    yield lambda habits=None, **more: World(s3_server(**habits or {}), adapter, **more)
    adapter.close()


@pytest.mark.parametrize("existing", ["verify", slow("overwrite")])
@pytest.mark.parametrize("times", [1, 2], ids=["sent again", "given up"])
@pytest.mark.parametrize(
    "fault", ["drop_after_store", "500_after_store", slow("garbage_answer"), slow("cut_answer")]
)
def test_completion_whose_answer_is_lost_is_found_complete(
    make: Callable[..., World], fault: str, times: int, existing: str
) -> None:
    world = make(ON_EXISTING=existing)
    world.s3.rules.add(Rule(fault, operation=COMPLETE, count=times))
    stored = world.store()
    assert (stored.size, stored.md5, stored.already_there) == (len(BODY), MD5, False)
    assert world.held == BODY
    assert world.s3.store.writes["bucket", "k"] == 1
    assert world.count("UploadPart") == 2
    assert not world.s3.store.uploads("bucket")


@pytest.mark.parametrize(
    "fault", ["InternalError", slow("200_html"), "complete_200_error", slow("200_empty")]
)
def test_completion_that_did_not_happen_is_tried_again_and_aborted(
    make: Callable[..., World], fault: str
) -> None:
    world = make()
    world.s3.rules.add(Rule(fault, operation=COMPLETE, count=1))
    with pytest.raises(TransientError):
        world.store()
    assert world.held is None
    assert not world.s3.store.uploads("bucket")
    assert world.store().md5 == MD5


def test_lost_answer_that_may_not_be_looked_into_is_tried_again(make: Callable[..., World]) -> None:
    world = make()
    world.s3.change(allow=frozenset({"PutObject"}))
    world.s3.rules.add(Rule("500_after_store", operation=COMPLETE, count=1))
    with pytest.raises(TransientError):
        world.store()
    with pytest.raises(PermanentError) as caught:
        world.store()
    assert caught.value.cause == "unverified"


def test_unexpected_etag_over_the_right_bytes_is_completed(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    world.says_after_completion(monkeypatch, '"another-2"')
    assert world.store().md5 == MD5
    assert world.held == BODY
    assert world.count("GetObject") == 1


@pytest.mark.parametrize("size", neighbors(len(BODY), 5))
def test_unexpected_etag_over_other_bytes_is_taken_away_and_tried_again(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    world = make()
    with monkeypatch.context() as during:
        world.says_after_completion(during, '"another-2"', lambda: _put(world, bytes(size)))
        with pytest.raises(TransientError):
            world.store()
        assert world.held is None
    assert world.store().md5 == MD5  # no conflict of our own making
    assert world.held == BODY


def test_completion_without_an_etag_is_proven_by_the_object(make: Callable[..., World]) -> None:
    world = make({"completion_without_etag": True})
    stored = world.store()
    assert (stored.md5, stored.already_there) == (MD5, False)
    assert stored.etag.endswith("-2")
    assert world.held == BODY


@pytest.mark.parametrize(
    ("guard", "integrity"),
    [
        pytest.param(UNCHECKED._replace(checksum_refused=False), "md5", id="nothing checked"),
        pytest.param(UNCHECKED, "crc32", id="no MD5 checked"),
    ],
)
def test_parts_that_the_store_has_not_checked_are_read_again(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, guard: Capabilities, integrity: str
) -> None:
    world = make(guard=guard, INTEGRITY=integrity)
    with monkeypatch.context() as during:
        world.says_after_completion(during, '"opaque"', lambda: _put(world, bytes(len(BODY))))
        with pytest.raises(TransientError, match="has checked the parts"):
            world.store()
        assert world.held is None
    assert world.store().md5 == MD5
    assert world.held == BODY
    assert world.count("GetObject") == 2


def test_unchecked_parts_that_cannot_be_read_just_now_stay_and_are_compared_later(
    make: Callable[..., World],
) -> None:
    world = make(guard=UNCHECKED)
    world.s3.rules.add(Rule("SlowDown", operation="GetObject", count=1))
    with pytest.raises(TransientError) as caught:
        world.store()
    assert caught.value.cause == "throttled"
    assert world.held == BODY
    assert world.store().md5 == MD5
    assert world.s3.store.writes["bucket", "k"] == 1


@pytest.mark.parametrize(
    "guard",
    [STRICT._replace(etag_is_md5=False), STRICT._replace(md5_refused=False)],
    ids=["Content-MD5", "ETags"],
)
def test_parts_that_the_store_has_checked_are_not_read_again(
    make: Callable[..., World], guard: Capabilities
) -> None:
    world = make(guard=guard)
    assert world.store().md5 == MD5
    assert world.count("GetObject") == 0


@pytest.mark.parametrize(
    ("allowed", "cause"),
    [
        pytest.param({"PutObject", "GetObject"}, "destination", id="no delete"),
        pytest.param({"PutObject"}, "unverified", id="no read"),
    ],
)
def test_unexpected_etag_that_cannot_be_put_right_is_named(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, allowed: set[str], cause: str
) -> None:
    world = make()
    world.s3.change(allow=frozenset(allowed))
    world.says_after_completion(monkeypatch, '"another-2"', lambda: _put(world, bytes(len(BODY))))
    with pytest.raises(PermanentError) as caught:
        world.store()
    assert caught.value.cause == cause
    assert "another-2" in caught.value.message


@pytest.mark.parametrize(
    ("allowed", "operation", "missing", "resource"),
    [
        pytest.param(
            {"PutObject", "AbortMultipartUpload"},
            "ListMultipartUploads",
            "s3:ListBucketMultipartUploads",
            "arn:aws:s3:::bucket",
            id="list",
        ),
        pytest.param(
            {"PutObject", "ListBucketMultipartUploads"},
            "AbortMultipartUpload",
            "s3:AbortMultipartUpload",
            "arn:aws:s3:::bucket/images/*",
            id="abort",
        ),
    ],
)
def test_missing_permission_is_told_once_with_its_cost_and_the_policy_line(
    make: Callable[..., World],
    caplog: pytest.LogCaptureFixture,
    allowed: set[str],
    operation: str,
    missing: str,
    resource: str,
) -> None:
    world = make()
    world.s3.change(allow=frozenset(allowed))
    world.s3.rules.add(Rule("NoSuchUpload", operation=COMPLETE))
    for _ in range(2):
        with pytest.raises(TransientError):
            world.store()
    (message,) = caplog.messages
    assert "are billed until an AbortIncompleteMultipartUpload lifecycle rule" in message
    assert f'"Action": ["{missing}"], "Resource": "{resource}"' in message
    assert world.count(operation) == 1


@pytest.mark.parametrize("fault", neighbors("InternalError", "SlowDown"))
def test_abort_that_fails_once_is_asked_for_again(
    make: Callable[..., World], caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    world = make()
    world.s3.rules.add(Rule("InvalidPart", operation=COMPLETE))
    world.s3.rules.add(Rule(fault, operation="AbortMultipartUpload", count=1))
    for left in (1, 0):  # the second upload to the key finds the first one's rest
        with pytest.raises(TransientError):
            world.store()
        assert len(world.s3.store.uploads("bucket")) == left
    assert "remains" in caplog.text


UNPROTECTED = STRICT._replace(conditions={**ALL_HONORED, Condition.NEW_BY_PARTS: Support.IGNORED})


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart"])
def test_object_that_appears_during_the_upload_stays_where_the_completion_would_replace_it(
    make: Callable[..., World], operation: str
) -> None:
    world = make(guard=UNPROTECTED)
    world.s3.change(complete_ignores_if_none_match=True)

    def appear(called: str, key: str, request: object) -> None:
        if called == operation and not world.held:
            _put(world, b"somebody else's")

    world.s3.hook = appear
    with pytest.raises(PermanentError) as caught:
        world.store()
    assert caught.value.cause == "conflict"
    assert world.held == b"somebody else's"
    assert not world.s3.store.uploads("bucket")
    assert world.count(COMPLETE) == 0


def _put(world: World, body: bytes) -> None:
    world.s3.put("bucket", "k", body)
