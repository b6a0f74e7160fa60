"""Value types that several options share."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone

from cdn2s3.errors import CAUSES


def positive(text: str) -> int:
    """Return the whole number that text is, 1 or more; raise ArgumentTypeError for another text."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def not_negative(text: str) -> int:
    """Return the whole number that text is, 0 or more; raise ArgumentTypeError for another text."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def cause(text: str) -> str:
    """Return the name of a cause; empty, which means all, unchanged."""
    if text and text not in CAUSES:
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't a cause of failure; choose from {', '.join(CAUSES)}"
        )
    return text


def count_or_all(text: str) -> int:
    """Return the whole number that text is, 0 or more, sys.maxsize for `all`; raise ArgumentTypeError for another."""
    if text == "all":
        return sys.maxsize
    try:
        return not_negative(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more, or the word all") from None


def moment(text: str) -> str:
    """Return text unchanged where seconds_of_moment() takes it; raise ArgumentTypeError for another."""
    try:
        seconds_of_moment(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write it as 2026-11-26T10:00:00Z or 2026-11-26, in UTC"
        ) from None
    return text


def seconds_of_moment(text: str) -> int:
    """Return the seconds since the epoch of a date, or date and time, in ISO 8601; UTC where it names no zone."""
    at = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    return int((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp())
