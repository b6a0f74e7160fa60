"""status.json: how far a run is, for `migrate.py --status` in another window.

The run replaces it every few seconds; nothing reads it but that command. A disk that does not take it costs a
warning, never the run.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import FatalError
from cdn2s3.file_names import STATUS_FILE
from cdn2s3.state.ledger import timestamp

log = logging.getLogger(__name__)

EVERY = 3.0  # seconds

# The phases of a run.
READING = "reading the list"
MOVING = "moving"
SECOND_PASS = "second pass"  # noqa: S105  # not a password
STOPPING = "stopping"
ENDING = "writing the reports"
ENDED = "ended"


class Figures(NamedTuple):
    """How far the whole job is."""

    done: int = 0  # URLs that are completed
    urls: int = 0  # that can be completed; 0: not known yet
    failed: int = 0  # URLs that have failed, in any run, and are not completed
    stored_bytes: int = 0  # by all runs
    run_stored: int = 0  # URLs completed by this run
    run_bytes: int = 0  # of these


class Pace(NamedTuple):
    """How fast it goes, and what limits it."""

    files_per_second: float | None = None  # over the last minute; None: not known yet
    bytes_per_second: float | None = None
    eta_seconds: float | None = None  # None: unknown
    limited_by: str = ""  # which endpoint limits the run and to what; "": none does


class Step(NamedTuple):
    """How far a phase is that is about other things than the figures of the job."""

    phase_done: int | None = None
    phase_of: int | None = None


class StatusFile:
    """Write status.json for one run; used by its main thread. Times are in seconds since the epoch."""

    def __init__(
        self,
        folder: Path,
        command: str,
        started: float,
        clock: Callable[[], float] = time.monotonic,
        name: str = STATUS_FILE,
    ) -> None:
        self._path = folder / name
        self._constant = {"pid": os.getpid(), "command": command, "started_at": timestamp(started)}
        self._clock = clock
        self._due = float("-inf")
        self._has_warned = False
        self._content: dict[str, Any] = {}
        self._figures = _figures_of(status_in(folder, name) or {})  # of the run before: they are the job's

    @property
    def is_due(self) -> bool:
        """Whether the last one is older than EVERY."""
        return self._clock() >= self._due

    def write(
        self,
        phase: str,
        figures: Figures | None = None,
        pace: Pace | None = None,
        step: Step | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Write how far the run is; figures None: as far as before; exit_code is None before its end.

        step is how far the phase is, None where the figures say that.
        """
        self._due = self._clock() + EVERY
        self._figures = figures or self._figures
        self._content = {
            **self._constant,
            "phase": phase,
            "exit_code": exit_code,
            **self._figures._asdict(),
            **(pace or Pace())._asdict(),
            **(step or Step())._asdict(),
        }
        self._replace()

    def stay(self) -> None:
        """Write once more what was written last, with the time of now, where that is due: nothing moves on."""
        if self.is_due and self._content:
            self._due = self._clock() + EVERY
            self._replace()

    def _replace(self) -> None:
        content = {**self._content, "at": timestamp(time.time())}
        try:
            with replacing(self._path) as file:
                file.write(json.dumps(content, indent=2).encode() + b"\n")
        except FatalError as error:
            if not self._has_warned:
                log.warning("--status will not show how far this run is: %s", error)
            self._has_warned = True


def status_in(folder: Path, name: str = STATUS_FILE) -> dict[str, Any] | None:
    """Return the content of status.json, or of another file like it.

    None where there is none, or it is not what a run writes.
    """
    try:
        found = json.loads((folder / name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_status(found) else None


def _is_status(found: dict[str, Any]) -> bool:
    numbers = (found.get(name) for name in ("pid", *Figures._fields))
    rates = (found.get(name, "") for name in Pace._fields[:-1])
    texts = (found.get(name) for name in ("command", "started_at", "at", "phase", "limited_by"))
    return (
        all(isinstance(value, int) for value in numbers)
        and all(value is None or isinstance(value, (int, float)) for value in rates)
        and all(isinstance(value, str) for value in texts)
        and "exit_code" in found
    )


def _figures_of(content: dict[str, Any]) -> Figures:
    """Return the figures in a status.json, none of them of a run; zeros where it has none."""
    names = [name for name in Figures._fields if name in content and not name.startswith("run_")]
    return Figures(**{name: content[name] for name in names})
