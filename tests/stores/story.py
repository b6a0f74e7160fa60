"""A whole migration with damage: killed, resumed, validated, damaged behind its back, repaired, lost and adopted."""

from __future__ import annotations

import shutil
from hashlib import md5

from tests.running import Ran
from tests.stores.book import equal
from tests.stores.scene import Job, Scene
from tests.stores.world import World, small_world, world

WORKERS = 8
# Each pair of values of two settings occurs.
COMBINATIONS = [
    {"PROCESSES": 1, "UPLOAD_METHOD": "signed", "INTEGRITY": "md5"},
    {"PROCESSES": 2, "UPLOAD_METHOD": "put_object", "INTEGRITY": "md5"},
    {"PROCESSES": 1, "UPLOAD_METHOD": "put_object", "INTEGRITY": "crc32"},
    {"PROCESSES": 2, "UPLOAD_METHOD": "signed", "INTEGRITY": "crc32"},
]


def tell(scene: Scene, urls: int) -> None:
    """Check the whole story with so many URLs, under the first combination."""
    planned = world(scene.source, urls)
    job = scene.job("story", planned, CONCURRENCY=WORKERS, **COMBINATIONS[0])
    _plant(scene, job, planned)
    _killed(scene, job, planned)
    _finished(scene, job, planned)
    _validated(scene, job, planned)
    _damaged(scene, job, planned)
    _repaired(scene, job, planned)
    _adopted(scene, job, planned)


def combine(scene: Scene, urls: int, combinations: list[dict[str, object]]) -> None:
    """Check a migration without faults under each combination of settings."""
    planned = small_world(scene.source, urls)
    for settings in combinations:
        name = "{PROCESSES} process, {UPLOAD_METHOD}, {INTEGRITY}".format(**settings)
        job = scene.job("-".join(map(str, settings.values())), planned, CONCURRENCY=WORKERS, **settings)
        with scene.book.check(f"{name}: everything is moved"):
            _assert_code(job.migrate(), 0)
        with scene.book.check(f"{name}: every object has its source's bytes"):
            scene.judge.assert_holds(scene.bucket, job.prefix, planned.objects(job.prefix))
        with scene.book.check(f"{name}: the verdict is complete"):
            _assert_verdict(job, job.validate("--spot-check", "20"), "complete", 0)


def _plant(scene: Scene, job: Job, planned: World) -> None:
    for url, body in planned.before.items():
        scene.judge.put(scene.bucket, job.prefix + planned.names[url], body)


def _killed(scene: Scene, job: Job, planned: World) -> None:
    third = len(planned.urls) // 3
    with scene.book.check("kill -9 in the middle: what is recorded is in the bucket"):
        with job.running(quick={}) as running:
            running.until(lambda: job.text("completed.txt").count("\n") >= third)
            running.kill()
        recorded = {row.key: row.url for row in job.completed()}
        assert third <= len(recorded) < len(planned.plain), (
            f"{len(recorded)} rows: killed too late to show anything"
        )
        scene.judge.assert_bytes(scene.bucket, {key: planned.bodies[url] for key, url in recorded.items()})


def _finished(scene: Scene, job: Job, planned: World) -> None:
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    with book.check("the next run finishes it"):
        _assert_code(job.migrate(), 1)
        assert job.report()["lines"]["add_up"], "the lines do not add up"
    with book.check(
        "every object has its source's bytes, what was there before stays, nothing else is there"
    ):
        judge.assert_holds(bucket, job.prefix, planned.objects(job.prefix))
    with book.check("each URL that cannot be moved has its cause"):
        equal(set(job.causes().items()), set(planned.causes.items()), "causes")
    with book.check("each completed row has the size and MD5 of its source"):
        rows = {(row.url, row.key, row.size, row.md5) for row in job.completed()}
        equal(
            rows,
            {_row(planned, url, job.prefix) for url in planned.bodies if url not in planned.causes},
            "rows",
        )
    with book.check("at most CONCURRENCY URLs were downloaded again"):
        again = sum(scene.source.bodies.values()) - len(scene.source.bodies) - len(_conflicts(planned))
        assert again <= WORKERS, f"{again} were downloaded again"
    with book.check("no unfinished upload is left"):
        equal(judge.unfinished_uploads(bucket, job.prefix), set(), "unfinished uploads")
    with book.check("objects have the type of their bytes"):
        equal(judge.content_types(bucket, set(planned.objects(job.prefix))), {"image/jpeg"}, "Content-Type")
    with book.check("a third run moves nothing"):
        before = len(job.completed())
        _assert_code(job.migrate(), 1)
        equal(len(job.completed()), before, "completed rows")
        judge.assert_bytes(
            bucket, {job.prefix + planned.names[url]: body for url, body in planned.before.items()}
        )


