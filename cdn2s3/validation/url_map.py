"""`validate.py --url-map NEW_BASE`: which new URL each old one has. The rule first, then what does not follow it.

Contacts nothing. With the path kept, millions of URLs follow one rule; only what breaks it needs a table.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from contextlib import ExitStack
from typing import BinaryIO

from cdn2s3 import file_names
from cdn2s3.atomic_file import replacing
from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.planning.undo import open_work
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.share import share_of
from cdn2s3.text import pluralize, printable, redact
from cdn2s3.validation import inputs
from cdn2s3.validation.map_files import (
    LONGEST_URL,
    CsvFile,
    DynamoFiles,
    ManifestFile,
    MapFile,
    Mapped,
    dynamo_files,
    known,
)
from cdn2s3.validation.map_rules import MapRules, Rule
from cdn2s3.validation.new_base import new_base, new_url
from cdn2s3.validation.stored_rows import StoredRow, StoredRows

log = logging.getLogger(__name__)

CSV, DYNAMODB, MANIFEST = FORMATS = ("csv", "dynamodb", "manifest")


def add_arguments(parser: argparse.ArgumentParser, verbs: argparse._ActionsContainer) -> None:
    verbs.add_argument(
        "--url-map",
        type=new_base,
        metavar="NEW_BASE",
        help="write which new URL, under NEW_BASE, each old one has",
    )
    parser.add_argument(
        "--map-format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"with --url-map: {', '.join(FORMATS)} (default: {CSV})",
    )


def checked(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Return arguments; end with a usage message where an option is given without its verb."""
    if arguments.url_map is None and arguments.map_format is not None:
        parser.error("--map-format needs --url-map NEW_BASE")
    return arguments


class _Map:
    """What a map holds, counted, and the files that take it."""

    def __init__(self, settings: MigrationSettings, form: str, stack: ExitStack) -> None:
        """form is one of FORMATS; stack replaces the files at its end."""
        state = settings.state_dir

        def file(name: str) -> BinaryIO:
            return stack.enter_context(replacing(state / name))

        self.following: Counter[Rule] = Counter()  # rows by the rule that they follow
        self.exceptions: Counter[str] = Counter()  # rows by why they follow none
        self.items: DynamoFiles | None = None
        self._exceptions = CsvFile(file(file_names.URL_MAP_EXCEPTIONS_FILE))
        self._files: list[MapFile] = [CsvFile(file(file_names.URL_MAP_FILE))]
        if form == DYNAMODB:
            self.items = stack.enter_context(dynamo_files(state / file_names.URL_MAP_DYNAMODB_FOLDER))
            self._files.append(self.items)
        elif form == MANIFEST:
            manifest = file(file_names.URL_MAP_MANIFEST_FILE)
            self._files.append(ManifestFile(manifest, settings.destination_bucket))

    def add(self, row: Mapped, rules: MapRules) -> None:
        """Write row, and count it under its rule or its reason."""
        for file in self._files:
            file.add(row)
        rule = rules.of(row.old_url)
        if rule is not None and rule.apply(row.old_url) == row.new_url:
            self.following[rule] += 1
        else:
            self.exceptions[rules.why_not(row.old_url, row.key)] += 1
            self._exceptions.add(row)


def run(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    """Write the map and show its rule; return the exit code. Raise FatalError, with the old files unchanged."""
    inputs.refuse_to_start(settings)
    before = inputs.stamps(settings)
    base, form = arguments.url_map, arguments.map_format or CSV
    keys = key_maker(settings)
    rows = inputs.stored_rows(settings, keys)
    rules = MapRules(settings, keys, base)
    with ExitStack() as stack:
        found = _Map(settings, form, stack)
        for row in rows:
            found.add(_mapped(row, base), rules)
        inputs.refuse_changes(settings, before)
    show("\n".join(_text(settings, rows, found, form, base)))
    reminders = open_work(settings.state_dir, keys)
    for reminder in reminders:
        log.warning("%s", reminder)
    left_out = found.items is not None and (found.items.repeated or found.items.too_long)
    return EXIT_SOME_FAILED if rows.unreadable or left_out or reminders else EXIT_DONE


def _mapped(row: StoredRow, base: str) -> Mapped:
    url = new_url(base, row.key)
    return Mapped(row.url, url, row.key, row.size, known(row.md5), known(row.media_type), share_of(row.url))


def _text(settings: MigrationSettings, rows: StoredRows, found: _Map, form: str, base: str) -> list[str]:
    """Return what a person sees: the rule, the exceptions, the files, what to do."""
    lines = [
        f"{count:,} of {len(rows):,} follow {'one rule' if len(found.following) == 1 else 'the rule'}: {rule}"
        for rule, count in found.following.most_common()
    ]
    others = sum(found.exceptions.values())
    if others:
        why = ", ".join(f"{count:,} {reason}" for reason, count in found.exceptions.most_common())
        verb = "does" if others == 1 else "do"
        lines.append(f"{others:,} {verb} not ({why}): {file_names.URL_MAP_EXCEPTIONS_FILE}")
    else:
        lines.append(f"no exceptions: {file_names.URL_MAP_EXCEPTIONS_FILE} has only its header")
    if rows.elsewhere:
        lines.append(
            f"not in the bucket, and not in the map: {pluralize(rows.elsewhere, 'row')} of completed.txt"
        )
    if rows.unreadable:
        lines.append(
            f"not in the map: {pluralize(rows.unreadable, 'line')} of completed.txt that are no records"
        )
    lines.append(
        f"written: {settings.state_dir.resolve() / file_names.URL_MAP_FILE}, {pluralize(len(rows), 'row')}"
    )
    if found.items is not None:
        lines += _items_text(settings, found.items)
    if form == MANIFEST:
        path = settings.state_dir.resolve() / file_names.URL_MAP_MANIFEST_FILE
        lines.append(
            f"written: {path}, {pluralize(len(rows), 'key')} (do not encrypt it with SSE-KMS or SSE-C)"
        )
    order = "the exceptions first, then the rule" if others and found.following else "it"
    return [
        *lines,
        f"next: apply {order} as docs/cutover.md says; then: {command('validate.py', '--through', base)}",
    ]


def _items_text(settings: MigrationSettings, items: DynamoFiles) -> list[str]:
    folder = settings.state_dir.resolve() / file_names.URL_MAP_DYNAMODB_FOLDER
    lines = [f"written: {folder}/, {pluralize(items.items, 'item')}; describe-import must show as many"]
    if items.too_long:
        examples = ", ".join(redact(printable(url))[:200] for url in items.longest)
        lines.append(
            f"left out of the items: {pluralize(items.too_long, 'URL')} over {LONGEST_URL:,} bytes, the most that a "
            f"key may have: {examples}"
        )
    if items.repeated:
        lines.append(
            f"left out of the items: {pluralize(items.repeated, 'row')} of URLs with more than one object "
            f"(each is in {file_names.URL_MAP_FILE})"
        )
    return lines
