"""The URLs in a piece of text, such as a field of an export: the rule by which a list is read. Pure.

A text is decoded by its format first. Then its first `http(s)://` begins a URL, and so does each further one that a
blank, `,` `;` or `|` (and a quote or bracket that opens) stands directly before. So a URL that holds another one,
`?url=https://…`, stays whole, and so do blanks, commas and bars inside a URL. What surrounds a URL is cut off its
ends: blanks, separators, quotes and brackets, the descriptors of a srcset. Line breaks and tabs end a URL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

IMAGE_ENDINGS = (
    "jpe?g|jpe|jfif|pjp|pjpeg|png|apng|gif|webp|avif|heic|heif|bmp|tiff?|svgz?|ico|jxl|jp2|j2k|psd"
)

# Blanks, control characters, and the invisible characters that text copied from a page brings along.
BLANKS = "".join(
    chr(code)
    for code in (*range(0x21), *range(0x7F, 0xA1), 0xAD, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F)
) + "\u2060\u3000\ufeff"  # fmt: skip
_CLOSERS = {"]": "[", ")": "(", ">": "<", "}": "{"}
_QUOTES = "\"'`“”‘’«»„"
_SEPARATORS = BLANKS + ",;|"
_OPENERS = _QUOTES + "[(<{"
_ENDS_A_STRING = re.escape(_SEPARATORS + "])}>:")  # after the quote that closes it

_SCHEME = re.compile("https?://", re.IGNORECASE)
_LINES = re.compile("[\t\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]+")
_WORDS = re.compile(f"[{re.escape(_SEPARATORS + _OPENERS)}]+")
# What is directly before a scheme that begins one more URL. No URL can hold a double quote: that needs no separator.
_BEFORE_ANOTHER = re.compile(
    f'(?:[{re.escape(_SEPARATORS)}]|[\\[({{<:=](?=[{_QUOTES}]))[{re.escape(_SEPARATORS + _OPENERS)}]*$|"$'
)
_DESCRIPTORS = re.compile(r"(?:[ \xa0]+\d+(?:\.\d+)?[wxh])+$")
_ONE_URL = re.compile(r"https?://[!#-&*+\--:=?-Z\\^_`a-z~]+", re.IGNORECASE)  # with nothing to cut off
_IN_ONE_URL = bytes(range(0x21, 0x7F)).translate(None, b"\"'(),;<>[]{|}")  # the same characters
_IMAGE_NAME = re.compile(rf"\.(?:{IMAGE_ENDINGS})$", re.IGNORECASE)
_GOES_ON = re.compile(rf"""\.(?:{IMAGE_ENDINGS})(?:[,;|" \xa0]|%(?:20|22|2C|3B|7C))""", re.IGNORECASE)
_ENTITY = re.compile("&(?:amp|#0*38|#x0*26);", re.IGNORECASE)


class Found(NamedTuple):
    """What a text holds."""

    urls: list[str]  # in their order
    rest: list[
        str
    ]  # addresses without a scheme: `//host/…`, `/path`, a bare name; without any URL the whole text
    trimmed: bool  # whether blanks, separators, quotes or brackets were cut off the text's ends


def urls_in(text: str) -> list[str]:
    """Return the URLs in text, in their order."""
    return found_in(text).urls


def found_in(text: str) -> Found:
    """Return the URLs in text, what else it holds, and whether it was trimmed."""
    if _ONE_URL.fullmatch(text) and text.count("://") == 1:
        return Found([text], [], False)
    urls: list[str] = []
    rest: list[str] = []
    for line in _LINES.split(text):
        _read_line(line, urls, rest)
    ends = (urls or rest or [text])[-1]
    return Found(
        urls, rest, bool(urls or rest) and (text[0] in _SEPARATORS + _OPENERS or not text.endswith(ends))
    )


def are_whole(texts: Sequence[str]) -> bool:
    """Return whether each of texts is one URL, with nothing to cut off or to divide; cheap."""
    joined = "".join(texts)
    return (
        joined.count("://") == len(texts)
        and not joined.encode("utf-8", "surrogatepass").translate(None, _IN_ONE_URL)
        and all(text.startswith(("https://", "http://")) for text in texts)
    )


def schemes_in(text: str) -> int:
    """Return how many URLs text holds; one inside another one's path or query does not count.

    For plain lists, in which a line must hold one.
    """
    return len(urls_in(text)) if "://" in text else 0


def doubt_about(url: str) -> str:
    """Return what is odd about a URL, which is asked for as it stands all the same; "" if nothing is."""
    if _GOES_ON.search(url):
        return "more text after the image's ending"
    return "&amp; in the URL" if "&" in url and _ENTITY.search(url) else ""


def _read_line(line: str, urls: list[str], rest: list[str]) -> None:
    """Append the URLs of line to urls, and what else may be an address to rest."""
    starts = _starts(line)
    if not starts:
        if name := line.strip(BLANKS):
            rest.append(name)
        return
    before = line[: starts[0]]
    rest += [word for word in _WORDS.split(before) if "/" in word or _IMAGE_NAME.search(word)]
    for start, end in zip(starts, [*starts[1:], len(line)]):
        piece = line[start:end]
        quote = line[start - 1] if start and line[start - 1] in _QUOTES else ""
        if quote:
            piece = re.split(
                '"' if quote == '"' else f"[{_QUOTES}](?=[{_ENDS_A_STRING}]|$)", piece, maxsplit=1
            )[0]
        elif end < len(line):
            piece = piece.rstrip(_SEPARATORS + _OPENERS)
        urls.append(_DESCRIPTORS.sub("", _without_end(piece, before, bool(quote))))


def _starts(line: str) -> list[int]:
    """Return where the URLs of line begin; empty if its only scheme is inside another address."""
    starts: list[int] = []
    for match in _SCHEME.finditer(line):
        at = match.start()
        if starts:
            if _BEFORE_ANOTHER.search(line[max(starts[-1], at - 40) : at]):
                starts.append(at)
        else:
            word = _WORDS.split(line[:at])[-1]
            if "/" not in word and "?" not in word:  # /resize?url=https://… is an address without a scheme
                starts.append(at)
    return starts


def _without_end(piece: str, before: str, is_quoted: bool) -> str:
    """Return a URL without what follows it: separators, the quote that ends it, brackets that were opened before it."""
    while piece:
        last = piece[-1]
        opener = _CLOSERS.get(last)
        is_outside = last in _SEPARATORS or (is_quoted and last in _QUOTES)
        if not is_outside and not (opener and opener in before and piece.count(last) > piece.count(opener)):
            break
        piece = piece[:-1]
    return piece
