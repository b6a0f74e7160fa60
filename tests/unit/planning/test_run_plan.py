"""What a run has to do: its input looked through, the state brought up to date, the part that is chosen."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.file_names import REDO_FILE
from cdn2s3.keys import KeyMaker
from cdn2s3.planning import redo
from cdn2s3.planning.run_plan import (
    Choice,
    RunPlan,
    choose,
    kept_input,
    plan_run,
    prepare_run,
    refuse_strangers,
    urls_of,
)
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.state import ledger
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import Completed, Failed
from cdn2s3.state.lines import encode

PREFIX = "https://cdn.example/"
THEN = "2026-11-20T10:15:00Z"
NOW = 1_795_170_000.0


def url(name: str) -> str:
    return PREFIX + name


def completed(name: str, key: str = "") -> bytes:
    return encode(Completed(url(name), key or f"images/{name}", "5", "e", "-", "image/jpeg", THEN))


def failed(name: str, cause: str = "timeout") -> bytes:
    return encode(Failed(url(name), cause, "2", "said", THEN))


class State:
    """A folder with urls.txt and the state of earlier runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, **values: str) -> MigrationSettings:
        given = {
            "DESTINATION_BUCKET": "bucket",
            "URL_PREFIX": PREFIX,
            "STATE_DIR": str(self.folder),
            "SOURCE_URLS_FILE": str(self.folder / "urls.txt"),
            **values,
        }
        return build(MigrationSettings, given, {}, Path("migration.env"))

    def write(self, name: str, *lines: bytes) -> None:
        (self.folder / name).write_bytes(b"".join(lines))

    def urls(self, *lines: str) -> None:
        self.write("urls.txt", *(f"{line}\n".encode() for line in lines))

    def lines(self, name: str) -> list[bytes]:
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def failed(self) -> dict[str, str]:
        """Return the cause of each URL in failed_transfers.txt."""
        records = [ledger.failed(line[:-1]) for line in self.lines("failed_transfers.txt")]
        return {record.url: record.cause for record in records if record is not None}

    def job(self, chosen: list[str] | None = None, limit: int | None = None, **values: str) -> RunPlan:
        settings = self.settings(**values)
        keys = key_maker(settings)
        choice = Choice(None if chosen is None else objects(keys, *chosen), limit=limit)
        return prepare_run(settings, keys, choice, NOW)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def these(*urls: str) -> Fingerprints:
    found = Fingerprints()
    for line in urls:
        found.add(line.encode())
    return found


def objects(keys: KeyMaker, *urls: str) -> Fingerprints:
    return these(*(keys.object_id(line.encode()).decode() for line in urls))


def todo(job: RunPlan) -> list[str]:
    return [task.url for task in job.tasks()]


def test_everything_pending_is_to_do_in_the_order_of_the_input(state: State) -> None:
    state.urls(url("c.jpg"), url("a.jpg"), "", url("a.jpg"), url("b.jpg"))
    state.write("completed.txt", completed("a.jpg"))
    job = state.job()
    assert todo(job) == [url("c.jpg"), url("b.jpg")]
    assert job.text() == (
        "5 lines: 1 blank, 1 duplicates, 0 malformed, 0 collisions, 1 already done, 2 pending; this run does 2"
    )


def test_record_under_another_key_does_not_count(state: State) -> None:
    state.urls(url("a.jpg"))
    state.write("completed.txt", completed("a.jpg", key="elsewhere/a.jpg"))
    assert todo(state.job()) == [url("a.jpg")]


@pytest.mark.parametrize(
    ("chosen", "limit", "expected"),
    [
        pytest.param(None, 2, ["a", "b"], id="limit"),
        pytest.param(None, 9, ["a", "b", "d"], id="limit beyond the end"),
        pytest.param(["d", "a", "unknown"], None, ["a", "d"], id="chosen"),
        pytest.param(["d", "a"], 1, ["a"], id="chosen and limit"),
        pytest.param(["c"], None, [], id="chosen and done"),
        pytest.param([], None, [], id="none chosen"),
    ],
)
def test_run_does_the_part_that_is_asked_for(
    state: State, chosen: list[str] | None, limit: int | None, expected: list[str]
) -> None:
    state.urls(*(url(name) for name in "abcd"))
    state.write("completed.txt", completed("c"))
    job = state.job(None if chosen is None else [url(name) for name in chosen], limit)
    assert todo(job) == [url(name) for name in expected]
    assert job.todo == len(expected)
    assert job.work.pending == 3


