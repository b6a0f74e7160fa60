"""A file that is replaced has its bytes on the disk before it has its name, and its name before that counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdn2s3.atomic_file import replacing, replacing_folder
from cdn2s3.state.files import cut_back

BODY = b"row\n" * 1_000


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, in order: `sync NAME SIZE` of a file, `sync FOLDER/`, `rename NAME`."""
    found: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        found.append(f"sync {path.name}/" if path.is_dir() else f"sync {path.name} {path.stat().st_size}")
        fsync(fd)

    def noted_replace(path: Path, target: Path) -> Path:
        found.append(f"rename {path.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return found


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replaced"])
def test_all_bytes_are_synced_before_the_rename_and_the_rename_after_it(
    tmp_path: Path, events: list[str], before: bytes | None
) -> None:
    if before is not None:
        (tmp_path / "urls.txt").write_bytes(before)
    with replacing(tmp_path / "urls.txt") as file:
        file.write(BODY)
    assert (tmp_path / "urls.txt").read_bytes() == BODY
    assert events == [f"sync urls.txt.tmp {len(BODY)}", "rename urls.txt.tmp", f"sync {tmp_path.name}/"]


def test_folder_is_renamed_when_its_files_are_synced(tmp_path: Path, events: list[str]) -> None:
    with replacing_folder(tmp_path / "map") as new, replacing(new / "a.gz") as file:
        file.write(BODY)
    assert (tmp_path / "map" / "a.gz").read_bytes() == BODY
    assert events == [
        f"sync a.gz.tmp {len(BODY)}", "rename a.gz.tmp", "sync map.tmp/", "rename map.tmp", f"sync {tmp_path.name}/"
    ]  # fmt: skip


def test_file_that_is_cut_back_is_synced_at_its_new_length(tmp_path: Path, events: list[str]) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(BODY)
    assert cut_back(path, 40) == len(BODY) - 40
    assert path.read_bytes() == BODY[:40]
    assert events == ["sync urls.txt 40"]
