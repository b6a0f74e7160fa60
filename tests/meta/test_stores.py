"""The runs on real stores (`make stores`): what they say, how their servers end, how an interpreter is chosen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.stores import install, run
from tests.stores.book import Book, Check, equal
from tests.stores.processes import ServerFailed, server
from tests.stores.results import Result, page, table
from tests.stores.servers import STORES
from tests.stores.store import Endpoint, Store

DOCUMENT = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
SLEEPER = [sys.executable, "-c", "import subprocess, sys; subprocess.run(['sleep', sys.argv[1]])"]
HELD, NOT_HELD = Check("a", True, "", ""), Check("b", False, "why", "")
LIMIT, LIMIT_THAT_HELD = Check("c", False, "why", "known"), Check("d", True, "", "known")


def a_store(**changed: Any) -> Store:
    made: dict[str, Any] = {"name": "x", "title": "X", "packages": "PyPI x", "install": lambda cache: None}
    return Store(**{**made, "serve": None, **changed})


def sleeps(seconds: str) -> bool:
    """Return whether a process of SLEEPER's is there, the one for so many seconds."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if process.read_bytes().split(b"\0")[-2:-1] == [seconds.encode()]:
                return True
        except OSError:
            pass
    return False


def until(condition: bool, seconds: str) -> None:
    deadline = time.monotonic() + 20
    while sleeps(seconds) != condition:
        assert time.monotonic() < deadline, f"sleep {seconds}: still {not condition}"
        time.sleep(0.02)


# --- the checks


def test_what_is_raised_is_the_reason() -> None:
    book = Book({}, {}, lambda line: None)
    with book.check("of an assertion"):
        equal({"a"}, {"a", "b"}, "keys")
    with book.check("of a store"):
        raise OSError("reset")
    with book.check("fine"):
        pass
    assert [(check.held, check.reason) for check in book.checks] == [
        (False, "keys: 1 missing, such as 'b';"),
        (False, "OSError: reset"),
        (True, ""),
    ]


def test_declared_limit_is_expected_and_its_absence_is_not() -> None:
    book = Book({"b": "known"}, {}, lambda line: None)
    book.note("a", "why")
    book.note("b", "why")
    assert [check.is_expected for check in book.checks] == [False, True]
    book = Book({"b": "known"}, {}, lambda line: None)
    book.note("a")
    book.note("b")
    assert [check.name for check in book.unexpected] == ["b"]
    book = Book({}, {"a": "a race", "b": "a race"}, lambda line: None)
    book.note("a")
    book.note("b", "lost it")
    assert book.unexpected == []


@pytest.mark.parametrize(
    ("checks", "code"),
    [([HELD, LIMIT], 0), ([HELD, NOT_HELD], 1), ([LIMIT_THAT_HELD], 1)],
)
def test_exit_code_says_whether_all_came_out_as_declared(checks: list[Check], code: int) -> None:
    skipped = Result(a_store(), skipped="no apt-get")
    assert run.exit_code([Result(a_store(), checks=checks), skipped]) == code
    assert run.exit_code([skipped]) == 3


def test_table_names_what_did_not_hold_and_why_a_store_was_not_run() -> None:
    after = Check("delta: a", True, "", "")
    ran = Result(a_store(), "", "1.2", [HELD, NOT_HELD, LIMIT, LIMIT_THAT_HELD, after], 61.4)
    ran.conditions = {"PUT": "honored", "DELETE": "refused (501)"}
    skipped = Result(a_store(title="Y"), skipped="needs Python 3.12")
    lines = table([ran, skipped]).splitlines()
    assert lines[2] == (
        "| X | 1.2 | PyPI x | 3 | 1 | 2 | 61 | PUT honored, DELETE refused (501) | 1 of 1 | 0 of 0 | "
        "**b**; **d**; known |"
    )
    assert lines[3] == "| Y | - | PyPI x | - | - | - | - | - | - | - | not run: needs Python 3.12 |"


