"""Images told from error pages, whole ones from cut ones: the demo's real files, headers, and fuzz."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.cdn.image_type import content_type, is_html, is_whole
from tests import ROOT
from tests.fakes.images import jpeg
from tests.properties import examples

FILES = sorted((ROOT / "demo" / "images").glob("*.*[!d]"))
TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
BMP = (
    b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, *[0] * 4)
)
BMP += bytes(58 - len(BMP))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>\n'
ILLUSTRATOR = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<!-- Generator: x -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"'
    b' "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [\n<!ENTITY ns_svg "http://www.w3.org/2000/svg">\n]>\n<svg>'
)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    box = major + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", len(box) + 8) + b"ftyp" + box + b"\0\0\0\x08free"


def icon(kind: int = 1, count: int = 1, offset: int = 22) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, kind, count, 16, 16, 0, 0, 1, 32, 40, offset) + bytes(40)


assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_file_is_recognised_and_whole(path: Path) -> None:
    body = path.read_bytes()
    assert content_type(body) == TYPES[path.suffix]
    assert content_type(memoryview(body)) == TYPES[path.suffix]
    assert is_whole(body, body, len(body), TYPES[path.suffix])
    assert not is_html(body)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_file_cut_short_is_not_whole(path: Path) -> None:
    body = path.read_bytes()
    for tenth in range(1, 10):
        cut = body[: len(body) * tenth // 10]
        assert not is_whole(cut, cut, len(cut), TYPES[path.suffix]), f"cut at {tenth}0 %"
    assert not is_whole(body[:-1], body[:-1], len(body) - 1, TYPES[path.suffix])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_file_is_judged_by_its_ends_alone_where_the_format_has_an_end_mark(path: Path) -> None:
    body = path.read_bytes()
    whole = is_whole(body[:64], body[-64:], len(body), TYPES[path.suffix])
    assert whole is (path.suffix != ".avif")  # boxes can only be walked in the whole body


STARTS = [
    pytest.param(jpeg("x", 1000), "image/jpeg", id="jpeg"),
    pytest.param(b"\xff\xd8\xff", "image/jpeg", id="three bytes of a jpeg"),
    pytest.param(b"\xff\xd8", None, id="two bytes of a jpeg"),
    pytest.param(b"GIF87a", "image/gif", id="gif87a"),
    pytest.param(b"GIF88a", None, id="gif that is none"),
    pytest.param(BMP, "image/bmp", id="bmp"),
    pytest.param(BMP[:17], None, id="bmp too short to tell"),
    pytest.param(b"BMW drivers wanted, apply now", None, id="text that begins with BM"),
    pytest.param(b"II*\0\x08\0\0\0", "image/tiff", id="tiff little endian"),
    pytest.param(b"MM\0*\0\0\0\x08", "image/tiff", id="tiff big endian"),
    pytest.param(b"MM\0+\0\x08\0\0", "image/tiff", id="bigtiff"),
    pytest.param(b"RIFF\x10\0\0\0WAVEfmt ", None, id="wave"),
    pytest.param(b"RIFF\x10\0\0\0WEB", None, id="webp too short to tell"),
    pytest.param(ftyp(b"avif"), "image/avif", id="avif"),
    pytest.param(ftyp(b"heic"), "image/heic", id="heic"),
    pytest.param(ftyp(b"mp42", b"isom"), None, id="video"),
    pytest.param(ftyp(b"xxxx", b"mif1", b"avif"), "image/heif", id="first known compatible brand"),
    pytest.param(b"\0\0\0\x08ftyp", None, id="ftyp without brands"),
    pytest.param(b"\xff\xff\xff\xffftypxxxx" + b"\0" * 8, None, id="ftyp of 4 GB"),
    pytest.param(SVG, "image/svg+xml", id="svg"),
    pytest.param(b"\xef\xbb\xbf\r\n  " + SVG, "image/svg+xml", id="svg after BOM and blanks"),
    pytest.param(ILLUSTRATOR, "image/svg+xml", id="svg with entities in its doctype"),
    pytest.param(b"<!-- a --><!-- <svg> -->" + SVG, "image/svg+xml", id="svg after comments"),
    pytest.param(b"<!-- <svg> -->", None, id="svg in a comment only"),
    pytest.param(b"<svgx>", None, id="another element"),
    pytest.param(b"<html><svg>", None, id="svg within html"),
    pytest.param(icon(), "image/x-icon", id="ico"),
    pytest.param(icon(kind=2), "image/x-win-bitmap", id="cur"),
    pytest.param(icon(kind=3), None, id="neither icon nor cursor"),
    pytest.param(icon(count=0), None, id="icon without images"),
    pytest.param(icon(offset=3), None, id="icon whose image lies in its directory"),
    pytest.param(bytes(64), None, id="zeros"),
    pytest.param(b"\xff\x0a\xfa\x1f", "image/jxl", id="jpeg xl, bare"),
    pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n" + ftyp(b"jxl "), "image/jxl", id="jpeg xl, boxed"),
    pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n" + ftyp(b"jp2 "), "image/jp2", id="jpeg 2000"),
    pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n" + ftyp(b"jpx ", b"jp2 "), "image/jpx", id="jpeg 2000 part 2"),
    pytest.param(b"\xff\x4f\xff\x51\0\x2f", "image/j2c", id="jpeg 2000, bare"),
    pytest.param(b"8BPS\0\x01" + bytes(20), "image/vnd.adobe.photoshop", id="psd"),
    pytest.param(b"8BPS\0\x02" + bytes(20), "image/vnd.adobe.photoshop", id="psb"),
    pytest.param(b"8BPS\0\x03", None, id="psd of no known version"),
    pytest.param(b"II\xbc\x01\x20", "image/jxr", id="jpeg xr"),
    pytest.param(b"DDS \x7c\0\0\0", "image/vnd.ms-dds", id="dds"),
    pytest.param(ftyp(b"mif1", b"heic"), "image/heif", id="heif"),
    pytest.param(ftyp(b"msf1"), "image/heif-sequence", id="heif sequence"),
    pytest.param(ftyp(b"heix"), "image/heic", id="heic of 10 bits"),
    pytest.param(ftyp(b"avis"), "image/avif", id="avif sequence"),
    pytest.param(ftyp(b"miaf"), "image/heif", id="miaf"),
    pytest.param(ftyp(b"MSNV", b"mp42"), None, id="another video"),
    pytest.param(ftyp(b"M4A "), None, id="sound"),
    pytest.param(b"%PDF-1.7", None, id="pdf"),
    pytest.param(b"PK\x03\x04", None, id="zip"),
    pytest.param(b"", None, id="empty"),
    pytest.param(b'{"error": "no"}', None, id="json"),
    pytest.param(b"\x1f\x8b\x08", None, id="gzip"),
]


@pytest.mark.parametrize(("start", "media_type"), STARTS)
def test_content_type(start: bytes, media_type: str | None) -> None:
    assert content_type(start) == media_type


@pytest.mark.parametrize(
    ("start", "html"),
    [
        pytest.param(b"<!DOCTYPE html>", True, id="doctype"),
        pytest.param(b"\xef\xbb\xbf\n<!-- x --> <HTML lang=de>", True, id="BOM, comment, capitals"),
        pytest.param(b'<?xml version="1.0"?><!doctype html SYSTEM "x">', True, id="xhtml"),
        pytest.param(b"<head >", True, id="head"),
        pytest.param(b"<header>", False, id="header"),
        pytest.param(SVG, False, id="svg"),
        pytest.param(b"plain", False, id="text"),
    ],
)
def test_is_html(start: bytes, html: bool) -> None:
    assert is_html(start) is html


WHOLES = [
    pytest.param(BMP, "image/bmp", True, id="bmp"),
    pytest.param(BMP + b"\0", "image/bmp", False, id="bmp with a byte more"),
    pytest.param(jpeg("x", 500) + b"\0\0\r\n", "image/jpeg", True, id="jpeg with padding"),
    pytest.param(SVG, "image/svg+xml", True, id="svg"),
    pytest.param(SVG[:-8], "image/svg+xml", False, id="svg cut"),
    pytest.param(ftyp(b"avif"), "image/avif", True, id="avif"),
    pytest.param(
        ftyp(b"avif") + b"\0\0\0\x01mdat" + struct.pack(">Q", 16), "image/avif", True, id="large box"
    ),
    pytest.param(ftyp(b"avif") + b"\0\0\0\0mdat1234", "image/avif", False, id="box to the end of the file"),
    pytest.param(b"II*\0" + bytes(100), "image/tiff", False, id="tiff has no end mark"),
    pytest.param(b"abc", "image/webp", False, id="too short for the webp of its label"),
    pytest.param(b"abc", "image/bmp", False, id="too short for the bmp of its label"),
    pytest.param(b"abc", "text/plain", False, id="no image"),
    pytest.param(b"abc", None, False, id="no type"),
]


@pytest.mark.parametrize(("body", "media_type", "whole"), WHOLES)
def test_is_whole(body: bytes, media_type: str | None, whole: bool) -> None:
    assert is_whole(body, body, len(body), media_type) is whole


@examples(300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(
            st.sampled_from([b"RIFF", b"BM", b"\0\0\0\x20ftyp", b"<svg", b"<!--", b"\xff\xd8\xff", b"II*\0"]),
            st.binary(max_size=80),
        ).map(b"".join),
    ),
    st.sampled_from(
        [None, "text/html", "image/heic", "image/tiff", "image/svg+xml", *TYPES.values(), "image/bmp"]
    ),
)
def test_any_bytes_are_judged_without_an_error(body: bytes, label: str | None) -> None:
    sniffed = content_type(body)
    assert sniffed is None or sniffed.startswith("image/")
    assert is_whole(body, body, len(body), label) in (True, False)
    assert not (sniffed is not None and is_html(body))


@pytest.mark.parametrize("start", ["<!---->", "<!-- -->\\n", "<!DOCTYPE svg>", "<!--", "<!DOCTYPE svg[", " "])
def test_page_of_comments_is_judged_at_once(start: str) -> None:
    script = (
        "from cdn2s3.cdn.image_type import content_type, is_html\n"
        f"page = b'{start}' * 200 + b'<p>'; print(content_type(page), is_html(page))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=20, check=True
    )
    assert said.stdout == b"None False\n"


def test_png_end_mark_is_that_of_its_last_chunk() -> None:
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    body = b"\x89PNG\r\n\x1a\n" + end
    assert is_whole(body, body, len(body), "image/png")
    assert not is_whole(body, body + b"x", len(body) + 1, "image/png")


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(icon(), "image/x-icon", id="ico"),
        pytest.param(b"\xff\x4f\xff\x51" + bytes(40) + b"\xff\xd9", "image/j2c", id="jpeg 2000, bare"),
        pytest.param(
            b"\0\0\0\x0cjP  \r\n\x87\n" + ftyp(b"jp2 ")[:-8] + b"\0\0\0\x0ajp2cxx",
            "image/jp2",
            id="jpeg 2000",
        ),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x0ajxlcxx", "image/jxl", id="jpeg xl, boxed"),
    ],
)
def test_more_formats_show_their_end(body: bytes, media_type: str) -> None:
    assert is_whole(body, body, len(body), media_type)
    assert not is_whole(body[:-1], body[:-1], len(body) - 1, media_type)


def test_start_of_an_icon_alone_is_not_whole() -> None:
    assert not is_whole(b"\0\0\1\0\xff\xff", b"", 6, "image/x-icon")
    assert not is_whole(b"\0\0\1", b"", 3, "image/x-icon")
