"""collect_urls.py --preview: read the first two pages of the source, and show what the settings find; writes nothing.

It reads as a collection does, so what it shows is what a collection would do; an error stops it where it would stop
the collection, after what was seen until then.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import jmespath
import requests
from jmespath.exceptions import JMESPathError

from cdn2s3.collection import first_answer
from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.api.json_body import json_of
from cdn2s3.collection.base import Batch, UrlSource
from cdn2s3.collection.first_answer import CdnAnswer
from cdn2s3.collection.page_outline import outline_of
from cdn2s3.collection.suggest import markers
from cdn2s3.collection.suggest.image_fields import image_fields, items_expression, main_list
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED, FatalError, UsageError
from cdn2s3.file_names import MIGRATION_ENV
from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import MigrationSettings, identities, key_maker
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build, redacted_values
from cdn2s3.text import pluralize, redact

PAGES = 2
_URLS = 5  # to show
_WIDEST = 160  # characters of a URL to show
_FIELDS = ("API_URLS_FIELD", "API_ITEMS_FIELD", "API_TOTAL_FIELD", "API_HAS_MORE_FIELD", "API_DETAIL_IDS")
_FIELD_OF_STYLE = {"cursor": "API_CURSOR_FIELD", "next_url": "API_NEXT_FIELD"}
_OF_LIMITS = ("ratelimit", "rate-limit", "retry-after", "quota", "call-limit", "throttl")

SourceOf = Callable[[CollectionSettings, requests.Session], UrlSource]


class Seen(NamedTuple):
    """What a preview has read."""

    answers: list[requests.Response]  # of the API; none for another source
    batches: list[Batch]
    error: FatalError | None  # what ended it
    of_cdn: Sequence[CdnAnswer] = ()  # to the first URL of each host

    @property
    def urls(self) -> list[Any]:
        return [url for batch in self.batches for url in batch.urls if url is not None]


def preview(settings: CollectionSettings, source_of: SourceOf) -> int:
    """Show what a collection would begin with; return the exit code. Raise FatalError when not even a page is read."""
    seen = _read(settings, source_of)
    seen = seen._replace(of_cdn=_asked(settings, seen.urls))
    sys.stdout.write("\n".join([*_shown(settings, seen, _keys(settings)), ""]))
    if seen.error is not None:
        raise seen.error
    return EXIT_SOME_FAILED if any(_missing(settings, seen)) else EXIT_DONE


def _read(settings: CollectionSettings, source_of: SourceOf) -> Seen:
    seen = Seen([], [], None)
    with api_session(settings) as session:
        session.hooks["response"].append(lambda answer, **options: seen.answers.append(answer))
        source = source_of(settings, session)
        position = source.first()
        try:
            while position is not None and len(seen.batches) < PAGES:
                seen.batches.append(source.read(position))
                position = seen.batches[-1].following
        except FatalError as error:
            return seen._replace(error=error)
    return seen


def _asked(settings: CollectionSettings, urls: Sequence[Any]) -> list[CdnAnswer]:
    """Return what the CDN answers to the first URL of each host of URL_PREFIX."""
    maker = identities(settings)
    first: dict[str, str] = {}
    for url in urls:
        with contextlib.suppress(InvalidUrl):
            address = maker.address(str(url))
            origin = maker.origins[address.source]
            first.setdefault(origin, f"{origin}{address.target}")
    return [first_answer.ask(url, settings) for url in first.values()]


def _keys(settings: CollectionSettings) -> KeyMaker:
    """Return what makes the keys: by migration.env where there is one, else by its defaults."""
    prefix = redacted_values(settings)["URL_PREFIX"]
    needed = {"DESTINATION_BUCKET": "bucket", "URL_PREFIX": prefix}
    path = Path(MIGRATION_ENV)
    try:
        return key_maker(build(MigrationSettings, {**read_env_file(path), **needed}, {}, path))
    except UsageError:  # it is not there, or not finished: its own command says what is wrong
        return key_maker(build(MigrationSettings, needed, {}, path))


# -- what is shown


def _shown(settings: CollectionSettings, seen: Seen, keys: KeyMaker) -> Iterator[str]:
    yield "A preview: nothing is written."
    for title, lines in (
        *_answers(settings, seen),
        ("What a collection would take:", _taken(settings, seen.batches)),
        (
            "The first URLs, and the keys that they would have (migration.env):",
            (_with_key(url, keys) for url in seen.urls[:_URLS]),
        ),
        (
            "What the CDN answers to the first URL of each host:",
            (f"{redact(answer.url)[:_WIDEST]}: {answer}" for answer in seen.of_cdn),
        ),
        ("The next page, and the end:", _end(settings, seen)),
        ("Rate limit headers:", _limits(seen)),
        ("Check this:", (f"! {line}" for line in _missing(settings, seen))),
    ):
        section = list(lines)
        if section:
            yield f"\n{title}"
            yield from (f"  {line}" for line in section)


def _answers(settings: CollectionSettings, seen: Seen) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield a section for the outline of the first page and one for what the settings find on it.

    In two steps, the same for the first details.
    """
    if settings.source != "api":
        return
    names = [*_FIELDS, _FIELD_OF_STYLE.get(settings.api_pagination, "")]
    of_details = ["API_URLS_FIELD"] if settings.api_detail_url else []
    parts = [("Page 1", [name for name in names if name not in of_details])]
    parts += [("The first details", of_details)] if of_details else []
    for (title, fields), answer in zip(parts, seen.answers):
        page = _json_of(answer)
        yield (
            f"{title}: {answer.request.method} {redact(answer.url)}, status {answer.status_code}",
            outline_of(page),
        )
        yield "What the settings find on it:", _found(settings, fields, page)


