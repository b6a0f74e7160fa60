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
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import UsageError
from cdn2s3.file_names import COLLISIONS_FILE, COMPLETED_FILE, FAILED_FILE, FAILED_INPUT_FILE, REDO_FILE
from cdn2s3.keys import InvalidUrl, KeyMaker, ObjectId
from cdn2s3.planning import cost_estimate, redo
from cdn2s3.planning.collisions import Collision, collisions_file, collisions_text, warn_of_naming
from cdn2s3.planning.completed_rows import CompletedRows
from cdn2s3.planning.survey import (
    LineStatus,
    OnCollision,
    RecordObserver,
    UrlSurvey,
    completed_before,
    survey,
)
from cdn2s3.records import S3, Recorded, Task
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.placement import Placement
from cdn2s3.state import ledger, run_binding
from cdn2s3.state.files import AppendFile, cannot_read
from cdn2s3.state.key_index import Fingerprints, KeyIndex
from cdn2s3.state.ledger import decode_line, encode_line, failed_line
from cdn2s3.state.lines import input_lines
from cdn2s3.state.stored_times import StoredTimes
from cdn2s3.text import bytes_text, duration, pluralize, printable, redact

log = logging.getLogger(__name__)

SHOWN = 10  # malformed lines, and collisions
MANY = 1_000  # completed URLs; to do more of them again, --yes is needed


class Choice(NamedTuple):
    """Which part of the pending URLs a run is restricted to."""

    urls: Fingerprints | None = None  # their objects (KeyMaker.object_id); None: all of them
    redo: bool = False  # True: urls are done again where they are completed
    limit: int | None = None  # how many at most
    redo_file: str = ""  # what names the URLs of a redo that begins; "": it is one that has begun, or none
    yes: bool = False  # True: a redo of many completed URLs is meant


@dataclasses.dataclass
class RunPlan:
    """What a run does: --plan prints it, a run executes it."""

    work: UrlSurvey
    malformed: list[tuple[str, str]]  # the first such lines, each with what is wrong
    other_hosts: list[tuple[str, str]]  # likewise
    collisions: list[Collision]  # the first ones
    todo: int = 0  # URLs that the run will try
    chosen: int = 0  # the same without --limit
    redo: bool = False  # True: it does URLs again, of which so many are completed:
    redone: int = 0
    redone_bytes: int = 0  # of their objects
    recorded: Callable[[str], Recorded | None] = lambda line: (
        None
    )  # what the row of a line that is redone says
    stored: StoredTimes = dataclasses.field(default_factory=StoredTimes)  # by all earlier runs
    # The content of failed_transfers.txt when a run begins:
    failed_before: Fingerprints = dataclasses.field(default_factory=Fingerprints)  # its URLs
    failed_pending: int = 0  # how many of these are pending lines of the input
    failed_not_selected: int = 0  # how many are lines that are not selected
    failed_elsewhere: int = 0  # how many records there are besides, of URLs outside the input
    placement: Placement = Placement()
    # The objects whose image is in the folder and moves to the bucket now:
    moving: Fingerprints = dataclasses.field(default_factory=Fingerprints)

    def text(self) -> str:
        """Return in one line the state of the input and what this run does."""
        work = self.work
        others = f"{work.other_hosts:,} of other hosts, " if work.other_hosts else ""
        unselected = f"{self.not_selected:,} not selected, " if self.placement.is_partial else ""
        return (
            f"{work.lines:,} lines: {work.blank:,} blank, {work.duplicates:,} duplicates, "
            f"{work.malformed:,} malformed, {others}{work.collisions:,} collisions, {work.done:,} already done, "
            f"{unselected}{work.pending:,} pending; this run does {self.todo:,}"
        )

    @property
    def not_selected(self) -> int:
        """How many lines PERCENT leaves out: what failed before counts as failed."""
        return self.work.not_selected - self.failed_not_selected

    def to_bucket(self) -> int:
        """Return how many of the URLs that this run does go to the bucket."""
        if not self.placement.is_hybrid:
            return self.todo if self.placement.uses_bucket else 0
        return sum(task.place == S3 for task in self.tasks())

    def tasks(self) -> Iterator[Task]:
        """Yield the URLs to try, in the order of the input; raise FatalError when it can no longer be read."""
        pending = itertools.islice(self.work.lines_with(LineStatus.PENDING), self.todo)
        return (self.task(decode_line(line)) for _, line in pending)

    def task(self, line: str, attempts: int = 0, cause: str = "") -> Task:
        """Return the task of a line, with its history as in Task; raise FatalError when its row cannot be read."""
        recorded, octets = self.recorded(line), encode_line(line)
        if recorded is not None and self.placement.counts(octets, recorded.place):
            return Task(line, attempts, cause, recorded=recorded, place=recorded.place)
        return Task(line, attempts, cause, place=self.placement.place_of(octets))


def choose(
    settings: MigrationSettings,
    redo_of: Path | str | None,
    retry_failed: str | None,
    limit: int | None,
    yes: bool = False,
) -> Choice:
    """Return what --redo [FILE] ("": go on), --retry-failed [CAUSE] ("": all) and --limit N restrict a run to.

    yes allows a redo of many completed URLs. Raise UsageError if FILE cannot be read, or has no URL of the input.
    """
    object_id = key_maker(settings).object_id
    if redo_of is not None:
        return _choose_redo(settings, redo_of, limit, yes)
    if retry_failed is not None:
        failed = ledger.urls_in(settings.state_dir / FAILED_FILE, retry_failed, object_id)
        return Choice(failed, False, limit)
    return Choice(limit=limit)


