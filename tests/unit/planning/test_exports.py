"""A list stays a list; what plainly is an export is named with the command that reads it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.planning.exports import export_in, refuse_exports

U = "https://cdn.example/a.jpg"


@pytest.mark.parametrize(
    ("content", "what", "columns"),
    [
        pytest.param(f"id,image_url,title\n1,{U},x\n", "a table (CSV)", ("image_url",), id="CSV"),
        pytest.param(f"image_url,title\n{U},x\n", "a table (CSV)", ("image_url",), id="URL first"),
        pytest.param(f"ID;Bild;Image Src\r\n1;;{U}\r\n", "a table (CSV)", ("Image Src",), id="semicolons"),
        pytest.param(f"id\tthumb\talt\n1\t{U}\tx\n", "a table with tabs (TSV)", ("thumb",), id="TSV"),
        pytest.param(f'"url"\n"{U}"\n', "a table (CSV)", ("url",), id="one quoted column"),
        pytest.param(f"17,{U},x\n18,{U},y\n", "a table (CSV)", (), id="no header"),
        pytest.param(f'{{"url": "{U}"}}\n', "JSON", (), id="JSON Lines"),
        pytest.param(f'\ufeff \n[\n"{U}"]', "JSON", (), id="JSON with a BOM"),
        pytest.param('<?xml version="1.0"?>\n<urlset>', "XML or HTML", (), id="sitemap"),
        pytest.param("<!doctype html>", "XML or HTML", (), id="HTML"),
    ],
)
def test_export_is_recognized(content: str, what: str, columns: tuple[str, ...]) -> None:
    found = export_in(content.encode())
    assert found is not None
    assert (found.what, found.columns) == (what, columns)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n",
        f"{U}\n{U}\n",
        f"{U},cat\n{U}\n",
        f"{U}\tkey=a,b.jpg\n",
        f"{U}\tnot_found\t1\tthe CDN answered 404\t2026-11-20T10:15:00Z\n",
        f"image_url\n{U}\n",
        f"# my images, of Friday\n{U}\n{U}\n",
        f"//cdn.example/a.jpg\n{U}\n",
        f" {U}\n",
        "a.jpg\nb.jpg\n",
        "\x00\xff",
    ],
)
def test_list_is_none(content: str) -> None:
    assert export_in(content.encode()) is None


def test_message_says_what_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(f"id,image_url\n1,{U}\n")
    with pytest.raises(UsageError) as refused:
        refuse_exports(path)
    said = str(refused.value)
    assert "is a table (CSV), not a list with one URL a line" in said
    assert f"SOURCE=files and FILES={path} and URL_COLUMNS=image_url " in said
    assert "`python collect_urls.py`" in said
    path.write_bytes(gzip.compress(f"{U}\n".encode()))
    with pytest.raises(UsageError, match="compressed"):
        refuse_exports(path)
