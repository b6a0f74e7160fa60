"""What the spot check has found."""

from __future__ import annotations

import dataclasses
from collections import Counter

from cdn2s3.reports.contact_sheet import MOST, SHEET_BYTES, Pictures
from cdn2s3.text import redact
from cdn2s3.validation.extrapolation import Extrapolation, extrapolation
from cdn2s3.validation.spot_check import CHANGED, DIFFERENT, IDENTICAL, PLURAL, REFUSED, Check, Sampled

_MOST_CHECKS = 1000
_MOST_REASONS = 100  # different ones
_COMPARED = (IDENTICAL, DIFFERENT, CHANGED)


@dataclasses.dataclass
class Spot:
    """The results of the spot check."""

    asked: int  # URLs to check; there may be fewer that can be; ALL: each once
    seed: int  # of the draw
    drawn: int = 0  # URLs that were drawn: as many as asked for, or all there are
    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    checks: list[Check] = dataclasses.field(default_factory=list)
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)  # why some were not compared
    not_done: str = ""  # why it is not whole
    sampled: Sampled | None = None  # what the drawn ones are a sample of; None: they are all there are
    in_sample: int = 0  # compared images of that sample
    differ: int = 0  # of these
    pictures: dict[str, Pictures] = dataclasses.field(default_factory=dict)  # of the first checks, by key
    room: dict[bool, int] = dataclasses.field(default_factory=lambda: {True: SHEET_BYTES, False: SHEET_BYTES})

    def add(self, check: Check) -> None:
        self.outcomes[check.outcome] += 1
        if self.sampled and check.adopted == self.sampled.adopted and check.outcome in _COMPARED:
            self.in_sample += 1
            self.differ += check.outcome != IDENTICAL
        if check.outcome not in _COMPARED and (
            check.message in self.reasons or len(self.reasons) < _MOST_REASONS
        ):
            self.reasons[check.message] += 1
        times = 1 if check.outcome == IDENTICAL else 2
        if check.pictures is not None and len(self.pictures) < MOST * times:
            self._keep(check.key, check.pictures, times == 1)
        if len(self.checks) < _MOST_CHECKS * times:
            self.checks.append(check._replace(pictures=None))

    def _keep(self, key: str, pictures: Pictures, identical: bool) -> None:
        """Keep pictures while there is room: as much for identical pairs as for others, which are shown first."""
        if 0 < pictures.size <= self.room[identical]:
            self.room[identical] -= pictures.size
            self.pictures[key] = pictures

    @property
    def compared(self) -> int:
        """Return how many images were compared completely."""
        return sum(self.outcomes[outcome] for outcome in _COMPARED)

    @property
    def holds(self) -> bool:
        """Return whether at least half of the images drawn could be compared; if none was drawn, nothing is wrong."""
        return 2 * self.compared >= self.drawn

    @property
    def extrapolation(self) -> Extrapolation | None:
        """What the sample says about all; None if all were drawn, or nothing of it could be compared."""
        if self.sampled is None or not self.in_sample:
            return None
        return extrapolation(self.sampled.of, self.sampled.images, self.in_sample, self.differ)

    @property
    def why_not(self) -> str:
        """Return the most frequent reason why images were not compared, "" if all were."""
        if self.outcomes[REFUSED]:
            return self.not_done
        return next((reason for reason, _ in self.reasons.most_common(1)), "")

    def text(self) -> str:
        """Return in one line how many images were compared, and the results."""
        if not self.asked:
            return "none requested"
        if not self.drawn:
            return "nothing to check"
        begun = f"{self.compared:,} of {self.drawn:,} compared"
        if not self.holds:
            rests = "the listing alone" if not self.compared else "the listing and these few"
            return redact(f"{begun}, {self.why_not}: the verdict rests on {rests}")
        found, others = (
            ", ".join(
                f"{number:,} {outcome if number == 1 else PLURAL.get(outcome, outcome)}"
                for outcome, number in self.outcomes.most_common()
                if (outcome in _COMPARED) == compared
            )
            for compared in (True, False)
        )
        estimate = self.extrapolation
        return (
            f"{begun} byte for byte: {found}"
            + (f"; not compared: {others}" if others else "")
            + (f"; {estimate.text()}" if estimate else "")
        )