def _validated(scene: Scene, job: Job, planned: World) -> None:
    book = scene.book
    with book.check("the conflicts make the verdict incomplete"):
        _assert_verdict(job, job.validate("--spot-check", "1000"), "incomplete", 1)
    conflicts = _conflicts(planned)
    with book.check("missing.txt and mismatched.txt name what is not there, and nothing else"):
        equal(job.first_fields("missing.txt"), set(planned.causes) - conflicts, "missing.txt")
        equal(job.first_fields("mismatched.txt"), conflicts, "mismatched.txt")
        equal(job.first_fields("unexpected.txt"), set(), "unexpected.txt")
    with book.check("the spot check compares every image"):
        compared = job.validated()["spot_check"]["outcomes"]
        equal(compared, {"identical": len(planned.urls) - len(planned.causes)}, "outcomes")


def _damaged(scene: Scene, job: Job, planned: World) -> None:
    """Delete an object, replace one, add one, behind the tool's back."""
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    deleted, replaced = planned.plain[-1], planned.plain[-2]
    judge.delete(bucket, job.prefix + planned.names[deleted])
    judge.put(bucket, job.prefix + planned.names[replaced], b"\xff" * len(planned.bodies[replaced]))
    judge.put(bucket, f"{job.prefix}stranger.jpg", b"\xff\xd8\xff")
    with book.check("damage makes the verdict incomplete"):
        _assert_verdict(job, job.validate("--spot-check", "0"), "incomplete", 1)
    with book.check("the deleted object is missing"):
        assert deleted in job.first_fields("missing.txt"), "missing.txt does not name it"
    with book.check("the replaced object is mismatched"):
        assert replaced in job.first_fields("mismatched.txt"), "mismatched.txt does not name it"
    with book.check("the stranger's object is unexpected"):
        equal(job.first_fields("unexpected.txt"), {f"{job.prefix}stranger.jpg"}, "unexpected.txt")


def _repaired(scene: Scene, job: Job, planned: World) -> None:
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    deleted, replaced = planned.plain[-1], planned.plain[-2]
    with book.check("--redo moves the deleted object again"):
        (job.folder / "redo.txt").write_text(f"{deleted}\n", encoding="utf-8")
        job.migrate("--redo", "redo.txt")
        judge.assert_bytes(bucket, {job.prefix + planned.names[deleted]: planned.bodies[deleted]})
    with book.check("--redo with ON_EXISTING=overwrite replaces the wrong object"):
        (job.folder / "redo.txt").write_text(f"{replaced}\n", encoding="utf-8")
        job.migrate("--redo", "redo.txt", ON_EXISTING="overwrite")
        judge.assert_bytes(bucket, {job.prefix + planned.names[replaced]: planned.bodies[replaced]})
    judge.delete(bucket, f"{job.prefix}stranger.jpg")
    with book.check("after the repair, everything is as it was before the damage"):
        judge.assert_holds(bucket, job.prefix, planned.objects(job.prefix))
        job.migrate()  # the settings of the file are the usual ones again
        _assert_verdict(job, job.validate("--spot-check", "1000"), "incomplete", 1)
        equal(job.first_fields("mismatched.txt"), _conflicts(planned), "mismatched.txt")


def _adopted(scene: Scene, job: Job, planned: World) -> None:
    """Lose the state."""
    book, judge, bucket = scene.book, scene.judge, scene.bucket
    for path in job.folder.iterdir():
        if path.name not in ("urls.txt", "migration.env"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    there = {url for url in planned.urls if planned.causes.get(url) in (None, "conflict")}
    with book.check("--adopt records what the bucket has, and no more"):
        _assert_code(job.migrate("--adopt"), 0)
        equal(
            {(row.url, row.key) for row in job.completed()},
            {(u, job.prefix + planned.names[u]) for u in there},
            "rows",
        )
    with book.check("a run after --adopt moves nothing that is there"):
        _assert_code(job.migrate(), 1)
        equal(set(job.causes()), set(planned.urls) - there, "failed")
        judge.assert_holds(bucket, job.prefix, planned.objects(job.prefix))
    with book.check("the spot check finds what was adopted and is not the source's"):
        _assert_verdict(job, job.validate("--spot-check", "1000"), "incomplete", 1)
        equal(job.first_fields("mismatched.txt"), _conflicts(planned), "mismatched.txt")


def _conflicts(planned: World) -> set[str]:
    return {url for url, cause in planned.causes.items() if cause == "conflict"}


def _row(planned: World, url: str, prefix: str) -> tuple[str, str, str, str]:
    body = planned.bodies[url]
    return url, prefix + planned.names[url], str(len(body)), md5(body, usedforsecurity=False).hexdigest()


def _assert_code(ran: Ran, code: int) -> None:
    assert ran.code == code, f"exit code {ran.code} instead of {code}: {ran.said}"


def _assert_verdict(job: Job, ran: Ran, verdict: str, code: int) -> None:
    _assert_code(ran, code)
    equal(job.validated()["verdict"], verdict, "verdict")
