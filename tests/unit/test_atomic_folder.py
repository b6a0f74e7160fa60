"""A folder that is replaced is the old one or the new one, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.atomic_file import replacing_folder
from cdn2s3.errors import FatalError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "map"
    found.mkdir()
    fill(found, "old1", "old2")
    return found


def test_new_folder_replaces_the_old_one_whole(folder: Path) -> None:
    with replacing_folder(folder) as new:
        fill(new, "new")
        assert names(folder) == {"old1", "old2"}
    assert names(folder) == {"new"}
    assert names(folder.parent) == {"map"}


def test_block_that_raises_leaves_the_old_one(folder: Path) -> None:
    with pytest.raises(KeyError), replacing_folder(folder) as new:
        fill(new, "new")
        raise KeyError
    assert names(folder) == {"old1", "old2"}
    assert names(folder.parent) == {"map"}


@pytest.mark.parametrize("leftover", ["map.tmp", "map.bak"])
def test_what_a_kill_left_is_cleared_away(folder: Path, leftover: str) -> None:
    (folder.parent / leftover).mkdir()
    fill(folder.parent / leftover, "torn")
    with replacing_folder(folder) as new:
        fill(new, "new")
    assert (names(folder), names(folder.parent)) == ({"new"}, {"map"})


def test_kill_between_the_two_renames_loses_nothing_of_the_next(folder: Path) -> None:
    folder.rename(folder.with_name("map.bak"))
    with replacing_folder(folder) as new:
        fill(new, "new")
    assert (names(folder), names(folder.parent)) == ({"new"}, {"map"})


def test_disk_that_refuses_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as here:
        here.setattr(Path, "replace", refuse)
        with pytest.raises(FatalError, match="No space left"), replacing_folder(folder) as new:
            fill(new, "new")
    assert names(folder) == {"old1", "old2"}
