"""From the settings to how URLs become keys, and a warning of settings that are probably not meant."""

from __future__ import annotations

import logging

from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.planning.survey import Worklist
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)


def key_maker(settings: MigrationSettings) -> KeyMaker:
    """Return how URLs become keys under settings."""
    return KeyMaker(
        Naming(
            settings.url_prefix,
            settings.destination_prefix,
            settings.preserve_path_structure,
            settings.strip_path_prefix,
        )
    )


def warn_of_naming(settings: MigrationSettings, work: Worklist) -> None:
    """Warn of settings that are allowed, and give keys that hardly anybody wants."""
    prefix, strip = settings.destination_prefix, settings.strip_path_prefix
    if prefix and not prefix.endswith("/"):
        log.warning(
            "DESTINATION_PREFIX=%s does not end in /: keys begin with %sNAME, not %s/NAME", *[prefix] * 3
        )
    if prefix.startswith("/"):
        log.warning("DESTINATION_PREFIX=%s begins with /, and so does every key", prefix)
    if strip and not settings.preserve_path_structure:
        log.warning("STRIP_PATH_PREFIX is not used: it goes with PRESERVE_PATH_STRUCTURE=true")
    if work.unstripped and work.unstripped == work.pending + work.done:
        hint = " (a path is compared without its leading /)" if strip.startswith("/") else ""
        log.warning("STRIP_PATH_PREFIX=%s is the start of no URL's path%s", strip, hint)
    elif work.unstripped:
        log.warning("%d URLs lack STRIP_PATH_PREFIX and keep their whole path", work.unstripped)
