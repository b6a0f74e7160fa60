"""What is taken from the fields of an export: URL_COLUMNS where it names them, else what looks like an image."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from cdn2s3.collection.expressions import ItemError
from cdn2s3.collection.files import image_fields
from cdn2s3.collection.files.html_addresses import addresses_in
from cdn2s3.collection.notes import JOINED, TRIMMED, Note, Notes
from cdn2s3.collection.url_building import UrlBuilder
from cdn2s3.keys import KEY_FIELD
from cdn2s3.state.lines import field
from cdn2s3.url_prefixes import Prefixes, located
from cdn2s3.url_text import BLANKS, found_in

Path = tuple[str, ...]  # a field's name, after the names that it is under

_NO_IMAGE = frozenset(
    {"null", "none", "nil", "n/a", "na", "nan", "-", "--", "\\n", "false", "undefined", "#n/a"}
)
_HTML = re.compile(r"<(?:img|source|picture|a|video|figure)\s", re.IGNORECASE)
_INLINE = re.compile(r"data:[\w.+-]*[/;,]", re.IGNORECASE)
_IN_PROSE = re.compile(r"https?://[^\s\"'<>\\^`{|}\]]+", re.IGNORECASE)
_STOPS = ".,;:!?*_"
_SEPARATE = re.compile(r"[/@.]")
_MOST_PATHS = 20_000  # names that are remembered: an object's keys may be the data

INLINE = "inline images (data:), which have no URL"
PASSED_OVER = "URLs that do not look like images, not taken"


class Names:
    """The names of fields that a setting has, and which of them were found."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.found: set[str] = set()
        self._parts = {name: tuple(_SEPARATE.split(name)) for name in names}
        self._known: dict[Path, str] = {}

    def match(self, path: Path) -> bool:
        """Return whether a field has one of the names; remember which."""
        name = self._known.get(path)
        if name is None:
            if len(self._known) >= _MOST_PATHS:
                self._known.clear()
            name = self._known[path] = self._name_of(path)
        if name:
            self.found.add(name)
        return bool(name)

    def _name_of(self, path: Path) -> str:
        if not path:
            return ""
        last = path[-1]
        for name, parts in self._parts.items():
            if last == name or (len(parts) > 1 and path[-len(parts) :] == parts):
                return name
        # `image_link` finds g:image_link; a name with a prefix is exact.
        local = last.rpartition(":")[2]
        return local if local in self._parts else ""


