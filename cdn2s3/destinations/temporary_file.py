"""A file without a name yet, and how it gets one that never replaces another file."""

from __future__ import annotations

import ctypes
import errno
import os

_BLOCK = 1 << 20  # bytes written at a time
_RENAME_NOREPLACE = 1  # of renameat2(2)
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


_NO_RENAMEAT2 = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class NotOffered(Exception):
    """The file system can give a file its name only by replacing an existing one."""


class TemporaryFile:
    """A file without its key yet."""

    def __init__(self, folder: int, name: bytes, fd: int) -> None:
        self.folder = folder  # file descriptor of the folder it is in
        self.name = name
        self.fd = fd

    def write(self, data: memoryview) -> None:
        """Append data; raise OSError."""
        while data:
            data = data[os.write(self.fd, data[:_BLOCK]) :]

    def sync(self) -> None:
        """Bring all that was written to the disk; raise OSError."""
        os.fsync(self.fd)


def linked(file: TemporaryFile, folder: int, name: bytes) -> bool:
    """Give file a name in folder; return False when something has it. Raise NotOffered."""
    try:
        os.link(file.name, name, src_dir_fd=file.folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _renamed(file, folder, name)
    return True


def _renamed(file: TemporaryFile, folder: int, name: bytes) -> bool:
    """Do the same where there are no hard links, with renameat2(2), which the Python library does not have."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise NotOffered from None
    if rename(file.folder, file.name, folder, name, _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    if code in _NO_RENAMEAT2:
        raise NotOffered
    raise OSError(code, os.strerror(code))
