"""migrate.py against a bucket that throttles, forgets, lies, refuses and is already full of things."""

from __future__ import annotations

import re
import signal
import time

import pytest

from cdn2s3.destinations.base import PROBE_NAME
from tests.fakes.rules import Rule
from tests.running import PATIENCE, assert_consistent, assert_moved
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

PROBE = "img/.cdn2s3-probe"
IMAGES = r"\.jpg$"  # the pattern of a rule that leaves the guard probe alone


METHODS = pytest.mark.parametrize("method", ["signed", "put_object"])
METHOD = pytest.mark.parametrize("method", ["signed", slow("put_object")])
PUT_ONLY = {"allow": ["PutObject"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "fault", "value"),
    [slow("signed", "SlowDown", ""), ("put_object", "ServiceUnavailable", "86400")],
)
def test_burst_for_everybody_fails_no_file(new_world: NewWorld, method: str, fault: str, value: str) -> None:
    world = new_world(20, store=PUT_ONLY, UPLOAD_METHOD=method, CONCURRENCY=150)
    world.use([world.source.url_of(f"a/{number}.jpg") for number in range(200)])
    began: list[float] = []

    def burst(operation: str, key: str, request: object) -> Rule | None:
        if operation == "PutObject" and not key.startswith(PROBE):
            began.append(time.monotonic())
        return Rule(fault, value=value) if began and time.monotonic() < began[0] + 3 else None

    world.s3.hook = burst
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert "second pass" not in world.job.log


def has_stored(world: World, pattern: str) -> bool:
    return any(re.search(pattern, key) for key in world.s3.objects("bucket"))


@pytest.mark.parametrize("upload", ["signed", slow("put_object")])
@pytest.mark.parametrize(
    ("arguments", "operation", "pattern"),
    [
        ((), "PutObject", "probe-new$"),
        slow((), "HeadObject", "probe-put$"),
        slow((), "CompleteMultipartUpload", "probe-parts$"),
        (("--delta",), "PutObject", "probe-renew$"),
        slow(("--delta",), "CompleteMultipartUpload", "probe-renew-parts$"),
    ],
)
def test_signal_during_the_probe_leaves_none_of_its_objects(
    new_world: NewWorld, arguments: tuple[str, ...], operation: str, pattern: str, upload: str
) -> None:
    world = new_world(3, UPLOAD_METHOD=upload)
    if arguments:
        assert world.job.run().code == 0
    world.s3.rules.add(Rule("slow_answer", operation=operation, pattern=pattern, seconds=300))
    with world.job.running(*arguments) as run:
        run.until(lambda: world.s3.rules.struck["slow_answer"] and has_stored(world, pattern))
        run.send(signal.SIGTERM)
        assert run.end().code == 143
    assert not [key for key in world.s3.objects("bucket") if key.startswith(PROBE)]
    assert not world.s3.store.uploads("bucket")


@pytest.mark.slow
def test_signal_while_the_bucket_hangs_waits_for_no_timeout(new_world: NewWorld) -> None:
    """What the probe has put stays then: the next one deletes it."""
    world = new_world(3, UPLOAD_TIMEOUT=2 * int(PATIENCE))
    world.s3.rules.add(
        Rule("slow_answer", name="hang", operation="HeadObject", pattern="probe-put$", seconds=300)
    )
    world.s3.rules.add(Rule("slow_answer", name="hang", operation="DeleteObject", seconds=300))
    with world.job.running() as run:
        run.until(lambda: world.s3.rules.struck["slow_answer"])
        run.send(signal.SIGTERM)
        assert run.end(PATIENCE).code == 143
    world.s3.rules.remove("hang")
    assert world.job.run().code == 0
    assert not [key for key in world.s3.objects("bucket") if key.startswith(PROBE)]


LOST = ["500_after_store", "drop_after_store", "200_without_etag", "cut_answer", "garbage_answer"]
REPEATED = [
    "BadDigest", "IncompleteBody", "RequestTimeout", "ConditionalRequestConflict", "200_empty", "200_html",
    "200_wrong_etag", "drop_before", "reset_mid_body", "corrupt_store", "corrupt_body", "close_reused",
]  # fmt: skip
OF_ETAGS = {"200_wrong_etag", "corrupt_store"}  # which only INTEGRITY=md5 compares at once


