"""State files under crashes, full disks, neighbours and broken input."""

from __future__ import annotations

import logging
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.atomic_file import cannot_write, replacing
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.state.files import AppendFile, cannot_read, held_lock, lock_holder, synced_every_second
from cdn2s3.state.lines import end_of_last_line, input_lines, numbered_input, numbered_records, whole_lines
from tests import ROOT
from tests.properties import examples


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process that has the package, with pipes to and from it."""
    return subprocess.Popen(
        [sys.executable, "-c", dedent(script), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _run(script: str, *arguments: object) -> str:
    with _start(script, *arguments) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "completed.txt"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read backwards in blocks so small that a short file has several."""
    monkeypatch.setattr("cdn2s3.state.lines._BLOCK", 4)
    monkeypatch.setattr("cdn2s3.state.lines._TAIL_BLOCK", 4)


# Reading


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"a\nb\n", [b"a", b"b"], id="LF"),
        pytest.param(b"a\r\nb\r\n", [b"a", b"b"], id="CRLF"),
        pytest.param(b"a\nb", [b"a", b"b"], id="no last newline"),
        pytest.param(b"\xef\xbb\xbfa\nb\n", [b"a", b"b"], id="BOM"),
        pytest.param(b"a\n\n\r\nb\n", [b"a", b"", b"", b"b"], id="blank lines"),
        pytest.param(b"a\tnot_found\t3\nb\t\n", [b"a", b"b"], id="our own state file"),
        pytest.param(b"\xe9\n", [b"\xe9"], id="latin-1"),
        pytest.param(
            b"a\xe2\x80\xa8b\xc2\x85\x0b\x1cc\n", [b"a\xe2\x80\xa8b\xc2\x85\x0b\x1cc"], id="odd breaks"
        ),
        pytest.param(b" a \n", [b" a "], id="blanks stay"),
        pytest.param(b"a\n\xef\xbb\xbfb\n", [b"a", b"b"], id="BOM in the middle: two files joined"),
        pytest.param(b"\xef\xbb", [b"\xef\xbb"], id="half a BOM"),
    ],
)
def test_input_lines(path: Path, content: bytes, lines: list[bytes]) -> None:
    path.write_bytes(content)
    assert list(input_lines(path)) == lines


@pytest.mark.usefixtures("small_blocks")
@examples(300)
@given(
    st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"\r", b"\t", b"\xef\xbb\xbf"]), max_size=20).map(
        b"".join
    ),
    st.lists(st.integers(0, 20), max_size=6),
)
def test_lines_are_found_again_by_their_numbers(tmp_path: Path, content: bytes, numbers: list[int]) -> None:
    file = tmp_path / "any"
    file.write_bytes(content)
    for numbered, lines in (
        (numbered_input(file), list(input_lines(file))),
        (numbered_records(file), list(whole_lines(file))),
    ):
        read = []
        for at, batch in numbered.batches():
            assert at == 0 or content[at - 1 : at] == b"\n"
            for number, line in batch:
                assert (number, line) == (len(read), lines[number])
                assert numbered[number] == line  # from when it is yielded
                read.append(line)
        assert read == lines
        assert all(numbered[number] == lines[number] for number in numbers if number < len(lines))


def test_line_of_a_file_that_has_become_shorter_is_not_found(path: Path) -> None:
    path.write_bytes(b"a\nb\n")
    lines = numbered_input(path)
    assert [line for _, batch in lines.batches() for _, line in batch] == [b"a", b"b"]
    path.write_bytes(b"a\n")
    with pytest.raises(OSError, match="shorter"):
        lines[1]


def test_input_lines_of_a_missing_file_raise_what_the_caller_can_name(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        list(input_lines(path))
    error = cannot_read(path, refused.value, "SOURCE_URLS_FILE")
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"cannot read {path} (SOURCE_URLS_FILE): No such file or directory. ")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"torn", [], id="torn only"),
        pytest.param(b"a\nb\ntorn", [b"a", b"b"], id="torn tail"),
        pytest.param(b"a\r\n\n", [b"a\r", b""], id="taken literally"),
    ],
)
def test_whole_lines(path: Path, content: bytes, lines: list[bytes]) -> None:
    path.write_bytes(content)
    assert list(whole_lines(path)) == lines


