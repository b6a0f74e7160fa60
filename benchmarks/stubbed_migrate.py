"""migrate.py with processes that answer at once: `python -m benchmarks.stubbed_migrate`.

Everything that the parent does is as in production: it reads the list, hands out the URLs, counts and shows what is
done, and adds it all up at the end. Its processes move nothing: each records what it is handed, and reports it. The
last line printed is the parent's own CPU, in seconds, without that of its processes.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing
from typing import Any

import migrate
from benchmarks.photographs import KB
from cdn2s3.executors.base import InFlight
from cdn2s3.executors.worker_process import WorkerChannel
from cdn2s3.keys import KeyMaker
from cdn2s3.records import ANSWERED, LOCAL, Stored, Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.ledger import Ledger
from cdn2s3.transfer.outcome import Done, Result, SourceVersion

_STORED = Stored("0" * 32, 390 * KB, "0" * 32, False, place=LOCAL, md5_from=ANSWERED)
_SOURCE = SourceVersion('"' + "1" * 32 + '"', "Thu, 26 Nov 2026 10:15:00 GMT")


def answer_at_once(
    channel: WorkerChannel, stop: threading.Event, settings: MigrationSettings, *unused: Any
) -> None:
    """Be a worker process whose transfers take no time: record each task, and report when there is no other one."""
    keys, ledger = key_maker(settings), Ledger(settings.state_dir)
    with closing(ledger.completed), closing(ledger.failed):
        done: list[Done] = []
        for task in channel.queue:
            if stop.is_set():
                return
            done.append(Done(task, result_of(task, keys)))
            ledger.record(done[-1].result.record(time.time()))
            if not channel.queue.has_more:
                channel.report(done, [], InFlight(), 0)
                done = []


def result_of(task: Task, keys: KeyMaker) -> Result:
    """Return the result of a task as a transfer gives it."""
    key = keys.address(task.url).key
    return Result(
        task.url, key, _STORED, "image/jpeg", download_seconds=0.021, upload_seconds=0.043, source=_SOURCE
    )


def main() -> int:
    migrate.run_share = answer_at_once
    code = migrate.main([])
    print(time.process_time())
    return code


if __name__ == "__main__":
    sys.exit(main())
