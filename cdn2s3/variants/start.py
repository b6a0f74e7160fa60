"""What is checked before variants.py contacts anything."""

from __future__ import annotations

import importlib.util
import logging
import shlex
import sys
from pathlib import Path

from cdn2s3 import file_names
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import run_binding
from cdn2s3.state.files import lock_holder
from cdn2s3.variants import undo

log = logging.getLogger(__name__)

REQUIREMENTS = "requirements-variants.txt"


def refuse_to_start(settings: MigrationSettings) -> None:
    """Raise UsageError or FatalError where neither variants can be made nor an undo begun."""
    if settings.destination == "local":
        raise UsageError(
            "DESTINATION=local: variants are made from a bucket, and stored there. For a folder, use a program of its "
            "own, such as ImageMagick's mogrify."
        )
    holder = lock_holder(settings.state_dir / file_names.MIGRATION_LOCK)
    if holder is not None:
        raise FatalError(
            f"migrate.py is running (process id {holder}): variants are made after the move. Wait until it ends."
        )
    run_binding.check(settings)


def refuse_to_make(settings: MigrationSettings) -> None:
    """Raise UsageError where no variants can be made."""
    if importlib.util.find_spec("PIL") is None:
        folder = Path(__file__).resolve().parents[2]
        prefix = "" if folder == Path.cwd() else f"{folder}/"
        install = f"{shlex.quote(sys.executable)} -m pip install -r {shlex.quote(prefix + REQUIREMENTS)}"
        raise UsageError(f"variants need Pillow, which this Python does not have. First run: {install}")
    refuse_prefix(settings.variants_prefix, settings.destination_prefix)
    if not (settings.state_dir / file_names.COMPLETED_FILE).exists():
        raise UsageError(
            f"there is no {file_names.COMPLETED_FILE} in {settings.state_dir.resolve()}, so there is nothing to make "
            f"variants of. Run `{command('migrate.py')}` first, or correct STATE_DIR."
        )


def refuse_prefix(variants: str, destination: str) -> None:
    """Raise UsageError where variants and originals could not be told apart by how their keys begin."""
    if not variants:
        raise UsageError("VARIANTS_PREFIX is empty: variants need a prefix of their own, such as variants/.")
    if variants.startswith(destination):
        raise UsageError(
            f"VARIANTS_PREFIX={variants!r} is within DESTINATION_PREFIX={destination!r}: validate.py would report "
            "every variant as unexpected. Choose a prefix beside it"
            + (", such as variants/." if destination else "; with an empty DESTINATION_PREFIX there is none.")
        )
    if destination.startswith(variants):
        raise UsageError(
            f"DESTINATION_PREFIX={destination!r} is within VARIANTS_PREFIX={variants!r}: a rule that removes the "
            "variants would remove the originals. Choose another VARIANTS_PREFIX, such as variants/."
        )


def open_undo(settings: MigrationSettings) -> str:
    """Return what to say about an undo that is not finished, "" where there is none."""
    size = undo.unfinished(settings.state_dir)
    if size is None:
        return ""
    words = ["--undo", *(["--size", size] if size else []), "--yes"]
    return f"an undo is not finished: run `{command('variants.py', *words)}` to finish it"
