"""An API in two steps: a list of IDs, page by page, then the details of each, in pages of their own where needed.

    API_BASE_URL, API_PAGINATION …   the list; API_ITEMS_FIELD and the total are the list's
    API_DETAIL_IDS                   where a page of the list has the IDs
    API_DETAIL_URL                   the details of one: https://api.example/items/{id}, or {id} where an ID is a URL
    API_DETAIL_PAGINATION            how they are paged; empty: like the list
    API_URLS_FIELD …                 where the details have the URLs

The checkpoint has the IDs of the page at hand that are not done yet, and the page of the first of them: a resume
needs neither the list's page again nor that the list stands still.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from cdn2s3.collection.alternatives import Alternatives, Unfound
from cdn2s3.collection.api.client import Api
from cdn2s3.collection.api.json_api import batch_of, check_loop, read_page
from cdn2s3.collection.api.last_look import LOOKS
from cdn2s3.collection.api.page_shape import ShapeOfDetails, ShapeOfIds
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.collection.api.styles import ByLink
from cdn2s3.collection.base import Batch, Ending
from cdn2s3.collection.expressions import ItemError, UnexpectedShape
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.parsers import Secret
from cdn2s3.text import redact

log = logging.getLogger(__name__)

ID_PLACE = "{id}"

_GONE = frozenset({404, 410})  # an item of the list that is no longer there
_WITHOUT_DETAILS = _GONE | {204}


@dataclasses.dataclass(frozen=True)
class TwoStepPosition:
    """What to read next: the details of the first ID, or where there is none the list's next page."""

    listed: PagePosition | None  # the list's page after those IDs; None: the list is at its end
    ids: tuple[Any, ...] = ()
    done: int = 0  # how many of them
    detail: PagePosition | None = None  # the page of the first that is not done; None: its first page
    pages: int = 0  # pages read before, of both kinds
    ending: tuple[str, ...] | None = None  # how the list ended: what was seen, the evidence, the doubts
    each: int = 1  # items that an ID counts for; 0: its page has counted them
    unfound: Unfound = Unfound(0)  # which parts of API_URLS_FIELD found nothing in any details yet

    def __str__(self) -> str:
        if self.done == len(self.ids):
            return str(self.listed)
        number = self.detail.pages if self.detail else 0
        page = f", page {number + 1}" if number else ""
        return f"the details of {self.ids[self.done]!s:.80}{page}"

    def _asdict(self) -> dict[str, Any]:
        """Return the fields that the checkpoint stores."""
        return {
            "listed": None if self.listed is None else self.listed._asdict(),
            "ids": list(self.ids[self.done :]),
            "detail": None if self.detail is None else self.detail._asdict(),
            "pages": self.pages,
            "ending": None if self.ending is None else list(self.ending),
            "each": self.each,
            "unfound": list(self.unfound),
        }