def test_page_has_each_check_and_what_the_probe_found() -> None:
    said = "ok       input        3 URLs\nok       overwrite    honored\n         by all\nfailed   source       no\n"
    written = page(
        Result(a_store(), "", "1.2", [HELD, NOT_HELD, LIMIT, LIMIT_THAT_HELD], probe=said), "make stores"
    )
    assert "| a | held |  |  |\n| b | **not held** |  | why |\n| c | limit | known | why |" in written
    assert "| d | **held, though declared as a limit** | known |  |" in written
    assert "\n\n    ok       overwrite    honored\n             by all\n\n" in written
    assert "1 declared limits, 2 otherwise." in written


def test_store_that_cannot_be_had_is_skipped_with_the_reason(tmp_path: Path) -> None:
    def refuse(cache: Path) -> None:
        raise install.NotHere("npm is missing")

    assert run.run(a_store(install=refuse), tmp_path, small=True).skipped == "npm is missing"


def test_server_that_does_not_start_is_a_check_that_did_not_hold(tmp_path: Path) -> None:
    @contextmanager
    def fail(cache: Path, folder: Path) -> Iterator[Endpoint]:
        with server([sys.executable, "-c", "print('no disk')"], folder) as started:
            started.until(lambda: False)
        yield Endpoint("", "", "", "")

    checks = run.run(a_store(serve=fail), tmp_path, small=True).checks
    assert [(check.name, check.held) for check in checks] == [("the server starts", False)]
    assert "no disk" in checks[0].reason


def test_store_with_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse(["localstak"])
    assert "'localstak' is no store here; choose from localstack, ceph" in capsys.readouterr().err


# --- the servers


def test_server_ends_with_all_that_it_started(tmp_path: Path) -> None:
    with server([*SLEEPER, "614.1"], tmp_path):
        until(True, "614.1")
    until(False, "614.1")


def test_server_that_ends_by_itself_is_said_to(tmp_path: Path) -> None:
    with (
        server([sys.executable, "-c", "print('port in use')"], tmp_path) as started,
        pytest.raises(ServerFailed, match=r"ended by itself: port in use"),
    ):
        started.until(lambda: False)


def test_server_does_not_outlive_its_starter_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.stores.processes import server\n"
        "with server(sys.argv[2:], Path(sys.argv[1])) as started: started.until(lambda: False)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *SLEEPER, "614.2"], cwd=ROOT)
    try:
        until(True, "614.2")
    finally:
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    until(False, "614.2")


# --- what they are installed with


def test_newest_python_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions = {"python3": (3, 9, 2), "python3.10": (3, 10, 1), "python3.9": ()}
    for name in versions:
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(install, "_version", lambda python: versions.get(Path(python).name, (3, 9, 0)))
    assert install.python_from((3, 9)) == tmp_path / "python3.10"
    with pytest.raises(
        install.NotHere, match=r"needs Python 3\.12 or newer with venv, and the newest here is 3\.10"
    ):
        install.python_from((3, 12))


def test_folder_that_has_the_same_already_is_not_installed_again(tmp_path: Path) -> None:
    done: list[str] = []
    cache = tmp_path / "cache"

    def once(what: str) -> None:
        def make() -> None:
            cache.mkdir()
            done.append(what)

        install._once(cache, [what], make)

    once("a==1")
    once("a==1")
    once("a==2")
    assert done == ["a==1", "a==2"]


# --- the documents


@pytest.mark.parametrize("store", STORES.values(), ids=list(STORES))
def test_document_has_a_row_for_the_store(store: Store) -> None:
    assert f"| {store.title} " in DOCUMENT


def test_module_is_named_after_its_store() -> None:
    modules = {path.stem for path in (ROOT / "tests" / "stores" / "servers").glob("*.py")} - {"__init__"}
    assert set(STORES) == modules
