"""`migrate.py --delta`: what has changed at the source is renewed, and nothing else is touched."""

from __future__ import annotations

import resource
import signal
import threading
from dataclasses import replace
from hashlib import md5

import pytest

from cdn2s3.state.changes import Change, read
from cdn2s3.text import bytes_text
from tests.fakes.images import jpeg
from tests.fakes.rules import Rule
from tests.running import QUICK, Migration, Ran, assert_consistent, counts
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors, slow


def changes(job: Migration) -> dict[str, Change]:
    """Return what changes.txt says, by URL."""
    return {change.line: change for change in read(job.path("changes.txt").parent)}


def told(job: Migration) -> dict[str, str]:
    """Return what changes.txt says became of each URL."""
    return {url: change.what for url, change in changes(job).items()}


def moved(world: World) -> World:
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.s3.store.writes.clear()
    world.source.bodies.clear()
    return world


def delta(world: World, *arguments: str, **options: object) -> Ran:
    return world.job.run("--delta", *arguments, **options)


def image_writes(world: World) -> dict[str, int]:
    """Return how often each image was written."""
    return {key: times for (_, key), times in world.s3.store.writes.items() if key.endswith(".jpg")}


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return moved(new_world(40))


def test_nothing_changed_moves_no_byte(world: World) -> None:
    before = world.job.text("completed.txt")
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "delta: 40 unchanged (304)" in ran.said
    assert image_writes(world) == {}
    assert sum(world.source.bodies.values()) == 1  # the source probe: an ETag that no file has
    assert world.job.text("completed.txt") == before
    assert told(world.job) == {}
    assert counts(world.job)["completed"] == 40


def test_changed_image_is_renewed_once(world: World) -> None:
    url = world.urls[7]
    old, new = md5(world.source.body(url)).hexdigest(), md5(world.source.change(url)).hexdigest()
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "39 unchanged" in ran.said and "1 renewed" in ran.said
    assert image_writes(world) == {world.key(url): 1}
    rows = world.job.completed()
    assert len(rows) == 40
    assert [(row.md5, row.how, row.source_etag) for row in rows if row.url == url] == [
        (new, "renewed", f'"{new}"')
    ]
    assert told(world.job) == {url: "renewed"}
    assert (changes(world.job)[url].old_md5, changes(world.job)[url].new_md5) == (old, new)
    assert len(world.job.text("completed.txt.bak").splitlines()) == 41
    assert_consistent(world.job, world.source, world.s3)
    assert counts(world.job)["completed"] == 40
    fields = world.job.text("runs.txt").splitlines()[-1].split("\t")
    assert (
        fields[3:7] == ["0", "0", "1", "0"] and fields[10] == "9000"
    )  # exit code, stored, renewed, replaced; bytes
    assert "delta: 40 unchanged (304)" in delta(world).said


