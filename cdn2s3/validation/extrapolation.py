"""What a sample says about all: the exact binomial (Clopper-Pearson) interval of 95%. Pure.

C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26 (1934): the limits are where the tail of the binomial distribution is 2.5%. The tail is the regularized
incomplete beta function, here by its continued fraction (DLMF 8.17.22), and its inverse by bisection.
"""

from __future__ import annotations

import math
from typing import NamedTuple

CONFIDENCE = 0.95
_TINY = 1e-300
_TERMS = 10_000  # of the continued fraction; it needs about the square root of the sample's size
_STEPS = 60  # of the bisection: as exact as a float


class Extrapolation(NamedTuple):
    """What a sample says about the images that it was drawn from."""

    of: str  # which images these are: all, adopted ones, others
    images: int  # how many there are
    compared: int  # of the sample
    differ: int  # of these
    low: float  # the share of images that differ, at least
    high: float  # at most

    def text(self) -> str:
        """Return it as a clause: 2 of 100 differ: between 0.24% and 7% of all (95% confidence)."""
        said = f"{self.differ:,} of {self.compared:,} differ" if self.differ else "none differ"
        limits = f"between {_percent(self.low)} and" if self.differ else "at most"
        return f"{said}: {limits} {_percent(self.high)} of {self.of} ({CONFIDENCE:.0%} confidence)"


def extrapolation(of: str, images: int, compared: int, differ: int) -> Extrapolation:
    """Return what it says that differ of compared images do, which were drawn from so many; 0 < compared."""
    return Extrapolation(of, images, compared, differ, *interval(differ, compared))


def interval(hits: int, of: int) -> tuple[float, float]:
    """Return the limits of the share that hits of a sample stand for; 0 <= hits <= of, 0 < of."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else _where_it_is(tail, hits, of - hits + 1)
    high = 1.0 if hits == of else _where_it_is(1 - tail, hits + 1, of - hits)
    return low, high


def _where_it_is(probability: float, a: int, b: int) -> float:
    """Return x for which the regularized incomplete beta function of a and b is probability."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function, for x between 0 and 1."""
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below
        return 1 - _beta(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    fraction, c, d = 1.0, 1.0, 0.0
    for term in range(_TERMS):
        m = term // 2
        if term == 0:
            numerator = 1.0
        elif term % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + numerator * d or _TINY)
        c = 1 + numerator / c or _TINY
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return math.exp(front) * (fraction - 1) / a


def _percent(share: float) -> str:
    return f"{float(f'{100 * share:.2g}'):g}%"
