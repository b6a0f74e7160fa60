"""The plan of one run of migrate.py, made from its input before anything is contacted."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import UsageError
from cdn2s3.file_names import COLLISIONS_FILE, COMPLETED_FILE, FAILED_FILE, FAILED_INPUT_FILE
from cdn2s3.keys import InvalidUrl, KeyMaker, ObjectId
from cdn2s3.planning.collisions import Collision, collisions_file, collisions_text, warn_of_naming
from cdn2s3.planning.survey import LineStatus, OnCollision, UrlSurvey, completed_before, survey
from cdn2s3.records import Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import ledger, run_binding
from cdn2s3.state.files import AppendFile, cannot_read
from cdn2s3.state.key_index import Fingerprints, KeyIndex
from cdn2s3.state.ledger import decode_line, encode_line, failed_line
from cdn2s3.state.lines import input_lines, whole_lines
from cdn2s3.text import pluralize, printable, redact

log = logging.getLogger(__name__)

SHOWN = 10  # malformed lines, and collisions


class Choice(NamedTuple):
    """Which part of the pending URLs a run is restricted to."""

    urls: Fingerprints | None = None  # their objects (KeyMaker.object_id); None: all of them
    redo: bool = False  # True: urls are done again where they are completed
    limit: int | None = None  # how many at most


@dataclasses.dataclass
class RunPlan:
    """What a run does: --plan prints it, a run executes it."""

    work: UrlSurvey
    malformed: list[tuple[str, str]]  # the first such lines, each with what is wrong
    other_hosts: list[tuple[str, str]]  # likewise
    collisions: list[Collision]  # the first ones
    todo: int = 0  # URLs that the run will try
    # The content of failed_transfers.txt when a run begins:
    failed_before: Fingerprints = dataclasses.field(default_factory=Fingerprints)  # its URLs
    failed_pending: int = 0  # how many of these are pending lines of the input
    failed_elsewhere: int = 0  # how many records there are besides, of URLs outside the input

    def text(self) -> str:
        """Return in one line the state of the input and what this run does."""
        work = self.work
        others = f"{work.other_hosts:,} of other hosts, " if work.other_hosts else ""
        return (
            f"{work.lines:,} lines: {work.blank:,} blank, {work.duplicates:,} duplicates, "
            f"{work.malformed:,} malformed, {others}{work.collisions:,} collisions, {work.done:,} already done, "
            f"{work.pending:,} pending; this run does {self.todo:,}"
        )

    def tasks(self) -> Iterator[Task]:
        """Yield the URLs to try, in the order of the input; raise FatalError when it can no longer be read."""
        pending = itertools.islice(self.work.lines_with(LineStatus.PENDING), self.todo)
        return (Task(decode_line(line)) for _, line in pending)


def choose(
    settings: MigrationSettings, redo: Path | None, retry_failed: str | None, limit: int | None
) -> Choice:
    """Return what --redo FILE, --retry-failed [CAUSE] ("" for all) and --limit N restrict a run to.

    Raise UsageError if FILE cannot be read, or has no URL of the input.
    """
    object_id = key_maker(settings).object_id
    if redo is not None:
        urls = urls_of(redo, "--redo", object_id)
        refuse_strangers(redo, urls, settings.source_urls_file, object_id)
        return Choice(urls, True, limit)
    if retry_failed is not None:
        failed = ledger.urls_in(settings.state_dir / FAILED_FILE, retry_failed, object_id)
        return Choice(failed, False, limit)
    return Choice(limit=limit)


def plan_run(
    settings: MigrationSettings, keys: KeyMaker, choice: Choice, on_collision: OnCollision | None = None
) -> tuple[RunPlan, KeyIndex]:
    """Read the input; return the plan, and the key index.

    The index takes memory: do not keep it longer than needed. Warn of settings that are rarely intended.
    Raise UsageError for input that cannot be used.
    """
    redone = choice.urls if choice.redo else None
    completed = completed_before(settings.state_dir / COMPLETED_FILE, keys, redone)
    malformed: list[tuple[str, str]] = []
    other_hosts: list[tuple[str, str]] = []
    collisions: list[Collision] = []

    def note_malformed(url: str, why: InvalidUrl) -> None:
        shown = other_hosts if why.other_host else malformed
        if len(shown) < SHOWN:
            shown.append((url, str(why)))

    def note_collision(key: str, first: str, url: str) -> None:
        if len(collisions) < SHOWN:
            collisions.append(Collision(key, first, url))
        if on_collision is not None:
            on_collision(key, first, url)

    work = survey(settings.source_urls_file, keys, completed, note_malformed, note_collision)
    warn_of_naming(settings, work)
    todo = _leave_out(work, keys, choice.urls)
    return RunPlan(work, malformed, other_hosts, collisions, min(todo, choice.limit or todo)), completed.index


def _leave_out(work: UrlSurvey, keys: KeyMaker, chosen: Fingerprints | None) -> int:
    """Mark the pending lines that are none of chosen (None: all are); return how many stay."""
    if chosen is None:
        return work.pending
    todo = 0
    for number, line in work.lines_with(LineStatus.PENDING):
        if keys.object_id(line) in chosen:
            todo += 1
        else:
            work.statuses[number] = LineStatus.NOT_CHOSEN
    return todo


def admitted_plan(settings: MigrationSettings, keys: KeyMaker, choice: Choice) -> tuple[RunPlan, KeyIndex]:
    """Return what plan_run returns; raise UsageError on collisions that are not allowed.

    Write collisions.txt if there are any.
    """
    path = settings.state_dir / COLLISIONS_FILE
    with collisions_file(path) as on_collision:
        plan, index = plan_run(settings, keys, choice, on_collision)
    if plan.malformed:
        log.warning(
            "%s malformed lines in %s, among them:\n%s",
            f"{plan.work.malformed:,}",
            settings.source_urls_file,
            "\n".join(f"  '{printable(url)}': {why}" for url, why in plan.malformed),
        )
    if plan.other_hosts:
        log.warning("%s", other_hosts_text(plan))
    if plan.work.collisions and settings.on_collision == "refuse":
        lines = collisions_text(settings, plan.work.collisions, plan.collisions, path)
        raise UsageError("\n".join(lines))
    return plan, index


def prepare_run(settings: MigrationSettings, keys: KeyMaker, choice: Choice, now: float) -> RunPlan:
    """Plan a run, and bring the state up to date with the plan: its destination, its records.

    now is in seconds since the epoch. Raise UsageError for unusable input, before the state
    changes; FatalError when the disk does not take it.
    """
    plan, index = admitted_plan(settings, keys, choice)
    run_binding.bind(settings)
    if choice.redo:
        forgotten = forget_completed(
            settings.state_dir, _pending_objects(plan.work, keys.object_id), keys.record_id
        )
        log.info("%s completed rows removed", f"{forgotten:,}")
    _update_failures(settings.state_dir / FAILED_FILE, plan, keys, index, now)
    return plan


def other_hosts_text(plan: RunPlan) -> str:
    """Return how many lines are of hosts that URL_PREFIX does not name, of which hosts, and what to do."""
    hosts = ", ".join(f"{count:,} of {host}" for host, count in plan.work.by_host.most_common(SHOWN))
    example = redact(printable(plan.other_hosts[0][0]))
    return (
        f"{pluralize(plan.work.other_hosts, 'URL is', 'URLs are')} of other hosts and not moved: {hosts}; for "
        f"example {example}. To move them too, add https://HOST/ to URL_PREFIX, separated by a space."
    )


def _pending_objects(work: UrlSurvey, object_id: ObjectId) -> Fingerprints:
    objects = Fingerprints()
    for _, line in work.lines_with(LineStatus.PENDING):
        objects.add(object_id(line))
    return objects


def _update_failures(path: Path, plan: RunPlan, keys: KeyMaker, index: KeyIndex, now: float) -> None:
    """Record malformed and colliding lines in path as failed, drop records of completed URLs, count the rest."""
    work, before = plan.work, plan.failed_before

    def is_completed(line: bytes) -> bool:
        try:
            key, _, reversible, identity = keys.known(line)
        except InvalidUrl:
            return False
        return index.is_completed(identity, key, reversible)

    def is_obsolete(record: ledger.Failed) -> bool:
        """Return whether record says of a line that it may not be fetched, which it may by now."""
        return record.cause in ("malformed", "other_host") and keys.may_be_fetched(encode_line(record.url))

    def note(record: ledger.Failed) -> None:
        before.add(keys.object_id(encode_line(record.url)))

    _record_faults(keys, work, path, now)
    kept = ledger.rebuild(path, is_completed, note, keys.object_id, is_obsolete)
    if before:
        for status in (LineStatus.PENDING, LineStatus.NOT_CHOSEN):
            plan.failed_pending += sum(keys.object_id(line) in before for _, line in work.lines_with(status))
    plan.failed_elsewhere = sum(kept.values()) - plan.failed_pending - work.unfetchable - work.collisions


def _record_faults(keys: KeyMaker, work: UrlSurvey, path: Path, now: float) -> None:
    """Append the malformed and the colliding lines to path as failed, replacing older records of them."""
    file = AppendFile(path)
    try:
        for status in (LineStatus.MALFORMED, LineStatus.OTHER_HOST):
            for _, line in work.lines_with(status):
                try:
                    keys.known(line)
                except InvalidUrl as error:
                    file.append(failed_line(decode_line(line), error.cause, 0, str(error), now))
        for _, line in work.lines_with(LineStatus.COLLISION):
            message = f"another URL has the key {keys.known(line)[0].decode()}"
            file.append(failed_line(decode_line(line), "collision", 0, message, now))
    finally:
        file.close()


def urls_of(path: Path, option: str, object_id: ObjectId = bytes) -> Fingerprints:
    """Return the objects of the lines of a file that the user named with option.

    Raise UsageError when it cannot be read.
    """
    try:
        urls = Fingerprints()
        for line in input_lines(path):
            if line.strip():
                urls.add(object_id(line))
        return urls
    except OSError as error:
        raise cannot_read(path, error, option) from error


def refuse_strangers(path: Path, chosen: Fingerprints, urls: Path, object_id: ObjectId = bytes) -> None:
    """Raise UsageError where path, whose objects are chosen, has lines and none of them is one of urls."""
    try:
        if not len(chosen) or any(object_id(line) in chosen for line in input_lines(urls)):
            return
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    raise UsageError(
        f"none of the {len(chosen):,} lines of {path} is a URL in {urls}. Correct the path after --redo, or "
        "SOURCE_URLS_FILE."
    )


def forget_completed(
    state_dir: Path, objects: Fingerprints, record_id: Callable[[bytes, bytes], bytes] = lambda url, key: url
) -> int:
    """Remove the completed rows of objects and return their number; the old file is kept as .bak.

    record_id returns the object of a row, from its URL and its key (KeyMaker.record_id).
    """
    path = state_dir / COMPLETED_FILE
    forgotten = 0
    if not path.exists():
        return 0
    # .bak is in place first: no row is removed without a backup
    with replacing(path) as file, replacing(path.with_name(COMPLETED_FILE + ".bak")) as backup:
        for line in whole_lines(path):
            backup.write(line + b"\n")
            url, _, rest = line.partition(b"\t")
            if record_id(url, rest.partition(b"\t")[0]) in objects:
                forgotten += 1
            else:
                file.write(line + b"\n")
    return forgotten


@contextmanager
def kept_input(settings: MigrationSettings) -> Iterator[MigrationSettings]:
    """Yield settings whose list of URLs does not change during the run, which refers to lines by number.

    That is a copy if SOURCE_URLS_FILE is this state's own failed_transfers.txt, which a run rewrites.
    """
    urls, failed = settings.source_urls_file, settings.state_dir / FAILED_FILE
    try:
        is_own = failed.exists() and urls.exists() and urls.samefile(failed)
        content = urls.open("rb") if is_own else None
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    if content is None:
        yield settings
        return
    copy = settings.state_dir / FAILED_INPUT_FILE
    with content, replacing(copy) as file:
        shutil.copyfileobj(content, file)
    try:
        yield dataclasses.replace(settings, source_urls_file=copy)
    finally:
        copy.unlink(missing_ok=True)
