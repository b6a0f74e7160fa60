"""The files that FILES matches, and those of an S3 Inventory by its manifest; not those of the collection itself."""

from __future__ import annotations

import glob
import logging
import os
from pathlib import Path

from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable
from cdn2s3.collection.files.detection import is_inventory
from cdn2s3.collection.files.inventory import DataFile, files_of
from cdn2s3.collection.files.text_lines import decoded, encoding_of
from cdn2s3.errors import UsageError
from cdn2s3.file_names import COLLECTION_ENV, COLLECTION_LOG, MIGRATION_ENV, REJECTED_FILE
from cdn2s3.settings.collection_settings import CollectionSettings

log = logging.getLogger(__name__)


def parts_of(settings: CollectionSettings) -> list[DataFile]:
    """Return the files to read, in the byte order of their paths; raise UsageError when there is none."""
    found = glob.iglob(settings.files, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
    paths = [Path(os.fsdecode(path)) for path in sorted({os.fsencode(path) for path in found})]
    own = _own_files(settings)
    files = [path for path in paths if path.is_file()]
    kept = [path for path in files if os.path.realpath(path) not in own]
    if len(kept) < len(files):
        log.info("FILES=%s also matches files of the collection itself; they are not read", settings.files)
    parts: list[DataFile] = []
    for path in kept:
        parts += _parts_of(path, settings.file_format)
    inventory = {part.path for part in parts if part.columns or part.is_parquet}
    parts = list(
        {
            part.path: part for part in parts if part.columns or part.is_parquet or part.path not in inventory
        }.values()
    )
    if not parts:
        raise UsageError(
            f"FILES={settings.files} matches no file. The pattern is relative to the current folder; `**` matches "
            "any number of folders."
        )
    return parts


def _own_files(settings: CollectionSettings) -> set[str]:
    output = settings.output_file
    own = [
        output,
        output.with_name(REJECTED_FILE),
        output.with_name(f"{output.name}.lock"),
        settings.checkpoint_file,
    ]
    own += map(Path, (COLLECTION_LOG, COLLECTION_ENV, MIGRATION_ENV))
    return {os.path.realpath(path) for path in own}


def _parts_of(path: Path, file_format: str) -> list[DataFile]:
    """Return the file at path, or those that it lists if it is the manifest of an inventory."""
    if file_format in ("auto", "s3-inventory") and path.suffix == ".json":
        try:
            with ByteStream(path) as stream:
                head = stream.head()
        except Unreadable:
            return [DataFile(path, (), False)]  # its reader says what is wrong
        if is_inventory(decoded(head, encoding_of(head)[0])) or (
            len(head) == stream.size and file_format != "auto"
        ):
            return files_of(path)
    return [DataFile(path, (), False)]
