"""INTEGRITY=auto: the CRC-32 goes with each PUT and the store answers the MD5, where it has shown that it may."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from cdn2s3.destinations.s3.object_md5 import MOST_WITHOUT
from tests.fakes.rules import Rule
from tests.running import Migration
from tests.scripts.test_journal import script
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

CRC, MD5 = "x-amz-checksum-crc32", "content-md5"
BY_CRC = "INTEGRITY=auto: the store checks the CRC-32 of each body and answers with its MD5"


def sent(world: World) -> list[set[str]]:
    """Return which checksums went with each PUT of an image."""
    puts = [entry for entry in world.s3.requests("PutObject") if entry.key.endswith(".jpg")]
    return [{name for name in (CRC, MD5) if name in entry.headers} for entry in puts]


def mode(job: Migration) -> tuple[str, int]:
    """Return what run.json and the report say of the mode, and how many MD5s the store has answered."""
    said = json.loads(job.text("migration_report.json"))["integrity"]
    assert json.loads(job.text("run.json"))["integrity"] == said["mode"]
    return said["mode"], said["md5_answered"]


def assert_true_md5s(world: World) -> None:
    """Assert that each row of completed.txt has the MD5 of its object's bytes."""
    objects = world.s3.objects("bucket")
    rows = [line.split("\t") for line in world.job.text("completed.txt").splitlines()]
    assert {row[1]: row[4] for row in rows} == {
        row[1]: hashlib.md5(objects[row[1]].read()).hexdigest() for row in rows
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"UPLOAD_METHOD": "put_object"},
        {"PROCESSES": 2},
        slow({"PROCESSES": 2, "UPLOAD_METHOD": "put_object"}),
    ],
    ids=str,
)
def test_auto_sends_the_crc_alone_and_records_the_md5_that_is_answered(
    new_world: NewWorld, options: dict[str, Any]
) -> None:
    world = new_world(30, **options)
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert sent(world) == [{CRC}] * 30
    puts = world.s3.requests("PutObject")
    assert {entry.headers["x-amz-content-sha256"] for entry in puts} == {"UNSIGNED-PAYLOAD"}
    assert mode(world.job) == ("auto", 30)
    assert world.job.log.count(BY_CRC) == 1
    assert_true_md5s(world)
    checked = " ".join(world.job.run("--check").out.split())
    assert "a wrong crc32 is refused; the ETag is the MD5. INTEGRITY=auto: the store checks" in checked


@pytest.mark.parametrize(
    ("store", "options", "said"),
    [
        ({"ignore_checksums": True}, {}, "does not refuse a wrong CRC-32"),
        ({"etag_mode": "random"}, {}, "does not answer a PUT with the MD5"),
        ({"md5_for_md5": True}, {"PROCESSES": 2}, "does not answer a PUT with the MD5"),
        ({"kms_default": True}, {}, "(KMS encryption)"),
        ({}, {"SERVER_SIDE_ENCRYPTION": "aws:kms"}, "(KMS encryption)"),
        ({"refused_headers": {CRC: "NotImplemented"}}, {}, "does not refuse a wrong CRC-32"),
    ],
    ids=["no CRC", "random ETag", "an MD5 for an MD5", "KMS", "KMS as asked", "CRC not taken"],
)
def test_auto_is_md5_where_the_store_does_not_show_both(
    new_world: NewWorld, store: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    world = new_world(12, store=store, **options)
    assert world.job.run().code == 0
    assert sent(world) == [{MD5}] * 12
    assert mode(world.job) == ("md5", 0)
    assert "INTEGRITY=auto: md5, since the store" in world.job.log and said in world.job.log
    assert_true_md5s(world)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_encryption_that_changes_in_the_middle_ends_auto_and_no_md5_is_wrong(
    new_world: NewWorld, processes: int
) -> None:
    """A KMS ETag has 32 hex digits, too: the header alone tells."""
    count = 20 + 8 * MOST_WITHOUT
    world = new_world(count, PROCESSES=processes, CONCURRENCY=4)
    puts = 0

    def switch(operation: str, key: str, request: object) -> None:
        nonlocal puts
        puts += operation == "PutObject" and key.endswith(".jpg")
        if puts == 10:
            world.s3.change(kms_default=True)

    world.s3.hook = switch
    assert world.job.run().code == 0
    assert len(world.s3.objects("bucket")) == count
    assert_true_md5s(world)
    how = sent(world)
    assert how[0] == {CRC} and how[-1] == {MD5}
    assert world.job.log.count("answers without MD5s since a moment ago (encryption aws:kms)") == 1
    [note] = json.loads(world.job.text("migration_report.json"))["destination_notes"]
    assert "answered without an MD5, which was computed from the bytes sent" in note
    assert mode(world.job)[0] == "auto"


def test_body_that_is_damaged_on_the_way_is_refused_by_its_crc_and_sent_again(new_world: NewWorld) -> None:
    world = new_world(10)
    world.s3.rules.add(Rule("corrupt_body", operation="PutObject", count=1, pattern=".jpg"))
    assert world.job.run().code == 0
    world.assert_all_moved()
    assert world.s3.counters["PutObject 400"] == 1 + 2  # the probe's two wrong checksums
    assert "destination" in json.loads(world.job.text("migration_report.json"))["retried"]


def test_existing_objects_and_bodies_in_parts_are_compared_by_an_md5_of_our_own(new_world: NewWorld) -> None:
    world = new_world(4, MAX_BUFFER_MB=1)
    large = world.source.url_of("large.jpg", size=9_000_000)
    same, other = world.urls[:2]
    world.s3.put("bucket", world.key(same), world.source.body(same))
    world.s3.put("bucket", world.key(other), bytes(len(world.source.body(other))))
    world.job.urls([large, *world.urls])
    assert world.job.run().code == 1
    assert world.job.causes() == {other: "conflict"}
    assert mode(world.job) == ("auto", 2)
    assert_true_md5s(world)


def test_run_that_began_under_md5_goes_on_under_auto(new_world: NewWorld) -> None:
    world = new_world(20, INTEGRITY="md5")
    assert world.job.run("--limit", "8").code == 0
    assert mode(world.job) == ("md5", 0)
    assert world.job.run(INTEGRITY="auto").code == 0
    world.assert_all_moved_once()
    assert sorted(map(sorted, sent(world))) == [[MD5]] * 8 + [[CRC]] * 12
    assert mode(world.job) == ("auto", 12)


def test_spot_check_tells_answers_that_were_not_the_md5(new_world: NewWorld) -> None:
    """From the second image on, the ETags of a store that says nothing of an encryption are of another kind."""
    world = new_world(6, CONCURRENCY=1)

    def lie(operation: str, key: str, request: object) -> None:
        if operation == "PutObject" and key == world.key(world.urls[1]):
            world.s3.change(etag_mode="random")

    world.s3.hook = lie
    assert world.job.run().code == 0
    assert script(world, "validate.py", "--spot-check", "all").returncode == 1
    checks = json.loads(world.job.text("validation_report.json"))["spot_check"]["checks"]
    wrong = [one["message"] for one in checks if one["outcome"] != "identical"]
    assert wrong == ["CDN and object are the same, completed.txt has another MD5"] * 5


def test_validation_tells_an_answer_that_was_not_the_etag(new_world: NewWorld) -> None:
    world = new_world(6)
    world.s3.rules.add(Rule("200_wrong_etag", operation="PutObject", count=1, pattern=".jpg"))
    assert world.job.run().code == 0
    assert script(world, "validate.py", "--spot-check", "0").returncode == 1
    assert len(world.job.text("mismatched.txt").splitlines()) == 1
