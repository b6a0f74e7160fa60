"""The rules that most new URLs follow: old ones with another beginning, where the path is kept. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.url_prefixes import Prefix, parse
from cdn2s3.validation.new_base import encoded

_NOT_UTF8 = "with bytes that are not UTF-8"
_SPELLING = "whose spelling changes"


class Rule(NamedTuple):
    """What most URLs under one beginning become: another beginning, and the rest unchanged."""

    old: str
    new: str
    by_name: bool = False  # True: of the rest only the file name, what follows its last slash

    def apply(self, url: str) -> str:
        """Return what becomes of url, which starts with old."""
        rest = url[len(self.old) :]
        return self.new + (rest.rpartition("/")[2] if self.by_name else rest)

    def __str__(self) -> str:
        return f"{self.old}{'…/' if self.by_name else ''} -> {self.new}"


class MapRules:
    """The rules of a migration, the most special first."""

    def __init__(self, settings: MigrationSettings, keys: KeyMaker, base: str) -> None:
        """base is a result of new_base()."""
        self._keys = keys
        every: set[Rule] = set()
        for prefix in parse(settings.url_prefix):
            start = base + encoded(settings.destination_prefix + prefix.place)
            for rule in _rules_of(prefix, start, settings):
                every |= {rule, rule._replace(old=_other_scheme(rule.old))}
        self._rules = sorted(every, key=lambda rule: (-len(rule.old), rule))

    def of(self, url: str) -> Rule | None:
        """Return the rule that url falls under, whether or not it follows it."""
        return next((rule for rule in self._rules if url.startswith(rule.old)), None)

    def why_not(self, url: str, key: str) -> str:
        """Return why the new URL of url does not follow a rule, as a plural clause."""
        try:
            if self._keys.address(url).key != key:
                return "with a name of their own (key=)"
        except InvalidUrl:
            return "with a name of their own (key=)"
        path, mark, _ = url.partition("#")[0].partition("?")
        reasons = (
            ("with a query", bool(mark)),
            ("with a fragment", "#" in url),
            ("with +", "+" in path),
            ("with %2F", "%2f" in path.lower()),
            (_NOT_UTF8, re.search("%[89A-F]", key, re.IGNORECASE) is not None),
        )
        return next((why for why, holds in reasons if holds), _SPELLING)


def _rules_of(prefix: Prefix, start: str, settings: MigrationSettings) -> list[Rule]:
    """Return the rules of the URLs under prefix, whose new URLs begin with start."""
    if not settings.preserve_path_structure:
        return [Rule(prefix.url, start, by_name=True)]
    path, strip = prefix.path[1:], settings.strip_path_prefix
    path = unquote(path)  # keys are decoded
    whole = Rule(prefix.url, start + encoded(path))
    if strip and path.startswith(strip):
        return [Rule(prefix.url, start + encoded(path[len(strip) :]))]
    if strip.startswith(path) and strip != path:
        return [Rule(f"{prefix.origin}/{encoded(strip)}", start), whole]
    return [whole]


def _other_scheme(url: str) -> str:
    return (
        url.replace("https://", "http://", 1)
        if url.startswith("https://")
        else url.replace("http://", "https://", 1)
    )