def test_failures_are_brought_up_to_date_and_counted_by_where_they_belong(state: State) -> None:
    state.urls(url("a"), url("b"), url("c"), "https://other.example/x")
    state.write("completed.txt", completed("c"))
    state.write(
        "failed_transfers.txt", failed("a", "timeout"), failed("c"), failed("elsewhere"), failed("a", "empty")
    )
    job = state.job()
    assert state.failed() == {
        url("a"): "empty",
        url("elsewhere"): "timeout",
        "https://other.example/x": "other_host",
    }
    assert (job.failed_pending, job.failed_elsewhere) == (1, 1)
    keys = key_maker(state.settings())
    assert keys.object_id(url("a").encode()) in job.failed_before
    assert keys.object_id(url("c").encode()) not in job.failed_before


def test_malformed_lines_are_shown_and_recorded_once_however_often_it_runs(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    state.urls(url("a"), *(f"ftp://other.example/{n}" for n in range(12)))
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            job = state.job()
        assert "12 malformed lines" in caplog.text
        assert caplog.text.count("ftp://other.example/") == 10
        assert (job.work.malformed, len(state.lines("failed_transfers.txt"))) == (12, 12)
        assert job.failed_elsewhere == 0


def test_collisions_are_refused_with_all_of_them_on_file_and_a_remedy(state: State) -> None:
    state.urls(*(url(f"{folder}/{n}.jpg") for folder in "xy" for n in range(12)))
    with pytest.raises(UsageError) as caught:
        state.job()
    assert caught.value.exit_code == 2
    assert "12 URLs would overwrite another one" in str(caught.value)
    assert "PRESERVE_PATH_STRUCTURE=true" in str(caught.value)
    assert str(caught.value).count(url("y/")) == 10
    assert len(state.lines("collisions.txt")) == 12
    assert state.lines("collisions.txt")[0].decode() == f"images/0.jpg\t{url('x/0.jpg')}\t{url('y/0.jpg')}\n"
    assert not (state.folder / "failed_transfers.txt").exists()


def test_first_of_colliding_urls_wins_where_that_is_asked_for(state: State) -> None:
    state.urls(url("x/1.jpg"), url("y/1.jpg"), url("z/1.jpg"))
    job = state.job(ON_COLLISION="first")
    assert todo(job) == [url("x/1.jpg")]
    assert state.failed() == {url("y/1.jpg"): "collision", url("z/1.jpg"): "collision"}
    assert (job.work.collisions, job.failed_elsewhere) == (2, 0)


@pytest.mark.parametrize("lines", [["x/1.jpg", "y/1.jpg"], ["y/1.jpg", "x/1.jpg"], ["y/1.jpg"]])
def test_key_of_a_completed_url_is_given_to_no_other_wherever_that_stands(
    state: State, lines: list[str]
) -> None:
    state.urls(*map(url, lines))
    state.write("completed.txt", completed("x/1.jpg", "images/1.jpg"))
    job = state.job(ON_COLLISION="first")
    assert todo(job) == []
    assert (job.work.done, job.work.collisions, job.failed_elsewhere) == (len(lines) - 1, 1, 0)
    assert state.failed() == {url("y/1.jpg"): "collision"}
    assert state.lines("collisions.txt") == [f"images/1.jpg\t{url('x/1.jpg')}\t{url('y/1.jpg')}\n".encode()]
    with pytest.raises(UsageError) as caught:
        state.job()
    assert url("x/1.jpg") in str(caught.value)


def test_record_under_a_key_that_its_url_has_no_more_keeps_nobody_from_it(state: State) -> None:
    state.urls(url("y/1.jpg"))
    state.write("completed.txt", completed("x/2.jpg", "images/1.jpg"))
    assert todo(state.job()) == [url("y/1.jpg")]


def test_urls_that_are_both_completed_under_one_key_stay_done(state: State) -> None:
    state.urls(url("y/1.jpg"))
    state.write("completed.txt", completed("x/1.jpg", "images/1.jpg"), completed("y/1.jpg", "images/1.jpg"))
    assert state.job().work.done == 1


def test_collisions_that_are_no_more_leave_no_file(state: State) -> None:
    state.urls(url("x/1.jpg"), url("y/1.jpg"))
    with pytest.raises(UsageError):
        state.job()
    state.job(PRESERVE_PATH_STRUCTURE="true")
    assert not (state.folder / "collisions.txt").exists()


def test_records_of_urls_to_redo_do_not_count_and_stay(state: State) -> None:
    state.urls(url("a"), url("b"))
    state.write("completed.txt", completed("a"), completed("b"))
    settings = state.settings()
    keys = key_maker(settings)
    plan, _ = plan_run(settings, keys, Choice(objects(keys, url("b")), redo=True))
    assert (plan.work.done, plan.work.pending, plan.todo) == (1, 1, 1)
    assert state.lines("completed.txt") == [completed("a"), completed("b")]


def test_urls_of_a_file_are_its_first_fields_in_any_shape(state: State) -> None:
    state.write(
        "again.txt", b"\xef\xbb\xbfhttps://h/a\tkey\tlost\r\n\nhttps://h/b\nhttps://h/\xe9\nhttps://h/last"
    )
    found = urls_of(state.folder / "again.txt", "--redo")
    assert all(
        line in found for line in (b"https://h/a", b"https://h/b", b"https://h/\xe9", b"https://h/last")
    )
    assert b"https://h/a\tkey" not in found


def test_file_that_is_not_there_is_named_with_its_option(state: State) -> None:
    with pytest.raises(UsageError, match=r"again\.txt \(--redo\)"):
        urls_of(state.folder / "again.txt", "--redo")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, []),
        ({"DESTINATION_PREFIX": ""}, []),
        ({"DESTINATION_PREFIX": "images"}, ["keys begin with imagesNAME, not images/NAME"]),
        ({"DESTINATION_PREFIX": "/images/"}, ["DESTINATION_PREFIX=/images/ begins with /"]),
        ({"STRIP_PATH_PREFIX": "a/"}, ["STRIP_PATH_PREFIX is not used"]),
        ({"STRIP_PATH_PREFIX": "a/", "PRESERVE_PATH_STRUCTURE": "true"}, ["1 URL lacks STRIP_PATH_PREFIX"]),
        (
            {"STRIP_PATH_PREFIX": "/a/", "PRESERVE_PATH_STRUCTURE": "true"},
            ["no URL's path starts with STRIP_PATH_PREFIX=/a/ (a path is compared without its leading /)"],
        ),
        (
            {"STRIP_PATH_PREFIX": "x/", "PRESERVE_PATH_STRUCTURE": "true"},
            ["no URL's path starts with STRIP_PATH_PREFIX=x/"],
        ),
    ],
    ids=["usual", "empty", "no slash", "leading slash", "no preserve", "some", "none, slash", "none"],
)
def test_naming_that_is_seldom_meant_is_warned_of(
    state: State, values: dict[str, str], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    state.urls(url("a/1.jpg"), url("b/2.jpg"), url("b/2.jpg"))
    state.job(**values)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == len(said)
    assert all(part in warning for part, warning in zip(said, warnings))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"https://cdn.example/a.jpg\tkey\tlost\n"])
