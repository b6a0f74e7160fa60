"""The set of lines against a real set, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.state.key_index import REST, Fingerprints, Numbered, position
from tests.properties import examples

_LINES = st.one_of(st.binary(max_size=3), st.sampled_from([b"", b"a", b"a ", b"A", b"\xff", b"a" * 5000]))


@examples(200)
@given(st.lists(st.tuples(st.booleans(), _LINES), max_size=80))
def test_fingerprints_behave_as_a_set(steps: list[tuple[bool, bytes]]) -> None:
    real: set[bytes] = set()
    lines = Fingerprints()
    for add, line in steps:
        if add:
            assert lines.add(line) is (line not in real)
            real.add(line)
        assert (line in lines) is (line in real)
        assert len(lines) == len(real)


@examples(200)
@given(st.lists(st.tuples(st.sampled_from(["set", "get"]), _LINES, st.integers(0, 2**40 - 1)), max_size=80))
def test_numbered_behaves_as_a_dict(steps: list[tuple[str, bytes, int]]) -> None:
    real: dict[bytes, int] = {}
    lines = Numbered()
    for step, line, number in steps:
        if step == "set":
            lines[line] = real[line] = number
        assert lines.get(line) == real.get(line)
        assert len(lines) == len(real)


@pytest.mark.slow
def test_numbered_lines_that_share_a_bucket_are_kept_apart() -> None:
    lines = Numbered()
    for number in range(200_000):
        lines[b"%d" % number] = number
    for number in range(0, 200_000, 3):
        lines[b"%d" % number] = number + 1
    assert all(lines.get(b"%d" % number) == number + (number % 3 == 0) for number in range(200_000))
    assert lines.get(b"200000") is None


_BITS = st.integers(0, 1)
_ENTRIES = st.lists(st.lists(_BITS, min_size=19, max_size=19).map(bytes), max_size=12)


@pytest.mark.parametrize("step", [REST, REST + 5], ids=["set", "numbered"])
def test_position_takes_no_match_across_two_entries(step: int) -> None:
    @examples(300)
    @given(_ENTRIES, st.lists(_BITS, min_size=REST, max_size=REST).map(bytes))
    def check(entries: list[bytes], wanted: bytes) -> None:
        starts = [entry[:step] for entry in entries]
        expected = next((n * step for n, start in enumerate(starts) if start[:REST] == wanted), -1)
        assert position(bytearray(b"".join(starts)), wanted, step) == expected

    check()


def test_fingerprints_of_lines_that_share_a_bucket_are_kept_apart() -> None:
    lines = Fingerprints()  # 200,000 lines in 65,536 buckets: most buckets hold several
    texts = [b"https://cdn.example/%d.jpg" % number for number in range(200_000)]
    assert all(lines.add(text) for text in texts)
    assert not any(lines.add(text) for text in texts)
    assert b"https://cdn.example/200000.jpg" not in lines


@pytest.mark.slow
def test_fingerprints_of_half_a_million_lines_take_little_memory() -> None:
    script = (
        "import resource; from cdn2s3.state.key_index import Fingerprints\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"  # KiB on Linux
        "before, lines = peak(), Fingerprints()\n"
        "for number in range(500_000): lines.add(b'%d' % number)\n"
        "assert len(lines) == 500_000; print(peak() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert grown < 25_000  # a set of bytes takes some 50,000