@METHODS
@pytest.mark.parametrize("integrity", ["md5", slow("auto")])
def test_bad_answer_is_repeated_until_the_object_is_proven(
    new_world: NewWorld, method: str, integrity: str
) -> None:
    world = new_world(20, UPLOAD_METHOD=method, INTEGRITY=integrity)
    faults = [fault for fault in [*LOST, *REPEATED] if integrity == "md5" or fault not in OF_ETAGS]
    for number, fault in enumerate(faults):
        world.s3.rules.add(Rule(fault, operation="PutObject", pattern=rf"i{number:04}\.jpg$", per_key=1))
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.s3.rules.struck.keys() == set(faults)
    for number, fault in enumerate(LOST):
        assert world.s3.store.writes["bucket", world.key(world.urls[number])] == 1, fault


LIES = ["200_html", "200_empty", "200_wrong_etag", "BadDigest", "corrupt_store", "corrupt_body"]


@METHODS
@pytest.mark.parametrize("integrity", ["md5", slow("auto")])
def test_bad_answer_for_ever_is_never_completed(new_world: NewWorld, method: str, integrity: str) -> None:
    world = new_world(20, UPLOAD_METHOD=method, INTEGRITY=integrity)
    lies = [fault for fault in LIES if integrity == "md5" or fault not in OF_ETAGS]
    for number, fault in enumerate(lies):
        world.s3.rules.add(Rule(fault, operation="PutObject", pattern=rf"i{number:04}\.jpg$"))
    assert world.job.run().code == 1
    bad = world.urls[: len(lies)]
    assert world.job.causes() == dict.fromkeys(bad, "destination")
    assert_consistent(world.job, world.source, world.s3)
    assert not {world.key(url) for url in bad} & world.s3.objects("bucket").keys()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("AccessDenied", "permission"),
        ("NoSuchBucket", "DESTINATION_BUCKET=bucket does not exist: the bucket answered 404 NoSuchBucket"),
        ("SlowDown", "responds with errors (2 attempts): the bucket answered 503 SlowDown"),
        slow("InternalError", "responds with errors (2 attempts): the bucket answered 500 InternalError"),
        slow("NotImplemented", "Is AWS_ENDPOINT_URL an S3 store"),
        ("200_html", "Is AWS_ENDPOINT_URL an S3 store"),
        slow("InvalidAccessKeyId", "credentials"),
        slow("SignatureDoesNotMatch", "secret key"),
        slow("RequestTimeTooSkewed", "clock"),
        ("PermanentRedirect", "AWS_REGION"),
        slow("301", "AWS_REGION"),
    ],
)
def test_refusal_at_the_start_stops_with_the_remedy(new_world: NewWorld, fault: str, words: str) -> None:
    world = new_world(20)
    world.s3.rules.add(Rule(fault, operation="PutObject"))
    ran = world.job.run()
    assert ran.code == 3
    assert words in ran.err
    assert ("arn:aws:s3:::bucket/img/*" in ran.err) == (fault == "AccessDenied")
    assert ran.err.count("ERROR") == 1
    assert world.job.failed() == {}
    assert len(world.source.log) == 0


@pytest.mark.parametrize(
    ("method", "fault", "words"),
    [
        ("signed", "ExpiredToken", "renew the credentials"),
        slow("put_object", "AccessDenied", "permission"),
        ("signed", "307", "AWS_REGION"),
        slow("put_object", "ExpiredToken", "renew the credentials"),
        slow("signed", "AccessDenied", "permission"),
        slow("put_object", "307", "AWS_REGION"),
    ],
)
def test_refusal_on_the_way_stops_with_the_remedy_and_resumes(
    new_world: NewWorld, method: str, fault: str, words: str
) -> None:
    world = new_world(20, UPLOAD_METHOD=method)
    world.s3.rules.add(Rule(fault, operation="PutObject", pattern=r"i001\d"))
    ran = world.job.run()
    assert ran.code == 3
    assert words in ran.err
    assert ran.err.count("ERROR") == 1
    assert world.job.failed() == {}
    assert_consistent(world.job, world.source, world.s3)
    world.s3.rules.clear()
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_clock_that_is_wrong_stops_with_the_remedy(new_world: NewWorld) -> None:
    world = new_world(20, store={"clock_offset": 3600.0})
    ran = world.job.run()
    assert ran.code == 3
    assert "clock" in ran.err