def _taken(settings: CollectionSettings, batches: Sequence[Batch]) -> Iterator[str]:
    name = "page" if settings.source == "api" and not settings.api_detail_url else "part"
    for number, batch in enumerate(batches, 1):
        if number == 1 or batch.urls or batch.following is not None:
            yield f"{name} {number}: {_counts(batch)}"


def _json_of(answer: requests.Response) -> Any:
    try:
        return json_of(answer)
    except (ValueError, RecursionError):
        return None


def _found(settings: CollectionSettings, names: Sequence[str], page: Any) -> Iterator[str]:
    """Yield each of the settings that is an expression, and what it finds in a page."""
    for name in filter(None, names):
        expression = getattr(settings, name.lower(), "")
        if expression:
            yield f"{name}={expression}: {_what(expression, page)}"


def _what(expression: str, page: Any) -> str:
    try:
        value = jmespath.search(expression, page)
    except (JMESPathError, ValueError, TypeError) as error:
        return f"it cannot be evaluated ({type(error).__name__})"
    if isinstance(value, list):
        return pluralize(len(value), "value") if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, str) and value.isdigit():
        return value[:20]
    return (
        outline_of(value)[0]
        if not isinstance(value, dict)
        else "an object with " + ", ".join(list(value)[:8])
    )


def _goes_on(batch: Batch) -> bool:
    """Return whether another page follows: not the end, nor a request that only proves it."""
    return batch.following is not None and not getattr(batch.following, "is_check", False)


def _counts(batch: Batch) -> str:
    urls = [url for url in batch.urls if url is not None]
    text = f"{pluralize(batch.items, 'item')}, {pluralize(len(urls), 'URL')}"
    return text + (f", {batch.without_url:,} without a URL" if batch.without_url else "")


def _with_key(url: Any, keys: KeyMaker) -> str:
    """Return a URL and its key, or why it would be rejected."""
    shown = redact(str(url))[:_WIDEST]
    try:
        return f"{shown} -> {keys.address(str(url)).key}"
    except InvalidUrl as error:
        return f"{shown} would be rejected: {error}"


_NEXT = {
    "page": "page 2 is requested by number: {api_page_param}",
    "offset": "page 2 is requested by the number of items so far: {api_offset_param}",
    "cursor": "page 2 was found at API_CURSOR_FIELD={api_cursor_field}",
    "next_url": "page 2 was found at API_NEXT_FIELD={api_next_field}",
    "link_header": "page 2 was found in the header Link",
}
_VOUCHES = {
    "page": "two empty pages in a row confirm the end",
    "offset": "two empty pages in a row confirm the end",
    "cursor": "a page that has no cursor confirms the end",
    "next_url": "a page that has no next URL confirms the end",
    "link_header": "a page without that header confirms the end",
}


