"""A reader that leaves (`| head`), a full disk behind `>`, no standard output at all: never a traceback."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests import ROOT
from tests.fakes.source import SourceServer
from tests.tiers import neighbors

SCRIPTS = ["collect_urls.py", "migrate.py", "validate.py"]


PLAN_WITH_COLLISIONS = "https://cdn.test/a/1.jpg\nhttps://cdn.test/b/1.jpg\n"  # asks nobody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `migrate.py --plan` may run."""
    (tmp_path / "migration.env").write_text("DESTINATION_BUCKET=bucket\nURL_PREFIX=https://cdn.test/\n")
    return tmp_path


@pytest.fixture
def pipe_without_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def run(folder: Path, *arguments: str, stdout: int, stderr: int = subprocess.PIPE) -> tuple[int, str]:
    """Run a script; return its exit code and what it said on stderr."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        timeout=60,
        check=False,
    )
    return ended.returncode, (ended.stderr or b"").decode()


@pytest.mark.parametrize("script", neighbors(*SCRIPTS))
def test_help_into_a_closed_pipe_ends_as_if_it_had_been_read(
    script: str, folder: Path, pipe_without_reader: int
) -> None:
    assert run(folder, str(ROOT / script), "--help", stdout=pipe_without_reader) == (0, "")


@pytest.mark.parametrize("script", neighbors(*SCRIPTS))
def test_help_onto_a_full_disk_says_so(script: str, folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        code, said = run(folder, str(ROOT / script), "--help", stdout=full.fileno())
    assert code == 3
    assert said == (
        f"{script}: cannot write to standard output: No space left on device. Its last lines are lost, "
        "but the logs and reports are complete.\n"
    )


def test_plan_into_a_closed_pipe_has_the_exit_code_of_the_plan(
    folder: Path, pipe_without_reader: int
) -> None:
    (folder / "urls.txt").write_text(PLAN_WITH_COLLISIONS)
    assert run(folder, str(ROOT / "migrate.py"), "--plan", stdout=pipe_without_reader) == (2, "")


@pytest.mark.slow
def test_answer_with_its_own_exit_code_keeps_it_on_a_full_disk(folder: Path) -> None:
    (folder / "urls.txt").write_text(PLAN_WITH_COLLISIONS)
    with Path("/dev/full").open("wb") as full:
        code, said = run(folder, str(ROOT / "migrate.py"), "--plan", stdout=full.fileno())
    assert (code, len(said.splitlines())) == (2, 1)
    assert "No space left on device" in said


def test_plan_goes_on_when_its_reader_leaves(
    folder: Path, source_server: Callable[..., SourceServer]
) -> None:
    source = source_server()
    (folder / "urls.txt").write_text("".join(f"{source.url_of(f'{n}.jpg')}\n" for n in range(3)))
    (folder / "migration.env").write_text(f"DESTINATION_BUCKET=bucket\nURL_PREFIX={source.url_prefix}\n")
    command = f"'{sys.executable}' '{ROOT}/migrate.py' --plan | head -n 1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("plan: urls.txt -> s3://bucket/")


@pytest.mark.slow
def test_error_message_into_a_closed_pipe_ends_with_its_exit_code(
    folder: Path, pipe_without_reader: int
) -> None:
    script = str(ROOT / "migrate.py")
    end = pipe_without_reader
    assert run(folder, script, "--env-file", "no.env", stdout=end, stderr=end)[0] == 2
    assert run(folder, script, "--no-such-option", stdout=end, stderr=end)[0] == 2


@pytest.mark.parametrize("closed", neighbors(">&- 2>&-", ">&-", "2>&-"))
def test_stream_that_is_closed_from_the_start_changes_nothing(folder: Path, closed: str) -> None:
    (folder / "urls.txt").write_text(PLAN_WITH_COLLISIONS)
    command = f"'{sys.executable}' '{ROOT}/migrate.py' --plan {closed}"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout + ended.stderr


def test_letters_that_the_terminal_lacks_are_escaped(folder: Path) -> None:
    (folder / "urls.txt").write_text("https://cdn.test/a/é.jpg\nhttps://cdn.test/b/é.jpg\n")
    ended = subprocess.run(
        [sys.executable, str(ROOT / "migrate.py"), "--plan"],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert b"https://cdn.test/a/\\xe9.jpg" in ended.stdout


@pytest.mark.parametrize("arguments", neighbors(["--plan"], []), ids=["plan", "run"])
def test_bytes_that_are_not_utf_8_are_shown_as_bytes(folder: Path, arguments: list[str]) -> None:
    (folder / "urls.txt").write_bytes(
        b"https://cdn.test/a\xff.jpg\n  https://cdn.test/b.jpg\nhttps://cdn.test/c.jpg\n"
    )
    ended = subprocess.run(
        [sys.executable, str(ROOT / "migrate.py"), *arguments],
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = (ended.stdout + ended.stderr).decode()
    assert "https://cdn.test/a%FF.jpg" in said
    assert "https://cdn.test/b.jpg" in said
    assert "spaces around the URL" in said
    assert "udcff" not in said
    for log in folder.glob("*.log"):
        assert "udcff" not in log.read_text(encoding="utf-8")


BAR_AND_ANSWER = """\
import sys
import termios
sys.path.insert(0, sys.argv[1])
from cdn2s3.console import stdio
from cdn2s3.console.progress import Count, Progress

def main():
    progress = Progress(2433)
    progress.show(Count(ended=2433, size=1, failed=12, error_rate=0.0))
    progress.close()
    print("2,433 stored")
    return 0

sys.exit(stdio.run(main))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_answer_begins_on_a_line_of_its_own_below_the_bar(unbuffered: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", BAR_AND_ANSWER, str(ROOT)]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = "".join(iter(lambda: _next_part(ours), ""))
        assert process.wait(timeout=60) == 0
    os.close(ours)
    last_of_bar, answer = shown.replace("\r\n", "\n").rstrip("\n").split("\n")
    assert last_of_bar.rstrip().endswith("failed 12")
    assert answer == "2,433 stored"


def _next_part(terminal: int) -> str:
    """Return what comes next out of a terminal, empty once nobody has it open."""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux says so, instead of an empty read
        return ""
