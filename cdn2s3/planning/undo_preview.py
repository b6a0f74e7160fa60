"""What an undo would do, counted from completed.txt alone: how much, of which runs, and what stays and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from cdn2s3.planning.undo import Chosen, Step
from cdn2s3.state.ledger import seconds_of, timestamp
from cdn2s3.text import bytes_text, pluralize

PAUSE = 600  # seconds without a row: what comes then is of another run
_SHOWN = 10  # runs, the newest


@dataclasses.dataclass
class Amount:
    """A number of objects and their size."""

    objects: int = 0
    size: int = 0  # bytes

    def add(self, size: int) -> None:
        self.objects += 1
        self.size += size

    def __str__(self) -> str:
        return f"{pluralize(self.objects, 'object')}, {bytes_text(self.size)}"


@dataclasses.dataclass
class RunOfRows:
    """Rows that follow each other without a long pause: those of one run."""

    first: int  # seconds since the epoch
    last: int  # likewise
    amount: Amount


@dataclasses.dataclass
class Preview:
    """The amounts of an undo."""

    steps: dict[Step, Amount] = dataclasses.field(default_factory=dict)
    # Of what does not stay, in the order of rows.
    runs: list[RunOfRows] = dataclasses.field(default_factory=list)
    newest: int = 0  # when the newest row was written, in seconds since the epoch

    @property
    def todo(self) -> int:
        return sum(amount.objects for step, amount in self.steps.items() if not step.stays)

    @property
    def staying(self) -> int:
        return sum(amount.objects for step, amount in self.steps.items() if step.stays)

    def lines(self) -> Iterator[str]:
        """Yield what it says, for people."""
        for step, amount in self.steps.items():
            if not step.stays:
                yield f"{amount}: {step.value}"
        for run in self.runs[-_SHOWN:]:
            yield f"  of the run from {timestamp(run.first)} to {timestamp(run.last)}: {run.amount}"
        if len(self.runs) > _SHOWN:
            yield f"  and of {pluralize(len(self.runs) - _SHOWN, 'earlier run')}"
        for step, amount in self.steps.items():
            if step.stays:
                yield f"{pluralize(amount.objects, 'object')} would stay: {step.value}"


def preview_of(chosen: Iterable[Chosen]) -> Preview:
    """Return the amounts of the rows that an undo is about."""
    found = Preview({step: Amount() for step in Step})
    for row, step in chosen:
        size, at = int(row.size), seconds_of(row.finished_at) or 0
        found.steps[step].add(size)
        found.newest = max(found.newest, at)
        if not step.stays:
            _count_run(found.runs, at, size)
    found.steps = {step: amount for step, amount in found.steps.items() if amount.objects}
    return found


def _count_run(runs: list[RunOfRows], at: int, size: int) -> None:
    """Count a row for the run that it is of: the last one, unless it is long after or before that."""
    if not runs or not runs[-1].first - PAUSE <= at <= runs[-1].last + PAUSE:
        runs.append(RunOfRows(at, at, Amount()))
    run = runs[-1]
    run.first, run.last = min(run.first, at), max(run.last, at)
    run.amount.add(size)
