"""File systems that refuse something: a folder's fsync is done without, a lock is not."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdn2s3 import atomic_file
from cdn2s3.atomic_file import replacing, sync_folder
from cdn2s3.destinations.local_files import LocalFiles
from cdn2s3.errors import FatalError
from cdn2s3.state.files import AppendFile, held_lock, lock_holder, shared_lock


@pytest.fixture(autouse=True)
def nothing_warned_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(atomic_file, "_warned", set())
    yield


def refuse_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let fsync of a folder fail with code."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(code, os.strerror(code))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def test_folder_that_cannot_be_synced_is_warned_of_once(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_folders(monkeypatch, code)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            with replacing(tmp_path / "checkpoint.json") as file:
                file.write(b"%d" % number)
    assert (tmp_path / "checkpoint.json").read_bytes() == b"2"
    (record,) = caplog.records
    assert str(tmp_path) in record.getMessage() and os.strerror(code) in record.getMessage()


def test_folder_of_images_that_cannot_be_synced_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_folders(monkeypatch, errno.EINVAL)
    files = LocalFiles(tmp_path)
    with caplog.at_level(logging.WARNING):
        for key in ("a/b.jpg", "c.jpg"):
            with files.temporary() as file:
                file.write(memoryview(b"image"))
                assert files.place(file, key, replace=False)
    assert (tmp_path / "a/b.jpg").read_bytes() == b"image"
    assert len(caplog.records) == 1


def test_failing_disk_is_not_taken_for_such_a_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)
    with pytest.raises(FatalError, match="cannot write"), replacing(tmp_path / "file"):
        pass
    assert caplog.records == []


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let flock fail as it does without locks; return the reason."""
    why = os.strerror(request.param)

    def flock(fd: int, operation: int) -> None:
        raise OSError(request.param, why)

    monkeypatch.setattr(fcntl, "flock", flock)
    return why


def test_file_system_without_locks_is_refused_with_its_reason(tmp_path: Path, no_locks: str) -> None:
    lock = tmp_path / "migration.lock"
    lock.touch()
    with pytest.raises(FatalError, match="no working locks") as caught, held_lock(lock, "migrate.py"):
        pass
    assert str(lock) in str(caught.value) and no_locks in str(caught.value)
    assert "STATE_DIR" in str(caught.value)
    with pytest.raises(FatalError, match="no working locks"), shared_lock(lock):
        pass
    with pytest.raises(FatalError, match="no working locks"):
        lock_holder(lock)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_state_file_without_locks_is_refused_and_leaves_no_file_open(tmp_path: Path, no_locks: str) -> None:
    before = open_files()
    with pytest.raises(FatalError, match="no working locks"):
        AppendFile(tmp_path / "completed.txt")
    assert open_files() == before
