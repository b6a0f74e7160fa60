"""A disk that is really full when a test wants it: a small tmpfs of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KB = 1024
SIZE = 8192 * KB  # a report with its pictures has to fit, twice


class NotPermitted(Exception):
    """Mounting is not permitted here."""


class Disk:
    """A small file system, with a ballast that leaves as much room as is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def leave(self, room: int) -> None:
        """Let the disk have this room, in bytes, and no more."""
        self.make_room()
        found = os.statvfs(self.folder)
        free = found.f_bfree * found.f_frsize
        assert free >= room
        self._ballast.write_bytes(bytes(free - room))

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


# Mounts a small file system until its standard input ends: with the test, however that ends. One that a killed test run
# left mounted would stop the next run from cleaning up.
MOUNTED_MEANWHILE = 'mount -t tmpfs -o size="$1" tmpfs "$2" || exit 1; echo mounted; cat; umount -l "$2"'


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Mount a small file system at folder; raise NotPermitted where that is not permitted."""
    with subprocess.Popen(
        ["sh", "-c", MOUNTED_MEANWHILE, "sh", str(SIZE), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to the test run does not reach it
    ) as keeper:
        assert keeper.stdout is not None
        if keeper.stdout.readline() != "mounted\n":
            _, why = keeper.communicate()
            raise NotPermitted(why.strip())
        try:
            yield Disk(folder)
        finally:
            _, why = keeper.communicate()
    assert keeper.returncode == 0, why
