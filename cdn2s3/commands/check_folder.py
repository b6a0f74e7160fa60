"""The checks of `migrate.py --check` of a folder for images: that it can be written to, and its free space."""

from __future__ import annotations

import shutil
from contextlib import closing

from cdn2s3.commands.check_context import FAILED, OK, WARNING, CheckContext, CheckResult
from cdn2s3.destinations.local_folder import open_folder
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.planning.cost_estimate import ASSUMED_BYTES
from cdn2s3.records import LOCAL
from cdn2s3.settings.placement import ALL
from cdn2s3.text import bytes_text


def check_folder(context: CheckContext) -> list[CheckResult]:
    """Store a probe twice, as a run does, and delete it."""
    settings = context.settings.by_place[LOCAL]
    try:
        with closing(open_folder(settings)) as folder:
            folder.prepare()
    except FatalError as error:
        return [CheckResult(FAILED, "folder", str(error), f"ls -ld {settings.local_root}")]
    said = f"{settings.destination_text} is writable; no existing file is replaced"
    if settings.on_existing == "overwrite":
        said = f"{settings.destination_text} is writable; ON_EXISTING=overwrite: existing files are replaced"
    return [CheckResult(OK, "folder", said)]


def check_free_space(context: CheckContext) -> list[CheckResult]:
    """Compare the free space of LOCAL_ROOT with what the pending images need, at an assumed size."""
    root, placement = context.settings.local_root, context.settings.placement
    share = 1 - placement.percent / ALL if placement.is_hybrid else placement.percent / ALL
    try:
        needed = context.pending * share * ASSUMED_BYTES
        free = shutil.disk_usage(str(root)).free
    except (UsageError, OSError):
        return []  # the checks of the input and of the folder report it
    said = f"{bytes_text(free)} free in {root}, about {bytes_text(needed)} needed for the images"
    if free < needed:
        return [CheckResult(WARNING, "free space", said, "make room, or set LOCAL_ROOT to a larger disk")]
    return [CheckResult(OK, "free space", said)]
