"""A folder as the destination: another disk, NFS, a staging area. A key is the path of a file below LOCAL_ROOT.

An image is written to a temporary file, synced, and only then given its name, by a hard link (or renameat2) that
never replaces a file; the folder is synced too. Its ETag is the MD5 of its bytes, in listings from the bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from hashlib import md5

from cdn2s3.destinations.base import (
    BOTH_ENDS,
    LOST,
    PROBE_BODY,
    PROBE_NAME,
    Conflict,
    Content,
    Found,
    Note,
    NotRenewed,
    hash_all,
    how_met,
    how_over,
    met,
)
from cdn2s3.destinations.local_errors import fatal
from cdn2s3.destinations.local_files import LocalFiles
from cdn2s3.destinations.local_reading import FolderReader, md5_of
from cdn2s3.destinations.temporary_file import TemporaryFile
from cdn2s3.errors import FatalError, PermanentError, TransientError, UsageError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import LOCAL, STORED, Image, Recorded, Stored
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import pluralize

log = logging.getLogger(__name__)

_BLOCK = 1 << 20  # bytes written at a time
_TIMES = 4  # that an unlikely answer is asked for again before it is believed


def open_folder(settings: MigrationSettings) -> LocalFolder:
    """Return the folder of settings; raise UsageError when it is absent, FatalError when it cannot be opened."""
    assert settings.local_root is not None, "DESTINATION=local has a LOCAL_ROOT"
    root = settings.local_root
    try:
        return LocalFolder(settings, LocalFiles(root))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"LOCAL_ROOT {root} is not a folder. Mount the disk, or create the folder (`mkdir -p {root}`), "
            "then run it again: a missing folder isn't created, since its disk may only be missing."
        ) from None
    except OSError as error:
        raise fatal(root, "", error) from error


class LocalFolder(FolderReader):
    """Store images as files below LOCAL_ROOT; a Destination."""

    name = "folder"
    integrity = "md5"
    integrity_text = "the folder: each file's MD5 is computed"
    endpoint = ""

    def __init__(self, settings: MigrationSettings, files: LocalFiles) -> None:
        super().__init__(settings, files)
        self.overwrites = settings.on_existing == "overwrite"

    @property
    def _probe_key(self) -> str:
        return self._settings.destination_prefix + PROBE_NAME

    @property
    def probe_keys(self) -> frozenset[str]:
        return frozenset({self._probe_key})

    @property
    def listing_notes(self) -> tuple[str, ...]:
        return ()

    @property
    def probes_left(self) -> tuple[str, ...]:
        return ()

    def describe(self) -> str:
        return self._settings.destination_text

    def prepare(self) -> None:
        """Remove what a killed run has left; store the probe twice and delete it."""
        try:
            with self.translated(self._probe_key):
                removed = self.files.remove_leftovers()
                if not any(self._protects() for _ in range(_TIMES)):
                    raise FatalError(
                        f"LOCAL_ROOT {self._root} cannot be used: its file system lets one file replace another "
                        "unseen. Choose a folder on another file system."
                    )
        except (PermanentError, TransientError) as error:
            raise FatalError(f"LOCAL_ROOT {self._root} cannot be used: {error.message}.") from error
        if removed:
            log.info("removed %s of an earlier run", pluralize(removed, "temporary file"))

    def _protects(self) -> bool:
        """Return whether a second file is refused the name of the first; another run may disturb that."""
        self.files.delete(self._probe_key)
        protects = self._put_probe() and not self._put_probe()
        self.files.delete(self._probe_key)
        return protects

    def _put_probe(self) -> bool:
        with self.files.temporary() as file:
            file.write(memoryview(PROBE_BODY))
            file.sync()
            return self.files.place(file, self._probe_key, replace=False)

    def notes(self) -> list[Note]:
        """Return none: prepare() refuses a file system that lacks what a run needs."""
        return []

    def handover(self) -> None:
        """Return None: another process opens the folder itself."""

    # --- storing

    def upload(self, key: str, image: Image, recorded: Recorded | None = None) -> FileUpload:
        return FileUpload(self, key, image, recorded)

    def store_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        encoding: str = "",
        recorded: Recorded | None = None,
    ) -> Stored:
        if not self.overwrites and self.head_size(key) is not None:
            return self.verify_existing(key, hash_all(parts), None, recorded)
        with self.translated(key), self.files.temporary() as file:
            return self.placed(file, key, _written(file, parts), None, recorded)

    def placed(
        self,
        file: TemporaryFile,
        key: str,
        content: Content,
        deadline: Deadline | None,
        recorded: Recorded | None,
    ) -> Stored:
        """Give file, which holds content, its name; raise as Upload.attempt()."""
        if self.files.place(file, key, replace=False):
            return _stored(content, STORED)
        verify = partial(self.verify_existing, key, content, deadline, recorded)
        existing = met(verify, self.overwrites, recorded)
        if isinstance(existing, Stored):
            return existing
        self.files.place(file, key, replace=True)
        return _stored(content, existing)

    def verify_existing(
        self,
        key: str,
        content: Content,
        deadline: Deadline | None = None,
        recorded: Recorded | None = None,
    ) -> Stored:
        """Return the object that is already at key when it is content; raise Conflict when not.

        recorded is what the last row of key says. Raise TransientError when nothing is there after all.
        """
        size = self.head_size(key)
        if size is None:
            raise TransientError("server_error", "the folder reported that the file exists, but it does not")
        if size != content.size:
            etag = self.md5(key, deadline) if recorded is not None and self.overwrites else ""
            raise Conflict(f"the existing object has {size} bytes, the CDN's file has {content.size}", etag)
        theirs = self.md5(key, deadline)
        if theirs != content.md5.hex():
            raise Conflict(
                f"the existing object has different content of the same size (MD5 {theirs})", theirs
            )
        return _stored(content, how_met(recorded, theirs), already_there=True)

    # --- renewing

    def prepare_renewing(self) -> None:
        """Do nothing: a file is compared and then replaced by a rename, on every file system."""

    def renew(self, key: str, image: Image, recorded: Recorded) -> FileRenewal:
        return FileRenewal(self, key, image, recorded)

    def renew_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        recorded: Recorded,
        encoding: str = "",
    ) -> Stored:
        with self.translated(key), self.files.temporary() as file:
            content = _written(file, parts)
            return self.renewed(file, key, content, None, recorded)

    def renewed(
        self,
        file: TemporaryFile,
        key: str,
        content: Content,
        deadline: Deadline | None,
        recorded: Recorded,
    ) -> Stored:
        """Give file, which holds content, the name of the recorded one; raise as Destination.renew()."""
        how = how_over(recorded, recorded.etag)
        if self.head_size(key) is None:
            raise NotRenewed(LOST, "the recorded file is gone; it is not created again")
        theirs = self.md5(key, deadline)
        if theirs == content.md5.hex():
            return _stored(content, how, already_there=True)
        if theirs not in (recorded.md5, recorded.etag):
            raise NotRenewed(BOTH_ENDS, f"the file (MD5 {theirs}) is not the recorded one")
        self.files.place(file, key, replace=True)
        return _stored(content, how)

    def is_up(self) -> bool:
        try:
            with self.translated(self._probe_key), self.files.temporary() as file:
                file.write(memoryview(PROBE_BODY))
                file.sync()
        except (TransientError, PermanentError):
            return False
        return True

    # --- removing

    def delete(self, key: str, deadline: Deadline) -> bool:
        with self.translated(key):
            self.files.delete(key)
        return True

    def delete_same(self, wanted: Found, deadline: Deadline) -> bool:
        """Delete the file at wanted.key where it has the size and ETag of wanted; return whether it is deleted."""
        with self.translated(wanted.key), self.files.reading(wanted.key) as fd:
            if fd is None:
                return False
            before = os.fstat(fd)
            is_same = before.st_size == wanted.size and md5_of(fd, deadline) == (wanted.size, wanted.etag)
            return is_same and self.files.delete(wanted.key, before)

    def close(self) -> None:
        self.files.close()


class FileUpload:
    """Store one image as a file, attempt by attempt."""

    def __init__(self, folder: LocalFolder, key: str, image: Image, recorded: Recorded | None = None) -> None:
        self._folder = folder
        self._key = key
        self._image = image
        self._recorded = recorded

    def attempt(self, deadline: Deadline) -> Stored:
        folder, key, body = self._folder, self._key, self._image.body
        content = Content(len(body), self._image.digest())
        if not folder.overwrites and folder.head_size(key) is not None:
            return folder.verify_existing(key, content, deadline, self._recorded)
        with folder.translated(key), folder.files.temporary() as file:
            _write(file, body, deadline)
            return folder.placed(file, key, content, deadline, self._recorded)

    def give_up(self) -> None:
        """Do nothing: a failed attempt leaves nothing."""


class FileRenewal(FileUpload):
    """Put one image over the recorded file, attempt by attempt."""

    def __init__(self, folder: LocalFolder, key: str, image: Image, recorded: Recorded) -> None:
        super().__init__(folder, key, image)
        self._row = recorded

    def attempt(self, deadline: Deadline) -> Stored:
        folder, key, body = self._folder, self._key, self._image.body
        content = Content(len(body), self._image.digest())
        with folder.translated(key), folder.files.temporary() as file:
            _write(file, body, deadline)
            return folder.renewed(file, key, content, deadline, self._row)


def _write(file: TemporaryFile, body: memoryview, deadline: Deadline) -> None:
    for at in range(0, len(body), _BLOCK):
        deadline.remaining()
        file.write(body[at : at + _BLOCK])
    file.sync()


def _written(file: TemporaryFile, parts: Iterator[memoryview]) -> Content:
    """Write parts to file; return what they are together."""
    digest, size = md5(usedforsecurity=False), 0
    for part in parts:
        file.write(part)
        digest.update(part)
        size += len(part)
    file.sync()
    return Content(size, digest.digest())


def _stored(content: Content, how: str, already_there: bool = False) -> Stored:
    digest = content.md5.hex()
    return Stored(digest, content.size, digest, already_there, how, LOCAL)
