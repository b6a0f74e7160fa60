"""Undoing in a folder: a file goes where its bytes are the recorded ones; there are no versions to go back to."""

from __future__ import annotations

import logging

from cdn2s3.destinations.base import Found, Note
from cdn2s3.destinations.local_folder import LocalFolder
from cdn2s3.destinations.removal import Fate, Removal
from cdn2s3.http.deadline import Deadline

NOT_ATOMIC = (
    "a file is read, compared, then removed, which is not atomic: let nothing else write under "
    "LOCAL_ROOT meanwhile"
)


class LocalRemover:
    """Remove single files; a Remover."""

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder

    def prepare(self) -> list[Note]:
        return [Note(logging.INFO, NOT_ATOMIC)]

    def remove(self, ours: Found, deadline: Deadline, covers_ours: bool = False) -> Removal:
        folder = self._folder
        if folder.head_size(ours.key) is None:
            return Removal(Fate.ABSENT)
        if folder.delete_same(ours, deadline):
            return Removal(Fate.REMOVED)
        return Removal(Fate.CHANGED if folder.head_size(ours.key) is not None else Fate.ABSENT)

    def go_back(self, ours: Found, written_at: int, deadline: Deadline, is_again: bool) -> Removal:
        return Removal(Fate.NOTHING_BELOW)

    def is_up(self) -> bool:
        return self._folder.is_up()
