"""What one run of migrate.py has to do: its input looked through, before anything is contacted."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import UsageError
from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.planning import survey
from cdn2s3.planning.collisions import COLLISIONS, Collision, collisions_file, refusal, warn_of_naming
from cdn2s3.planning.survey import UrlSurvey
from cdn2s3.records import Task
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import ledger
from cdn2s3.state.files import AppendFile, cannot_read
from cdn2s3.state.key_index import Fingerprints, Owners
from cdn2s3.state.ledger import COMPLETED, FAILED, failed_line
from cdn2s3.state.lines import input_lines, whole_lines
from cdn2s3.text import printable

log = logging.getLogger(__name__)

_SHOWN = 10  # malformed lines


class Looked(NamedTuple):
    """The input of a run, looked through; owners take memory, so they are not kept for longer than the plan."""

    work: UrlSurvey
    owners: Owners


class Job(NamedTuple):
    """The input of a run, and which part of it this run does."""

    urls: Path
    work: UrlSurvey
    todo: int  # URLs that this run will try
    failed_before: Fingerprints  # URLs in failed_transfers.txt when the run began
    failed_pending: int  # how many of these are pending lines of the input
    failed_elsewhere: int  # how many records there are besides, of URLs outside the input

    def text(self) -> str:
        """Return in one line what there is and what this run does."""
        work = self.work
        return (
            f"{work.lines:,} lines: {work.blank:,} blank, {work.duplicates:,} duplicates, "
            f"{work.malformed:,} malformed, {work.collisions:,} collisions, {work.done:,} done before, "
            f"{work.pending:,} pending; this run does {self.todo:,}"
        )

    def tasks(self) -> Iterator[Task]:
        """Yield the URLs to try, in the order of the input; raise FatalError when it cannot be read any more."""
        pending = survey.lines_with(survey.PENDING, self.urls, self.work)
        return (Task(url) for _, url in itertools.islice(pending, self.todo))


def urls_of(path: Path, option: str) -> Fingerprints:
    """Return the URLs of a file that the user named with option; raise UsageError when it cannot be read."""
    try:
        urls = Fingerprints()
        for line in input_lines(path):
            if line.strip():
                urls.add(line)
        return urls
    except OSError as error:
        raise cannot_read(path, error, option) from error


def refuse_strangers(path: Path, chosen: Fingerprints, urls: Path) -> None:
    """Raise UsageError where path, whose URLs are chosen, has lines and none of them is one of urls."""
    try:
        if not len(chosen) or any(line in chosen for line in input_lines(urls)):
            return
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    raise UsageError(
        f"none of the {len(chosen):,} lines of {path} is a URL of {urls}. Correct the path after --redo, or "
        "SOURCE_URLS_FILE."
    )


def to_redo(looked: Looked, urls: Path, redone: Fingerprints) -> Fingerprints:
    """Return those of redone that this run will do again: the pending lines of its input among them."""
    found = Fingerprints()
    for _, url in survey.lines_with(survey.PENDING, urls, looked.work):
        line = url.encode("utf-8", "surrogateescape")
        if line in redone:
            found.add(line)
    return found


def forget_completed(state_dir: Path, urls: Fingerprints) -> int:
    """Take the completed rows of urls away and return their number; the old file is kept as .bak."""
    path = state_dir / COMPLETED
    forgotten = 0
    if not path.exists():
        return 0
    # the one named last is in its place first: no row is taken away that is not kept
    with replacing(path) as file, replacing(path.with_name(COMPLETED + ".bak")) as backup:
        for line in whole_lines(path):
            backup.write(line + b"\n")
            if line.partition(b"\t")[0] in urls:
                forgotten += 1
            else:
                file.write(line + b"\n")
    return forgotten


@contextmanager
def kept_input(settings: MigrationSettings) -> Iterator[MigrationSettings]:
    """Give settings whose list of URLs stays as it is during the run, which knows its lines by their numbers.

    That is a copy where SOURCE_URLS_FILE is this state's own failed_transfers.txt: a run writes that anew.
    """
    urls, failed = settings.source_urls_file, settings.state_dir / FAILED
    try:
        is_own = failed.exists() and urls.exists() and urls.samefile(failed)
        content = urls.open("rb") if is_own else None
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    if content is None:
        yield settings
        return
    copy = settings.state_dir / f"{FAILED}.input"
    with content, replacing(copy) as file:
        shutil.copyfileobj(content, file)
    try:
        yield dataclasses.replace(settings, source_urls_file=copy)
    finally:
        copy.unlink(missing_ok=True)


def look_through(settings: MigrationSettings, keys: KeyMaker, redone: Fingerprints | None = None) -> Looked:
    """Find out the fate of every line of the input; raise UsageError on collisions that are not allowed.

    What is on record as completed of the URLs in redone does not count. Writes collisions.txt where there are any.
    """
    state, urls = settings.state_dir, settings.source_urls_file
    owners = survey.completed_before(state / COMPLETED, keys, redone)
    examples: list[str] = []

    def on_malformed(url: str, why: str) -> None:
        if len(examples) < _SHOWN:
            examples.append(f"  '{printable(url)}': {why}")

    shown: list[Collision] = []
    with collisions_file(state / COLLISIONS, shown) as on_collision:
        work = survey.survey(urls, keys, owners, on_malformed, on_collision)
    if work.malformed:
        log.warning(
            "%s malformed lines in %s, among them:\n%s", f"{work.malformed:,}", urls, "\n".join(examples)
        )
    warn_of_naming(settings, work)
    if work.collisions and settings.on_collision == "refuse":
        raise UsageError(refusal(settings, work, shown))
    return Looked(work, owners)


def plan_job(
    settings: MigrationSettings,
    keys: KeyMaker,
    looked: Looked,
    chosen: Fingerprints | None,
    limit: int | None,
    now: float,
) -> Job:
    """Bring failed_transfers.txt up to date with the input, and choose what this run does.

    chosen are the URLs that the run is restricted to (None: all that are pending). Raise FatalError when
    the disk does not take it.
    """
    urls = settings.source_urls_file
    path = settings.state_dir / FAILED
    work, owners = looked
    _record_faults(keys, urls, work, path, now)
    records = sum(ledger.rebuild(path, lambda url: _is_completed(url, keys, owners)).values())
    failed_before = ledger.urls_in(path)
    failed_pending = 0
    todo = work.pending
    if failed_before or chosen is not None:
        for number, url in survey.lines_with(survey.PENDING, urls, work):
            line = url.encode("utf-8", "surrogateescape")
            failed_pending += line in failed_before
            if chosen is not None and line not in chosen:
                work.statuses[number] = survey.NOT_CHOSEN
                todo -= 1
    elsewhere = records - failed_pending - work.malformed - work.collisions
    return Job(urls, work, min(todo, limit or todo), failed_before, failed_pending, elsewhere)


def _is_completed(url: str, keys: KeyMaker, owners: Owners) -> bool:
    line = url.encode("utf-8", "surrogateescape")
    try:
        known = keys.known(line)
    except InvalidUrl:
        return False
    return owners.is_completed(line, known.key, known.told)


def _record_faults(keys: KeyMaker, urls: Path, work: UrlSurvey, path: Path, now: float) -> None:
    """Append the malformed and the colliding lines to path as failed; older records of them give way."""
    file = AppendFile(path)
    try:
        if work.malformed:
            for _, url in survey.lines_with(survey.MALFORMED, urls, work):
                try:
                    keys.address(url)
                except InvalidUrl as error:
                    file.append(failed_line(url, "malformed", 0, str(error), now))
        if work.collisions:
            for _, url in survey.lines_with(survey.COLLISION, urls, work):
                message = f"another URL has the key {keys.address(url).key}"
                file.append(failed_line(url, "collision", 0, message, now))
    finally:
        file.close()
