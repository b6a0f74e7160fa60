"""What came of the stores, as a table and check by check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.stores.book import Check
from tests.stores.store import Store

_CELLS = {
    (True, True): "yes",
    (False, True): "limit",
    (True, False): "YES",
    (False, False): "NO",
}  # held, expected


@dataclass
class Result:
    """What came of one store."""

    store: Store
    skipped: str = ""  # why it was not run; "" where it was
    version: str = "-"
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def not_held(self) -> list[Check]:
        return [check for check in self.checks if not check.held]

    @property
    def unexpected(self) -> list[Check]:
        return [check for check in self.checks if not check.is_expected]

    @property
    def summary(self) -> str:
        """What did not hold, in a few words."""
        if self.skipped:
            return f"not run: {self.skipped}"
        undeclared = [check.name for check in self.unexpected]
        limits = dict.fromkeys(check.limit for check in self.not_held if check.limit)
        return "; ".join([*(f"**{name}**" for name in undeclared), *limits])


def table(results: Sequence[Result]) -> str:
    """Return one line per store."""
    lines = [
        "| store | version | from | held | limits | unexpected | s | what did not hold |",
        "|---|---|---|--:|--:|--:|--:|---|",
    ]
    for result in results:
        held = sum(check.held for check in result.checks)
        limits = sum(check.is_expected for check in result.not_held)
        counts = (
            (held, limits, len(result.unexpected), round(result.seconds)) if result.checks else ("-",) * 4
        )
        cells = (result.store.title, result.version, result.store.packages, *map(str, counts), result.summary)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def matrix(results: Sequence[Result]) -> str:
    """Return one line per check, with a column per store that was run."""
    ran = [result for result in results if result.checks]
    outcomes = [{check.name: check for check in result.checks} for result in ran]
    names = dict.fromkeys(name for outcome in outcomes for name in outcome)
    lines = [f"| check | {' | '.join(result.store.name for result in ran)} |", f"|---|{':-:|' * len(ran)}"]
    for name in names:
        cells = (_cell(outcome.get(name)) for outcome in outcomes)
        lines.append(f"| {name.replace('|', '/')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(check: Check | None) -> str:
    return "-" if check is None else _CELLS[check.held, check.is_expected]


def page(results: Sequence[Result], how: str) -> str:
    """Return results.md; how is the command that it was made with."""
    reasons = [
        f"- {result.store.title}, {check.name}: {check.reason}"
        for result in results
        for check in result.not_held
    ]
    return "\n".join([
        "# A whole migration on real stores", "",
        f"Written by `{how}`. docs/stores.md says what follows from it.", "",
        table(results), "",
        "`yes`: held. `limit`: did not hold, as its module in tests/stores/servers/ declares. `NO`, `YES`: otherwise",
        "than declared.",
        "", matrix(results), "", "What was found where a check did not hold:", "", *reasons, "",
    ])  # fmt: skip