@METHODS
def test_key_with_other_content_is_a_conflict_and_stays(new_world: NewWorld, method: str) -> None:
    world = new_world(20, UPLOAD_METHOD=method)
    other, same_size, same = world.urls[:3]
    good = world.source.body(same_size)
    world.s3.put("bucket", world.key(other), b"somebody else's")
    world.s3.put("bucket", world.key(same_size), b"x" * len(good))
    world.s3.put("bucket", world.key(same), world.source.body(same))
    assert world.job.run().code == 1
    assert world.job.causes() == {other: "conflict", same_size: "conflict"}
    objects = world.s3.objects("bucket")
    assert objects[world.key(other)].read() == b"somebody else's"
    assert objects[world.key(same_size)].read() == b"x" * len(good)
    assert world.s3.store.writes["bucket", world.key(same)] == 1
    assert_moved(world.job, world.source, world.s3, world.urls[2:])


LESSER = {
    "ignores If-None-Match": ({"ignore_if_none_match": True}, "sends a HEAD before each PUT"),
    "answers 501 to If-None-Match": ({"if_none_match_status": 501}, "sends a HEAD before each PUT"),
    "has ETags that are no MD5": ({"etag_mode": "opaque"}, "ETag is not an MD5"),
    "has weak ETags": ({"etag_mode": "weak"}, "ETag is not an MD5"),
    "ignores Content-MD5": ({"ignore_content_md5": True}, "does not check the MD5"),
    "checks nothing": (
        {"ignore_content_md5": True, "ignore_checksums": True, "etag_mode": "random"},
        "nothing in the store proves the bytes",
    ),
    "checks and protects nothing": (
        {"ignore_content_md5": True, "etag_mode": "opaque", "ignore_if_none_match": True},
        "nothing in the store proves the bytes",
    ),
    "encrypts with KMS and says so": ({"kms_default": True}, "KMS encryption"),
    "encrypts with KMS in silence": ({"kms_default": True, "kms_announced": False}, "ETag is not an MD5"),
}


EVERY_TIME = ["ignores If-None-Match", "answers 501 to If-None-Match", "encrypts with KMS in silence"]


@pytest.mark.parametrize(
    ("store", "method"),
    [
        *((store, "signed") for store in EVERY_TIME),
        ("checks nothing", "put_object"),
        slow("ignores If-None-Match", "put_object"),
        *(slow(store, "signed") for store in LESSER if store not in EVERY_TIME),
    ],
)
def test_store_that_checks_less_is_noticed_and_nothing_is_overwritten(
    new_world: NewWorld, method: str, store: str
) -> None:
    server, words = LESSER[store]
    # Under INTEGRITY=auto such a store gets CRCs instead.
    integrity = "md5" if store == "ignores Content-MD5" else "auto"
    world = new_world(20, store=server, UPLOAD_METHOD=method, INTEGRITY=integrity)
    theirs = world.urls[3]
    world.s3.put("bucket", world.key(theirs), b"somebody else's")
    ran = world.job.run()
    assert ran.code == 1, ran.said
    assert words in world.job.log
    assert world.job.causes() == {theirs: "conflict"}
    assert world.s3.objects("bucket")[world.key(theirs)].read() == b"somebody else's"
    assert_consistent(world.job, world.source, world.s3)
    assert len(world.job.completed()) == len(world.urls) - 1
    # Sent also where it does not protect, as far as the probe knows: it costs nothing, and the probe may be mistaken.
    guarded = [
        "if-none-match" in put.headers for put in world.s3.requests("PutObject") if PROBE_NAME not in put.key
    ]
    assert set(guarded) == {"if_none_match_status" not in server}


