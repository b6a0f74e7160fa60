"""SOURCE=files: which URLs each format gives, where a stopped collection goes on, what is doubted."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.expressions import ItemError
from cdn2s3.collection.files import export_files
from cdn2s3.collection.files.export_files import ExportFiles, FilePosition
from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

CDN = "https://cdn.example/"
A, B, C = f"{CDN}a.jpg", f"{CDN}b.png?v=1", f"{CDN}c.webp"


def exports(pattern: Path | str, **settings: str) -> ExportFiles:
    given = {"SOURCE": "files", "FILES": str(pattern), **settings}
    given.setdefault("URL_PREFIX", CDN)
    return ExportFiles(build(CollectionSettings, given, {}, Path("collection.env")))


def read_all(source: ExportFiles) -> tuple[list[Any], int]:
    """Return all URLs and the number of doubts."""
    position: FilePosition | None = source.first()
    urls: list[Any] = []
    doubts = 0
    while position is not None:
        batch = source.read(position)
        urls += batch.urls
        doubts += batch.unreadable
        position = batch.following
    return urls, doubts


def found(tmp_path: Path, content: str | bytes, name: str = "export", **settings: str) -> list[Any]:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    urls, doubts = read_all(exports(tmp_path / name, **settings))
    assert doubts == 0
    return urls


FEED = f"""<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:g="http://base.google.com/ns/1.0" xmlns:media="http://search.yahoo.com/mrss/"><channel>
<link>https://shop.example/</link><image><url>{A}</url><link>https://shop.example/about</link></image>
<item><link>https://shop.example/p/1</link><g:image_link>{CDN}uc?id=1&amp;w=2</g:image_link>
<enclosure url="{CDN}e?1" type="image/jpeg" length="1"/><enclosure url="{CDN}e.mp3" type="audio/mpeg"/>
<media:content medium="image" url="{CDN}m/1"/><media:thumbnail url="{CDN}t/1"/>
<description><![CDATA[<p>New: <a href="https://shop.example/p/1"><img src="{B}"></a></p>]]></description></item>
</channel></rss>"""
WORDPRESS = f"""<rss xmlns:wp="http://wordpress.org/export/1.2/" xmlns:content="http://purl.org/rss/1.0/">
<channel><wp:base_site_url>https://blog.example</wp:base_site_url>
<item><wp:attachment_url>{A}</wp:attachment_url></item>
<item><content:encoded><![CDATA[<img srcset="{B} 300w, {C} 600w" src="{A}">]]></content:encoded></item>
</channel></rss>"""

AUTO = [
    pytest.param(f"ID,Image Src,Link\r\n1,{A},https://shop.example/1\r\n2,{CDN}x,\r\n", [A, f"{CDN}x"], id="csv"),
    pytest.param(f'ID,Images\n1,"{A}, {B}"\n2,{C}\n', [A, B, C], id="csv-with-a-gallery"),
    pytest.param(f"id\timage\n1\t{A}\n2\t{B}\n", [A, B], id="tsv"),
    pytest.param(f'id;bild;"text"\n1;{A};"a;b"\n2;{B};"c\nd"\n', [A, B], id="semicolons-and-lines"),
    pytest.param(f"\ufeffimage|n\n{A}|1\n{B}|2\n", [A, B], id="bom-and-bars"),
    pytest.param(f"image,n\r{A},1\r{B},2\r", [A, B], id="old-mac"),
    pytest.param(f"image,n\r\n{A},1\r\n{B},ü\r\n".encode("utf-16"), [A, B], id="utf-16"),
    pytest.param(f"image,n\n{CDN}".encode() + b"\xfc.jpg,1\n" + B.encode() + b",2", [f"{CDN}ü.jpg", B], id="latin-1"),
    pytest.param(f"title,image\n12\" disk,{A}\n\"7\"\" disk\",{B}\n", [A, B], id="inches"),
    pytest.param(f"url\n{CDN}1\n{CDN}w_1,h_2/2\n", [f"{CDN}1", f"{CDN}w_1,h_2/2"], id="one-column"),
    pytest.param(f"{A},a\n{B},b\n", [A, B], id="no-header"),
    pytest.param(f"sep=;\r\nn;image\r\n1,5;{A}\r\n2,5;{B}\r\n".encode("utf-16-le"), [A, B], id="excel-sep"),
    pytest.param(f'\ufeff"sep=|"\nurl|n\n{C}|x\n{B}|y\n', [C, B], id="excel-sep-in-quotes"),
    pytest.param(f"{A}\n{CDN}2\n\n# done\n{C}", [A, f"{CDN}2", C], id="list"),
    pytest.param(
        f"{CDN}w_1,h_2/a.jpg\n{CDN}w_1,h_2/b.jpg\n",
        [f"{CDN}w_1,h_2/a.jpg", f"{CDN}w_1,h_2/b.jpg"],
        id="commas",
    ),
    pytest.param(
        json.dumps([{"image": A, "page": "https://shop.example/1"}, {"image": {"src": f"{CDN}2"}}]),
        [A, f"{CDN}2"],
        id="json",
    ),
    pytest.param(
        json.dumps({"products": [{"images": [{"src": A}, {"src": B}]}], "image": None}),
        [A, B],
        id="json-document",
    ),
    pytest.param(
        json.dumps([["id", "url", "tags"], [1, A, ["x"]], [2, B, None], [3, None, []]]), [A, B], id="json-rows"
    ),
    pytest.param(json.dumps([[A, f"{CDN}2"], [C]]), [A, f"{CDN}2", C], id="json-lists-of-urls"),
    pytest.param(json.dumps([A, f"{CDN}2"], indent=1), [A, f"{CDN}2"], id="json-list"),
    pytest.param(f'{{"i": "{A}"}}\n{{"i": "{B}"}} {{"i": "{C}"}}\n[{{"i":"{A}"}}]', [A, B, C, A], id="json-lines"),
    pytest.param(json.dumps({"text": f"![x]({A}) and <b>{B}</b>, see {C}."}), [A, B, C], id="prose"),
    pytest.param(f'id,meta\n1,"{{""image"": ""{A}"", ""page"": ""https://shop.example/""}}"\n', [A], id="json-in-csv"),
    pytest.param(FEED, [A, f"{CDN}uc?id=1&w=2", f"{CDN}e?1", f"{CDN}m/1", f"{CDN}t/1", B], id="feed"),
    pytest.param(WORDPRESS, [A, B, C, A], id="wordpress"),
    pytest.param("\n\n" + WORDPRESS.replace("<item>", "<item>\x0b"), [A, B, C, A], id="wordpress-not-quite-xml"),
    pytest.param(
        f'<urlset xmlns="s" xmlns:image="i"><url><loc>https://shop.example/1</loc><image:image><image:loc>{CDN}1</image:loc>'
        f"</image:image></url><url><loc>{A}</loc></url></urlset>",
        [f"{CDN}1", A],
        id="sitemap",
    ),
    pytest.param(
        f'<!DOCTYPE html><html><head><meta property="og:image" content="{A}"><link href="x.css"></head>'
        f'<body><a href="/about">x</a><a href="{B}">y</a><img src="{CDN}1?a=1&amp;b=2" srcset="{C} 2x"></body></html>',
        [A, B, f"{CDN}1?a=1&b=2", C],
        id="html",
    ),
    pytest.param(f"\n<img src='{A}'>", [A], id="html-fragment"),
    pytest.param(f"---\ntitle: x\n---\n<p>y</p><IMG src='{A}'>", [A], id="html-with-a-head"),
    pytest.param(f"<html><style>a {{ background: url('{A}'), url(x.css) }}</style></html>", [A], id="html-style"),
    pytest.param(json.dumps({"text": f"<p>x</p><img src='{A}'> and {B}"}), [A, B], id="html-and-prose"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "urls"), AUTO)
def test_images_are_found_without_a_setting(tmp_path: Path, content: str | bytes, urls: list[str]) -> None:
    assert found(tmp_path, content) == urls


@pytest.mark.parametrize(("content", "urls"), AUTO)
def test_stop_after_any_record_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, urls: list[str]
) -> None:
    monkeypatch.setattr(export_files, "_BATCH", 1)
    for number in (1, 2):
        (tmp_path / f"{number}.export").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    position: FilePosition | None = exports(tmp_path / "*.export").first()
    taken: list[Any] = []
    while position is not None:
        source = exports(tmp_path / "*.export")  # a new process
        batch = source.read(source.resume(json.loads(json.dumps(position._asdict()))))
        taken += batch.urls
        position = batch.following
    assert taken == urls * 2


NAMED = [
    pytest.param(f"a,b,c\n{A},{B},{C}\n", "a,c", [A, C], id="csv"),
    pytest.param(f"Image URL (main),b\n{A},{B}\n", "Image URL (main)", [A], id="csv-name-like-an-expression"),
    pytest.param(f"A,b\n{A},{B}\n", "a", [A], id="csv-case"),
    pytest.param(f"{A},{B}\n{C},x\n", "1", [A, C], id="csv-number"),
    pytest.param(f"a\n{A}\n//c.example/x.jpg\nN/A\n\"\"\n", "a", [A, "//c.example/x.jpg", None, None], id="csv-no-url"),
    pytest.param(f"a,b\n{A},1\n{B},2\n", "[a, b == '1' && a][]", [A, A, B, None], id="csv-expression"),
    pytest.param(json.dumps([{"a": {"x": A}, "b": B}, {"c": [{"x": [B, None]}]}]), "x", [A, B, None], id="json-depth"),
    pytest.param(json.dumps([{"a": {"x": A}}, {"b": {"x": B}}]), "a.x", [A], id="json-path"),
    pytest.param(json.dumps([{"a": {"src": A, "page": "https://x.example/", "w": 5}}]), "a", [A], id="json-object"),
    pytest.param(json.dumps({"items": [{"i": A}, {"i": ""}]}), "items[].i", [A, None], id="json-expression"),
    pytest.param(json.dumps([{"i": {"u": A}}, {"i": {"u": B}}]), "[].i.u", [A, B], id="json-expression-of-the-list"),
    pytest.param(json.dumps([{"i": [{"u": A}]}, {"i": [{"u": B}]}]), "i[].u", [A, B], id="json-expression-of-a-record"),
    pytest.param(json.dumps({"x1": {"i": [A]}, "x2": {"i": [B]}}), "i[]", [A, B], id="json-names-are-the-keys"),
    pytest.param(json.dumps({"x1": {"i": A}, "x2": {"i": B}}), "*.i", [A, B], id="json-values"),
    pytest.param(FEED, "g:image_link", [f"{CDN}uc?id=1&w=2"], id="xml-element"),
    pytest.param(FEED, "image_link", [f"{CDN}uc?id=1&w=2"], id="xml-without-its-prefix"),
    pytest.param(FEED, "media:thumbnail@url", [f"{CDN}t/1"], id="xml-attribute"),
    pytest.param(FEED, "media:content", [f"{CDN}m/1"], id="xml-element-with-an-address"),
    pytest.param(WORDPRESS, "content:encoded", [B, C, A], id="xml-with-html"),
    pytest.param('<p><img data-zoom="/z.jpg" src="a.jpg"></p>', "data-zoom", ["/z.jpg"], id="html-attribute"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "columns", "urls"), NAMED)
def test_named_fields(tmp_path: Path, content: str, columns: str, urls: list[Any]) -> None:
    assert found(tmp_path, content, URL_COLUMNS=columns) == urls


KEYS = [
    pytest.param(
        f"{A},a b.jpg\n{B},c/d.png\n", {"KEY_COLUMN": "2"},
        [f"{A}\tkey=a b.jpg", f"{B}\tkey=c/d.png"],
        id="csv",
    ),
    pytest.param(f"image,n\n{A},\"x\ty\"\n", {"KEY_COLUMN": "n"}, [f"{A}\tkey=x%09y"], id="csv-encoded"),
    pytest.param(json.dumps([{"n": 7, "image": {"src": A}}, {"image": B, "n": "8.png"}]), {"KEY_COLUMN": "n"},
                 [f"{A}\tkey=7", f"{B}\tkey=8.png"], id="json"),
    pytest.param(json.dumps({"images": [{"n": "a", "src": A}, {"n": "b", "src": B}]}), {"KEY_COLUMN": "n"},
                 [f"{A}\tkey=a", f"{B}\tkey=b"], id="json-inner"),
    pytest.param(json.dumps([{"s": [A, B], "n": ["a", "b"]}]), {"URL_COLUMNS": "s[]", "KEY_COLUMN": "n[]"},
                 [f"{A}\tkey=a", f"{B}\tkey=b"], id="json-expressions"),
    pytest.param(f'<x><i n="a"><image>{A}</image></i><i><image>{B}</image><n>b</n></i></x>', {"KEY_COLUMN": "n"},
                 [f"{A}\tkey=a", f"{B}\tkey=b"], id="xml"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "settings", "lines"), KEYS)
def test_key_column_names_the_object(
    tmp_path: Path, content: str, settings: dict[str, str], lines: list[str]
) -> None:
    assert found(tmp_path, content, **settings) == lines


def test_url_without_a_key_is_not_moved_under_another_one(tmp_path: Path) -> None:
    first, second = found(tmp_path, f"image,n\n{A},\n{B},b\n", KEY_COLUMN="n")
    assert isinstance(first, ItemError)
    assert A in str(first)
    assert second == f"{B}\tkey=b"


def test_only_column_of_urls_is_taken_where_they_are_under_the_prefix(tmp_path: Path) -> None:
    content = f"id,url\n1,{CDN}uc?id=1\n2,{CDN}uc?id=2\n"
    assert found(tmp_path, content) == [f"{CDN}uc?id=1", f"{CDN}uc?id=2"]
    assert found(tmp_path, content, URL_PREFIX="https://img.example/") == []


def test_base_completes_names_and_paths(tmp_path: Path) -> None:
    content = f"base_image\n/m/b/1.jpg\n{A}\n//img.example/2.jpg\n3.jpg\n"
    assert found(tmp_path, content, API_URL_BASE=f"{CDN}media/") == [
        f"{CDN}media/m/b/1.jpg", A, "https://img.example/2.jpg", f"{CDN}media/3.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", ["", "base_image,more_images"])
def test_base_completes_each_of_several_paths_in_a_field(tmp_path: Path, columns: str) -> None:
    content = (
        'base_image,more_images\n/m/1.jpg,"/m/1.jpg,/m/2.png?v=1"\nno_selection,\n/w_1,"/m/3.jpg;m/4.jpg"\n'
    )
    urls = found(tmp_path, content, API_URL_BASE=CDN, URL_COLUMNS=columns)
    wanted = [f"{CDN}m/{name}" for name in ("1.jpg", "1.jpg", "2.png?v=1", "3.jpg", "4.jpg")]
    assert [url for url in urls if url and url != f"{CDN}w_1"] == wanted


def test_template_builds_urls_from_the_records_of_a_document(tmp_path: Path) -> None:
    content = json.dumps({"photos": [{"id": 1}, {"id": None}, {"id": 3}], "page": {"id": 9}})
    template = f"{CDN}{{id}}.jpg"
    urls = [f"{CDN}1.jpg", None, f"{CDN}3.jpg"]
    assert found(tmp_path, content, API_URL_TEMPLATE=template, URL_COLUMNS="photos[]") == urls
    one = json.dumps({"photos": [{"id": 1}]})
    assert found(tmp_path, one, API_URL_TEMPLATE=template) == [f"{CDN}1.jpg"]


@pytest.mark.parametrize(
    "content",
    ["server,id\n7,a b\n8,c\n", '{"server": 7, "id": "a b"}\n{"server": 8, "id": "c"}\n'],
    ids=["csv", "json"],
)
def test_template_builds_urls_from_records(tmp_path: Path, content: str) -> None:
    assert found(tmp_path, content, API_URL_TEMPLATE=f"{CDN}{{server}}/{{id}}.jpg") == [
        f"{CDN}7/a%20b.jpg",
        f"{CDN}8/c.jpg",
    ]


COMPRESSED = [gzip.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("compress", COMPRESSED, ids=["gz", "bz2", "xz"])
def test_compression_is_found_by_its_magic_and_a_cut_file_is_a_doubt(tmp_path: Path, compress: Any) -> None:
    lines = "".join(f"{CDN}{number:08}{number * 7919 % 1000003}.jpg\n" for number in range(20_000))
    data = compress(f"image\n{lines}".encode())
    assert len(found(tmp_path, data, "no-ending")) == 20_000
    (tmp_path / "cut.csv").write_bytes(data[: len(data) // 2])
    urls, doubts = read_all(exports(tmp_path / "cut.csv"))
    assert doubts == 1
    assert 0 <= len(urls) < 20_000


def test_zstandard_and_a_cut_one(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    frame = zstandard.compress(f"image\n{A}\n".encode()) + zstandard.compress(f"{B}\n".encode())
    assert found(tmp_path, frame, "x.csv.zst") == [A, B]
    (tmp_path / "cut.csv.zst").write_bytes(frame[:-3])
    assert read_all(exports(tmp_path / "cut.csv.zst"))[1] == 1


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = {"image_url": [A, None, C], "page": ["https://x.example/"] * 3, "more": [[B], [], None]}
    parquet.write_table(pyarrow.table(rows), str(tmp_path / "x"), row_group_size=1)
    assert read_all(exports(tmp_path / "x"))[0] == [A, B, C]
    assert read_all(exports(tmp_path / "x", URL_COLUMNS="image_url,more"))[0] == [A, B, None, C, None]
    monkeypatch.setattr(export_files, "_BATCH", 2)
    source = exports(tmp_path / "x")
    following = source.read(source.first()).following
    assert exports(tmp_path / "x").read(following).urls == [C]


DOUBTFUL = [
    pytest.param('[{"image": "' + A + '"}, {"ima', [A], id="json-ends-early"),
    pytest.param(f'{{"image": "{A}"}}\n{{"image": \n{{"image": "{B}"}}\n', [A, B], id="json-line"),
    pytest.param('{"image": "' + A + '" "x": 1}', [A], id="json-without-comma"),
    pytest.param(f"<rss><image>{A}</image><x>&nbsp;</x></rss>", [A], id="xml-not-well-formed"),
    pytest.param(f"<rss><image>{A}</image>", [A], id="xml-ends-early"),
    pytest.param(f'<!DOCTYPE r [<!ENTITY a "b">]><r><image>{A}</image></r>', [], id="xml-with-entities"),
    pytest.param(f'image,text\n{A},x\n{B},"never closed\nand,y\n', [A, B], id="csv-open-quote"),
    pytest.param("just some words\nand more of them\n", [], id="no-format"),
    pytest.param(b"PK\x03\x04zip", [], id="zip"),
    pytest.param(b"\x00\x01\x02\x03" * 9, [], id="binary"),
    pytest.param(
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        [],
        id="one-page-of-a-listing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "urls"), DOUBTFUL)
def test_what_cannot_be_read_is_a_doubt_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, urls: list[str]
) -> None:
    (tmp_path / "1").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "2").write_text(f"{C}\n", encoding="utf-8")
    taken, doubts = read_all(exports(tmp_path / "*"))
    assert taken == [*urls, C]
    assert doubts == 1
    assert str(tmp_path / "1") in caplog.text


def test_name_that_no_file_has_is_a_doubt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"image": A}]), encoding="utf-8")
    assert read_all(exports(tmp_path / "x.json", URL_COLUMNS="image,thmb")) == ([A], 1)
    assert "'thmb'" in caplog.text


def test_column_that_the_header_lacks_is_fixable(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"id,image_url\n1,{A}\n", encoding="utf-8")
    source = exports(tmp_path / "x.csv", URL_COLUMNS="imge_url")
    with pytest.raises(UsageError, match="did you mean 'image_url'"):
        source.read(source.first())


def test_later_file_without_the_column_is_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(f"id,image\n1,{A}\n", encoding="utf-8")
    (tmp_path / "2.csv").write_text(f"id,picture\n1,{B}\n", encoding="utf-8")
    assert read_all(exports(tmp_path / "*.csv", URL_COLUMNS="image")) == ([A], 1)


def test_keys_of_a_listing_become_urls_under_the_prefix(tmp_path: Path) -> None:
    content = (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false'
        "</IsTruncated><Contents><Key>a b/ü&amp;1.jpg</Key></Contents>"
        "<Contents><Key>folder/</Key></Contents></ListBucketResult>"
    )
    assert found(tmp_path, content, URL_PREFIX=CDN) == [f"{CDN}a%20b/%C3%BC&1.jpg"]


def test_inventory_lists_the_files_beside_its_manifest(tmp_path: Path) -> None:
    rows = (
        '"b","a+b%2Bc.jpg","true","false"\n"b","old.jpg","false","false"\n'
        '"b","gone.jpg","true","true"\n"b","f/","true",""\n'
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/1.csv.gz").write_bytes(gzip.compress(rows.encode()))
    manifest = {"sourceBucket": "b", "destinationBucket": "arn:aws:s3:::inv", "fileFormat": "CSV",
                "fileSchema": "Bucket, Key, IsLatest, IsDeleteMarker",
                "files": [{"key": "inv/data/1.csv.gz"}]}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert read_all(exports(tmp_path / "manifest.json", URL_PREFIX=CDN)) == ([f"{CDN}a%20b+c.jpg"], 0)
    manifest["files"] = [{"key": "inv/data/2.csv.gz"}]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UsageError, match=r"aws s3 cp s3://inv/inv/data/2\.csv\.gz"):
        exports(tmp_path / "manifest.json")


def test_files_of_the_collection_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("list.txt", "urls.txt", "rejected.txt"):
        Path(name).write_text(f"{CDN}{name}.jpg\n", encoding="utf-8")
    assert read_all(exports("*.txt"))[0] == [f"{CDN}list.txt.jpg"]


def test_no_file_and_changed_files_are_fixable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="matches no file"):
        exports(tmp_path / "*.csv")
    (tmp_path / "1.csv").write_text(f"image\n{A}\n", encoding="utf-8")
    stored = exports(tmp_path / "*.csv").first()._asdict()
    (tmp_path / "1.csv").write_text(f"image\n{A}\n{B}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="--restart"):
        exports(tmp_path / "*.csv").resume(stored)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"KEY_COLUMN": "x"}, "KEY_COLUMN"),
        ({"URL_COLUMNS": "a[].b"}, "URL_COLUMNS"),
        ({"API_URL_TEMPLATE": f"{CDN}{{a}}"}, "API_URL_TEMPLATE"),
    ],
)
def test_setting_that_a_format_has_no_use_for_is_fixable(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    (tmp_path / "x").write_text(f"{A}\n", encoding="utf-8")
    source = exports(tmp_path / "x", **settings)
    with pytest.raises(UsageError, match=named):
        source.read(source.first())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    record = json.dumps({"image": A, "text": "x" * 1000})
    big = {
        "x.json": '{"products": [' + ",".join([record] * 6_000) + "]}",
        "x.csv": "image,text\n" + f"{A},{'x' * 1000}\n" * 6_000,
        "x.xml": "<r>" + f"<i><image>{A}</image><t>{'x' * 1000}</t></i>" * 6_000 + "</r>",
    }
    for name, content in big.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        source = exports(tmp_path / name)
        position: FilePosition | None = source.first()
        count = 0
        tracemalloc.start()
        while position is not None:
            batch = source.read(position)
            count += len(batch.urls)
            position = batch.following
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 6_000
        assert peak < 30_000_000 if name == "x.json" else peak < 4_000_000, name


def test_progress_is_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "_BATCH", 1)
    content = f"image\n{A}\n{B}\n"
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(content, encoding="utf-8")
    source = exports(tmp_path / "*.csv")
    seen = []
    position: FilePosition | None = source.first()
    while position is not None:
        batch = source.read(position)
        seen.append(batch.progress)
        position = batch.following
    size = len(content)
    assert seen[0] == (len(f"image\n{A}\n"), 2 * size, "bytes")
    assert seen[-1] == (2 * size, 2 * size, "bytes")
