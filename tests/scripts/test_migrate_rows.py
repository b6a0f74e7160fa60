"""What the rows of completed.txt say: how each object came to its key, what the source called it, where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.fakes.images import jpeg
from tests.fakes.s3 import S3Server
from tests.fakes.scripted_cdn import ScriptedCdn
from tests.fakes.wire import Request, response
from tests.running import Migration
from tests.tiers import neighbors, slow

MODIFIED = "Fri, 20 Nov 2026 11:00:00 GMT"


class World:
    """A CDN whose images have versions, a place to store them, and the migration between them."""

    def __init__(self, folder: Path, s3: S3Server | None, **settings: object) -> None:
        self.cdn = ScriptedCdn(self._answer)
        self.version = "1"
        self.same: tuple[str, ...] = ()  # names of images that stay at version 1
        self.s3, self.root = s3, folder / "root"
        place: dict[str, object] = {"DESTINATION": "local", "LOCAL_ROOT": self.root}
        if s3 is None:
            self.root.mkdir()
        else:
            place = {"AWS_ENDPOINT_URL": s3.url}
        self.job = Migration(folder, URL_PREFIX=self.cdn.url_prefix, MAX_BUFFER_MB=1, **{**place, **settings})

    def body(self, name: str) -> bytes:
        version = "1" if name in self.same else self.version
        return jpeg(name + version, 2_000_000 if name.startswith("large") else 500)

    def _answer(self, request: Request) -> bytes:
        name = request.path.rpartition("/")[2]
        version = "1" if name in self.same else self.version
        headers = [("Content-Type", "image/jpeg"), ("ETag", f'W/"{version}"'), ("Last-Modified", MODIFIED)]
        return response(200, headers, self.body(name))

    def use(self, *names: str) -> None:
        self.job.urls(self.cdn.url_prefix + name for name in names)

    def put(self, name: str, body: bytes) -> None:
        """Let somebody else put an object at the key of an image."""
        if self.s3 is None:
            path = self.root / f"img/images/{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        else:
            self.s3.put("bucket", f"img/images/{name}", body)

    def delete(self, name: str) -> None:
        if self.s3 is None:
            (self.root / f"img/images/{name}").unlink()
        else:
            self.s3.store.delete("bucket", f"img/images/{name}")

    def held(self) -> dict[str, bytes]:
        """Return what is stored, by the image's name."""
        if self.s3 is None:
            return {path.name: path.read_bytes() for path in self.root.rglob("*.jpg")}
        objects = {key: item.read() for key, item in self.s3.objects("bucket").items()}
        return {key.rpartition("/")[2]: body for key, body in objects.items() if key.endswith(".jpg")}

    def lines(self) -> dict[str, list[str]]:
        """Return the fields of each row, by the image's name."""
        rows = [line.split("\t") for line in self.job.text("completed.txt").splitlines()]
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0].rpartition("/")[2]: row for row in rows}

    def hows(self) -> dict[str, str]:
        return {name: row[7] if len(row) > 7 else "" for name, row in self.lines().items()}

    def edit(self, **hows: str) -> None:
        """Let rows, by the image's name without its end, have another how; "" makes them rows of seven fields."""
        rows = self.lines()
        for name, how in hows.items():
            row = rows[f"{name}.jpg"]
            rows[f"{name}.jpg"] = [*row[:7], how, *row[8:]] if how else row[:7]
        text = "".join("\t".join(row) + "\n" for row in rows.values())
        self.job.path("completed.txt").write_text(text)

    def redo(self, *names: str, **settings: object) -> int:
        (self.job.folder / "again.txt").write_text(
            "".join(f"{self.cdn.url_prefix}{name}\n" for name in names)
        )
        return self.job.run("--redo", "again.txt", **settings).code


@pytest.fixture
def make(tmp_path: Path, s3_server: Callable[..., S3Server]) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def world(store: dict[str, Any] | None = None, local: bool = False, **settings: object) -> World:
        worlds.append(World(tmp_path, None if local else s3_server(**store or {}), **settings))
        return worlds[-1]

    yield world
    for one in worlds:
        one.cdn.network.stop()


WAYS = pytest.mark.parametrize(
    ("way", "place"),
    [
        pytest.param({}, "s3", id="signed"),
        slow({"UPLOAD_METHOD": "put_object"}, "s3", id="boto3"),
        slow({"PROCESSES": 2}, "s3", id="two processes"),
        slow({"store": {"ignore_if_none_match": True}}, "s3", id="conditions ignored"),
        slow({"store": {"kms_default": True}}, "s3", id="ETags that are no MD5"),
        pytest.param({"local": True}, "local", id="folder"),
        slow({"local": True, "PROCESSES": 2}, "local", id="folder, two processes"),
    ],
)


