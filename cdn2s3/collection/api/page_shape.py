"""The content of a page of JSON: its URLs, its items, the API's total, found by JMESPath expressions. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cdn2s3.collection.api.other_images import elsewhere
from cdn2s3.collection.expressions import Expression, ItemError, UnexpectedShape, found, kind, outline
from cdn2s3.collection.notes import COMPLETED, ELSEWHERE, JOINED, TRIMMED, Note, Notes
from cdn2s3.collection.url_building import SETTING as TEMPLATE
from cdn2s3.collection.url_building import UrlBuilder, is_no_image
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.url_text import BLANKS, addresses_in, are_whole, found_in


class Content(NamedTuple):
    """The content of one page."""

    urls: list[Any]  # unmodified and not validated; None if an item's URL is null
    items: list[Any]  # what the URLs were taken from; the URLs themselves if that is unknown
    total: int | None  # the API's total number of items; None if it reports none
    lacks_urls: bool = False  # it has items, and none of them has a URL, nor says that it has none
    notes: Mapping[str, Note] = {}  # what was done to its URLs
    lacking: int = 0  # items that the expression has passed over: their URL is null


class Shape:
    """Find a page's content according to the settings."""

    _wanted: tuple[type, ...] = (str, type(None))  # what a URL may be

    def __init__(self, settings: CollectionSettings) -> None:
        self._builder = UrlBuilder(settings.api_url_base, settings.api_url_template)
        self._items_field = settings.api_items_field
        self._total_field = settings.api_total_field
        field = settings.api_urls_field
        if self._builder.has_template and not field and self._items_field:
            self._urls_expression = Expression(self._items_field, "API_ITEMS_FIELD")
        else:
            self._urls_expression = Expression(field, "API_URLS_FIELD")
        self._template = settings.api_url_template

    def read(self, page: object, is_first: bool) -> Content:
        """Return the content of a page, or raise UnexpectedShape."""
        values, walked = self._urls_expression.find(page)
        values = self._listed(values)
        notes = Notes()
        urls = self._urls(values, notes)
        items = self._items(page, values if self._template else urls, walked)
        lacks_urls = self._lacks_urls(items, values, urls, is_first)
        if lacks_urls and is_first:
            raise UnexpectedShape(self._of_no_url(items, values))
        if urls and not any(isinstance(url, self._wanted) for url in urls):
            raise UnexpectedShape(self._of_no_text(urls[0]))
        lacking = max(0, len(items) - len(values))
        if (lacking or None in urls) and not self._template and not self._urls_expression.has_filter:
            records = walked if self._items_field == "" and walked is not None else items
            for image in elsewhere(records, _strings_in(values)):
                notes.add(ELSEWHERE, image)
        return Content(urls, items, self._total(page), lacks_urls, notes.found, lacking)

    def _urls(self, values: list[Any], notes: Notes) -> list[Any]:
        """Return the URLs in what the expression found, of which a text is read as a field of an export is."""
        if self._template or (set(map(type, values)) <= {str} and are_whole(values)):
            return self._builder.urls_of(values)
        texts = [_read(value, notes) for value in values]
        urls = self._builder.urls_of(texts)
        given = set(_strings_in(texts))
        completed = [url for url in urls if isinstance(url, str) and url not in given]
        if completed:
            notes.add(COMPLETED, completed[0], len(completed))
        return urls

    def _lacks_urls(self, items: list[Any], values: list[Any], urls: list[Any], is_first: bool) -> bool:
        """Return whether items without a URL mean that a setting or the request is wrong.

        An expression with a filter may skip all items of a page, and each of them may say that it has no image.
        """
        if not items or self._urls_expression.has_filter or any(url is not None for url in urls):
            return False
        return not any(map(self._builder.says_that_there_is_none, values))

    def _listed(self, values: object) -> list[Any]:
        """Return what was found as a list; raise UnexpectedShape when it is none."""
        if isinstance(values, list):
            return values
        is_one_record = self._builder.has_template and isinstance(values, dict)
        if is_one_record or (isinstance(values, str) and re.match("https?://", values)):
            return [values]
        raise UnexpectedShape(f"{self._named()} should return a list of URLs, not {kind(values)}")

    def _of_no_text(self, url: object) -> str:
        if isinstance(url, ItemError):
            return f"{self._named()} cannot be used on any item; {url}"
        return f"{self._named()} should return a list of URLs, not a list with {kind(url)}"

    def _items(self, page: object, taken: list[Any], walked: list[Any] | None) -> list[Any]:
        if not self._items_field:
            return taken if walked is None else walked
        items = found(self._items_field, page, "API_ITEMS_FIELD")
        if not isinstance(items, list):
            is_one = isinstance(items, dict)  # XML made into JSON
            raise UnexpectedShape(
                f"API_ITEMS_FIELD={self._items_field} should return a list of items, not {kind(items)}"
                + (f" (is it a list of one? [{self._items_field}][] finds both)" if is_one else "")
            )
        return items

    def _of_no_url(self, items: list[Any], values: list[Any]) -> str:
        empty = self._builder.empty_field(values[0]) if values else ""
        return (
            f"it has {len(items)} items, but {self._named()} finds no URL in any of them; "
            + (f"{{{empty}}} finds nothing in the first one; " if empty else "")
            + f"the first item is {outline(items[0])}"
        )

    def _named(self) -> str:
        if self._template:
            return f"{TEMPLATE}={self._template}"
        return self._urls_expression.named()

    def _total(self, page: object) -> int | None:
        if not self._total_field:
            return None
        total = found(self._total_field, page, "API_TOTAL_FIELD")
        if isinstance(total, str) and re.fullmatch("[0-9]{1,18}", total):
            return int(total)
        if total is None:
            return None
        if type(total) is not int:
            raise UnexpectedShape(
                f"API_TOTAL_FIELD={self._total_field} should return a whole number, not {kind(total)}"
            )
        return total if total >= 0 else None


