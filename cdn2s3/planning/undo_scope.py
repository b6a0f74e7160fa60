"""The scope of an undo: the objects that a file names, and in a delta's changes.txt which of its lines count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cdn2s3.errors import UsageError
from cdn2s3.file_names import FAILED_VARIANTS_FILE, VARIANTS_FILE, WITHOUT_VARIANTS_FILE
from cdn2s3.keys import KeyMaker
from cdn2s3.records import RENEWED, REPLACED, UNKNOWN
from cdn2s3.state.files import cannot_read
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.lines import input_line

# changes.txt: url, key, what, old md5, new md5, the source's Last-Modified, at; and maybe key=NAME.
_WHAT, _NEW_MD5, _CHANGES_FIELDS = 2, 4, 7
_UNDONE_WHATS = frozenset({RENEWED.encode(), REPLACED.encode()})
_WHATS = _UNDONE_WHATS | {b"changed, not ours", b"changed at both ends", b"gone", b"lost"}
_FAILED = b"failed:"
# variants.txt: url, key, size, variant key, bytes, etag, width x height, and more.
_PIXELS, _VARIANTS_FIELDS = 6, 9  # which one, and how many there are at least
# Files of that name, or of one that begins like it (.bak).
_OF_VARIANTS = (VARIANTS_FILE, FAILED_VARIANTS_FILE, WITHOUT_VARIANTS_FILE)


class Scope:
    """Which objects an undo is about; for one thread."""

    def __init__(self, keys: KeyMaker, lines: Iterable[bytes] | None) -> None:
        """lines are those of the file that was named; None: it is about all objects.

        Raise UsageError where some lines are those of a changes.txt, and others are not.
        """
        self.is_of_changes = False
        self._objects = None if lines is None else Fingerprints()
        self._contents = Fingerprints()  # of changes.txt: each object with the MD5 that the delta stored
        has_begun = False
        for raw in lines or ():
            if not input_line(raw).strip():
                continue
            is_change = _is_change(raw.split(b"\t"))
            if has_begun and is_change != self.is_of_changes:
                raise UsageError(
                    "some lines of the file after --undo are those of a changes.txt, and others are not. These go "
                    "back, those go away: make two files of it."
                )
            has_begun, self.is_of_changes = True, is_change
            self._add(keys, raw)

    def _add(self, keys: KeyMaker, raw: bytes) -> None:
        line = input_line(raw)
        if self._objects is None:
            return
        if self.is_of_changes:
            fields = raw.split(b"\t")
            if fields[_WHAT] not in _UNDONE_WHATS:
                return
            self._contents.add(keys.object_id(line) + b"\t" + fields[_NEW_MD5])
        self._objects.add(keys.object_id(line))

    def __len__(self) -> int:
        """Return how many objects the file names; 0 without a file."""
        return 0 if self._objects is None else len(self._objects)

    def has(self, object_id: bytes) -> bool:
        """Return whether the undo is about an object (KeyMaker.object_id)."""
        return self._objects is None or object_id in self._objects

    def has_content(self, object_id: bytes, md5: str) -> bool:
        """Return whether the content of that MD5 is what the undo is about: of changes.txt, what the delta stored."""
        if not self.is_of_changes or md5 == UNKNOWN:
            return True
        return any(object_id + b"\t" + known in self._contents for known in (md5.encode(), UNKNOWN.encode()))


def _is_change(fields: list[bytes]) -> bool:
    what = fields[_WHAT] if len(fields) >= _CHANGES_FIELDS else b""
    return what in _WHATS or what.startswith(_FAILED)


def lines_in(path: Path) -> Iterator[bytes]:
    """Yield the lines of the file that the user named with --undo, to be read once.

    A last line of changes that has no newline, and is none, is left out: a delta was killed while it wrote it.

    Raise UsageError when it cannot be read, or is of variants: that names originals, not what was made of them.
    """
    before = b""
    try:
        with path.open("rb") as file:
            for line in file:
                if _is_variant(line) or path.name.startswith(_OF_VARIANTS):
                    raise UsageError(
                        f"{path} is a list of variants, and --undo would remove their originals. Variants are undone "
                        "by `variants.py --undo` alone."
                    )
                if (
                    not line.endswith(b"\n")
                    and _is_change(before.split(b"\t"))
                    and not _is_change(line.split(b"\t"))
                ):
                    return
                yield line.rstrip(b"\r\n")
                before = line
    except OSError as error:
        raise cannot_read(path, error, "--undo") from error


def _is_variant(line: bytes) -> bool:
    fields = line.split(b"\t")
    return len(fields) >= _VARIANTS_FIELDS and bool(re.fullmatch(rb"\d+x\d+", fields[_PIXELS]))
