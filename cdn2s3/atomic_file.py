"""Atomic replacement of a file: a temporary file beside it, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cdn2s3.errors import FatalError

log = logging.getLogger(__name__)

OWNER_ONLY = 0o600
# How a file system says that it does not sync folders (fsync(2): "fd is bound to a special file which does not
# support synchronization"); a failing disk says EIO.
_NOT_OFFERED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
_warned: set[int] = set()  # file systems (st_dev) that have been warned of
_BUFFER_BYTES = 1 << 20


def cannot_write(path: Path, error: OSError) -> FatalError:
    """Return the error that stops the run when path cannot be written, with the remedy for a full disk."""
    return FatalError(
        f"cannot write {path}: {error.strerror or error}. Everything recorded so far is correct; "
        "free disk space or correct the permissions there, then run the same command again."
    )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; at the end of the block it atomically replaces path, synced to the disk.

    If the block raises, path stays unchanged. Raise FatalError when the disk does not take it.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, OWNER_ONLY)
        with os.fdopen(fd, "wb", buffering=_BUFFER_BYTES) as file:
            os.fchmod(fd, OWNER_ONLY)  # an existing file would keep its own mode
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _forget(temporary)
        raise cannot_write(path, error) from error
    except BaseException:
        _forget(temporary)
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write files into; at the end of the block it replaces the folder path.

    If the block raises, path stays unchanged. A kill leaves the old one, the new one, or (between two renames)
    none; never a mixture. Raise FatalError when the disk does not take it.
    """
    new, old = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".bak")
    try:
        for leftover in (new, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        new.mkdir(mode=0o700)
        yield new
        if path.exists():
            path.replace(old)
        new.replace(path)
        sync_folder(path.parent)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise cannot_write(path, error) from error
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _forget(temporary: Path) -> None:
    with suppress(OSError):  # the next run overwrites a leftover; the original error matters more
        temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Sync a rename or a new name in folder to the disk; a file system that cannot do that is warned of once."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_open_folder(fd)
    finally:
        os.close(fd)


def sync_open_folder(fd: int) -> None:
    """Do the same for the folder that is open as fd."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
        _warn_once(fd, error)


def _warn_once(fd: int, error: OSError) -> None:
    device = os.fstat(fd).st_dev
    if device in _warned:
        return
    _warned.add(device)
    try:
        folder = str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        folder = "a folder"
    log.warning(
        "the file system of %s cannot sync a folder to the disk (%s), as some CIFS and FUSE mounts: after a power "
        "loss, a file that was just created or replaced may be missing or the old one. A local disk has no such gap.",
        folder,
        error.strerror,
    )
