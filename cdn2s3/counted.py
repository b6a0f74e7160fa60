"""A number and what it counts, in words: 1 URL, 2,000 URLs. Pure."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return number and what it counts; many is the plural where it is not one with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
