"""The README names every document, docs/design.md every other file, and no document links to nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = [
    *ROOT.glob("*.py"),
    *ROOT.glob("*.env"),
    *(ROOT / "cdn2s3").rglob("*.py"),
]
APART = [
    f"{folder}/{path.name}"
    for folder in ("demo", "benchmarks", "tests")
    for path in (ROOT / folder).glob("*.py")
    if path.name != "__init__.py" and not path.name.startswith("test_")
]


def _anchors(document: Path) -> set[str]:
    """Return the names that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(path.name for path in NAMED if path.name != "__init__.py"))
def test_design_names_the_file(name: str) -> None:
    assert re.search(rf"[`/]{re.escape(name)}`", DESIGN)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_readme_names_the_document(name: str) -> None:
    assert f"(docs/{name})" in README


@pytest.mark.parametrize("name", sorted(APART))
def test_design_names_the_file_with_its_folder(name: str) -> None:
    assert f"`{name}`" in DESIGN


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_links_to_what_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), f"{document.name} links to {target}"
        assert not anchor or anchor in _anchors(linked), f"{document.name} links to {target}"
