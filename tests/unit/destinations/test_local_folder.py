"""What only a folder has: names it cannot hold, links that lead out, disks that refuse, leftovers of a kill."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import md5
from pathlib import Path
from typing import Any, Callable
from zlib import crc32

import pytest

from cdn2s3.destinations import local_files, temporary_file
from cdn2s3.destinations.local_folder import LocalFolder, open_folder
from cdn2s3.destinations.local_names import TEMPORARY
from cdn2s3.errors import FatalError, PermanentError, TransientError, UsageError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image, Stored
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build

BODY = b"\xff\xd8\xff an image"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def open_it(root: Path, tmp_path: Path) -> Iterator[Callable[..., LocalFolder]]:
    opened: list[LocalFolder] = []

    def make(**changed: str) -> LocalFolder:
        given = {
            "DESTINATION": "local",
            "LOCAL_ROOT": str(root),
            "STATE_DIR": str(tmp_path / "state"),
            **changed,
        }
        opened.append(open_folder(build(MigrationSettings, given, {}, Path("migration.env"))))
        return opened[-1]

    yield make
    for folder in opened:
        folder.close()


@pytest.fixture
def folder(open_it: Callable[..., LocalFolder]) -> LocalFolder:
    return open_it()


def put(folder: LocalFolder, key: str, body: bytes = BODY) -> Stored:
    image = Image(memoryview(body), "image/jpeg", md5(body).digest(), crc32(body))
    return folder.upload(key, image).attempt(Deadline(20))


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def raises(number: int, name: str) -> Callable[..., Any]:
    """Return what a system call does that fails with error number, the first thing the run asks of it."""

    def call(*arguments: Any, **more: Any) -> Any:
        raise OSError(number, os.strerror(number), name)

    return call


# --- names


@pytest.mark.parametrize(
    "key",
    [
        "images/" + "n" * 256,
        "images/" + "n" * 256 + "/a.jpg",
        "images/../a.jpg",
        "../a.jpg",
        "images/./a.jpg",
        "images//a.jpg",
        "/etc/a.jpg",
        "images/",
        "",
        ".",
        f"{TEMPORARY}/a.jpg",
        f"{TEMPORARY.upper()}/a.jpg",
        TEMPORARY,
    ],
)
def test_key_that_no_file_can_have_fails_for_itself(
    folder: LocalFolder, root: Path, tmp_path: Path, key: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        put(folder, key)
    assert caught.value.cause == "destination"
    assert "cannot be a file" in caught.value.message
    assert files(tmp_path) == {}
    assert put(folder, "images/good.jpg")


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d")])
@pytest.mark.parametrize("on_existing", ["verify", "overwrite"])
def test_file_beside_a_folder_of_its_name_fails_for_itself(
    open_it: Callable[..., LocalFolder], root: Path, first: str, second: str, on_existing: str
) -> None:
    folder = open_it(ON_EXISTING=on_existing)
    put(folder, first)
    with pytest.raises(PermanentError) as caught:
        put(folder, second)
    assert caught.value.cause == "destination"
    assert files(root) == {first: BODY}
    assert folder.head(second, Deadline(5)) is None


@pytest.mark.parametrize("on_existing", ["verify", "overwrite"])
@pytest.mark.parametrize("key", ["out/a.jpg", "in/a.jpg", "file.jpg", "broken.jpg"])
def test_symbolic_links_are_not_followed(
    open_it: Callable[..., LocalFolder], root: Path, tmp_path: Path, key: str, on_existing: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(BODY)
    (root / "inside").mkdir()
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "inside")
    (root / "file.jpg").symlink_to(outside / "a.jpg")
    (root / "broken.jpg").symlink_to(outside / "b.jpg")
    folder = open_it(ON_EXISTING=on_existing)
    with pytest.raises(PermanentError) as caught:
        put(folder, key)
    assert caught.value.cause == "destination"
    assert folder.head(key, Deadline(5)) is None
    folder.delete(key, Deadline(5))
    assert files(outside) == {"a.jpg": BODY}
    assert (root / "broken.jpg").is_symlink()


@pytest.mark.parametrize("on_existing", ["verify", "overwrite"])
@pytest.mark.parametrize(("first", "second"), [("a", "A"), ("d/a.jpg", "D/a.jpg")])
def test_two_keys_that_the_file_system_takes_for_one_file_are_told_apart(
    open_it: Callable[..., LocalFolder],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    second: str,
    on_existing: str,
) -> None:
    """A link stands for the name that such a file system makes up: it opens the same, and no listing shows it."""
    put(open_it(), first)
    shown, made_up = first.split("/")[0], second.split("/")[0]
    if "/" in first:
        opened = local_files.os.open
        monkeypatch.setattr(
            local_files.os,
            "open",
            lambda path, *rest, **more: opened(
                shown.encode() if path == made_up.encode() else path, *rest, **more
            ),
        )
        looked = local_files.os.stat
        monkeypatch.setattr(
            local_files.os,
            "stat",
            lambda path, **more: looked(shown.encode() if path == made_up.encode() else path, **more),
        )
    else:
        os.link(root / shown, root / made_up)
    monkeypatch.setattr(local_files.os, "listdir", lambda place: [shown])
    folder = open_it(ON_EXISTING=on_existing)
    with pytest.raises(PermanentError, match="another key's") as caught:
        put(folder, second, BODY + b"other")
    assert caught.value.cause == "destination"
    assert (root / first).read_bytes() == BODY
    assert folder.head(second, Deadline(5)) is None
    folder.delete(second, Deadline(5))
    assert (root / first).read_bytes() == BODY


# --- file systems of less


def test_without_hard_links_renameat2_gives_the_name(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files.os, "link", raises(errno.EPERM, "link"))
    folder.prepare()
    assert not put(folder, "a.jpg").already_there
    assert put(folder, "a.jpg").already_there
    with pytest.raises(PermanentError, match="different content"):
        put(folder, "a.jpg", BODY[::-1])
    assert files(root) == {"a.jpg": BODY}


def test_without_either_the_run_does_not_begin(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files.os, "link", raises(errno.EPERM, "link"))
    monkeypatch.setattr(temporary_file, "_NO_RENAMEAT2", frozenset({errno.EEXIST, errno.EINVAL}))
    monkeypatch.setattr(temporary_file, "_RENAME_NOREPLACE", 1 << 30)  # flags that no file system knows
    with pytest.raises(FatalError, match="neither hard links nor renameat2"):
        folder.prepare()
    assert files(root) == {}


def test_link_whose_answer_was_lost_is_ours(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS asks again when the answer does not come, and is told that the name exists."""
    link = os.link

    def asked_twice(*arguments: Any, **more: Any) -> None:
        link(*arguments, **more)
        link(*arguments, **more)

    monkeypatch.setattr(local_files.os, "link", asked_twice)
    assert not put(folder, "a.jpg").already_there
    assert files(root) == {"a.jpg": BODY}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "Free space"),
        (errno.EROFS, "Mount it writable"),
        (errno.EACCES, "Correct the permissions"),
        (errno.EPERM, "Correct the permissions"),
    ],
)
def test_disk_that_takes_nothing_stops_the_run(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    monkeypatch.setattr(local_files.os, "write", raises(number, "write"))
    with pytest.raises(FatalError, match=remedy) as caught:
        put(folder, "a.jpg")
    assert caught.value.exit_code == 3
    assert files(root) == {}
    with pytest.raises(FatalError, match=remedy):
        folder.is_up()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_disk_that_does_not_answer_is_tried_again(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(local_files.os, "fsync", raises(number, "fsync"))
        with pytest.raises(TransientError) as caught:
            put(folder, "a.jpg")
        assert caught.value.cause == "server_error"
        assert not folder.is_up()
    assert files(root) == {}
    assert put(folder, "a.jpg").already_there is False


def test_file_larger_than_the_file_system_takes_fails_for_itself(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files.os, "write", raises(errno.EFBIG, "write"))
    with pytest.raises(PermanentError) as caught:
        put(folder, "a.jpg")
    assert caught.value.cause == "destination"
    assert files(root) == {}


def test_file_and_folders_are_on_the_disk_before_it_is_said(
    folder: LocalFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = [], os.fsync

    def noted(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr(local_files.os, "fsync", noted)
    put(folder, "1/2/a.jpg")
    assert [Path(path).parent for path in synced if TEMPORARY in path] == [root / TEMPORARY]
    assert synced[-1] == str(root / "1/2")
    assert {str(root), str(root / "1")} <= set(synced)


# --- what a kill leaves


def test_leftovers_of_a_killed_run_are_not_listed_and_are_removed(
    folder: LocalFolder, open_it: Callable[..., LocalFolder], root: Path
) -> None:
    (root / TEMPORARY).mkdir()
    (root / TEMPORARY / "dead").write_bytes(b"half")
    alive = os.open(root / TEMPORARY / "alive", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    everything = open_it(DESTINATION_PREFIX="")
    assert list(everything.list_pages()) == [[]]
    everything.prepare()
    assert files(root) == {f"{TEMPORARY}/alive": b""}
    os.close(alive)
    folder.prepare()
    assert files(root) == {}
    folder.close()
    everything.close()
    assert list(root.iterdir()) == []


def test_folders_that_a_run_has_made_go_with_their_last_file(folder: LocalFolder, root: Path) -> None:
    (root / "mine").mkdir()
    for key in ("mine/a.jpg", "new/1/a.jpg", "new/2/a.jpg"):
        put(folder, key)
    for key in ("mine/a.jpg", "new/1/a.jpg"):
        folder.delete(key, Deadline(5))
    assert sorted(path.name for path in root.iterdir() if path.name != TEMPORARY) == ["mine", "new"]
    assert [path.name for path in (root / "new").iterdir()] == ["2"]
    put(folder, "new/1/a.jpg")
    assert (root / "new/1/a.jpg").read_bytes() == BODY


def test_what_is_no_file_is_not_listed_and_said(
    folder: LocalFolder, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, "images/a.jpg")
    (root / "images/link").symlink_to("/etc/passwd")
    os.mkfifo(root / "images/fifo")
    (root / "images/empty").mkdir()
    with caplog.at_level(logging.WARNING):
        [[found]] = folder.list_pages()
    assert found.key == "images/a.jpg"
    assert "2 symbolic links or special files" in caplog.text
    assert folder.head("images/fifo", Deadline(5)) is None


def test_name_that_is_not_utf_8_is_listed(folder: LocalFolder, root: Path) -> None:
    (root / "images").mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/images/\xff.jpg")).write_bytes(BODY)
    [[found]] = folder.list_pages()
    assert found.key == "images/\udcff.jpg"


def test_missing_root_is_not_created(root: Path, tmp_path: Path) -> None:
    given = {"DESTINATION": "local", "LOCAL_ROOT": str(root / "absent"), "STATE_DIR": str(tmp_path)}
    with pytest.raises(UsageError, match="mkdir -p"):
        open_folder(build(MigrationSettings, given, {}, Path("migration.env")))
    assert list(root.iterdir()) == []


def test_root_that_is_a_link_is_followed_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    given = {
        "DESTINATION": "local",
        "LOCAL_ROOT": str(tmp_path / "link"),
        "STATE_DIR": str(tmp_path / "state"),
    }
    with closing(open_folder(build(MigrationSettings, given, {}, Path("migration.env")))) as folder:
        put(folder, "a.jpg")
    assert files(root) == {"a.jpg": BODY}
