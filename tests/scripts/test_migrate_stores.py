"""migrate.py on stores that are not Amazon's: nothing is overwritten, nobody is blamed for the bucket's faults."""

from __future__ import annotations

import json

import pytest

from tests.fakes.rules import Rule
from tests.running import assert_moved
from tests.scripts.world import NewWorld
from tests.tiers import slow


def test_body_in_parts_replaces_no_object_where_its_completion_would(new_world: NewWorld) -> None:
    """Ceph honors If-None-Match on a PUT and ignores it on CompleteMultipartUpload."""
    world = new_world(10, store={"complete_ignores_if_none_match": True}, MAX_BUFFER_MB=1)
    large, theirs = (world.source.url_of(f"{name}.jpg", size=9_000_000) for name in ("large", "theirs"))
    world.s3.put("bucket", world.key(theirs), b"somebody else's")
    world.job.urls([large, theirs, *world.urls])
    checked = world.job.run("--check")
    assert "not atomic" in " ".join(checked.out.split())
    assert world.job.run().code == 1
    assert world.job.causes() == {theirs: "conflict"}
    assert world.s3.objects("bucket")[world.key(theirs)].read() == b"somebody else's"
    assert_moved(world.job, world.source, world.s3, [large, *world.urls])
    assert "completion of uploads in parts" in world.job.log and "not atomic" in world.job.log
    [note] = json.loads(world.job.text("migration_report.json"))["destination_notes"]
    assert "not atomic" in note
    assert "not atomic" in world.job.text("migration_report.html")
    heads = {entry.key for entry in world.s3.requests("HeadObject")}
    assert not heads & {world.key(url) for url in world.urls}  # a PUT is protected: no HEAD before it


@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_quota_that_is_full_is_the_buckets_and_the_run_resumes(new_world: NewWorld, method: str) -> None:
    world = new_world(20, store={"quota": 20_000}, UPLOAD_METHOD=method, CONCURRENCY=4)
    world.use([world.source.url_of(f"q{number}.jpg", size=3_000) for number in range(20)])
    ran = world.job.run()
    assert ran.code == 3
    assert "403 QuotaExceeded" in ran.err and "the bucket is full" in ran.err
    assert "Your request was denied due to quota exceeded." in ran.err
    assert world.job.failed() == {}
    world.s3.change(quota=None)
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_what_every_object_meets_is_the_buckets(new_world: NewWorld) -> None:
    """A refusal that no table knows: an outage, not the fault of 120 URLs."""
    world = new_world(120, OUTAGE_LIMIT=3)
    began: list[str] = []

    def refuse(operation: str, key: str, request: object) -> Rule | None:
        if operation == "PutObject" and key.endswith(".jpg"):
            began.append(key)
        is_put = operation == "PutObject" and key.endswith((".jpg", "-up"))
        return Rule("InvalidRequest") if is_put and len(began) > 10 else None

    world.s3.hook = refuse
    ran = world.job.run()
    assert ran.code == 3
    assert "the bucket has been down" in ran.err and "400 InvalidRequest" in ran.err
    assert world.job.failed() == {}
    world.s3.hook = None
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_refusal_of_one_object_is_its_own(new_world: NewWorld) -> None:
    world = new_world(60)
    world.s3.rules.add(Rule("InvalidRequest", operation="PutObject", pattern=r"i0007"))
    assert world.job.run().code == 1
    assert world.job.causes() == {world.urls[7]: "destination"}
    assert '("Invalid Request")' in world.job.failed()[world.urls[7]].message


@pytest.mark.parametrize("fault", [slow("InternalError"), "ServiceUnavailable"])
def test_store_that_is_busy_one_time_in_ten_slows_the_run_and_does_not_end_it(
    new_world: NewWorld, fault: str
) -> None:
    world = new_world(150, MAX_RETRIES=3)
    world.s3.rules.add(Rule(fault, probability=0.1))
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved()


def test_plan_names_keys_that_other_stores_refuse(new_world: NewWorld) -> None:
    world = new_world(3)
    world.job.urls([world.source.url_of(name) for name in ("a.jpg", "b//c.jpg", "d/./e.jpg", "n" * 256)])
    said = world.job.run("--plan").out
    for odd in ("an empty segment (//)", "a segment that is a dot (/./)", "a segment over 255 bytes"):
        assert f"1 whose key has {odd}, which stores other than AWS may refuse" in said


def test_directory_bucket_is_refused_before_anything_is_contacted(new_world: NewWorld) -> None:
    world = new_world(3, DESTINATION_BUCKET="images--usw2-az1--x-s3")
    ran = world.job.run()
    assert ran.code == 2
    assert "directory buckets (S3 Express One Zone) are not supported" in ran.err
    assert len(world.s3.log) == 0


@pytest.mark.parametrize("method", ["signed", slow("put_object")])
def test_locked_versioned_bucket_with_kms_takes_all_and_a_delete_marker_is_no_object(
    new_world: NewWorld, method: str
) -> None:
    bucket = {"object_lock": True, "versioned": True, "kms_default": True}
    world = new_world(5, store=bucket, UPLOAD_METHOD=method, MAX_BUFFER_MB=6)
    world.use([*world.urls, world.source.url_of("large.jpg", size=7_000_000)])
    assert world.job.run().code == 0
    world.assert_all_moved_once()
    gone = world.urls[0]
    world.s3.store.delete("bucket", world.key(gone))  # it leaves a delete marker
    (world.job.folder / "again.txt").write_text(f"{gone}\n")
    ran = world.job.run("--redo", "again.txt")
    assert ran.code == 0, ran.said
    assert_moved(world.job, world.source, world.s3, world.urls)
