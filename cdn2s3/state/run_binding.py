"""The run binding: run.json binds a STATE_DIR to one destination. Also: whether a collection is complete.

A stored object binds: while completed.txt has no row, the state is rebound to another destination.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cdn2s3.atomic_file import cannot_write, replacing, sync_folder
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.file_names import CHECKPOINT_FILE, COMPLETED_FILE, FAILED_FILE, LOCK_SUFFIX, RUN_FILE
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import redacted_values
from cdn2s3.settings.placement import Placement
from cdn2s3.state.files import cannot_read, shared_lock
from cdn2s3.state.lines import whole_lines
from cdn2s3.url_prefixes import is_only_extended

log = logging.getLogger(__name__)

_BOUND = (
    "AWS_ENDPOINT_URL", "DESTINATION_BUCKET", "DESTINATION_PREFIX",
    "PRESERVE_PATH_STRUCTURE", "STRIP_PATH_PREFIX", "URL_PREFIX", "DESTINATION", "LOCAL_ROOT", "KEY_QUERY_PARAMS",
)  # fmt: skip
_RECORDED = ("IGNORED_QUERY_PARAMS", "PERCENT")  # shown, not bound
_INTEGRITY = "integrity"  # likewise: not what is set, but what the last run went by
_WHEN_ABSENT = {
    "DESTINATION": "s3",
    "LOCAL_ROOT": "",
    "KEY_QUERY_PARAMS": "",
    "IGNORED_QUERY_PARAMS": "",
    "PERCENT": "100",
}  # in a run.json that is older than these settings
_OF_BUCKETS = ("AWS_ENDPOINT_URL", "DESTINATION_BUCKET")


def bind(settings: MigrationSettings) -> None:
    """Write run.json before anything is stored; raise UsageError when something is stored at another destination.

    For the holder of the state's lock.
    """
    check(settings)
    if (settings.state_dir / RUN_FILE).exists():
        changed = _changed(settings)
        if changed:
            _forget_failures(settings.state_dir)
            log.info(
                "nothing was stored yet: this state now belongs to %s (changed: %s)",
                settings.destination_text,
                ", ".join(changed),
            )
    _write(settings, _destination(settings))


def note_integrity(settings: MigrationSettings, mode: str) -> None:
    """Add to run.json what the last run went by: auto, md5 or crc32; for the holder of the state's lock.

    It binds nothing. Raise FatalError when the disk does not take it.
    """
    _write(settings, {_INTEGRITY: mode})


def _write(settings: MigrationSettings, values: Mapping[str, str]) -> None:
    """Put values into run.json, unless it has them."""
    path = settings.state_dir / RUN_FILE
    before = _read(path) if path.exists() else {}
    after = {**before, **values}
    if before != after or not path.exists():
        with replacing(path) as file:
            file.write(json.dumps(after, indent=2, ensure_ascii=False).encode() + b"\n")


def check(settings: MigrationSettings) -> None:
    """Raise UsageError when something is stored that belongs to another destination."""
    if not is_bound(settings):
        return
    before, now = _read(settings.state_dir / RUN_FILE), _destination(settings)
    differences = "\n".join(f"  - {n}: was {before.get(n)!r}, now {now[n]!r}" for n in _changed(settings))
    if differences:
        raise UsageError(
            f"the state in {settings.state_dir.resolve()} belongs to another destination:\n{differences}\n"
            "Restore the setting, or use another STATE_DIR."
        )


def is_bound(settings: MigrationSettings) -> bool:
    """Return whether an earlier run has stored something, which binds the state to its destination."""
    stored = next(whole_lines(settings.state_dir / COMPLETED_FILE), None) is not None
    return stored and (settings.state_dir / RUN_FILE).exists()


def first_place(settings: MigrationSettings) -> str:
    """Return where the objects of rows of older versions are, which do not say it: records.S3 or LOCAL."""
    path = settings.state_dir / RUN_FILE
    kind = (_read(path) if path.exists() else _WHEN_ABSENT)["DESTINATION"]
    return Placement(kind).place_of_old_rows


def is_rebound(settings: MigrationSettings) -> bool:
    """Return whether the records of failures belong to another destination, where nothing was stored."""
    return not is_bound(settings) and (settings.state_dir / RUN_FILE).exists() and bool(_changed(settings))


def _changed(settings: MigrationSettings) -> list[str]:
    """Return the names of the settings in which run.json differs from settings."""
    before, now = _read(settings.state_dir / RUN_FILE), _destination(settings)
    if not is_bound(settings):
        return [name for name in _BOUND if before.get(name) != now[name]]
    return [name for name in _BOUND if not _is_same(name, str(before.get(name)), now[name])]


def _is_same(name: str, before: str, now: str) -> bool:
    """Return whether a setting still is what it was, for what is stored; one more URL_PREFIX takes nothing away."""
    return before == now or (name == "URL_PREFIX" and is_only_extended(before, now))


def _forget_failures(state_dir: Path) -> None:
    """Move the records of failures aside: their keys, bucket and URL_PREFIX are obsolete.

    Before run.json is written: stopped in between, the next run does both again.
    """
    path = state_dir / FAILED_FILE
    if not path.exists():
        return
    try:
        path.replace(path.with_name(FAILED_FILE + ".bak"))
        sync_folder(state_dir)
    except OSError as error:
        raise cannot_write(path, error) from error


def _destination(settings: MigrationSettings) -> dict[str, str]:
    """Return the values of settings for run.json: "" for those that this kind of destination does not use."""
    bound = {name: redacted_values(settings)[name] for name in (*_BOUND, *_RECORDED)}
    unused = () if settings.placement.uses_bucket else _OF_BUCKETS
    return {**bound, **dict.fromkeys(unused, ""), "LOCAL_ROOT": settings.local_folder}


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FatalError(
            f"{path} cannot be read as JSON. It records which destination the state files belong to: restore it "
            "from a copy, or delete it if you are sure that the settings are those of the first run."
        )
    return {**_WHEN_ABSENT, **content}


@contextmanager
def standing_still(urls: Path) -> Iterator[None]:
    """Keep collect_urls.py from changing urls while the block runs; raise FatalError while it is writing it."""
    with shared_lock(urls.with_name(urls.name + LOCK_SUFFIX)) as holder:
        if holder is not None:
            raise FatalError(
                f"collect_urls.py is still writing {urls} (process id {holder}). Wait until it ends."
            )
        yield


def unfinished_collection(urls: Path) -> str | None:
    """Return a warning when the checkpoint beside urls says that it is not complete, or may be short, else None."""
    checkpoint = urls.with_name(CHECKPOINT_FILE)
    try:
        found = json.loads(checkpoint.read_bytes())
        is_complete, evidence, doubts = found.get("complete"), found.get("evidence"), found.get("doubts")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None if not checkpoint.exists() else f"{checkpoint} cannot be read: is {urls} complete?"
    if not is_complete:
        return f"{urls} is not complete: its collection was stopped. Run `{command('collect_urls.py')}` to finish it."
    if evidence == "" and doubts:
        return f"{urls} may be short: nothing confirms its end. `{command('collect_urls.py')}` says why."
    return None


def make_state_dir(folder: Path) -> None:
    """Create STATE_DIR if it does not exist; raise UsageError when that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"STATE_DIR {folder} cannot be created: {error.strerror}. Correct the path."
        ) from error
