"""The rows of a Parquet file, by pyarrow, which is installed where it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.errors import UsageError

_ROWS = 1000  # decoded at a time


class ParquetRecords:
    """The rows of a Parquet file, each read as an object of its columns."""

    def __init__(self, job: Job, urls_of: Callable[[Any, int], list[Any]]) -> None:
        """urls_of returns the URLs of a row and its number. Raise UsageError when pyarrow is missing."""
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise UsageError(
                f"{job.stream.name} is a Parquet file: install pyarrow (python -m pip install pyarrow), "
                "or export it as CSV"
            ) from error
        self._job = job
        self._urls_of = urls_of
        try:
            self._file: Any = parquet.ParquetFile(str(job.stream.path))
        except (OSError, ValueError) as error:
            raise Unreadable(f"it is not a complete Parquet file ({error})") from error

    def __iter__(self) -> Iterator[Record]:
        number = 0
        start = self._job.start.records
        groups: list[int] = []  # that are not done
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if not groups and number + rows <= start:
                number += rows
            else:
                groups.append(group)
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, row_groups=groups):
                for row in batch.to_pylist():
                    number += 1
                    if number > start:
                        yield Record(self._urls_of(row, number))
        except (OSError, ValueError) as error:
            raise Unreadable(f"record {number + 1:,} cannot be read ({error})") from error
