"""The start of a collection: from the beginning, where the last run stopped, or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from pathlib import Path

from cdn2s3.atomic_file import cannot_write
from cdn2s3.collection import checkpoint
from cdn2s3.collection.base import Ending, Position, Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.evidence import verdict
from cdn2s3.collection.update import gone_doubt, gone_file
from cdn2s3.collection.update_journal import journal_file
from cdn2s3.collection.url_list import does_not_fit, rejected_file
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.file_names import COLLECTION_LOG, FAILED_FILE, LOCK_SUFFIX, READ, WRITTEN, is_kept
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.state.files import size_of

log = logging.getLogger(__name__)


def lock_file(output: Path) -> Path:
    """Return the lock that a collection into OUTPUT_FILE holds."""
    return output.with_name(output.name + LOCK_SUFFIX)


def check_places(settings: CollectionSettings, env_file: Path) -> None:
    """Raise UsageError when the settings put the files where they cannot be; env_file is the settings file."""
    output, state = settings.output_file, settings.checkpoint_file
    for name, path in (("OUTPUT_FILE", output), ("CHECKPOINT_FILE", state)):
        if path.is_dir():
            raise UsageError(f"{name}={path} is a folder, not a file.")
        if not path.parent.is_dir():
            raise UsageError(
                f"{name}={path}: there is no folder {path.parent}. Create it, or correct the path."
            )
        if is_kept(path, WRITTEN | READ | {FAILED_FILE, COLLECTION_LOG}, [env_file]):
            raise UsageError(
                f"{name}={path}: the scripts use that file for something else. Choose another name."
            )
    places = [output, state, rejected_file(output), lock_file(output)]
    if len({path.resolve() for path in places}) < len(places):
        raise UsageError(
            f"OUTPUT_FILE={output} and CHECKPOINT_FILE={state} must be two different files, and neither may be "
            f"{rejected_file(output).name} or {lock_file(output).name}."
        )


def last_checkpoint(settings: CollectionSettings) -> Checkpoint | None:
    """Return where the last run stopped, None if there was none, or one with other settings that collected nothing.

    Raise FatalError when the checkpoint is damaged, UsageError when it belongs to other settings.
    """
    found = checkpoint.load(settings.checkpoint_file)
    if found is None:
        return None
    now = checkpoint.source_settings(settings)
    if found.settings != now and found.is_blank and not any(map(_has_bytes, _lists(settings))):
        log.info("the checkpoint %s is empty: starting over", settings.checkpoint_file)
        return None
    checkpoint.check_settings(settings.checkpoint_file, found.settings, now)
    return found


def has_grown(settings: CollectionSettings, so_far: Checkpoint) -> bool:
    """Return whether URL_PREFIX has grown since, so that URLs were rejected that are wanted now."""
    return checkpoint.has_grown(so_far.settings, checkpoint.source_settings(settings))


def walk_again(settings: CollectionSettings, so_far: Checkpoint, position: Position) -> Checkpoint:
    """Write and return the checkpoint of a walk from the beginning, position, with the URLs so far kept."""
    log.info("URL_PREFIX has grown: walking again from the beginning; the URLs so far are kept")
    begun = so_far._replace(
        complete=False,
        counts=Counts(urls=so_far.counts.urls),
        rejected_bytes=0,
        position=position._asdict(),
        settings=checkpoint.source_settings(settings),
        evidence="",
        doubts=(),
        ending=None,
        again=True,
        update=None if so_far.complete else so_far.update,
    )
    checkpoint.save(settings.checkpoint_file, begun)
    return begun


def _lists(settings: CollectionSettings) -> tuple[Path, Path]:
    """Return the files for the URLs to migrate and for the rejected ones."""
    return settings.output_file, rejected_file(settings.output_file)


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def check_files(settings: CollectionSettings, complete: Checkpoint) -> None:
    """Raise FatalError when urls.txt is shorter than the complete collection was."""
    output = settings.output_file
    size = size_of(output)
    if size < complete.bytes:
        raise does_not_fit(
            output, f"it is {size} bytes long, but the complete collection was {complete.bytes}"
        )


def judged_again(settings: CollectionSettings, complete: Checkpoint) -> Verdict:
    """Return what a complete collection is worth under today's settings, and record it where that has changed.

    EXPECTED_TOTAL may have been set since then. How a checkpoint of an older version ended is not known: only its
    counts are judged.
    """
    found = verdict(complete.counts, settings_of(settings, complete), complete.ending)
    if complete.update is not None:
        found = found._replace(doubts=(*found.doubts, *gone_doubt(complete.update)))
    if found != Verdict(complete.evidence, complete.doubts):
        checkpoint.save(settings.checkpoint_file, complete._replace(**found._asdict()))
    return found


def doubted(settings: CollectionSettings, complete: Checkpoint, doubt: str) -> Verdict:
    """Record one more doubt about a complete collection, so that a later run repeats it; return what it is worth."""
    ending = complete.ending or Ending(complete.evidence, complete.evidence)
    found = Verdict(complete.evidence, (*complete.doubts, doubt))
    checkpoint.save(
        settings.checkpoint_file,
        complete._replace(**found._asdict(), ending=ending._replace(doubts=(*ending.doubts, doubt))),
    )
    return found


def settings_of(settings: CollectionSettings, so_far: Checkpoint) -> CollectionSettings:
    """Return the settings that a collection is judged by: an update's list holds what is gone, too."""
    if so_far.update is None:
        return settings
    return dataclasses.replace(settings, expected_total=None)


