"""Where a collection begins: afresh, where the last run stopped, or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

from cdn2s3 import checkpoint
from cdn2s3.batch import Position
from cdn2s3.checkpoint import Checkpoint, Counts
from cdn2s3.errors import Fixable
from cdn2s3.places import FAILED, READ, WRITTEN, is_kept
from cdn2s3.settings import CollectionSettings
from cdn2s3.statefile import cannot_write
from cdn2s3.urllist import does_not_fit, rejected_file

log = logging.getLogger(__name__)


def lock_file(output: Path) -> Path:
    """Return the lock that a collection into OUTPUT_FILE holds."""
    return output.with_name(output.name + ".lock")


def check_places(settings: CollectionSettings, env_file: Path) -> None:
    """Raise Fixable when the files cannot lie where the settings put them; env_file holds the settings."""
    output, state = settings.output_file, settings.checkpoint_file
    for name, path in (("OUTPUT_FILE", output), ("CHECKPOINT_FILE", state)):
        if path.is_dir():
            raise Fixable(f"{name}={path} is a folder. Name a file.")
        if not path.parent.is_dir():
            raise Fixable(f"{name}={path}: there is no folder {path.parent}. Create it, or correct the path.")
        if is_kept(path, WRITTEN | READ | {FAILED, "collection.log"}, [env_file]):
            raise Fixable(
                f"{name}={path}: that is a file which the scripts read or keep for another use. Name another one."
            )
    places = [output, state, rejected_file(output), lock_file(output)]
    if len({path.resolve() for path in places}) < len(places):
        raise Fixable(
            f"OUTPUT_FILE={output} and CHECKPOINT_FILE={state} must be two files, neither of them "
            f"{rejected_file(output).name} or {lock_file(output).name}."
        )


def last_checkpoint(settings: CollectionSettings) -> Checkpoint | None:
    """Return where the last run stopped, None when there was none.

    Raise CannotGoOn when the checkpoint is damaged, Fixable when it belongs to other settings.
    """
    found = checkpoint.load(settings.checkpoint_file)
    if found is not None:
        now = checkpoint.source_settings(settings)
        checkpoint.check_settings(settings.checkpoint_file, found.settings, now)
    return found


def check_files(settings: CollectionSettings, complete: Checkpoint) -> None:
    """Raise CannotGoOn when urls.txt is shorter than the complete collection was."""
    output = settings.output_file
    size = output.stat().st_size if output.exists() else 0
    if size < complete.bytes:
        raise does_not_fit(output, f"it is {size} bytes long, the complete collection was {complete.bytes}")


def move_aside(settings: CollectionSettings) -> None:
    """Rename the files of the last collection to *.bak; raise CannotGoOn when that fails."""
    output = settings.output_file
    for path in (settings.checkpoint_file, output, rejected_file(output)):
        backup = path.with_name(path.name + ".bak")
        try:
            path.replace(backup)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise cannot_write(backup, error) from error
        log.info("%s is kept as %s", path, backup)


def begin_afresh(settings: CollectionSettings, position: Position) -> Checkpoint:
    """Write and return the checkpoint of a collection that has nothing yet.

    It is there before urls.txt, so that a crash at once leaves nothing that looks like somebody else's file.
    Raise Fixable when files are there that no checkpoint tells about.
    """
    output = settings.output_file
    for path in (output, rejected_file(output)):
        if path.exists() and path.stat().st_size:
            raise Fixable(
                f"{path} is there, but no checkpoint {settings.checkpoint_file} that tells how far it is. "
                "Put the checkpoint back, move the file away, or begin again with "
                "`python collect_urls.py --restart` (the file is kept as *.bak)."
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
