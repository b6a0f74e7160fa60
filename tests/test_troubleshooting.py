"""docs/troubleshooting.md quotes messages that the scripts can really say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", DOCUMENT, re.MULTILINE)
_HOLE = "…"  # what differs from case to case


def _texts(source: str) -> Iterator[str]:
    """Yield every text in a module's code, with _HOLE where a value goes in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else _HOLE
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%(?:\.\d)?[sdrf]", _HOLE, node.value)


def _said() -> str:
    sources = [*ROOT.glob("*.py"), *(ROOT / "cdn2s3").glob("*.py")]
    texts = [text for path in sources for text in _texts(path.read_text(encoding="utf-8"))]
    return re.sub(f"{_HOLE}+", _HOLE, "\n".join(texts))


SAID = _said()


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_one_that_the_code_says(message: str) -> None:
    assert message in SAID


def test_document_quotes_messages() -> None:
    assert len(MESSAGES) > 50
    assert len(MESSAGES) == len(set(MESSAGES))
