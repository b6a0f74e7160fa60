"""How a setting is declared, and what the settings of both files have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

from cdn2s3.settings.parsers import Parser, one_of


def setting(default: str, parse: Parser, meaning: str, example: str = "") -> Any:
    """Declare a setting: its default as written in the file, its parser, its meaning for docs/settings.md."""
    return dataclasses.field(
        default=parse(default) if default is not REQUIRED else "",
        metadata={"default": default, "parse": parse, "meaning": meaning, "example": example},
    )


REQUIRED = "\0required"  # no default: the user must set it
LOG_LEVELS = one_of("DEBUG", "INFO", "WARNING", "ERROR")
CA_MEANING = "PEM file of certificate authorities to trust besides the public ones"
PREFIX_MEANING = "what every URL must start with, whether http or https; several are separated by spaces"
IGNORED_MEANING = (
    "parameters of the query that do not make two URLs different, such as signatures; empty = none"
)
IGNORED_EXAMPLE = "Expires,Signature,Key-Pair-Id,v"
