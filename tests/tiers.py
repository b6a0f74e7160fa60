"""Which values of a parameter `make test` leaves to `make test-all`."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: object, **options: Any) -> Any:
    """Return a case that only `make test-all` runs: a neighbor of one that every run has."""
    return pytest.param(*values, marks=pytest.mark.slow, **options)


def neighbors(first: object, *others: object) -> list[Any]:
    """Return the cases of one parameter of which every run has the first, and `make test-all` the others."""
    return [first, *map(slow, others)]
