"""The addresses of images in HTML, by html.parser: img, source and srcset, links to images, og:image."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin

from cdn2s3.collection.files.image_fields import is_image_url
from cdn2s3.url_text import BLANKS, found_in

# What holds the address of an image, whatever it looks like.
_ALWAYS = frozenset({
    ("img", "src"), ("img", "srcset"), ("source", "srcset"), ("img", "data-src"), ("img", "data-srcset"),
    ("img", "data-original"), ("img", "data-lazy-src"), ("img", "data-lazy-srcset"), ("img", "data-lazy"),
    ("source", "data-srcset"), ("image", "href"), ("image", "xlink:href"), ("video", "poster"),
    ("img", "data-large_image"), ("img", "data-full-url"), ("img", "data-orig-file"), ("amp-img", "src"),
    ("amp-img", "srcset"),
    ("link", "imagesrcset"), ("td", "background"), ("body", "background"), ("table", "background"),
})  # fmt: skip
_META_NAMES = re.compile(
    r"(?:og|twitter):image(?::(?:url|secure_url|src))?|thumbnail|msapplication-TileImage|image", re.I
)
_LINK_TYPES = re.compile(
    r"\b(?:image_src|(?:shortcut )?icon|apple-touch-icon\S*|mask-icon|fluid-icon)\b", re.I
)
_IN_STYLE = re.compile(r"""url\(\s*["']?([^"')]+)["']?\s*\)""", re.I)
_CANDIDATE = re.compile(r"[\s,]*(\S+)(?:\s+[^\s,(]+)*\s*(?:,|$)")


class Address(NamedTuple):
    """An attribute that holds the address of an image."""

    tag: str
    attribute: str
    address: str  # may lack scheme and host


class HtmlAddresses(HTMLParser):
    """Collect addresses from HTML that is fed in pieces; `found` grows, and its reader may empty it."""

    def __init__(self, takes_all: bool = False) -> None:
        """takes_all: every attribute that has a value, for a caller that chooses by name."""
        super().__init__(convert_charrefs=True)
        self.found: list[Address] = []
        self._takes_all = takes_all
        self._base = ""
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self._is_style = tag == "style"
        if tag == "base" and "href" in given and not self._base:
            self._base = given["href"].strip(BLANKS)
        for name, value in given.items():
            if not self._takes_all and not _is_an_image(tag, name, value, given):
                continue
            for address in _addresses(name, value):
                whole = urljoin(self._base, address) if self._base and "://" in self._base else address
                self.found.append(Address(tag, name, whole))

    def handle_data(self, data: str) -> None:
        if self._is_style and "url(" in data:
            self.found += [Address("style", "style", address) for address in _addresses("style", data)]

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False


def addresses_in(text: str) -> list[str]:
    """Return the addresses of images in a piece of HTML, each once, in their order."""
    parser = HtmlAddresses()
    parser.feed(text)
    parser.close()
    return list(dict.fromkeys(found.address for found in parser.found))


def _is_an_image(tag: str, name: str, value: str, given: dict[str, str]) -> bool:
    if (tag, name) in _ALWAYS:
        return True
    if tag == "meta":
        return name == "content" and bool(
            _META_NAMES.fullmatch(given.get("property", given.get("name", given.get("itemprop", ""))))
        )
    if tag == "link":
        return name == "href" and (
            bool(_LINK_TYPES.search(given.get("rel", ""))) or given.get("as") == "image"
        )
    if tag == "input":
        return name == "src" and given.get("type", "").lower() == "image"
    if name == "style":
        return "url(" in value and is_image_url(value)
    if name == "href":
        return is_image_url(value)
    return name.startswith("data-") and is_image_url(value) and "<" not in value and value[0] not in "{["


def _addresses(name: str, value: str) -> list[str]:
    """Return the addresses in an attribute's value."""
    if "srcset" in name:
        return _in_srcset(value)
    if name == "style":
        return [match.strip(BLANKS) for match in _IN_STYLE.findall(value) if is_image_url(match)]
    bare = value.strip(BLANKS)
    return [bare] if bare else []


def _in_srcset(value: str) -> list[str]:
    """Return the addresses in a srcset, each with or without a scheme."""
    addresses = []
    at = 0
    while match := _CANDIDATE.match(value, at):
        addresses.append(match[1].rstrip(","))
        if match.end() == at:
            break
        at = match.end()
    if addresses and all(address.lower().startswith(("http://", "https://")) for address in addresses):
        return found_in(value).urls  # also divides what lacks the blank after a comma
    return [address for address in addresses if address]
