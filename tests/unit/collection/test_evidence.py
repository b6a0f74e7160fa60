"""What confirms the end of a list, and what speaks against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.collection.base import Ending
from cdn2s3.collection.checkpoint import Counts
from cdn2s3.collection.evidence import check_refusal, doubts, verdict
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build


def settings_with(**values: str) -> CollectionSettings:
    defaults = {"API_BASE_URL": "https://api.test/", "EXPECTED_TOTAL": ""}
    return build(CollectionSettings, {**defaults, **values}, {}, Path("collection.env"))


TOTAL = {"API_TOTAL_FIELD": "total"}
DOUBTS = [
    pytest.param(Counts(urls=1000), {}, "", id="nothing-to-compare-with"),
    pytest.param(Counts(urls=0), {}, "there are no URLs", id="no-url"),
    pytest.param(Counts(urls=1000, items=1000, api_total=1000), TOTAL, "", id="total-exact"),
    pytest.param(Counts(urls=1000, items=1000, api_total=1001), TOTAL, "", id="total-off-by-0.1"),
    pytest.param(
        Counts(urls=1000, items=998, api_total=1000), TOTAL, "off by more than 0.1%", id="total-off"
    ),
    pytest.param(
        Counts(urls=1000, items=1002, api_total=1000), TOTAL, "1,002 URLs were seen", id="total-over"
    ),
    pytest.param(Counts(urls=1000, items=1000), TOTAL, "never returned the total", id="total-not-given"),
    pytest.param(Counts(urls=999), {"EXPECTED_TOTAL": "1000"}, "", id="expected-off-by-0.1"),
    pytest.param(Counts(urls=998), {"EXPECTED_TOTAL": "1000"}, "EXPECTED_TOTAL is 1,000", id="expected-off"),
    pytest.param(Counts(urls=1002), {"EXPECTED_TOTAL": "1000"}, "off by more than 0.1%", id="expected-over"),
    pytest.param(
        Counts(urls=9, items=9, open_ends=1), {}, "details of 1 item are complete: they may", id="open-end"
    ),
    pytest.param(Counts(urls=999, items=1000, lost=1), {}, "", id="lost-0.1"),
    pytest.param(Counts(urls=998, items=1000, lost=2), {}, "2 items of the list had no details", id="lost"),
    pytest.param(Counts(urls=500, duplicates=499, rejected=1), {}, "", id="rejected-0.1"),
    pytest.param(
        Counts(urls=500, duplicates=497, rejected=2), {}, "2 of 999 URLs were rejected", id="rejected"
    ),
    pytest.param(Counts(urls=1, unreadable=1), {"SOURCE": "lots"}, "1 lot file could", id="unreadable"),
    pytest.param(Counts(urls=1), {"SOURCE": "lots", **TOTAL}, "", id="no-total-with-lots"),
]


@pytest.mark.parametrize(("counts", "values", "said"), DOUBTS)
def test_doubts(counts: Counts, values: dict[str, str], said: str) -> None:
    found = doubts(counts, settings_with(**values))
    assert len(found) == (1 if said else 0)
    assert said in "".join(found)


ITEMS = {"API_TOTAL_HEADER": "X-WP-Total", "API_ITEMS_FIELD": "@"}
NO_MARKER = Ending("page 1 names no next page")
EVIDENCE = [
    pytest.param(
        Counts(urls=9, items=8412, api_total=8412),
        ITEMS,
        NO_MARKER,
        "8,412 items = the API's total (X-WP-Total)",
        id="total-in-a-header",
    ),
    pytest.param(
        Counts(urls=9, items=9, api_total=9), TOTAL, NO_MARKER, "9 URLs = the API's total (total)", id="field"
    ),
    pytest.param(
        Counts(urls=7), {"EXPECTED_TOTAL": "7"}, NO_MARKER, "7 URLs = EXPECTED_TOTAL", id="expected-total"
    ),
    pytest.param(Counts(urls=7), {}, Ending("seen", "it says so"), "it says so", id="the-ending-itself"),
    pytest.param(Counts(urls=7), {}, NO_MARKER, "", id="nothing"),
    pytest.param(
        Counts(urls=9990, items=9990, api_total=10_000), TOTAL, NO_MARKER, "", id="total-almost-reached"
    ),
    pytest.param(Counts(urls=9990), {"EXPECTED_TOTAL": "10000"}, NO_MARKER, "", id="expected-almost-reached"),
    pytest.param(Counts(urls=7, items=7, api_total=0), TOTAL, NO_MARKER, "", id="total-of-zero"),
    pytest.param(
        Counts(urls=7, items=7, api_total=9),
        TOTAL,
        Ending("", "it says so"),
        "",
        id="total-against-the-ending",
    ),
    pytest.param(
        Counts(urls=7), {"SOURCE": "lots"}, None, "every part of the source was read to its end", id="files"
    ),
    pytest.param(Counts(urls=7, unreadable=1), {"SOURCE": "lots"}, None, "", id="a-file-is-missing"),
]


@pytest.mark.parametrize(("counts", "values", "ending", "evidence"), EVIDENCE)
def test_evidence(counts: Counts, values: dict[str, str], ending: Ending | None, evidence: str) -> None:
    found = verdict(counts, settings_with(**values), ending)
    assert found.evidence == evidence
    assert bool(found.doubts) == (not evidence)


@pytest.mark.parametrize(
    ("style", "setting"),
    [
        ("page", "API_PAGE_PARAM"),
        ("cursor", "API_CURSOR_FIELD=next_cursor"),
        ("next_url", "API_NEXT_FIELD=next"),
    ],
)
def test_list_without_evidence_names_the_settings_that_would_vouch(style: str, setting: str) -> None:
    found = verdict(Counts(urls=3, items=3), settings_with(API_PAGINATION=style), NO_MARKER)
    assert len(found.doubts) == 1
    assert found.doubts[0].startswith("nothing vouches for this list: page 1 names no next page.")
    for name in (setting, "API_TOTAL_HEADER", "API_HAS_MORE_FIELD", "EXPECTED_TOTAL", "API_END_STATUS"):
        assert name in found.doubts[0]


def test_checkpoint_of_an_older_version_is_no_doubt() -> None:
    assert verdict(Counts(urls=3, items=3), settings_with(), None) == ("", ())


REFUSED = Ending("the API answered 404 to page 4", refusal=FatalError("404"))


@pytest.mark.parametrize(
    ("counts", "values"),
    [
        (Counts(urls=7, items=7, api_total=7), TOTAL),
        (Counts(urls=7), {"EXPECTED_TOTAL": "7"}),
    ],
    ids=["api-total", "expected-total"],
)
def test_refusal_after_the_total_is_the_end(counts: Counts, values: dict[str, str]) -> None:
    check_refusal(counts, settings_with(**values), REFUSED)
    assert verdict(counts, settings_with(**values), REFUSED).doubts == ()


@pytest.mark.parametrize(
    ("counts", "values"),
    [
        (Counts(urls=7, items=7), {}),
        (Counts(urls=7, items=7, api_total=9), TOTAL),
        (Counts(urls=7), {"EXPECTED_TOTAL": "9"}),
    ],
    ids=["no-total", "api-total", "expected-total"],
)
def test_refusal_before_the_total_stays_one(counts: Counts, values: dict[str, str]) -> None:
    with pytest.raises(FatalError, match="404"):
        check_refusal(counts, settings_with(**values), REFUSED)
    check_refusal(counts, settings_with(**values), REFUSED._replace(evidence="API_END_STATUS"))


@pytest.mark.parametrize(("blank", "items", "doubted"), [(3, 7, True), (2, 4, False), (100, 200_000, False)])
def test_pages_whose_items_have_no_url_are_a_doubt(blank: int, items: int, doubted: bool) -> None:
    found = doubts(Counts(urls=4, items=items, blank=blank), settings_with())
    assert any("pages where no item has a URL" in doubt for doubt in found) == doubted


def test_details_that_may_go_on_leave_a_list_without_evidence() -> None:
    counts = Counts(urls=7, items=7, api_total=7, open_ends=1)
    found = verdict(counts, settings_with(**TOTAL), Ending("page 1 is the last", "page 1 is the last"))
    assert found.evidence == ""
    assert ["that the details of 1 item" in doubt for doubt in found.doubts] == [True]
    expected = settings_with(**TOTAL, EXPECTED_TOTAL="7")
    assert verdict(counts, expected, Ending("page 1 is the last")).doubts == ()