def test_file_to_redo_that_fits_or_is_empty_is_taken(state: State, content: bytes) -> None:
    state.urls(url("a.jpg"))
    state.write("again.txt", content)
    path = state.folder / "again.txt"
    refuse_strangers(path, urls_of(path, "--redo"), state.folder / "urls.txt")


def test_file_to_redo_of_another_job_is_refused(state: State) -> None:
    state.urls(url("a.jpg"), "")
    state.write("again.txt", b"key\t1\n", b"\n", b"https://cdn.example/b.jpg\n")
    path = state.folder / "again.txt"
    with pytest.raises(UsageError, match=r"none of the 2 lines of .*again.txt is a URL in .*urls.txt"):
        refuse_strangers(path, urls_of(path, "--redo"), state.folder / "urls.txt")


def test_run_over_its_own_failures_does_each_of_them(state: State) -> None:
    state.write(
        "failed_transfers.txt",
        failed("x/a", "collision"),
        encode(Failed("https://other.example/x", "malformed", "0", "said", THEN)),
        failed("b"),
        failed("c"),
        failed("b", "empty"),
    )
    state.write("completed.txt", completed("c"), completed("a"))
    settings = state.settings(
        SOURCE_URLS_FILE=str(state.folder / "failed_transfers.txt"), ON_COLLISION="first"
    )
    keys = key_maker(settings)
    with kept_input(settings) as kept:
        assert kept.source_urls_file != settings.source_urls_file
        job = prepare_run(kept, keys, Choice(), NOW)
        assert todo(job) == [url("b")]
        assert state.failed() == {
            url("x/a"): "collision",
            "https://other.example/x": "other_host",
            url("b"): "empty",
        }
        assert job.work.duplicates == 1
    assert not kept.source_urls_file.exists()


def test_list_of_its_own_is_no_copy(state: State) -> None:
    state.urls(url("a"))
    settings = state.settings()
    with kept_input(settings) as kept:
        assert kept is settings
    assert (state.folder / "urls.txt").exists()


