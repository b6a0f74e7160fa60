"""How property tests run here: the same examples on every run and machine, no time limit on a busy one.

An example costs milliseconds: `make test` tries an eighth of them, `make test-all` and `make check` all.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SHARE = 1 if os.environ.get("ALL_EXAMPLES") else 8


def examples(count: int) -> settings:
    """Return the settings of a property test with this many examples where all are tried."""
    return settings(
        max_examples=count // _SHARE,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
