"""Fixtures: an AWS account of moto's, and the worlds of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws import stacks
from tests.scripts.conftest import new_world

__all__ = ["new_world"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account within this process: nothing of the test is sent anywhere."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with stacks.account():
        yield