def test_redo_forgets_no_row_and_is_remembered(state: State) -> None:
    state.urls(url("a"), url("b"))
    state.write("completed.txt", completed("a"), completed("b"), completed("elsewhere"))
    before = state.lines("completed.txt")
    settings = state.settings()
    keys = key_maker(settings)
    again = objects(keys, url("b"), url("elsewhere"))
    plan = prepare_run(settings, keys, Choice(again, redo=True, redo_file="missing.txt"), NOW)
    assert state.lines("completed.txt") == before
    assert todo(plan) == [url("b")]
    assert list(redo.lines_of(state.folder)) == [url("b").encode()]
    assert redo.open_redo(state.folder) == ("missing.txt", sum(map(len, before)))


@pytest.mark.parametrize("yes", [False, True])
def test_redo_of_many_completed_urls_needs_a_yes(
    state: State, monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    monkeypatch.setattr("cdn2s3.planning.run_plan.MANY", 2)
    names = ["a", "b", "c"]
    state.urls(*map(url, names))
    state.write("completed.txt", *map(completed, names), completed("a"))
    settings = state.settings()
    state.write("again.txt", *(f"{url(name)}\n".encode() for name in names))
    choice = choose(settings, state.folder / "again.txt", None, None, yes)
    if yes:
        assert prepare_run(settings, key_maker(settings), choice, NOW).todo == 3
        return
    said = r"transfer 3 completed images again: 15 bytes, .* s at .* files/s .*--redo .*again\.txt --yes`"
    with pytest.raises(UsageError, match=said):
        prepare_run(settings, key_maker(settings), choice, NOW)
    assert {path.name for path in state.folder.iterdir()} == {"urls.txt", "completed.txt", "again.txt"}


def opened(state: State, *names: str) -> MigrationSettings:
    """Return the settings of a state with a redo of names, of which the first has its new row."""
    state.urls(*map(url, names), url("more"))
    state.write("completed.txt", *map(completed, [*names, "more"]))
    redo.begin(state.folder, "missing.txt", (url(name).encode() for name in names))
    state.write("completed.txt", *map(completed, [*names, "more", names[0]]))
    return state.settings()


def chosen(state: State, settings: MigrationSettings, file: Path | str) -> list[str]:
    return todo(prepare_run(settings, key_maker(settings), choose(settings, file, None, None), NOW))


def test_redo_without_a_file_goes_on(state: State) -> None:
    assert chosen(state, opened(state, "a", "b", "c"), "") == [url("b"), url("c")]
    assert redo.open_redo(state.folder) is not None


def test_redo_of_the_same_file_goes_on(state: State) -> None:
    settings = opened(state, "a", "b", "c")
    state.urls(url("a"), url("b"), url("c"), url("more"))
    state.write("missing.txt", *(f"{url(name)}\tk\tlost\n".encode() for name in "abc"))
    assert chosen(state, settings, state.folder / "missing.txt") == [url("b"), url("c")]


def test_redo_of_what_remembers_it_goes_on(state: State) -> None:
    settings = opened(state, "a", "b", "c")
    assert chosen(state, settings, state.folder / REDO_FILE) == [url("b"), url("c")]


def test_file_of_ones_own_called_redo_is_nothing_but_input(state: State) -> None:
    state.urls(url("a"), url("b"))
    state.write("completed.txt", completed("a"), completed("b"))
    state.write("redo.txt", f"{url('b')}\n".encode())
    assert chosen(state, state.settings(), state.folder / "redo.txt") == [url("b")]
    assert (state.folder / "redo.txt").read_text() == f"{url('b')}\n"


def test_redo_of_another_file_takes_over_what_was_left(state: State) -> None:
    settings = opened(state, "a", "b", "c")
    state.write("more.txt", f"{url('more')}\n".encode())
    assert chosen(state, settings, state.folder / "more.txt") == [url("b"), url("c"), url("more")]
    assert len(list(redo.lines_of(state.folder))) == 3


def test_redo_without_a_file_and_without_one_to_go_on_with_is_refused(state: State) -> None:
    state.urls(url("a"))
    with pytest.raises(UsageError, match="no redo is open"):
        choose(state.settings(), "", None, None)


def test_line_of_a_host_that_was_added_is_no_failure_anymore(state: State) -> None:
    state.urls(url("a"), "https://b.example/x", "ftp://c/x")
    state.write("completed.txt", completed("a"))
    state.job()
    assert state.failed() == {"https://b.example/x": "other_host", "ftp://c/x": "malformed"}
    job = state.job(URL_PREFIX=f"{PREFIX} https://b.example/")
    assert state.failed() == {"ftp://c/x": "malformed"}
    assert (job.failed_pending, job.failed_elsewhere, todo(job)) == (0, 0, ["https://b.example/x"])
