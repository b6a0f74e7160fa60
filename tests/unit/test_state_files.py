"""Whatever a state file holds, its reader raises no more than its documented error, and reproduces what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.collection import checkpoint
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.files.lot_files import LotFiles
from cdn2s3.collection.url_list import UrlList
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.keys import InvalidUrl, KeyMaker, Naming
from cdn2s3.planning.survey import completed_before, survey
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from cdn2s3.state import ledger
from cdn2s3.state.files import lock_holder
from cdn2s3.state.run_binding import unfinished_collection
from cdn2s3.validation.expected import Expected, RecordedObjects
from tests.properties import examples

PREFIX = "https://cdn.example/"
URL = f"{PREFIX}a/b.jpg"
COMPLETED = f"{URL}\timages/b.jpg\t12\tetag\t-\timage/jpeg\t2026-11-20T10:15:00Z\n".encode()
FAILED = f"{URL}\tnot_found\t1\tsaid\t2026-11-20T10:15:00Z\n".encode()
HALF_WAY = Checkpoint(
    False, Counts(urls=1, items=1), 9, 0, {"asked": 3, "pages": 2, "empty": 0}, {"SOURCE": "api"}
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=4,
)


def spoilt(content: bytes) -> st.SearchStrategy[bytes]:
    """Return content as crashes, editors and disks may leave it, and what was never like it."""
    place = st.integers(0, len(content))
    pieces = [
        content,
        content[:-1],
        b"\n",
        b"\r\n",
        b"\t",
        b"\xef\xbb\xbf",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"9" * 5000,
    ]
    return st.one_of(
        st.binary(max_size=80),
        place.map(lambda at: content[:at]),
        st.tuples(place, st.binary(max_size=4)).map(
            lambda cut: content[: cut[0]] + cut[1] + content[cut[0] + 1 :]
        ),
        st.lists(st.sampled_from(pieces), max_size=6).map(b"".join),
        st.sampled_from([b"[" * 100_000, b"9" * 5000, b'{"complete":' * 30_000]),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def saved(folder: Path) -> bytes:
    path = folder / "saved.json"
    checkpoint.save(path, HALF_WAY)
    return path.read_bytes()


@examples(500)
@given(data=st.data())
def test_checkpoint_is_reproduced_or_refused(folder: Path, data: st.DataObject) -> None:
    path, again = folder / "checkpoint.json", folder / "again.json"
    path.write_bytes(content := data.draw(spoilt(saved(folder))))
    try:
        found = checkpoint.load(path)
    except FatalError:
        assert path.read_bytes() == content
        return
    assert found is not None
    checkpoint.save(again, found)
    assert checkpoint.load(again) == found


@examples(300)
@given(data=st.data())
def test_unfinished_collection_is_warned_of_or_not(folder: Path, data: st.DataObject) -> None:
    content = data.draw(spoilt(saved(folder)))
    (folder / "checkpoint.json").write_bytes(content)
    warning = unfinished_collection(folder / "urls.txt")
    try:
        found = json.loads(content)
        is_complete = bool(found.get("complete")) and not (
            found.get("evidence") == "" and found.get("doubts")
        )
    except (ValueError, AttributeError, RecursionError):
        is_complete = False
    assert (warning is None) == is_complete


def collection(**values: str) -> CollectionSettings:
    return build(
        CollectionSettings, {"API_BASE_URL": "https://api.test/images", **values}, {}, Path("collection.env")
    )


@pytest.mark.parametrize("style", ["page", "offset", "cursor", "next_url", "link_header", "none"])
@examples(200)
@given(
    asked=values
    | st.sampled_from(["https://api.test/images?page=2", "https://[", "//elsewhere.example", "?a"]),
    rest=st.fixed_dictionaries({}, optional={"pages": values | st.just(2), "empty": values | st.just(0)}),
)
def test_position_in_the_api_is_reproduced_or_refused(
    style: str, asked: object, rest: dict[str, Any]
) -> None:
    paging = Paging(collection(API_PAGINATION=style))
    try:
        position = paging.resume({"asked": asked, **rest})
    except ValueError:
        return
    assert {"asked": asked, **rest}.items() <= position._asdict().items()
    assert paging.resume(position._asdict()) == position
    assert paging.request(position).url.startswith("https://api.test/images")


@examples(200)
@given(
    stored=st.dictionaries(st.sampled_from(["files", "list_hash"]), values | st.sampled_from([0, 1, True]))
)
def test_position_in_the_lots_is_reproduced_or_refused(folder: Path, stored: dict[str, Any]) -> None:
    (folder / "lot.json").write_text("[]")
    lots = LotFiles(collection(SOURCE="lots", LOT_FILES=str(folder / "lot.json")))
    right = lots.first()
    for tried in (stored, {"list_hash": right.list_hash, **stored}):
        try:
            position = lots.resume(tried)
        except (ValueError, UsageError):
            continue
        assert position == right
        assert position._asdict() == tried


def is_todays(keys: KeyMaker, url: bytes, key: bytes) -> bool:
    try:
        return keys.address(url.decode("utf-8", "surrogateescape")).key.encode() == key
    except InvalidUrl:
        return False


@examples(300)
@given(content=spoilt(COMPLETED))
def test_completed_records_are_those_of_whole_lines(folder: Path, content: bytes) -> None:
    path = folder / "completed.txt"
    path.write_bytes(content)
    lines = content.split(b"\n")[:-1]
    keys = KeyMaker(Naming(PREFIX, "images/", preserve=False))
    rows = [fields[:2] for fields in map(ledger.completed_fields, lines) if fields]
    pairs = {(url, key) for url, key in rows if is_todays(keys, url, key)}
    index = completed_before(path, keys).index
    assert len(index) == len({key for _, key in pairs})
    assert all(index.is_completed(url, key, reversible=False) for url, key in pairs)
    # no line of it is of the other kind
    assert len(completed_before(path, keys, ledger.urls_in(path)).index) == len(index)


@examples(300)
@given(content=spoilt(FAILED))
def test_failed_records_are_those_of_whole_lines(folder: Path, content: bytes) -> None:
    path = folder / "failed_transfers.txt"
    path.write_bytes(content)
    lines = [line for line in content.split(b"\n")[:-1] if ledger.failed(line) is not None]
    assert [record.url for record in ledger.records(path)] == [
        line.partition(b"\t")[0].decode("utf-8", "surrogateescape") for line in lines
    ]
    rebuilt = ledger.rebuild(path, lambda url: False)
    kept = {line.partition(b"\t")[0]: line for line in lines}
    assert sorted(path.read_bytes().split(b"\n")[:-1]) == sorted(kept.values())
    assert sum(rebuilt.values()) == len(kept)


@examples(200)
@given(completed=spoilt(COMPLETED), failed=spoilt(FAILED))
def test_validation_counts_each_url_whatever_the_ledger_holds(
    folder: Path, completed: bytes, failed: bytes
) -> None:
    urls, keys = folder / "urls.txt", KeyMaker(Naming(PREFIX, "images/", preserve=False))
    urls.write_text(f"{URL}\n{PREFIX}c.jpg\n")
    (folder / "completed.txt").write_bytes(completed)
    (folder / "failed_transfers.txt").write_bytes(failed)
    recorded = RecordedObjects()
    before = completed_before(folder / "completed.txt", keys, observer=recorded)
    work = survey(urls, keys, before, lambda *_: None, lambda *_: None)
    expected = Expected(keys, work, before, recorded)
    expected.read_failed(folder / "failed_transfers.txt")
    assert expected.counts().urls == 2


@examples(300)
@given(content=spoilt(f"{URL}\n".encode()), length=st.integers(0, 60), urls=st.integers(0, 3))
def test_urls_txt_is_gone_on_from_as_recorded_or_refused(
    folder: Path, content: bytes, length: int, urls: int
) -> None:
    output = folder / "collected.txt"
    output.write_bytes(content)
    (folder / "rejected.txt").write_bytes(b"")
    so_far = HALF_WAY._replace(bytes=length, counts=Counts(urls=urls))
    try:
        with UrlList(collection(OUTPUT_FILE=str(output), URL_PREFIX=PREFIX), so_far):
            pass
    except FatalError:
        return
    whole = content[: content.rfind(b"\n", 0, length) + 1]  # the rest of a line is asked for again
    assert output.read_bytes() == whole
    assert whole.count(b"\n") == urls


@examples(150)
@given(content=spoilt(b"12345\n"))
def test_lock_file_that_nobody_holds_means_nothing(folder: Path, content: bytes) -> None:
    path = folder / "some.lock"
    path.write_bytes(content)
    assert lock_holder(path) is None
    assert path.read_bytes() == content
