"""The demo as a whole, its comparison of planted and found, and that it leaves no process behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from demo import check
from demo.children import ROOT, Children, Stopped, raise_on_signals
from demo.planted import planted, write_planted
from demo.world import build_world

CDN_URL = "http://cdn.example"


def is_listening(port: int) -> bool:
    """Say whether somebody accepts connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look every 50 ms until the condition holds or the time is over; return whether it holds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# The comparison, on the files of a tool without fault


def write_records(path: Path, records: list[list[str]]) -> None:
    path.write_text("".join("\t".join(record) + "\n" for record in records), encoding="utf-8")


def write_found(folder: Path, plan: dict[str, Any]) -> None:
    """Write what the scripts leave when they find everything that is planted."""
    time_ = "2026-01-01T00:00:00Z"
    faults = plan["faults"].values()
    lost = [(url, fault["cause"]) for fault in faults if not fault["heals"] for url in fault["urls"]]
    objects = [[u, o["key"], str(o["bytes"]), "e", o["md5"], o["content_type"], time_]
               for u, o in plan["objects"].items()]  # fmt: skip
    retried = {f["cause"]: {"attempts": 9, "examples": f["urls"]} for f in faults if f["heals"]}
    expected = plan["expected"]
    checkpoint = {"items": expected["items"], "duplicates": expected["duplicates"], "complete": True}
    log = "WARNING HTTP 500, attempt 1 of 4\nWARNING HTTP 429, again in 1 s\nINFO region: eu-central-1\n"
    write_records(folder / "urls.txt", [[url] for url in [*plan["objects"], *(url for url, _ in lost)]])
    write_records(folder / "rejected.txt", [[url, "not under URL_PREFIX"] for url in plan["foreign"]])
    write_records(folder / "completed.txt", objects)
    write_records(folder / "failed_transfers.txt", [[url, cause, "1", "m", time_] for url, cause in lost])
    write_records(folder / "missing.txt", [[url, "key", f"failed:{cause}"] for url, cause in lost])
    write_records(folder / "mismatched.txt", [])
    write_records(folder / "unexpected.txt", [])
    (folder / "collection.log").write_text(log)
    (folder / "checkpoint.json").write_text(json.dumps(checkpoint))
    (folder / "migration_report.json").write_text(json.dumps({"retried": retried}))
    (folder / "validation_report.json").write_text(json.dumps({"verdict": expected["verdict"]}))


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    return planted(build_world(), CDN_URL, "images/", "auctionimages/")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, plan: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("found")
    write_planted(folder / "planted.json", plan)
    write_found(folder, plan)
    return folder


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Change the first place that matches; fail when there is none."""
    text, changes = re.subn(
        pattern, replacement, path.read_text(encoding="utf-8"), count=1, flags=re.S | re.M
    )
    assert changes == 1
    path.write_text(text, encoding="utf-8")


def test_check_of_what_was_planted_is_ok(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(found)]) == 0
    assert "WRONG" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "row"),
    [
        pytest.param("urls.txt", r"\A.*?\n", "", "URLs of the API", id="url lost"),
        pytest.param("urls.txt", r"\A(.*?\n)", r"\1\1", "URLs of the API", id="url twice"),
        pytest.param("rejected.txt", r"\A.*?\n", "", "URLs of other hosts", id="foreign url not named"),
        pytest.param("rejected.txt", r"\A", "http://x/\twhy\n", "URLs of other", id="good url rejected"),
        pytest.param(
            "checkpoint.json", '"duplicates": 10', '"duplicates": 9', "duplicate URLs", id="duplicates"
        ),
        pytest.param(
            "checkpoint.json",
            "1005",
            "430",
            "lots, including those after a short",
            id="stopped at a short page",
        ),
        pytest.param("checkpoint.json", "true", "false", "collection complete", id="not complete"),
        pytest.param("collection.log", "HTTP 500, attempt", "500 URLs", "API error 500", id="error not told"),
        pytest.param("collection.log", "429", "200", "throttled page 429", id="throttled page not told"),
        pytest.param("collection.log", "eu-central-1", "us-west-2", "region", id="region not found"),
        pytest.param("completed.txt", r"\A.*?\n", "", "images stored", id="image lost"),
        pytest.param("completed.txt", r"\A(.*?\n)", r"\1\1", "images stored", id="image recorded twice"),
        pytest.param("completed.txt", r"\timages/3483/", r"\timages/", "images stored", id="wrong key"),
        pytest.param("completed.txt", r"\t\d+\te\t", "\t7\te\t", "images stored", id="wrong size"),
        pytest.param("completed.txt", r"\te\t\w{4}", r"\te\t0000", "images stored", id="wrong bytes"),
        pytest.param("completed.txt", r"jpg\t.{,99}/webp", "image/jpeg", "WebP labeled", id="label believed"),
        pytest.param("failed_transfers.txt", "not_found", "forbidden", "404 Not Found", id="wrong cause"),
        pytest.param("failed_transfers.txt", "empty", "connection", "failures of", id="unplanned cause"),
        pytest.param("migration_report.json", "truncated", "timeout ", "body that", id="retry not told"),
        pytest.param("missing.txt", r"\A.*?\n", "", "gaps with a known cause", id="gap not named"),
        pytest.param("missing.txt", "failed:empty", "not tried", "gaps with a known", id="gap unknown"),
        pytest.param("mismatched.txt", r"\A", "u\tk\t1\t2\ta\tb\n", "objects that differ", id="mismatch"),
        pytest.param("unexpected.txt", r"\A", "k\t1\te\n", "unexpected objects", id="unexpected"),
        pytest.param("validation_report.json", "_except_known", "", "verdict", id="verdict"),
    ],
)
def test_check_finds_what_is_wrong(
    name: str,
    pattern: str,
    replacement: str,
    row: str,
    found: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(found, tmp_path / "found")
    edit(folder / name, pattern, replacement)
    assert check.main([str(folder)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if " WRONG " in line]
    assert any(line.startswith(row) for line in wrong), wrong


def test_check_of_missing_files_names_them(
    found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(found / "planted.json", tmp_path)
    assert check.main([str(tmp_path)]) == 1
    assert re.search(r"images stored +1,986 +0 +WRONG completed.txt", capsys.readouterr().out)


def test_check_without_a_plan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        check.main([str(tmp_path)])
    assert raised.value.code == 2
    assert "no planted.json" in capsys.readouterr().err


def test_check_tells_unplanned_retries_without_judging(
    found: Path, tmp_path: Path, plan: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(found, tmp_path / "found")
    url = next(iter(plan["objects"]))
    edit(folder / "migration_report.json", '"timeout"', f'"connection": {{"examples": ["{url}"]}}, "timeout"')
    assert check.main([str(folder)]) == 0
    assert f"Retried, although nothing was planted:  {url} (connection)" in capsys.readouterr().out


def test_check_imports_neither_the_tool_nor_the_world() -> None:
    code = "import sys, demo.check; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert {name for name in loaded if name.startswith(("demo", "cdn2s3"))} == {"demo", "demo.check"}


# The processes

DRIVER = """
import sys
from pathlib import Path
from demo.children import Children, Stopped, raise_on_signals
raise_on_signals()
try:
    with Children(Path(sys.argv[1])) as children:
        print(children.serve("demo.api", "--cdn-url", "http://x"), flush=True)
        children.run([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]))
