"""Lot files as a source of URLs: JSON of any shape, with image and thumbnail URLs at any depth.

Files are read in the byte order of their paths, one in memory at a time.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.collection.base import Batch
from cdn2s3.collection.checkpoint import start_over
from cdn2s3.collection.url_building import is_no_image
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings

log = logging.getLogger(__name__)


class LotPosition(NamedTuple):
    """Which lot file to read next."""

    files: int  # consumed before it
    list_hash: str  # of the whole list of paths

    def __str__(self) -> str:
        return f"lot file {self.files + 1}"


class LotFiles:
    """The lot files that a glob finds."""

    def __init__(self, settings: CollectionSettings) -> None:
        """List the files; raise UsageError when there is none."""
        self._keys = frozenset(settings.lot_url_keys)
        self._glob = settings.lot_files
        found = glob.iglob(self._glob, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
        self._paths = sorted({os.fsencode(path) for path in found if not Path(path).is_dir()})
        if not self._paths:
            raise UsageError(
                f"LOT_FILES={self._glob} matches no file. The pattern is relative to the current folder; `**` matches "
                "any number of folders."
            )
        self._hash = hashlib.sha256(b"\0".join(self._paths)).hexdigest()

    def __len__(self) -> int:
        return len(self._paths)

    def first(self) -> LotPosition:
        return LotPosition(0, self._hash)

    def resume(self, stored: Mapping[str, Any]) -> LotPosition:
        """Return the Position in a checkpoint.

        Raise ValueError if it has none, UsageError if the files have changed since then.
        """
        files, list_hash = stored.get("files"), stored.get("list_hash")
        if type(files) is not int or not isinstance(list_hash, str):
            raise ValueError("its position is not for SOURCE=lots")
        if list_hash != self._hash:
            raise UsageError(
                f"the list of files that LOT_FILES={self._glob} matches has changed since the checkpoint "
                f"({len(self)} files now). Restore it, or {start_over()}."
            )
        if not 0 <= files < len(self):
            raise ValueError("its position is past the last lot file")
        return LotPosition(files, list_hash)

    def read(self, position: LotPosition) -> Batch:
        """Return the URLs of the lot file at position; log a file that cannot be read."""
        path = Path(os.fsdecode(self._paths[position.files]))
        after = position._replace(files=position.files + 1)
        following = after if after.files < len(self) else None
        try:
            found = values_of(self._keys, json.loads(path.read_bytes()))
            urls = [None if is_no_image(value) else value for value in found]
        except OSError as error:
            return self._unreadable(path, error.strerror or type(error).__name__, following)
        except (ValueError, RecursionError):
            return self._unreadable(path, "it is not complete JSON in UTF-8", following)
        return Batch(urls, following, items=len(urls), without_url=urls.count(None))

    def check_circle(self, position: LotPosition, stale: int) -> None:
        """Do nothing: each file is read once."""

    def _unreadable(self, path: Path, why: str, following: LotPosition | None) -> Batch:
        log.error("the lot file %s cannot be read: %s. It is skipped", path, why)
        return Batch([], following, unreadable=1)


def values_of(keys: frozenset[str], found: object) -> Iterator[Any]:
    """Yield the value of each of keys at any depth of parsed JSON, in its order.

    A list under such a key yields its elements.
    """
    waiting: list[tuple[bool, Any]] = [(False, found)]  # whether it is under one of keys, and the value
    while waiting:
        is_wanted, value = waiting.pop()
        if isinstance(value, list):
            waiting.extend((is_wanted, element) for element in reversed(value))
        elif isinstance(value, dict):
            waiting.extend((key in keys, inside) for key, inside in reversed(list(value.items())))
        elif is_wanted:
            yield value
