"""The URLs in XML: feeds, WordPress exports, sitemaps, listings of a bucket; by expat through defusedxml, in pieces.

Elements and attributes have the names that the file writes: `g:image_link`. Entities that a document declares are
refused, and nothing that it names is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from cdn2s3.collection.files import image_fields
from cdn2s3.collection.files.byte_stream import Unreadable
from cdn2s3.collection.files.picker import PASSED_OVER, Path, Picker
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.collection.files.text_lines import LONGEST
from cdn2s3.collection.notes import Note

_CONTROLS = bytes(code for code in range(32) if code not in (9, 10, 13))
_ADDRESSES = ("url", "href", "src", "xlink:href", "rdf:resource")
_NOTHING = object()  # the end of a piece: a file without URLs moves on, too
_NOT_CONTENT = re.compile(r"xmlns(:|$)|xsi:|.*schemaLocation$")


class _Element(NamedTuple):
    """An element that has begun."""

    name: str
    text: list[str]
    attributes: dict[str, str]
    urls: list[Any]  # inside it, waiting for the name of their object
    keys: list[str]


class Elements(ContentHandler):
    """What is taken while a document is read; its reader empties `urls`."""

    def __init__(self, picker: Picker, has_key: bool) -> None:
        super().__init__()
        self.urls: list[Any] = []
        self.doubts: list[str] = []
        self.notes: dict[str, Note] = {}  # what its reader leaves here
        self.root = ""
        self._picker = picker
        self._has_key = has_key
        self._open: list[_Element] = []
        self._size = 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  # sax's own name
        attributes = {key: value for key, value in attrs.items() if not _NOT_CONTENT.match(key)}
        if not self._open:
            self.root = name.rpartition(":")[2]
        elif self._open[-1].text:
            self._open[-1].text.append(" ")  # text around an element is not joined
        self._open.append(_Element(name, [], attributes, [], []))
        self._size = 0

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].text.append(content)
            self._size += len(content)
            if self._size > LONGEST:
                raise Unreadable(f"the text of an element is longer than {LONGEST >> 20} MB")

    def endElement(self, name: str) -> None:  # noqa: N802
        element = self._open[-1]
        path = tuple(one.name for one in self._open[-3:])
        self.take(path, "".join(element.text), element.attributes, element.urls)
        self._take_key(path, element)
        self._open.pop()
        self._hand_up(element)

    def take(self, path: Path, text: str, attributes: dict[str, str], into: list[Any]) -> None:
        """Append the URLs of an element that has ended."""
        picker = self._picker
        has_text = bool(text) and not text.isspace()
        if picker.is_named and picker.wanted.match(path):
            before = len(into)
            if has_text:
                picker.take_wanted(path, text, into)
            if len(into) == before or into[before:] == [None]:
                addresses = [attributes[key] for key in _ADDRESSES if attributes.get(key)]
                if addresses or not has_text:
                    del into[before:]
                for address in addresses:
                    picker.take_wanted(path, address, into)
                if not addresses and not has_text and not attributes:
                    into.append(None)
        elif has_text:
            picker.take(path, text, into)
        for key, value in attributes.items():
            if picker.is_named and key in _ADDRESSES and picker.wanted.match(path):
                continue
            at = (*path, key)
            if not picker.is_named and key in _ADDRESSES and _is_image(attributes):
                picker.take_wanted(at, value, into)
            else:
                picker.take(at, value, into)

    def _take_key(self, path: Path, element: _Element) -> None:
        if not self._has_key:
            return
        if self._picker.keys.match(path):
            element.keys.append("".join(element.text))
        element.keys.extend(v for k, v in element.attributes.items() if self._picker.keys.match((*path, k)))

    def _hand_up(self, element: _Element) -> None:
        """Give the URLs of an element to the list, or to the element around it as long as they have no name."""
        urls = element.urls
        if self._has_key and element.keys and urls:
            urls = self._picker.named(urls, element.keys[0])
        elif self._has_key and self._open:
            self._open[-1].urls.extend(urls)
            self._open[-1].keys.extend(element.keys)
            return
        elif self._has_key:
            urls = self._picker.named(urls, "")
        self.urls += urls


def _is_image(attributes: dict[str, str]) -> bool:
    """Return whether an element says of what it points to that it is an image: enclosure, media:content."""
    kind = (
        attributes.get("type", "") + " " + attributes.get("medium", "") + " " + attributes.get("mimeType", "")
    )
    return kind.lower().startswith(("image/", " image")) or " image" in kind.lower()


class Sitemap(Elements):
    """A sitemap: images, and pages that are images themselves. `sitemaps` are those that an index names."""

    def __init__(self, picker: Picker, has_key: bool) -> None:
        super().__init__(picker, has_key)
        self.sitemaps: list[str] = []

    def take(self, path: Path, text: str, attributes: dict[str, str], into: list[Any]) -> None:
        locals_ = [name.rpartition(":")[2] for name in path]
        if locals_[-1] == "loc" and locals_[-2:-1] == ["sitemap"]:
            self.sitemaps.append(text.strip())
        elif self._picker.is_named:
            super().take(path, text, attributes, into)
        elif _is_image_in_sitemap(locals_, text):
            self._picker.take_wanted(path, text, into)
        elif locals_[-1] == "loc":
            self._picker.note(f"{PASSED_OVER} (URL_COLUMNS=loc takes them)", text.strip())


def _is_image_in_sitemap(names: list[str], text: str) -> bool:
    """Return whether an element, by its name and those around it without prefixes, holds the URL of an image."""
    if names[-1] in ("thumbnail_loc", "image_loc"):
        return True
    if names[-1] != "loc":
        return False
    return names[-2:-1] == ["image"] or (names[-2:-1] == ["url"] and image_fields.is_image_url(text.strip()))


class BucketListing(Elements):
    """A page of the listing of a bucket, saved as a file: its keys, as URLs."""

    def __init__(self, picker: Picker, has_key: bool, url_of: Callable[[str], str]) -> None:
        super().__init__(picker, has_key)
        self._url_of = url_of

    def take(self, path: Path, text: str, attributes: dict[str, str], into: list[Any]) -> None:
        locals_ = [name.rpartition(":")[2] for name in path]
        if locals_[-1] == "Key" and locals_[-2:-1] == ["Contents"]:
            if not text.endswith("/"):
                into.append(self._url_of(text))
        elif locals_[-1] == "IsTruncated" and text.strip() == "true":
            self.doubts.append("it is one page of a longer listing (IsTruncated)")


class XmlRecords:
    """The records of an XML file: what its elements give, in the order in which they end."""

    def __init__(self, job: Job, handler: Elements) -> None:
        self._job = job
        self.handler = handler

    def __iter__(self) -> Iterator[Record]:
        job = self._job
        number = 0
        pieces = parse(job.stream.read, self.handler)
        error: Unreadable | None = None
        while error is None:
            try:
                next(pieces)
            except StopIteration:
                break
            except Unreadable as found:
                error = found  # after what was read before it
            urls, self.handler.urls = self.handler.urls, []
            for url in [*urls, _NOTHING]:
                number += 1
                if number > job.start.records:
                    yield Record([] if url is _NOTHING else [url])
        if error is not None:
            raise error
        if isinstance(self.handler, Sitemap):
            self._check_sitemaps(self.handler.sitemaps)
        for doubt in self.handler.doubts:
            yield Record([], 0, doubt)

    def _check_sitemaps(self, named: list[str]) -> None:
        """Doubt an index whose sitemaps are not beside it."""
        folder = self._job.stream.path.parent
        names = {url.rpartition("/")[2].partition("?")[0] for url in named}
        lacking = [
            name for name in names if not any((folder / f"{name}{end}").exists() for end in ("", ".gz"))
        ]
        if lacking:
            self.handler.doubts.append(
                f"it is an index of {len(named)} sitemaps, of which {len(lacking)} are missing from its folder, "
                f"such as {min(lacking)}; copy them there, or set SOURCE=sitemap and SITEMAP_URL"
            )


def root_of(head: bytes) -> str:
    """Return the name of a document's root element without its prefix, "" if head does not show it."""
    text = re.sub(rb"<!--.*?-->", b"", head.replace(b"\0", b""), flags=re.DOTALL)
    found = re.search(rb"<(?![?!])([^\s/>]+)", text)
    return found[1].decode(errors="replace").rpartition(":")[2] if found else ""


def parse(read: Callable[[], bytes], handler: ContentHandler) -> Iterator[None]:
    """Feed a document to handler piece by piece; raise Unreadable where it is no well-formed XML."""
    parser = DefusedExpatParser(
        namespaceHandling=0, forbid_dtd=False, forbid_entities=True, forbid_external=False
    )
    parser.setContentHandler(handler)
    chunk = read().lstrip()
    is_wide = b"\0" in chunk[:64]  # UTF-16: its zero bytes belong to it
    try:
        while chunk:
            parser.feed(chunk if is_wide else chunk.translate(None, _CONTROLS))
            yield
            chunk = read()
        parser.close()
        yield
    except SAXParseException as error:
        raise Unreadable(
            f"it is not well-formed XML: {error.getMessage()} in line {error.getLineNumber():,}"
        ) from error
    except DefusedXmlException as error:
        raise Unreadable("it declares entities, which are not expanded; save it without its DTD") from error
    except (LookupError, ValueError) as error:
        raise Unreadable(f"its encoding is unknown ({error})") from error
