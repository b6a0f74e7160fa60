"""URL_COLUMNS and KEY_COLUMN: names separated by commas, or one JMESPath expression. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

import jmespath

_SIGNS = re.compile(r"[\[\]{}()*|&?`]|^@$")


def is_expression(text: str, names: Collection[str] = ()) -> bool:
    """Return whether text is a JMESPath expression, and neither names nor one of the names that a file has."""
    if not _SIGNS.search(text) or text in names or (names and all(name in names for name in split(text))):
        return False
    try:
        jmespath.compile(text)
    except (ValueError, RecursionError):  # JMESPathError is a ValueError
        return False
    return True


def split(text: str) -> tuple[str, ...]:
    """Return the names in text, in their order."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
