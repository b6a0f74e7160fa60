"""After the move: the site changes, a delta catches up, an undo takes away what is ours and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tests.fakes.images import jpeg
from tests.fakes.rules import Rule
from tests.running import Ran
from tests.stores.book import equal
from tests.stores.scene import Job, Scene
from tests.stores.world import LARGE, World, add, small_world

HONORED, IGNORED = "honored", "ignored"
_WRONG = '"00000000000000000000000000000000"'
_SOON = {"migrate.SECOND_PASS_AFTER": 1.0}  # a URL that is gone is asked for again after a minute
_THEIRS = b"\xff\xd8\xff somebody else's, after the move"


def conditions(scene: Scene) -> dict[str, str]:
    """Return what the store makes of If-Match on PUT, on the completion of parts and on DELETE, seen by boto3 alone."""
    client, bucket = scene.judge.client, scene.bucket

    def put(key: str) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=b"new", IfMatch=_WRONG)

    def complete(key: str) -> None:
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        where: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload}
        etag = client.upload_part(**where, PartNumber=1, Body=b"new")["ETag"]
        try:
            parts = {"Parts": [{"ETag": etag, "PartNumber": 1}]}
            client.complete_multipart_upload(**where, MultipartUpload=parts, IfMatch=_WRONG)
        except ClientError:
            client.abort_multipart_upload(**where)
            raise

    def delete(key: str) -> None:
        client.delete_object(Bucket=bucket, Key=key, IfMatch=_WRONG)

    ways = {"PUT": put, "parts": complete, "DELETE": delete}
    return {name: _condition(scene, f"judge/if-match-{name}", way) for name, way in ways.items()}


def _condition(scene: Scene, key: str, way: Callable[[str], None]) -> str:
    judge, bucket = scene.judge, scene.bucket
    judge.put(bucket, key, b"old")
    try:
        way(key)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        found = HONORED if status == 412 else f"refused ({status})"
    else:
        found = IGNORED
    if found == HONORED and judge.get(bucket, key) != b"old":
        found = IGNORED
    judge.delete(bucket, key)
    return found


def check(scene: Scene, urls: int) -> dict[str, str]:
    """Check a delta and an undo of so many URLs; return what the store makes of If-Match."""
    found = conditions(scene)
    planned = small_world(scene.source, urls)
    equal_before = add(planned, scene.source, "plain/equal-before.jpg")
    job = scene.job("after", planned, MAX_CHANGE_RATE=1)
    scene.judge.put(scene.bucket, job.prefix + planned.names[equal_before], planned.bodies[equal_before])
    with scene.book.check("delta: what comes before it is moved"):
        _assert_code(job.migrate(), 0)
    told, there = _changed(scene, job, planned, equal_before)
    _caught_up(scene, job, told, there, found)
    staying = {equal_before, *_of(told, "changed at both ends")}
    _undone(scene, job, planned, there, found, staying)
    return found


def _changed(
    scene: Scene, job: Job, planned: World, equal_before: str
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Let the site and somebody else change things; return what a delta has to tell, and what must then be there."""
    source, judge, bucket = scene.source, scene.judge, scene.bucket
    large, small, both, lost, gone = (planned.urls[at] for at in (0, 1, -2, -3, -4))
    there = {planned.names[url]: planned.bodies[url] for url in planned.urls}
    there[planned.names[large]] = source.change(large, jpeg("another large one", LARGE + 1))
    there[planned.names[small]] = source.change(small)
    for url in (both, lost, equal_before):
        source.change(url)
    source.rules.add(Rule("404", pattern=f"{gone[len(source.url_prefix) :]}$"))
    judge.put(bucket, job.prefix + planned.names[both], _THEIRS)
    judge.delete(bucket, job.prefix + planned.names[lost])
    there[planned.names[both]] = _THEIRS
    del there[planned.names[lost]]
    told = {
        large: "renewed", small: "renewed", both: "changed at both ends", lost: "lost", gone: "gone",
        equal_before: "changed, not ours",
    }  # fmt: skip
    return told, {job.prefix + name: body for name, body in there.items()}


def _caught_up(
    scene: Scene, job: Job, told: dict[str, str], there: dict[str, bytes], found: dict[str, str]
) -> None:
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    before = {key: judge.get(bucket, key) for key in judge.keys(bucket, job.prefix)}
    with book.check("delta: --plan names the changes and writes nothing"):
        ran = job.run("--delta", "--plan", quick=_SOON)
        assert "changed" in ran.out, f"exit code {ran.code}: {ran.said}"
        judge.assert_holds(bucket, job.prefix, before)
    with book.check("delta: what has changed is told, URL by URL, and nothing else"):
        ran = job.run("--delta", quick=_SOON)
        _assert_code(ran, 1)
        equal(_changes(job), told, "changes.txt")
    with book.check("delta: changed objects have the new bytes, all others those of before"):
        judge.assert_holds(bucket, job.prefix, there)
    with book.check("delta: it says so where If-Match on PUT or on parts does not protect, and only there"):
        lacks = {found["PUT"], found["parts"]} != {HONORED}
        equal("not atomic" in ran.said, lacks, "it says 'not atomic'")
    with book.check("delta: the next one renews nothing, and says again what is open"):
        _assert_code(job.run("--delta", quick=_SOON), 1)
        equal(_changes(job), {url: what for url, what in told.items() if what != "renewed"}, "changes.txt")
        judge.assert_holds(bucket, job.prefix, there)
    scene.source.rules.clear()


def _undone(
    scene: Scene,
    job: Job,
    planned: World,
    there: dict[str, bytes],
    found: dict[str, str],
    staying: set[str],
) -> None:
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    with book.check("undo: without --yes nothing changes"):
        _assert_code(job.migrate("--undo"), 0)
        judge.assert_holds(bucket, job.prefix, there)
    some = planned.urls[1:3]
    (job.folder / "some.txt").write_text("".join(f"{url}\n" for url in some), encoding="utf-8")
    with book.check("undo: of a file removes its objects alone"):
        _assert_code(job.migrate("--undo", "some.txt", "--yes"), 0)
        left = {key: body for key, body in there.items() if key not in _keys(job, planned, some)}
        judge.assert_holds(bucket, job.prefix, left)
    with book.check("undo: all that is ours goes, what is somebody else's stays, byte for byte"):
        ran = job.migrate("--undo", "--yes")
        _assert_code(ran, 1)
        judge.assert_holds(bucket, job.prefix, {key: there[key] for key in _keys(job, planned, staying)})
        equal({row.url for row in job.completed()}, staying, "completed rows")
    with book.check("undo: it says so where If-Match on DELETE does not protect, and only there"):
        equal("not atomic" in ran.said, found["DELETE"] != HONORED, "it says 'not atomic'")


def _keys(job: Job, planned: World, urls: Any) -> set[str]:
    return {job.prefix + planned.names[url] for url in urls}


def _changes(job: Job) -> dict[str, str]:
    """Return what changes.txt says of each URL."""
    fields = [line.split("\t") for line in job.text("changes.txt").splitlines()]
    return {one[0]: one[2] for one in fields}


def _of(told: dict[str, str], what: str) -> set[str]:
    return {url for url, said in told.items() if said == what}


def _assert_code(ran: Ran, code: int) -> None:
    assert ran.code == code, f"exit code {ran.code} instead of {code}: {ran.said}"