def move_aside(settings: CollectionSettings) -> None:
    """Rename the files of the last collection to *.bak, or remove them if they are empty.

    Earlier backups stay: then the files become *.bak.1 and so on, all with the same suffix. Raise FatalError
    when that fails.
    """
    output = settings.output_file
    files = [settings.checkpoint_file, *_lists(settings), gone_file(output), journal_file(output)]
    files = [path for path in files if path.exists()]
    keep = _has_anything(settings)
    ending = _free_ending(files)
    for path in files:
        backup = path.with_name(path.name + ending)
        try:
            if keep:
                path.replace(backup)
            else:
                path.unlink()
        except OSError as error:
            raise cannot_write(backup, error) from error
        if keep:
            log.info("%s is kept as %s", path, backup)


def _has_anything(settings: CollectionSettings) -> bool:
    """Return whether the files of the last collection are worth keeping."""
    if any(map(_has_bytes, _lists(settings))):
        return True
    try:
        found = checkpoint.load(settings.checkpoint_file)
    except FatalError:
        return True  # damaged: a person may still be able to use it
    return found is not None and not found.is_blank


def _free_ending(files: list[Path]) -> str:
    """Return the first of .bak, .bak.1, .bak.2 … that no backup of these files has.

    Of files alone: after a crash between two renames, the rest joins what was kept already.
    """
    endings = itertools.chain([".bak"], (f".bak.{number}" for number in itertools.count(1)))
    return next(end for end in endings if not any(path.with_name(path.name + end).exists() for path in files))


def begin_afresh(settings: CollectionSettings, position: Position) -> Checkpoint:
    """Write and return the checkpoint of a collection that has nothing yet.

    It exists before urls.txt, so that an early crash leaves nothing that looks like somebody else's file.
    Raise UsageError when files exist without a checkpoint.
    """
    for path in _lists(settings):
        if _has_bytes(path):
            raise UsageError(
                f"{path} exists, but no checkpoint {settings.checkpoint_file} that records its progress. "
                "Put the checkpoint back, move the file away, or "
                f"{checkpoint.start_over()}."
            )
    begun = Checkpoint(
        complete=False,
        counts=Counts(),
        bytes=0,
        rejected_bytes=0,
        position=position._asdict(),
        settings=checkpoint.source_settings(settings),
    )
    checkpoint.save(settings.checkpoint_file, begun)
    return begun
