"""What is in a folder that is the destination: sizes, bytes, MD5s, and the listing of all files.

An ETag is the MD5 of a file's bytes, read for it each time.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from hashlib import md5

from cdn2s3.destinations.base import (
    Found,
)
from cdn2s3.destinations.local_errors import meaning
from cdn2s3.destinations.local_files import KeyNotHeld, LocalFiles
from cdn2s3.destinations.temporary_file import NotOffered
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.settings.declarations import MigrationSettings

_PAGE = 1000  # objects of a page of the listing
_BLOCK = 1 << 20  # bytes read at a time


class FolderReader:
    """The files below LOCAL_ROOT as objects; shared by all threads."""

    def __init__(self, settings: MigrationSettings, files: LocalFiles) -> None:
        assert settings.local_root is not None
        self._settings = settings
        self._root = settings.local_root
        self.files = files

    def head_size(self, key: str) -> int | None:
        """Return the size of the file of key in bytes; None when there is none."""
        with self.translated(key):
            return self.files.size(key)

    def head(self, key: str, deadline: Deadline) -> Found | None:
        """Return what is at key; its ETag is from its bytes."""
        with self.read(key, deadline) as body:
            return None if body is None else body.found(key)

    @contextmanager
    def read(self, key: str, deadline: Deadline) -> Iterator[_FileBody | None]:
        with self.translated(key), self.files.reading(key) as fd:
            yield None if fd is None else _FileBody(self, fd, key, deadline)

    def md5(self, key: str, deadline: Deadline | None = None) -> str:
        with self.translated(key), self.files.reading(key) as fd:
            if fd is None:
                raise TransientError("server_error", "the file at the key is gone")
            return md5_of(fd, deadline)[1]

    def list_pages(self, dividers: Sequence[str] = ()) -> Generator[list[Found], None, None]:
        """Yield what Destination.list_pages() does; every file is read, since its ETag is the MD5 of its bytes."""
        page: list[Found] = []
        try:
            with self.translated(self._settings.destination_prefix):
                for key, fd in self.files.listed(self._settings.destination_prefix):
                    page.append(Found(key, *md5_of(fd)))
                    if len(page) == _PAGE:
                        yield page
                        page = []
        except (PermanentError, TransientError) as error:
            raise FatalError(
                f"could not list LOCAL_ROOT {self._root}: {error.message}. Nothing is known about what exists or is "
                "missing: check the disk, then run it again."
            ) from error
        yield page

    @contextmanager
    def translated(self, key: str) -> Iterator[None]:
        """Raise what an error of the file system means for key and for the run."""
        try:
            yield
        except KeyNotHeld as error:
            raise PermanentError("destination", f"{key!r} cannot be a file: {error}") from error
        except NotOffered as error:
            raise FatalError(
                f"LOCAL_ROOT {self._root}: the file system has neither hard links nor renameat2(2), so a file there "
                "could be replaced unseen. Choose a folder on another file system."
            ) from error
        except OSError as error:
            raise meaning(self._root, key, error) from error


class _FileBody:
    """A file that is being read; its ETag is found out when it is asked for."""

    def __init__(self, folder: FolderReader, fd: int, key: str, deadline: Deadline) -> None:
        self._folder = folder
        self._fd = fd
        self._key = key
        self._deadline = deadline
        self._at = 0

    @property
    def etag(self) -> str:
        with self._folder.translated(self._key):
            return md5_of(self._fd, self._deadline)[1]

    def found(self, key: str) -> Found:
        with self._folder.translated(key):
            return Found(key, *md5_of(self._fd, self._deadline))

    def read_into(self, block: memoryview) -> int:
        self._deadline.remaining()
        with self._folder.translated(self._key):
            got = os.preadv(self._fd, [block], self._at)
        self._at += got
        return got


def md5_of(fd: int, deadline: Deadline | None = None) -> tuple[int, str]:
    """Return the size in bytes and the MD5 in hex digits of an open file, wherever it was read to."""
    digest, block, size = md5(usedforsecurity=False), memoryview(bytearray(_BLOCK)), 0
    while got := os.preadv(fd, [block], size):
        if deadline is not None:
            deadline.remaining()
        digest.update(block[:got])
        size += got
    return size, digest.hexdigest()
