"""The last request of a walk that counts its pages by itself: for what a wrong setting would have skipped. Pure.

Evidence for the end of a list says nothing of its beginning, nor of what lies between two pages:

    page    from 1, of an API that counts from 0: page 0 was skipped. It is asked for, and its URLs are taken
    offset  of an API that counts pages: most of them were skipped. At offset 2, a page 2 has items of its own

Nothing is asked for where the API's total was reached: then nothing was skipped.
"""

from __future__ import annotations

from typing import Any

from cdn2s3.collection.api import page_end
from cdn2s3.collection.api.position import Asked, PagePosition, fingerprint
from cdn2s3.collection.base import Ending
from cdn2s3.settings.collection_settings import CollectionSettings

LOOKS = {"page": 0, "offset": 2}  # by style: what is asked for


def position(look: int, first: Asked, ending: Ending, after: PagePosition) -> PagePosition | None:
    """Return where to look once a list has ended; None where that is needless.

    first is what the walk began with; after is the position after its last page.
    """
    may_be_skipped = first == 1 if look < 1 else after.largest > look
    if not may_be_skipped or not ending.evidence or page_end.is_reached(after):
        return None
    return after._replace(asked=look, ended=ending.evidence)


def is_known(items: list[Any], look: PagePosition) -> bool:
    """Return whether a look has found nothing, or the first page again, as many APIs answer to page 0."""
    return not items or fingerprint(items) == look.head


def counted(items: int, look: PagePosition) -> int:
    """Return how many of the items of a look are missing from the API's total, if they are new.

    An offset of 2 is within what was walked: new items there are a sign of others, and complete nothing.
    """
    if look.asked != 0:
        return 0
    return items if look.items + items <= (look.total or 0) else 0


def as_it_was(look: PagePosition) -> Ending:
    """Return the end of a list of which a look has shown nothing new."""
    return Ending(look.ended, look.ended)


def skipped(look: PagePosition, settings: CollectionSettings) -> Ending:
    """Return the end of a list where a look has found URLs that no page before it had."""
    if look.asked == 0:
        words = (
            f"{look.ended}; page 0 has URLs, too, and they are in the list (API_FIRST_PAGE=0 begins there)"
        )
        return Ending(words, words)
    name = settings.api_offset_param or "{offset}"
    return Ending(
        f"{look} has URLs that no page before had, so {name} may count pages, not items, and the walk has skipped some "
        "(API_PAGINATION=page?)"
    )
