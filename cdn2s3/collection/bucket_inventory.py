"""An S3 Inventory in a bucket as a source of URLs: SOURCE=s3 with a SOURCE_BUCKET that ends in manifest.json.

The manifest and the files that it lists are copied beside OUTPUT_FILE, and then read as SOURCE=files reads them. A
file that is there already, in the size that the manifest says, is not copied again.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import logging
import time
from pathlib import Path
from typing import Any

import requests

from cdn2s3.atomic_file import replacing
from cdn2s3.collection.bucket_listing import as_bucket
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.file_names import INVENTORY_FOLDER
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import adapter_of
from cdn2s3.resilience.retry import RetryPolicy, with_retries
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import bytes_text

log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_SLOWEST = 100_000.0  # bytes per second that a copy may take at least
_PIECE = 1 << 20  # bytes read at a time


def is_inventory(source_bucket: str) -> bool:
    """Return whether SOURCE_BUCKET names the manifest of an inventory."""
    return source_bucket.endswith("/" + _MANIFEST)


def inventory_of(settings: CollectionSettings, session: requests.Session) -> CollectionSettings:
    """Copy the inventory that SOURCE_BUCKET names; return the settings that read the copy.

    session is one by api_session. Raise FatalError when a file of it cannot be copied.
    """
    bucket, _, key = settings.source_bucket.partition("/")
    copier = _Copier(settings, bucket, session)
    folder = settings.output_file.parent / INVENTORY_FOLDER
    manifest = folder / _MANIFEST
    copier.copy(key, manifest, 0)
    for entry in _files_in(manifest, settings.source_bucket):
        name = str(entry.get("key", ""))
        size = entry.get("size")
        local = folder / name.rpartition("/")[2]
        if not (local.is_file() and local.stat().st_size == size):
            copier.copy(name, local, size if isinstance(size, int) else 0)
    return dataclasses.replace(settings, files=glob.escape(str(manifest)), file_format="s3-inventory")


def _files_in(manifest: Path, where: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(manifest.read_bytes())
    except ValueError as error:
        raise FatalError(f"SOURCE_BUCKET={where} isn't an S3 Inventory manifest: it is not JSON") from error
    if not isinstance(found, dict) or "fileSchema" not in found or not isinstance(found.get("files"), list):
        raise FatalError(f"SOURCE_BUCKET={where} isn't an S3 Inventory manifest: it lists no files")
    return [entry for entry in found["files"] if isinstance(entry, dict)]


class _Copier:
    """Copies objects of one bucket into files."""

    def __init__(self, settings: CollectionSettings, bucket: str, session: requests.Session) -> None:
        """Raise FatalError without credentials."""
        self._client = S3Client(as_bucket(settings, bucket), adapter_of(session))
        self._bucket = bucket
        self._policy = RetryPolicy(settings.max_retries)
        self._timeout = settings.api_timeout

    def copy(self, key: str, path: Path, size: int) -> None:
        """Copy an object to path; size is what it has, 0 if that is not known. Raise FatalError."""
        log.info("copying s3://%s/%s (%s)", self._bucket, key, bytes_text(size) if size else "the manifest")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with_retries(lambda: self._attempt(key, path, size), self._policy, time.sleep)
        except TransientError as error:
            raise FatalError(
                f"s3://{self._bucket}/{key} cannot be copied: {error.message}. Run the same command again."
            ) from error

    def _attempt(self, key: str, path: Path, size: int) -> None:
        deadline = Deadline(self._timeout + size / _SLOWEST)
        with self._client.open("GET", key, deadline) as answer, replacing(path) as file:
            if answer.status != 200:
                raise self._refused(key, answer.status)
            buffer = memoryview(bytearray(_PIECE))
            written = 0
            while count := answer.read_into(buffer):
                file.write(buffer[:count])
                written += count
            if size and written != size:
                raise TransientError(
                    "truncated", f"{written:,} bytes received, but the manifest says {size:,}"
                )

    def _refused(self, key: str, status: int) -> FatalError | TransientError:
        if status in (429, 503) or status >= 500:
            return TransientError("server_error", f"the bucket answered {status}")
        remedy = "It needs s3:GetObject on it." if status == 403 else "Correct SOURCE_BUCKET."
        return FatalError(
            f"s3://{self._bucket}/{key} cannot be copied: the bucket answered {status}. {remedy}"
        )
