"""The checks of one store: named, each held or not, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

_LONGEST = 400  # characters of a reason


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    held: bool
    reason: str  # why not, in the words of what was found; "" where it held
    limit: str  # what the store is known to do about it; "" where the check should hold
    varies: bool = False  # with a limit: it may also hold, as a race may

    @property
    def is_expected(self) -> bool:
        return self.varies or self.held == (not self.limit)

    def __str__(self) -> str:
        if self.held:
            return f"held      {self.name}" + (
                f"  BUT declared as a limit: {self.limit}" if self.limit else ""
            )
        if self.limit:
            return f"limit     {self.name}: {self.limit}\n            ({self.reason})"
        return f"NOT HELD  {self.name}: {self.reason}"


class Book:
    """What was checked at one store."""

    def __init__(
        self, limits: Mapping[str, str], races: Mapping[str, str], say: Callable[[str], object] = print
    ) -> None:
        """limits are checks that are known not to hold, and why; races those that hold only sometimes."""
        self.checks: list[Check] = []
        self._limits = limits
        self._races = races
        self._say = say
        self._began = time.monotonic()

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Note whether the block came to its end; whatever it raises is the reason why not."""
        try:
            yield
        except Exception as error:
            self.note(
                name, f"{'' if isinstance(error, AssertionError) else type(error).__name__ + ': '}{error}"
            )
        else:
            self.note(name)

    def note(self, name: str, reason: str = "") -> None:
        """Note a check that held, or did not for a reason."""
        assert name not in (check.name for check in self.checks), f"two checks are named {name!r}"
        line = " ".join(reason.split())
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
        limit = self._limits.get(name) or self._races.get(name, "")
        self.checks.append(Check(name, not reason, line, limit, name in self._races))
        self._say(f"  {time.monotonic() - self._began:5.0f} s  {self.checks[-1]}")

    @property
    def held(self) -> int:
        return sum(check.held for check in self.checks)

    @property
    def unexpected(self) -> list[Check]:
        """Return the checks that came out otherwise than declared."""
        return [check for check in self.checks if not check.is_expected]


def equal(found: Any, expected: Any, what: str) -> None:
    """Assert that two things are equal, and show where they are not."""
    if isinstance(found, (set, frozenset)) and isinstance(expected, (set, frozenset)):
        more, less = sorted(found - expected), sorted(expected - found)
        assert not more and not less, f"{what}: {_few('too many', more)}{_few('missing', less)}"
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def _few(what: str, things: list[Any]) -> str:
    return f"{len(things)} {what}, such as {', '.join(map(repr, things[:3]))}; " if things else ""
