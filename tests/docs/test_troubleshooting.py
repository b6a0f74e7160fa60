"""docs/troubleshooting.md quotes messages that the scripts can really say."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from tests import ROOT

DOCUMENT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", DOCUMENT, re.MULTILINE)
_HOLE = "…"  # what differs from case to case


@functools.cache
def _nodes() -> list[ast.AST]:
    return [
        node
        for path in [*ROOT.glob("*.py"), *(ROOT / "cdn2s3").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Call, ast.Constant, ast.JoinedStr))
    ]


def _texts() -> Iterator[str]:
    """Yield every text in the code, with _HOLE where a value goes in."""
    for node in _nodes():
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else _HOLE
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%(?:\.\d)?[sdrf]", _HOLE, node.value)


def _text(node: ast.expr) -> str:
    """Return the text that an expression makes, with _HOLE where it is not known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return _HOLE


def _stopping() -> Iterator[str]:
    """Yield the message of every error in the code that ends a script with exit code 2 or 3."""
    for node in _nodes():
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            text = re.sub(f"{_HOLE}+", _HOLE, _text(node.args[0]))
            if name in ("FatalError", "UsageError", "_failure") and re.search(r"\w", text):
                yield text


def test_messages_are_ones_that_the_code_says() -> None:
    said = re.sub(f"{_HOLE}+", _HOLE, "\n".join(_texts()))
    assert [message for message in MESSAGES if message not in said] == []


def test_document_has_each_message_that_stops() -> None:
    stopping = set(_stopping())
    assert len(stopping) > 50
    assert sorted(text for text in stopping if not any(message in text for message in MESSAGES)) == []


def test_document_quotes_messages() -> None:
    assert len(MESSAGES) > 50
    assert len(MESSAGES) == len(set(MESSAGES))
