"""Suggestions for misspelled setting names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence, Set

from cdn2s3.text import printable

_NEAR = 0.5  # difflib's ratio; below it, a suggestion only misleads
_LONGEST = 80  # characters of a name to compare


def misspelled(
    names: Iterable[str], known: Sequence[str], others: Set[str], prefix: str | None
) -> Iterator[str]:
    """Yield a warning for each environment variable in names that was probably meant to be one of known.

    That is a name one edit away from a known one, or one that begins with prefix; others are names with a meaning
    of their own.
    """
    for name in sorted(set(names) - set(known) - others):
        near = next((right for right in known if is_one_edit_away(name.upper(), right)), None)
        if near is not None or (prefix and name.startswith(prefix)):
            hint = suggestion(near or nearest(name, known))
            yield f"{printable(name)} is set in the environment, but isn't a setting and has no effect; {hint}"


def suggestion(meant: str | None) -> str:
    return f"did you mean {meant}?" if meant else "see docs/settings.md for the list"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of known that name was probably meant to be, None if none is close."""
    found = difflib.get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=_NEAR)
    return found[0] if found else None


def is_one_edit_away(one: str, other: str) -> bool:
    """Return whether one differs from other by one character inserted, removed or replaced, or by two swapped."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    rest, rest_of_other = one[start:], other[start:]
    if len(rest) != len(rest_of_other):
        longer, shorter = sorted((rest, rest_of_other), key=len, reverse=True)
        return longer[1:] == shorter
    swapped = rest[:2][::-1] + rest[2:]
    return rest[1:] == rest_of_other[1:] or swapped == rest_of_other