class TwoStepSource:
    """The list and the details as one source of URLs."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        """session is one by api_session."""
        self._settings = settings
        self._api = Api(settings, session)
        of_list = dataclasses.replace(settings, api_urls_field=settings.api_detail_ids)
        looks = {"page": LOOKS["page"]}  # another look would ask for the details of known IDs again
        self._list = Paging(of_list, self._api.auth.hidden, ShapeOfIds(settings), looks)
        self._links = ByLink(settings)
        self._links.hidden = self._api.auth.hidden
        self._of_details = _of_details(settings)
        self._shape = ShapeOfDetails(self._of_details)
        self._details: Paging | None = None  # of the ID at hand
        self._parts = Alternatives(settings.api_urls_field)
        self._has_said_open = False
        self._walked = 0  # pages before the walk began again: their URLs come again

    def first(self) -> TwoStepPosition:
        return TwoStepPosition(self._list.first(), unfound=Unfound(self._parts.all))

    def resume(self, stored: Mapping[str, Any]) -> TwoStepPosition:
        """Return the Position in a checkpoint; raise ValueError if it has none."""
        listed, detail, ending = (stored.get(name) for name in ("listed", "detail", "ending"))
        ids, pages, each = (stored.get(name) for name in ("ids", "pages", "each"))
        if (
            not isinstance(ids, list)
            or type(pages) is not int
            or type(each) is not int
            or min(pages, each) < 0
        ):
            raise ValueError("its position is not for API_DETAIL_URL")
        if listed is None and (not ids or not _is_ending(ending)):
            raise ValueError("its position is past the end of the list")
        if detail is not None and not ids:
            raise ValueError("its position has a page of details, but no ID")
        at = None if listed is None else self._list.resume(listed)
        if detail is not None:
            self._details = self._paging_of(ids[0])
            detail = self._details.resume(detail)
        unfound = stored.get("unfound")
        if not isinstance(unfound, list) or [type(bits) for bits in unfound] != [int, int]:
            raise ValueError("its position has no valid `unfound`")
        return TwoStepPosition(
            at, tuple(ids), 0, detail, pages, ending and tuple(ending), each, Unfound(*unfound)
        )

    def read(self, position: TwoStepPosition) -> Batch:
        """Return the IDs' page or the details' page at position; raise FatalError when it cannot be read."""
        if position.done < len(position.ids):
            return self._read_details(position, position.ids[position.done])
        assert position.listed is not None
        return self._read_list(position, position.listed)

    def check_circle(self, position: TwoStepPosition, stale: int) -> None:
        """Raise FatalError when the last `stale` pages, with only known URLs, are a loop."""
        check_loop(self._walked + position.pages, stale)

    def _read_list(self, position: TwoStepPosition, at: PagePosition) -> Batch:
        batch = read_page(self._api, self._list, at, str(at))
        if batch.begins_again:
            self._walked = max(self._walked, position.pages)
            return batch._replace(following=self.first())
        errors = [value for value in batch.urls if isinstance(value, ItemError)]
        ids = tuple(
            self._kept(value) for value in batch.urls if not isinstance(value, (ItemError, type(None)))
        )
        if batch.following is None and not ids:
            return batch._replace(urls=errors, ending=self._doubted(batch.ending, position.unfound))
        # An item is counted when its details are done, so that the percentage means something.
        each = int(batch.items >= len(ids))
        ending = batch.ending if batch.ending_if_new is None else self._begun_at_0(batch.ending_if_new)
        following = TwoStepPosition(
            batch.following,
            ids,
            pages=position.pages + 1,
            ending=None if ending is None else (ending.said, ending.evidence, *ending.doubts),
            each=each,
            unfound=position.unfound,
        )
        return batch._replace(
            urls=errors,
            following=following,
            items=batch.items - each * len(ids),
            ending=None,
            ending_if_new=None,
        )

    def _begun_at_0(self, ending: Ending) -> Ending:
        """Return the ending of a list that has a page 0, with a doubt where each item's details may have one, too."""
        if self._of_details.api_pagination != "page" or self._of_details.api_first_page == 0:
            return ending
        doubt = "the list's pages are counted from 0, so details may have a page 0, which was not read. "
        return ending._replace(
            doubts=(*ending.doubts, doubt + "Set API_FIRST_PAGE=0, then start over with --restart.")
        )

    def _kept(self, value: Any) -> Any:
        """Return an ID as it is kept: without a secret, where it is a URL."""
        return self._api.auth.hidden(value) if isinstance(value, str) and "?" in value else value

    def _read_details(self, position: TwoStepPosition, of: Any) -> Batch:
        if self._details is None:
            self._details = self._paging_of(of)
        paging, at = self._details, position.detail or self._details.first()
        batch = paging.lost(at)
        if batch is None:
            reply = self._api.get(paging.request(at), str(position))
            if reply.refusal is not None and not at.pages and reply.status in _WITHOUT_DETAILS:
                return self._without(position, of, reply.status)
            if reply.refusal is None:
                unfound = self._parts.unfound(reply.content, position.unfound)
                position = dataclasses.replace(position, unfound=unfound)
            try:
                batch = batch_of(paging, reply, at, str(position))
            except FatalError as error:
                raise type(error)(f"the details of {of!s:.80}: {error}") from error
        if batch.following is not None:
            following = dataclasses.replace(position, detail=batch.following, pages=position.pages + 1)
            return batch._replace(following=following, items=0, total=None, begins_again=False)
        is_vouched = batch.ending is None or bool(batch.ending.evidence)
        return self._after(position, batch, is_open=not is_vouched)

    def _without(self, position: TwoStepPosition, of: Any, status: int) -> Batch:
        """Return the batch of an item of the list that has no details."""
        if status not in _GONE:
            return self._after(position, Batch([], None, without_url=1))
        log.warning("the details of %s were not found (%s): counted as lost", of, status)
        return self._after(position, Batch([], None, lost=1))

    def _after(self, position: TwoStepPosition, batch: Batch, is_open: bool = False) -> Batch:
        """Return the last page of details as a batch that leads to what comes after them."""
        self._details = None
        if is_open and not self._has_said_open and batch.ending is not None:
            self._has_said_open = True
            log.warning("nothing confirms that %s are complete: %s", position, batch.ending.said)
        following: TwoStepPosition | None = dataclasses.replace(
            position, done=position.done + 1, detail=None, pages=position.pages + 1
        )
        ending: Ending | None = None
        if position.listed is None and position.done + 1 == len(position.ids):
            following = None
            said, evidence, *doubts = position.ending or ("the list has ended", "")
            ending = self._doubted(Ending(said, evidence, doubts=tuple(doubts)), position.unfound)
        return batch._replace(
            following=following, ending=ending, items=position.each, total=None, open_ends=int(is_open)
        )

    def _doubted(self, ending: Ending | None, unfound: Unfound) -> Ending | None:
        """Return the list's ending with a doubt for each part of API_URLS_FIELD that no details have."""
        if ending is None:
            return None
        return ending._replace(doubts=(*ending.doubts, *self._parts.doubts(unfound, "in any details")))

    def _paging_of(self, value: Any) -> Paging:
        """Return the walk through the details of one ID."""
        own = dataclasses.replace(self._of_details, api_base_url=self._url_of(value))
        return Paging(
            own, self._api.auth.hidden, self._shape, {}
        )  # a look for each ID would double the requests

    def _url_of(self, value: Any) -> str:
        """Return the address of the details of one ID."""
        settings = self._settings
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if settings.api_detail_url != ID_PLACE:
            return settings.api_detail_url.replace(ID_PLACE, quote(text, safe=""))
        try:
            return self._links.resolved(text, settings.api_base_url or "")
        except UnexpectedShape as error:
            raise FatalError(
                f"API_DETAIL_URL={ID_PLACE} needs a URL in API_DETAIL_IDS, not {redact(text)!r:.80}. Correct them."
            ) from error


def _of_details(settings: CollectionSettings) -> CollectionSettings:
    """Return the settings for the details: what is said about the list's items and its request is not theirs."""
    return dataclasses.replace(
        settings,
        api_method="GET",
        api_body=Secret(""),
        api_pagination=settings.api_detail_pagination or settings.api_pagination,
        api_items_field="",
        api_total_field="",
        api_total_header="",
    )


def _is_ending(stored: object) -> bool:
    return isinstance(stored, list) and len(stored) >= 2 and all(isinstance(text, str) for text in stored)