def test_whole_lines_from_an_offset(path: Path) -> None:
    path.write_bytes(b"a\nb\nc\n")
    assert list(whole_lines(path, 2)) == [b"b", b"c"]
    assert list(whole_lines(path, 6)) == []


def test_whole_lines_of_no_file_are_none(path: Path) -> None:
    assert list(whole_lines(path)) == []


@pytest.mark.parametrize("kind", ["a folder", "below a file"])
def test_whole_lines_that_cannot_be_read_stop_the_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    unreadable = {"a folder": tmp_path, "below a file": tmp_path / "file" / "completed.txt"}[kind]
    with pytest.raises(FatalError, match=f"^cannot read {re.escape(str(unreadable))}: "):
        list(whole_lines(unreadable))


@pytest.mark.usefixtures("small_blocks")
@examples(300)
@given(st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"\r", b"\0"]), max_size=20).map(b"".join))
def test_readers_of_any_bytes_agree(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(content)
    whole = content[: content.rfind(b"\n") + 1]
    assert end_of_last_line(file) == len(whole)
    assert b"".join(line + b"\n" for line in whole_lines(file)) == whole
    assert list(input_lines(file)) == [
        line.rstrip(b"\r\n") for line in content.splitlines(keepends=True)
    ] or (
        b"\r" in content  # bytes.splitlines takes a lone \\r for an end of line, we do not
    )


# Appending


def test_append_file_is_its_owners_alone(path: Path) -> None:
    AppendFile(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


RECORDS = b"https://h/1.jpg\tk1\nhttps://h/2.jpg\tk2\nhttps://h/3.jpg\tk3\n"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("length", range(len(RECORDS) + 1))
def test_append_after_a_crash_at_any_byte_keeps_the_whole_lines_and_glues_nothing(
    path: Path, length: int
) -> None:
    path.write_bytes(RECORDS[:length])
    whole = RECORDS[: RECORDS[:length].rfind(b"\n") + 1]
    file = AppendFile(path)
    assert file.size() == len(whole)
    file.append(b"new\n")
    file.close()
    assert path.read_bytes() == whole + b"new\n"


def test_append_file_says_what_it_cut(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"a\ntorn")
    with caplog.at_level(logging.WARNING):
        AppendFile(path).close()
    assert caplog.messages == [f"{path} ended in a torn line of 4 bytes (a crash): cut off"]


def test_append_after_a_neighbour_was_killed_in_mid_write_glues_nothing(path: Path) -> None:
    mine = AppendFile(path)
    mine.append(b"a\n")
    with path.open("ab") as neighbour:
        neighbour.write(b"b\nc\nhalf of a reco")
    mine.append(b"d\n")
    mine.close()
    assert path.read_bytes() == b"a\nb\nc\nd\n"


def test_append_is_in_the_file_at_once(path: Path) -> None:
    file = AppendFile(path)
    file.append(b"a\n")
    assert path.read_bytes() == b"a\n"
    file.close()


def test_append_after_kill_9_has_lost_nothing(path: Path) -> None:
    script = """
        import os, signal, sys
        from pathlib import Path
        from cdn2s3.state.files import AppendFile
        file = AppendFile(Path(sys.argv[1]))
        for number in range(1000): file.append(b"%d\\n" % number)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with _start(script, path) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(1000))


APPENDER = """
    import resource, sys, threading
    from pathlib import Path
    from cdn2s3.errors import FatalError
    from cdn2s3.state.files import AppendFile
    path, name, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if limit:  # the disk is full for this process alone (Python ignores SIGXFSZ)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    file = AppendFile(path)
    def work(thread):
        for number in range(150):
            line = f"{name}-{thread}-{number}-" + "x" * (number * 7 % 90)
            try:
                file.append(line.encode() + b"\\n")
            except FatalError:
                continue
            appended.append(line)
    appended = []
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    file.close()
    print(*appended)
"""


@pytest.mark.parametrize("limit", [0, 30_000], ids=["room for all", "full disk for one of them"])
def test_append_from_two_processes_and_many_threads(path: Path, limit: int) -> None:
    with _start(APPENDER, path, "a", 0) as one, _start(APPENDER, path, "b", limit) as other:
        for process in (one, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):  # let both go before waiting for either
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0].split() for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert len(said[0]) == 600
    assert len(said[1]) == 600 if not limit else len(said[1]) < 600
    assert sorted(path.read_text().splitlines()) == sorted(said[0] + said[1])


def test_append_to_a_full_disk_is_refused_leaves_whole_lines_and_writes_nothing_later(path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from cdn2s3.errors import FatalError
        from cdn2s3.state.files import AppendFile
        path = Path(sys.argv[1])
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        file = AppendFile(path)
        for number in range(100):
            try:
                file.append(b"%02d" % number + b"x" * 77 + b"\\n")
            except FatalError as error:
                print(number, error)
                break
        print(path.stat().st_size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        file.close()
        print(path.stat().st_size)
        again = AppendFile(path)
        again.append(b"resumed\\n")
        again.close()
    """
    failed, full, closed = _run(script, path).splitlines()
    assert failed.startswith(f"12 cannot write {path}: ")
    assert "free disk space" in failed
    assert full == closed == "960"
    assert path.read_bytes() == b"".join(b"%02d" % n + b"x" * 77 + b"\n" for n in range(12)) + b"resumed\n"


def test_append_to_a_full_device_is_refused() -> None:
    file = AppendFile(Path("/dev/full"))
    with pytest.raises(FatalError, match="cannot write /dev/full: No space left on device"):
        file.append(b"a\n")


@pytest.mark.parametrize("kind", ["a folder", "in no folder", "below a file"])
def test_append_file_that_cannot_be_opened_stops_the_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    bad = {"a folder": tmp_path, "in no folder": tmp_path / "no/x", "below a file": tmp_path / "file/x"}[kind]
    with pytest.raises(FatalError, match=f"cannot write {re.escape(str(bad))}: "):
        AppendFile(bad)


def test_append_after_close_fails_and_reaches_no_other_file(tmp_path: Path) -> None:
    closed = AppendFile(tmp_path / "closed")
    closed.close()
    other = AppendFile(tmp_path / "other")  # gets the number of the descriptor that was closed
    with pytest.raises(FatalError):
        closed.append(b"a\n")
    closed.close()
    other.append(b"b\n")
    other.close()
    assert (tmp_path / "other").read_bytes() == b"b\n"
    assert (tmp_path / "closed").read_bytes() == b""


@pytest.fixture
def unsyncable(tmp_path: Path) -> Iterator[Path]:
    """A file that takes writes and refuses fsync: a FIFO, which somebody holds open."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR)
    yield fifo
    os.close(holder)


def test_sync_that_fails_is_told_by_the_next_append_and_by_close(unsyncable: Path) -> None:
    file = AppendFile(unsyncable)
    file.append(b"a\n")
    file.sync()
    with pytest.raises(FatalError, match="cannot write"):
        file.append(b"b\n")
    with pytest.raises(FatalError, match="cannot write"):
        file.close()


def test_synced_every_second_syncs_while_the_block_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()

    class Watched(AppendFile):
        def sync(self) -> None:
            super().sync()
            synced.set()

    monkeypatch.setattr("cdn2s3.state.files.SYNC_SECONDS", 0.01)
    file = Watched(path)
    with synced_every_second(file):
        file.append(b"a\n")
        assert synced.wait(10)
    with pytest.raises(FatalError):
        file.append(b"closed\n")


def test_synced_every_second_closes_all_when_one_cannot_be_synced(path: Path, unsyncable: Path) -> None:
    bad, good = AppendFile(unsyncable), AppendFile(path)
    with pytest.raises(FatalError, match="fifo"), synced_every_second(bad, good):
        bad.append(b"a\n")
        good.append(b"a\n")
    for file in (bad, good):
        with pytest.raises(FatalError):
            file.append(b"b\n")
    assert not [thread for thread in threading.enumerate() if thread.name == "sync"]


# Replacing


def test_replacing_puts_the_new_file_in_place_whole(path: Path) -> None:
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("left_over", [False, True], ids=["fresh", "over a left-over that others may read"])
def test_replacing_makes_a_file_of_its_owner_alone(path: Path, left_over: bool) -> None:
    path.touch(0o644)
    if left_over:
        path.with_name(path.name + ".tmp").write_bytes(b"a long left-over of a crash")
    with replacing(path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, FatalError])
def test_replacing_keeps_the_old_file_when_the_block_raises(path: Path, error: type[BaseException]) -> None:
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error("stop")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_replacing_keeps_the_old_file_when_killed_before_the_rename(path: Path) -> None:
    path.write_bytes(b"old")
    script = """
        import os, signal, sys
        from pathlib import Path
        from cdn2s3.atomic_file import replacing
        with replacing(Path(sys.argv[1])) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    with _start(script, path) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("size", [2_000, 3_000_000], ids=["fails at the end", "fails in the block"])
def test_replacing_keeps_the_old_file_when_the_disk_is_full(path: Path, size: int) -> None:
    path.write_bytes(b"old")
    script = """
        import resource, sys
        from pathlib import Path
        from cdn2s3.errors import FatalError
        from cdn2s3.atomic_file import replacing
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with replacing(Path(sys.argv[1])) as file:
                for _ in range(int(sys.argv[2]) // 1000): file.write(b"x" * 1000)
        except FatalError as error:
            print(error)
    """
    assert _run(script, path, size).startswith(f"cannot write {path}: File too large. ")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["in no folder", "below a file", "over a folder", "temporary is a folder"])
def test_replacing_what_cannot_be_written_stops_the_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken.tmp").mkdir()
    target = {
        "in no folder": tmp_path / "no" / "x",
        "below a file": tmp_path / "file" / "x",
        "over a folder": tmp_path / "folder",
        "temporary is a folder": tmp_path / "taken",
    }[kind]
    with (
        pytest.raises(FatalError, match=f"cannot write {re.escape(str(target))}: "),
        replacing(target) as file,
    ):
        file.write(b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder", "taken.tmp"]


def test_error_without_a_number_still_says_something(path: Path) -> None:
    assert str(cannot_write(path, OSError("went away"))).startswith(f"cannot write {path}: went away. ")


# Locks

HOLDER = """
    import sys
    from pathlib import Path
    from cdn2s3.errors import FatalError
    from cdn2s3.state.files import held_lock
    try:
        with held_lock(Path(sys.argv[1]), "migrate.py"):
            print("held", flush=True)
            sys.stdin.readline()
    except FatalError as error:
        print(error)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "state.lock"


def test_held_lock_refuses_a_second_process_and_names_the_first(lock: Path) -> None:
    with held_lock(lock, "migrate.py"):
        said = _run(HOLDER, lock)
    assert said.startswith(f"migrate.py is already running with process id {os.getpid()} (it holds {lock}). ")


def test_held_lock_is_freed_by_kill_9(lock: Path) -> None:
    with _start(HOLDER, lock) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert lock_holder(lock) == str(holder.pid)
        with pytest.raises(FatalError, match=f"process id {holder.pid} "), held_lock(lock, "migrate.py"):
            pytest.fail("two hold the lock")
        holder.kill()
        holder.communicate(timeout=60)
    assert lock_holder(lock) is None
    with held_lock(lock, "migrate.py"):
        assert lock_holder(lock) == str(os.getpid())


def test_held_lock_is_freed_at_the_end_and_by_an_error(lock: Path) -> None:
    with pytest.raises(RuntimeError), held_lock(lock, "migrate.py"):
        raise RuntimeError
    assert lock_holder(lock) is None
    with held_lock(lock, "migrate.py"):
        pass
    assert lock_holder(lock) is None


def test_held_lock_never_replaces_its_file(lock: Path) -> None:
    with held_lock(lock, "migrate.py"):
        first = lock.stat().st_ino
    lock.write_text("99999999999999999999999999 a longer text than a process id")
    with held_lock(lock, "migrate.py"):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert lock.stat().st_ino == first
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_held_lock_does_not_pass_to_child_processes(lock: Path) -> None:
    with held_lock(lock, "migrate.py") as fd:
        assert not os.get_inheritable(fd)


def test_held_lock_that_cannot_be_made_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="cannot write"), held_lock(tmp_path / "no" / "state.lock", "x"):
        pytest.fail("held")


def test_lock_holder_of_no_file_is_nobody_and_makes_none(lock: Path) -> None:
    assert lock_holder(lock) is None
    assert not lock.exists()
