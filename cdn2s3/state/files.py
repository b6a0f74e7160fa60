"""The only place that writes a state file: appending whole lines, replacing whole files, holding locks.

Crash rules, for every file: a line is complete or (only the last one, after a crash) torn; a replaced file
is the old one or the new one. Only the owner can read the files (0600). A write that fails stops the
run: what is not on disk has not happened.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cdn2s3.atomic_file import OWNER_ONLY, cannot_write
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.state.lines import end_of_last_line

log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
_READERS_SECONDS = 0.5  # how long somebody may look whether a lock is held
_ORPHANS_SECONDS = 10.0  # how long a killed run's worker processes may take to notice
_CLOSED = -1


def cannot_read(path: Path, error: OSError, setting: str = "") -> UsageError:
    """Return the error for an input file that cannot be read, naming the setting that points at it."""
    named = f" ({setting})" if setting else ""
    remedy = "Correct the path or the file's permissions"
    if setting == "SOURCE_URLS_FILE" and isinstance(error, FileNotFoundError):
        remedy = f"Run `{command('collect_urls.py')}` first, or correct the path"
    return UsageError(f"cannot read {path}{named}: {error.strerror or error}. {remedy}.")


def size_of(path: Path) -> int:
    """Return the size of path in bytes, 0 if unknown."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def cut_back(path: Path, length: int) -> int:
    """Truncate path to length bytes, on disk; return how many bytes that removed.

    A file that does not exist is 0 bytes long. Raise ValueError when path is shorter than length, FatalError
    when it cannot be shortened.
    """
    size = path.stat().st_size if path.exists() else 0
    if size < length:
        raise ValueError(f"{path} is {size} bytes long, less than {length}")
    if size > length:
        try:
            with path.open("r+b") as file:
                file.truncate(length)
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error
    return size - length


class AppendFile:
    """Append whole lines to path: one write each, on disk within SYNC_SECONDS.

    A torn last line (left by a crash) is cut off and logged: on opening, and before an append, because
    another process that appends here may have been killed meanwhile. Threads and processes may append to one
    file at the same time: each write happens under a lock on the file, so that a short one (a full disk) can
    be removed again without touching another writer's line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._unsynced = False
        self._sync_error: OSError | None = None
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            self._write_whole(b"")
        except BaseException as error:
            os.close(self._fd)
            if isinstance(error, OSError):
                raise cannot_write(path, error) from error
            raise

    def _write_whole(self, line: bytes) -> None:
        """Cut off a torn tail and write line (b"": no more than that); raise OSError unless it is complete."""
        if self._fd == _CLOSED:
            raise OSError(errno.EBADF, "it is closed")
        _flock(self._fd, fcntl.LOCK_EX, self.path)
        try:
            size = self._cut_torn_tail()
            if line and os.write(self._fd, line) < len(line):
                os.ftruncate(self._fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _cut_torn_tail(self) -> int:
        """Keep only complete lines; return the file's length. For the holder of the file's lock."""
        size = os.fstat(self._fd).st_size
        if size == 0 or os.pread(self._fd, 1, size - 1) == b"\n":
            return size
        whole = end_of_last_line(self.path)
        os.ftruncate(self._fd, whole)
        log.warning("%s ended in a torn line of %d bytes (a crash): cut off", self.path, size - whole)
        return whole

    def append(self, line: bytes) -> None:
        """Write line, or several in one: all end in a newline. Raise FatalError unless it is written completely."""
        with self._lock:
            if self._sync_error is not None:
                raise cannot_write(self.path, self._sync_error)
            try:
                self._write_whole(line)
            except OSError as error:
                raise cannot_write(self.path, error) from error
            self._unsynced = True

    def sync(self) -> None:
        """Sync what was appended; the next append raises a failure."""
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._sync_error = error

    def sync_now(self) -> None:
        """Sync what was appended; raise FatalError unless all of it is on disk."""
        self.sync()
        if self._sync_error is not None:
            raise cannot_write(self.path, self._sync_error)

    def cut_back(self, length: int) -> None:
        """Shorten the file to length bytes; raise FatalError when that fails."""
        try:
            os.ftruncate(self._fd, length)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def size(self) -> int:
        """Return the file's length in bytes."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Sync and close, once; raise FatalError when the last lines may not be on disk."""
        if self._fd == _CLOSED:
            return
        self.sync()
        with self._lock:
            fd, self._fd = (
                self._fd,
                _CLOSED,
            )  # a late append fails, and cannot reach another file with this number
            os.close(fd)
        if self._sync_error is not None:
            raise cannot_write(self.path, self._sync_error)


