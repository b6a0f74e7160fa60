"""S3 Inventory: the files that its manifest.json lists, whose keys are the URLs under URL_PREFIX."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple
from urllib.parse import quote, unquote_plus

from cdn2s3.collection.files.delimited import Form
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.collection.files.text_lines import Lines
from cdn2s3.errors import UsageError
from cdn2s3.url_prefixes import parse

_AWS_ORDER = ("Bucket", "Key")  # of the columns, where no manifest says
_SAFE = "/!$&'()*+,:;=@~"  # besides letters, digits and _.-: as it stands in a path


class DataFile(NamedTuple):
    """One file of an inventory."""

    path: Path
    columns: tuple[str, ...]
    is_parquet: bool


def files_of(manifest: Path) -> list[DataFile]:
    """Return the files that a manifest lists, which lie beside it; raise UsageError for what is missing."""
    found = json.loads(manifest.read_bytes())
    kind = str(found.get("fileFormat", "CSV")).upper()
    if kind not in ("CSV", "PARQUET"):
        raise UsageError(
            f"{manifest} lists files in the format {kind}: choose CSV or Parquet for the inventory"
        )
    columns = tuple(name.strip() for name in str(found["fileSchema"]).split(",")) if kind == "CSV" else ()
    files = []
    for entry in found["files"]:
        key = str(entry["key"])
        path = _local(manifest, key)
        if path is None:
            raise UsageError(
                f"{manifest} lists {key}, which is not on this machine. Copy it beside the manifest: "
                f"aws s3 cp s3://{_bucket(found)}/{key} {manifest.parent}/"
            )
        files.append(DataFile(path, columns, kind == "PARQUET"))
    return files


def _bucket(manifest: Any) -> str:
    return str(manifest.get("destinationBucket", "BUCKET")).rpartition(":")[2]


def _local(manifest: Path, key: str) -> Path | None:
    """Return where a file of the inventory is: beside the manifest, or where a copy of the bucket has it."""
    name = key.rpartition("/")[2]
    places = [manifest.parent / name, manifest.parent / "data" / name, manifest.parent.parent / "data" / name]
    places += [folder / key for folder in manifest.parents]
    return next((path for path in places if path.is_file()), None)


def url_of(key: str, url_prefix: str) -> str:
    """Return the URL of a key under the first URL_PREFIX."""
    return parse(url_prefix)[0].url + quote(key, safe=_SAFE)


class InventoryRecords:
    """The objects of one CSV file of an inventory: those that exist in their latest version."""

    def __init__(self, job: Job, columns: tuple[str, ...], to_url: Callable[[str], str]) -> None:
        self._job = job
        self._columns = columns or _AWS_ORDER
        self._to_url = to_url

    def __iter__(self) -> Iterator[Record]:
        job = self._job
        lines = Lines(job.stream, job.encoding, job.head)
        if job.start.offset:
            job.stream.skip_to(job.start.offset)
        for row in Form(",").reader(iter(lines)):
            lines.recent.clear()
            yield Record(urls_of(dict(zip(self._columns, row)), self._to_url, is_encoded=True), lines.offset)


def urls_of(row: Mapping[str, Any], to_url: Callable[[str], str], is_encoded: bool) -> list[Any]:
    """Return the URL of the object in a row; none for a folder, an old version and what was deleted."""
    named = {name.replace("_", "").lower(): value for name, value in row.items()}
    key = str(named.get("key") or "")
    is_gone = (
        str(named.get("islatest")).lower() == "false" or str(named.get("isdeletemarker")).lower() == "true"
    )
    if is_gone or not key or key.endswith("/"):
        return []
    return [to_url(unquote_plus(key) if is_encoded else key)]