class Picker:
    """Takes the URLs out of the fields of one export; for one thread."""

    def __init__(
        self, columns: Sequence[str], key_column: str, builder: UrlBuilder, url_prefix: str = ""
    ) -> None:
        """columns are the names in URL_COLUMNS, empty for what looks like an image; builder completes URLs."""
        self._prefixes = Prefixes(url_prefix)
        self.wanted = Names(columns)
        self.keys = Names([key_column] if key_column else [])
        self.builder = builder
        self.notes = Notes()

    @property
    def is_named(self) -> bool:
        return bool(self.wanted.names)

    def is_expected(self, text: str) -> bool:
        """Return whether the URLs in text are all under URL_PREFIX; text without any is."""
        parts = [located(url) for url in found_in(text).urls]
        return all(one is not None and self._prefixes.covering(one) is not None for one in parts)

    def take(self, path: Path, text: str, into: list[Any]) -> None:
        """Append to into the URLs in the text of a field, None for one that says that there is no image."""
        if self.is_named:
            if self.wanted.match(path):
                self.take_wanted(path, text, into)
        elif "://" in text or "<" in text:
            self._take_what_looks_like_images(path, text, into)
        elif image_fields.names_images(path):
            self._take_address(text, into)

    def take_wanted(self, path: Path, text: str, into: list[Any]) -> None:
        """Append what the text of a field that is wanted holds; what is no URL is for the caller to reject."""
        text = as_utf_8(text)
        bare = text.strip(BLANKS)
        if not bare or bare.lower() in _NO_IMAGE:
            into.append(None)
        elif _INLINE.match(bare):
            self.note(INLINE, bare[:80])
            into.append(None)
        elif "<" in bare and _HTML.search(bare):
            self._add_all(addresses_in(bare), into)
        elif bare[0] in "[{" and (inside := _parsed(bare)) is not None:
            for _, value in strings_in(inside, ()):
                self.take_wanted(path, value, into)
        else:
            self._add_found(text, into)

    def _add_found(self, text: str, into: list[Any]) -> None:
        found = found_in(text)
        if len(found.urls) > 1:
            self.note(JOINED, found.urls[0])
        if found.trimmed:
            self.note(TRIMMED, (found.urls or found.rest)[0])
        into += found.urls
        self._add_all(found.rest, into)

    def _add_all(self, addresses: list[str], into: list[Any]) -> None:
        for address in addresses:
            into += self.builder.urls(address)

    def _take_what_looks_like_images(self, path: Path, text: str, into: list[Any]) -> None:
        text = as_utf_8(text)
        bare = text.strip(BLANKS)
        if "<" in bare and _HTML.search(bare):
            addresses = addresses_in(bare)
            for address in addresses:
                self._take_if_image(path, address, into)
            into += [url for url in _images_in_prose(html.unescape(bare)) if url not in addresses]
        elif bare[:1] in ("[", "{") and (inside := _parsed(bare)) is not None:
            for inner, value in strings_in(inside, path):
                self.take(inner, value, into)
        elif _INLINE.match(bare):
            self.note(INLINE, bare[:80])
        elif bare[:8].lower().startswith(("http://", "https://")) and not _is_prose(bare):
            found = found_in(text)
            taken = [url for url in found.urls if self._looks_like_an_image(path, url)]
            if len(found.urls) > 1 and taken:
                self.note(JOINED, taken[0])
            if found.trimmed and taken:
                self.note(TRIMMED, taken[0])
            into += taken
        else:
            into += _images_in_prose(text)

    def _looks_like_an_image(self, path: Path, url: str) -> bool:
        if image_fields.is_image_url(url):
            return True
        if image_fields.names_images(path) and not image_fields.is_other_file(url):
            return True
        self.note(f"{PASSED_OVER}: {'.'.join(path[-2:]) or 'without a name'}", url)
        return False

    def _take_if_image(self, path: Path, address: str, into: list[Any]) -> None:
        if _INLINE.match(address):
            self.note(INLINE, address[:80])
        elif "://" not in address:
            into += self.builder.urls(address)
        elif self._looks_like_an_image((*path, "img"), address):
            into.append(address)

    def _take_address(self, text: str, into: list[Any]) -> None:
        """Append an image's name or path without a host, from a field whose name suggests images."""
        text = as_utf_8(text)
        bare = text.strip(BLANKS)
        if not bare or bare.lower() in _NO_IMAGE:
            into.append(None)
        elif _INLINE.match(bare):
            self.note(INLINE, bare[:80])
        elif bare[0] in "[{" and (inside := _parsed(bare)) is not None:
            for _, value in strings_in(inside, ()):
                self._take_address(value, into)
        elif image_fields.is_image_url(bare) and (bare[0] == "/" or " " not in bare or "/" in bare):
            self._add_all(_addresses(bare), into)

    def named(self, urls: list[Any], name: str) -> list[Any]:
        """Return urls as lines whose last field names the object; without a name they cannot be moved."""
        name = as_utf_8(name).strip(BLANKS)
        if not name:
            return [ItemError(url, "no name in KEY_COLUMN") if _is_open(url) else url for url in urls]
        return [f"{url}\t{KEY_FIELD}{field(name)}" if _is_open(url) else url for url in urls]

    def note(self, what: str, example: str) -> None:
        self.notes.add(what, example)

    def noted(self) -> dict[str, Note]:
        """Return the notes since the last call."""
        found, self.notes = self.notes.found, Notes()
        return found


def _is_open(url: Any) -> bool:
    """Return whether url is one that has no name yet."""
    return isinstance(url, str) and "\t" not in url


def _addresses(text: str) -> list[str]:
    """Return the addresses without a host in a field, which may hold several."""
    for separator in (",", ";", "|"):
        parts = [part.strip(BLANKS) for part in text.split(separator)]
        parts = [part for part in parts if part]
        if len(parts) > 1 and all(image_fields.is_image_url(part) for part in parts):
            return parts
    return [text]


def _is_prose(text: str) -> bool:
    """Return whether a text that begins with a URL goes on with words that are no part of it."""
    return " " in text and len(text) > 2000 and len(found_in(text).urls) == 1


def urls_in_prose(text: str) -> Iterator[str]:
    """Yield the URLs within running text, Markdown among it; a blank, a quote or a bracket ends one."""
    for match in _IN_PROSE.finditer(text):
        url = match[0]
        while url and (url[-1] in _STOPS or (url[-1] == ")" and url.count(")") > url.count("("))):
            url = url[:-1]
        if "](" in text and ")" in url and text[max(0, match.start() - 2) : match.start()] == "](":
            url = _up_to_the_bracket(url)
        yield url


def _images_in_prose(text: str) -> list[str]:
    found = (url for text_url in urls_in_prose(text) for url in found_in(text_url).urls)
    return list(dict.fromkeys(url for url in found if image_fields.is_image_url(url)))


def _up_to_the_bracket(url: str) -> str:
    depth = 0
    for at, character in enumerate(url):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return url[:at]
    return url


def _parsed(text: str) -> Any:
    """Return the JSON in a field, None where it is none."""
    if text[-1] not in "]}":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def strings_in(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield each string in parsed JSON with its path, in its order; an element of a list has its list's path."""
    waiting: list[tuple[Path, Any]] = [(path, value)]
    while waiting:
        at, inside = waiting.pop()
        if isinstance(inside, str):
            yield at, inside
        elif isinstance(inside, list):
            waiting.extend((at, element) for element in reversed(inside))
        elif isinstance(inside, dict):
            waiting.extend(((*at, key), element) for key, element in reversed(list(inside.items())))


def as_utf_8(text: str) -> str:
    """Return text whose bytes are not UTF-8 read as Windows-1252, which such a file most likely is."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return text


Take = Callable[[Path, str, list[Any]], None]
