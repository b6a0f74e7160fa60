"""Whose state this is: run.json binds a STATE_DIR to one destination, and a collection to its end."""

from __future__ import annotations

import json
from pathlib import Path

from cdn2s3.errors import CannotGoOn, Fixable
from cdn2s3.settings import MigrationSettings, shown
from cdn2s3.statefile import cannot_read, lock_holder, replacing

LOCK = "migration.lock"
RUN = "run.json"
_BOUND = (
    "AWS_ENDPOINT_URL", "DESTINATION_BUCKET", "DESTINATION_PREFIX",
    "PRESERVE_PATH_STRUCTURE", "STRIP_PATH_PREFIX", "URL_PREFIX",
)  # fmt: skip


def bind(settings: MigrationSettings) -> None:
    """Write run.json at a state's first run; later raise Fixable when it belongs to another destination."""
    if is_bound(settings):
        check(settings)
        return
    with replacing(settings.state_dir / RUN) as file:
        file.write(json.dumps(_destination(settings), indent=2, ensure_ascii=False).encode() + b"\n")


def check(settings: MigrationSettings) -> None:
    """Raise Fixable when there is a state that belongs to another destination."""
    if not is_bound(settings):
        return
    before, now = _read(settings.state_dir / RUN), _destination(settings)
    changed = [name for name in _BOUND if before.get(name) != now[name]]
    if changed:
        differences = "\n".join(f"  - {name}: was {before.get(name)!r}, is {now[name]!r}" for name in changed)
        raise Fixable(
            f"the state in {settings.state_dir.resolve()} belongs to another destination:\n{differences}\n"
            "Restore the setting, or use another STATE_DIR."
        )


def _destination(settings: MigrationSettings) -> dict[str, str]:
    return {name: shown(settings)[name] for name in _BOUND}


def is_bound(settings: MigrationSettings) -> bool:
    """Tell whether there is a state of an earlier run."""
    return (settings.state_dir / RUN).exists()


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise CannotGoOn(
            f"{path} cannot be read as JSON. It says which destination the state files belong to: restore it "
            "from a copy, or remove it when you are sure that the settings are those of the first run."
        )
    return content


def refuse_while_collecting(urls: Path) -> None:
    """Raise CannotGoOn while collect_urls.py is writing urls."""
    holder = lock_holder(urls.with_name(urls.name + ".lock"))
    if holder is not None:
        raise CannotGoOn(f"collect_urls.py is still writing {urls} (process id {holder}). Let it end first.")


def unfinished_collection(urls: Path) -> str | None:
    """Return a warning when the checkpoint beside urls says that it is not complete, else None."""
    checkpoint = urls.with_name("checkpoint.json")
    try:
        complete = json.loads(checkpoint.read_bytes()).get("complete")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None if not checkpoint.exists() else f"{checkpoint} cannot be read: is {urls} complete?"
    if complete:
        return None
    return f"{urls} is not complete: its collection was stopped. Run `python collect_urls.py` to finish it."


def make_state_dir(folder: Path) -> None:
    """Make STATE_DIR where it is not there yet; raise Fixable when that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fixable(f"STATE_DIR {folder} cannot be made: {error.strerror}. Correct the path.") from error
