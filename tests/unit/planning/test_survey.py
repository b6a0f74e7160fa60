"""The fate of each line against a naive reading with dicts, and the job and its books that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import FatalError, UsageError
from cdn2s3.keys import InvalidUrl, KeyMaker, Naming
from cdn2s3.planning.survey import CompletedBefore, LineStatus, UrlSurvey, completed_before, survey
from cdn2s3.state.ledger import Completed
from cdn2s3.state.lines import encode, field
from tests.properties import examples

BLANK, COLLISION, DONE, DUPLICATE = (
    LineStatus.BLANK, LineStatus.COLLISION, LineStatus.DONE, LineStatus.DUPLICATE
)  # fmt: skip
MALFORMED, PENDING, OTHER_HOST = LineStatus.MALFORMED, LineStatus.PENDING, LineStatus.OTHER_HOST
PREFIX = "https://h/i/"
FLAT = KeyMaker(Naming(PREFIX, "images/", preserve=False))
NAMINGS = (
    Naming(PREFIX, "images/", preserve=False),
    Naming(PREFIX, "images/", preserve=True),
    Naming(PREFIX, "", preserve=True, strip="i/"),
    Naming(PREFIX, "i/", preserve=True, strip="i/a/"),
)
LINES = [
    b"", b"   ", b"https://h/i/a/1.jpg", b"https://h/i/b/1.jpg", b"https://h/i/c/1.jpg?v=2", b"https://h/i/2.jpg",
    b"https://h/i/%32.jpg", b"https://h/i/3.jpg\tnot_found\t1", b"https://h/i/3.jpg", b"https://other/1.jpg",
    b"https://h/i/\xe9.jpg", b"https://h/i/%E9.jpg", b"https://h/i/", b"ftp://h/i/1.jpg", b"https://h/i/../x.jpg",
    "https://h/i/ä.jpg".encode(), b"https://h/i/%C3%A4.jpg", b"\xef\xbb\xbfhttps://h/i/2.jpg", b"https://h/i/a\x01.jpg",
    b"https://h/i/a%01.jpg", b"https://h/i/b/%E9.jpg", b"HTTP://H:80/i/2.jpg", b"http://h/i/a/1.jpg#top",
    b"https://other/2.jpg", b"http://h/i/c/1.jpg?v=2", b"https://h/i/c/%31.jpg?v=2",
]  # fmt: skip


def none(folder: Path) -> CompletedBefore:
    return completed_before(folder / "none", FLAT)


def row(url: str, key: str) -> bytes:
    return encode(Completed(url, key, "5", "e", "-", "image/jpeg", "2026-11-20T11:00:00Z"))


def naive(lines: list[bytes], keys: KeyMaker, rows: list[tuple[bytes, bytes]]) -> list[int]:
    """Return the fate of each line, by the words of the design; a malformed line is what its record says."""
    statuses: list[int] = []
    first: dict[bytes, bytes] = {}
    faulty: dict[bytes, int] = {}
    identity, object_id = keys.identity, keys.object_id
    done = {(identity(url), key) for url, key in rows if keys.address(url.decode()).key.encode() == key}
    for raw in lines:
        line = raw.split(b"\t")[0]
        line = line[3:] if line.startswith(b"\xef\xbb\xbf") else line
        if not line.strip():
            statuses.append(BLANK)
            continue
        try:
            key = keys.address(line.decode("utf-8", "surrogateescape")).key.encode()
        except InvalidUrl:
            recorded = field(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            recorded_as = object_id(recorded)
            known = recorded_as in faulty or recorded_as in map(object_id, first.values())
            is_elsewhere = b"://other" in line and line.isascii()
            statuses.append(DUPLICATE if known else OTHER_HOST if is_elsewhere else MALFORMED)
            faulty.setdefault(recorded_as, len(statuses) - 1)
            continue
        winner = first.get(key)
        is_done = (identity(line), key) in done
        of_another = winner is None and not is_done and any(key == taken for _, taken in done)
        if winner is None and not of_another:
            first[key] = line
            if object_id(line) in faulty:
                statuses[faulty[object_id(line)]] = DUPLICATE
            statuses.append(DONE if is_done else PENDING)
        elif (winner and identity(winner) == identity(line)) or object_id(line) in faulty:
            statuses.append(DUPLICATE)
        else:
            statuses.append(COLLISION)
            faulty[object_id(line)] = len(statuses) - 1
    return statuses


DONE_URLS = [
    b"https://h/i/2.jpg", b"https://h/i/a/1.jpg", b"https://h/i/b/1.jpg", b"https://h/i/c/1.jpg?v=2",
    b"https://h/i/c/1.jpg?v=3", b"https://h/i/%32.jpg", b"https://h/i/%C3%A4.jpg", b"https://h/i/3.jpg",
]  # fmt: skip


@examples(500)
@given(
    st.lists(st.sampled_from(LINES), max_size=25), st.sampled_from([b"\n", b"\r\n"]), st.booleans(),
    st.sampled_from(NAMINGS), st.lists(st.tuples(st.sampled_from(DONE_URLS), st.booleans()), max_size=4),
)  # fmt: skip
def test_survey_is_what_a_naive_reading_gives(
    tmp_path: Path,
    lines: list[bytes],
    end: bytes,
    last_end: bool,
    naming: Naming,
    done: list[tuple[bytes, bool]],
) -> None:
    keys = KeyMaker(naming)
    urls, completed = tmp_path / "urls.txt", tmp_path / "completed.txt"
    urls.write_bytes(end.join(lines) + (end if last_end and lines else b""))
    if not last_end and lines and not lines[-1]:
        lines = lines[:-1]  # nothing after the last line end is no line
    rows = [(url, keys.address(url.decode()).key.encode() if today else b"old/1.jpg") for url, today in done]
    completed.write_bytes(b"".join(row(url.decode(), key.decode()) for url, key in rows))
    malformed: list[str] = []
    collisions: list[tuple[str, str, str]] = []
    expected = naive(lines, keys, rows)
    before = completed_before(completed, keys)
    try:
        work = survey(
            urls,
            keys,
            before,
            lambda url, why: malformed.append(url),
            lambda *what: collisions.append(what),
        )
    except UsageError:
        assert all(fate in (BLANK, DUPLICATE, MALFORMED, OTHER_HOST) for fate in expected)
        return
    assert not all(fate in (BLANK, DUPLICATE, MALFORMED, OTHER_HOST) for fate in expected)
    assert list(work.statuses) == expected
    counted = {
        BLANK: work.blank, DONE: work.done, DUPLICATE: work.duplicates, MALFORMED: work.malformed,
        COLLISION: work.collisions, PENDING: work.pending, OTHER_HOST: work.other_hosts,
    }  # fmt: skip
    assert counted == {fate: expected.count(fate) for fate in counted}
    assert sum(counted.values()) == work.lines == len(lines)
    assert len(malformed) >= work.malformed  # one that turns out to be a duplicate has been reported
    assert len(collisions) == work.collisions
    assert all(first != other for _, first, other in collisions)
    assert all(keys.address(first).key == key == keys.address(other).key for key, first, other in collisions)
    pending = [line for _, line in work.lines_with(PENDING)]
    assert len(pending) == len(set(pending)) == work.pending
    for url in DONE_URLS:  # what is completed is so after the survey too, whoever claims its key
        key, _, reversible, identity = keys.known(url)
        assert before.index.is_completed(identity, key, reversible) is (
            (identity, key) in [(keys.identity(done), under) for done, under in rows]
        )


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n\t\n"], ids=["empty", "blank lines", "blanks"])
def test_input_without_a_url_is_fixable(tmp_path: Path, content: bytes) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(content)
    with pytest.raises(UsageError, match="contains no URL"):
        survey(urls, FLAT, none(tmp_path), lambda *a: None, lambda *a: None)


LINE = "https://other.example/a.jpg"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            f"{LINE}\n\n{LINE}?v=2\n{LINE}\n".encode(),
            rf"none of the 3 lines of .*urls.txt is under URL_PREFIX=https://h/i/; the first is '{LINE}'. Correct",
            id="another prefix",
        ),
        pytest.param(
            b"a.jpg\n" + LINE.encode() + b"\n", r"the first is 'a.jpg': not an http", id="no URLs at all"
        ),
        pytest.param(f"https://h/i/a.jpg\n{LINE}\n".encode("utf-16"), "is UTF-16.*as UTF-8", id="UTF-16"),
        pytest.param("https://h/i/a.jpg\n".encode("utf-16-be"), "is UTF-16.*as UTF-8", id="without BOM"),
    ],
)
def test_input_without_a_line_that_may_be_fetched_is_fixable(
    tmp_path: Path, content: bytes, said: str
) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        survey(urls, FLAT, none(tmp_path), lambda *a: None, lambda *a: None)


def test_input_that_is_not_there_is_fixable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SOURCE_URLS_FILE"):
        survey(tmp_path / "none", FLAT, none(tmp_path), lambda *a: None, lambda *a: None)


def surveyed(urls: Path) -> UrlSurvey:
    return survey(urls, FLAT, none(urls.parent), lambda *a: None, lambda *a: None)


def test_lines_added_after_the_survey_are_left_for_the_next_run(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(b"https://h/i/1.jpg\n")
    work = surveyed(urls)
    urls.write_bytes(b"https://h/i/1.jpg\nhttps://h/i/2.jpg\n")
    assert list(work.lines_with(PENDING)) == [(0, b"https://h/i/1.jpg")]


@pytest.mark.parametrize("change", [Path.unlink, lambda urls: urls.write_bytes(b"")], ids=["gone", "shorter"])
def test_input_that_cannot_be_read_again_stops_the_run(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(b"https://h/i/1.jpg\n")
    work = surveyed(urls)
    change(urls)
    with pytest.raises(FatalError, match=r"urls.txt anymore.*run the same command again") as caught:
        list(work.lines_with(PENDING))
    assert caught.value.exit_code == 3


def test_lines_without_the_strip_prefix_are_counted(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(b"https://h/i/s/1.jpg\nhttps://h/i/2.jpg\n")
    keys = KeyMaker(Naming(PREFIX, "", preserve=True, strip="i/s/"))
    assert survey(urls, keys, none(tmp_path), lambda *a: None, lambda *a: None).unstripped == 1


def test_only_records_are_done_and_a_torn_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "completed.txt"
    rows = row(PREFIX + "1.jpg", "images/1.jpg") + b"junk\n" + b"u2\tk2\tx\te\t-\t-\tt\n"
    path.write_bytes(rows + row(PREFIX + "3.jpg", "images/3.jpg")[:-1])
    done = completed_before(path, FLAT).index
    assert len(done) == 1
    assert done.is_completed(PREFIX.encode() + b"1.jpg", b"images/1.jpg", reversible=False)
    assert "2 lines that are not records" in caplog.text


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        pytest.param([b"a\x01.jpg", b"a%01.jpg", b"b"], [MALFORMED, DUPLICATE, PENDING], id="both malformed"),
        pytest.param([b"\xe9.jpg", b"%E9.jpg"], [DUPLICATE, PENDING], id="malformed before its twin"),
        pytest.param([b"%E9.jpg", b"\xe9.jpg"], [PENDING, DUPLICATE], id="malformed after its twin"),
        pytest.param(
            [b"b/%E9.jpg", b"%E9.jpg", b"\xe9.jpg"], [PENDING, COLLISION, DUPLICATE], id="collision"
        ),
        pytest.param([b"\xe9.jpg", b"\xea.jpg", b"b"], [MALFORMED, MALFORMED, PENDING], id="different ones"),
    ],
)
def test_lines_with_one_spelling_in_the_records_count_once(
    tmp_path: Path, lines: list[bytes], statuses: list[int]
) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_bytes(b"".join(PREFIX.encode() + line + b"\n" for line in lines))
    work = survey(urls, FLAT, none(tmp_path), lambda *a: None, lambda *a: None)
    assert list(work.statuses) == statuses
    assert (work.malformed, work.duplicates) == (statuses.count(MALFORMED), statuses.count(DUPLICATE))


def statuses_of(tmp_path: Path, naming: Naming, lines: list[str], rows: list[bytes]) -> list[int]:
    keys, urls, completed = KeyMaker(naming), tmp_path / "urls.txt", tmp_path / "completed.txt"
    urls.write_bytes("".join(f"{line}\n" for line in lines).encode())
    completed.write_bytes(b"".join(rows))
    before = completed_before(completed, keys)
    return list(survey(urls, keys, before, lambda *a: None, lambda *a: None).statuses)


SIGNED = Naming(PREFIX, "images/", preserve=True, ignored_params=("Expires", "Sig"))


def test_newest_form_of_a_pending_url_is_the_one_to_ask_for(tmp_path: Path) -> None:
    lines = [PREFIX + rest for rest in ("a?Expires=1", "b?Sig=1", "a?Expires=2&Sig=x", "a?Expires=2&Sig=x")]
    assert statuses_of(tmp_path, SIGNED, lines, []) == [DUPLICATE, PENDING, PENDING, DUPLICATE]


def test_what_is_done_stays_done_with_a_new_signature(tmp_path: Path) -> None:
    rows = [row(PREFIX + "a?Expires=1&w=1", "images/i/a"), row(PREFIX + "b?Sig=1", "images/i/b")]
    lines = [PREFIX + rest for rest in ("b", "a?w=1&Expires=9", "a?w=2&Expires=1")]
    assert statuses_of(tmp_path, SIGNED, lines, rows) == [DONE, DONE, COLLISION]


def test_line_is_done_under_the_name_that_it_gives_its_object(tmp_path: Path) -> None:
    naming = Naming(PREFIX, "images/", preserve=True)
    done = {"uc?id=1": "images/one", "?id=9": "images/nine", "uc": "images/i/uc"}
    rows = [row(PREFIX + rest, key) for rest, key in done.items()]
    named = ["uc?id=1\tkey=one", "uc?id=1\tkey=two", "?id=9\tkey=nine", "uc", "uc\tkey=i/uc", "x\tkey=one"]
    lines = [PREFIX + rest for rest in (*named, "uc?id=1", "y\tkey=i/z", "i/z")]
    assert statuses_of(tmp_path, naming, lines, rows) == [
        DONE, PENDING, DONE, DONE, DUPLICATE, COLLISION, COLLISION, PENDING, PENDING,
    ]  # fmt: skip


@pytest.mark.parametrize("rest", ["one", "a/one", "one?x=1"])
def test_record_of_a_name_that_no_line_gives_keeps_nobody_from_its_key(tmp_path: Path, rest: str) -> None:
    rows = [row(PREFIX + "uc?id=1", "images/one")]
    assert statuses_of(tmp_path, Naming(PREFIX, "images/", False), [PREFIX + rest], rows) == [PENDING]


def test_other_hosts_are_counted_one_by_one(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{PREFIX}a\nhttps://x/1\nhttp://y:80/1\nhttps://X/2\nhttps://x/1\nhttp://x/1#2\n")
    work = survey(urls, FLAT, none(tmp_path), lambda *a: None, lambda *a: None)
    assert work.by_host == {"x": 3, "y": 1}
    assert (work.other_hosts, work.malformed, work.duplicates) == (4, 0, 1)


def test_what_is_odd_is_noted_and_what_was_joined(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text(
        "".join(PREFIX + rest + "\n" for rest in ("a.jpg,cat", "b.jpg", "%62.jpg", "b.jpg", "c#x"))
    )
    work = surveyed(urls)
    assert (work.pending, work.duplicates) == (3, 2)
    (joined, odd, hashed) = sorted(work.notes.lines(), key=lambda line: line[2:])
    assert joined.startswith("1 other spellings") and joined.endswith(PREFIX + "%62.jpg")
    assert "a #" in odd + hashed and "a.jpg,cat" in odd + hashed
