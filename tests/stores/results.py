"""What came of the stores: the table of all that ran, and the page of each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.stores.book import Check
from tests.stores.store import Store

_OF_THE_BUCKET = {  # the first words of lines of --check
    "bucket", "owner", "put", "get", "delete", "list", "overwrite", "checksum", "signature", "parts", "listing", "kept",
}  # fmt: skip
_AFTER = ("delta", "undo")  # how the names of checks begin that are about what comes after the move
_CELLS = {(True, True): "held", (False, True): "limit", (True, False): "**held, though declared as a limit**"}


@dataclass
class Result:
    """What came of one store."""

    store: Store
    skipped: str = ""  # why it was not run; "" where it was
    version: str = "-"
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    probe: str = ""  # what --check printed
    # What the store makes of If-Match on PUT, on parts and on DELETE.
    conditions: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(check.held for check in self.checks)

    @property
    def limits(self) -> int:
        return sum(not check.held and check.is_expected for check in self.checks)

    def of(self, kind: str) -> str:
        """Return how many of the checks whose names begin with kind held, of how many."""
        held = [check.held for check in self.checks if check.name.startswith(f"{kind}: ")]
        return f"{sum(held)} of {len(held)}"

    @property
    def unexpected(self) -> list[Check]:
        return [check for check in self.checks if not check.is_expected]

    @property
    def summary(self) -> str:
        """What did not hold, in a few words."""
        if self.skipped:
            return f"not run: {self.skipped}"
        limits = dict.fromkeys(check.limit for check in self.checks if check.limit and not check.held)
        return "; ".join([*(f"**{check.name}**" for check in self.unexpected), *limits])


def table(results: Sequence[Result]) -> str:
    """Return one line per store."""
    lines = [
        "| store | version | from | held | limits | unexpected | s | If-Match | delta | undo | what did not hold |",
        "|---|---|---|--:|--:|--:|--:|---|--:|--:|---|",
    ]
    for result in results:
        counts = (result.held, result.limits, len(result.unexpected), round(result.seconds))
        after = ", ".join(f"{way} {what}" for way, what in result.conditions.items()), *map(result.of, _AFTER)
        shown = ("-",) * 7 if result.skipped else (*counts, *after)
        lines.append(_row(result.store.title, result.version, result.store.packages, *shown, result.summary))
    return "\n".join(lines)


def page(result: Result, command: str) -> str:
    """Return the page of a store: its checks, and what --check says of it; command is what it was made with."""
    rows = [
        _row(
            check.name, _CELLS.get((check.held, check.is_expected), "**not held**"), check.limit, check.reason
        )
        for check in result.checks
    ]
    return "\n".join([
        f"# {result.store.title} {result.version}", "",
        f"{result.held} checks held, {result.limits} declared limits, {len(result.unexpected)} otherwise. "
        f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}.", "",
        "What `migrate.py --check` says of it:", "",
        *_of_the_bucket(result.probe), "",
        "A plain client finds of If-Match with a wrong ETag: "
        + (", ".join(f"{way} {what}" for way, what in result.conditions.items()) or "not asked") + ".", "",
        _row("check", "came out", "what the store does", "what was found"), "|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def _of_the_bucket(said: str) -> Iterator[str]:
    """Yield the lines of --check that are about the bucket, not about this machine or the source."""
    wanted = False
    for line in said.splitlines():
        head = re.match(r"\S+ +(\w+)", line)
        wanted = head[1] in _OF_THE_BUCKET if head else wanted and line.startswith(" ")
        if wanted:
            yield f"    {line}".rstrip()
