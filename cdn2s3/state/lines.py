"""A field of a line in a state file: it never contains a tab or a line break. Pure.

Control characters and what is not UTF-8 are percent-encoded on the way in; nothing decodes them again.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def field(text: str) -> str:
    """Return text as it may stand in a field; a surrogate that stands for a byte (\\udc80 …) becomes that byte."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_percent_encoded, text)


def _percent_encoded(match: re.Match[str]) -> str:
    character = match[0]
    as_byte = "\udc80" <= character <= "\udcff"
    return "".join(
        f"%{byte:02X}"
        for byte in character.encode("utf-8", "surrogateescape" if as_byte else "surrogatepass")
    )


def encode(fields: tuple[str, ...]) -> bytes:
    """Return fields as one line with its newline."""
    return ("\t".join(map(field, fields)) + "\n").encode()
