"""Fixtures: nothing is remembered of names between tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdn2s3.http.resolver import RESOLVER


@pytest.fixture(autouse=True)
def nothing_known_of_names() -> Iterator[None]:
    RESOLVER.forget()
    yield
    RESOLVER.forget()
