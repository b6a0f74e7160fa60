"""The tally of an undo: what has become of its objects, what stays and why, and when to give up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cdn2s3.console.progress import Count
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.removal import BILLED, Fate
from cdn2s3.errors import FatalError
from cdn2s3.executors.undoing import STAYED, Undoing
from cdn2s3.planning.undo import Chosen
from cdn2s3.planning.undo_preview import Amount, Preview
from cdn2s3.resilience.endpoint import EndpointState
from cdn2s3.text import pluralize, printable, redact

MOST_REFUSALS = 10  # in a row, with none undone: the rest would be refused as well


class UndoTally:
    """Count the results of an undo; used by its main thread alone."""

    def __init__(self, preview: Preview) -> None:
        self.total = preview.todo
        self.newest = 0  # the newest time in undone.txt, in seconds since the epoch
        self._preview = preview
        self._undone: dict[Fate, Amount] = {}
        self._stayed: Counter[str] = Counter()  # by reason
        self._examples: dict[str, str] = {}
        self._failed: list[Undoing] = []  # those that are tried once more
        self._refused_in_a_row = 0

    def add(self, result: Undoing, is_last: bool) -> None:
        """Count a result; is_last is False where what may pass is tried once more. Raise FatalError to give up."""
        row, removal = result.chosen.row, result.removal
        if result.may_pass and not is_last:
            self._failed.append(result)
            return
        if removal is not None and result.is_undone:
            self._undone.setdefault(removal.fate, Amount()).add(int(row.size))
            self.newest = max(self.newest, result.undone_at)
            return
        if removal is None:
            reason, said = "the destination kept failing", result.failure
        else:
            reason, said = STAYED[removal.fate], removal.said
        self._stayed[reason] += 1
        self._examples.setdefault(reason, f"{redact(printable(row.url))}{f' ({said})' if said else ''}")
        if removal is not None and removal.fate is Fate.REFUSED:
            self._give_up_when_all_are_refused(said)
        else:
            self._refused_in_a_row = 0

    def _give_up_when_all_are_refused(self, said: str) -> None:
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= MOST_REFUSALS and not self._undone:
            raise FatalError(
                f"the first {self._refused_in_a_row} objects were refused, and none was undone: {said}. Undoing needs "
                "s3:DeleteObject and s3:GetObject (and s3:DeleteObjectVersion where the bucket keeps versions). "
                f"Correct that, then run `{command('migrate.py', '--undo', '--yes')}`: it goes on."
            )

    def take_failed(self) -> list[Chosen]:
        """Return what is to be tried once more, and forget that it failed."""
        again, self._failed = [result.chosen for result in self._failed], []
        return again

    @property
    def staying(self) -> int:
        return self._preview.staying + sum(self._stayed.values()) + len(self._failed)

    @property
    def undone(self) -> int:
        return sum(amount.objects for amount in self._undone.values())

    def count(self) -> Count:
        undone = self.undone
        size = sum(amount.size for amount in self._undone.values())
        failed = sum(self._stayed.values())
        return Count(undone + failed, size, failed, 0.0)

    def note(self, state: EndpointState) -> str:
        """Return what it waits for, for the progress line."""
        if state.down_for is not None:
            return f"the destination is down, next probe in {state.next_probe_in or 0:.0f} s"
        return f"{state.allowed:.0f} a second are allowed" if state.allowed is not None else ""

    def lines(self) -> Iterator[str]:
        """Yield the last screen."""
        undone = Amount(self.count().ended - self.count().failed, self.count().size)
        yield f"{undone} undone"
        for fate, amount in self._undone.items():
            yield f"  {amount.objects:,} {_WORDS[fate]}"
        for reason, number in self._stayed.items():
            yield f"{pluralize(number, 'object stays', 'objects stay')}: {reason}, for example {self._examples[reason]}"
        for step, amount in self._preview.steps.items():
            if step.stays:
                yield f"{pluralize(amount.objects, 'object stays', 'objects stay')}: {step.value}"
        if undone.objects:
            yield f"The next `{command('migrate.py')}` would move them again: their lines are still in the list."


_WORDS = {
    Fate.REMOVED: "removed",
    Fate.ABSENT: "were gone already",
    Fate.WENT_BACK: "went back to the version below",
    Fate.HIDDEN: f"hidden by a delete marker: {BILLED}",
}
