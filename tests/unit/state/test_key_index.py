"""Who has a key, against a naive reading with dicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.state import key_index
from cdn2s3.state.key_index import NEW, KeyIndex, Owner
from tests.properties import examples

KEYS = [b"a", b"b", b"images/1.jpg"]
URLS = [b"u", b"v", b"w"]
REVERSIBLE = b"u"  # for each key, the URL that can be told from it
_STEPS = st.tuples(
    st.sampled_from(["record", "claim"]),
    st.sampled_from(URLS),
    st.sampled_from(KEYS),
    st.integers(0, 2**32 - 1),
)


@examples(300)
@given(st.lists(_STEPS, max_size=30))
def test_index_is_what_a_naive_reading_gives(steps: list[tuple[str, bytes, bytes, int]]) -> None:
    steps = [(*step[:3], n if step[0] == "record" else step[3]) for n, step in enumerate(steps)]
    steps.sort(key=lambda step: step[0], reverse=True)  # records come before claims
    index = KeyIndex()
    first: dict[bytes, Owner] = {}
    completed: set[tuple[bytes, bytes]] = set()
    records: dict[bytes, list[int]] = {}
    for step, url, key, number in steps:
        if step == "record":
            index.add_record(url, key, number, url == REVERSIBLE)
            completed.add((url, key))
            first.setdefault(key, Owner(False, number))
            records.setdefault(key, []).append(number)
        else:
            claimed = index.claim(url, key, number, url == REVERSIBLE)
            known = first.get(key)
            if known is None:
                assert claimed == NEW
                first[key] = Owner(True, number)
            elif not known.is_line and (url, key) in completed:
                assert claimed == records[key][0]
                first[key] = Owner(True, number)
            else:
                assert claimed == known
        owner = first.get(key)
        assert index.owner(key) == owner
        assert index.line_with(key) == (owner.number if owner and owner.is_line else None)
        assert len(index) == len(first)
        assert all(
            index.is_completed(url, key, url == REVERSIBLE) is ((url, key) in completed)
            for url in URLS
            for key in KEYS
        )
    several = [number for numbers in records.values() if len(numbers) > 1 for number in numbers]
    assert sorted(index.repeated) == sorted(several)


def test_record_is_claimed_once_and_only_where_its_key_has_no_other() -> None:
    index = KeyIndex()
    for number, key in ((1, b"a"), (2, b"b"), (3, b"b"), (5, b"c"), (6, b"d")):
        index.add_record(b"u%d" % number, key, number, reversible=False)
    index.close(6)
    assert index.claim(b"u5", b"c", 9, reversible=False) == 5
    assert [number for number in range(9) if index.claim_record(number, number + 70)] == [1]
    assert not index.claim_record(1, 80)
    assert index.owner(b"a") == Owner(True, 71)
    assert index.line_with(b"a") == 71
    assert index.claim(b"u1", b"a", 90, reversible=False) == Owner(True, 71)
    assert index.is_completed(b"u1", b"a", reversible=False)
    assert (index.owner(b"b"), index.owner(b"c"), index.owner(b"d")) == (
        Owner(False, 2), Owner(True, 9), Owner(False, 6)
    )  # fmt: skip


@pytest.mark.slow
def test_keys_that_share_a_bucket_are_kept_apart() -> None:
    index = KeyIndex()
    for number in range(200_000):
        index.add_record(b"", b"%d" % number, number, reversible=number % 2 == 0)
    for number in range(0, 200_000, 3):
        claimed = index.claim(b"", b"%d" % number, number + 1, reversible=number % 2 == 0)
        assert claimed == number
    for number in range(200_000):
        line = number % 3 == 0
        assert index.owner(b"%d" % number) == Owner(line, number + line)
    assert index.owner(b"200000") is None
    assert not index.repeated


def test_keys_stay_found_while_buckets_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_index, "FULL", 1 / (1 << 6))  # divided at 1,024 and at 4,096 keys
    index, keys = KeyIndex(), [b"%d" % number for number in range(5_000)]
    for number, key in enumerate(keys):
        index.add_record(b"", key, number, reversible=True)
        if number in (1_023, 1_024, 4_095, 4_096):
            assert all(index.owner(key) == Owner(False, at) for at, key in enumerate(keys[: number + 1]))
    for number in range(0, 5_000, 3):
        assert index.claim(b"", keys[number], number + 1, reversible=True) == number
    for number, key in enumerate(keys):
        is_line = number % 3 == 0
        assert index.owner(key) == Owner(is_line, number + is_line)
    assert index.owner(b"5000") is None
    assert len(index) == 5_000
    assert len(index._buckets) == key_index.BUCKETS * 16
