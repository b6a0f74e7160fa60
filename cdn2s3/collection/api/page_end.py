"""What a page says about the end of the list, and how much that is worth. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cdn2s3.collection.api.position import PagePosition
from cdn2s3.collection.api.styles import Says
from cdn2s3.collection.base import Ending
from cdn2s3.collection.expressions import UnexpectedShape, found, kind
from cdn2s3.settings.collection_settings import CollectionSettings

_TRUE = ("true", "1", "yes", "y")
_FALSE = ("false", "0", "no", "n", "")


def has_more(page: object, expression: str) -> bool | None:
    """Return whether the page says that there are more; None: it does not say. Raise UnexpectedShape."""
    if not expression:
        return None
    value = found(expression, page, "API_HAS_MORE_FIELD")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, str)) and str(value).lower() in _TRUE + _FALSE:
        return str(value).lower() in _TRUE
    raise UnexpectedShape(f"API_HAS_MORE_FIELD={expression} should return true or false, not {kind(value)}")


def total_in(headers: Mapping[str, str], name: str) -> int | None:
    """Return the total in a header: a number, or the end of a Content-Range (`items 0-24/319`); None: no total."""
    match = re.fullmatch(r"(?:.*/)?\s*([0-9]{1,18})\s*", headers.get(name, "")) if name else None
    return int(match[1]) if match else None


def check_complaint(page: object) -> None:
    """Raise UnexpectedShape when a page without items says why: `errors` or `error` with something in it."""
    for name in ("errors", "error"):
        said = page.get(name) if isinstance(page, dict) else None
        if said:
            raise UnexpectedShape(f"it has no items, but `{name}`, {kind(said)}")


def is_reached(position: PagePosition) -> bool:
    """Return whether the pages before position had as many items as the API's total."""
    return bool(position.total) and position.items >= (position.total or 0)


def hint(position: PagePosition) -> str:
    """Return what to set where a page that is none is the end of the list."""
    if not position.pages:
        return ""
    return (
        " If that is how this API ends its list, set what confirms the end: API_TOTAL_FIELD, "
        "API_TOTAL_HEADER, API_HAS_MORE_FIELD or EXPECTED_TOTAL."
    )


def one_page(says: Says, more: bool | None) -> Ending:
    """Return the end of a list that is one page."""
    if says is Says.NEXT or more:
        where = "the header Link: rel=next" if says is Says.NEXT else "API_HAS_MORE_FIELD"
        return Ending(f"API_PAGINATION=none, but {where} says that there are more pages")
    return Ending("it is one page", "it is one page (API_PAGINATION=none)")


def no_more(position: PagePosition, settings: CollectionSettings) -> Ending:
    said = (
        f"{position} says that there is no more (API_HAS_MORE_FIELD={settings.api_has_more_field} is false)"
    )
    return Ending(said, said)


def null_marker(position: PagePosition, setting: str, more: bool | None) -> Ending:
    """Return the end at a page where the next one's name is there, and null."""
    if more:
        return _contradiction(position, setting)
    said = f"on {position} the next page is there and null ({setting})"
    return Ending(said, said)


def no_marker(position: PagePosition, setting: str, more: bool | None) -> Ending:
    """Return the end at a page that has no name of a next one."""
    if more:
        return _contradiction(position, setting)
    said = f"{position} names no next page ({setting} finds none)"
    if position.marked:
        return Ending(said, f"{position} names no next page, and the pages before it did ({setting})")
    return Ending(f"{said}, nor did any page before it" if position.pages else said)


def proved(position: PagePosition, setting: str, items: int) -> Ending:
    """Return the end of a list of one page, where the API names a next page as soon as fewer items are wanted."""
    said = f"{position} names no next page, and with {items} items a page it does ({setting})"
    return Ending(said, said)


def _contradiction(position: PagePosition, setting: str) -> Ending:
    return Ending(
        f"{position} says that there is more (API_HAS_MORE_FIELD), but {setting} finds no next page"
    )


def two_empty(position: PagePosition) -> Ending:
    """Return the end at the second of two empty pages."""
    before = position._replace(pages=position.pages - 1)
    said = f"{before}, asked for twice, and {position} are empty"
    return Ending(said, said)
