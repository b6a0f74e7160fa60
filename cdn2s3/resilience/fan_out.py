"""Fan-out: apply a function to many items in a few threads, with a bounded number in flight."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Callable, TypeVar

LOOK_EVERY = 0.1  # seconds between two calls of on_wait while nothing is done

Item = TypeVar("Item")
Returned = TypeVar("Returned")


@contextmanager
def fan_out(
    work: Callable[[Item], Returned],
    items: Iterable[Item],
    workers: int,
    stop: threading.Event,
    on_wait: Callable[[], object] | None = None,
    in_order: bool = False,
) -> Iterator[Iterator[Returned]]:
    """Yield the result of work for each of items, in the order of completion, from so many threads.

    in_order: in the order of items. items are taken in the calling thread, twice as many as there are workers at
    most before a result is; on_wait is called in it too, every LOOK_EVERY seconds at least. What work raises is
    raised where its result would come.
    A block that is left before the last result sets stop: what is under way ends early, and is waited for; its
    results are dropped.
    """
    under_way: dict[Future[Returned], None] = {}  # in the order of items
    with ThreadPoolExecutor(workers, thread_name_prefix="fan-out") as pool:

        def results() -> Iterator[Returned]:
            left = iter(items)
            while True:
                for item in islice(left, 2 * workers - len(under_way)):
                    under_way[pool.submit(work, item)] = None
                if not under_way:
                    return
                awaited = [next(iter(under_way))] if in_order else under_way
                done, _ = wait(awaited, LOOK_EVERY if on_wait else None, FIRST_COMPLETED)
                if on_wait:
                    on_wait()
                for future in done:
                    del under_way[future]
                    yield future.result()

        try:
            yield results()
        finally:
            if under_way:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
