"""The walk through the pages of one API: what follows a page, and what vouches for the end. Pure.

Not an end by themselves: a page with fewer items than requested, the API's total, an empty page. Evidence for the
end is, besides a total that is reached (evidence.py):

    page, offset   an empty page, asked for again, and the page after it is empty as well
    cursor, links  the marker that earlier pages had is gone, or is there and null
    none           the user says that it is one page
    all            API_HAS_MORE_FIELD is false; a status in API_END_STATUS after a good page of this process

A page that is null, lacks its list, repeats the one before it, or is refused ends the list only with a total.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Callable, NamedTuple, Union

from cdn2s3.collection.alternatives import Alternatives, Unfound
from cdn2s3.collection.api import last_look, page_end
from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.page_shape import Content, Shape
from cdn2s3.collection.api.position import Asked, PagePosition, as_text, fingerprint, stored_position
from cdn2s3.collection.api.styles import STYLES, ByLink, Next, Says
from cdn2s3.collection.base import Batch, Ending
from cdn2s3.collection.expressions import UnexpectedShape, outline
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.state.key_index import Fingerprints

log = logging.getLogger(__name__)

MOST_EMPTY = 100  # empty pages in a row that are followed where something says that there is more

Followed = Union[PagePosition, Ending]  # what comes after a page


class _Page(NamedTuple):
    """A page that has the expected shape."""

    content: Content
    items: list[Any]
    total: int | None
    has_more: bool | None  # None: it does not say
    next: Next
    unfound: Unfound  # which parts of API_URLS_FIELD have found nothing, here and on the pages before


class Paging:
    """Walk through the pages of one API; remember what was asked for, to detect a loop."""

    def __init__(
        self,
        settings: CollectionSettings,
        hidden: Callable[[str], str] = str,
        shape: Shape | None = None,
        looks: Mapping[str, int] = last_look.LOOKS,
    ) -> None:
        """hidden makes a URL one without the secrets in its query: only that form is kept in a position.

        shape is where a page has its content, if that is not what settings say; looks has the styles whose end is
        followed by a look at what they may have skipped.
        """
        self._settings = settings
        self._style = STYLES[settings.api_pagination](settings)
        if isinstance(self._style, ByLink):
            self._style.hidden = hidden
        self._is_numbered = isinstance(self._style.first, int)
        self._shape = shape or Shape(settings)
        self._alternatives = Alternatives(settings.api_urls_field)
        self._looks = looks
        self._items_before: list[Any] = []
        self._resumed = False  # the walk goes on from a checkpoint, and no page was read yet
        self._may_begin_again = False

    @cached_property
    def _asked_before(self) -> Fingerprints:
        """The requests so far. Made when it is needed: most details of an item are one page."""
        return Fingerprints()

    @cached_property
    def _seen_again(self) -> Fingerprints:
        """The pages since a request came again."""
        return Fingerprints()

    def first(self) -> PagePosition:
        return PagePosition(self._style.first, unfound=self._alternatives.all)

    def resume(self, stored: Mapping[str, Any]) -> PagePosition:
        """Return the Position in a checkpoint; raise ValueError if it has none."""
        position = stored_position(stored)
        if type(position.asked) not in self._allowed():
            raise ValueError("its position is not for this API_PAGINATION")
        if isinstance(self._style, ByLink) and position.asked is not None:
            self._check_link(self._style, position.asked)
        self._resumed = self._may_begin_again = position.pages > 0
        return position

    def _allowed(self) -> tuple[type, ...]:
        """Return the types that a position may ask for."""
        if self._is_numbered:
            return (int,)
        if self._settings.api_pagination == "cursor":
            return (str, int, float, dict, list, type(None))
        return (str, type(None))

    def _check_link(self, style: ByLink, asked: Asked) -> None:
        try:
            whole = isinstance(asked, str) and style.resolved(asked, style.request(None).url)
        except UnexpectedShape as error:
            raise ValueError("its position is not a URL of the API") from error
        if whole != asked:
            raise ValueError("its position is not a complete URL of the API")

    def request(self, position: PagePosition) -> PageRequest:
        """Return the request for a page."""
        request = self._style.request(position.asked, position.proof)
        return request._replace(may_be_missing=True) if position.ended else request

    def lost(self, position: PagePosition) -> Batch | None:
        """Return the way back to the first page where position cannot be asked for any more, else None.

        A server that moves on by itself is further than the checkpoint.
        """
        if self._resumed and position.repeats:
            return self._begin_again("the API moves on with each request, so its pages cannot be resumed")
        return None

    def read(self, reply: ApiResponse, position: PagePosition) -> Batch:
        """Return the content of reply, which is the page at position.

        Raise FatalError when it does not have the expected shape, or the API repeats itself.
        """
        if position.proof:
            return self._proved(reply, position)
        if position.ended:
            return self._looked(reply, position)
        if reply.refusal is not None:
            said = f"the API answered {reply.status} to {position}"
            return self._without_page(position, reply.refusal, said, reply.status)
        try:
            page = self._page(reply, position)
        except UnexpectedShape as error:
            refusal = FatalError(
                f"{position} does not have the expected shape: {error}. The page is {outline(reply.content)}. "
                f"Correct the setting, or ask the API's owner.{page_end.hint(position)}"
            )
            return self._without_page(position, refusal, f"{position} has no list")
        if page.items and self._is_page_before(page.items, position):
            refusal = FatalError(
                f"{position} repeats the previous page: the API does not page the way API_PAGINATION and its "
                f"parameters describe. Correct them, or ask the API's owner.{page_end.hint(position)}"
            )
            return self._without_page(position, refusal, f"{position} repeats the page before it")
        return self._batch(page, position)

    def _page(self, reply: ApiResponse, position: PagePosition) -> _Page:
        """Return the page in reply; raise UnexpectedShape when it is none."""
        content = self._shape.read(reply.content, is_first=position.pages == 0)
        items = content.items or content.urls
        if not items:
            page_end.check_complaint(reply.content)
        total = content.total
        if total is None:
            total = page_end.total_in(reply.headers, self._settings.api_total_header)
        step = len(items) or position.largest or self._settings.results_per_page
        return _Page(
            content,
            items,
            position.total if total is None else total,
            page_end.has_more(reply.content, self._settings.api_has_more_field),
            self._style.following(reply, position.asked, step),
            self._alternatives.unfound(reply.content, Unfound(position.unfound, position.lacked)),
        )

    def _is_page_before(self, items: list[Any], position: PagePosition) -> bool:
        if self._resumed:
            return position.last == fingerprint(items)
        return items == self._items_before

    def _batch(self, page: _Page, position: PagePosition) -> Batch:
        """Return a page as a batch; raise FatalError when it is one of a loop."""
        content, urls = page.content, page.content.urls
        counted = self._counted(page)
        if page.items:
            self._check_loop(page.items, position)
            self._items_before = page.items
        self._resumed = False
        after = self._after(page, position, position.items + counted)
        followed = self._followed(page, position, after)
        if isinstance(followed, Ending):
            followed = self._with_look(followed, after)
        is_end = isinstance(followed, Ending)
        return Batch(
            urls=urls,
            following=None if is_end else followed,
            items=counted,
            without_url=urls.count(None) + content.lacking,
            total=page.total,
            notes=content.notes,
            blank=len(page.items) if content.lacks_urls else 0,
            ending=self._doubted(followed, page.unfound) if isinstance(followed, Ending) else None,
        )

    def _doubted(self, ending: Ending, unfound: Unfound) -> Ending:
        """Return ending with a doubt for each part of API_URLS_FIELD that has found nothing."""
        return ending._replace(doubts=self._alternatives.doubts(unfound, "on any page"))

    def _check_loop(self, items: list[Any], position: PagePosition) -> None:
        """Raise FatalError when requests came again and their pages do so, too."""
        if position.repeats and not self._seen_again.add(as_text(items)):
            raise FatalError(
                f"{position} and the pages before it come again and again (a repeated cursor or link): the API "
                "repeats itself in a loop. Correct API_PAGINATION and its settings, or ask the API's owner."
            )

    def _after(self, page: _Page, position: PagePosition, items: int) -> PagePosition:
        """Return the position after page, whether or not there is anything; items are those seen so far."""
        return PagePosition(
            page.next.asked,
            position.pages + 1,
            0 if page.items else position.empty + 1,
            marked=position.marked or page.next.says is Says.NEXT,
            items=items,
            total=page.total,
            largest=max(position.largest, len(page.items)),
            repeats=position.repeats,
            last=fingerprint(page.items) if page.items else position.last,
            unfound=page.unfound.parts,
            lacked=page.unfound.lacked,
            head=position.head or (fingerprint(page.items) if page.items else ""),
        )

    def _followed(self, page: _Page, position: PagePosition, after: PagePosition) -> Followed:
        """Return the position after page, or how the list ended with it."""
        says = page.next.says
        if self._settings.api_pagination == "none":
            return page_end.one_page(says, page.has_more)
        if page.has_more is False and not (isinstance(self._style, ByLink) and says is Says.NEXT):
            return page_end.no_more(position, self._settings)
        if says is Says.NULL:
            return page_end.null_marker(position, self._style.setting, page.has_more)
        if not page.items:
            return self._after_empty(page, position, after)
        if says is Says.ABSENT and self._may_be_proved(page, after):
            return after._replace(asked=self._style.first, proof=len(page.items) // 2)
        if says is Says.ABSENT:
            return page_end.no_marker(position, self._style.setting, page.has_more)
        return self._known_again(position, after)

    def _may_be_proved(self, page: _Page, after: PagePosition) -> bool:
        """Return whether the only page may show that a longer list would have named a next page."""
        is_only = after.pages == 1 and len(page.items) > 1
        return is_only and not page.has_more and self._style.has_size and not page_end.is_reached(after)

    def _proved(self, reply: ApiResponse, position: PagePosition) -> Batch:
        """Return the end of a list of one page; reply is the same page, for fewer items."""
        first = position._replace(pages=0)
        ending = page_end.no_marker(first, self._style.setting, None)
        with suppress(UnexpectedShape):
            page = self._page(reply, first)
            if page.next.says is Says.NEXT:
                ending = page_end.proved(first, self._style.setting, position.proof)
        unfound = Unfound(position.unfound, position.lacked)
        return Batch([], None, ending=self._doubted(ending, unfound))

    def _with_look(self, ending: Ending, after: PagePosition) -> Followed:
        """Return the position of a last look, or ending where none is needed."""
        look = self._looks.get(self._settings.api_pagination)
        return (
            ending if look is None else last_look.position(look, self._style.first, ending, after) or ending
        )

    def _looked(self, reply: ApiResponse, position: PagePosition) -> Batch:
        """Return the end of a list whose last look has brought reply; most APIs have nothing new there."""
        page = None
        if reply.refusal is None:
            with suppress(UnexpectedShape):
                page = self._page(reply, position)
        unfound = Unfound(position.unfound, position.lacked)
        if page is None or last_look.is_known(page.items, position):
            return Batch([], None, ending=self._doubted(last_look.as_it_was(position), unfound))
        return Batch(
            page.content.urls,
            None,
            notes=page.content.notes,
            items=last_look.counted(self._counted(page), position),
            ending=self._doubted(last_look.as_it_was(position), unfound),
            ending_if_new=self._doubted(last_look.skipped(position, self._settings), unfound),
        )

    def _counted(self, page: _Page) -> int:
        """Return how many items a page has, of those that the API's total counts."""
        return len(page.items if self._settings.api_items_field else page.content.urls)

    def _after_empty(self, page: _Page, position: PagePosition, after: PagePosition) -> Followed:
        """Return what follows an empty page."""
        says = page.next.says
        if page_end.is_reached(after):
            return Ending(f"{position} is empty")
        if not position.again and (not position.empty or says is Says.ABSENT):
            return position._replace(again=True, total=after.total)
        if says is Says.ABSENT:
            return page_end.no_marker(position, self._style.setting, page.has_more)
        if says is Says.NEXT and self.request(after) == self.request(position):
            said = f"{position} is empty, also when it was asked for again"
            return Ending(said, said)
        is_last = after.empty > MOST_EMPTY
        if says is Says.NOTHING and position.empty and not page.has_more and (after.total is None or is_last):
            return page_end.two_empty(position)
        if is_last:
            return Ending(f"the last {after.empty} pages are empty, but something says that there is more")
        return self._known_again(position, after)

    def _known_again(self, position: PagePosition, after: PagePosition) -> PagePosition:
        """Return after, with a note where its request was sent before."""
        self._asked_before.add(_key(self.request(position)))
        if _key(self.request(after)) in self._asked_before:
            return after._replace(repeats=after.repeats + 1)
        return after

    def _without_page(self, position: PagePosition, refusal: FatalError, said: str, status: int = 0) -> Batch:
        """Return what an answer without a page means; raise refusal where it cannot be the end."""
        is_resumed, self._resumed = self._resumed, False
        if not position.pages:
            raise refusal
        ends = status in self._settings.api_end_status
        unfound = Unfound(position.unfound, position.lacked)
        if page_end.is_reached(position):
            return Batch([], None, ending=self._doubted(Ending(said, refusal=refusal), unfound))
        if is_resumed and self._may_begin_again and (ends or not self._is_numbered):
            return self._begin_again(f"{said}: its place in the list has expired")
        evidence = f"the API answered {status} after the last page (API_END_STATUS)" if ends else ""
        followed = self._with_look(Ending(said, evidence, refusal), position)
        if isinstance(followed, PagePosition):
            return Batch([], followed)
        return Batch([], None, ending=self._doubted(followed, unfound))

    def _begin_again(self, why: str) -> Batch:
        """Return the way back to the first page; the URLs so far stay, and come again as duplicates."""
        self._resumed = self._may_begin_again = False
        log.warning("%s. Walking the pages again from the first one; the URLs so far are kept", why)
        return Batch([], self.first(), begins_again=True)


def _key(request: PageRequest) -> bytes:
    return request.url.encode() + b"\n" + (request.body or b"")
