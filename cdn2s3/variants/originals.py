"""The originals that variants are due of: the objects in completed.txt that are not undone, with what they lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.records import S3, UNKNOWN
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.state import ledger
from cdn2s3.state.key_index import Numbered
from cdn2s3.state.ledger import Completed, encode_line
from cdn2s3.state.lines import whole_lines
from cdn2s3.state.undone import UndoneRows
from cdn2s3.variants.record import FailedVariants, Variant, Variants

_SOMETHING, _NOTHING = 1, 2  # 0: the line is of no original, or a later one counts


class Due(NamedTuple):
    """An original, and what is to be made of it."""

    original: Completed
    sizes: tuple[VariantSize, ...]
    before: dict[str, Variant]  # by size: what is recorded of another version of it


class Originals:
    """The originals in completed.txt; for one thread."""

    def __init__(
        self,
        completed: Path,
        older_place: str,
        variants: Variants,
        failed: FailedVariants,
        sizes: tuple[VariantSize, ...],
    ) -> None:
        """Read completed.txt; settle in failed what is done; raise FatalError when it cannot be read.

        older_place is where the objects of rows are that do not say it (run_binding.first_place).
        """
        self._path = completed
        self._variants = variants
        self._sizes = sizes
        self._older_place = older_place
        self._undone = UndoneRows(completed.parent) or None
        self.elsewhere = 0  # rows of objects that are not in the bucket
        last = Numbered()
        lines = 0
        for number, line in enumerate(whole_lines(completed)):
            lines = number + 1
            row = self._row(line)
            if row is None:
                continue
            if not self._is_in_the_bucket(row):
                self.elsewhere += 1
                continue
            last[_key(row)] = number
        self._due = bytearray(
            lines
        )  # of each line, what is to be made of its object: _SOMETHING, or _NOTHING
        self.total = len(last)
        for number, row in self._numbered():
            if last.get(_key(row)) != number:
                continue
            if self._lacking(row):
                self._due[number] = _SOMETHING
            else:
                self._due[number] = _NOTHING
                failed.settle(row.key)
        self.due = self._due.count(_SOMETHING)

    def text(self) -> str:
        """Return in a sentence what is due."""
        names = ", ".join(map(str, self._sizes))
        return f"{self.total:,} originals, of which {self.due:,} lack a variant ({names})"

    def _numbered(self) -> Iterator[tuple[int, Completed]]:
        for number, line in enumerate(whole_lines(self._path)):
            row = self._row(line) if number < len(self._due) else None
            if row is not None and self._is_in_the_bucket(row):
                yield number, row

    def _row(self, line: bytes) -> Completed | None:
        """Return the row in a line of completed.txt, None where there is none, or it is undone."""
        row = ledger.completed(line)
        if row is not None and self._undone is not None and self._undone.has(list(map(encode_line, row))):
            return None
        return row

    def _is_in_the_bucket(self, row: Completed) -> bool:
        return (self._older_place if row.place == UNKNOWN else row.place) == S3

    def _lacking(self, row: Completed) -> tuple[VariantSize, ...]:
        """Return the sizes that are not recorded of the object of row as it is now."""
        return tuple(
            size
            for size in self._sizes
            if (made := self._variants.get(row.key, size.name)) is None
            or not made.shows(size, row.md5, row.finished_at)
        )

    def rows(self) -> Iterator[Completed]:
        """Yield the row of each original, in the order of completed.txt."""
        return (row for number, row in self._numbered() if self._due[number])

    def __iter__(self) -> Iterator[Due]:
        """Yield what is due, in the order of completed.txt."""
        for number, row in self._numbered():
            if self._due[number] != _SOMETHING:
                continue
            sizes = self._lacking(row)
            known = {size.name: self._variants.get(row.key, size.name) for size in sizes}
            yield Due(row, sizes, {name: made for name, made in known.items() if made is not None})


def _key(row: Completed) -> bytes:
    return row.key.encode("utf-8", "surrogateescape")
