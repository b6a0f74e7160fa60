"""Files below one folder, named by keys: written atomically, never replaced unasked, never outside that folder.

Each folder of a key is opened in the one before it, and no symbolic link is followed: so no key, and nobody who
puts a link there, leads out of the root. What a file system cannot hold as the key says is refused (KeyNotHeld).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdn2s3.atomic_file import sync_open_folder
from cdn2s3.destinations.local_names import (
    TEMPORARY,
    as_bytes,
    as_text,
    is_exact,
    regular,
    sorted_names,
    state_of,
)
from cdn2s3.destinations.temporary_file import TemporaryFile, linked

log = logging.getLogger(__name__)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: a FIFO must not hold us
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TIMES = 4  # that a folder which somebody removes meanwhile is made again
_MOST_KNOWN = 10_000  # folders remembered


class KeyNotHeld(Exception):
    """No file below the root can have this key."""


class LocalFiles:
    """The files below one folder; shared by all threads. Methods raise OSError besides what they say."""

    def __init__(self, root: Path) -> None:
        """Hold root open: what is mounted over it later, or unmounted, is not taken for it."""
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._exact: set[bytes] = set()  # folders whose names are known to be what their keys say
        self._made: set[bytes] = set()  # folders that we have made: removed again when they are empty

    def close(self) -> None:
        """Remove the folder of temporary files where it is empty, and let go of the root; may be called again."""
        if self._root < 0:
            return
        with suppress(OSError):
            os.rmdir(TEMPORARY, dir_fd=self._root)
        os.close(self._root)
        self._root = -1

    # --- writing

    @contextmanager
    def temporary(self) -> Iterator[TemporaryFile]:
        """Give a new file to write and to place(); at the end of the block nothing is left of it but that."""
        folder, name, fd = self._new_temporary()
        try:
            yield TemporaryFile(folder, name, fd)
        finally:
            with suppress(OSError):  # placed by a rename it is gone; a left-over is removed by the next run
                os.unlink(name, dir_fd=folder)
            os.close(fd)
            os.close(folder)

    def _new_temporary(self) -> tuple[int, bytes, int]:
        for tries_left in reversed(range(_TIMES)):
            folder, _ = self._opened(self._root, TEMPORARY.encode(), make=True)
            name = secrets.token_hex(8).encode()
            try:
                fd = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
            except OSError as error:
                os.close(folder)
                if not isinstance(error, FileNotFoundError) or not tries_left:
                    raise
                continue  # another process has removed the empty folder at its end
            with suppress(OSError):  # without locks a left-over stays until somebody removes it
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # in use: see remove_leftovers()
            return folder, name, fd
        raise AssertionError("unreachable")

    def place(self, file: TemporaryFile, key: str, replace: bool) -> bool:
        """Give file its key, durably; return False when something is there, which only replace replaces.

        Raise KeyNotHeld, or NotOffered.
        """
        for tries_left in reversed(range(_TIMES)):
            try:
                with self._parent(key, make=True) as (folder, name):
                    placed = self._placed(file, folder, name, replace)
                    if placed:
                        sync_open_folder(folder)
                    return placed
            except FileNotFoundError:  # a folder has been removed, by delete()
                if not tries_left:
                    raise
                self._forget_folders()
        raise AssertionError("unreachable")

    def _placed(self, file: TemporaryFile, folder: int, name: bytes, replace: bool) -> bool:
        if linked(file, folder, name):
            return True
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if os.path.samestat(there, os.fstat(file.fd)):
            return True  # NFS: the answer to our own link was lost, and asked for again
        if not stat.S_ISREG(there.st_mode):
            raise KeyNotHeld("a folder, a symbolic link or another special file has that name")
        if not is_exact(folder, name):
            raise KeyNotHeld(
                "the file system treats it as another key's file (it ignores case or Unicode form)"
            )
        if replace:
            os.rename(file.name, name, src_dir_fd=file.folder, dst_dir_fd=folder)
        return replace

    def remove_leftovers(self) -> int:
        """Remove temporary files that no process is still writing, as after kill -9; return how many."""
        removed = 0
        try:
            folder = os.open(TEMPORARY, _FOLDER, dir_fd=self._root)
        except FileNotFoundError:
            return 0
        try:
            for name in os.listdir(folder):  # noqa: PTH208  # a descriptor has no path
                with suppress(OSError):
                    removed += _removed_unless_in_use(folder, name)
        finally:
            os.close(folder)
        return removed

    def delete(self, key: str, only: os.stat_result | None = None) -> bool:
        """Remove the file of key where there is one, and the folders that we made for it and are empty now.

        only is of the one that may be removed, as it was when it was read. Return whether the file was removed.
        """
        try:
            with self._parent(key) as (folder, name):
                found = regular(folder, name)
                if found is None or (only is not None and state_of(found) != state_of(only)):
                    return False
                os.unlink(name, dir_fd=folder)
                sync_open_folder(folder)
        except (FileNotFoundError, NotADirectoryError, KeyNotHeld):
            return False
        self._remove_empty_folders(key)
        return True

    def _remove_empty_folders(self, key: str) -> None:
        parent = as_bytes(key).rpartition(b"/")[0]
        while parent in self._made:
            try:
                with self._parent(as_text(parent)) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
            except OSError:
                return  # not empty
            self._forget_folders(parent)
            parent = parent.rpartition(b"/")[0]

    # --- reading

    @contextmanager
    def reading(self, key: str) -> Iterator[int | None]:
        """Give the file of key, open for reading, as a file descriptor; None when there is none."""
        fd = self._open_file(key)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def _open_file(self, key: str) -> int | None:
        try:
            with self._parent(key) as (folder, name):
                if regular(folder, name) is None:
                    return None
                return os.open(name, _FILE, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError, KeyNotHeld):
            return None

    def size(self, key: str) -> int | None:
        """Return the size of the file of key in bytes; None when there is none."""
        try:
            with self._parent(key) as (folder, name):
                found = regular(folder, name)
                return None if found is None else found.st_size
        except (FileNotFoundError, NotADirectoryError, KeyNotHeld):
            return None

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield each key that begins with prefix and its file, open for reading, sorted by the keys' UTF-8 bytes.

        Memory grows with the largest folder. What is neither a folder nor a regular file is not listed.
        """
        base = prefix[: prefix.rfind("/") + 1]
        levels: list[tuple[int, bytes, Iterator[bytes]]] = []
        start, wanted = as_bytes(base), as_bytes(prefix)
        try:
            folder = self._folder_of(base)
            if folder is None:
                return
            levels.append((folder, start, sorted_names(folder, is_root=not base)))
            while levels:
                folder, start, names = levels[-1]
                name = next(names, None)
                if name is None:
                    os.close(folder)
                    levels.pop()
                elif not (start + name).startswith(wanted):
                    continue
                elif name.endswith(b"/"):
                    inner = os.open(name[:-1], _FOLDER, dir_fd=folder)
                    levels.append((inner, start + name, sorted_names(inner, is_root=False)))
                else:
                    fd = os.open(name, _FILE, dir_fd=folder)
                    try:
                        yield as_text(start + name), fd
                    finally:
                        os.close(fd)
        finally:
            for folder, _, _ in levels:
                os.close(folder)

    def _folder_of(self, base: str) -> int | None:
        """Return a descriptor of the folder that base, which ends in a slash or is empty, names; None: it is absent."""
        if not base:
            return os.dup(self._root)
        try:
            with self._parent(base + "x") as (folder, _):
                return os.dup(folder)
        except FileNotFoundError:
            return None

    # --- from a key to its folder

    @contextmanager
    def _parent(self, key: str, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """Give the folder of key, as a file descriptor, and the file's name in it; make makes missing folders.

        Raise KeyNotHeld, FileNotFoundError where a folder is absent, NotADirectoryError where it is none.
        """
        if not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise KeyNotHeld("an empty segment, . or .. is not a file's name")
        if key.split("/")[0].casefold() == TEMPORARY:
            raise KeyNotHeld(f"{TEMPORARY} is the folder of temporary files")
        *folders, name = as_bytes(key).split(b"/")
        fd = os.dup(self._root)
        try:
            for number, part in enumerate(folders, 1):
                path = b"/".join(folders[:number])
                inner, made = self._opened(fd, part, make)
                fd, outer = inner, fd
                try:
                    self._check_exact(outer, part, path, made)
                finally:
                    os.close(outer)
            yield fd, name
        finally:
            os.close(fd)

    def _opened(self, folder: int, name: bytes, make: bool) -> tuple[int, bool]:
        """Return a descriptor of the folder name in folder, and whether it was made now."""
        with suppress(FileNotFoundError):
            return os.open(name, _FOLDER, dir_fd=folder), False
        if not make:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        made = True
        try:
            os.mkdir(name, dir_fd=folder)
            sync_open_folder(folder)
        except FileExistsError:  # another thread was first
            made = False
        return os.open(name, _FOLDER, dir_fd=folder), made

    def _check_exact(self, outer: int, name: bytes, path: bytes, made: bool) -> None:
        """Raise KeyNotHeld where the folder at path has another name than the key's, which the file system ignores."""
        if made:
            if len(self._made) < _MOST_KNOWN:
                self._made.add(path)
        elif path not in self._exact and not is_exact(outer, name):
            raise KeyNotHeld(
                "the file system treats it as another key's folder (it ignores case or Unicode form)"
            )
        if len(self._exact) >= _MOST_KNOWN:
            self._exact.clear()
        self._exact.add(path)

    def _forget_folders(self, made: bytes = b"") -> None:
        self._exact.clear()
        self._made.discard(made)


def _removed_unless_in_use(folder: int, name: str) -> bool:
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
