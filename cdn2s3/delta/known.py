"""What earlier deltas and updates of the list have named already: it is counted, and open no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cdn2s3.file_names import GONE_FILE
from cdn2s3.keys import KeyMaker
from cdn2s3.state import changes
from cdn2s3.state.changes import GONE, NOT_OURS, Change
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import encode_line
from cdn2s3.state.lines import input_lines


class KnownChanges:
    """The changes that the last delta has named, and what gone.txt beside the list names; for one thread."""

    def __init__(self, state_dir: Path, urls: Path, keys: KeyMaker) -> None:
        self._keys = keys
        self._state_dir = state_dir
        self._gone = Fingerprints()
        self._named = Fingerprints()  # object, what, MD5
        for change in changes.read(state_dir):
            if change.what == GONE:
                self._gone.add(self._id(change.line))
            elif change.what == NOT_OURS:
                self._named.add(self._with(change.line, change.what, change.new_md5))
        listed = urls.with_name(GONE_FILE)
        if listed.exists():
            for line in input_lines(listed):
                if line:
                    self._gone.add(keys.object_id(line))

    def is_gone(self, line: str) -> bool:
        return self._id(line) in self._gone

    def is_named(self, line: str, what: str, md5: str) -> bool:
        return self._with(line, what, md5) in self._named

    def beyond(self, chosen: Fingerprints) -> Iterator[Change]:
        """Yield what the last delta has named of objects that are none of chosen, and that stays known."""
        for change in changes.read(self._state_dir):
            if change.what in (GONE, NOT_OURS) and self._id(change.line) not in chosen:
                yield change

    def _id(self, line: str) -> bytes:
        return self._keys.object_id(encode_line(line))

    def _with(self, line: str, what: str, md5: str) -> bytes:
        return b"\t".join((self._id(line), what.encode(), md5.encode()))
