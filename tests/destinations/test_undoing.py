"""The promises of destinations/removal.py on every store: ours goes, and nothing else ever does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdn2s3.destinations.base import Found
from cdn2s3.destinations.factory import remover_of
from cdn2s3.destinations.removal import Fate, Remover
from cdn2s3.http.deadline import Deadline
from tests.destinations.stores import LESS_OFTEN, MAKERS, STORES, Store
from tests.destinations.test_conformance import BODY, CASES, OTHER, put
from tests.tiers import slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")


@pytest.fixture(params=[slow(name) if name in LESS_OFTEN else name for name in STORES])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with MAKERS[request.param](tmp_path, monkeypatch) as made:
        yield made


def stored(store: Store, name: str) -> tuple[Remover, Found]:
    """Return what undoes, and an object of ours that it may remove."""
    destination = store.open()
    ours = put(destination, store.key(name), BODY)
    remover = remover_of(store.settings(), destination)
    remover.prepare()
    return remover, Found(store.key(name), ours.size, ours.etag)


@pytest.mark.parametrize("store", CASES, indirect=True)
def test_ours_goes_and_is_gone_the_second_time(store: Store) -> None:
    remover, ours = stored(store, "1/a.jpg")
    assert remover.remove(ours, Deadline(20)).fate in (Fate.REMOVED, Fate.HIDDEN)
    assert store.objects() == {}
    assert remover.remove(ours, Deadline(20)).fate is Fate.ABSENT
    assert remover.is_up()


@pytest.mark.parametrize("store", CASES, indirect=True)
def test_what_somebody_has_changed_stays(store: Store) -> None:
    remover, ours = stored(store, "ü b+c.jpg")
    store.put("ü b+c.jpg", OTHER)
    for goes_back in (False, True):
        if goes_back:
            removal = remover.go_back(ours, 0, Deadline(20), is_again=False)
        else:
            removal = remover.remove(ours, Deadline(20))
        assert removal.fate in (Fate.CHANGED, Fate.NOTHING_BELOW)
        assert store.objects() == {"ü b+c.jpg": OTHER}
