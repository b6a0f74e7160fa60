"""The root element of SVG and HTML is found behind everything that may come before it, in linear time."""

from __future__ import annotations

import time

import pytest

from cdn2s3.cdn.markup import LOOKED_AT, ends_as_svg, root_element

NS = ' xmlns="http://www.w3.org/2000/svg"'
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
ENTITIES = "".join(f'<!ENTITY ns_{n} "http://ns.example/{n}#>]">\n' for n in range(500))
LICENSE = "<!-- " + "You may use > this - drawing -- for free. " * 200 + "-->"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        pytest.param(f"<svg{NS}>", "svg", id="bare"),
        pytest.param("<svg/>", "svg", id="empty"),
        pytest.param("<SVG>", "svg", id="capitals"),
        pytest.param("<svg\nwidth='1'>", "svg", id="line break"),
        pytest.param(
            "<svg:svg xmlns:svg='http://www.w3.org/2000/svg'>", "svg", id="with a namespace's prefix"
        ),
        pytest.param("\n\t <svg>", "svg", id="blanks"),
        pytest.param(f"{LICENSE}<svg>", "svg", id="long comment"),
        pytest.param(f"<?xml version='1.0'?>{LICENSE}\n{DOCTYPE}\n<svg{NS}>", "svg", id="all of them"),
        pytest.param('<?xml version="1.0"?><?xml-stylesheet href="a>b.css"?><svg>', "svg", id="style sheet"),
        pytest.param(f"<!DOCTYPE svg [\n{ENTITIES}]>\n<svg>", "svg", id="hundreds of entities"),
        pytest.param(
            "<!DOCTYPE svg [<!-- it's ]> here --><!ENTITY a 'b'>]><svg>", "svg", id="comment among entities"
        ),
        pytest.param("<!doctype svg><svg>", "svg", id="doctype in small letters"),
        pytest.param("<!-- a --><!-- <svg> --><svg>", "svg", id="comments"),
        pytest.param("<!-- <svg> -->", "", id="svg in a comment alone"),
        pytest.param("<!-- <svg>", "", id="comment without its end"),
        pytest.param("<!DOCTYPE svg [", "", id="doctype without its end"),
        pytest.param("<?xml", "", id="declaration without its end"),
        pytest.param("<svgx>", "svgx", id="another element"),
        pytest.param("<html><svg>", "html", id="svg within html"),
        pytest.param("<!DOCTYPE html>\n<svg>", "html", id="doctype of html"),
        pytest.param("<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>", "html", id="doctype of old html"),
        pytest.param("<rss version='2.0'>", "rss", id="feed"),
        pytest.param("text <svg>", "", id="text before"),
        pytest.param("<", "", id="one character"),
        pytest.param("", "", id="nothing"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_root_element(text: str, root: str, encoding: str) -> None:
    if encoding in ("utf-16-be", "utf-16-le"):
        text = text.lstrip()  # without a BOM, only the first < shows what it is
    assert root_element(text.encode(encoding)) == root


def test_letters_beyond_ascii_before_the_root() -> None:
    assert root_element("<!-- Größe, 尺寸 --><svg>".encode()) == "svg"
    assert root_element("<!-- Größe -->".encode("latin-1") + b"<svg>") == "svg"


def test_root_that_comes_too_late_is_not_looked_for() -> None:
    assert root_element(b"<!--" + b" " * LOOKED_AT + b"--><svg>") == ""


@pytest.mark.parametrize(
    "page",
    [
        b"<!-- a -->" * 20_000,
        b"<!DOCTYPE svg [" + b"'\"" * 60_000,
        b"<?x?>" * 30_000,
        b"<" * 130_000,
        b" " * 130_000,
    ],
    ids=["comments", "quotes", "instructions", "brackets", "blanks"],
)
def test_hostile_text_takes_linear_time(page: bytes) -> None:
    began = time.process_time()
    assert root_element(page + b"<p>") in ("", "p")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("tail", "ends"),
    [
        (b"<path/></svg>", True),
        (b"</svg>\r\n", True),
        (b"</svg >", True),
        (b"</svg:svg>", True),
        (b"</svg>\n<!-- made by a program -->\n", True),
        (b"<svg width='1'/>", True),
        ("</svg>\n".encode("utf-16-le"), True),
        (b"<path/></svg", False),
        (b"<svg width='1'", False),
        (b"<path/>", False),
        (b"", False),
    ],
)
def test_end_of_an_svg(tail: bytes, ends: bool) -> None:
    assert ends_as_svg(tail) is ends
