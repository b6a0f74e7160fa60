"""collect_urls.py as a process: every source and style, every way to stop, every error path."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build, redacted_values
from cdn2s3.state.files import held_lock
from tests import ROOT, processes
from tests.fakes.api import TOKEN, Answer, ApiServer
from tests.processes import DEVNULL, Process
from tests.tiers import slow

SCRIPT = ROOT / "collect_urls.py"
COMMAND = [sys.executable, "-W", "error", str(SCRIPT)]


class Collection:
    """A folder with collection.env, in which the script is run."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.urls = folder / "urls.txt"
        self.rejected = folder / "rejected.txt"
        self.checkpoint = folder / "checkpoint.json"

    def command(self, *arguments: str, **settings: str) -> list[str]:
        lines = (f"{name}={value}\n" for name, value in {**self.settings, **settings}.items())
        (self.folder / "collection.env").write_text("".join(lines), encoding="utf-8")
        return [*COMMAND, *arguments]

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; a traceback is never right."""
        ended = processes.run(self.command(*arguments, **settings), self.folder, environment())
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def start(self, *arguments: str, **settings: str) -> Process:
        command = self.command(*arguments, **settings)
        return Process(command, self.folder, environment(), stdout=DEVNULL, stderr=DEVNULL)

    def lines(self) -> list[str]:
        return self.urls.read_text(encoding="utf-8").split("\n")[:-1]

    def state(self) -> dict[str, Any]:
        state = json.loads(self.checkpoint.read_bytes())
        assert isinstance(state, dict)
        return state

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / "collection_report.json").read_bytes())
        return report

    def log(self) -> str:
        return (self.folder / "collection.log").read_text(encoding="utf-8")


def environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer([]) as running:
        running.items = items_of(running, 95)
        yield running


@pytest.fixture
def collection(tmp_path: Path, server: ApiServer) -> Collection:
    return Collection(
        tmp_path,
        API_BASE_URL=server.url,
        API_AUTH_TOKEN=TOKEN,
        API_URLS_FIELD="items[].[image_url, thumb_url][]",
        API_ITEMS_FIELD="items",
        API_TOTAL_FIELD="total",
        API_RATE_LIMIT="10000",
        RESULTS_PER_PAGE="10",
        CHECKPOINT_INTERVAL="30",
        MAX_RETRIES="0",
        URL_PREFIX=server.prefix,
        EXPECTED_TOTAL="",
    )


def items_of(server: ApiServer, count: int) -> list[dict[str, Any]]:
    names = (f"{server.prefix}auctionimages/{number // 9}/i{number}" for number in range(count))
    return [{"image_url": f"{name}.jpg", "thumb_url": f"{name}_t.jpg"} for name in names]


def expected(server: ApiServer) -> list[str]:
    return [url for item in server.items for url in item.values()]


@pytest.mark.parametrize("style", ["page", "offset", "cursor", "next_url", "link_header"])
def test_collection_in_each_style(collection: Collection, server: ApiServer, style: str) -> None:
    ended = collection.run(API_PAGINATION=style)
    assert ended.returncode == 0
    assert collection.lines() == expected(server)
    state = collection.state()
    assert (state["complete"], state["urls"], state["items"], state["api_total"]) == (True, 190, 95, 95)
    assert state["bytes"] == collection.urls.stat().st_size
    assert "Recommended region: us-west-1" in ended.stdout
    assert "python migrate.py" in ended.stdout


def test_offset_advances_by_items_where_each_gives_two_urls(
    collection: Collection, server: ApiServer
) -> None:
    assert collection.run(API_PAGINATION="offset", API_ITEMS_FIELD="").returncode == 1  # total is of items
    assert collection.lines() == expected(server)


def test_page_shorter_than_asked_is_not_the_end(collection: Collection, server: ApiServer) -> None:
    short = {"items": server.items[:3], "total": 3}
    server.fault = lambda number, query: (
        Answer(200, json.dumps(short).encode()) if query["page"] == "1" else None
    )
    collection.run(API_TOTAL_FIELD="")
    assert len(collection.lines()) == 2 * (3 + 85)


def test_duplicates_and_foreign_urls_are_counted_and_named(collection: Collection, server: ApiServer) -> None:
    odd = [
        "https://user:s3cret-canary@other.test/x.jpg",
        None,
        5,
        server.items[0]["image_url"],
        server.prefix + "a\nb.jpg",
    ]
    server.items = [*server.items, *({"image_url": url, "thumb_url": None} for url in odd)]
    ended = collection.run()
    assert ended.returncode == 1
    assert "3 of 194 URLs were rejected" in ended.stdout
    state = collection.state()
    assert (state["urls"], state["duplicates"], state["rejected"], state["items"]) == (190, 1, 3, 100)
    rows = [line.split("\t") for line in collection.rejected.read_text(encoding="utf-8").splitlines()]
    assert [row[0] for row in rows] == [
        "https://***@other.test/x.jpg",
        "5",
        server.prefix + "a%0Ab.jpg",
    ]
    assert all(len(row) == 2 and row[1] for row in rows)


def test_wrong_prefix_is_told_after_the_first_page(collection: Collection, server: ApiServer) -> None:
    ended = collection.run(URL_PREFIX="https://other.test/")
    told = "the last 20 URLs were all rejected"
    assert ended.returncode == 1
    assert ended.stderr.count(told) == 1
    assert ended.stderr.index(told) < ended.stderr.index("Complete: ")


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        slow({"EXPECTED_TOTAL": "190"}, 0, ""),
        ({"EXPECTED_TOTAL": "191"}, 1, "EXPECTED_TOTAL is 191"),
        ({"API_ITEMS_FIELD": ""}, 1, "190 URLs were seen, but the API reports 95"),
        slow({"API_TOTAL_FIELD": "absent"}, 1, "never returned the total"),
        slow(
            {"API_TOTAL_FIELD": "", "API_ITEMS_FIELD": ""},
            0,
            "page 11, asked for twice, and page 12 are empty",
        ),
    ],
    ids=["expected-near", "expected-off", "total-off", "total-absent", "no-checks"],
)
def test_totals_are_compared(collection: Collection, settings: dict[str, str], code: int, said: str) -> None:
    ended = collection.run(**settings)
    assert (ended.returncode, said in ended.stdout) == (code, True)
    again = collection.run(
        **settings
    )  # it is complete all the same: the second call repeats what the first said
    assert (again.returncode, said in again.stdout) == (code, True)


def test_complete_collection_says_so_and_asks_nothing(collection: Collection, server: ApiServer) -> None:
    collection.run()
    asked = len(server.queries)
    ended = collection.run()
    assert (ended.returncode, len(server.queries)) == (0, asked)
    assert "already complete" in ended.stdout


def test_complete_collection_whose_urls_are_gone_is_not_called_complete(collection: Collection) -> None:
    collection.run()
    collection.urls.unlink()
    ended = collection.run()
    assert ended.returncode == 3
    assert "--restart" in ended.stderr


def test_restart_keeps_the_old_files(collection: Collection, server: ApiServer) -> None:
    collection.run()
    server.items = server.items[5:]
    ended = collection.run("--restart")
    assert ended.returncode == 0
    assert collection.lines() == expected(server)
    assert len((collection.folder / "urls.txt.bak").read_text().splitlines()) == 190
    assert (collection.folder / "checkpoint.json.bak").exists()
    assert (collection.folder / "rejected.txt.bak").exists()


def test_update_appends_what_is_new_and_names_what_is_gone(collection: Collection, server: ApiServer) -> None:
    collection.run(EXPECTED_TOTAL="190")
    before, known = collection.lines(), server.items
    new = [{"image_url": f"{server.prefix}new.jpg", "thumb_url": None}]
    server.items = [*new, *known[3:]]
    ended = collection.run("--update", EXPECTED_TOTAL="190")
    assert ended.returncode == 1
    assert "6 URLs are newly gone" in ended.stdout
    assert "EXPECTED_TOTAL is" not in ended.stdout
    assert collection.lines() == [*before, f"{server.prefix}new.jpg"]
    gone = (collection.folder / "gone.txt").read_text().splitlines()
    assert [row.split("\t")[0] for row in gone] == before[:6]
    again = collection.run(EXPECTED_TOTAL="190")
    assert (again.returncode, "6 URLs are newly gone" in again.stdout) == (1, True)
    ended = collection.run("--update")
    assert (ended.returncode, "newly gone" in ended.stdout) == (0, False)
    for said in ("0  new", "185  known", "6  gone; see gone.txt"):
        assert said in ended.stdout
    assert (collection.folder / "gone.txt").read_text().splitlines() == gone


def test_update_does_not_take_the_list_itself_for_other_spellings(
    collection: Collection, server: ApiServer
) -> None:
    raw = {"image_url": f"{server.prefix}a b.jpg", "thumb_url": None}
    server.items = [*server.items, raw]
    assert "other spellings" not in collection.run().stdout
    updated = collection.run("--update").stdout
    assert "0  new" in updated and "other spellings" not in updated


@pytest.mark.parametrize("flags", [(), ("--update",)], ids=["plain", "update"])
def test_update_that_was_stopped_goes_on(
    collection: Collection, server: ApiServer, flags: tuple[str, ...]
) -> None:
    collection.run()
    before = collection.lines()
    server.items = [*server.items[2:], *items_of(server, 99)[95:]]
    asked = len(server.queries)
    server.fault = lambda number, query: Answer(500) if number > asked + 4 else None
    ended = collection.run("--update")
    assert (ended.returncode, collection.state()["complete"]) == (3, False)
    server.fault = None
    ended = collection.run(*flags)
    assert "page 5" in ended.stderr
    assert ended.returncode == 1
    assert collection.lines() == [*before, *expected(server)[-8:]]
    assert collection.state()["update"]["known"] == 186


def test_update_of_a_list_that_is_not_complete_completes_it(
    collection: Collection, server: ApiServer
) -> None:
    assert collection.run("--update").returncode == 0  # there is none yet
    assert collection.lines() == expected(server)
    assert collection.state()["update"] is None


@pytest.mark.parametrize("fault", [None, 4], ids=["complete", "stopped"])
def test_one_more_prefix_walks_the_pages_again_and_keeps_the_urls(
    collection: Collection, server: ApiServer, fault: int | None
) -> None:
    other = [{"image_url": "https://other.test/x.jpg", "thumb_url": None}]
    server.items = [*other, *server.items]
    server.fault = lambda number, query: Answer(500) if number == fault else None
    collection.run()
    before = collection.lines()
    both = f"{server.prefix} https://other.test/"
    ended = collection.run(URL_PREFIX=both)
    assert ended.returncode == 0
    assert "URL_PREFIX has grown" in ended.stderr
    assert collection.lines()[: len(before)] == before
    assert sorted(collection.lines()) == sorted(url for url in expected(server) if url)
    state = collection.state()
    assert (state["rejected"], state["items"]) == (0, 96)
    assert collection.run(URL_PREFIX=both).returncode == 0
    assert collection.run(URL_PREFIX=server.prefix).returncode == 2  # one less


def refused(number: int, query: dict[str, str]) -> Answer:
    return Answer(404)


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_restart_that_fails_twice_keeps_what_the_first_one_kept(
    collection: Collection, server: ApiServer
) -> None:
    collection.run()
    server.fault = refused
    for _ in range(2):
        assert collection.run("--restart").returncode == 3
    assert lines_of(collection.folder / "urls.txt.bak") == 190
    kept = json.loads((collection.folder / "checkpoint.json.bak").read_bytes())
    assert (kept["complete"], kept["urls"]) == (True, 190)
    assert sorted(path.name for path in collection.folder.glob("*.bak*")) == [
        "checkpoint.json.bak",
        "rejected.txt.bak",
        "urls.txt.bak",
    ]


def test_restart_replaces_no_file_that_an_earlier_one_kept(collection: Collection, server: ApiServer) -> None:
    collection.run()
    server.items = server.items[5:]
    collection.run("--restart")
    server.items = server.items[5:]
    ended = collection.run("--restart")
    assert "urls.txt is kept as urls.txt.bak.1" in ended.stderr
    for suffix, urls in ((".bak", 190), (".bak.1", 180), ("", 170)):
        assert lines_of(collection.folder / f"urls.txt{suffix}") == urls
        state = json.loads((collection.folder / f"checkpoint.json{suffix}").read_bytes())
        assert state["urls"] == urls
        assert (collection.folder / f"rejected.txt{suffix}").exists()


def test_restart_after_a_crash_in_the_middle_of_keeping_keeps_the_files_together(
    collection: Collection,
) -> None:
    collection.run()
    collection.checkpoint.rename(collection.folder / "checkpoint.json.bak")
    assert collection.run("--restart").returncode == 0
    assert lines_of(collection.folder / "urls.txt.bak") == 190
    assert not (collection.folder / "urls.txt.bak.1").exists()


def test_restart_keeps_a_checkpoint_whose_urls_were_moved_away(collection: Collection) -> None:
    collection.run()
    collection.urls.rename(collection.folder / "mine.txt")
    assert collection.run("--restart").returncode == 0
    assert json.loads((collection.folder / "checkpoint.json.bak").read_bytes())["urls"] == 190


def test_restart_gets_away_from_a_damaged_checkpoint(collection: Collection) -> None:
    collection.run()
    collection.checkpoint.write_bytes(b'{"complete": fal')
    assert collection.run().returncode == 3
    assert collection.run("--restart").returncode == 0


def test_region_only_prints_the_region(collection: Collection) -> None:
    collection.run()
    ended = collection.run("--region-only")
    assert (ended.returncode, ended.stdout) == (0, "us-west-1\n")
    assert "SFO53-P1" in ended.stderr


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_region_only_without_urls_is_fixable(collection: Collection, content: bytes | None) -> None:
    if content is not None:
        collection.urls.write_bytes(content)
    ended = collection.run("--region-only")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "urls.txt" in ended.stderr


def answering(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Answer:
    return Answer(status, body, headers)


REFUSALS = [
    pytest.param(answering(401), {}, "): it does not accept the token. Correct API_AUTH_TOKEN", id="401"),
    slow(answering(403), {}, "API_AUTH_TOKEN", id="403"),
    slow(answering(404), {}, "API_BASE_URL", id="404"),
    slow(answering(302, b"", ("Location", "https://login.test/")), {}, "redirect", id="redirect"),
    slow(answering(429), {"API_WAIT_LIMIT": "0"}, "429 Too Many Requests", id="throttled"),
    slow(answering(500), {}, "500 Internal Server Error", id="500"),
    slow(answering(200, b"<html>"), {}, "not with JSON", id="html"),
    pytest.param(
        answering(200, b'{"error": "x"}'), {}, "page 4 does not have the expected shape", id="error-page"
    ),
    slow(answering(200, b'{"items": null}'), {}, "expected shape", id="null-items"),
]


@pytest.mark.parametrize(("answer", "settings", "said"), REFUSALS)
def test_api_that_fails_on_page_4_stops_the_run_and_the_next_one_resumes(
    collection: Collection, server: ApiServer, answer: Answer, settings: dict[str, str], said: str
) -> None:
    server.fault = lambda number, query: answer if number == 4 else None
    ended = collection.run(**settings)
    assert ended.returncode == 3
    assert said in ended.stderr
    assert "60 URLs" in ended.stderr  # what is kept
    assert (collection.state()["complete"], len(collection.lines())) == (False, 60)
    server.fault = None
    assert collection.run(**settings).returncode == 0
    assert collection.lines() == expected(server)


def repeating_its_last_page(server: ApiServer) -> Callable[[int, dict[str, str]], Answer | None]:
    last = json.dumps({"items": server.items[-5:], "total": 95}).encode()
    return lambda number, query: Answer(200, last) if int(query["page"]) > 10 else None


def test_repeated_page_is_an_error_without_a_total(collection: Collection, server: ApiServer) -> None:
    server.fault = repeating_its_last_page(server)
    ended = collection.run(API_TOTAL_FIELD="")
    assert ended.returncode == 3
    assert "page 11 repeats the previous page" in ended.stderr
    assert "EXPECTED_TOTAL" in ended.stderr
    ended = collection.run(API_TOTAL_FIELD="", EXPECTED_TOTAL="190")  # as the message says
    assert (ended.returncode, "is complete: 190 URLs = EXPECTED_TOTAL" in ended.stdout) == (0, True)
    assert collection.lines() == expected(server)


def test_repeated_page_is_the_end_with_the_total(collection: Collection, server: ApiServer) -> None:
    server.fault = repeating_its_last_page(server)
    ended = collection.run()
    assert (ended.returncode, collection.lines()) == (0, expected(server))
    assert "is complete: 95 items = the API's total (total)" in ended.stdout
    assert "is complete: 95 items = the API's total (total)" in collection.log()
    assert collection.state()["evidence"] == "95 items = the API's total (total)"


NO_TOTAL = {"API_PAGINATION": "cursor", "API_TOTAL_FIELD": ""}


def test_list_that_nothing_vouches_for_is_exit_1_each_time_until_something_does(
    collection: Collection, server: ApiServer
) -> None:
    server.items = server.items[:5]
    settings = {**NO_TOTAL, "API_CURSOR_FIELD": "nextcursor"}
    for _ in range(2):
        ended = collection.run(**settings)
        assert (ended.returncode, "nothing vouches for this list" in ended.stdout) == (1, True)
    assert collection.state()["evidence"] == ""
    ended = collection.run(**settings, EXPECTED_TOTAL="10")
    assert (ended.returncode, "already complete: 10 URLs = EXPECTED_TOTAL" in ended.stdout) == (0, True)
    assert collection.state()["doubts"] == []


def test_expired_cursor_walks_the_pages_again_and_keeps_the_urls(
    collection: Collection, server: ApiServer
) -> None:
    server.items = [*server.items, {"image_url": "https://other.test/x.jpg", "thumb_url": None}]
    server.fault = lambda number, query: Answer(500) if number == 6 else None
    assert collection.run(**NO_TOTAL).returncode == 3
    server.items = [*server.items[50:], *server.items[:50]]  # what was last comes first in the second walk
    server.fault = lambda number, query: Answer(410) if number == 7 else None
    ended = collection.run(**NO_TOTAL)
    assert ended.stderr.count("the URLs so far are kept") == 1
    assert sorted(collection.lines()) == sorted(
        url for url in expected(server) if url and "other.test" not in url
    )
    state = collection.state()
    assert (state["items"], state["duplicates"], state["rejected"]) == (96, 100, 1)
    assert lines_of(collection.rejected) == 1


def test_transient_failures_are_repeated_and_logged(collection: Collection, server: ApiServer) -> None:
    answers = {2: Answer(500), 4: Answer(429, b"", (("Retry-After", "0"),))}
    server.fault = lambda number, query: answers.get(number)
    assert collection.run(MAX_RETRIES="1").returncode == 0
    assert collection.lines() == expected(server)
    assert "500" in collection.log()
    assert "429" in collection.log()


def test_moved_token_is_put_right_and_the_run_resumes(collection: Collection, server: ApiServer) -> None:
    assert collection.run(API_AUTH_TOKEN="wrong").returncode == 3
    assert collection.run().returncode == 0
    assert collection.lines() == expected(server)


FIXABLE = [
    slow({"API_BASE_URL": ""}, "API_BASE_URL is not set", id="no-base-url"),
    pytest.param({"API_PAGNATION": "page"}, "did you mean API_PAGINATION?", id="unknown-setting"),
    pytest.param(
        {"API_RATE_LIMIT": "fast", "MAX_RETRIES": "-1"}, "2 settings to correct", id="two-bad-values"
    ),
    slow({"OUTPUT_FILE": "taken"}, "is a folder", id="output-a-folder"),
    pytest.param({"OUTPUT_FILE": "collection.env"}, "for something else", id="output-the-settings"),
    slow({"OUTPUT_FILE": "./collection.log"}, "for something else", id="output-the-log"),
    slow({"CHECKPOINT_FILE": "completed.txt"}, "for something else", id="checkpoint-the-ledger"),
    slow({"CHECKPOINT_FILE": "taken"}, "is a folder", id="checkpoint-a-folder"),
    pytest.param({"OUTPUT_FILE": "nowhere/urls.txt"}, "no folder nowhere", id="no-folder"),
    slow({"OUTPUT_FILE": "checkpoint.json"}, "two different files", id="one-file-for-both"),
    slow({"CHECKPOINT_FILE": "rejected.txt"}, "two different files", id="checkpoint-is-rejected"),
    pytest.param({"SOURCE": "lots"}, "matches no file", id="no-lots"),
]


@pytest.mark.parametrize(("settings", "said"), FIXABLE)
def test_what_an_edit_puts_right_is_exit_2_and_nothing_is_asked(
    collection: Collection, server: ApiServer, settings: dict[str, str], said: str
) -> None:
    (collection.folder / "taken").mkdir()
    ended = collection.run(**settings)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert (server.queries, server.heads) == ([], [])
    assert not collection.urls.exists()


def test_missing_env_file_is_exit_2(collection: Collection) -> None:
    ended = collection.run("--env-file", "nowhere.env")
    assert ended.returncode == 2
    assert "nowhere.env" in ended.stderr


def test_urls_without_a_checkpoint_are_left_alone(collection: Collection) -> None:
    collection.urls.write_text("https://somebody.test/else.jpg\n")
    ended = collection.run()
    assert ended.returncode == 2
    assert "--restart" in ended.stderr
    assert collection.lines() == ["https://somebody.test/else.jpg"]


def test_other_settings_are_exit_2_naming_old_and_new(collection: Collection, server: ApiServer) -> None:
    server.fault = lambda number, query: Answer(500) if number == 3 else None
    collection.run()
    ended = collection.run(RESULTS_PER_PAGE="20")
    assert ended.returncode == 2
    assert "RESULTS_PER_PAGE: 10 before, 20 now" in ended.stderr
    assert len(server.queries) == 3


@pytest.mark.parametrize("status", [404, slow(401)])
def test_checkpoint_with_nothing_in_it_binds_nothing(
    collection: Collection, server: ApiServer, status: int
) -> None:
    server.fault = lambda number, query: Answer(status)
    refused = collection.run(API_BASE_URL=server.url + "/v0", RESULTS_PER_PAGE="20")
    assert refused.returncode == 3
    server.fault = None
    ended = collection.run()
    assert ended.returncode == 0
    assert "INFO    the checkpoint checkpoint.json is empty: starting over" in ended.stderr
    assert collection.lines() == expected(server)


def test_checkpoint_of_a_collection_that_is_complete_and_empty_binds_nothing(
    collection: Collection, server: ApiServer
) -> None:
    items, server.items = server.items, []
    assert collection.run(API_TOTAL_FIELD="").returncode == 1
    server.items = items
    assert collection.run(RESULTS_PER_PAGE="20").returncode == 0
    assert collection.lines() == expected(server)


@pytest.mark.parametrize("name", ["urls.txt", "rejected.txt"])
def test_checkpoint_with_nothing_in_it_binds_where_lines_came_after_it(
    collection: Collection, server: ApiServer, name: str
) -> None:
    server.fault = lambda number, query: Answer(404)
    collection.run()
    (collection.folder / name).write_text("https://somebody.test/else.jpg\n")
    ended = collection.run(RESULTS_PER_PAGE="20")
    assert ended.returncode == 2
    assert "belongs to different settings" in ended.stderr
    assert (collection.folder / name).read_text() == "https://somebody.test/else.jpg\n"


STATES = [
    slow("checkpoint.json", b"", "damaged", id="empty-checkpoint"),
    pytest.param("checkpoint.json", b'{"complete": true}', "damaged", id="half-a-checkpoint"),
    slow("urls.txt", b"", "not the file that the checkpoint describes", id="urls-empty"),
    pytest.param("urls.txt", b"https://x.test/a\n" * 999, "not the file", id="urls-of-another-run"),
]


@pytest.mark.parametrize(("name", "content", "said"), STATES)
def test_state_that_cannot_be_trusted_is_exit_3_and_left_as_it_is(
    collection: Collection, server: ApiServer, name: str, content: bytes, said: str
) -> None:
    server.fault = lambda number, query: Answer(500) if number == 7 else None
    collection.run()
    path = collection.folder / name
    path.write_bytes(content)
    ended = collection.run()
    assert ended.returncode == 3
    assert said in ended.stderr
    assert "--restart" in ended.stderr
    assert len(server.queries) == 7


def test_second_run_is_refused_with_the_first_ones_pid(collection: Collection) -> None:
    with held_lock(collection.folder / "urls.txt.lock", "this test"):
        ended = collection.run()
    assert ended.returncode == 3
    assert f"process id {os.getpid()}" in ended.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signal_during_a_request_saves_and_ends_at_once(
    collection: Collection, server: ApiServer, signum: int
) -> None:
    reached, release = threading.Event(), threading.Event()

    def hang(number: int, query: dict[str, str]) -> None:
        if number == 5:
            reached.set()
            release.wait(30)

    server.fault = hang
    process = collection.start(CHECKPOINT_INTERVAL="100000")
    assert reached.wait(30)
    begun = time.monotonic()
    process.send_signal(signum)
    assert process.wait(20) == 128 + signum
    assert time.monotonic() - begun < 5
    release.set()
    report = collection.report()
    assert (report["verdict"], report["exit_code"]) == ("interrupted", 128 + signum)
    assert report["counts"]["urls"] == 80 and report["next"] == "python collect_urls.py"
    page = (collection.folder / "collection_report.html").read_text()
    assert "Interrupted: 80 URLs so far" in page and "python collect_urls.py" in page
    log = (collection.folder / "collection.log").read_text()
    assert log.endswith(f" INFO    ended, exit code {128 + signum}\n")
    assert len(collection.lines()) == collection.state()["urls"] == 80
    assert collection.run().returncode == 0
    assert collection.lines() == expected(server)
    assert collection.report()["verdict"] == "confirmed"


def test_outage_leaves_a_page_and_one_that_could_not_begin_leaves_the_old_one(
    collection: Collection, server: ApiServer
) -> None:
    server.fault = lambda number, query: Answer(500) if number >= 4 else None
    assert collection.run().returncode == 3
    report = collection.report()
    assert (report["verdict"], report["exit_code"]) == ("interrupted", 3)
    assert "500" in report["ended_by"] and TOKEN not in json.dumps(report)
    server.fault = lambda number, query: Answer(500)
    assert collection.run().returncode == 3
    assert collection.report() == report
    server.fault = None
    assert collection.run().returncode == 0
    assert collection.report()["verdict"] == "confirmed"
    assert collection.report()["runs"] == 3
    server.fault = lambda number, query: Answer(500) if number % 20 == 3 else None
    assert collection.run("--update").returncode == 3
    report = collection.report()
    assert (report["verdict"], report["next"]) == ("interrupted", "python collect_urls.py --update")


def test_signal_during_the_wait_after_a_failure_ends_at_once(
    collection: Collection, server: ApiServer
) -> None:
    reached = threading.Event()

    def throttle(number: int, query: dict[str, str]) -> Answer | None:
        if number < 3:
            return None
        reached.set()
        return Answer(429, b"", (("Retry-After", "60"),))

    server.fault = throttle
    process = collection.start(MAX_RETRIES="3")
    assert reached.wait(30)
    process.terminate()
    assert process.wait(20) == 143
    assert collection.state()["urls"] == 40


def test_kill_at_random_moments_loses_and_doubles_nothing(collection: Collection, server: ApiServer) -> None:
    draw = random.Random(20261120)
    server.items = items_of(server, 400)
    killed = 0
    for _ in range(10):
        fatal = len(server.queries) + draw.randint(1, 6)
        running: list[Process] = []
        started = threading.Event()

        def kill(number: int, query: dict[str, str]) -> None:
            if number == fatal:  # noqa: B023  # the process of this turn
                started.wait(30)  # noqa: B023
                delay = draw.choice((0.0, 0.0, 0.003, 0.01))
                timer = threading.Timer(delay, running[0].kill)  # noqa: B023
                timer.start()
                if not delay:
                    timer.join()

        server.fault = kill
        running.append(collection.start(CHECKPOINT_INTERVAL=str(draw.choice((1, 30, 45)))))
        started.set()
        killed += running[0].wait(60) == -signal.SIGKILL
    server.fault = None
    assert killed >= 8
    assert collection.run().returncode == 0
    assert collection.lines() == expected(server)
    assert collection.state()["urls"] == 800


def test_stop_while_a_quota_is_waited_out_ends_at_once(collection: Collection, server: ApiServer) -> None:
    server.fault = lambda number, query: Answer(429, b"", (("Retry-After", "1800"),)) if number == 4 else None
    process = collection.start(MAX_RETRIES="0")
    try:
        deadline = time.monotonic() + 30
        while len(server.queries) < 4 or "Waiting until" not in collection.log():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        process.kill()
        process.wait()
    assert len(collection.lines()) == 60
    assert collection.run().returncode == 0
    assert collection.lines() == expected(server)


def test_kill_in_the_second_step_loses_and_doubles_nothing(collection: Collection, server: ApiServer) -> None:
    """Auctions on pages of ten, the lots of each on pages of two."""
    lots = {
        auction: [f"{server.prefix}{auction}/{lot}.jpg" for lot in range(auction % 6)]
        for auction in range(1, 26)
    }

    def answer(number: int, query: dict[str, str]) -> Answer:
        if number in fatal:
            running[0].kill()
            running[0].wait(30)
        page = int(query["page"])
        some = lots[int(query["of"])] if "of" in query else list(lots)
        size = 2 if "of" in query else 10
        found = some[(page - 1) * size : page * size]
        content = {"urls": found} if "of" in query else {"auctions": found, "total": len(lots)}
        return Answer(200, json.dumps({**content, "more": len(some) > page * size}).encode())

    settings = {
        "API_DETAIL_URL": f"{server.url}?of={{id}}", "API_DETAIL_IDS": "auctions", "API_ITEMS_FIELD": "auctions",
        "API_URLS_FIELD": "urls", "API_HAS_MORE_FIELD": "more", "CHECKPOINT_INTERVAL": "1",
    }  # fmt: skip
    fatal: set[int] = {1, 9, 30, 44}
    running: list[Process] = []
    server.fault = answer
    for _ in range(4):
        running[:] = [collection.start(**settings)]
        assert running[0].wait(60) == -signal.SIGKILL
    ended = collection.run(**settings)
    assert ended.returncode == 0, ended.stderr
    assert collection.lines() == [url for found in lots.values() for url in found]
    assert "25 items = the API's total" in ended.stdout
    assert len(server.queries) < 70 + 4 * 12  # a page of the list is not read again for each stop


@pytest.mark.slow
def test_kill_of_an_update_at_random_moments_loses_and_doubles_nothing(
    collection: Collection, server: ApiServer
) -> None:
    draw = random.Random(20261127)
    server.items = items_of(server, 200)
    collection.run()
    before = collection.lines()
    server.items = [*server.items[10:], *items_of(server, 240)[200:]]
    killed = 0
    for turn in range(8):
        fatal = len(server.queries) + draw.randint(2, 6)
        running: list[Process] = []
        started = threading.Event()

        def kill(number: int, query: dict[str, str]) -> None:
            if number == fatal:  # noqa: B023  # the process of this turn
                started.wait(30)  # noqa: B023
                running[0].kill()  # noqa: B023

        server.fault = kill
        flags = () if turn else ("--update",)
        running.append(collection.start(*flags, CHECKPOINT_INTERVAL=str(draw.choice((1, 30, 45)))))
        started.set()
        killed += running[0].wait(60) == -signal.SIGKILL
    server.fault = None
    assert killed >= 4
    collection.run("--update")
    assert collection.lines() == [*before, *expected(server)[-80:]]
    gone = (collection.folder / "gone.txt").read_text().splitlines()
    assert [row.split("\t")[0] for row in gone] == before[:20]


@pytest.mark.slow
def test_kill_of_a_collection_of_lots_loses_and_doubles_nothing(collection: Collection) -> None:
    draw = random.Random(7)
    urls = []
    for number in range(600):
        found = [f"https://cdn.test/{number}/{image}.jpg" for image in range(20)]
        path = collection.folder / f"data/lots/{number % 7}/lot_{number:04d}_images.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"lot": [{"image_url": url} for url in found]}))
        urls.append((str(path), found))
    settings = {"SOURCE": "lots", "URL_PREFIX": "https://cdn.test/", "CHECKPOINT_INTERVAL": "20"}
    for _ in range(5):
        process = collection.start(**settings)
        grown = collection.urls.stat().st_size if collection.urls.exists() else 0
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            size = collection.urls.stat().st_size if collection.urls.exists() else 0
            if size > grown + draw.randint(0, 20_000):
                break
            time.sleep(0.002)
        process.kill()
        process.wait(30)
    assert collection.run(**settings, DEFAULT_REGION="eu-west-1").returncode == 0
    assert collection.lines() == [url for _, found in sorted(urls) for url in found]
    assert "10,0" in collection.log()  # the progress line at ten thousand


def test_unreadable_lot_is_named_and_the_rest_goes_on(collection: Collection) -> None:
    for number in (1, 2, 3):
        (collection.folder / f"lot_{number}_images.json").write_text(
            json.dumps({"image_url": f"https://cdn.test/{number}.jpg"})
        )
    (collection.folder / "lot_2_images.json").write_bytes(b'{"image_url": ')
    ended = collection.run(SOURCE="lots", LOT_FILES="lot_*_images.json", URL_PREFIX="https://cdn.test/")
    assert ended.returncode == 1
    assert "lot_2_images.json" in ended.stderr
    assert collection.lines() == ["https://cdn.test/1.jpg", "https://cdn.test/3.jpg"]
    assert collection.state()["unreadable"] == 1


def test_changed_list_of_lots_stops_and_names_restart(collection: Collection) -> None:
    lot = collection.folder / "lot_1_images.json"
    lot.write_text('{"image_url": "https://cdn.test/1.jpg"}')
    settings = {"SOURCE": "lots", "LOT_FILES": "lot_*_images.json", "URL_PREFIX": "https://cdn.test/"}
    collection.run(**settings)
    state = collection.state()
    stopped = {**state, "complete": False, "position": {"files": 0, "list_hash": "another"}}
    collection.checkpoint.write_text(json.dumps(stopped))
    ended = collection.run(**settings)
    assert ended.returncode == 2
    assert "--restart" in ended.stderr


@pytest.mark.parametrize(
    ("limit", "said"),
    [(0, "cannot write urls.txt.lock"), (60, "cannot write"), (5000, "cannot write urls.txt")],
    ids=["nothing-fits", "no-checkpoint-fits", "some-urls-fit"],
)
def test_full_disk_stops_the_run_and_the_next_one_resumes(
    collection: Collection, server: ApiServer, limit: int, said: str
) -> None:
    command, limits = collection.command(CHECKPOINT_INTERVAL="20"), {resource.RLIMIT_FSIZE: (limit, limit)}
    limited = processes.run(command, collection.folder, environment(), limits=limits)
    assert limited.returncode == 3
    assert said in limited.stderr
    assert "Traceback" not in limited.stderr
    assert "Exception ignored" not in limited.stderr
    assert not collection.urls.exists() or collection.urls.read_bytes().endswith(b"\n")
    assert collection.run().returncode == 0
    assert collection.lines() == expected(server)


def test_secrets_are_nowhere(collection: Collection, server: ApiServer) -> None:
    server.items = [*server.items, {"image_url": "https://u:s3cret-canary@cdn.test/a.jpg", "thumb_url": None}]
    answers = {2: Answer(503, TOKEN.encode()), 5: Answer(302, b"", (("Location", f"/x?t={TOKEN}"),))}
    server.fault = lambda number, query: answers.get(number)
    settings = {"LOG_LEVEL": "DEBUG", "MAX_RETRIES": "1", "API_BASE_URL": server.url + "?key=s3cret-canary"}
    outputs = [collection.run(**settings) for _ in range(2)]
    assert [ended.returncode for ended in outputs] == [3, 1]
    redacted_values = "".join(ended.stdout + ended.stderr for ended in outputs)
    for path in collection.folder.iterdir():
        if path.name != "collection.env":
            redacted_values += path.read_text(encoding="utf-8")
            assert path.stat().st_mode & 0o077 == 0, path
    assert "GET http" in redacted_values
    assert "s3cret" not in redacted_values


@pytest.mark.parametrize(
    "own", [{"API_AUTH_PARAM": "key"}, {"API_AUTH_TOKEN": ""}], ids=["a setting", "in the address"]
)
def test_key_that_the_api_repeats_in_its_links_is_nowhere(
    collection: Collection, server: ApiServer, own: dict[str, str]
) -> None:
    server.token = ""

    def answer(number: int, query: dict[str, str]) -> Answer:
        assert query["key"] == TOKEN
        if number == 4:
            return Answer(404, f"unknown: ?key={TOKEN}".encode())
        start = int(query.get("after", "0"))
        more = (
            {"next": f"/images?key={TOKEN}&after={start + 40}"}
            if start + 40 < len(server.items)
            else {"next": None}
        )
        return Answer(
            200, json.dumps({"items": server.items[start : start + 40], "total": 95, **more}).encode()
        )

    server.items = items_of(server, 160)
    server.fault = answer
    settings = {"API_PAGINATION": "next_url", "LOG_LEVEL": "DEBUG", "API_TOTAL_FIELD": "", **own}
    if "API_AUTH_PARAM" not in own:
        settings["API_BASE_URL"] = f"{server.url}?key={TOKEN}"
    said = ""
    for code in (3, 0):
        ended = collection.run(**settings)
        assert ended.returncode == code, ended.stderr
        said += ended.stdout + ended.stderr
        for path in collection.folder.iterdir():
            if path.name != "collection.env":
                said += path.read_text(encoding="utf-8")
    assert collection.lines() == expected(server)
    assert "after=120" in said
    assert TOKEN not in said


def test_environment_wins_over_the_file(collection: Collection) -> None:
    changed = {**environment(), "OUTPUT_FILE": "other.txt"}
    ended = processes.run(collection.command(), collection.folder, changed)
    assert ended.returncode == 0
    assert (collection.folder / "other.txt").exists()
    assert (collection.folder / "other.txt.lock").exists()


def test_help_fits_a_screen_and_names_the_exit_codes(collection: Collection) -> None:
    ended = collection.run("--help")
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) <= 24
    assert max(map(len, ended.stdout.splitlines())) <= 100
    for said in ("--restart", "--update", "--region-only", "--env-file", "130 / 143", "example"):
        assert said in ended.stdout


def test_both_ways_at_once_are_refused(collection: Collection) -> None:
    assert collection.run("--restart", "--region-only").returncode == 2


def test_template_has_declared_settings_at_their_defaults() -> None:
    template = SCRIPT.with_name("collection.env")
    values = read_env_file(template)
    assert set(values) < {field.name.upper() for field in dataclasses.fields(CollectionSettings)}
    filled = build(CollectionSettings, {**values, "API_BASE_URL": "https://api.test/"}, {}, template)
    plain = build(CollectionSettings, {"API_BASE_URL": "https://api.test/"}, {}, template)
    assert redacted_values(filled) == redacted_values(plain)
    assert all(len(line) <= 120 for line in template.read_text().splitlines())


def test_token_is_in_no_process_title(collection: Collection, server: ApiServer) -> None:
    command = collection.command(API_RATE_LIMIT="5")
    process = subprocess.Popen(
        command, cwd=collection.folder, env=environment(), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while len(server.queries) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        titles = [Path(f"/proc/{process.pid}/{name}").read_text() for name in ("cmdline", "comm")]
    finally:
        process.kill()
        process.wait()
    assert "collect_urls.py" in titles[0]
    assert server.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert not any(TOKEN in title for title in titles)


def test_one_more_prefix_walks_again_and_keeps_the_urls(collection: Collection) -> None:
    urls = ["https://a.test/1.jpg", "https://b.test/2.jpg", "http://A.test/1.jpg", "https://a.test/3.jpg,x"]
    (collection.folder / "lot_1_images.json").write_text(json.dumps([{"image_url": url} for url in urls]))
    settings = {"SOURCE": "lots", "LOT_FILES": "lot_*_images.json"}
    first = collection.run(URL_PREFIX="https://a.test/", **settings)
    assert first.returncode == 1, first.stderr
    assert "1  rejected: another host, b.test" in first.stdout
    assert "more text after the image's ending" in first.stdout
    assert collection.lines() == [urls[0], urls[3]]
    both = "https://a.test/ https://b.test/=b/"
    again = collection.run(URL_PREFIX=both, **settings)
    assert again.returncode == 0, again.stderr
    assert "URL_PREFIX has grown" in again.stderr
    assert collection.lines() == [urls[0], urls[3], urls[1]]
    assert collection.rejected.read_text() == ""
    assert "already complete" in collection.run(URL_PREFIX=both, **settings).stdout
    less = collection.run(URL_PREFIX="https://a.test/", **settings)
    assert (less.returncode, collection.lines()) == (2, [urls[0], urls[3], urls[1]])