def _read(value: Any, notes: Notes) -> Any:
    """Return value with each text in it as the URLs that it holds, a list where they are several."""
    if isinstance(value, list):
        return [_read(inner, notes) for inner in value]
    if not isinstance(value, str):
        return value
    if is_no_image(value):
        return ""
    found = found_in(value)
    if len(found.urls) == 1 and found.rest and value.strip(BLANKS).startswith(found.urls[0]):
        return value  # one scheme is one URL, and a line break inside makes it malformed: never half of it
    rest = found.rest if found.urls else [address for part in found.rest for address in addresses_in(part)]
    texts = [*found.urls, *rest]
    if len(found.urls) > 1 or len(rest) > len(found.rest):
        notes.add(JOINED, texts[0])
    if found.trimmed:
        notes.add(TRIMMED, texts[0])
    return texts[0] if len(texts) == 1 else texts


def _strings_in(texts: list[Any]) -> Iterator[str]:
    for text in texts:
        if isinstance(text, list):
            yield from _strings_in(text)
        elif isinstance(text, str):
            yield text


class ShapeOfIds(Shape):
    """Find what API_DETAIL_IDS selects on a page of the list: texts and numbers."""

    _wanted = (str, int, float, type(None))

    def __init__(self, settings: CollectionSettings) -> None:
        super().__init__(dataclasses.replace(settings, api_url_base=None, api_url_template=""))
        self._urls_expression = Expression(settings.api_detail_ids, "API_DETAIL_IDS")

    def _urls(self, values: list[Any], notes: Notes) -> list[Any]:
        return self._builder.urls_of(values)


class ShapeOfDetails(Shape):
    """Find the URLs in the details of one item, which may have none at all."""

    def _listed(self, values: object) -> list[Any]:
        return [] if is_no_image(values) else super()._listed(values)

    def _lacks_urls(self, items: list[Any], values: list[Any], urls: list[Any], is_first: bool) -> bool:
        return not is_first and super()._lacks_urls(items, values, urls, is_first)
