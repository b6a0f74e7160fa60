"""The requests that --suggest makes: each repeats the URL with another parameter, to see what that changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

MOST_REQUESTS = 60  # after the first one

SIZE_PARAMS = (
    "per_page", "limit", "page_size", "pageSize", "size", "count", "rows", "max_results", "maxResults", "perPage",
    "page[limit]", "page[size]", "ailimit", "gcmlimit", "hitsPerPage", "pagesize", "num", "take", "$top", "ps",
    "results_per_page", "itemsPerPage",
)  # fmt: skip
PAGE_PARAMS = ("page", "p", "pageNumber", "page_number", "paged", "pageNo", "pg", "currentPage", "page[number]",
               "pageIndex", "searchCriteria[currentPage]")  # fmt: skip
OFFSET_PARAMS = ("offset", "skip", "start", "startIndex", "from", "page[offset]", "$skip")
AFTER_PARAMS = ("starting_after", "after", "after_id", "since_id", "last_id", "cursor", "from_id")


class Seen(NamedTuple):
    """What the API answered."""

    url: str  # that was requested
    content: Any  # the JSON; None for a refusal
    headers: Mapping[str, str]  # lower-case names
    status: int = 200


Ask = Callable[[str], Seen]  # one GET; raises FatalError only where no answer comes at all


class Prober:
    """Ask for a list again with other parameters, at most MOST_REQUESTS times."""

    def __init__(self, first: Seen, items: str, ask: Ask) -> None:
        """items is the JMESPath of the list; empty: the page has none."""
        self._expression = items or "@"
        self._ask = ask
        self._left = MOST_REQUESTS
        self._answers: dict[str, Seen] = {first.url: first}
        self.url = first.url  # what parameters are added to
        self.first = first

    def pages(self) -> list[Any]:
        """Return the pages with items so far, the first one included."""
        return [seen.content for seen in self._answers.values() if self.items(seen)]

    def with_params(self, params: Mapping[str, object]) -> Seen | None:
        """Return the answer to the URL with params in its query; None where no more requests are made."""
        url = with_query(self.url, params)
        if url not in self._answers:
            if self._left == 0:
                return None
            self._left -= 1
            self._answers[url] = self._ask(url)
        return self._answers[url]

    def items(self, seen: Seen | None) -> list[Any]:
        """Return the items of an answer; empty for a refusal, or a page of another shape."""
        try:
            found = jmespath.search(self._expression, seen.content) if seen is not None else None
        except JMESPathError:
            return []
        return found if isinstance(found, list) else []

    def moves(self, params: Mapping[str, object]) -> bool:
        """Return whether params lead to other items than the URL without them."""
        here = self.items(self.with_params({}))
        there = self.items(self.with_params(params))
        return bool(there) and there != here and there[0] != here[0]


def with_query(url: str, params: Mapping[str, object]) -> str:
    """Return url with params in its query, in place of those of the same names."""
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if pair and _name_in(pair) not in params]
    pairs += [f"{quote(name, safe='[]$')}={quote(str(value), safe='')}" for name, value in params.items()]
    return parts._replace(query="&".join(pairs), fragment="").geturl()


def without_query(url: str, names: Iterable[str]) -> str:
    """Return url without the parameters of these names."""
    parts, gone = urlsplit(url), set(names)
    pairs = [pair for pair in parts.query.split("&") if pair and _name_in(pair) not in gone]
    return parts._replace(query="&".join(pairs), fragment="").geturl()


def params_of(url: str) -> dict[str, str]:
    """Return the parameters in a URL's query, decoded."""
    pairs = (pair.partition("=") for pair in urlsplit(url).query.split("&") if pair)
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def _name_in(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])
