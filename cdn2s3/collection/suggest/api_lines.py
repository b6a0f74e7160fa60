"""The settings that one page of a JSON API suggests, with a few requests more to try them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Callable
from urllib.parse import urljoin, urlsplit

from cdn2s3.collection.suggest import image_fields, markers
from cdn2s3.collection.suggest.image_fields import Field
from cdn2s3.collection.suggest.paging_lines import Paging, paging_of
from cdn2s3.collection.suggest.probing import Ask, Prober, Seen, without_query
from cdn2s3.collection.suggest.proposal import Line, Proposal
from cdn2s3.text import pluralize

_MOST_HOSTS = 5
_MOST_DETAILS = 5  # to read


IsImage = Callable[[str], bool]  # whether there is an image at a URL


def propose(first: Seen, ask: Ask, is_image: IsImage) -> Proposal:
    """Return what the API's first page suggests; ask makes further requests."""
    fields = image_fields.image_fields(first.content)
    if not fields:
        return _without_images(first, ask, is_image)
    where = image_fields.main_list(fields)
    own = [field for field in fields if image_fields.list_of(field.path) == where]
    items = image_fields.items_expression(where)
    prober = Prober(first, items, ask)
    paging = paging_of(prober, items)
    fields = image_fields.image_fields(*prober.pages())  # the trials have shown more of the list
    own = [field for field in fields if image_fields.list_of(field.path) == where]
    urls = url_lines(own, first.url, is_image)
    lines = [
        Line("SOURCE", "api", ""),
        Line("API_BASE_URL", without_query(first.url, paging.params), ""),
        *paging.lines,
        *_list_lines(own, items),
        *_total_lines(paging, len(prober.items(paging.page)), items),
        *urls,
    ]
    others = [field for field in fields if field not in own]
    return Proposal(_without_end_status(lines), paging.notes + _notes(own, others, has_urls=bool(urls)))


def _list_lines(fields: Sequence[Field], items: str) -> list[Line]:
    """Return where the URLs and the items are."""
    paths = [field.path for field in fields]
    found = "; ".join(
        f"{image_fields.jmespath_of(field.path)} ({len(field.values)}, such as {field.values[0][:100]})"
        for field in fields
    )
    is_sure = all(field.is_sure for field in fields)
    expression = image_fields.expression(paths)
    lines = [Line("API_URLS_FIELD", expression, f"images: {found}", is_guess=not is_sure)]
    if items and expression:
        lines.append(Line("API_ITEMS_FIELD", items, ""))
    return lines


def _total_lines(paging: Paging, count: int, items: str) -> list[Line]:
    """Return where the API's total is, in the page or in a header."""
    if not items:
        return []
    header = markers.total_header(paging.page.headers, count)
    found = markers.total_of(paging.page.content, count, paging.has_next)
    if found is not None and (paging.has_next or found[1] == count):
        return [Line("API_TOTAL_FIELD", found[0], f"it is {found[1]:,} here")]
    if header is not None and (paging.has_next or header[1] == count):
        return [Line("API_TOTAL_HEADER", header[0], f"it is {header[1]:,} here")]
    return []


def _without_end_status(lines: list[Line]) -> list[Line]:
    """Leave API_END_STATUS out where a total tells the end better."""
    has_total = any(line.setting in ("API_TOTAL_FIELD", "API_TOTAL_HEADER") for line in lines)
    return [line for line in lines if not (has_total and line.setting == "API_END_STATUS")]


def url_lines(fields: Sequence[Field], source: str, is_image: IsImage) -> list[Line]:
    """Return URL_PREFIX, and API_URL_BASE where the URLs are not whole; source is the address of the page."""
    values = [value for field in fields for value in field.values]
    if fields[0].form in ("path", "name"):
        origin = "{0.scheme}://{0.netloc}/".format(urlsplit(source))
        if not is_image(urljoin(origin, values[0])):
            return []  # a note says what is missing
        why = f"tried: {values[0][:100]} is an image there"
        return [Line("API_URL_BASE", origin, why), Line("URL_PREFIX", origin, "")]
    scheme = urlsplit(source).scheme or "https"
    whole = [f"{scheme}:{value}" if value.startswith("//") else value for value in values]
    hosts = Counter("{0.scheme}://{0.netloc}/".format(urlsplit(url)) for url in whole)
    named = [host for host, _ in hosts.most_common(_MOST_HOSTS)]
    lines = [
        Line("URL_PREFIX", " ".join(named), "the host of all URLs" if len(hosts) == 1 else _hosts(hosts))
    ]
    if fields[0].form == "schemeless":
        lines.insert(0, Line("API_URL_BASE", named[0], f"{values[0][:100]} has no scheme"))
    return lines