def _choose_redo(settings: MigrationSettings, file: Path | str, limit: int | None, yes: bool) -> Choice:
    """Return the choice of a redo: what is left of the open one, and what file ("": none) has beyond it."""
    keys, state = key_maker(settings), settings.state_dir
    opened = redo.open_redo(state)
    if not file or Path(file).absolute() == (state / REDO_FILE).absolute():
        if opened is None:
            raise UsageError("no redo is open: name the file of its URLs after --redo, such as missing.txt.")
        return Choice(redo.objects_left(state, keys, opened), True, limit, yes=True)
    path = Path(file)
    urls = urls_of(path, "--redo", keys.object_id)
    refuse_strangers(path, urls, settings.source_urls_file, keys.object_id)
    if opened is None:
        return Choice(urls, True, limit, str(path), yes)
    left, known = redo.objects_left(state, keys, opened), redo.objects(state, keys)
    if all(keys.object_id(line) in known for line in input_lines(path) if line.strip()):
        log.info("going on with the redo of %s", opened.file)
        return Choice(left, True, limit, yes=True)
    for line in redo.lines_of(state):
        if (object_id := keys.object_id(line)) in left:
            urls.add(object_id)
    return Choice(urls, True, limit, f"{opened.file} and {path}", yes)


def plan_run(
    settings: MigrationSettings,
    keys: KeyMaker,
    choice: Choice,
    on_collision: OnCollision | None = None,
    observer: RecordObserver | None = None,
) -> tuple[RunPlan, KeyIndex]:
    """Read the input, which observer may watch; return the plan, and the key index.

    The index takes memory: do not keep it longer than needed. Warn of settings that are rarely intended.
    Raise UsageError for input that cannot be used.
    """
    redone = choice.urls if choice.redo else None
    placement, stored = settings.placement, StoredTimes()
    completed = completed_before(
        settings.state_dir / COMPLETED_FILE, keys, redone, observer, placement, stored
    )
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
    chosen = _leave_out(work, keys, choice.urls)
    plan = RunPlan(work, malformed, other_hosts, collisions, min(chosen, choice.limit or chosen), chosen)
    plan.placement, plan.moving = placement, completed.index.moving
    plan.redo, plan.redone, plan.redone_bytes = choice.redo, len(completed.redone), completed.redone_bytes
    if completed.redone:
        plan.recorded = redo.RedoneRows(
            keys, completed.redone, completed.lines, run_binding.first_place(settings)
        ).of
    plan.stored = stored
    return plan, completed.index


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


def admitted_plan(
    settings: MigrationSettings, keys: KeyMaker, choice: Choice, observer: RecordObserver | None = None
) -> tuple[RunPlan, KeyIndex]:
    """Return what plan_run returns; raise UsageError on collisions that are not allowed.

    Write collisions.txt if there are any.
    """
    path = settings.state_dir / COLLISIONS_FILE
    with collisions_file(path) as on_collision:
        plan, index = plan_run(settings, keys, choice, on_collision, observer)
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


def prepare_run(
    settings: MigrationSettings, keys: KeyMaker, choice: Choice, now: float, rows: CompletedRows | None = None
) -> RunPlan:
    """Plan a run, and bring the state up to date with the plan: its destination, its records; fill rows.

    now is in seconds since the epoch. Raise UsageError for unusable input, before the state
    changes; FatalError when the disk does not take it.
    """
    plan, index = admitted_plan(settings, keys, choice, rows)
    if rows is not None:
        rows.settle(plan.work, index)
    if plan.redone > MANY and not choice.yes:
        raise UsageError(_large_redo(settings, plan, choice))
    run_binding.bind(settings)
    if choice.redo_file:
        redo.begin(
            settings.state_dir,
            choice.redo_file,
            (line for _, line in plan.work.lines_with(LineStatus.PENDING)),
        )
    if choice.redo:
        log.info("redo of %s URLs, %s of them completed", f"{plan.chosen:,}", f"{plan.redone:,}")
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


def _large_redo(settings: MigrationSettings, plan: RunPlan, choice: Choice) -> str:
    """Return what a redo of many completed URLs costs, and how to say that it is meant."""
    speed = cost_estimate.rate(settings, plan.redone_bytes / plan.redone)
    seconds = duration(plan.redone / speed.files_per_second)
    return (
        f"--redo would transfer {plan.redone:,} completed images again: {bytes_text(plan.redone_bytes)}, {seconds} at "
        f"{speed.files_per_second:,.0f} files/s ({speed.source}). If that is meant, run "
        f"`{command('migrate.py', '--redo', choice.redo_file, '--yes')}`."
    )


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

    def recorded_as_failed(status: LineStatus) -> int:
        return sum(keys.object_id(line) in before for _, line in work.lines_with(status))

    _record_faults(keys, work, path, now)
    kept = ledger.rebuild(path, is_completed, note, keys.object_id, is_obsolete)
    if before:
        for status in (LineStatus.PENDING, LineStatus.NOT_CHOSEN):
            plan.failed_pending += recorded_as_failed(status)
        plan.failed_not_selected = recorded_as_failed(LineStatus.NOT_SELECTED)
    of_input = plan.failed_pending + plan.failed_not_selected + work.unfetchable + work.collisions
    plan.failed_elsewhere = sum(kept.values()) - of_input


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


def refuse_strangers(
    path: Path, chosen: Fingerprints, urls: Path, object_id: ObjectId = bytes, option: str = "--redo"
) -> None:
    """Raise UsageError where path, whose objects are chosen, has lines and none of them is one of urls."""
    try:
        if not len(chosen) or any(object_id(line) in chosen for line in input_lines(urls)):
            return
    except OSError as error:
        raise cannot_read(urls, error, "SOURCE_URLS_FILE") from error
    raise UsageError(
        f"none of the {len(chosen):,} lines of {path} is a URL in {urls}. Correct the path after {option}, or "
        "SOURCE_URLS_FILE."
    )


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