@contextmanager
def synced_every_second(*files: AppendFile) -> Iterator[None]:
    """Sync files from a separate thread every SYNC_SECONDS while the block runs, then close them all.

    Raise FatalError when one of them may lack its last lines on disk.
    """
    done = threading.Event()

    def keep_syncing() -> None:
        while not done.wait(SYNC_SECONDS):
            for file in files:
                file.sync()

    thread = threading.Thread(target=keep_syncing, name="sync", daemon=True)
    thread.start()
    with ExitStack() as at_the_end:
        for file in files:
            at_the_end.callback(file.close)
        at_the_end.callback(thread.join)
        at_the_end.callback(done.set)
        yield


@contextmanager
def held_lock(path: Path, holder: str) -> Iterator[int]:
    """Hold the lock file path while the block runs; yield its file descriptor.

    Raise FatalError, naming the holder's PID, when somebody else holds it. The file itself is never replaced
    or removed, so a lock always means the same file; a crash frees it.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        _lock(fd, path, holder)
        _write_pid(fd, path)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def shared_lock(path: Path) -> Iterator[str | None]:
    """Hold the lock file path together with others while the block runs, so that nobody holds it alone.

    Yield None, or the process id in it where somebody holds it alone. A file that is not there is not made.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        yield None if _shares(fd, path) else _pid_in(fd)
    finally:
        os.close(fd)


def _flock(fd: int, operation: int, path: Path) -> None:
    """Lock fd, the file at path; raise BlockingIOError, or FatalError on a file system that has no locks."""
    try:
        fcntl.flock(fd, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        raise FatalError(
            f"{path} cannot be locked ({error.strerror or error}): its file system has no working locks, as NFS "
            "without a lock service or some FUSE mounts, so that two runs could write to the same files. Nothing was "
            "done. Put STATE_DIR and the list of URLs on a local disk, or let the mount provide locks (NFS: version 4, "
            "or without nolock)."
        ) from error


def _shares(fd: int, path: Path) -> bool:
    try:
        _flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, path)
    except BlockingIOError:
        return False
    return True


def _lock(fd: int, path: Path, holder: str) -> None:
    """Lock fd; wait a little for the last processes of a run whose own process is gone already."""
    begun = time.monotonic()
    give_up_at = begun + _ORPHANS_SECONDS
    while True:
        try:
            _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
            return
        except BlockingIOError:
            if _shares(fd, path):
                if time.monotonic() > begun + _READERS_SECONDS:
                    raise FatalError(
                        f"migrate.py or validate.py is reading the list (it holds {path}). Wait for it to end, or "
                        "stop it."
                    ) from None
                time.sleep(0.05)
                continue
            pid = _pid_in(fd)
            if _is_alive(pid) or time.monotonic() > give_up_at:
                raise FatalError(
                    f"{holder} is already running with process id {pid} (it holds {path}). "
                    "Wait for it to end, or stop it."
                ) from None
            time.sleep(0.05)


def _is_alive(pid: str) -> bool:
    return not pid.isdigit() or Path("/proc", pid).exists()


def lock_holder(path: Path) -> str | None:
    """Return the process id written in the lock file path when somebody holds it, else None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        return None if _shares(fd, path) else _pid_in(fd)
    finally:
        os.close(fd)


def _pid_in(fd: int) -> str:
    return os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"


def _write_pid(fd: int, path: Path) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        raise cannot_write(path, error) from error
