"""`migrate.py --delta [FILE] [--plan] [--full]`: its options, and what its plan says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

from cdn2s3.bootstrap import allow_open_files
from cdn2s3.cdn.digest import Md5
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.delta.run import Delta
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.executors.base import Executor
from cdn2s3.executors.passes import Passes
from cdn2s3.executors.threads import ThreadExecutor
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import KeyMaker
from cdn2s3.planning.run_plan import Choice, plan_run
from cdn2s3.planning.undo import refuse_while_open
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import run_binding
from cdn2s3.state.ledger import Completed, Failed
from cdn2s3.text import pluralize
from cdn2s3.transfer.wiring import equip


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--delta",
        nargs="?",
        const="",
        metavar="FILE",
        help="renew what has changed at the source since it was moved, of all or of the URLs of FILE, then move what "
        "is pending; with --plan: only look",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="with --delta: download everything and compare, whatever the CDN says of changes",
    )


def refuse_with_others(parser: argparse.ArgumentParser, given: argparse.Namespace, alone: bool) -> None:
    """End with a usage error where --delta is combined with what it does not go with."""
    if given.full and given.delta is None:
        parser.error("--full works only with --delta")
    if given.delta is None:
        return
    if alone or given.limit or given.retry_failed is not None or given.redo is not None:
        parser.error("--delta works only alone, with --plan and with --full")


def of(settings: MigrationSettings, keys: KeyMaker, given: argparse.Namespace) -> Delta | None:
    """Return the delta that is asked for, None for another run; raise UsageError where its FILE cannot be used."""
    return None if given.delta is None else Delta(settings, keys, given.delta, given.full)


def plan(
    settings: MigrationSettings,
    arguments: argparse.Namespace,
    signals: Signals,
    seconds_between: float,
) -> int:
    """Do the first pass alone, without a lock, and write nothing; return the exit code.

    seconds_between is the wait before a second look.
    """
    allow_open_files(settings.concurrency)
    run_binding.check(settings)
    keys = key_maker(settings)
    delta = Delta(settings, keys, arguments.delta, arguments.full)
    refuse_while_open(settings.state_dir, "--delta")
    plan, index = plan_run(settings, keys, Choice(), observer=delta.rows)
    delta.rows.settle(plan.work, index)
    del index  # it takes memory
    with closing(delta), _looking(settings, keys) as executor:
        signals.note()
        is_whole = delta.look(Passes(settings, executor, signals, seconds_between), plans=True)
    print("\n".join(delta.lines()))
    if not is_whole:
        return 128 + signals.received
    print(f"{pluralize(plan.todo, 'URL is', 'URLs are')} pending, and moved in the same run")
    print(f"\nnext: {command('migrate.py', '--delta')}")
    return EXIT_SOME_FAILED if delta.is_open else EXIT_DONE


@contextmanager
def _looking(settings: MigrationSettings, keys: KeyMaker) -> Iterator[Executor]:
    """Return an executor that can look alone: the destination is not probed, nothing is recorded."""
    with closing(PooledAdapter(settings.concurrency, settings.ca_bundle)) as adapter, ExitStack() as stack:
        transfer = equip(settings, open_destinations(settings, adapter), new_digest=Md5)
        stack.enter_context(closing(transfer))
        pool = stack.enter_context(ThreadPoolExecutor(settings.concurrency, thread_name_prefix="worker"))
        yield ThreadExecutor(pool, settings.concurrency, keys, transfer, _NoLedger())


class _NoLedger:
    """The ledger of a plan, which records nothing."""

    def record(self, record: Completed | Failed) -> None:
        raise AssertionError(f"a plan records nothing, and was given {record.url}")