except Stopped as stop:
    sys.exit(128 + stop.number)
"""
# Tells its pid, then which signal ends it.
SCRIPT = """
import os, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: sys.exit(print(signal.Signals(number).name)))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def start_driver(folder: Path) -> subprocess.Popen[str]:
    """Start a driver with one server and one script, in `folder`; it prints the port, the script its pid."""
    command = [sys.executable, "-c", DRIVER, str(folder), SCRIPT]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("sent", "passed_on", "code"),
    [
        pytest.param(signal.SIGINT, "SIGINT", 130, id="SIGINT"),
        pytest.param(signal.SIGTERM, "SIGTERM", 143, id="SIGTERM"),
        pytest.param(signal.SIGHUP, "SIGTERM", 129, id="SIGHUP"),
    ],
)
def test_children_end_with_their_driver(
    sent: signal.Signals, passed_on: str, code: int, tmp_path: Path
) -> None:
    with start_driver(tmp_path) as driver:
        assert driver.stdout
        port, _ = int(driver.stdout.readline()), int(driver.stdout.readline())
        assert is_listening(port)
        driver.send_signal(sent)
        assert driver.stdout.read() == f"{passed_on}\n"  # and then its end: nobody holds it open any more
        assert driver.wait(timeout=10) == code
    assert not is_listening(port)