@WAYS
def test_rows_say_how_an_object_came_to_be_what_the_source_called_it_and_where_it_is(
    make: Callable[..., World], way: dict[str, Any], place: str
) -> None:
    world = make(**way)
    names = ("new.jpg", "equal.jpg", "other.jpg", "large_new.jpg", "large_equal.jpg", "large_other.jpg")
    world.use(*names)
    for name in ("equal.jpg", "large_equal.jpg"):
        world.put(name, world.body(name))
    for name in ("other.jpg", "large_other.jpg"):
        world.put(name, b"somebody's")
    assert world.job.run().code == 1
    assert world.hows() == dict.fromkeys(("new.jpg", "large_new.jpg"), "stored") | dict.fromkeys(
        ("equal.jpg", "large_equal.jpg"), "found"
    )
    assert {tuple(row[8:]) for row in world.lines().values()} == {('W/"1"', MODIFIED, place)}
    assert world.held()["other.jpg"] == b"somebody's"
    assert world.job.run(ON_EXISTING="overwrite").code == 0
    assert (world.hows()["other.jpg"], world.hows()["large_other.jpg"]) == ("replaced", "replaced")
    assert world.held() == {name: world.body(name) for name in names}
    run = world.job.report()["run"]
    assert (run["stored"], run["replaced"], run["already_there"]) == (2, 2, 0)
    assert "0 stored, 2 replaced" in world.job.log


@WAYS
def test_redo_renews_only_what_is_ours(make: Callable[..., World], way: dict[str, Any], place: str) -> None:
    world = make(**way)
    names = [
        *(
            "stored.jpg",
            "renewed.jpg",
            "replaced.jpg",
            "found.jpg",
            "adopted.jpg",
            "older.jpg",
            "changed.jpg",
        ),
        *("gone.jpg", "large_stored.jpg", "large_found.jpg", "same.jpg", "same_older.jpg", "large_same.jpg"),
    ]
    world.use(*names)
    assert world.job.run().code == 0
    world.edit(
        renewed="renewed", replaced="replaced", found="found", adopted="adopted", older="", gone="found",
        large_found="found", same="renewed", same_older="",
    )  # fmt: skip
    before = world.lines()
    world.version, world.same = "2", ("same.jpg", "same_older.jpg", "large_same.jpg")
    world.put("changed.jpg", b"somebody's")
    world.delete("gone.jpg")
    assert world.redo(*names, ON_EXISTING="overwrite") == 0
    hows = world.hows()
    assert {name: hows[name] for name in names if "same" not in name} == {
        "stored.jpg": "renewed", "renewed.jpg": "renewed", "replaced.jpg": "replaced", "found.jpg": "replaced",
        "adopted.jpg": "replaced", "older.jpg": "replaced", "changed.jpg": "replaced", "gone.jpg": "stored",
        "large_stored.jpg": "renewed", "large_found.jpg": "replaced",
    }  # fmt: skip
    after = world.lines()
    assert {name: after[name] for name in world.same} == {name: before[name] for name in world.same}
    assert {after[name][8] for name in names if name not in world.same} == {'W/"2"'}
    assert world.held() == {name: world.body(name) for name in names}
    run = world.job.report()["run"]
    assert (run["stored"], run["renewed"], run["replaced"], run["already_there"]) == (13, 3, 6, 3)


def test_object_of_a_run_that_died_before_its_row_is_found(make: Callable[..., World]) -> None:
    world = make(ON_EXISTING="overwrite")
    names = ("a.jpg", "b.jpg", "large.jpg")
    world.use(*names)
    assert world.job.run().code == 0
    path = world.job.path("completed.txt")
    path.write_bytes(path.read_bytes().partition(b"\n")[0][:-1])  # two rows are lost, and one is torn
    assert world.job.run().code == 0
    assert set(world.hows().values()) == {"found"}
    assert world.s3 is not None
    written = {key: times for (_, key), times in world.s3.store.writes.items() if key.endswith(".jpg")}
    assert set(written.values()) == {1}