def _end(settings: CollectionSettings, seen: Seen) -> Iterator[str]:
    """Yield where the next page was found, and what would confirm the end."""
    if not seen.batches:
        return
    values = {name: getattr(settings, name) for name in dir(settings) if name.startswith("api_")}
    is_plain = settings.source == "api" and not settings.api_detail_url
    style = settings.api_pagination if is_plain else "none"
    if style in _NEXT and _goes_on(seen.batches[0]):
        yield _NEXT[style].format(**values)
    last = seen.batches[-1]
    if last.following is None and last.ending is not None:
        yield f"the list ends here: {last.ending.evidence or last.ending.said}"
    total = next((batch.total for batch in reversed(seen.batches) if batch.total is not None), None)
    if total is not None:
        yield f"the API's total is {total:,}: reaching it confirms the end"
    elif settings.source == "api" and settings.api_has_more_field:
        yield f"API_HAS_MORE_FIELD={settings.api_has_more_field} confirms the end when it is false"
    elif style in _VOUCHES and _goes_on(last):
        yield _VOUCHES[style]


def _limits(seen: Seen) -> list[str]:
    """Return the headers of the first answer that speak of limits."""
    headers: Mapping[str, str] = seen.answers[0].headers if seen.answers else {}
    return [
        f"{name}: {value}"
        for name, value in headers.items()
        if any(word in name.lower() for word in _OF_LIMITS)
    ]


# -- what to set


def _missing(settings: CollectionSettings, seen: Seen) -> Iterator[str]:
    """Yield what is missing, and the setting for it."""
    urls = seen.urls
    if seen.batches and not urls:
        yield "there are no URLs. Correct API_URLS_FIELD, or URL_COLUMNS; --suggest may find them"
    yield from _rejected(settings, urls)
    yield from filter(None, (first_answer.doubt(answer, settings) for answer in seen.of_cdn))
    if (
        len(seen.batches) == PAGES
        and urls
        and set(map(str, seen.batches[1].urls)) == set(map(str, seen.batches[0].urls))
    ):
        yield "page 2 has the URLs of page 1: is the parameter for the next page right?"
    if settings.source == "api" and seen.answers:
        yield from _of_page(settings, seen, _json_of(seen.answers[0]))


def _rejected(settings: CollectionSettings, urls: list[Any]) -> Iterator[str]:
    keys, bad = _keys(settings), []
    for url in urls:
        try:
            keys.address(str(url))
        except InvalidUrl as error:
            bad.append((str(url), str(error)))
    if bad:
        url, why = bad[0]
        yield f"{len(bad):,} of {len(urls):,} URLs would be rejected, such as {redact(url)[:_WIDEST]}: {why}"


def _of_page(settings: CollectionSettings, seen: Seen, page: Any) -> Iterator[str]:
    """Yield what the first page has that no setting names."""
    first = seen.batches[0] if seen.batches else None
    fields = image_fields(page)
    items = items_expression(main_list(fields)) if fields else ""
    if items and not settings.api_items_field and first is not None:
        listed = jmespath.search(items, page)
        if isinstance(listed, list) and len(listed) != first.items:
            yield f"URLs are counted, not items: API_ITEMS_FIELD={items}"
    count = first.items if first is not None else 0
    if not settings.api_total_field and not settings.api_total_header and settings.api_pagination != "none":
        headers = {name.lower(): value for name, value in seen.answers[0].headers.items()}
        total, header = markers.total_of(page, count, True), markers.total_header(headers, count)
        if total:
            yield f"no total is checked, but the page has one: API_TOTAL_FIELD={total[0]} ({total[1]:,})"
        elif header:
            yield f"no total is checked, but a header has one: API_TOTAL_HEADER={header[0]} ({header[1]:,})"
    if first is not None and not _goes_on(first) and settings.api_pagination in _FIELD_OF_STYLE:
        marker = markers.marker_of(page, "")
        name = _FIELD_OF_STYLE[settings.api_pagination]
        if (
            marker is not None
            and marker.value is not None
            and marker.field != getattr(settings, name.lower())
        ):
            yield f"{name} finds no next page, but there is one at {marker.field} (API_PAGINATION={marker.style})"
