"""Read the commands out of the documents: indented or fenced lines, and code in a line of text."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_SETTING = re.compile(r"[A-Z][A-Z0-9_]*=.*")
_SEPARATORS = {";", "|", "||", "&&", ">", "<", "(", ")"}


class Command(NamedTuple):
    """One command of a document."""

    document: str
    words: tuple[str, ...]  # without settings before it, comment and redirections

    def __str__(self) -> str:
        return f"{self.document}: {shlex.join(self.words)}"


def blocks(document: Path, kind: str) -> list[str]:
    """Return the fenced blocks of a kind (`json`, `js`, `python`, `sh`) in a document."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[Command]:
    """Return the commands of all documents that begin with start; without patterns (`--redo [FILE]`)."""
    return [command for command in _all_commands() if command.words[0] == start]


@functools.cache
def _all_commands() -> tuple[Command, ...]:
    return tuple(
        Command(document.name, words)
        for document in DOCUMENTS
        for line in _lines(document.read_text(encoding="utf-8"))
        for words in _split(line)
    )


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of code in text, those as one that a backslash or an open quotation mark continues."""
    text = re.sub(r" *\\\n +", " ", text)
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith("    "):
            yield from re.findall(r"`([^`]+)`", line)
            continue
        code = re.sub(r"  +# .*", "", line)
        while code.count("'") % 2 and (following := next(lines, "")):
            code += following.strip()
        yield code.strip()


def _split(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command in a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "…,:=@{}%$+"
    words: list[str] = []
    try:
        for word in lexer:
            if word in _SEPARATORS:
                yield from _whole(words)
                words = []
            else:
                words.append(word)
    except ValueError:  # an apostrophe of a sentence: no command
        return
    yield from _whole(words)


def _whole(words: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield words without settings before them, unless nothing is left or they are a pattern."""
    while words and _SETTING.fullmatch(words[0]):
        words = words[1:]
    if words and not any(word.startswith("[") or "…" in word for word in words):
        yield tuple(words)