def test_signal_while_a_script_is_being_started_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Signalled(subprocess.Popen[bytes]):
        """A process whose starter gets a signal before it knows of the process."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)
            os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(subprocess, "Popen", Signalled)
    try:
        raise_on_signals()
        with pytest.raises(Stopped), Children(tmp_path) as children:
            children.run(["sleep", "60"], tmp_path)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert started[0].returncode == -signal.SIGTERM


def test_servers_end_when_their_driver_is_killed(tmp_path: Path) -> None:
    with start_driver(tmp_path) as driver:
        assert driver.stdout
        port, script = int(driver.stdout.readline()), int(driver.stdout.readline())
        assert is_listening(port)
        driver.kill()
        os.kill(script, signal.SIGKILL)
        assert wait_until(lambda: not is_listening(port), seconds=10)


def test_server_that_does_not_start_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from demo.children import Children\n"
        "with Children(Path(sys.argv[1])) as children: children.serve('demo.api')"  # without --cdn-url
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"demo.api did not start; its output is in {tmp_path / 'api.txt'}" in ran.stderr
    assert "--cdn-url" in (tmp_path / "api.txt").read_text()


# The whole demo, with the real scripts


@pytest.fixture
def crowded_environment() -> dict[str, str]:
    """What may stand in a user's shell and must not reach the demo."""
    return {
        **os.environ,
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "DESTINATION_BUCKET": "somebody-elses",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }


@pytest.mark.slow
def test_demo_finds_all_that_was_planted(tmp_path: Path, crowded_environment: dict[str, str]) -> None:
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "demo.run", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env=crowded_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "complete_except_known: everything planted was found and reported" in ran.stdout
    assert "WRONG" not in ran.stdout
    assert "Traceback" not in ran.stdout
    for script in ("collect_urls.py", "migrate.py", "validate.py"):
        assert re.search(rf"^\$ cd \S+ && python \S*/{script}$", ran.stdout, re.M)
    assert _codes(ran.stdout) == [0, 0, 1, 0, 0, 1, 1, 1]
    assert re.search(r"^next: python migrate\.py --redo missing\.txt$.*^\$ cd \S+ && python \S*/migrate\.py "
                     r"--redo missing\.txt$.*^verdict: complete$", ran.stdout, re.M | re.S)  # fmt: skip
    pages = re.findall(r"^  file://(\S+)$", ran.stdout, re.M)
    assert [Path(page).name for page in pages] == ["migration_report.html", "validation_report.html"]
    assert all(Path(page).is_file() for page in pages)
    ports = [
        int(port) for port in re.findall(r"^(?:CDN|API|S3) +http://127\.0\.0\.1:(\d+)", ran.stdout, re.M)
    ]
    assert len(ports) == 6  # one S3 for both parts
    assert not any(is_listening(port) for port in ports)
    assert time.monotonic() - begun < 120  # a minute on a machine that does nothing else


def _codes(output: str) -> list[int]:
    """Return the exit codes of the scripts that a demo ran."""
    return [int(code) for code in re.findall(r"^Exit code (\d+)", output, re.M)]


@pytest.mark.slow
def test_demo_stopped_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "demo.run", "--out", str(tmp_path / "out")]
    completed = tmp_path / "out" / "completed.txt"
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        assert wait_until(lambda: completed.exists() and completed.stat().st_size > 0, seconds=120)
        driver.send_signal(signal.SIGINT)
        assert driver.stdout
        output = driver.stdout.read()  # to its end: no child holds it open any more
        assert driver.wait(timeout=40) == 130
    assert "stopped by SIGINT; no process is left running" in output
    for port in re.findall(r"http://127\.0\.0\.1:(\d+)", output):
        assert not is_listening(int(port))


def test_demo_refuses_a_folder_with_files(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    ran = subprocess.run(
        [sys.executable, "-m", "demo.run", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 2
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"
