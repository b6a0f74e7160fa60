"""How a run is divided among its processes: how many there are, and which workers and cores each has."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_LEAST_WORKERS = 16  # of a process that PROCESSES=auto starts; fewer do not fill a core


class Process(NamedTuple):
    """Which of the run's processes this is; the only one by default."""

    number: int = 0  # from 0
    of: int = 1  # how many there are, no more than workers

    def workers(self, concurrency: int) -> int:
        """Return how many workers this process has, so that all have concurrency; the first have the most."""
        return concurrency // self.of + (self.number < concurrency % self.of)

    def cores(self, usable: list[int]) -> set[int]:
        """Return this process's share of the cores usable: all of them where they cannot be divided evenly.

        Every of-th one: on an EC2 instance the two halves of a hyperthreaded core are numbered half of all
        apart, and one process gets both where that divides evenly too.
        """
        return set(usable if len(usable) % self.of else usable[self.number :: self.of])

    def keep_to_its_cores(self) -> None:
        """Let the threads that are started from now on run on this process's cores alone, where Linux allows.

        Python's threads take turns with one lock. On one core a thread that lets go of it for a moment has it
        again before another could wake; on several the lock and the threads wander between them. Measured with
        two processes on two cores, the servers there too, medians of 3: 14 to 22 % more files a second.
        """
        if self.of == 1 or not hasattr(os, "sched_setaffinity"):
            return
        try:
            os.sched_setaffinity(0, self.cores(usable_cores()))
        except OSError as error:  # a container's rules: it costs speed only
            log.debug("the system leaves this process on all cores: %s", error)


ALONE = Process()


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))  # macOS


def process_count(settings: MigrationSettings) -> int:
    """Return how many processes PROCESSES asks for; auto is one a core, with 16 workers each at least."""
    if settings.processes == "auto":
        return max(1, min(len(usable_cores()), settings.concurrency // _LEAST_WORKERS))
    return min(int(settings.processes), settings.concurrency)