def test_object_of_another_size_is_noticed_where_nothing_proves_the_bytes(new_world: NewWorld) -> None:
    world = new_world(20, store={"ignore_content_md5": True, "etag_mode": "random"})
    world.s3.rules.add(Rule("200_lost", operation="PutObject", pattern=r"i0007"))
    assert world.job.run().code == 1
    assert world.job.causes() == {world.urls[7]: "destination"}


@pytest.mark.parametrize(
    ("number", "fault"),
    [(2, "SlowDown"), slow(1, "drop_before"), slow(2, "200_html"), slow(3, "InternalError")],
)
def test_guard_probe_is_not_fooled_by_a_passing_fault(new_world: NewWorld, fault: str, number: int) -> None:
    world = new_world(20, store=PUT_ONLY, MAX_RETRIES=3)
    seen = []

    def nth_put(operation: str, key: str, request: object) -> Rule | None:
        if operation == "PutObject" and key.startswith(PROBE):
            seen.append(key)
            return Rule(fault) if len(seen) == number else None
        return None

    world.s3.hook = nth_put
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert "ignores If-None-Match" not in world.job.log
    assert "does not check the MD5" not in world.job.log
    assert "does not refuse" not in world.job.log


@pytest.mark.slow
@METHOD
def test_only_put_object_granted_and_state_lost_ends_unverified(new_world: NewWorld, method: str) -> None:
    world = new_world(20, store=PUT_ONLY, UPLOAD_METHOD=method)
    assert world.job.run().code == 0
    world.job.path("completed.txt").unlink()
    assert world.job.run().code == 1
    assert set(world.job.causes().values()) == {"unverified"}
    assert all("s3:GetObject" in record.message for record in world.job.failed().values())
    assert world.writes() == {1}
    world.s3.change(allow=None)
    assert world.job.run("--retry-failed", "unverified").code == 0
    world.assert_all_moved()
    assert world.writes() == {1}


@pytest.mark.parametrize("fault", ["", "short_body", slow("stall_body")])
def test_large_body_is_stored_in_parts_or_not_at_all(new_world: NewWorld, fault: str) -> None:
    world = new_world(20, DOWNLOAD_TIMEOUT=1, MAX_BUFFER_MB=1)
    url = world.source.url_of("big.jpg", fault, size=9_000_000)
    world.job.urls([url, *world.urls])
    ran = world.job.run()
    assert_consistent(world.job, world.source, world.s3)
    assert world.s3.store.uploads("bucket") == []
    if fault:
        assert ran.code == 1
        assert world.job.causes() == {url: {"short_body": "truncated", "stall_body": "timeout"}[fault]}
        assert world.key(url) not in world.s3.objects("bucket")
    else:
        assert ran.code == 0
        assert_moved(world.job, world.source, world.s3, [url])


@pytest.mark.slow
def test_bodies_of_all_sizes_move_where_an_absent_key_reads_as_refused(new_world: NewWorld) -> None:
    world = new_world(
        20, store={"ignore_if_none_match": True, "allow": ["PutObject", "GetObject"]}, MAX_BUFFER_MB=1
    )
    large, theirs = (world.source.url_of(f"{name}.jpg", size=9_000_000) for name in ("large", "theirs"))
    world.s3.put("bucket", world.key(theirs), b"somebody else's")
    world.job.urls([large, theirs, *world.urls])
    assert world.job.run().code == 1
    assert world.job.causes() == {theirs: "conflict"}
    assert_moved(world.job, world.source, world.s3, [large, *world.urls])
    assert world.s3.objects("bucket")[world.key(theirs)].read() == b"somebody else's"


@pytest.mark.parametrize(
    "fault",
    ["complete_200_error", slow("500_after_store"), slow("drop_after_store"), slow("InternalError")],
)
def test_completing_parts_that_goes_wrong_ends_with_the_right_object(new_world: NewWorld, fault: str) -> None:
    world = new_world(20, MAX_BUFFER_MB=1)
    url = world.source.url_of("big.jpg", size=9_000_000)
    world.job.urls([url])
    world.s3.rules.add(Rule(fault, operation="CompleteMultipartUpload", count=1))
    ran = world.job.run()
    assert ran.code == 0, ran.said
    assert_moved(world.job, world.source, world.s3, [url])
    assert world.s3.store.uploads("bucket") == []


