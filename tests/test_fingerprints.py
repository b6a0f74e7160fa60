"""The set of lines against a real set, and what it costs."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.fingerprints import _REST, Fingerprints, _found
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


_ENTRY = st.binary(min_size=_REST, max_size=_REST).map(lambda raw: bytes(byte & 1 for byte in raw))


@examples(500)
@given(st.lists(_ENTRY, max_size=12), _ENTRY)
def test_found_takes_no_match_across_two_entries(entries: list[bytes], wanted: bytes) -> None:
    bucket = bytearray(b"".join(entries))
    assert _found(bucket, wanted, bucket.find(wanted)) is (wanted in entries)


def test_fingerprints_of_lines_that_share_a_bucket_are_kept_apart() -> None:
    lines = Fingerprints()  # 200,000 lines in 65,536 buckets: most buckets hold several
    texts = [b"https://cdn.example/%d.jpg" % number for number in range(200_000)]
    assert all(lines.add(text) for text in texts)
    assert not any(lines.add(text) for text in texts)
    assert b"https://cdn.example/200000.jpg" not in lines


def test_fingerprints_of_a_million_lines_take_little_memory() -> None:
    script = (
        "import resource; from cdn2s3.fingerprints import Fingerprints\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"  # KiB on Linux
        "before, lines = peak(), Fingerprints()\n"
        "for number in range(1_000_000): lines.add(b'%d' % number)\n"
        "assert len(lines) == 1_000_000; print(peak() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert grown < 45_000  # a set of bytes takes some 100,000
