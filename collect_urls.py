#!/usr/bin/env python3
"""Collect the URLs of all images into urls.txt, and recommend an AWS region.

    python collect_urls.py                 collect; after any stop the same command resumes
    python collect_urls.py --update        collect again: append new URLs, name those that are gone
    python collect_urls.py --restart       discard the checkpoint and start over
    python collect_urls.py --region-only   only print the recommended region
    python collect_urls.py --suggest URL   propose settings for an API, or for a file
    python collect_urls.py --preview       show what the settings find on the first two pages

The URLs come from a JSON API, page by page, or from local lot files (SOURCE in collection.env). Each batch is
appended to urls.txt, every URL once. After CHECKPOINT_INTERVAL URLs, after a minute and at a stop, the files
are synced to the disk, and then the checkpoint records how far they are.
"""

from __future__ import annotations

from cdn2s3 import bootstrap

bootstrap.start()  # before the other imports: it reports which packages are missing

# isort: split
import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import requests

from cdn2s3.collection import checkpoint, evidence, resume, summary, update
from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.api.json_api import ApiSource
from cdn2s3.collection.api.two_step import TwoStepSource
from cdn2s3.collection.base import Position, UrlSource, Verdict
from cdn2s3.collection.checkpoint import Checkpoint
from cdn2s3.collection.files.export_files import ExportFiles
from cdn2s3.collection.files.lot_files import LotFiles
from cdn2s3.collection.progress import CollectionBar
from cdn2s3.collection.region_advice import CAVEAT, recommended_region
from cdn2s3.collection.sitemap import SitemapSource
from cdn2s3.collection.url_list import UrlList, first_urls
from cdn2s3.commands import preview, suggest
from cdn2s3.console import logging_setup, progress, rerun_hint, stdio
from cdn2s3.console.notify import Notifier
from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.errors import EXIT_CODES_HELP, EXIT_DONE, EXIT_SOME_FAILED, FatalError, UsageError
from cdn2s3.file_names import COLLECTION_ENV, COLLECTION_JSON, COLLECTION_LOG, COLLECTION_PAGE
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import load
from cdn2s3.state.files import held_lock
from cdn2s3.state.journal import Journal
from cdn2s3.text import redact

log = logging.getLogger("collect_urls")


@logging_setup.ending_in_the_log
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    rerun_hint.use_env_file("collect_urls.py", arguments.env_file)
    signals = Signals()
    try:
        if arguments.suggest is not None:
            return suggest.suggest(arguments.suggest, arguments.env_file)
        settings, notes = load(CollectionSettings, arguments.env_file)
        if arguments.preview:
            return preview.preview(settings, source_of)
        logging_setup.set_up(Path(COLLECTION_LOG), settings.log_level)
        logging_setup.begin(*notes[:2])
        if arguments.region_only:
            return print_region(settings)
        resume.check_places(settings, arguments.env_file)
        typed = rerun_hint.typed("collect_urls.py", vars(arguments))
        with (
            Notifier("collect_urls.py", settings.notify_command.reveal(), notes.private) as notifier,
            held_lock(resume.lock_file(settings.output_file), "collect_urls.py"),
            Journal(settings.output_file.parent, typed) as journal,
        ):
            journal.at_end.append(lambda run, why: notifier.ended(run.exit_code, why, journal.told()))
            journal.exit_code = collect(settings, signals, arguments.restart, arguments.update, journal)
            return journal.exit_code
    except FatalError as error:
        logging_setup.say_error("collect_urls.py", str(error))
        return error.exit_code
    except Interrupted as interrupted:
        log.warning("%s. Run `%s` again: it resumes.", interrupted, rerun_hint.command("collect_urls.py"))
        return interrupted.exit_code