def rewritten(world: World, how: str | None) -> None:
    """Let all rows be ones of another history: how, or seven fields where it is None."""
    lines = []
    for line in world.job.text("completed.txt").splitlines():
        fields = line.split("\t")
        lines.append("\t".join(fields[:7] if how is None else [*fields[:7], how, *fields[8:]]))
    world.job.path("completed.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("how", neighbors("found", "adopted", "replaced", None))
def test_what_is_not_ours_is_named_and_stays(world: World, how: str | None) -> None:
    rewritten(world, how)
    new = md5(world.source.change(world.urls[3])).hexdigest()
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert "1 changed, not ours" in ran.said
    assert image_writes(world) == {}
    assert told(world.job) == {world.urls[3]: "changed, not ours"}
    assert changes(world.job)[world.urls[3]].new_md5 == new
    again = delta(world)
    assert again.code == 0, again.said  # it has been named
    assert "1 changed, not ours (1 known before)" in again.said
    assert told(world.job) == {world.urls[3]: "changed, not ours"}
    world.source.change(world.urls[3])
    assert delta(world).code == 1  # and changed once more


@pytest.mark.parametrize("how", neighbors("found", "replaced", None))
def test_what_is_not_ours_is_replaced_where_the_user_says_so(world: World, how: str | None) -> None:
    rewritten(world, how)
    world.source.change(world.urls[3])
    ran = delta(world, ON_EXISTING="overwrite")
    assert ran.code == 0, ran.said
    assert "1 replaced" in ran.said
    assert told(world.job) == {world.urls[3]: "replaced"}
    assert [row.how for row in world.job.completed() if row.url == world.urls[3]] == ["replaced"]
    assert_consistent(world.job, world.source, world.s3)


def test_object_that_somebody_else_has_changed_too_stays(world: World) -> None:
    ours, theirs, gone = world.urls[:3]
    for url in (ours, theirs, gone):
        world.source.change(url)
    put(world, theirs, b"somebody else's")
    world.s3.store.delete("bucket", world.key(gone))
    ran = delta(world, MAX_CHANGE_RATE=0.1)
    assert ran.code == 1, ran.said
    assert told(world.job) == {ours: "renewed", theirs: "changed at both ends", gone: "lost"}
    assert world.s3.objects("bucket")[world.key(theirs)].read() == b"somebody else's"
    assert world.key(gone) not in world.s3.objects("bucket")
    assert "--redo missing.txt" in ran.said
    assert world.job.text("failed_transfers.txt") == ""
    assert counts(world.job)["completed"] == 40


def put(world: World, url: str, body: bytes) -> None:
    """Let somebody else put an object at a URL's key."""
    digest = md5(body).hexdigest()
    item = world.s3.store.keep(body, digest, f'"{digest}"', {"content-type": "image/jpeg"})
    world.s3.store.put("bucket", replace(item, key=world.key(url)), only_if_absent=False)
    world.s3.store.writes.clear()


@pytest.mark.parametrize(
    "store",
    [
        {},
        {"put_if_match": "ignore"},
        slow({"put_if_match": "refuse", "complete_if_match": "refuse"}),
        slow({"put_if_match": "create"}),
        slow({"complete_if_match": "ignore"}),
        slow({"etag_mode": "random"}),
        slow({"kms_default": True}),
        slow({"etag_mode": "weak"}),
    ],
    ids=lambda store: "+".join(f"{name}={value}" for name, value in store.items()) or "honors",
)
@pytest.mark.parametrize("size", [20_000, slow(2_500_000)])
def test_each_kind_of_store_keeps_what_is_not_ours(
    new_world: NewWorld, store: dict[str, object], size: int
) -> None:
    world = new_world(3, store={"min_part": 1, **store}, MAX_BUFFER_MB=1, MAX_CHANGE_RATE=1)
    world.use(world.source.url_of(f"{n}.jpg", size=size) for n in range(3))
    moved(world)
    ours, theirs, gone = world.urls
    bodies = {url: world.source.change(url, jpeg(f"new {url}", size)) for url in world.urls}
    put(world, theirs, b"somebody else's")
    world.s3.store.delete("bucket", world.key(gone))
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert told(world.job) == {ours: "renewed", theirs: "changed at both ends", gone: "lost"}
    objects = world.s3.objects("bucket")
    assert objects[world.key(ours)].read() == bodies[ours]
    assert objects[world.key(theirs)].read() == b"somebody else's"
    assert world.key(gone) not in objects
    way = "put_if_match" if size < 1_000_000 else "complete_if_match"
    assert ("not atomic" in ran.said) == (way in store), "only the way that is used matters"
    assert not [key for key in objects if ".cdn2s3-probe" in key]
    assert not world.s3.store.uploads("bucket")


@pytest.mark.parametrize(
    "options", [slow({"PROCESSES": 2}), {"UPLOAD_METHOD": "put_object"}, slow({"INTEGRITY": "crc32"})]
)
def test_every_way_of_running_renews(new_world: NewWorld, options: dict[str, object]) -> None:
    world = moved(new_world(40, **options))
    changed = world.urls[5:7]
    for url in changed:
        world.source.change(url)
    world.use([*world.urls, world.source.url_of("later.jpg")])
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert told(world.job) == dict.fromkeys(changed, "renewed")
    assert image_writes(world) == {world.key(url): 1 for url in [*changed, world.urls[-1]]}
    assert_consistent(world.job, world.source, world.s3)
    assert counts(world.job)["completed"] == 41


def test_run_that_dies_between_object_and_row_is_made_up_for(world: World) -> None:
    url = world.urls[7]
    body = world.source.change(url)
    put(world, url, body)  # as the run did that was killed
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "40 unchanged" in ran.said
    assert image_writes(world) == {}
    assert told(world.job) == {}
    assert [row.how for row in world.job.completed() if row.url == url] == ["renewed"]
    assert_consistent(world.job, world.source, world.s3)


def test_gone_is_open_once(world: World) -> None:
    gone = world.job.completed()[
        -1
    ].url  # the first ones are asked once more, for what their validators are worth
    world.source.rules.add(Rule("404", pattern=gone[-9:]))
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert told(world.job) == {gone: "gone"}
    assert world.source.requests[gone[len(world.source.url) :]] == 1 + 2  # the move, and two looks
    assert world.key(gone) in world.s3.objects("bucket")
    assert counts(world.job)["completed"] == 40
    again = delta(world)
    assert again.code == 0, again.said
    assert "1 gone (1 known before)" in again.said
    assert told(world.job) == {gone: "gone"}


@pytest.mark.slow
def test_gone_that_the_list_knows_is_not_open(world: World) -> None:
    (world.job.folder / "gone.txt").write_text(f"{world.urls[4]}\t2026-11-01T00:00:00Z\n")
    world.source.rules.add(Rule("410", pattern="i0004"))
    assert delta(world).code == 0


@pytest.mark.slow
def test_what_is_there_again_a_minute_later_is_not_gone(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0004", count=1))
    ran = delta(world)
    assert (ran.code, told(world.job)) == (0, {}), ran.said


@pytest.mark.slow
def test_failures_stand_in_changes_alone(world: World) -> None:
    world.source.change(world.urls[0])
    world.source.rules.add(Rule("html", pattern="i0001"))
    world.source.rules.add(Rule("500", pattern="i0002"))
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert told(world.job) == {
        world.urls[0]: "renewed",
        world.urls[1]: "failed:not_an_image",
        world.urls[2]: "failed:server_error",
    }
    assert f"{world.urls[1]} failed: not_an_image: " in world.job.log
    assert f"{world.urls[2]} failed: server_error: " in world.job.log
    assert world.job.text("failed_transfers.txt") == ""
    assert counts(world.job)["completed"] == 40


def test_plan_looks_and_writes_nothing(world: World) -> None:
    world.source.change(world.urls[7])
    before = {path.name: path.read_bytes() for path in world.job.folder.iterdir()}
    ran = delta(world, "--plan")
    assert ran.code == 0, ran.said
    assert "delta: 39 unchanged (304), 1 changed" in ran.out
    after = {path.name: path.read_bytes() for path in world.job.folder.iterdir()}
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} <= {
        "migration.env"
    }
    assert world.s3.store.writes == {}


STOPS = [
    pytest.param({"conditional": "always"}, 0, (), "304 to an ETag that no file has", id="always 304"),
    pytest.param({"conditional": "never"}, 0, (), "does not say 304 to its files' own ETags", id="never 304"),
    pytest.param({"etag": "none"}, 0, (), "no 304 that can be relied on", id="no validators"),
    pytest.param(
        {"conditional": "never", "all_unstable": True}, 0, ("--full",), "MAX_CHANGE_RATE", id="other bytes"
    ),
    pytest.param({}, 3, (), "3 of 40 images differ", id="many changed"),
]


@pytest.mark.parametrize(("habits", "changed", "options", "said"), STOPS)
@pytest.mark.parametrize("plan", neighbors((), ("--plan",)))
def test_stops_replace_nothing(
    world: World,
    habits: dict[str, object],
    changed: int,
    options: tuple[str, ...],
    said: str,
    plan: tuple[str, ...],
) -> None:
    for name, value in habits.items():
        setattr(world.source.site, name, value)
    for url in world.urls[:changed]:
        world.source.change(url)
    world.use([*world.urls, world.source.url_of("later.jpg")])
    before = world.job.text("completed.txt")
    ran = delta(world, *options, *plan)
    assert ran.code == 3, ran.said
    assert said in ran.said
    assert "Nothing was replaced" in ran.said
    assert image_writes(world) == {}
    assert world.job.text("completed.txt") == before
    assert not world.job.path("changes.txt").exists()


@pytest.mark.slow
def test_price_is_said_before_everything_is_downloaded(world: World) -> None:
    world.source.site.conditional = "never"
    ran = delta(world)
    assert ran.code == 3, ran.said
    size = sum(int(row.size) for row in world.job.completed())
    assert f"a delta downloads {bytes_text(size)}, 40 of 40 images" in ran.said
    assert "--delta --full" in ran.said
    assert sum(world.source.bodies.values()) <= 12  # six files, both ways
    world.source.change(world.urls[0])
    full = delta(world, "--full")
    assert full.code == 0, full.said
    assert "39 unchanged (0 by 304), 1 renewed" in full.said


@pytest.mark.slow
def test_one_file_without_a_304_does_not_speak_for_all(new_world: NewWorld) -> None:
    """The first file that is asked may be one that the site makes anew each time."""
    world = new_world(40)
    moved(world)
    first = world.job.completed()[0].url
    world.source.site.unstable.add(first[len(world.source.url) :])
    ran = delta(world)
    assert "39 unchanged (304)" in ran.said
    assert told(world.job) == {first: "failed:unstable"}


def test_placeholder_under_ten_urls_stops_it(world: World) -> None:
    for url in world.urls[:10]:
        world.source.change(url, jpeg("placeholder", 9_000))
    ran = delta(world, MAX_CHANGE_RATE=1)
    assert ran.code == 3, ran.said
    assert "10 changed URLs have one content" in ran.said
    assert sum(url in ran.said for url in world.urls[:10]) == 5
    assert image_writes(world) == {}
    world.source.change(world.urls[0])
    assert delta(world, MAX_CHANGE_RATE=1).code == 0  # nine are not that many


@pytest.mark.slow
def test_file_names_what_is_looked_at(world: World) -> None:
    for url in world.urls[:8]:
        world.source.change(url)
    (world.job.folder / "some.txt").write_text("".join(f"{url}\n" for url in world.urls[:5]))
    ran = delta(world, "some.txt")
    assert ran.code == 0, ran.said  # MAX_CHANGE_RATE does not count
    assert told(world.job) == dict.fromkeys(world.urls[:5], "renewed")
    (world.job.folder / "some.txt").write_text("https://elsewhere.example/a.jpg\n")
    strange = delta(world, "some.txt")
    assert strange.code == 2, strange.said
    assert "after --delta" in strange.said


@pytest.mark.slow
def test_what_an_earlier_delta_named_of_others_stays_known(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0004"))
    assert delta(world).code == 1
    (world.job.folder / "some.txt").write_text(f"{world.urls[0]}\n")
    assert delta(world, "some.txt").code == 0
    assert delta(world).code == 0


def test_old_rows_are_asked_for_with_their_md5(world: World) -> None:
    rewritten(world, None)
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "40 unchanged (304)" in ran.said
    assert sum(world.source.bodies.values()) == 1


@pytest.mark.slow
def test_old_rows_whose_md5_is_no_etag_cost_a_download_once(world: World) -> None:
    world.source.site.etag = "opaque"
    rewritten(world, None)
    ran = delta(world)
    assert ran.code == 3 and "no validators are recorded" in ran.said, ran.said
    full = delta(world, "--full")
    assert full.code == 0, full.said
    assert [row.source_etag for row in world.job.completed()] == [
        f'"v-{row.md5[:12]}"' for row in world.job.completed()
    ]
    assert len(world.job.completed()) == 40
    world.source.bodies.clear()
    assert "40 unchanged (304)" in delta(world).said
    assert sum(world.source.bodies.values()) == 1


@pytest.mark.parametrize("etag", neighbors("weak", "opaque", "none"))
def test_every_kind_of_validator_is_sent_back_to_the_letter(new_world: NewWorld, etag: str) -> None:
    world = new_world(40)
    world.source.site.etag, world.source.site.dates = etag, True
    moved(world)
    world.source.change(world.urls[0])
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "39 unchanged (304), 1 renewed" in ran.said
    assert sum(world.source.bodies.values()) == 3  # the probe, and the changed one twice


@pytest.mark.slow
def test_age_of_what_the_cdn_shows_is_said(world: World) -> None:
    world.source.site.age = 23 * 3600
    ran = delta(world)
    assert "the CDN answered from copies up to 23 h 00 min old: what changed since 20" in ran.said


def test_what_the_store_lacks_is_said_only_where_something_is_renewed(new_world: NewWorld) -> None:
    world = moved(new_world(3, store={"complete_if_match": "ignore", "put_if_match": "ignore"}))
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "not atomic" not in ran.said and world.job.report()["destination_notes"] == []
    world.source.change(world.urls[0])
    ran = delta(world, MAX_CHANGE_RATE=1)
    assert "ignores If-Match on PUT" in ran.said and "completion" not in ran.said, ran.said
    assert len(world.job.report()["destination_notes"]) == 1


def test_report_tells_of_the_last_delta_and_keeps_it(world: World) -> None:
    world.source.change(world.urls[0])
    world.source.site.age = 3600
    world.source.rules.add(Rule("404", pattern="i0003"))
    gone = world.urls.pop()
    world.use(world.urls)
    assert delta(world).code == 1
    found = world.job.report()["delta"]
    assert found["looked_at"] == 39 and found["unchanged"] == 37 and found["changed"] == 1
    assert found["outcomes"] == {"gone": 1, "renewed": 1} and found["new"] == {"gone": 1}
    assert (found["skipped"], found["stopped_by"], found["replaced_nothing"]) == (1, "", False)
    assert found["oldest_copy_seconds"] >= 3600
    page = world.job.text("migration_report.html")
    assert "The last delta" in page and "37 unchanged, 1 changed" in page and "copies up to 1 h" in page
    world.use([*world.urls, gone])
    assert world.job.run().code == 0
    assert world.job.report()["delta"] == found, "a later run does not hide it"


def test_report_tells_of_a_delta_that_has_stopped(world: World) -> None:
    for url in world.urls[:10]:
        world.source.change(url)
    assert delta(world).code == 3
    report = world.job.report()
    assert "MAX_CHANGE_RATE" in report["delta"]["stopped_by"] and report["delta"]["replaced_nothing"]
    assert report["delta"]["changed"] == 10 and report["lines"]["completed"] == 40
    assert report["next"] == "python migrate.py --delta"
    assert report["largest_run"]["run"]["stored"] == 40
    page = world.job.text("migration_report.html")
    assert "Stopped before anything was replaced" in page


def test_unstable_bytes_are_never_stored(world: World) -> None:
    """The first pass judges what the second stores."""
    world.source.change(world.urls[0])
    world.source.site.unstable.add(world.urls[0][len(world.source.url) :])
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert told(world.job) == {world.urls[0]: "failed:unstable"}
    assert image_writes(world) == {}


@pytest.mark.parametrize("at", [2, 30, slow(44), 47])
def test_site_that_changes_while_a_delta_runs_leaves_only_true_rows(world: World, at: int) -> None:
    """Whatever the moment: the object is what the row says, and was sent as a whole; the next delta has the rest."""
    for url in world.urls[:6]:
        world.source.change(url)
    sent = {url: {world.source.body(url)} for url in world.urls}

    struck = threading.Event()

    def change() -> None:
        struck.set()
        for url in world.urls[3:9]:
            sent[url].add(world.source.change(url))

    world.source.rules.at(at, change)
    ran = delta(world, MAX_CHANGE_RATE=1)
    assert ran.code in (0, 1) and struck.is_set(), ran.said
    named = told(world.job)
    assert set(named.values()) <= {"renewed", "failed:unstable"}
    assert ran.code == ("failed:unstable" in named.values())
    objects = world.s3.objects("bucket")
    for row in world.job.completed():
        body = objects[row.key].read()
        assert md5(body).hexdigest() == row.md5
        assert row.how == ("renewed" if named.get(row.url) == "renewed" else "stored")
        assert row.how == "stored" or body in sent[row.url]
    assert delta(world, MAX_CHANGE_RATE=1).code == 0
    assert_consistent(world.job, world.source, world.s3)


def test_without_reading_nothing_is_renewed(new_world: NewWorld) -> None:
    world = new_world(40, store={"allow": frozenset({"PutObject", "DeleteObject"})})
    assert world.job.run().code == 0
    world.s3.store.writes.clear()
    world.source.change(world.urls[0])
    ran = delta(world)
    assert ran.code == 3, ran.said
    assert "s3:GetObject is not granted, and --delta needs it" in ran.said
    assert image_writes(world) == {}


@pytest.mark.slow
def test_conflict_of_two_writes_is_tried_again_after_a_look(world: World) -> None:
    world.source.change(world.urls[0])
    world.s3.rules.add(Rule("ConditionalRequestConflict", operation="PutObject", pattern="i0000", count=1))
    ran = delta(world)
    assert (ran.code, told(world.job)) == (0, {world.urls[0]: "renewed"}), ran.said


@pytest.mark.slow
def test_lost_answer_is_a_renewal_all_the_same(world: World) -> None:
    world.source.change(world.urls[0])
    world.s3.rules.add(Rule("drop_after_store", operation="PutObject", pattern="i0000", count=1))
    ran = delta(world)
    assert (ran.code, told(world.job)) == (0, {world.urls[0]: "renewed"}), ran.said
    assert image_writes(world) == {world.key(world.urls[0]): 1}


@pytest.mark.parametrize(
    "fault", ["500_after_store", "cut_answer", slow("garbage_answer"), slow("200_without_etag")]
)
@pytest.mark.parametrize("store", [{}, {"put_if_match": "ignore"}], ids=["atomic", "looks first"])
@pytest.mark.parametrize("retries", [3, 0], ids=["next attempt", "second pass"])
@pytest.mark.parametrize("size", [20_000, slow(1_200_000)])
def test_renewal_whose_success_is_not_told_is_one_of_this_delta(
    new_world: NewWorld, fault: str, store: dict[str, object], retries: int, size: int
) -> None:
    world = new_world(3, store={**store, "min_part": 1}, MAX_CHANGE_RATE=1, MAX_BUFFER_MB=1)
    world.use(world.source.url_of(f"i000{number}.jpg", size=size) for number in range(3))
    moved(world)
    world.source.change(world.urls[0], jpeg("newer", size))
    operation = "PutObject" if size < 1_000_000 else "CompleteMultipartUpload"
    world.s3.rules.add(Rule(fault, operation=operation, pattern="i0000", count=1))
    ran = delta(world, MAX_RETRIES=retries, quick={**QUICK, "cdn2s3.resilience.retry.LONGEST_WAIT": 0.05})
    assert (ran.code, told(world.job)) == (0, {world.urls[0]: "renewed"}), ran.said
    assert "2 unchanged (304), 1 renewed" in ran.said
    assert_consistent(world.job, world.source, world.s3)


def test_folder_is_compared_and_replaced(new_world: NewWorld) -> None:
    world = new_world(40, DESTINATION="local", LOCAL_ROOT="here", MAX_CHANGE_RATE=1)
    (world.job.folder / "here").mkdir()
    assert world.job.run().code == 0
    ours, theirs, gone = world.urls[:3]
    for url in (ours, theirs, gone):
        world.source.change(url)
    path = world.job.folder / "here"
    (path / world.key(theirs)).write_bytes(b"theirs")
    (path / world.key(gone)).unlink()
    ran = delta(world)
    assert ran.code == 1, ran.said
    assert told(world.job) == {ours: "renewed", theirs: "changed at both ends", gone: "lost"}
    assert (path / world.key(ours)).read_bytes() == world.source.body(ours)
    assert (path / world.key(theirs)).read_bytes() == b"theirs"
    assert not (path / world.key(gone)).exists()


@pytest.mark.parametrize("options", [{}, slow({"PROCESSES": 2})])
def test_killed_delta_is_finished_by_the_next(new_world: NewWorld, options: dict[str, object]) -> None:
    world = moved(new_world(60, **options))
    changed = world.urls[:30]
    for url in changed:
        world.source.change(url)
    world.s3.rules.add(Rule("slow_answer", operation="PutObject", pattern=r"\.jpg", seconds=0.15))
    with world.job.running("--delta", MAX_CHANGE_RATE=1) as run:
        run.until(lambda: len(image_writes(world)) >= 10)
        run.kill()
    world.s3.rules.clear()
    ran = delta(world, MAX_CHANGE_RATE=1)
    assert ran.code == 0, ran.said
    assert set(image_writes(world).values()) == {1}
    assert image_writes(world).keys() == {world.key(url) for url in changed}
    assert_consistent(world.job, world.source, world.s3)
    assert len(world.job.completed()) == 60  # superseded rows of the killed run are gone, too
    assert {row.how for row in world.job.completed() if row.url in changed} == {"renewed"}
    assert counts(world.job)["completed"] == 60


@pytest.mark.parametrize("stage", ["look", "renew"])
def test_signal_ends_it_with_what_is_done_recorded(world: World, stage: str) -> None:
    for url in world.urls[:10]:
        world.source.change(url)
    if stage == "look":
        world.source.rules.add(Rule("stall_headers", pattern="i00[23]", seconds=30))
    else:
        world.s3.rules.add(Rule("slow_answer", operation="PutObject", pattern=r"\.jpg", seconds=0.3))
    with world.job.running("--delta", MAX_CHANGE_RATE=1, CONCURRENCY=2) as run:
        if stage == "look":
            run.until(lambda: world.source.rules.struck["stall_headers"] >= 1)
        else:
            run.until(lambda: len(image_writes(world)) >= 2)
        run.send(signal.SIGTERM)
        ran = run.end()
    assert ran.code == 143, ran.said
    assert counts(world.job)["completed"] == 40
    if stage == "look":
        assert image_writes(world) == {} and not world.job.path("changes.txt").exists()
    else:
        assert set(told(world.job).values()) == {"renewed"}
        assert len(told(world.job)) == len(image_writes(world)) < 10
    world.source.rules.clear()
    world.s3.rules.clear()
    assert delta(world, MAX_CHANGE_RATE=1).code == 0
    assert_consistent(world.job, world.source, world.s3)
    assert len(world.job.completed()) == 40


@pytest.mark.slow
def test_outage_of_the_source_is_waited_out(world: World) -> None:
    world.source.change(world.urls[0])
    world.source.rules.add(Rule("503", name="down"))
    with world.job.running("--delta", CONCURRENCY=8, MAX_RETRIES=0) as run:
        run.until(lambda: "asking again" in world.job.log)
        world.source.rules.remove("down")
        ran = run.end()
    assert ran.code == 0, ran.said
    assert told(world.job) == {world.urls[0]: "renewed"}


@pytest.mark.slow
def test_full_disk_replaces_nothing_or_says_what(world: World) -> None:
    url = world.urls[0]
    world.source.change(url)
    size = world.job.path("completed.txt").stat().st_size
    ran = delta(world, limits={resource.RLIMIT_FSIZE: (size, size)})
    assert ran.code == 3, ran.said
    assert "cannot write" in ran.said and "Traceback" not in ran.said
    assert len(world.job.completed()) == 40
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert_consistent(world.job, world.source, world.s3)
    assert image_writes(world) == {world.key(url): 1}


@pytest.mark.slow
def test_open_redo_keeps_its_place(world: World) -> None:
    (world.job.folder / "again.txt").write_text("".join(f"{url}\n" for url in world.urls[20:30]))
    world.source.rules.add(Rule("stall_headers", name="stall", pattern="i002[5-9]", seconds=30))
    with world.job.running("--redo", "again.txt", CONCURRENCY=2) as run:
        run.until(lambda: world.source.rules.struck["stall_headers"] >= 1)
        run.kill()
    world.source.rules.clear()
    world.source.change(world.urls[0])
    ran = delta(world)
    assert ran.code == 1, ran.said  # the redo is open
    assert told(world.job) == {world.urls[0]: "renewed"}
    assert "is not finished" in ran.said
    assert world.job.run("--redo").code == 0
    assert delta(world).code == 0
    rows = {row.url: row for row in world.job.completed()}
    assert rows[world.urls[0]].md5 == md5(world.source.body(world.urls[0])).hexdigest()


@pytest.mark.slow
def test_validators_go_along_a_redirect(new_world: NewWorld) -> None:
    world = new_world(40)
    world.source.rules.add(Rule("redirect_fine"))
    moved(world)
    world.source.change(world.urls[0])
    ran = delta(world)
    assert ran.code == 0, ran.said
    assert "39 unchanged (304), 1 renewed" in ran.said
    asked = [entry for entry in world.source.log if "if-none-match" in entry.headers]
    assert {"/moved/" in entry.target for entry in asked} == {True, False}


@pytest.mark.slow
def test_first_ones_are_judged_before_the_rest(new_world: NewWorld) -> None:
    world = moved(new_world(120))
    for url in world.urls[:6]:
        world.source.change(url)
    quick = {**QUICK, "cdn2s3.delta.looks.FIRST": 100}
    ran = delta(world, quick=quick, MAX_CHANGE_RATE=0.055)  # 6 of 100 are more, of 120 less
    assert ran.code == 3, ran.said
    assert "of the first 100 images differ" in ran.said
    assert image_writes(world) == {}


@pytest.mark.slow
def test_named_objects_and_two_names_of_one_url(new_world: NewWorld) -> None:
    world = new_world(2)
    a, b = world.urls
    world.use([f"{a}\tkey=x.jpg", f"{a}\tkey=y.jpg", b])
    assert world.job.run().code == 0
    world.source.change(a)
    ran = delta(world, MAX_CHANGE_RATE=1)
    assert ran.code == 0, ran.said
    assert told(world.job) == {f"{a}\tkey=x.jpg": "renewed", f"{a}\tkey=y.jpg": "renewed"}
    objects = world.s3.objects("bucket")
    assert {objects[f"img/{name}.jpg"].read() for name in "xy"} == {world.source.body(a)}
    assert len(world.job.completed()) == 3


@pytest.mark.parametrize(
    "options",
    neighbors(("--limit", "3"), ("--retry-failed",), ("--redo", "x"), ("--check",)),
    ids=lambda one: one[0],
)
def test_delta_goes_alone(world: World, options: tuple[str, ...]) -> None:
    ran = delta(world, *options) if options[0] != "--redo" else world.job.run("--delta", *options)
    assert ran.code == 2
    assert "--delta works only alone" in ran.err
    assert world.job.run("--full").code == 2


@pytest.mark.slow
def test_row_that_is_done_at_once_by_two_deltas_is_renewed_once(world: World) -> None:
    """What a second delta finds is what the first has left."""
    url = world.urls[0]
    for _ in range(2):
        world.source.change(url)
        assert delta(world).code == 0
    rows = [row for row in world.job.completed() if row.url == url]
    assert [(row.how, row.md5) for row in rows] == [("renewed", md5(world.source.body(url)).hexdigest())]
    assert image_writes(world) == {world.key(url): 2}


@pytest.mark.slow
def test_list_of_gone_files_needs_no_validators(world: World) -> None:
    (world.job.folder / "some.txt").write_text("".join(f"{url}\n" for url in world.urls[:3]))
    world.source.rules.add(Rule("404", pattern="i000[0-2]"))
    ran = delta(world, "some.txt")
    assert ran.code == 1, ran.said
    assert told(world.job) == dict.fromkeys(world.urls[:3], "gone")
