"""Tasks of endpoints that are not available now, put aside while the workers go on with those of others.

A lot keeps some thousand tasks in memory and the rest in an unnamed temporary file: a host that is down may have a
million URLs in the list.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Sequence
from typing import IO

from cdn2s3.errors import RESUME, FatalError
from cdn2s3.records import Recorded, Task
from cdn2s3.resilience.endpoint import Endpoint

_IN_MEMORY = 10_000  # tasks
_AT_A_TIME = 1_000  # tasks read back


class ParkingLot:
    """The parked tasks of one endpoint, first in, first out; its owner holds a lock."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._file: IO[str] | None = None  # further ones
        self._read_to = 0  # in the file
        self._in_file = 0

    def __len__(self) -> int:
        return len(self._tasks) + self._in_file

    def put(self, task: Task) -> None:
        """Park task; raise FatalError when the disk does not take it."""
        if not self._in_file and len(self._tasks) < _IN_MEMORY:
            self._tasks.append(task)
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  # closed when it is read
            self._file.seek(0, 2)
            self._file.write(json.dumps(task) + "\n")
        except OSError as error:
            raise _cannot_use(error) from error
        self._in_file += 1

    def take(self) -> Task:
        """Return the task that was parked first; there is one."""
        if not self._tasks:
            self._read_back()
        return self._tasks.popleft()

    def _read_back(self) -> None:
        assert self._file is not None
        try:
            self._file.seek(self._read_to)
            for _ in range(min(_AT_A_TIME, self._in_file)):
                self._tasks.append(_task(self._file.readline()))
            self._in_file -= len(self._tasks)
            self._read_to = self._file.tell() if self._in_file else 0
            if not self._in_file:
                self._file.close()
                self._file = None
        except OSError as error:
            raise _cannot_use(error) from error


def _task(text: str) -> Task:
    """Return the task that was written as text."""
    task = Task(*json.loads(text))
    return task if task.recorded is None else task._replace(recorded=Recorded(*task.recorded))


def _cannot_use(error: OSError) -> FatalError:
    return FatalError(
        f"a temporary file in {tempfile.gettempdir()} for URLs of a host that is down cannot be used: "
        f"{error.strerror or error}. Make room, then {RESUME}."
    )


class Parking:
    """A lot for each endpoint that parks, since a run has several of its kind; its owner holds a lock."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._lots = [ParkingLot() for _ in endpoints]

    def __len__(self) -> int:
        return sum(map(len, self._lots))

    def put(self, task: Task, endpoint: int) -> None:
        """Park task, which waits for the endpoint with that number."""
        self._lots[endpoint].put(task)

    def take(self) -> Task | None:
        """Return a task whose endpoint is available, or due to be probed; None if there is none."""
        for lot, endpoint in zip(self._lots, self._endpoints):
            if lot and endpoint.is_available():
                return lot.take()
        return None

    def check_outage_limit(self) -> None:
        """Raise FatalError when all endpoints with parked tasks are down for OUTAGE_LIMIT: nothing else is left."""
        waiting = [endpoint for lot, endpoint in zip(self._lots, self._endpoints) if lot]
        if waiting and all(endpoint.is_over_outage_limit() for endpoint in waiting):
            waiting[0].check_outage_limit()
