"""The journal: runs.txt has one line a run of every script, events.txt what happened in them.

A run is open from its `start` in events.txt to its line in runs.txt. What a kill left open, the next run of the same
script closes: with exit code `-`, counted from completed.txt. The journal tells the story and decides nothing, so a
disk that does not take it costs a warning, never the run.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, NamedTuple

from cdn2s3 import __version__
from cdn2s3.console.signals import Interrupted
from cdn2s3.errors import FatalError
from cdn2s3.file_names import COMPLETED_FILE, EVENTS_FILE, RUNS_FILE
from cdn2s3.records import FOUND, RENEWED, REPLACED, STORED
from cdn2s3.state.files import AppendFile, size_of
from cdn2s3.state.ledger import completed, seconds_of, timestamp
from cdn2s3.state.lines import encode, whole_lines
from cdn2s3.text import redact

log = logging.getLogger(__name__)

UNKNOWN = "-"
START = "start"  # detail: JSON with the command, and how long completed.txt was
PLAN = "plan"  # detail: JSON with what the run is to do, and the hours and dollars that are expected
MACHINE = "machine"  # detail: JSON
DOWN, UP = "down", "up"  # of one side: source, bucket or folder
THROTTLED, UNTHROTTLED = "throttled", "unthrottled"  # likewise
STOP = "stop"  # detail: what stopped the run before its end
RECOVERED = "recovered"  # detail: how many URLs that an earlier run had failed are stored by now
ENDS = {DOWN: UP, THROTTLED: UNTHROTTLED}


class Totals(NamedTuple):
    """What a run did; None: unknown, since it was killed."""

    stored: int | None = 0  # objects that were not there before
    renewed: int | None = 0
    replaced: int | None = 0
    found: int | None = 0  # that were there already, equal
    undone: int | None = 0
    failed: int | None = 0  # URLs
    size: int | None = 0  # bytes of the stored, the renewed, the replaced and the found
    retries: int | None = 0  # attempts
    throttled: int | None = 0  # seconds
    down: int | None = 0  # seconds

    @property
    def images(self) -> int:
        """How many images were completed."""
        return (self.stored or 0) + (self.renewed or 0) + (self.replaced or 0) + (self.found or 0)


class Run(NamedTuple):
    """A line of runs.txt."""

    started: int  # seconds since the epoch
    ended: int  # likewise
    command: str  # as it was typed, without python
    exit_code: int | None  # None: it was killed
    totals: Totals
    version: str  # of this tool

    @property
    def script(self) -> str:
        return self.command.partition(" ")[0]


class Event(NamedTuple):
    """A line of events.txt."""

    at: int  # seconds since the epoch
    run: int  # when its run started
    event: str
    side: str  # source, bucket, folder, or UNKNOWN where it is of neither
    detail: str

    @property
    def facts(self) -> dict[str, Any]:
        """The detail of a START, a PLAN or a MACHINE; empty where it cannot be read."""
        try:
            found = json.loads(self.detail)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Span(NamedTuple):
    """A time in which a side was down, or throttled."""

    event: str  # DOWN or THROTTLED
    side: str
    began: int  # seconds since the epoch
    ended: int
    detail: str


def run_line(run: Run) -> bytes:
    """Return the line of runs.txt."""
    numbers = (UNKNOWN if value is None else str(value) for value in (run.exit_code, *run.totals))
    return encode((timestamp(run.started), timestamp(run.ended), run.command, *numbers, run.version))


def run_of(line: bytes) -> Run | None:
    """Return the run in a line of runs.txt, None if there is none."""
    fields = line.decode("utf-8", "replace").split("\t")
    if len(fields) != 5 + len(Totals._fields):
        return None
    started, ended = seconds_of(fields[0]), seconds_of(fields[1])
    try:
        code, *totals = (None if text == UNKNOWN else int(text) for text in fields[3:-1])
    except ValueError:
        return None
    if started is None or ended is None:
        return None
    return Run(started, ended, fields[2], code, Totals(*totals), fields[-1])


def event_of(line: bytes) -> Event | None:
    """Return the event in a line of events.txt, None if there is none."""
    fields = line.decode("utf-8", "replace").split("\t")
    if len(fields) != len(Event._fields):
        return None
    at, run = seconds_of(fields[0]), seconds_of(fields[1])
    return None if at is None or run is None else Event(at, run, *fields[2:])


def runs_in(*folders: Path) -> list[Run]:
    """Return the runs in runs.txt of folders, each file read once, in the order of their starts."""
    files = {(folder / RUNS_FILE).resolve() for folder in folders}
    found = (run_of(line) for path in files for line in whole_lines(path))
    return sorted((run for run in found if run is not None), key=lambda run: run.started)


def events_in(folder: Path) -> list[Event]:
    """Return the events in events.txt of folder."""
    found = (event_of(line) for line in whole_lines(folder / EVENTS_FILE))
    return [event for event in found if event is not None]


def spans_of(events: Iterable[Event], ends: dict[int, int]) -> Iterator[Span]:
    """Yield when sides were down or throttled; ends is when each run ended, by its start."""
    begun: dict[tuple[int, str, str], Event] = {}
    for event in events:
        if event.event in ENDS:
            begun.setdefault((event.run, ENDS[event.event], event.side), event)
        elif (first := begun.pop((event.run, event.event, event.side), None)) is not None:
            yield Span(first.event, first.side, first.at, event.at, first.detail)
    for event in begun.values():
        yield Span(
            event.event, event.side, event.at, max(event.at, ends.get(event.run, event.at)), event.detail
        )


class Journal:
    """The journal of one run, in folder; used by its main thread, as a context manager, under its lock.

    command is what was typed; clock returns seconds since the epoch. Nothing here raises for a disk that does not
    take it: that is logged once.
    """

    def __init__(self, folder: Path, command: str, clock: Callable[[], float] = time.time) -> None:
        self.started = int(clock())
        self.command = redact(command)
        self.exit_code = 0  # to be set before the end of the block
        self.totals: Callable[[], Totals] = Totals
        self.at_end: list[Callable[[Run, str], object]] = []  # each gets this run, and what stopped it or ""
        self.facts: dict[str, str | int] = {}  # more that the end of this run is told with
        self._folder = folder
        self._clock = clock
        self._has_warned = False
        self._why = ""  # what stopped this run

    def __enter__(self) -> Journal:
        try:
            for killed in self._left_open():
                self._append(RUNS_FILE, run_line(killed))
                log.warning(
                    "the run that started at %s was killed or stopped immediately: %s now has its line",
                    timestamp(killed.started),
                    RUNS_FILE,
                )
        except FatalError as error:
            self._warn(error)
        length = size_of(self._folder / COMPLETED_FILE)
        facts = {"command": self.command, "completed_bytes": length}
        self.note(START, json.dumps(facts), at=self.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.exit_code
        if error is not None:
            code = error.exit_code if isinstance(error, (FatalError, Interrupted)) else 1
            self.stopped_by(redact(str(error)) or type(error).__name__)
        run = self.as_run(code)
        self._append(RUNS_FILE, run_line(run))
        for call in self.at_end:
            call(run, self._why)

    def stopped_by(self, why: str) -> None:
        """Note what stops this run before its end; only the first counts."""
        if not self._why:
            self._why = redact(why)
            self.note(STOP, self._why)

    def as_run(self, code: int | None) -> Run:
        """Return this run as if it ended now with code."""
        return Run(
            self.started,
            max(self.started, int(self._clock())),
            self.command,
            code,
            self.totals(),
            __version__,
        )

    def told(self) -> dict[str, str | int | None]:
        """Return what the end of this run is told with."""
        run = self.as_run(None)
        seconds = run.ended - run.started
        return {
            "started_at": timestamp(run.started),
            "seconds": seconds,
            **run.totals._asdict(),
            **self.facts,
        }

    def history(self) -> tuple[list[Run], list[Event]]:
        """Return the runs that have ended here, and all events; none where they cannot be read."""
        try:
            return runs_in(self._folder), events_in(self._folder)
        except FatalError as error:
            self._warn(error)
            return [], []

    def note(self, event: str, detail: str, side: str = UNKNOWN, at: float | None = None) -> None:
        """Append an event; at is in seconds since the epoch, None: now."""
        when = timestamp(self._clock() if at is None else at)
        line = encode((when, timestamp(self.started), event, side, detail.replace("\n", " ")))
        self._append(EVENTS_FILE, line)

    def _append(self, name: str, line: bytes) -> None:
        try:
            file = AppendFile(self._folder / name)
            try:
                file.append(line)
            finally:
                file.close()
        except FatalError as error:
            self._warn(error)

    def _warn(self, error: FatalError) -> None:
        if not self._has_warned:
            log.warning("the journal lacks something of this run, nothing else does: %s", error)
        self._has_warned = True

    def _left_open(self) -> Iterator[Run]:
        """Yield the runs of this script that have started and have no line."""
        script = self.command.partition(" ")[0]
        events = events_in(self._folder)
        starts = [event for event in events if event.event == START and _script(event) == script]
        closed = Counter(run.started for run in runs_in(self._folder) if run.script == script)
        for number, start in enumerate(starts):
            if closed[start.run] > 0:
                closed[start.run] -= 1
                continue
            until = next((_completed_bytes(later) for later in starts[number + 1 :]), None)
            yield self._killed(start, until, events)

    def _killed(self, start: Event, until: int | None, events: list[Event]) -> Run:
        """Return the run that start began, counted from what completed.txt got from then on, to byte until."""
        counts: Counter[str] = Counter()
        size, last = 0, start.at
        path, at = self._folder / COMPLETED_FILE, _completed_bytes(start)
        for line in whole_lines(path, at) if _script(start) == "migrate.py" else ():
            if until is not None and at >= until:
                break
            at += len(line) + 1
            row = completed(line)
            moment = seconds_of(row.finished_at) if row else None
            if row is None or moment is None or moment < start.at:
                continue
            counts[row.how if row.how in (RENEWED, REPLACED, FOUND) else STORED] += 1
            size, last = size + int(row.size), max(last, moment)
        last = max([last, *(event.at for event in events if event.run == start.at)])
        seconds = {DOWN: 0, THROTTLED: 0}
        for span in spans_of((event for event in events if event.run == start.at), {start.at: last}):
            seconds[span.event] += span.ended - span.began
        known = Totals(
            counts[STORED],
            counts[RENEWED],
            counts[REPLACED],
            counts[FOUND],
            size=size,
            throttled=seconds[THROTTLED],
            down=seconds[DOWN],
        )
        totals = known._replace(failed=None, retries=None)
        if _script(start) == "variants.py":  # variants.txt has what it made, by time
            totals = totals._replace(stored=None, renewed=None, replaced=None, found=None, size=None)
        if "--undo" in str(start.facts.get("command", "")).split():
            totals = totals._replace(undone=None)
        return Run(start.at, last, str(start.facts.get("command", UNKNOWN)), None, totals, __version__)


def _script(start: Event) -> str:
    return str(start.facts.get("command", "")).partition(" ")[0]


def _completed_bytes(start: Event) -> int:
    found = start.facts.get("completed_bytes", 0)
    return found if isinstance(found, int) else 0
