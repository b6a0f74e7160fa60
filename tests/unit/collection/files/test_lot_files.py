"""Lot files: which ones, in what order, what is taken from them, and what a changed list does."""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.files.lot_files import LotFiles, LotPosition, values_of
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

KEYS = frozenset({"image_url", "thumb_url"})


def lots(pattern: str) -> LotFiles:
    return LotFiles(
        build(CollectionSettings, {"SOURCE": "lots", "LOT_FILES": pattern}, {}, Path("collection.env"))
    )


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def read_all(source: LotFiles) -> list[Any]:
    position, found = source.first(), []
    while position is not None:
        batch = source.read(position)
        found += batch.urls
        position = batch.following
    return found


VALUES: list[Any] = [
    pytest.param({"image_url": "1", "thumb_url": "2"}, ["1", "2"], id="flat"),
    pytest.param([{"thumb_url": "2", "image_url": "1"}], ["2", "1"], id="in-their-order"),
    pytest.param({"lot": {"images": [{"image_url": "1"}, {"image_url": "2"}]}}, ["1", "2"], id="deep"),
    pytest.param({"image_url": ["1", "2"]}, ["1", "2"], id="list-of-urls"),
    pytest.param({"image_url": {"thumb_url": "1", "size": 5}}, ["1"], id="nested-keys"),
    pytest.param({"image_url": None, "thumb_url": 5}, [None, 5], id="no-texts"),
    pytest.param({"url": "1", "IMAGE_URL": "2"}, [], id="other-keys"),
    pytest.param("image_url", [], id="a-text"),
]


@pytest.mark.parametrize(("content", "values"), VALUES)
def test_values_of_the_keys_at_any_depth(content: Any, values: list[Any]) -> None:
    assert list(values_of(KEYS, content)) == values


def test_files_come_in_the_order_of_their_paths_bytes(tmp_path: Path) -> None:
    names = [
        "b/lot_1_images.json",
        "a/lot_10_images.json",
        "a/lot_2_images.json",
        "a/x/y/lot_1_images.json",
        "é/lot_1_images.json",
        "Z/lot_1_images.json",
    ]
    for name in names:
        write(tmp_path / name, {"image_url": name})
    write(tmp_path / "a/other.json", {"image_url": "not a lot"})
    (tmp_path / "lot_0_images.json").mkdir()
    found = read_all(lots(f"{tmp_path}/**/lot_*_images.json"))
    assert found == sorted(names, key=os.fsencode)


def test_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lot_\xff_images.json"))
    write(path, {"image_url": "1"})
    assert read_all(lots(f"{tmp_path}/lot_*_images.json")) == ["1"]


def test_glob_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data/lots/7/lot_1_images.json", {"image_url": "1"})
    monkeypatch.chdir(tmp_path)
    assert read_all(lots("data/lots/**/lot_*_images.json")) == ["1"]


def test_empty_glob_is_fixable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"LOT_FILES.*matches no file"):
        lots(f"{tmp_path}/**/lot_*_images.json")


UNREADABLE = [
    pytest.param(b"", id="empty"),
    pytest.param(b'{"image_url": "x"', id="cut"),
    pytest.param(b'{"image_url": "\xff"}', id="latin-1"),
    pytest.param(b"[" * 100_000, id="nested-without-end"),
    pytest.param(None, id="gone"),
]


@pytest.mark.parametrize("content", UNREADABLE)
def test_unreadable_file_is_named_and_counted_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    for number in (1, 2, 3):
        write(tmp_path / f"lot_{number}_images.json", {"image_url": str(number)})
    source = lots(f"{tmp_path}/lot_*_images.json")
    broken = tmp_path / "lot_2_images.json"
    if content is None:
        broken.unlink()
    else:
        broken.write_bytes(content)
    first, second = source.first(), source.first()._replace(files=1)
    assert source.read(first).unreadable == 0
    batch = source.read(second)
    assert (batch.urls, batch.unreadable, batch.following.files) == ([], 1, 2)
    assert str(broken) in caplog.text
    assert read_all(source) == ["1", "3"]


def test_null_urls_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "lot_1_images.json", [{"image_url": "1", "thumb_url": None}])
    source = lots(f"{tmp_path}/lot_*_images.json")
    batch = source.read(source.first())
    assert (batch.items, batch.without_url, batch.following) == (2, 1, None)


def test_position_survives_the_checkpoint(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"lot_{number}_images.json", {})
    position = lots(f"{tmp_path}/lot_*_images.json").first()._replace(files=1)
    assert lots(f"{tmp_path}/lot_*_images.json").resume(position._asdict()) == position


def test_changed_list_is_fixable_and_names_restart(tmp_path: Path) -> None:
    write(tmp_path / "lot_1_images.json", {})
    position = lots(f"{tmp_path}/lot_*_images.json").first()
    write(tmp_path / "lot_2_images.json", {})
    with pytest.raises(UsageError, match="--restart"):
        lots(f"{tmp_path}/lot_*_images.json").resume(position._asdict())


@pytest.mark.parametrize("files", [1, -1, "0", None, True], ids=str)
def test_position_that_is_none_is_refused(tmp_path: Path, files: Any) -> None:
    write(tmp_path / "lot_1_images.json", {})
    source = lots(f"{tmp_path}/lot_*_images.json")
    with pytest.raises(ValueError, match="position"):
        source.resume({"files": files, "list_hash": source.first().list_hash})


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files_read(tmp_path: Path) -> None:
    for number in range(300):
        write(tmp_path / f"lot_{number}_images.json", [{"image_url": "u" * 100}] * 100)
    source = lots(f"{tmp_path}/lot_*_images.json")
    gc.freeze()  # what other tests have left: collecting is quick then
    tracemalloc.start()
    position: LotPosition | None = source.first()
    while position is not None:
        position = source.read(position).following
        gc.collect()  # whether garbage waits for its turn is not the question
    gc.unfreeze()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # one file is 50 KB, all of them are 4 MB


def test_lot_may_say_in_several_ways_that_there_is_no_image(tmp_path: Path) -> None:
    write(tmp_path / "lot_1_images.json", [{"image_url": value} for value in ("1", "", False, None, " ", 5)])
    source = lots(f"{tmp_path}/*.json")
    batch = source.read(source.first())
    assert batch.urls == ["1", None, None, None, None, 5]
    assert batch.without_url == 4
