"""The tables of the documents: each has its header, and the glossary has each term once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def tables(page: Path) -> list[list[str]]:
    """Return the lines of each table of a page."""
    found: list[list[str]] = [[]]
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_table_has_its_header(page: Path) -> None:
    """A blank line within a table would end it: what follows is shown as text."""
    for table in tables(page):
        assert len(table) > 2 and re.fullmatch(r"[|\s:-]+", table[1]), table[0]


def test_glossary_has_each_term_once() -> None:
    glossary = next(table for table in tables(ROOT / "docs" / "design.md") if "means here" in table[0])
    terms = [line.split("|")[1].strip() for line in glossary[2:]]
    assert len(terms) > 40
    assert [term for term in terms if terms.count(term) > 1] == []