def _hosts(hosts: Counter[str]) -> str:
    return "hosts: " + ", ".join(
        f"{urlsplit(host).netloc} ({count})" for host, count in hosts.most_common(_MOST_HOSTS)
    )


def _notes(own: Sequence[Field], others: Sequence[Field], has_urls: bool) -> list[str]:
    notes = []
    if others:
        names = ", ".join(image_fields.jmespath_of(field.path) for field in others[:5])
        notes.append(f"the page has images in other places too: {names}")
    if not has_urls:
        notes.append(
            f"{own[0].values[0][:100]} isn't a complete URL: open an image in a browser, and set API_URL_BASE (or "
            "API_URL_TEMPLATE) to what its address has before that, and URL_PREFIX to its beginning"
        )
    return notes


# -- no image on the page


def _without_images(first: Seen, ask: Ask, is_image: IsImage) -> Proposal:
    """Return what there is to say when the page has no image URL: a second step, or a URL from parts."""
    lists = _lists_in(first.content)
    if not lists:
        return Proposal(
            [],
            [
                "the page has no list and no image URL. Is it the right address? Does it need POST (API_METHOD)?"
            ],
        )
    path, records = max(lists, key=lambda one: len(one[1]))
    items = image_fields.items_expression((*path, image_fields.EACH))
    prober = Prober(first, items, ask)
    paging = paging_of(prober, items)
    lines = [
        Line("SOURCE", "api", ""),
        Line("API_BASE_URL", without_query(first.url, paging.params), ""),
        *paging.lines,
        Line("API_ITEMS_FIELD", items, ""),
        *_total_lines(paging, len(prober.items(paging.page)), items),
    ]
    detail = _detail_lines(first, records, path, ask, is_image)
    notes = [] if detail else [_parts_or_details(items, records)]
    return Proposal(_without_end_status([*lines, *detail]), paging.notes + notes)


def _parts_or_details(items: str, records: list[Any]) -> str:
    keys = ", ".join(list(records[0])[:12]) if isinstance(records[0], dict) else "no names"
    return (
        f"no image URL found in the {pluralize(len(records), 'item')} of {items}, which have: {keys}. If the URL can "
        "be built from these, set API_URL_TEMPLATE; if it is in a second answer for each item, API_DETAIL_URL and "
        "API_DETAIL_IDS"
    )


def _lists_in(page: Any) -> list[tuple[tuple[str, ...], list[Any]]]:
    """Return the lists of a page that are in no other list, with their paths; empty ones are left out."""
    found: list[tuple[tuple[str, ...], list[Any]]] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), page)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list) and value:
            found.append((path, value))
        elif isinstance(value, dict) and len(path) < 10:
            waiting += [((*path, str(name)), inner) for name, inner in value.items()]
    return found


def _detail_lines(
    first: Seen, records: list[Any], path: tuple[str, ...], ask: Ask, is_image: IsImage
) -> list[Line]:
    """Return the lines of a second step, if the list's address with an ID behind it has images."""
    record = records[0]
    key = next(
        (key for key in ("id", "_id", "uuid", "slug") if isinstance(record, dict) and key in record), ""
    )
    number = record.get(key) if isinstance(record, dict) else record
    if not isinstance(number, (str, int)) or isinstance(number, bool):
        return []
    keys = [one.get(key) if key else one for one in records[:_MOST_DETAILS]]
    base = urlsplit(first.url)._replace(query="", fragment="").geturl().rstrip("/")
    for end in ("", "/images", "/media", "/files"):
        seen = ask(f"{base}/{number}{end}")
        if not image_fields.image_fields(seen.content):
            continue
        others = [ask(f"{base}/{other}{end}").content for other in keys[1:]]
        fields = image_fields.image_fields(seen.content, *others)
        ids = image_fields.jmespath_of((*path, image_fields.EACH, *([key] if key else [])))
        why = f"tried: …/{number}{end} has images" + (
            f", and {len(keys) - 1} more were read" if keys[1:] else ""
        )
        return [
            Line("API_DETAIL_IDS", ids, "each item's images are in a separate response"),
            Line("API_DETAIL_URL", f"{base}/{{id}}{end}", why, is_guess=True),
            Line("API_URLS_FIELD", image_fields.expression([field.path for field in fields]), ""),
            *url_lines(fields, first.url, is_image),
        ]
    return []