def collect(
    settings: CollectionSettings, signals: Signals, restart: bool, again: bool, journal: Journal
) -> int:
    """Collect from the checkpoint on, to the end of the source; return the exit code.

    restart: forget the checkpoint; again: update the list, if it is complete.
    """
    so_far = None if restart else resume.last_checkpoint(settings)
    has_grown = so_far is not None and resume.has_grown(settings, so_far)
    if so_far is not None and so_far.complete and not again and not has_grown:
        return say_complete(settings, so_far, journal)
    if so_far is not None and update.has_ended(so_far):
        return say_end(settings, update.finish(settings), journal)
    with api_session(settings) as session:
        source = source_of(settings, session)
        if restart:
            resume.move_aside(settings)
        if so_far is None:
            so_far = resume.begin_afresh(settings, source.first())
        elif so_far.complete and again:
            so_far = update.begin(settings, so_far, source.first())
        elif has_grown:
            so_far = resume.walk_again(settings, so_far, source.first())
        elif again and so_far.update is None:
            log.info(
                "The collection is not complete yet: this run completes it, the next --update updates it"
            )
        try:
            position = source.resume(so_far.position or {})
        except ValueError as error:
            raise checkpoint.damaged(settings.checkpoint_file, str(error)) from error
        with (UrlList if so_far.update is None else update.UpdatedList)(settings, so_far) as urls:
            log.info("Collecting from %s: %s", position, summary.progress_line(urls.counts, None))
            try:
                found = read_all(source, position, urls, resume.settings_of(settings, so_far), signals)
            except (FatalError, Interrupted) as stopped:
                report_stop(settings, so_far, stopped, journal)
                raise
    return say_end(settings, found, journal)


def say_end(settings: CollectionSettings, found: Verdict, journal: Journal) -> int:
    """Say how the collection ended and what comes next, and leave the report; return the exit code."""
    done = checkpoint.load(settings.checkpoint_file)
    if done is None:
        raise checkpoint.damaged(settings.checkpoint_file, "it is gone")
    advice = recommended_region(first_urls(settings), settings)
    if advice.is_wrong:
        found = resume.doubted(settings, done, advice.doubt)
    log.info("Complete: %s", summary.progress_line(done.counts, None))
    log.info("%s", summary.end_line(found))
    for doubt in dict.fromkeys((*found.doubts, *filter(None, [advice.doubt]))):
        log.warning("%s", doubt)
    log.info("Recommended region: %s. %s", advice.region, advice.reason)
    logging_setup.show(summary.last_screen(done, settings, found, advice))
    return report(settings, done, found, advice.region, journal)


def report_stop(
    settings: CollectionSettings, before: Checkpoint, stopped: FatalError | Interrupted, journal: Journal
) -> None:
    """Leave a report that says interrupted, unless nothing was read and there is an older one.

    What stopped the collection matters more: a report that cannot be written is only logged.
    """
    try:
        done = checkpoint.load(settings.checkpoint_file)
        has_begun = done is not None and (done.position, done.counts) != (before.position, before.counts)
        if done is not None and (has_begun or not (settings.output_file.parent / COLLECTION_PAGE).exists()):
            why = redact(str(stopped))
            report(settings, done, Verdict("", ()), "", journal, stopped.exit_code, why)
    except FatalError as error:
        log.warning("no report of this run: %s", error)


def report(
    settings: CollectionSettings,
    done: Checkpoint,
    found: Verdict,
    region: str,
    journal: Journal,
    stopped: int | None = None,
    why: str = "",
) -> int:
    """Write the reports beside OUTPUT_FILE; return the exit code of a collection that is worth found.

    stopped is the exit code of one that was interrupted, by why; None: it has come to its end.
    """
    # Their libraries are slow to import: not before a run.
    from cdn2s3.reports import collection_report, html, migration_report

    code = stopped if stopped is not None else EXIT_SOME_FAILED if found.doubts else EXIT_DONE
    runs, _ = journal.history()
    runs.append(journal.as_run(code))
    written = collection_report.collection(settings, done, found, region, runs, code, why)
    folder = settings.output_file.parent
    migration_report.write_json(folder / COLLECTION_JSON, written)
    html.write(folder / COLLECTION_PAGE, html.collection(written))
    return code


def source_of(settings: CollectionSettings, session: requests.Session) -> UrlSource:
    """Return the source that SOURCE names; raise UsageError when it has nothing to read."""
    if settings.source == "files":
        return ExportFiles(settings)
    if settings.source == "lots":
        return LotFiles(settings)
    if settings.source == "sitemap":
        return SitemapSource(settings, session)
    if settings.source == "s3":
        return bucket_source_of(settings, session)
    return TwoStepSource(settings, session) if settings.api_detail_url else ApiSource(settings, session)


