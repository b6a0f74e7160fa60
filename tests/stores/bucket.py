"""The checks around the bucket: its creation, what --check finds, settings that a store may not know, a wrong name."""

from __future__ import annotations

import secrets
from typing import Any

from botocore.exceptions import ClientError

from tests.stores.book import equal
from tests.stores.judge import Judge
from tests.stores.scene import Job, Scene
from tests.stores.world import small_world

_STRANGER = "123456789012"  # an account that owns no bucket here
_OPEN = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
)
# What a store may refuse. It has to work, or --check has to name it.
_SETTINGS = {
    "STORAGE_CLASS": "STANDARD_IA",
    "SERVER_SIDE_ENCRYPTION": "AES256",
    "OBJECT_ACL": "private",
    "CACHE_CONTROL": "max-age=60",
}


def create(scene: Scene) -> None:
    """Check --create-bucket; leave the bucket there, and open to puts, whatever comes of it."""
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    job = scene.job("create", small_world(scene.source, 3))
    ran = job.migrate("--create-bucket")
    with book.check("--create-bucket makes the bucket"):
        assert judge.has_bucket(bucket), f"there is none; exit code {ran.code}: {ran.said}"
    with book.check("the bucket that --create-bucket made takes objects, or it says that it does not"):
        try:
            judge.put(bucket, "probe", b"probe")
        except ClientError as error:
            assert ran.code and "public-access-block" in ran.said, f"{error}, and it said: {ran.said}"
    judge.make_bucket(bucket)
    _open(judge.client, bucket)
    with book.check("--create-bucket leaves a bucket that is there as it is, and says that it is there"):
        _assert_left(job, judge.client, bucket)
    east = Judge(scene.endpoint, "us-east-1")  # where AWS answers 200 to the owner's second CreateBucket
    east.make_bucket(f"{bucket}-east")
    with book.check("--create-bucket leaves it as it is in us-east-1 too"):
        _open(east.client, f"{bucket}-east")
        _assert_left(job, east.client, f"{bucket}-east", AWS_REGION="us-east-1")
    _open(judge.client, bucket)
    judge.delete(bucket, "probe")


def probe(scene: Scene) -> str:
    """Check --check; return what it prints."""
    job = scene.job("check", small_world(scene.source, 3))
    ran = job.migrate("--check")
    with scene.book.check("--check finds nothing that stops a migration"):
        assert ran.code in (0, 1), f"exit code {ran.code}: {ran.said}"
    return ran.out


def settings(scene: Scene) -> None:
    """Check --sample, and --check with each setting that a store may not know."""
    book, planned = scene.book, small_world(scene.source, 5)
    job = scene.job("settings", planned)
    with book.check("--sample moves, compares and deletes"):
        ran = job.migrate("--sample", "5")
        assert ran.code == 0, f"exit code {ran.code}: {ran.said}"
        equal(scene.judge.keys(scene.bucket, job.prefix), set(), "what is left")
    for name, value in _SETTINGS.items():
        with book.check(f"{name} works, or --check names it"):
            _works_or_is_named(scene, name, value)
    with book.check(
        "EXPECTED_BUCKET_OWNER of a stranger: refused, or --check says that the store ignores it"
    ):
        _owner(scene)


def absent(scene: Scene) -> None:
    """Check that a wrong name of the bucket is an error, and no new bucket."""
    name = f"absent-{secrets.token_hex(4)}"
    job = scene.job("absent", small_world(scene.source, 3), DESTINATION_BUCKET=name)
    with scene.book.check("a bucket that is not there stops the run, and is not made by it"):
        ran = job.migrate()
        assert not scene.judge.has_bucket(name), f"{name} is there now; exit code {ran.code}"
        equal((ran.code, job.text("failed_transfers.txt")), (3, ""), "exit code, failed_transfers.txt")


def _assert_left(job: Job, client: Any, bucket: str, **settings: str) -> None:
    before = _access(client, bucket)
    ran = job.migrate("--create-bucket", DESTINATION_BUCKET=bucket, **settings)
    equal(_access(client, bucket), before, "public access block")
    assert ran.code in (0, 1) and "created s3://" not in ran.said, f"exit code {ran.code}: {ran.said}"


def _works_or_is_named(scene: Scene, name: str, value: str) -> None:
    job = scene.job(f"with-{name}", small_world(scene.source, 3))
    checked = job.migrate("--check", **{name: value})
    if checked.code == 3:
        assert name in checked.said, f"--check ends with 3 and does not name it: {checked.said}"
        return
    sampled = job.migrate("--sample", "3", **{name: value})
    assert sampled.code == 0, (
        f"--check ends with {checked.code}, --sample with {sampled.code}: {sampled.said}"
    )


def _owner(scene: Scene) -> None:
    job = scene.job("owner", small_world(scene.source, 3))
    checked = job.migrate("--check", EXPECTED_BUCKET_OWNER=_STRANGER)
    named = [line for line in checked.said.splitlines() if "EXPECTED_BUCKET_OWNER" in line]
    assert checked.code in (1, 3) and named, f"exit code {checked.code}: {checked.said}"


def _open(client: Any, bucket: str) -> None:
    """Take away what --create-bucket has put in the way of others, where the store knows that."""
    try:
        client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_OPEN)
        client.delete_public_access_block(Bucket=bucket)
    except ClientError:
        pass


def _access(client: Any, bucket: str) -> object:
    """Return the bucket's public access block; None where it has none, or the store knows none."""
    try:
        return client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError:
        return None
