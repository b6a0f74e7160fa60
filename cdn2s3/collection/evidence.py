"""What confirms the end of a list, and what speaks against it. Pure.

A list that ends without evidence may be short: the collection then ends with exit code 1, and says which setting
would confirm it.
"""

from __future__ import annotations

from cdn2s3.collection.base import Ending, Verdict
from cdn2s3.collection.checkpoint import Counts
from cdn2s3.collection.url_list import rejected_file
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import pluralize

TOTAL_TOLERANCE = 0.001  # of the API's total, and of EXPECTED_TOTAL
REJECTED_TOLERANCE = 0.001  # of the URLs that the source gave
BLANK_TOLERANCE = 0.001  # of the items: on pages of which no item has a URL
LOST_TOLERANCE = 0.001  # of the items: without details
FEWEST_BLANK = 3  # items on such pages that are worth a doubt

_REMEDY = {
    "page": "is API_PAGE_PARAM right?",
    "offset": "is API_OFFSET_PARAM right?",
    "cursor": "is API_CURSOR_FIELD={api_cursor_field} right?",
    "next_url": "is API_NEXT_FIELD={api_next_field} right?",
    "link_header": "does the API send a Link header on other pages?",
    "none": "is the list more than one page?",
}


def verdict(counts: Counts, settings: CollectionSettings, ending: Ending | None) -> Verdict:
    """Return what a finished collection is worth; ending None: how it ended is not known, or it has no pages."""
    found = doubts(counts, settings)
    against = _against_the_total(counts, settings) or _may_go_on(counts, settings)
    evidence = "" if against else _reached(counts, settings)
    if not evidence and not against:
        evidence = _by_itself(counts, settings, ending)
    if ending is not None and not evidence and not against:
        found.append(f"nothing vouches for this list: {ending.said}. {_would_confirm(settings)}")
    return Verdict(evidence, (*found, *(ending.doubts if ending else ())))


def check_refusal(counts: Counts, settings: CollectionSettings, ending: Ending | None) -> None:
    """Raise the refusal that a list ended with, unless something confirms its end."""
    if ending is None or ending.refusal is None or ending.evidence:
        return
    if not _reached(counts, settings) or _against_the_total(counts, settings):
        raise ending.refusal


def _reached(counts: Counts, settings: CollectionSettings) -> str:
    """Return the total that was reached, as evidence; empty if none was."""
    total, expected = counts.api_total, settings.expected_total
    if total and counts.items >= total:
        return f"{counts.items:,} {_what(settings)} = the API's total ({_total_setting(settings)})"
    if expected is not None and counts.urls >= expected:
        return f"{pluralize(counts.urls, 'URL')} = EXPECTED_TOTAL"
    return ""


def _by_itself(counts: Counts, settings: CollectionSettings, ending: Ending | None) -> str:
    if ending is not None:
        return ending.evidence
    if settings.source == "api" or counts.unreadable:
        return ""
    return "every part of the source was read to its end"


def _what(settings: CollectionSettings) -> str:
    return "items" if settings.api_items_field else "URLs"


def _total_setting(settings: CollectionSettings) -> str:
    return settings.api_total_field or settings.api_total_header


def _would_confirm(settings: CollectionSettings) -> str:
    question = _REMEDY[settings.api_pagination].format(**vars(settings))
    one_page = "" if settings.api_pagination == "none" else "API_PAGINATION=none if the list is one page, "
    return (
        f"It may be short: {question} Set API_TOTAL_FIELD or API_TOTAL_HEADER (the API's own total), "
        f"API_HAS_MORE_FIELD, {one_page}or API_END_STATUS, then collect again with --restart. Or set "
        f"EXPECTED_TOTAL, if you know how many URLs there are, and run the same command again."
    )


def doubts(counts: Counts, settings: CollectionSettings) -> list[str]:
    """Return what the counts of a finished collection say against it, one sentence each; empty if nothing."""
    given = counts.urls + counts.duplicates + counts.rejected
    found = []
    if counts.urls == 0:
        found.append("there are no URLs. Check the settings of the source.")
    if settings.source == "api" and _total_setting(settings) and counts.api_total is None:
        name = "API_TOTAL_FIELD" if settings.api_total_field else "API_TOTAL_HEADER"
        found.append(f"the API never returned the total ({name}), so the count was not checked.")
    found += _against_the_total(counts, settings)
    if counts.rejected > given * REJECTED_TOLERANCE:
        found.append(
            f"{counts.rejected:,} of {given:,} URLs were rejected, more than 0.1%. "
            f"Read {rejected_file(settings.output_file)}; is URL_PREFIX right?"
        )
    if counts.blank >= FEWEST_BLANK and counts.blank > counts.items * BLANK_TOLERANCE:
        found.append(
            f"{counts.blank:,} items are on pages where no item has a URL, although items on the first page do. Does "
            "the request for later pages lose a parameter (a next link without `include=images`)? Compare two pages."
        )
    found += _of_details(counts, settings)
    if counts.unreadable:
        found.append(
            f"{pluralize(counts.unreadable, _part(settings))} could not be read, so their URLs are missing. "
            "collection.log names them; fix them, then start over with --restart."
        )
    return found


def _part(settings: CollectionSettings) -> str:
    """Return what a part of the source is called that could not be read."""
    return {"lots": "lot file", "sitemap": "sitemap"}.get(settings.source, "part")


def _may_go_on(counts: Counts, settings: CollectionSettings) -> bool:
    """Return whether details ended without evidence, and the user does not say how many URLs there are."""
    expected = settings.expected_total
    return counts.open_ends > 0 and (expected is None or counts.urls < expected)


def _of_details(counts: Counts, settings: CollectionSettings) -> list[str]:
    """Return what the details of a list's items say against it."""
    found = []
    if _may_go_on(counts, settings):
        style = settings.api_detail_pagination or settings.api_pagination
        found.append(
            f"nothing confirms that the details of {pluralize(counts.open_ends, 'item')} are complete: they may have "
            f"more pages than were read ({style}). Set API_DETAIL_PAGINATION=none if each is one document, else how "
            "they are paged, then start over with --restart."
        )
    if counts.lost > counts.items * LOST_TOLERANCE:
        found.append(
            f"{pluralize(counts.lost, 'item')} of the list had no details (404 or 410). collection.log names them; is "
            "API_DETAIL_URL right?"
        )
    return found


def _against_the_total(counts: Counts, settings: CollectionSettings) -> list[str]:
    """Return what the totals say against the list."""
    found = []
    total, expected = counts.api_total, settings.expected_total
    if settings.source == "api" and total is not None and _is_off(counts.items, total):
        found.append(
            f"{counts.items:,} {_what(settings)} were seen, but the API reports {total:,}: off by more than 0.1%. "
            "Collect again with --restart when the API is quiet, or ask its owner."
        )
    if expected is not None and _is_off(counts.urls, expected):
        found.append(
            f"{pluralize(counts.urls, 'URL was', 'URLs were')} collected, but EXPECTED_TOTAL is {expected:,}: off "
            "by more than 0.1%."
        )
    return found


def _is_off(seen: int, total: int) -> bool:
    return abs(seen - total) > total * TOTAL_TOLERANCE
