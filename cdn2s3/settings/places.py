"""The places in a request that change from page to page: {page} {offset} {cursor} {limit}, {cursor.NAME}. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

PLACE = re.compile(r"\{(page|offset|cursor|limit)(?:\.([\w-]+))?\}")
MARK = "\0"  # begins the text that stands for a place of its own, outside of any JSON string

_BEGINS_A_FORM = re.compile(r"\s*(?:[^\s=&<>;]+=|\{)")
_STRING_OR_PLACE = re.compile(r'"(?:[^"\\]|\\.)*"|' + PLACE.pattern)


def names_in(text: str) -> set[str]:
    """Return the names of the places in text."""
    return {found[1] for found in PLACE.finditer(text)}


def is_json(text: str) -> bool:
    """Return whether text is meant to be a JSON object or list."""
    return text.lstrip()[:1] in ("{", "[") and not PLACE.fullmatch(text.strip())


def is_form(text: str) -> bool:
    """Return whether text, which is not JSON, is a form: it begins with the name of a field, or with a place."""
    return bool(_BEGINS_A_FORM.match(text))


def json_with_places(text: str) -> Any:
    """Return text parsed as JSON in which a place may stand for a whole value; raise ValueError when it is none.

    Such a value becomes a string that begins with MARK.
    """

    def marked(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else json.dumps(MARK + found[0])

    return json.loads(_STRING_OR_PLACE.sub(marked, text))
