"""A proposal of settings: lines for collection.env, each with its reason, and what could not be found. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One line of collection.env."""

    setting: str
    value: str
    why: str  # one clause; empty: it needs no reason
    is_guess: bool = False


class Proposal(NamedTuple):
    """What --suggest has to say."""

    lines: list[Line]
    notes: list[str]  # what is missing, or what to know; one sentence or two each

    @property
    def settings(self) -> dict[str, str]:
        return {line.setting: line.value for line in self.lines}


def as_text(proposal: Proposal, source: str) -> str:
    """Return a proposal as lines for collection.env: what is no setting is a comment. source is what was read."""
    shown = [
        f"# Suggested for {source}: put these lines into collection.env, replacing those with the same names."
    ]
    for line in proposal.lines:
        if line.why:
            shown.append(f"# {'guess: ' if line.is_guess else ''}{line.why}")
        shown.append(f"{line.setting}={_quoted(line.value)}")
    shown += [f"# ! {note}" for note in proposal.notes]
    return "\n".join(shown) + "\n"


def _quoted(value: str) -> str:
    """Return a value as it must stand in an env file: in quotes where it would else be read as something other."""
    if value[:1] not in ("'", '"', "`") and " #" not in value:
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
