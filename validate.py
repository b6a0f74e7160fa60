"""Phase 2: prove that nothing in the bucket is missing or different.

    python validate.py                        list the bucket, compare, check 100 images byte for byte
    python validate.py --spot-check 1000      check more of them; all: each one, once
    python validate.py --through NEW_BASE     ask a new CDN in front of the bucket for them (validation/through.py)
    python validate.py --url-map NEW_BASE     write which new URL each old one has (validation/url_map.py)

Writes missing.txt, mismatched.txt, unexpected.txt (migrate.py --redo takes the first two) and
validation_report.html and .json, its verdict into migration_report, and certificate.html (docs/reports.md). The
settings are in migration.env.
"""

from __future__ import annotations

from cdn2s3 import bootstrap

bootstrap.start()  # before the other imports: it reports which packages are missing

# isort: split
import argparse
import functools
import logging
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Callable

from cdn2s3 import file_names
from cdn2s3.atomic_file import replacing
from cdn2s3.commands.arguments import count_or_all, positive
from cdn2s3.console import stdio
from cdn2s3.console.logging_setup import begin as begin_log
from cdn2s3.console.logging_setup import ending_in_the_log, say_error, show
from cdn2s3.console.logging_setup import set_up as set_up_logs
from cdn2s3.console.notify import Notifier
from cdn2s3.console.progress import listed_pages
from cdn2s3.console.rerun_hint import command, given, typed, use_env_file
from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.destinations.base import Found, KeyRefused, ReadRefused
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.destinations.s3.capabilities import ARCHIVES
from cdn2s3.errors import EXIT_CODES_HELP, EXIT_DONE, EXIT_SOME_FAILED, FatalError, UsageError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.odd_keys import oddity
from cdn2s3.planning.undo import open_work
from cdn2s3.reports import html, migration_report, same_content
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import load
from cdn2s3.state import run_binding
from cdn2s3.state.files import held_lock
from cdn2s3.state.journal import Journal
from cdn2s3.state.lines import encode
from cdn2s3.text import pluralize
from cdn2s3.validation import findings as findings_module
from cdn2s3.validation import inputs, linked_reports, spot_check, through, through_report, url_map
from cdn2s3.validation.comparison import COMPLETE, Mismatch, Records, Repair, advice, repairs, verdict
from cdn2s3.validation.dividers import dividers
from cdn2s3.validation.expected import DIFFERS, SEEN, Counts, Missing
from cdn2s3.validation.findings import Changed, Findings, Steps
from cdn2s3.validation.listed_etags import InDoubt, ListedEtags
from cdn2s3.validation.listing import Rewind, compared
from cdn2s3.validation.lookup import Lookup
from cdn2s3.validation.report_paths import add_report_arguments, report_paths
from cdn2s3.validation.spot_findings import Spot
from cdn2s3.validation.spot_run import run_spot_check
from cdn2s3.validation.summary import summary

log = logging.getLogger("validate")

SPOT_CHECKS = 100
VERBS = ("through", "sample", "all", "url_map")
WORKERS = 16  # for HEAD and the spot check: a validation is not a load test
MOST_LOOKS = 1000  # keys that are looked up one by one before they count as missing


@ending_in_the_log
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    use_env_file("validate.py", arguments.env_file)
    Signals()  # from now on, a signal raises Interrupted
    try:
        settings, notes = load(MigrationSettings, arguments.env_file)
        run_binding.make_state_dir(settings.state_dir)
        set_up_logs(settings.state_dir / file_names.VALIDATION_LOG, settings.log_level)
        begin_log(*notes[:2])
        with (
            Notifier("validate.py", settings.notify_command.reveal(), notes.private) as notifier,
            held_lock(settings.state_dir / file_names.VALIDATION_LOCK, "validate.py"),
            run_binding.standing_still(settings.source_urls_file),
            Journal(settings.state_dir, typed("validate.py", chosen(arguments))) as journal,
        ):
            journal.at_end.append(lambda run, why: notifier.ended(run.exit_code, why, journal.told()))
            journal.exit_code = job_of(arguments, journal)(settings, arguments)
            return journal.exit_code
    except FatalError as error:
        say_error("validate.py", str(error))
        return error.exit_code
    except Interrupted as interrupted:
        say_error(
            "validate.py",
            f"{interrupted} before the end, so there is {'no verdict' if arguments.url_map is None else 'no new map'}. "
            f"Run `{given('validate.py', {verb: getattr(arguments, verb) for verb in VERBS})}` again.",
        )
        return interrupted.exit_code