def test_overwriting_equal_bytes_says_that_headers_stay(make: Callable[..., World]) -> None:
    world = make()
    world.use("a.jpg", "b.jpg")
    assert world.job.run().code == 0
    names = world.job.folder / "again.txt"
    names.write_text(world.job.text("urls.txt"))
    ran = world.job.run("--redo", "again.txt", ON_EXISTING="overwrite", CACHE_CONTROL="no-cache")
    assert ran.code == 0, ran.said
    assert "2 already there have the same bytes and were not written again: they keep their" in ran.out
    assert world.s3 is not None
    written = {key: times for (_, key), times in world.s3.store.writes.items() if key.endswith(".jpg")}
    assert set(written.values()) == {1}


def test_redo_whose_rows_name_their_keys_and_fail_once_knows_them_in_the_second_pass(
    make: Callable[..., World],
) -> None:
    world = make(ON_EXISTING="overwrite", MAX_RETRIES=0)
    world.job.urls(f"{world.cdn.url_prefix}{n}.jpg\tkey=named-{n}.jpg" for n in range(3))
    assert world.job.run().code == 0
    refused, good = set(), world.cdn.answer

    def once(request: Request) -> bytes:
        if request.path in refused:
            return good(request)
        refused.add(request.path)
        return response(502, [])

    world.version, world.cdn.answer = "2", once
    again = "".join(f"{line}\n" for line in world.job.text("urls.txt").splitlines())
    (world.job.folder / "again.txt").write_text(again)
    assert world.job.run("--redo", "again.txt").code == 0
    assert [row.how for row in world.job.completed()] == ["renewed"] * 3
    assert {row.key for row in world.job.completed()} == {f"img/named-{n}.jpg" for n in range(3)}


def test_rows_of_older_versions_and_of_this_one_are_one_state(make: Callable[..., World]) -> None:
    world = make()
    names = [f"{number}.jpg" for number in range(8)]
    world.use(*names)
    assert world.job.run().code == 0
    world.edit(**{str(number): "" for number in range(4)})
    lines = sorted(world.job.text("completed.txt").splitlines(), key=lambda line: line.count("\t"))
    damaged = lines[7].rpartition("\t")[0]  # ten fields: no record
    world.job.path("completed.txt").write_text("\n".join([*lines[:7], damaged]) + "\n" + lines[0][:-3])
    ran = world.job.run()
    assert ran.code == 0
    assert "has 1 lines that are not records" in ran.said
    assert "torn line" in ran.said
    assert world.job.report()["lines"]["completed"] == 8
    assert [len(line.split("\t")) for line in world.job.text("completed.txt").splitlines()] == (
        [7] * 4 + [11] * 3 + [10, 11]
    )
    assert world.job.report()["run"]["already_there"] == 1


@pytest.mark.parametrize("older", neighbors(True, False))
def test_validation_reads_rows_of_both_kinds(make: Callable[..., World], older: bool) -> None:
    from tests.scripts.test_migrate_cdn import validate

    world = make()
    world.use("a.jpg", "b.jpg", "c.jpg")
    assert world.job.run().code == 0
    if older:
        world.edit(a="", b="")
    world.put("b.jpg", b"other")
    world.delete("c.jpg")
    code, said = validate(world.job.folder, "--spot-check", "1")
    assert code == 1, said
    assert "spot check: 1 of 1 identical" in said or "1 identical" in said, said
    mismatched = world.job.text("mismatched.txt").split("\t")
    assert mismatched[2:5] == [str(len(world.body("b.jpg"))), "5", md5(world.body("b.jpg")).hexdigest()]
    assert world.job.text("missing.txt").endswith("\tlost\n")
    counts = json.loads(world.job.text("validation_report.json"))["counts"]
    assert (counts["complete"], counts["lost"], counts["mismatched"]) == (1, 1, 1)


@pytest.mark.parametrize("local", [False, True])
def test_adopted_rows_say_so(make: Callable[..., World], local: bool) -> None:
    world = make(local=local)
    world.use("a.jpg", "b.jpg")
    assert world.job.run().code == 0
    world.job.path("completed.txt").unlink()
    assert world.job.run("--adopt").code == 0
    rows = world.lines().values()
    assert {tuple(row[7:]) for row in rows} == {("adopted", "-", "-", "local" if local else "s3")}
    assert world.redo("a.jpg") == 0
    checked = world.lines()["a.jpg"]
    assert (checked[4], checked[7], checked[8]) == (md5(world.body("a.jpg")).hexdigest(), "adopted", 'W/"1"')
