"""The commands before a run: what it would do and cost, a bucket to fill, a rehearsal, a state regained.

Apart from migrate.py, which every worker process imports: none of them needs what these commands need.
"""

from __future__ import annotations

import argparse
import logging
import random
from contextlib import closing
from pathlib import Path

from cdn2s3 import failures
from cdn2s3.commands import adopt, create_bucket, plan, sample
from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import typed
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.destination import Bucket
from cdn2s3.destinations.s3.listing import Listing
from cdn2s3.errors import EXIT_DONE, EXIT_FIXABLE, EXIT_SOME_FAILED, Fixable
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.naming import key_maker
from cdn2s3.planning import cost_estimate
from cdn2s3.planning.run_plan import look_through, refuse_strangers, urls_of
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import run_binding
from cdn2s3.state.files import held_lock
from cdn2s3.state.ledger import FAILED
from cdn2s3.transfer.wiring import allow_open_files, equip, probe_patiently

log = logging.getLogger(__name__)


def plan(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    """Print what a run would do, take and cost; move nothing, write nothing; return the exit code."""
    chosen = None
    if arguments.redo:
        chosen = urls_of(arguments.redo, "--redo")
        refuse_strangers(arguments.redo, chosen, settings.source_urls_file)
    elif arguments.retry_failed is not None:
        chosen = failures.urls_in(settings.state_dir / FAILED, arguments.retry_failed)
    table = cost_estimate.prices(Path(cost_estimate.PRICES_FILE), settings.storage_class)
    survey = plan.looked_through(settings, chosen, bool(arguments.redo), arguments.limit)
    print("\n".join(plan.counts_text(settings, survey) + plan.keys_text(settings, survey.work)))
    warning = run_binding.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    if survey.work.collisions and settings.on_collision == "refuse":
        print("\n".join(["", *plan.collisions_text(settings, survey)]))
        print(typed("\nnext: correct the settings, then python migrate.py --plan"))
        return EXIT_FIXABLE
    size = plan.asked_sizes(settings, survey.work, random.Random())  # noqa: S311  # no secret
    speed = cost_estimate.rate(settings, size.mean)
    found = cost_estimate.estimate(survey.todo, size.mean, speed.files_per_second, table)
    print("\n".join(["", *plan.forecast_text(size, speed, found, table)]))
    print(typed(f"\nnext: {plan.next_step(settings, survey)}"))
    return EXIT_DONE


def create_bucket(settings: MigrationSettings) -> int:
    """Create the bucket and print the setting that names it; return the exit code."""
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        created = create_bucket.create(settings, lambda chosen: S3Client(chosen, adapter))
    show(typed("\n".join(create_bucket.text(settings, created))))
    return EXIT_SOME_FAILED if created.warning else EXIT_DONE


def try_sample(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Move a few files under _test/, read them back, compare and delete them; return the exit code."""
    if arguments.sample > sample.MOST:
        raise Fixable(f"--sample takes {sample.MOST} URLs at most: each is read back whole.")
    allow_open_files(settings.concurrency)
    work = plan.looked_through(settings).work
    urls = plan.drawn(settings, work, arguments.sample, random.Random())  # noqa: S311  # no secret
    if not urls:
        show(typed("nothing is pending, so there is nothing to draw from\nnext: python migrate.py --plan"))
        return EXIT_DONE
    there = sample.rehearsal(settings)
    show(
        f"sample: {len(urls):,} of {work.pending:,} pending URLs, to "
        f"s3://{there.destination_bucket}/{there.destination_prefix}"
    )
    refused = bool(work.collisions) and settings.on_collision == "refuse"
    if refused:
        collide = f"{work.collisions:,} URLs collide"
        log.warning("%s: a run would not start; see python migrate.py --plan", collide)
    with closing(PooledAdapter(there.concurrency, there.ca_bundle)) as adapter:
        client = S3Client(there, adapter)
        probed = probe_patiently(there, client)
        transfer, bucket = equip(there, client, probed), Bucket(there, client, probed.guard)
        with closing(transfer), signals.noted():
            outcomes = sample.Sample(there, transfer, bucket, lambda: bool(signals.received)).go(urls)
    show("\n".join(sample.text(settings, outcomes, work.pending)))
    if signals.received:
        return 128 + signals.received
    show(typed(f"next: python migrate.py{' --plan' if refused else '' if outcomes.is_fine else ' --check'}"))
    return EXIT_DONE if outcomes.is_fine else EXIT_SOME_FAILED


def adopt(settings: MigrationSettings) -> int:
    """Record what lies in the bucket already as completed, under the lock; return the exit code."""
    with held_lock(settings.state_dir / run_binding.LOCK, "migrate.py"):
        return _adopted(settings)


def _adopted(settings: MigrationSettings) -> int:
    run_binding.refuse_while_collecting(settings.source_urls_file)
    run_binding.check(settings)
    keys = key_maker(settings)
    work = look_through(settings, keys).work
    run_binding.bind(settings)
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        adopted = adopt.adopt(settings, keys, work, Listing(S3Client(settings, adapter), settings))
    show(typed("\n".join(adopt.text(adopted, work.pending))))
    return EXIT_DONE
