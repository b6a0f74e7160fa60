"""VARIANT_SIZES: the sizes that variants.py makes, `thumbnail:300,medium:800`, and how an image fits into one."""

from __future__ import annotations

import math
import re
from typing import Callable, NamedTuple

LARGEST = 16_383  # pixels; no WebP image has a longer side (WebP Container Specification)
_SIZE = re.compile(r"([A-Za-z0-9_-]{1,50}):(\d{1,5})", re.ASCII)
_ALLOWED = f"NAME:PIXELS separated by commas, of letters, digits, - and _, and 1 to {LARGEST}"


class VariantSize(NamedTuple):
    """A size of variants."""

    name: str  # a part of their keys
    pixels: int  # their longest side

    def __str__(self) -> str:
        return f"{self.name}:{self.pixels}"


def variant_sizes(value: str) -> tuple[VariantSize, ...]:
    """Return the sizes in value, as they stand there; raise ValueError that says what is allowed."""
    found: dict[str, VariantSize] = {}
    for part in value.split(","):
        match = _SIZE.fullmatch(part.strip())
        if match is None or not 1 <= int(match[2]) <= LARGEST:
            raise ValueError(_ALLOWED)
        if match[1] in found:
            raise ValueError(f"{_ALLOWED}; {match[1]} stands there twice")
        found[match[1]] = VariantSize(match[1], int(match[2]))
    return tuple(found.values())


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return width and height of an image that is scaled so that its longest side has so many pixels.

    The other side is rounded as Pillow's Image.thumbnail() does it: to what keeps the aspect ratio best.
    """
    aspect = width / height
    if width > height:
        return longest, _rounded(longest / aspect, lambda n: abs(aspect - longest / n) if n else 0.0)
    return _rounded(longest * aspect, lambda n: abs(aspect - n / longest)), longest


def _rounded(number: float, error: Callable[[int], float]) -> int:
    return max(1, min(math.floor(number), math.ceil(number), key=error))
