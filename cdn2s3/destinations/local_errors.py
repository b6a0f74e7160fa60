"""What an error of the file system means for a key and for the run, with its remedy."""

from __future__ import annotations

import errno
from pathlib import Path

from cdn2s3.errors import RESUME, FatalError, MigrationError, PermanentError, TransientError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_A_NAME = frozenset({
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EILSEQ, errno.EINVAL, errno.EXDEV,
    errno.EFBIG,
})  # fmt: skip


def meaning(root: Path, key: str, error: OSError) -> MigrationError:
    """Return what an error of the file system means: for this key, for this attempt or for the run."""
    why = error.strerror or str(error)
    if error.errno in _FULL or error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return fatal(root, key, error)
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return PermanentError(
            "destination", f"{key!r} cannot be a file: a folder in it is a file or a symbolic link"
        )
    if error.errno in _NOT_A_NAME:
        return PermanentError("destination", f"{key!r} cannot be a file: {why}")
    return TransientError("server_error", f"the file system answered: {why}")


def fatal(root: Path, key: str, error: OSError) -> FatalError:
    """Return the error that stops the run, with its remedy."""
    if error.errno in _FULL:
        return FatalError(f"the disk of LOCAL_ROOT {root} is full. Free space there, then {RESUME}.")
    if error.errno == errno.EROFS:
        return FatalError(f"LOCAL_ROOT {root} is read-only. Mount it writable, then {RESUME}.")
    return FatalError(
        f"LOCAL_ROOT {root}: {error.strerror or error}{f', at {key!r}' if key else ''}. Correct the permissions "
        f"there (chmod, chown), then {RESUME}."
    )
