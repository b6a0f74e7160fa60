"""Hand URLs to workers, and settle which failures were a URL's own and which its side's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cdn2s3.records import Task
from cdn2s3.resilience.circuit_breaker import Side
from cdn2s3.transfer.pipeline import Doubt, Result


class Done(NamedTuple):
    """A task and what became of it."""

    task: Task
    result: Result


class Feed:
    """Hand out tasks one by one to any number of threads: what was put in first, then the list.

    An open feed waits for more to be put in until it is closed; a closed one ends with its list.
    """

    def __init__(self, tasks: Iterable[Task] = (), is_open: bool = False) -> None:
        self._tasks = iter(tasks)
        self._put: deque[Task] = deque()
        self._is_open = is_open
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._changed:
            while True:
                if self._put:
                    return self._put.popleft()
                if not self._is_open:
                    return next(self._tasks)
                self._changed.wait()

    def put(self, *tasks: Task) -> None:
        """Hand tasks out before all others."""
        with self._changed:
            self._put.extend(tasks)
            self._changed.notify(len(tasks))

    def close(self) -> None:
        """Let the feed end when it has nothing more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    @property
    def has_more(self) -> bool:
        """Tell whether something has been put in that nobody has taken yet."""
        return bool(self._put)


class Doubts:
    """Hold failures that may be their side's fault until the side has shown whether it works.

    At most as many are held as a side needs failures in a row to be called down, and one for each worker.
    """

    def __init__(self, sides: Mapping[str, Side]) -> None:
        self._sides = sides
        self._held: list[tuple[Done, Doubt]] = []

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, done: Done) -> bool:
        """Take done into custody; return False when its failure is certain (or it did not fail)."""
        doubt = done.result.doubt
        if doubt is None or (done.task.second_chance and doubt.health.down_for is None):
            return False
        self._held.append((done, doubt))
        return True

    def settle(self) -> tuple[list[Done], list[Task]]:
        """Return the failures that are certain now, and the tasks that are to be done again."""
        certain, again, held = [], [], []
        for done, doubt in self._held:
            now = self._sides[doubt.side].health()
            if now.down_for is not None:
                held.append((done, doubt))
            elif now.times_down != doubt.health.times_down or doubt.health.down_for is not None:
                # It went down meanwhile. Was it really? Then the URL is as good as untried.
                was_outage = now.outages != doubt.health.outages
                again.append(done.task._replace(second_chance=not was_outage))
            elif now.newest_success <= doubt.health.entered:
                held.append((done, doubt))
            elif doubt.is_of_all and not done.task.cause:
                # A burst that all met. (In the second pass nearly all URLs fail: it tells nothing there.)
                again.append(done.task._replace(second_chance=True))
            else:
                certain.append(done)
        self._held = held
        return certain, again

    def sides_in_doubt(self) -> list[Side]:
        """Return the sides that have not shown since the failures held whether they work."""
        names = {doubt.side for _, doubt in self._held}
        return [
            side for side in self._sides.values() if side.name in names and side.health().down_for is None
        ]

    def give_up(self) -> tuple[list[Done], list[Task]]:
        """Return what settle() does, and of what it would still hold: nobody is at work any more.

        Where the side is down the task is to be done again, which waits for the side; otherwise the failure
        is certain. So ask sides_in_doubt() before.
        """
        certain, again = self.settle()
        for done, doubt in self._held:
            now = self._sides[doubt.side].health()
            if now.down_for is None:
                certain.append(done)
            else:
                was_outage = now.outages != doubt.health.outages
                again.append(done.task._replace(second_chance=not was_outage))
        self._held = []
        return certain, again
