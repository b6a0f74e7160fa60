"""What reaches the log: no secret, no control character, nothing that could pass for another record."""

from __future__ import annotations

import io
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.console.logging_setup import ending_in_the_log, set_up, show
from cdn2s3.errors import FatalError
from tests.properties import examples

CANARY = "CANARY7f3a"
START = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) +", re.ASCII)

RECORD = "2026-01-01 00:00:00.000Z INFO    migration finished"

log = logging.getLogger("cdn2s3.test")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A log file's path; afterwards, logging is as it was."""
    root = logging.getLogger()
    loggers = [
        root,
        *(logging.getLogger(name) for name in ("urllib3", "botocore", "boto3", "s3transfer", "requests")),
    ]
    levels = [logger.level for logger in loggers]
    handlers = list(root.handlers)
    for handler in handlers:  # pytest's own, which set_up would close
        root.removeHandler(handler)
    yield tmp_path / "migration.log"
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    for logger, level in zip(loggers, levels):
        logger.setLevel(level)


def _logged(file: Path, *arguments: object) -> str:
    """Return what one record adds to a new log file, and see that the console gets the same."""
    console = io.StringIO()
    set_up(file, "DEBUG", console)
    log.warning(*arguments)
    text = file.read_text(encoding="utf-8")
    assert text.endswith(console.getvalue())
    return text


def test_log_line_has_time_level_and_message(file: Path) -> None:
    text = _logged(file, "moved %d of %s", 3, "images/é.jpg")
    assert START.match(text)
    assert text.endswith("Z WARNING moved 3 of images/é.jpg\n")


def test_log_file_is_its_owners_alone_and_appended_to(file: Path) -> None:
    file.touch(0o600)
    file.write_text("before\n")
    assert _logged(file, "after").startswith("before\n")
    new = file.with_name("new.log")
    _logged(new, "x")
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_log_level_holds_for_ours_and_never_lowers_the_libraries(file: Path) -> None:
    console = io.StringIO()
    set_up(file, "DEBUG", console)
    log.debug("ours")
    for name in ("urllib3.connectionpool", "botocore.auth", "boto3", "s3transfer", "requests"):
        logging.getLogger(name).info("theirs, with %s", CANARY)
    assert console.getvalue().endswith("DEBUG   ours\n")
    assert CANARY not in console.getvalue()
    set_up(file, "ERROR", console)
    log.warning("not this")
    assert "not this" not in console.getvalue()


def test_set_up_again_closes_the_first_file(file: Path) -> None:
    first = _logged(file, "one")
    _logged(file.with_name("second.log"), "two")
    assert file.read_text() == first


@pytest.mark.parametrize("kind", ["a folder", "in no folder"])
def test_log_file_that_cannot_be_opened_stops_the_run(file: Path, kind: str) -> None:
    path = {"a folder": file.parent, "in no folder": file.parent / "no" / "migration.log"}[kind]
    before = list(logging.getLogger().handlers)
    with pytest.raises(FatalError, match=f"cannot write {re.escape(str(path))}"):
        set_up(path, "INFO", io.StringIO())
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(
    ("message", "logged"),
    [
        pytest.param("a\n\nb", "a\n  \n  b", id="newlines: further lines are indented"),
        pytest.param("a\r\nb", "a\\r\n  b", id="CRLF"),
        pytest.param("a\tb\0", "a\\tb\\x00", id="tab and NUL"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="terminal escape"),
        pytest.param("\u2028\x85", "\\u2028\\x85", id="line separators"),
        pytest.param("\u202e", "\\u202e", id="right-to-left override"),
        pytest.param("a\udcff\udc80b", "a%FF%80b", id="undecodable bytes"),
        pytest.param("ü 😀", "ü 😀", id="letters stay"),
    ],
)
def test_log_escapes_what_is_not_printable(file: Path, message: str, logged: str) -> None:
    assert _logged(file, "%s", message).endswith(f" {logged}\n")


def test_log_redacts_urls(file: Path) -> None:
    text = _logged(file, "GET %s", f"https://u:{CANARY}@h.example/a b.jpg?token={CANARY}#x")
    assert text.endswith("GET https://***@h.example/a b.jpg?***#x\n")


def test_log_redacts_a_secret_with_a_control_character_in_it(file: Path) -> None:
    assert CANARY not in _logged(file, "GET https://u:\x1c%s@h.example/?a=\x85%s", CANARY, CANARY)


def test_traceback_is_redacted_and_none_of_its_lines_passes_for_a_record(file: Path) -> None:
    console = io.StringIO()
    set_up(file, "DEBUG", console)
    try:
        raise ValueError(f"url: /a.jpg?token={CANARY}\n{RECORD}")
    except ValueError:
        log.exception("failed", stack_info=True)
    first, *further = console.getvalue().splitlines()
    assert START.match(first)
    assert any("ValueError" in line for line in further)
    assert all(line.startswith("  ") for line in further)
    assert CANARY not in console.getvalue()


def test_no_message_can_pass_for_two_records(file: Path) -> None:
    console = io.StringIO()
    set_up(file, "DEBUG", console)

    @examples(300)
    @given(
        st.lists(st.one_of(st.text(st.characters(), max_size=9), st.sampled_from(["\n", RECORD]))).map(
            "".join
        )
    )
    def check(message: str) -> None:
        console.seek(0)
        console.truncate()
        log.info("%s", message)
        first, *further = console.getvalue().splitlines()
        assert START.match(first)
        assert all(line.startswith("  ") for line in further)
        assert len(further) == message.count("\n")

    check()
    assert "Logging error" not in console.getvalue()


def test_screen_is_on_stdout_and_in_the_log_file_whatever_the_level(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = io.StringIO()
    set_up(file, "ERROR", console)
    show("\n2 stored\nnext: python validate.py")
    assert capsys.readouterr().out == "\n2 stored\nnext: python validate.py\n"
    first, second = file.read_text().splitlines()
    assert START.sub("", first) == "2 stored" and second == "  next: python validate.py"
    assert console.getvalue() == ""


def test_log_file_tells_the_exit_code(file: Path) -> None:
    set_up(file, "INFO", io.StringIO())
    assert ending_in_the_log(lambda argv: 3)(None) == 3
    assert file.read_text().endswith(" INFO    ended, exit code 3\n")


def test_log_file_tells_a_fault_of_ours(file: Path) -> None:
    def main(argv: object) -> int:
        raise KeyError("a fault")

    set_up(file, "INFO", io.StringIO())
    with pytest.raises(KeyError):
        ending_in_the_log(main)(None)
    assert " ERROR   ended by a bug in this tool:\n" in file.read_text()
    assert file.read_text().endswith("  KeyError: 'a fault'\n")


def test_end_without_a_log_is_no_error() -> None:
    assert ending_in_the_log(lambda argv: 2)(None) == 2
