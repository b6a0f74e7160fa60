"""CACHE_CONTROL: one value for all objects, or one for each content type.

A value for each type is a list of rules, `image/*: public, max-age=2592000; *: max-age=604800`. The most specific rule
that fits counts: the type itself, then its group (`image/*`), then `*`. In a header, semicolons and colons can stand
only within quotes (RFC 9111, 5.2), so that a plain value is never taken for rules.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

EVERY = "*"  # the type of a rule for all
_NAME = r"[a-z0-9!#$&^_.+-]+"  # RFC 6838, 4.2
_TYPE = re.compile(rf"\*|{_NAME}/(?:\*|{_NAME})")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_MISTAKEN = {"image/jpg": "image/jpeg", "image/svg": "image/svg+xml", "image/tif": "image/tiff", "*/*": EVERY}


class Rule(NamedTuple):
    """What objects of some types get."""

    type: str  # in lower case: a content type, a group such as image/*, or EVERY
    value: str  # the Cache-Control; never empty


class CachePolicy(NamedTuple):
    """The Cache-Control of objects, by their content types; no rules: none is sent."""

    rules: tuple[Rule, ...] = ()

    def of(self, media_type: str) -> str:
        """Return the Cache-Control of an object with a content type, "" for none."""
        name = media_type.partition(";")[0].strip().lower()
        values = dict(self.rules)
        for fitting in (name, name.partition("/")[0] + "/*", EVERY):
            if fitting in values:
                return values[fitting]
        return ""

    def lines(self) -> list[str]:
        """Return what applies as lines for people, the most specific rule first; none where none is sent."""
        ranked = sorted(
            self.rules, key=lambda rule: (rule.type == EVERY, rule.type.endswith("/*"), rule.type)
        )
        if not ranked:
            return []
        names = {EVERY: "all other types" if len(ranked) > 1 else "all objects"}
        lines = [f"{names.get(rule.type, rule.type)}: {rule.value}" for rule in ranked]
        return lines if ranked[-1].type == EVERY else [*lines, "all other types: no Cache-Control"]


@lru_cache(maxsize=16)
def policy(text: str) -> CachePolicy:
    """Return what CACHE_CONTROL=text means; raise ValueError that says what is wrong with it."""
    bare = _QUOTED.sub(
        lambda quoted: "x" * len(quoted[0]), text
    )  # of the same length, with nothing to find in it
    if not text:
        return CachePolicy()
    if ":" not in bare:
        if ";" in bare:
            raise ValueError("directives separated by commas, or rules `TYPE: VALUE; TYPE: VALUE`")
        return CachePolicy((Rule(EVERY, text),))
    rules: dict[str, str] = {}
    for begin, end in _pieces(bare):
        rule = _rule(text[begin:end], bare[begin:end])
        if rule.type in rules:
            raise ValueError(f"rules for different types: {rule.type} has two")
        rules[rule.type] = rule.value
    return CachePolicy(tuple(Rule(*pair) for pair in rules.items()))


def _pieces(bare: str) -> list[tuple[int, int]]:
    """Return where each rule begins and ends."""
    ends = [match.start() for match in re.finditer(";", bare)] + [len(bare)]
    return list(zip([0, *(end + 1 for end in ends)], ends))


def _rule(text: str, bare: str) -> Rule:
    """Return one rule; bare is text without what is quoted. Raise ValueError."""
    at = bare.find(":")
    if not text.strip():
        raise ValueError("rules `TYPE: VALUE` between the semicolons: one of them is empty")
    if at < 0:
        raise ValueError(
            f"rules `TYPE: VALUE`: {text.strip()!r} has no type (directives are separated by commas)"
        )
    name, value = text[:at].strip().lower(), text[at + 1 :].strip()
    if name in _MISTAKEN:
        raise ValueError(f"rules for content types: write {_MISTAKEN[name]}, not {name}")
    if not _TYPE.fullmatch(name):
        raise ValueError(f"rules for types such as image/jpeg, image/* or *: {name!r} is none")
    if not value:
        raise ValueError(f"rules with a value: {name} has none (a type without a rule gets no Cache-Control)")
    if ":" in bare[at + 1 :]:
        raise ValueError(f"rules separated by semicolons: that of {name} has a second colon")
    return Rule(name, value)
