"""What came of the stores, as a table and check by check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.stores.book import Check
from tests.stores.store import Store

_OF_THE_BUCKET = (
    "bucket owner put get delete list overwrite checksum signature parts listing kept ACL".split()
)
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
    probe: str = ""  # what --check printed

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
        *_probes(results),
    ])  # fmt: skip


def _probes(results: Sequence[Result]) -> Iterator[str]:
    """Yield what `--check` says of each store and its bucket."""
    yield from ("What `migrate.py --check` says of each:", "")
    for result in results:
        if result.probe:
            yield from (f"{result.store.title} {result.version}:", "", *_of_the_bucket(result.probe), "")


def _of_the_bucket(said: str) -> Iterator[str]:
    """Yield the lines of --check that are about the bucket, not about this machine or the source."""
    wanted = False
    for line in said.splitlines():
        head = re.match(r"\S+ +(\w+)", line)
        wanted = head[1] in _OF_THE_BUCKET if head else wanted and line.startswith(" ")
        if wanted:
            yield f"    {line}".rstrip()
