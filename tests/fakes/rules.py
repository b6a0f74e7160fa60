"""Fault rules: which request meets which fault, how often, and in which window of time.

Both servers use them. A draw is a hash of the seed, the rule, the key and how often that key was asked for: a
run with the same seed and the same requests meets the same faults, whatever the threads do.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Rule:
    """One fault and when it strikes. All conditions must hold; the first rule that strikes wins."""

    fault: str  # a name that the server knows
    name: str = ""  # to remove the rule by; several rules may share it
    operation: str = ""  # S3: operation name, CDN: method; empty = any
    pattern: str = ""  # regular expression searched in the key or path; empty = any
    probability: float = 1.0  # 0..1, of each request, or of each key with `sticky`
    sticky: bool = False  # True: a key is hit always or never
    count: int | None = None  # strikes in all; None = no limit
    per_key: int | None = None  # strikes for one key; None = no limit
    after: float = 0.0  # seconds from when the rule was added to its first strike
    until: float | None = None  # seconds from when it was added to its end; None = for ever
    rate: float | None = (
        None  # requests a second that go through: the others are struck; None = none goes through
    )
    burst: float | None = (
        None  # with rate: counted by a token bucket of that size; None = in windows of a second
    )
    counts_struck: bool = False  # with rate: a request that is struck counts against the rate as well
    value: str = ""  # the fault's parameter: Retry-After, Location ...
    seconds: float | None = None  # how long a stall lasts, or a drip's pause; None = the fault's default

    def lasting(self, default: float) -> float:
        """Return `seconds`, or the fault's default."""
        return default if self.seconds is None else self.seconds


class RuleBook:
    """The rules in force and what they have done. Safe for many threads."""

    def __init__(self, known: frozenset[str], seed: int = 0) -> None:
        self.struck: Counter[str] = Counter()  # fault -> strikes since the start
        self._known = known
        self._seed = seed
        self._lock = threading.RLock()  # an action changes the rules
        self._rules: list[_Entry] = []
        self._actions: list[tuple[int, Callable[[], object]]] = []
        self._seen = 0  # requests that came while there was an action to wait for

    def add(self, rule: Rule) -> None:
        """Put a rule in force, after those that are. Raises ValueError on an unknown fault."""
        if rule.fault not in self._known:
            raise ValueError(f"unknown fault {rule.fault!r}; known: {', '.join(sorted(self._known))}")
        with self._lock:
            self._rules.append(_Entry(rule))

    def remove(self, name: str) -> None:
        """Take the rules of that name out of force."""
        with self._lock:
            self._rules = [entry for entry in self._rules if entry.rule.name != name]

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._rules = []

    def at(self, number: int, action: Callable[[], object]) -> None:
        """Call action at the number-th request from now on: neither it nor any other is answered before action ends.

        So a test strikes at a moment that does not depend on the pace of the machine.
        """
        with self._lock:
            self._actions.append((self._seen + number, action))

    def _act(self) -> None:
        self._seen += 1
        due = [entry for entry in self._actions if entry[0] <= self._seen]
        for entry in due:
            self._actions.remove(entry)
            entry[1]()

    def pick(self, operation: str, key: str) -> Rule | None:
        """Return the rule that strikes this request, and count it; None = the request goes through."""
        if not self._rules and not self._actions:
            return None
        with self._lock:
            if self._actions:
                self._act()
            for number, entry in enumerate(self._rules):
                if entry.strikes(operation, key, f"{self._seed}/{number}"):
                    self.struck[entry.rule.fault] += 1
                    return entry.rule
        return None


class Allowance:
    """What a rate limit lets through, as stores and CDNs count it; points in time are seconds of one clock.

    Used under its owner's lock.
    """

    def __init__(self, rate: float, burst: float | None = None, counts_struck: bool = False) -> None:
        """rate is requests a second; burst the size of a token bucket, None for windows of a second."""
        self.rate = rate
        self._burst = burst
        self._counts_struck = counts_struck
        self._left = rate if burst is None else burst
        self._at = 0.0

    def lets_through(self, now: float) -> bool:
        """Count a request at now, and return whether it is within the rate."""
        if self._burst is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self.rate)
        elif int(now) > int(self._at):
            self._left = self.rate
        self._at = now
        fits = self._left >= 1
        if fits or self._counts_struck:
            self._left -= 1
        return fits


class _Entry:
    """A rule in force with its counters; used under the book's lock."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._pattern = re.compile(rule.pattern)
        self._since = time.monotonic()
        self._total = 0
        self._by_key: Counter[str] = Counter()
        self._visits: Counter[str] = Counter()
        self._allowance = None if rule.rate is None else Allowance(rule.rate, rule.burst, rule.counts_struck)

    def strikes(self, operation: str, key: str, seed: str) -> bool:
        rule, age = self.rule, time.monotonic() - self._since
        if age < rule.after or (rule.until is not None and age >= rule.until):
            return False
        if (rule.operation and rule.operation != operation) or not self._pattern.search(key):
            return False
        if rule.count is not None and self._total >= rule.count:
            return False
        if rule.per_key is not None and self._by_key[key] >= rule.per_key:
            return False
        if rule.probability < 1.0 and not self._drawn(key, seed):
            return False
        if self._allowance is not None and self._allowance.lets_through(age):
            return False
        self._total += 1
        if rule.per_key is not None:
            self._by_key[key] += 1
        return True

    def _drawn(self, key: str, seed: str) -> bool:
        visit = 0
        if not self.rule.sticky:
            self._visits[key] += 1
            visit = self._visits[key]
        draw = zlib.crc32(f"{seed}/{key}/{visit}".encode("utf-8", "surrogateescape"))
        return draw < self.rule.probability * 2**32
