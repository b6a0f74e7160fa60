"""Who has a key, against a naive reading with dicts."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.state.key_index import Owner, Owners
from tests.properties import examples

KEYS = [b"a", b"b", b"images/1.jpg"]
URLS = [b"u", b"v", b"w"]
TOLD = b"u"  # for each key, the URL that can be told from it
_STEPS = st.tuples(
    st.sampled_from(["record", "claim"]), st.sampled_from(URLS), st.sampled_from(KEYS), st.integers(0, 2**37)
)


@examples(300)
@given(st.lists(_STEPS, max_size=30))
def test_owners_are_what_a_naive_reading_gives(steps: list[tuple[str, bytes, bytes, int]]) -> None:
    owners = Owners(Path("completed.txt"))
    first: dict[bytes, Owner] = {}
    completed: set[tuple[bytes, bytes]] = set()
    for step, url, key, at in steps:
        if step == "record":
            owners.add_record(url, key, at, told=url == TOLD)
            completed.add((url, key))
            first.setdefault(key, Owner(False, at))
        else:
            claimed = owners.claim(url, key, at, told=url == TOLD)
            known = first.get(key)
            if known is None or (not known.is_line and (url, key) in completed):
                assert claimed is ((url, key) in completed)
                first[key] = Owner(True, at)
            else:
                assert claimed == known
        assert owners.owner(key) == first.get(key)
        assert len(owners) == len(first)
        assert all(
            owners.is_completed(url, key, told=url == TOLD) is ((url, key) in completed)
            for url in URLS
            for key in KEYS
        )


def test_keys_that_share_a_bucket_are_kept_apart() -> None:
    owners = Owners(Path("completed.txt"))
    for number in range(200_000):
        owners.add_record(b"", b"%d" % number, number, told=number % 2 == 0)
    for number in range(0, 200_000, 3):
        claimed = owners.claim(b"", b"%d" % number, number + 1, told=number % 2 == 0)
        assert claimed is True
    for number in range(200_000):
        line = number % 3 == 0
        assert owners.owner(b"%d" % number) == Owner(line, number + line)
    assert owners.owner(b"200000") is None
