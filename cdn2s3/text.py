"""Bytes and seconds as a person says them. Pure."""

from __future__ import annotations

MB = 1_000_000


def bytes_text(size: float) -> str:
    """Return a number of bytes: 1.56 TB, 390 KB (powers of 1000, three digits)."""
    for unit, power in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= 0.9995 * power:  # less would be said as 1000 of the smaller unit
            return f"{size / power:.3g} {unit}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """Return about how long something takes: 45 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else _hours(minutes)


def span(seconds: float) -> str:
    """Return how long something took: 45.1 s, 12 min 5 s, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else _hours(minutes)


def _hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60:02d} min"