def job_of(
    arguments: argparse.Namespace, journal: Journal
) -> Callable[[MigrationSettings, argparse.Namespace], int]:
    """Return what arguments ask for: it does the job and returns the exit code."""
    if arguments.through is not None:
        return through.run
    if arguments.url_map is not None:
        return url_map.run
    return functools.partial(validate, journal)


def validate(journal: Journal, settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    """Validate, write the reports, print the verdict; return the exit code."""
    began = time.time()
    json_path, page_path = report_paths(settings, arguments)
    inputs.refuse_to_start(settings)
    validation = Validation(settings, arguments.spot_check)

    def write(untimed: dict[str, Any]) -> None:
        found = {
            **findings_module.timed(untimed, began, time.time()),
            "through": through_report.kept(json_path),
        }
        migration_report.write_json(json_path, found)
        pictures, back = validation.spot.pictures, linked_reports.back(settings, page_path)
        html.write(page_path, html.validation(found, pictures, back))
        if found["verdict"] is not None:
            unfinished = " ".join(open_work(settings.state_dir, validation.keys))
            linked_reports.write_linked(settings, found, page_path, unfinished)

    def write_or_say(stopped: dict[str, Any]) -> None:
        """Write the report of a stopped validation; a failure must not hide why it was stopped."""
        try:
            write(stopped)
        except FatalError as error:
            log.error("%s", error)

    try:
        findings, counts = validation.go()
    except UsageError:
        raise  # nothing was contacted, so there is nothing to report about the bucket
    except FatalError as error:
        write_or_say(findings_module.stopped(settings, str(error), error.exit_code))
        raise
    except Interrupted as interrupted:
        why = f"signal {interrupted.exit_code - 128}"
        write_or_say(findings_module.stopped(settings, why, interrupted.exit_code))
        raise
    spot = findings.spot
    journal.facts["verdict"] = verdict(counts)
    reminders = open_work(settings.state_dir, validation.keys)
    is_clean = verdict(counts) == COMPLETE and spot.holds and not reminders
    code = EXIT_DONE if is_clean else EXIT_SOME_FAILED
    following = repairs(counts, settings.state_dir)
    if not following and not spot.holds:
        # Of objects in an archive, no further check would compare a byte.
        number = 0 if settings.storage_class in ARCHIVES else chosen(arguments)["spot_check"] or SPOT_CHECKS
        following.append(Repair(command("validate.py", "--spot-check", str(number))))
    closing = "" if following else advice(counts, settings.state_dir)
    write(findings_module.finished(settings, findings, counts, Steps(following, closing), code))
    show(summary(settings, findings, counts, Steps(following, closing)))
    for warning in (run_binding.unfinished_collection(settings.source_urls_file), *reminders):
        if warning:
            log.warning("%s", warning)
    return code


def chosen(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the arguments that are not their defaults."""
    spot = {SPOT_CHECKS: None, spot_check.ALL: "all"}.get(arguments.spot_check, arguments.spot_check)
    return {**vars(arguments), "spot_check": spot}


class Validation:
    """One validation: read what is expected, list the bucket, look again, compare bytes, write the files."""

    def __init__(self, settings: MigrationSettings, spot_checks: int) -> None:
        self.settings = settings
        self.keys = key_maker(settings)
        self.state = settings.state_dir
        self.spot = Spot(spot_checks, random.SystemRandom().getrandbits(32))

    def go(self) -> tuple[Findings, Counts]:
        """Do it all; raise FatalError and leave the three files as they were when that is not possible."""
        before = inputs.stamps(self.settings)
        self.expected = inputs.expected(self.settings, self.keys)
        self.findings = Findings(self.expected.work, self.spot, elsewhere=self.expected.elsewhere)
        self.records = Records(self.expected)
        with ExitStack() as stack:
            adapter = PooledAdapter(WORKERS, self.settings.ca_bundle)
            stack.callback(adapter.close)
            self.destinations = open_destinations(self.settings, adapter)
            stack.callback(self.destinations.close)
            self.findings.endpoint = self.destinations.endpoint
            self.lookup = Lookup(self.destinations, self.settings, WORKERS)
            self.unexpected_file, self.mismatched_file, self.changed_file, missing_file = (
                stack.enter_context(replacing(self.state / name)) for name in file_names.VERDICT_FILES
            )
            for place in self.destinations.by_place:
                self._list(place)
            self._look_again()
            self._check_spots(adapter)
            self._write_missing(missing_file)
            self.findings.same = same_content.in_completed(self.state / file_names.COMPLETED_FILE)
            inputs.refuse_changes(self.settings, before)
        return self.findings, self.expected.counts()

    # --- the bucket or the folder, key by key ---

    def _list(self, place: str) -> None:
        """Compare every object in the listing of place; raise FatalError unless the listing ends properly."""
        destination = self.destinations[place]
        log.info("listing %s", destination.describe())
        before = Rewind(self.expected, self.findings, (self.unexpected_file, self.mismatched_file))
        take = functools.partial(self._take_pages, place)
        self.findings.notes += compared(destination, dividers(self.expected.work, self.keys), take, before)
        if self.etags.are_others:
            self.findings.notes.append(self.etags.note)
            log.warning("%s", self.etags.note)

    def _take_pages(self, place: str, pages: Iterator[list[Found]]) -> None:
        """Compare every object on pages, the listing of place."""
        ignored = self.destinations[place].probe_keys
        self.etags = ListedEtags(self._looked_up, self._settle)
        for page in listed_pages(pages, self.expected.counts().urls):
            for found in page:
                if found.key not in ignored:
                    self.findings.listed += 1
                    self.findings.listed_bytes += found.size
                    self._take(place, found, is_listed=True)
        self.etags.end()

    def _take(self, place: str, found: Found, is_listed: bool = False) -> None:
        """Compare one object at place with the record of its key, and write it to a file if it does not match.

        is_listed: found is from the listing, whose ETags are not those of the objects at every store.
        """
        number = self.expected.see(found, place)
        if number is None and self.expected.has_row(found, place):
            if self.expected.is_superfluous(found, place):
                self.findings.add_superfluous(found)
        elif number is None:
            self.findings.add_unexpected(found)
            where = (place,) if len(self.destinations.by_place) > 1 else ()
            self.unexpected_file.write(encode((found.key, str(found.size), found.etag or "-", *where)))
        elif self.expected.states[number] & DIFFERS:
            row = self.records.mismatch(number, found)
            if row is None:
                self.expected.clear(number)
            elif is_listed and row.is_of_etag_alone:
                self.etags.add(number, found)
            else:
                self._write_mismatch(row)

    def _looked_up(self, doubts: Iterable[InDoubt]) -> Iterator[tuple[InDoubt, Found | None]]:
        """Yield each object in doubt as HEAD shows it; as the listing does where HEAD is refused."""
        asked = (
            (doubt, self.expected.place_of(doubt.number), self.records.completed(doubt.number).key)
            for doubt in doubts
        )
        with self.lookup.of_each(asked) as answers:
            for doubt, _, found in answers:
                yield doubt, doubt.listed if isinstance(found, (ReadRefused, KeyRefused)) else found

    def _settle(self, doubt: InDoubt, found: Found | None) -> bool:
        """Note what is known of an object in doubt; return whether it is the recorded one."""
        row = None if found is None else self.records.mismatch(doubt.number, found)
        if found is None:
            self.expected.unsee(doubt.number)
        elif row is None:
            self.expected.clear(doubt.number)
            return True
        else:
            self._write_mismatch(row)
        return False

    def _write_mismatch(self, row: Mismatch) -> None:
        self.findings.add_mismatched(row)
        self.mismatched_file.write(encode(row))

    def _look_again(self) -> None:
        """Look up with HEAD the keys that are not in the listing, before they count as missing.

        Where the store has no answer for one of them, all other odd ones are asked for too.
        """
        wanted = self.expected.absent(MOST_LOOKS)
        refused = self._look_at(line for line in self.expected.missing() if line[0] in wanted)
        if refused:
            odd = (line for line in self.expected.missing() if line[0] not in wanted and oddity(line[1].key))
            refused += self._look_at(odd)
            self.findings.notes.append(
                f"the store has no answer for {pluralize(refused, 'key')} (400 to HEAD): they are gaps of their own"
            )
            log.warning("%s", self.findings.notes[-1])
        if self.findings.omitted:
            log.warning("the listing omitted %s objects that exist", f"{self.findings.omitted:,}")

    def _look_at(self, lines: Iterable[tuple[int, Missing]]) -> int:
        """Look up the keys of lines; return how many the store has no answer for."""
        refused = 0
        asked = ((number, self.expected.place_of(number), line.key) for number, line in lines)
        with self.lookup.of_each(asked) as answers:
            for number, place, answer in answers:
                if isinstance(answer, ReadRefused):
                    self.findings.look_refused = True
                    log.warning(
                        "HEAD is refused, so objects that are not in the listing count as missing; to look them up, %s",
                        answer.remedy,
                    )
                    break
                self.findings.looked_at += 1
                if isinstance(answer, KeyRefused):
                    self.expected.refuse(number)
                    refused += 1
                elif answer is not None:
                    self.findings.omitted += 1
                    self._take(place, answer)
        return refused

    # --- a few images, byte by byte ---

    def _check_spots(self, adapter: PooledAdapter) -> None:
        """Compare some images of CDN and bucket; those that differ or are gone count as mismatched or missing."""
        if not self.spot.asked:
            return
        settings, stop = self.settings, threading.Event()
        checker = spot_check.checker(settings, adapter, self.destinations, self.keys, stop)
        run_spot_check(self.spot, checker, self.expected, self.records, WORKERS, stop, self._note_check)

    def _note_check(self, number: int, check: spot_check.Check) -> None:
        if check.outcome == spot_check.OBJECT_GONE:
            self.expected.states[number] &= ~SEEN
        elif (
            check.outcome == spot_check.DIFFERENT and check.expected is not None and check.object is not None
        ):
            self.expected.states[number] |= DIFFERS
            sizes = str(check.expected.size), str(check.object.size)
            self._write_mismatch(
                Mismatch(check.url, check.key, *sizes, check.expected.md5, check.etag or "-")
            )
        elif check.outcome == spot_check.CHANGED and check.source is not None and check.recorded is not None:
            row = Changed(check.url, check.key, check.recorded.md5, check.source.md5, check.modified)
            self.findings.add_changed(row)
            self.changed_file.write(encode(row))

    def _write_missing(self, file: BinaryIO) -> None:
        for _, row in self.expected.missing():
            self.findings.add_missing(row)
            file.write(encode(row))


# --- the command line ---


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="validate.py",
        usage="%(prog)s [--through NEW_BASE | --url-map NEW_BASE] [options]",
        description="Compare the bucket with urls.txt and completed.txt, and some images byte for byte.",
        epilog="example:\n  python validate.py --spot-check 500\n\n"
        f"{EXIT_CODES_HELP}\ndocs/settings.md describes every setting (migration.env).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        default=Path(file_names.MIGRATION_ENV),
        metavar="PATH",
        help="settings (default: migration.env)",
    )
    parser.add_argument(
        "--spot-check",
        type=count_or_all,
        default=SPOT_CHECKS,
        metavar="N|all",
        help="compare N random images, or each one once, with the CDN byte for byte (default: 100; 0 = none)",
    )
    add_report_arguments(parser)
    verbs = parser.add_mutually_exclusive_group()
    through.add_arguments(parser, verbs, positive)
    url_map.add_arguments(parser, verbs)
    return url_map.checked(parser, through.checked(parser, parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(stdio.run(main))
