"""The exact binomial interval, against published values and against its definition."""

from __future__ import annotations

import math

import pytest

from cdn2s3.validation.extrapolation import extrapolation, interval


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [  # R: binom.test(hits, of)$conf.int
        pytest.param(2, 100, 0.002431337, 0.070383932),
        pytest.param(0, 100, 0.0, 0.03621669),
        pytest.param(100, 100, 0.9637833, 1.0),
        pytest.param(5, 10, 0.1870860, 0.8129140),
        pytest.param(1, 10, 0.002528579, 0.4450161),
        pytest.param(0, 1, 0.0, 0.975),
        pytest.param(1, 1, 0.025, 1.0),
    ],
)
def test_interval_is_that_of_the_books(hits: int, of: int, low: float, high: float) -> None:
    assert interval(hits, of) == pytest.approx((low, high), abs=2e-7)


def tail(hits: int, of: int, share: float) -> float:
    """Return the probability of hits or more of a sample, term by term."""
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(hits, of + 1))


@pytest.mark.parametrize(("hits", "of"), [(1, 3), (7, 50), (49, 50), (3, 400), (200, 400), (13, 900)])
def test_limits_are_where_the_tails_are_one_in_forty(hits: int, of: int) -> None:
    low, high = interval(hits, of)
    assert tail(hits, of, low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - tail(hits + 1, of, high) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize(("hits", "of"), [(0, 4_000_000), (17, 4_000_000), (2_000_000, 4_000_000)])
def test_large_samples_are_exact_too(hits: int, of: int) -> None:
    low, high = interval(hits, of)
    assert low <= hits / of <= high
    assert high - low < 0.0011


@pytest.mark.parametrize(
    ("differ", "compared", "text"),
    [
        pytest.param(2, 100, "2 of 100 differ: between 0.24% and 7% of all (95% confidence)"),
        pytest.param(0, 100, "none differ: at most 3.6% of all (95% confidence)"),
        pytest.param(0, 100_000, "none differ: at most 0.0037% of all (95% confidence)"),
        pytest.param(5, 5, "5 of 5 differ: between 48% and 100% of all (95% confidence)"),
    ],
)
def test_extrapolation_is_a_sentence(differ: int, compared: int, text: str) -> None:
    assert extrapolation("all", 4_000_000, compared, differ).text() == text