@pytest.mark.parametrize("fault", ["NotImplemented", slow("NoSuchUpload")])
def test_store_that_lists_no_multipart_uploads_takes_large_bodies(new_world: NewWorld, fault: str) -> None:
    world = new_world(20, MAX_BUFFER_MB=1)
    url = world.source.url_of("big.jpg", size=9_000_000)
    world.job.urls([url])
    world.s3.rules.add(Rule(fault, operation="ListMultipartUploads"))
    ran = world.job.run()
    assert ran.code == 0, ran.said
    assert "cannot be looked for" in ran.err
    assert_moved(world.job, world.source, world.s3, [url])


def test_upload_that_a_crash_left_is_aborted(new_world: NewWorld) -> None:
    world = new_world(20, MAX_BUFFER_MB=1)
    url = world.source.url_of("big.jpg", size=9_000_000)
    world.job.urls([url])
    world.s3.store.begin_upload("bucket", world.key(url), {})
    assert world.job.run().code == 0
    assert world.s3.store.uploads("bucket") == []


@pytest.mark.slow
@METHOD
def test_upload_whose_answer_drips_ends_at_its_total_timeout(new_world: NewWorld, method: str) -> None:
    world = new_world(20, UPLOAD_METHOD=method, UPLOAD_TIMEOUT=1, MAX_RETRIES=1)
    dripping, once = world.urls[3], world.urls[7]
    world.s3.rules.add(Rule("drip_answer", operation="PutObject", pattern=r"i0003"))  # a minute for its head
    world.s3.rules.add(Rule("drip_answer", operation="PutObject", pattern=r"i0007", per_key=1))
    ran = world.job.run()
    assert ran.code == 1, ran.said
    assert ran.seconds < 20
    assert world.job.causes() == {dripping: "destination"}
    assert "time limit" in world.job.failed()[dripping].message
    assert_moved(world.job, world.source, world.s3, [url for url in world.urls if url != dripping])
    assert world.s3.store.writes["bucket", world.key(once)] == 1


OPERATIONS = {
    "HeadBucket", "PutObject", "HeadObject", "GetObject", "DeleteObject", "ListObjectsV2", "ListMultipartUploads",
    "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
}  # fmt: skip


@pytest.mark.slow
@METHOD
def test_expected_bucket_owner_goes_with_every_request(new_world: NewWorld, method: str) -> None:
    owner = "111122223333"
    world = new_world(20, UPLOAD_METHOD=method, EXPECTED_BUCKET_OWNER=owner, MAX_BUFFER_MB=1, MAX_RETRIES=0)
    world.urls.append(world.source.url_of("large.jpg", size=9_000_000))
    cut = world.source.url_of("cut.jpg", "short_body", size=20_000_000)
    world.s3.put("bucket", world.key(world.urls[0]), world.source.body(world.urls[0]))
    world.job.urls(world.urls)
    assert world.job.run("--sample", "2").code == 0
    world.job.urls([*world.urls, cut])
    assert world.job.run().code == 1
    assert world.job.causes() == {cut: "truncated"}
    assert world.job.run("--adopt").code == 0
    entries = list(world.s3.log)
    without = {e.operation for e in entries if e.headers.get("x-amz-expected-bucket-owner") != owner}
    assert without == set()
    assert {entry.operation for entry in entries} == OPERATIONS


def test_other_expected_bucket_owner_stops_before_anything_is_stored(new_world: NewWorld) -> None:
    world = new_world(20, EXPECTED_BUCKET_OWNER="999988887777")
    ran = world.job.run()
    assert ran.code == 3
    assert "EXPECTED_BUCKET_OWNER" in ran.err
    assert world.s3.objects("bucket") == {}


def test_missing_credentials_stop_with_the_remedy(new_world: NewWorld) -> None:
    world = new_world(20, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    ran = world.job.run()
    assert ran.code == 3
    assert "no AWS credentials were found" in ran.err
    assert world.job.failed() == {}
