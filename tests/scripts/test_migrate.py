"""migrate.py as a person runs it: to the end, again, interrupted, killed, restricted, misled."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import resource
import signal
import stat
from pathlib import Path

import pytest

import migrate
from cdn2s3.errors import RESUME
from tests.fakes.rules import Rule
from tests.running import assert_consistent, assert_moved, counts
from tests.scripts.world import NewWorld, World
from tests.tiers import neighbors, slow


@pytest.fixture
def world(new_world: NewWorld) -> World:
    world = new_world(0)
    world.use(world.source.url_of(f"{n % 3}/i{n:04}.jpg") for n in range(60))
    return world


@pytest.mark.parametrize("method", ["signed", "put_object"])
def test_run_moves_everything_and_the_next_one_nothing(world: World, method: str) -> None:
    ran = world.job.run(UPLOAD_METHOD=method)
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert "60 stored" in ran.out
    again = world.job.run(UPLOAD_METHOD=method)
    assert again.code == 0
    assert "0 stored" in again.out
    assert sum(world.source.requests.values()) == 60
    assert counts(world.job)["completed"] == 60


@pytest.mark.slow
@pytest.mark.parametrize(("method", "processes"), [slow("signed", 1), ("put_object", 2)])
def test_run_closes_its_connections(
    world: World, method: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "always::ResourceWarning")
    ran = world.job.run(UPLOAD_METHOD=method, PROCESSES=processes)
    assert ran.code == 0, ran.said
    assert "ResourceWarning" not in ran.said


@pytest.mark.parametrize(
    ("method", "integrity"), [("signed", "md5"), ("put_object", "crc32"), ("put_object", "auto")]
)
def test_uploads_bring_their_checksum_and_no_chunks(world: World, method: str, integrity: str) -> None:
    assert world.job.run(UPLOAD_METHOD=method, INTEGRITY=integrity).code == 0
    world.assert_all_moved()
    header = {"md5": "content-md5", "crc32": "x-amz-checksum-crc32"}.get(integrity, "x-amz-checksum-crc32")
    puts = [entry for entry in world.s3.requests("PutObject") if entry.key.endswith(".jpg")]
    assert len(puts) == 60
    for entry in puts:
        assert header in entry.headers
        assert entry.headers["if-none-match"] == "*"
        assert entry.headers["content-type"] == "image/jpeg"
        assert "aws-chunked" not in entry.headers.get("content-encoding", "")
        assert "transfer-encoding" not in entry.headers
        assert "authorization" in entry.headers


@pytest.mark.slow
def test_limit_stops_after_n_pending_urls(world: World) -> None:
    ran = world.job.run("--limit", "10")
    assert ran.code == 0
    assert "not tried 50" in ran.out
    assert len(world.job.completed()) == 10
    assert world.job.run("--limit", "10").code == 0
    assert len(world.job.completed()) == 20
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_lines_of_every_kind_are_accounted_for(world: World) -> None:
    base, prefix = world.source.url_prefix, world.source.url
    lines = [
        b"\xef\xbb\xbf" + f"{base}first.jpg\r\n".encode(),
        f"{base}first.jpg\n".encode(),
        b"\n",
        b"   \r\n",
        f"{base}a%20b.jpg\n".encode(),
        f"{base}a+b.jpg\n".encode(),
        f"{base}tab.jpg\tcause\t1\n".encode(),
        f"{base}caf\u00e9.jpg\n".encode(),
        f"{base}sep\u2028arator.jpg\n".encode(),
        base.encode() + b"latin-\xe9.jpg\n",
        f"{base}../secret.jpg\n".encode(),
        f"{base}%2e%2e/secret.jpg\n".encode(),
        f"{base}line%0abreak.jpg\n".encode(),
        f"{base}\n".encode(),
        f"{base}{'k' * 1025}.jpg\n".encode(),
        f"{base}query.jpg?v=2\n".encode(),
        f"{base}fragment.jpg#x\n".encode(),
        f"{prefix.replace('https', 'http')}/images/plain-http.jpg\n".encode(),
        b"file:///etc/passwd\n",
        f"https://user:pw@{prefix[8:]}/images/user.jpg\n".encode(),
        f"{prefix}@127.0.0.1/images/host.jpg\n".encode(),
        f"{prefix}\\@127.0.0.1/images/backslash.jpg\n".encode(),
        b"http://2130706433/images/number.jpg\n",
        f"{base}last.jpg".encode(),
    ]
    (world.job.folder / "urls.txt").write_bytes(b"".join(lines))
    ran = world.job.run()
    assert ran.code == 1, ran.said
    keys = {key[len("img/images/") :] for key in world.s3.objects("bucket")}
    expected = {
        "first.jpg", "a b.jpg", "a+b.jpg", "tab.jpg", "caf\u00e9.jpg", "query.jpg", "fragment.jpg",
        "plain-http.jpg", "last.jpg",
    }  # fmt: skip
    assert keys - {"sep\u2028arator.jpg"} == expected
    assert set(world.job.causes().values()) == {"malformed", "other_host"}
    figures = counts(world.job)
    assert (figures["lines"], figures["blank"], figures["duplicates"]) == (24, 2, 1)
    assert figures["completed"] == len(keys)
    assert figures["failed"] == 21 - len(keys)
    asked = {entry.target for entry in world.source.log}
    assert "/images/query.jpg?v=2" in asked
    assert "/images/fragment.jpg" in asked
    assert not any(".." in target or "@" in target for target in asked)
    again = world.job.run()
    assert again.code == 1
    assert counts(world.job) == figures


def test_lines_that_differ_in_spelling_alone_add_up(world: World) -> None:
    base = world.source.url_prefix.encode()
    names = [b"latin-\xe9.jpg", b"latin-%E9.jpg", b"bell-\x07.jpg", b"bell-%07.jpg", b"good.jpg"]
    (world.job.folder / "urls.txt").write_bytes(b"".join(base + name + b"\n" for name in names))
    for _ in range(2):
        assert world.job.run().code == 1
        assert list(world.job.causes().values()) == ["malformed"]
        figures = counts(world.job)
        assert (figures["completed"], figures["failed"], figures["duplicates"]) == (2, 1, 2)


def test_collisions_are_refused_before_a_byte_moves(world: World) -> None:
    world.job.settings["PRESERVE_PATH_STRUCTURE"] = "false"
    world.job.urls([*world.urls, world.source.url_of("other/i0007.jpg")])
    ran = world.job.run()
    assert ran.code == 2
    assert "img/i0007.jpg" in ran.err
    assert "PRESERVE_PATH_STRUCTURE=true" in ran.err
    assert "Change one of these lines in migration.env:" in ran.err
    assert world.job.text("collisions.txt") == (
        f"img/i0007.jpg\t{world.urls[7]}\t{world.source.url_of('other/i0007.jpg')}\n"
    )
    assert len(world.s3.log) == 0
    assert len(world.source.log) == 0
    assert not world.job.path("run.json").exists()
    offered = re.findall(r"^ *[A-Z_]+=.*$", ran.err, re.MULTILINE)
    assert [line.strip() for line in offered] == ["PRESERVE_PATH_STRUCTURE=true", "ON_COLLISION=first"]
    world.job.settings.pop("PRESERVE_PATH_STRUCTURE")
    assert world.job.run(**dict([offered[0].split("=")])).code == 0  # as it stands


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], slow(["--adopt"])], ids=["run", "adopt"])
def test_collisions_that_come_later_are_refused_with_a_state_of_their_own(
    world: World, flags: list[str]
) -> None:
    world.job.settings["PRESERVE_PATH_STRUCTURE"] = "false"
    assert world.job.run("--limit", "1").code == 0
    world.job.urls([*world.urls, world.source.url_of("other/i0007.jpg")])
    ran = world.job.run(*flags)
    assert ran.code == 2
    pasted = dict(re.findall(r"^ *([A-Z_]+)=(.*)$", ran.err, re.MULTILINE))
    assert pasted.pop("ON_COLLISION") == "first"
    assert set(pasted) == {"PRESERVE_PATH_STRUCTURE", "STATE_DIR"}
    assert world.job.run(**pasted).code == 0


def test_collisions_lose_to_the_first_where_that_is_chosen(world: World) -> None:
    other = world.source.url_of("other/i0007.jpg")
    world.job.settings.update(PRESERVE_PATH_STRUCTURE="false", ON_COLLISION="first")
    world.job.urls([*world.urls, other])
    assert world.job.run().code == 1
    assert world.job.causes() == {other: "collision"}
    assert world.s3.objects("bucket")["img/i0007.jpg"].read() == world.source.body(world.urls[7])
    assert counts(world.job)["completed"] == 60


@pytest.mark.slow
def test_failed_urls_are_retried_as_asked(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0003", name="missing"))
    world.source.rules.add(Rule("500", pattern="i0004", name="broken"))
    missing, broken = world.urls[3], world.urls[4]
    assert world.job.run("--limit", "30").code == 1
    assert world.job.causes() == {missing: "not_found", broken: "server_error"}
    world.source.rules.clear()
    ran = world.job.run("--retry-failed", "server_error")
    assert ran.code == 1
    assert world.job.causes() == {missing: "not_found"}
    assert len(world.job.completed()) == 29
    assert world.job.run("--retry-failed").code == 0
    assert len(world.job.completed()) == 30
    assert world.job.run().code == 0
    world.assert_all_moved()


def test_failures_of_another_input_are_kept(world: World) -> None:
    other = world.source.url_of("elsewhere.jpg")
    record = f"{other}\tnot_found\t1\tgone\t2026-01-01T00:00:00Z\n"
    world.job.path("failed_transfers.txt").write_text(record)
    assert world.job.run().code == 0
    assert world.job.text("failed_transfers.txt") == record


@pytest.mark.slow
def test_failed_file_is_an_input(world: World, tmp_path: Path) -> None:
    world.source.rules.add(Rule("404", pattern="i000", name="missing"))
    assert world.job.run().code == 1
    world.source.rules.clear()
    failed = world.job.path("failed_transfers.txt")
    failed.rename(failed.with_name("again.txt"))
    assert world.job.run(SOURCE_URLS_FILE="again.txt").code == 0
    assert_moved(world.job, world.source, world.s3, world.urls)


def test_redo_does_the_urls_of_a_file_again(world: World) -> None:
    assert world.job.run().code == 0
    lost, kept = world.urls[5], world.urls[6]
    world.s3.store.delete("bucket", world.key(lost))
    missing = world.job.folder / "missing.txt"
    missing.write_text(f"{lost}\tkey\tlost\n{kept}\tkey\tlost\n")
    before = world.job.text("completed.txt").splitlines()
    assert world.job.run("--redo", "missing.txt").code == 0
    world.assert_all_moved()
    assert world.s3.store.writes["bucket", world.key(kept)] == 1
    after = world.job.text("completed.txt").splitlines()
    assert after == before  # both met their own bytes, or put them there again
    assert not world.job.path("unfinished_redo.txt").exists()


@pytest.mark.parametrize(
    "arguments", [["--redo", "again.txt"], slow(["--retry-failed"]), slow(["--adopt"])], ids=" ".join
)
def test_refusal_for_collisions_leaves_the_state_as_it_was(world: World, arguments: list[str]) -> None:
    world.source.rules.add(Rule("404", pattern="i0003"))
    assert world.job.run().code == 1
    (world.job.folder / "again.txt").write_text(f"{world.urls[5]}\n{world.urls[3]}\n")
    world.job.urls([*world.urls, f"{world.urls[5]}?v=2"])
    before = state_of(world)
    ran = world.job.run(*arguments)
    assert (ran.code, "overwrite another one" in ran.err) == (2, True), ran.said
    assert state_of(world) == before


def state_of(world: World) -> dict[str, bytes]:
    journal = ("runs.txt", "events.txt", "status.json")  # that there was a run which was refused
    said = ("migration.lock", "migration.log", "migration.env", "collisions.txt", *journal)
    files = world.job.folder.iterdir()
    return {path.name: path.read_bytes() for path in files if path.is_file() and path.name not in said}


@pytest.mark.slow
def test_redo_replaces_an_object_only_under_overwrite(world: World) -> None:
    assert world.job.run().code == 0
    url = world.urls[5]
    world.s3.put("bucket", world.key(url), b"changed")
    (world.job.folder / "mismatched.txt").write_text(f"{url}\tkey\t1\t2\ta\tb\n")
    assert world.job.run("--redo", "mismatched.txt").code == 1
    assert world.job.causes() == {url: "conflict"}
    assert world.job.run("--redo", "mismatched.txt", ON_EXISTING="overwrite").code == 0
    world.assert_all_moved()


def test_second_pass_heals_what_was_transient(world: World) -> None:
    world.source.rules.add(Rule("500", pattern="i000", per_key=2))
    world.source.rules.add(Rule("404", pattern="i001"))
    ran = world.job.run()
    assert ran.code == 1
    assert set(world.job.causes().values()) == {"not_found"}
    assert world.job.report()["run"]["stored"] == 50
    assert all(world.source.requests[f"/images/{n % 3}/i{n:04}.jpg"] == 1 for n in range(10, 20))


def test_other_destination_than_the_states_is_refused(world: World) -> None:
    assert world.job.run("--limit", "1").code == 0
    bound = json.loads(world.job.text("run.json"))
    assert bound["DESTINATION_BUCKET"] == "bucket"
    ran = world.job.run(DESTINATION_PREFIX="other/")
    assert ran.code == 2
    assert "img/" in ran.err
    assert "other/" in ran.err
    assert "another STATE_DIR" in ran.err


def test_second_run_on_one_state_is_refused_with_the_pid(world: World) -> None:
    world.source.rules.add(Rule("slow_body", seconds=2.0))
    with world.job.running() as first:
        first.until(lambda: len(world.source.log) > 0)
        second = world.job.run()
        assert second.code == 3
        assert str(first.pid) in second.err
        first.send(signal.SIGKILL)
        first.end()
    world.source.rules.clear()
    assert world.job.run().code == 0
    world.assert_all_moved()


@pytest.mark.slow
def test_error_rate_over_the_limit_stops_and_the_lines_add_up(world: World) -> None:
    urls = [world.source.url_of(f"{n}.jpg") for n in range(3000)]
    world.job.urls(urls)
    world.source.rules.add(Rule("500", probability=0.9, sticky=True))
    ran = world.job.run(CONCURRENCY=60, MAX_RETRIES=0)
    assert ran.code == 3
    assert "MAX_ERROR_RATE" in ran.err
    assert "do not add up" not in ran.err
    assert_consistent(world.job, world.source, world.s3)
    figures = counts(world.job)
    assert figures["completed"] == len(world.job.completed())
    assert figures["failed"] == len(world.job.failed())
    assert figures["not_tried"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"), [slow([], 3, id="run"), pytest.param(["--retry-failed"], 1, id="retry")]
)
def test_error_rate_is_not_looked_at_when_what_failed_is_retried(
    world: World, arguments: list[str], code: int
) -> None:
    urls = [world.source.url_of(f"{n}.jpg") for n in range(1100)]
    world.job.urls(urls)
    failed = "".join(f"{url}\ttruncated\t2\tshort\t2026-01-01T00:00:00Z\n" for url in urls)
    world.job.path("failed_transfers.txt").write_text(failed)
    world.source.rules.add(Rule("short_body"))  # which is no outage
    ran = world.job.run(*arguments, CONCURRENCY=30, MAX_RETRIES=0)
    assert ran.code == code, ran.said
    assert ("MAX_ERROR_RATE" in ran.err) == (code == 3)
    assert len(world.job.failed()) == 1100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_with_150_slow_transfers_in_flight_ends_at_once(world: World, number: int) -> None:
    world.source.rules.add(Rule("drip_body"))
    urls = [world.source.url_of(f"{n}.jpg") for n in range(400)]
    world.job.urls(urls)
    with world.job.running(CONCURRENCY=150, DOWNLOAD_TIMEOUT=30) as running:
        running.until(lambda: len(world.source.log) >= 150)
        running.send(number)
        ran = running.end(3)
    assert ran.code == 128 + number
    assert world.job.failed() == {}
    assert counts(world.job)["not_tried"] == 400
    assert "signal" in world.job.report()["ended_by"]
    assert world.job.log.endswith(f"  next: python migrate.py\n{said_at_the_end(ran.code, world.job.log)}\n")


def said_at_the_end(code: int, log: str) -> str:
    """Return the last line of a log, which has to tell the exit code."""
    last = log.splitlines()[-1]
    assert last.endswith(f" INFO    ended, exit code {code}"), log
    return last


@pytest.mark.parametrize("processes", neighbors(1, 2))
def test_end_of_the_session_ends_in_good_order(world: World, processes: int) -> None:
    world.source.latency = 0.1
    world.job.urls([world.source.url_of(f"{n}.jpg") for n in range(1000)])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # this may run under nohup
    master, terminal = pty.openpty()
    with world.job.running(PROCESSES=processes, terminal=terminal) as running:
        os.close(terminal)
        running.until(lambda: bool(world.job.text("completed.txt")))
        os.close(master)  # what sshd does
        ran = running.end(10)
    assert ran.code == 129, world.job.log
    said_at_the_end(129, world.job.log)
    assert world.job.report()["verdict"] == "interrupted"
    assert counts(world.job)["completed"] == len(world.job.completed()) < 1000
    assert_consistent(world.job, world.source, world.s3)


def test_second_signal_ends_immediately(world: World) -> None:
    world.s3.rules.add(Rule("black_hole", operation="PutObject", pattern="jpg"))
    with world.job.running(UPLOAD_TIMEOUT=30) as running:
        running.until(lambda: world.s3.rules.struck["black_hole"] >= 8)
        running.send(signal.SIGTERM)
        running.until(lambda: "stopping" in world.job.log)
        running.send(signal.SIGTERM)
        ran = running.end(1)
    assert ran.code == 143
    assert ran.err.endswith(
        f"\nstopped immediately; everything completed is recorded. To continue, {RESUME}.\n"
    )
    world.s3.rules.clear()
    world.s3.network.drop_connections()
    assert world.job.run().code == 0
    world.assert_all_moved()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "processes"),
    [slow(signal.SIGINT, 1), (signal.SIGTERM, 2), slow(signal.SIGINT, 2), slow(signal.SIGTERM, 1)],
)
def test_signal_while_the_bucket_is_probed_ends_at_once_and_says_so(
    world: World, number: int, processes: int
) -> None:
    world.s3.rules.add(Rule("black_hole", operation="PutObject"))
    with world.job.running(UPLOAD_TIMEOUT=30, PROCESSES=processes) as running:
        running.until(lambda: world.s3.rules.struck["black_hole"] > 0)
        running.send(number)
        ran = running.end(10)
    assert ran.code == 128 + number
    assert f"stopped by {signal.Signals(number).name} before anything was moved" in ran.err
    assert "before anything was moved" in world.job.log
    said_at_the_end(ran.code, world.job.log)
    assert world.job.completed() == []
    assert (counts(world.job)["not_tried"], world.job.report()["verdict"]) == (60, "interrupted")


@pytest.mark.parametrize(
    "arguments", [["--check"], ["--create-bucket"], ["--sample", "20"], ["--adopt"]], ids=" ".join
)
def test_signal_in_a_command_before_a_run_names_that_command(world: World, arguments: list[str]) -> None:
    interrupt = (
        "import os, signal, cdn2s3.destinations.s3.client as module\n"
        "module.S3Client.__init__ = lambda self, *given: os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ran = world.job.run(*arguments, before=interrupt)
    assert ran.code == 143, ran.said
    assert f"stopped by SIGTERM. Run `python migrate.py {' '.join(arguments)}` again." in ran.err


def test_signal_before_a_run_names_the_run_as_it_was_given(world: World) -> None:
    interrupt = (
        "import os, signal, cdn2s3.planning.run_plan as module\n"
        "module.survey = lambda *given: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    env_file = world.job.folder / "it is another.env"
    env_file.symlink_to("migration.env")
    given = ("--env-file", env_file.name, "--retry-failed", "timeout", "--limit", "5")
    ran = world.job.run(*given, before=interrupt)
    assert ran.code == 130, ran.said
    command = "python migrate.py --env-file 'it is another.env' --limit 5 --retry-failed timeout"
    assert f"stopped by SIGINT before anything was moved. Run `{command}` again." in ran.err


def test_signal_while_waiting_for_the_second_pass_ends_with_the_books_in_order(world: World) -> None:
    world.source.rules.add(Rule("500", pattern="i0004"))
    with world.job.running(quick={"migrate.SECOND_PASS_AFTER": 30.0}) as running:
        running.until(lambda: "second pass over" in world.job.log)
        running.send(signal.SIGTERM)
        ran = running.end(3)
    assert ran.code == 143
    assert world.job.causes() == {world.urls[4]: "server_error"}
    assert counts(world.job)["completed"] == 59
    assert "59 stored" in ran.out


@pytest.mark.parametrize("round_number", [0, slow(1)])
def test_kill_at_a_random_moment_loses_and_repeats_nothing(world: World, round_number: int) -> None:
    draw = random.Random(round_number)
    world.source.latency = 0.02
    world.use(world.source.url_of(f"{n}.jpg") for n in range(300))
    for goal in sorted(draw.sample(range(1, 280), 3)):
        with world.job.running() as running:
            running.until(lambda goal=goal: world.has_completed(goal))
            running.kill()
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved_once(again=3 * 8)


@pytest.mark.slow
def test_kill_with_only_put_object_granted_ends_unverified_never_conflict(world: World) -> None:
    world.s3.change(allow=frozenset({"PutObject"}))
    world.s3.rules.add(Rule("slow_answer", operation="PutObject", pattern="jpg", seconds=0.5))
    with world.job.running(CONCURRENCY=30) as running:
        running.until(lambda: sum(key[1].endswith(".jpg") for key in list(world.s3.store.writes)) >= 20)
        running.kill()
    world.s3.rules.clear()
    ran = world.job.run()
    assert ran.code == 1, ran.said
    assert set(world.job.causes().values()) == {"unverified"}
    assert all("s3:GetObject" in record.message for record in world.job.failed().values())
    assert len(world.job.failed()) <= 30
    assert_consistent(world.job, world.source, world.s3)
    assert len(world.job.completed()) + len(world.job.failed()) == 60


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("transfer.pipeline.Transfer.move", "MemoryError()"),
        ("state.ledger.Ledger.record", "SystemExit(0)"),
        slow("transfer.pipeline.Transfer.move", "SystemExit(0)"),
        slow("state.ledger.Ledger.record", "MemoryError()"),
    ],
)
def test_worker_that_dies_is_seen(world: World, place: str, error: str) -> None:
    module, name, attribute = place.rsplit(".", 2)
    patch = (
        f"import threading, cdn2s3.{module} as module\n"
        f"whole = module.{name}.{attribute}\n"
        "def dying(self, first, *rest):\n"
        "    if 'i0005' in str(first) and threading.current_thread() is not threading.main_thread():\n"
        f"        raise {error}\n"
        "    return whole(self, first, *rest)\n"
        f"module.{name}.{attribute} = dying\n"
    )
    ran = world.job.run(before=patch)
    assert ran.code not in (0, 2), ran.said
    assert error.partition("(")[0] in ran.err
    assert_consistent(world.job, world.source, world.s3)
    figures = counts(world.job)
    assert figures["failed"] == 1
    assert world.job.run().code == 0
    world.assert_all_moved()


@pytest.mark.parametrize("processes", neighbors(1, 2))
def test_input_that_becomes_unreadable_on_the_way_stops_and_the_lines_add_up(
    world: World, processes: int
) -> None:
    patch = (
        "from cdn2s3.state.lines import NumberedLines\n"
        "whole = NumberedLines.__getitem__\n"
        "def breaking(lines, number):\n"
        "    if number == 40:\n"
        "        raise OSError(5, 'Input/output error')\n"
        "    return whole(lines, number)\n"
        "NumberedLines.__getitem__ = breaking\n"
    )
    ran = world.job.run(before=patch, PROCESSES=processes, CONCURRENCY=2)
    assert ran.code == 3, ran.said
    assert "cannot read urls.txt anymore: Input/output error" in ran.err
    assert "Traceback" not in ran.err
    assert "worker died" not in ran.err
    figures = counts(world.job)
    assert figures["completed"] == len(world.job.completed())
    assert figures["completed"] + figures["not_tried"] == 60
    assert_consistent(world.job, world.source, world.s3)
    assert world.job.run().code == 0
    world.assert_all_moved()


@pytest.mark.parametrize(("soft", "hard", "code"), [(256, 4096, 0), (256, 256, 2)])
def test_open_file_limit_is_raised_or_named(world: World, soft: int, hard: int, code: int) -> None:
    ran = world.job.run(CONCURRENCY=150, limits={resource.RLIMIT_NOFILE: (soft, hard)})
    assert ran.code == code, ran.said
    if code:
        assert "CONCURRENCY" in ran.err
        assert "ulimit -n" in ran.err
    else:
        world.assert_all_moved()


def test_every_file_of_the_state_is_its_owners_alone(world: World) -> None:
    world.source.rules.add(Rule("404", pattern="i0003"))
    assert world.job.run(STATE_DIR="state").code == 1
    world.job.settings["STATE_DIR"] = "state"
    (world.job.folder / "again.txt").write_text(f"{world.urls[1]}\n")
    assert world.job.run("--redo", "again.txt").code == 1
    names = {path.name for path in (world.job.folder / "state").iterdir()}
    assert names >= {
        "completed.txt",
        "failed_transfers.txt",
        "run.json",
        "migration.log",
    }
    for path in (world.job.folder / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--limit", "0"], "--limit"),
        (["--retry-failed", "nothing"], "nothing"),
        (["--redo", "no.txt"], "no.txt"),
        (["--redo", "urls.txt", "--retry-failed"], "--redo and --retry-failed"),
        (["--plan", "--redo", "urls.txt", "--retry-failed", "timeout"], "--redo and --retry-failed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_argument_is_refused_and_nothing_contacted(
    world: World, arguments: list[str], named: str
) -> None:
    ran = world.job.run(*arguments)
    assert ran.code == 2
    assert named in ran.err
    assert len(world.s3.log) == len(world.source.log) == 0


def test_cause_that_is_none_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        migrate.parse(["--retry-failed", "timeuot"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "'timeuot' isn't a cause of failure; choose from malformed, other_host, collision, " in said
    assert "''" not in said
    assert [migrate.parse([*given]).retry_failed for given in ([], ["--retry-failed"])] == [None, ""]
    assert migrate.parse(["--retry-failed", "timeout"]).retry_failed == "timeout"


@pytest.mark.parametrize("content", [None, b"", b"\n\n"], ids=["missing", "empty", "blank"])
def test_input_without_urls_is_refused(world: World, content: bytes | None) -> None:
    path = world.job.folder / "urls.txt"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    ran = world.job.run()
    assert ran.code == 2
    assert "urls.txt" in ran.err
    assert len(world.s3.log) == 0