def bucket_source_of(settings: CollectionSettings, session: requests.Session) -> UrlSource:
    """Return the source that SOURCE_BUCKET names: a listing, or an inventory."""
    # Imported only when needed: botocore takes longer to import than all the rest.
    from cdn2s3.collection.bucket_inventory import inventory_of, is_inventory
    from cdn2s3.collection.bucket_listing import BucketSource

    if is_inventory(settings.source_bucket):
        return ExportFiles(inventory_of(settings, session))
    return BucketSource(settings, session)


def read_all(
    source: UrlSource,
    position: Position | None,
    urls: UrlList,
    settings: CollectionSettings,
    signals: Signals,
) -> Verdict:
    """Append what the source gives from position on, batch by batch, to its end; return what that is worth.

    Raise FatalError or Interrupted; what was read until then is saved.
    """
    found = Verdict("", ())
    ticker = summary.Ticker(urls.counts.urls)
    stale = 0  # batches with URLs, and none of them new, since the last one that had a new one
    bar = CollectionBar(urls.counts, settings.expected_total)
    with closing(bar), progress.above_a_bar(sys.stderr):
        try:
            while position is not None:
                source.check_circle(position, stale)
                batch = source.read(position)
                with signals.noted():  # the files and the position move on together
                    new = urls.add(batch)
                    if batch.following is None:
                        ending = batch.ended(new)
                        evidence.check_refusal(urls.counts, settings, ending)
                        found = evidence.verdict(urls.counts, settings, ending)
                        found = urls.finish(found, ending)
                    elif batch.begins_again:
                        urls.begin_again(batch.following)
                    elif urls.save_is_due():
                        urls.save(batch.following)
                    position = batch.following
                has_urls = any(url is not None for url in batch.urls)
                stale = 0 if new else stale + has_urls
                bar.show(urls.counts, batch.progress)
                line = ticker.line(urls.counts, batch.progress)
                if line:
                    progress.say(line)
                if signals.received:
                    raise Interrupted(signals.received)
        except (FatalError, Interrupted):
            with signals.noted():
                urls.save(position)
                log.warning("Kept: %s", summary.progress_line(urls.counts, None))
            raise
    return found


def say_complete(settings: CollectionSettings, before: Checkpoint, journal: Journal) -> int:
    """Repeat how the collection ended, with its exit code; raise FatalError when urls.txt is not what it was then."""
    resume.check_files(settings, before)
    found = resume.judged_again(settings, before)
    logging_setup.show(
        f"{summary.verdict_lines(found).replace('is complete', 'is already complete', 1)}"
        f"{summary.counts_table(before, settings.output_file)}"
        f"{summary.next_step(before)}"
        f"To collect again: {rerun_hint.command('collect_urls.py', '--update')} (or --restart)\n"
    )
    return report(settings, before, found, "", journal)


def print_region(settings: CollectionSettings) -> int:
    """Print the recommended region alone on stdout; the reason goes to the log."""
    urls = first_urls(settings)
    if not urls:
        raise UsageError(
            f"{settings.output_file} has no URL to request. Collect first: {rerun_hint.command('collect_urls.py')}"
        )
    advice = recommended_region(urls[:1], settings)
    log.info("%s: %s %s", advice.region, advice.reason, CAVEAT)
    sys.stdout.write(f"{advice.region}\n")
    return EXIT_DONE


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="collect_urls.py",
        description="Collect the URLs of all images into urls.txt, and recommend an AWS region.",
        epilog="example: python collect_urls.py --env-file collection.env\n\n"
        + EXIT_CODES_HELP
        + "\ndocs/settings.md describes every setting.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        default=Path(COLLECTION_ENV),
        metavar="PATH",
        help="settings (default: collection.env)",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--restart",
        action="store_true",
        help="start over (old files are kept as *.bak)",
    )
    ways.add_argument(
        "--update",
        action="store_true",
        help="collect again: append new URLs, list those that are gone",
    )
    ways.add_argument(
        "--region-only",
        action="store_true",
        help="only print the recommended region",
    )
    ways.add_argument(
        "--suggest",
        metavar="URL|FILE",
        help="propose settings for an API or an export",
    )
    ways.add_argument(
        "--preview",
        action="store_true",
        help="show what the settings find on two pages",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(stdio.run(main))
