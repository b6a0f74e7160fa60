"""What a collection says at its end of odd and of rejected URLs."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.collection.noted import notes_of
from cdn2s3.settings.declarations import CollectionSettings
from cdn2s3.settings.loading import build

PREFIX = "https://cdn.example/"


def test_odd_and_rejected_urls_are_counted_with_an_example_each(tmp_path: Path) -> None:
    values = {"SOURCE": "lots", "OUTPUT_FILE": str(tmp_path / "urls.txt"), "URL_PREFIX": PREFIX}
    settings = build(CollectionSettings, values, {}, Path("collection.env"))
    assert notes_of(settings) == []
    (tmp_path / "urls.txt").write_text(f"{PREFIX}a.jpg\n{PREFIX}b.jpg,cat\n{PREFIX}c.png,dog?k=s3cret\n")
    (tmp_path / "rejected.txt").write_text(
        "https://x/1.jpg?k=s3cret\tanother host, x: not under URL_PREFIX\n"
        "https://x/2.jpg\tanother host, x: not under URL_PREFIX\n{}\tnot a string\n"
    )
    said = notes_of(settings)
    assert said[0].startswith("2 with ") and said[0].endswith(f"for example {PREFIX}b.jpg,cat")
    assert said[1:] == [
        "2 rejected: another host, x: not under URL_PREFIX; for example https://x/1.jpg?***",
        "1 rejected: not a string; for example {}",
    ]
