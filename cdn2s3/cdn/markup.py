"""Text that may be an image or a page: the root element of SVG and HTML, in every way it may be preceded. Pure.

Each byte is looked at once: a pattern over comments and declarations tries every way to part them, 2^n of them.
"""

from __future__ import annotations

import codecs
import re

LOOKED_AT = 1 << 17  # bytes; drawing programs write long comments and lists of entities before the root

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_BLANK = " \t\r\n\f\v"
_NAME = re.compile(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z][\w.-]*)(?=[\s>/])")
_DOCTYPE = re.compile(r"<!doctype\s+([^\s>\[]+)", re.IGNORECASE)
_SVG_END = re.compile(
    rb"(?:</(?:[\w.-]+:)?svg\s*>|<(?:[\w.-]+:)?svg\b[^<>]*/>)\s*(?:<!--[^>]*-->\s*)*\Z", re.I
)


def root_element(start: bytes) -> str:
    """Return the name of the root element of markup that begins with start, in lower case, without its namespace.

    "" where start is no markup, or its root does not come within LOOKED_AT bytes. A doctype of HTML tells it, too.
    """
    text = _decoded(start[:LOOKED_AT]).lstrip(_BLANK)
    at = 0
    while text.startswith("<", at):
        if text.startswith("<!--", at):
            end = _after("-->", text, at + 4)
        elif text.startswith("<?", at):
            end = _after("?>", text, at)
        elif doctype := _DOCTYPE.match(text, at):
            if doctype[1].lower() == "html":
                return "html"
            end = _end_of_doctype(text, at)
        else:
            name = _NAME.match(text, at)
            return name[1].lower() if name else ""
        if end < 0:
            return ""
        at = end
        while at < len(text) and text[at] in _BLANK:
            at += 1
    return ""


def ends_as_svg(tail: bytes) -> bool:
    """Return whether tail, the last bytes of a body, is the end of an SVG."""
    return bool(_SVG_END.search(tail.replace(b"\0", b"")))  # UTF-16 without its zeros is ASCII here


def _decoded(start: bytes) -> str:
    for bom, encoding in _BOMS:
        if start.startswith(bom):
            return start.decode(encoding, "replace").lstrip("\ufeff")
    return start.decode("latin-1")  # of what matters here, every other encoding has ASCII


def _after(mark: str, text: str, at: int) -> int:
    found = text.find(mark, at)
    return found + len(mark) if found >= 0 else -1


def _end_of_doctype(text: str, at: int) -> int:
    """Return where a doctype ends that may declare entities between brackets, in quotes that may hold any of these."""
    in_brackets = False
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = text.find(character, at + 1)
            if at < 0:
                return -1
        elif text.startswith("<!--", at):
            at = _after("-->", text, at + 4) - 1
            if at < 0:
                return -1
        elif character == "[":
            in_brackets = True
        elif character == "]":
            in_brackets = False
        elif character == ">" and not in_brackets:
            return at + 1
        at += 1
    return -1
