"""The README names every document, docs/design.md every room, and no document links to nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = sorted(path.parent.name for path in (ROOT / "cdn2s3").glob("*/__init__.py"))
GROUND_FLOOR = sorted(path.name for path in (ROOT / "cdn2s3").glob("*.py") if path.name != "__init__.py")


def _anchors(document: Path) -> set[str]:
    """Return the names that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*(f"{room}/" for room in ROOMS), *GROUND_FLOOR])
def test_design_names_the_room(name: str) -> None:
    assert f"`{name}`" in DESIGN


@pytest.mark.parametrize(
    "init", sorted((ROOT / "cdn2s3").rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_room_says_what_it_may_import_and_where_to_begin(init: Path) -> None:
    docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    assert 2 <= len(docstring.splitlines()) <= 5
    assert init.parent.name == "cdn2s3" or ("mport" in docstring and "Begin with" in docstring)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_readme_names_the_document(name: str) -> None:
    assert f"(docs/{name})" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_links_to_what_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), f"{document.name} links to {target}"
        assert not anchor or anchor in _anchors(linked), f"{document.name} links to {target}"
