"""Names of files and folders, exactly as a key says them: bytes, whatever the locale or the file system folds."""

from __future__ import annotations

import logging
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

log = logging.getLogger(__name__)

TEMPORARY = ".cdn2s3-tmp"  # folder in the root: files that are being written


def state_of(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return what differs where another file, or another content, has come to a name."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def regular(folder: int, name: bytes) -> os.stat_result | None:
    """Return what is known of the regular file that has exactly that name; None where there is none."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found if stat.S_ISREG(found.st_mode) and is_exact(folder, name) else None


def is_exact(folder: int, name: bytes) -> bool:
    """Return whether what name opens in folder really has that name, not one that the file system treats as equal."""
    here = os.stat(name, dir_fd=folder, follow_symlinks=False)
    text = as_text(name)
    forms = {text.swapcase(), *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))}
    for other in map(as_bytes, forms - {text}):
        with suppress(OSError):
            if os.path.samestat(here, os.stat(other, dir_fd=folder, follow_symlinks=False)):
                return name in map(os.fsencode, os.listdir(folder))
    return True


def sorted_names(folder: int, is_root: bool) -> Iterator[bytes]:
    """Return the names in folder as they appear in keys: a folder with its slash, which determines its order."""
    names, others = [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if is_root and entry.name == TEMPORARY:
                continue
            if entry.is_dir(follow_symlinks=False):
                names.append(name + b"/")
            elif entry.is_file(follow_symlinks=False):
                names.append(name)
            else:
                others += 1
    if others:
        log.warning(
            "%d symbolic links or special files are not listed: they are not images of this run", others
        )
    names.sort()
    return iter(names)


def as_bytes(key: str) -> bytes:
    """Return key as the file system keeps it: keys are UTF-8, whatever the locale says."""
    return key.encode("utf-8", "surrogateescape")


def as_text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
