"""Fixtures: nothing remembered of names between tests, and no variable that acts on connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdn2s3.http.resolver import RESOLVER
from cdn2s3.http.trust import VARIABLES


@pytest.fixture(autouse=True)
def nothing_known_of_names() -> Iterator[None]:
    RESOLVER.forget()
    yield
    RESOLVER.forget()


@pytest.fixture(autouse=True)
def no_bundle_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
