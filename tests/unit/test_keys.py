"""From a URL to what is asked of the CDN and to the key: a table of cases, and what holds for any line."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from cdn2s3.keys import KEY_BYTES, Address, InvalidUrl, KeyMaker, Naming
from tests.properties import examples

PREFIX = "https://cdn.example/"
WHOLE_PATH = Naming(PREFIX, "images/", preserve=True)
LAST_SEGMENT = Naming(PREFIX, "images/", preserve=False)


@pytest.mark.parametrize(
    ("rest", "target", "key"),
    [
        pytest.param("a/b.jpg", "/a/b.jpg", "a/b.jpg", id="plain"),
        pytest.param("a%20b.jpg", "/a%20b.jpg", "a b.jpg", id="blank, encoded"),
        pytest.param("a b.jpg", "/a%20b.jpg", "a b.jpg", id="blank, bare"),
        pytest.param("a b.jpg ", "/a%20b.jpg%20", "a b.jpg ", id="blank at the end"),
        pytest.param("a+b.jpg", "/a+b.jpg", "a+b.jpg", id="plus is no blank"),
        pytest.param("a%2Bb.jpg", "/a%2Bb.jpg", "a+b.jpg", id="plus, encoded"),
        pytest.param("a%2fb.jpg", "/a%2fb.jpg", "a/b.jpg", id="slash, encoded: hex case kept on the wire"),
        pytest.param("%7Ea.jpg", "/%7Ea.jpg", "~a.jpg", id="unreserved, encoded: kept on the wire"),
        pytest.param("50%.jpg", "/50%25.jpg", "50%.jpg", id="bare percent"),
        pytest.param("50%25.jpg", "/50%25.jpg", "50%.jpg", id="percent, encoded"),
        pytest.param("a%2520b.jpg", "/a%2520b.jpg", "a%20b.jpg", id="decoded once only"),
        pytest.param("%%41.jpg", "/%25%41.jpg", "%A.jpg", id="bare percent before an escape"),
        pytest.param("%C3%BC.jpg", "/%C3%BC.jpg", "ü.jpg", id="UTF-8, encoded"),
        pytest.param("ü.jpg", "/%C3%BC.jpg", "ü.jpg", id="UTF-8, bare"),
        pytest.param("u\u0308.jpg", "/u%CC%88.jpg", "u\u0308.jpg", id="NFD is not made NFC"),
        pytest.param("%ff.jpg", "/%ff.jpg", "%ff.jpg", id="not UTF-8 stays encoded"),
        pytest.param(
            "a%20b/%ff.jpg", "/a%20b/%ff.jpg", "a%20b/%ff.jpg", id="not UTF-8: the whole path stays"
        ),
        pytest.param(
            "%ed%a0%80.jpg", "/%ed%a0%80.jpg", "%ed%a0%80.jpg", id="surrogate in UTF-8 stays encoded"
        ),
        pytest.param(
            "a.jpg?v=2&w=a b", "/a.jpg?v=2&w=a%20b", "a.jpg", id="query is sent, and not in the key"
        ),
        pytest.param("a.jpg?", "/a.jpg?", "a.jpg", id="empty query"),
        pytest.param(
            "a.jpg?x=%0d%0ay", "/a.jpg?x=%0d%0ay", "a.jpg", id="encoded newline in the query stays so"
        ),
        pytest.param("a.jpg#top?x", "/a.jpg", "a.jpg", id="fragment is not sent"),
        pytest.param("a.jpg?q#top", "/a.jpg?q", "a.jpg", id="query before a fragment"),
        pytest.param("a//b.jpg", "/a//b.jpg", "a//b.jpg", id="empty segment is kept"),
        pytest.param("/evil.example/b.jpg", "//evil.example/b.jpg", "/evil.example/b.jpg", id="two slashes"),
        pytest.param("./a.jpg", "/./a.jpg", "./a.jpg", id="dot segment is kept"),
        pytest.param(".hidden/a.jpg", "/.hidden/a.jpg", ".hidden/a.jpg", id="leading dot"),
        pytest.param("...", "/...", "...", id="three dots"),
        pytest.param("a..b.jpg", "/a..b.jpg", "a..b.jpg", id="dots inside a name"),
        pytest.param("%252e%252e/a.jpg", "/%252e%252e/a.jpg", "%2e%2e/a.jpg", id="dots encoded twice"),
        pytest.param("a\\b.jpg", "/a%5Cb.jpg", "a\\b.jpg", id="backslash"),
        pytest.param("a\u2028b.jpg", "/a%E2%80%A8b.jpg", "a\u2028b.jpg", id="line separator"),
        pytest.param(
            "http://evil.example/a.jpg",
            "/http://evil.example/a.jpg",
            "http://evil.example/a.jpg",
            id="URL as path",
        ),
        pytest.param("@evil.example/a.jpg", "/@evil.example/a.jpg", "@evil.example/a.jpg", id="at sign"),
    ],
)
def test_address_of_the_whole_path(rest: str, target: str, key: str) -> None:
    assert KeyMaker(WHOLE_PATH).address(PREFIX + rest) == Address(target, "images/" + key, True)


@pytest.mark.parametrize(
    ("rest", "key"),
    [
        pytest.param("3483/17/i0178-1.jpg", "i0178-1.jpg", id="plain"),
        pytest.param("a/b%20c.jpg", "b c.jpg", id="decoded"),
        pytest.param("a/b%2fc.jpg", "b/c.jpg", id="an encoded slash does not part segments"),
        pytest.param("%ff/b%20c.jpg", "b c.jpg", id="not UTF-8 elsewhere"),
        pytest.param("a/b.jpg?x=/c.jpg", "b.jpg", id="slash in the query"),
        pytest.param("a/b.jpg#/c.jpg", "b.jpg", id="slash in the fragment"),
    ],
)
def test_address_of_the_last_segment(rest: str, key: str) -> None:
    assert KeyMaker(LAST_SEGMENT).address(PREFIX + rest).key == "images/" + key


@pytest.mark.parametrize("preserve", [True, False], ids=["whole path", "last segment"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("", "not an http or https URL", id="empty"),
        pytest.param("cdn.example/a.jpg", "not an http or https URL", id="no scheme"),
        pytest.param("ftp://cdn.example/a.jpg", "not an http or https URL", id="ftp"),
        pytest.param("file:///etc/passwd", "not an http or https URL", id="file"),
        pytest.param(" https://cdn.example/a.jpg", "spaces around the URL", id="leading blank"),
        pytest.param("\xa0 http://cdn.example/a.jpg ", "spaces around the URL", id="spaces around"),
        pytest.param(" ftp://cdn.example/a.jpg", "not an http or https URL", id="blank before ftp"),
        pytest.param("\ufeffhttps://cdn.example/a.jpg", "not an http or https URL", id="BOM"),
        pytest.param("//cdn.example/a.jpg", "no scheme; put https: before it", id="protocol-relative"),
        pytest.param("http://other.example/a.jpg", "another host, other.example", id="another host"),
        pytest.param("https://cdn.example", "not under URL_PREFIX", id="host alone"),
        pytest.param("https://cdn.example.evil/a.jpg", "not under URL_PREFIX", id="longer host"),
        pytest.param("https://cdn.example:8443/a.jpg", "not under URL_PREFIX", id="port"),
        pytest.param("https://u:p@cdn.example/a.jpg", "not under URL_PREFIX", id="user"),
        pytest.param(
            "https://cdn.example\\@127.0.0.1/a.jpg", "not under URL_PREFIX", id="backslash before the path"
        ),
        pytest.param("https://127.1/a.jpg", "not under URL_PREFIX", id="short loopback"),
        pytest.param("https://2130706433/a.jpg", "not under URL_PREFIX", id="loopback as a number"),
        pytest.param("https://cdn.example/", "no file name", id="root"),
        pytest.param("https://cdn.example/a/", "no file name", id="folder"),
        pytest.param("https://cdn.example/a%2f", "no file name", id="folder, encoded slash"),
        pytest.param("https://cdn.example/?a.jpg", "no file name", id="query alone"),
        pytest.param("https://cdn.example/#a.jpg", "no file name", id="fragment alone"),
        pytest.param("https://cdn.example/../a.jpg", "a .. segment", id="dots first"),
        pytest.param("https://cdn.example/a/../b.jpg", "a .. segment", id="dots inside"),
        pytest.param("https://cdn.example/a/..", "a .. segment", id="dots last"),
        pytest.param("https://cdn.example/a/%2e%2E/b.jpg", "a .. segment", id="dots, encoded"),
        pytest.param("https://cdn.example/a/.%2e%2fb.jpg", "a .. segment", id="dots and slash, encoded"),
        pytest.param("https://cdn.example/a\\..\\b.jpg", "a .. segment", id="dots between backslashes"),
        pytest.param("https://cdn.example/a/%2e%2e/%ff.jpg", "a .. segment", id="dots in what is not UTF-8"),
        pytest.param("https://cdn.example/a\tb.jpg", "a control character", id="tab"),
        pytest.param("https://cdn.example/a.jpg\r", "a control character", id="carriage return"),
        pytest.param("https://cdn.example/a%0ab.jpg", "a control character", id="newline, encoded"),
        pytest.param("https://cdn.example/a%00.jpg", "a control character", id="NUL, encoded"),
        pytest.param(
            "https://cdn.example/a%0a%ff.jpg", "a control character", id="newline in what is not UTF-8"
        ),
        pytest.param("https://cdn.example/a%C2%85.jpg", "a control character", id="C1 control, encoded"),
        pytest.param("https://cdn.example/a.jpg?\x7f", "a control character", id="DEL in the query"),
        pytest.param("https://cdn.example/a.jpg#\x01", "a control character", id="control in the fragment"),
        pytest.param("https://cdn.example/a\udcff.jpg", "not UTF-8", id="latin-1 byte"),
    ],
)
def test_address_of_a_malformed_line(url: str, why: str, preserve: bool) -> None:
    with pytest.raises(InvalidUrl, match=re.escape(why)):
        KeyMaker(Naming(PREFIX, "images/", preserve)).address(url)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        pytest.param("a" * 1017, True, id="1024 letters"),
        pytest.param("a" * 1018, False, id="1025 letters"),
        pytest.param("ü" * 508 + "a", True, id="1024 bytes of two-byte letters"),
        pytest.param("ü" * 509, False, id="1025 bytes of two-byte letters"),
        pytest.param("%C3%BC" * 508 + "a", True, id="1024 bytes, encoded in the URL"),
        pytest.param("%f0%9f%98%80" * 255, False, id="1027 bytes of emoji"),
    ],
)
@pytest.mark.parametrize("preserve", [True, False], ids=["whole path", "last segment"])
def test_key_length_is_counted_in_bytes(name: str, fits: bool, preserve: bool) -> None:
    keys = KeyMaker(Naming(PREFIX, "images/", preserve))
    if fits:
        assert len(keys.address(PREFIX + name).key.encode()) == KEY_BYTES
    else:
        with pytest.raises(InvalidUrl, match="longer than 1024 bytes"):
            keys.address(PREFIX + name)


@pytest.mark.parametrize(
    ("rest", "key", "stripped"),
    [
        pytest.param("auctionimages/3483/1.jpg", "3483/1.jpg", True, id="plain"),
        pytest.param("auction%69mages/3483/1.jpg", "3483/1.jpg", True, id="compared decoded"),
        pytest.param("other/3483/1.jpg", "other/3483/1.jpg", False, id="lacks it"),
        pytest.param("x/auctionimages/1.jpg", "x/auctionimages/1.jpg", False, id="has it further on"),
        pytest.param("auctionimages", "auctionimages", False, id="without the slash"),
    ],
)
def test_strip_path_prefix(rest: str, key: str, stripped: bool) -> None:
    address = KeyMaker(Naming(PREFIX, "", True, "auctionimages/")).address(PREFIX + rest)
    assert (address.key, address.stripped) == (key, stripped)


def test_strip_path_prefix_that_leaves_nothing_is_no_file_name() -> None:
    with pytest.raises(InvalidUrl, match="no file name"):
        KeyMaker(Naming(PREFIX, "", True, "a.jpg")).address(PREFIX + "a.jpg")


def test_url_prefix_with_a_folder_is_part_of_the_path() -> None:
    keys = KeyMaker(Naming(PREFIX + "auctionimages/", "images/", preserve=True))
    assert keys.address(PREFIX + "auctionimages/1.jpg").key == "images/auctionimages/1.jpg"
    with pytest.raises(InvalidUrl, match="not under URL_PREFIX"):
        keys.address(PREFIX + "1.jpg")


# What holds for any line under any settings

_PIECES = st.sampled_from([
    "a", "Z9", "i0178-1.jpg", "/", "//", ".", "..", "...", "%2e", "%2E%2e", "%2f", "\\", "%5c", "%20", " ",
    "+", "%", "%2", "%%", "%252e", "%25", "%ff", "%FE", "%c3%bc", "ü", "u\u0308", "😀", "%0a", "%00", "\x00",
    "\t", "\x85", "\u2028", "?", "#", "@", ":", ";", "&=", "'", '"', "<>", "|", "^`{}", "~", "$!*(),", "[",
    "]", "\udcff", "auctionimages/", "evil.example", "x" * 300, "%F0%9F%98%80" * 90,
])  # fmt: skip
_PATHS = st.lists(_PIECES, max_size=8).map("".join)
_URL_PREFIXES = st.sampled_from([
    PREFIX, "https://cdn.example:8443/", "http://[::1]/", "https://cdn.example/auctionimages/",
    "https://cdn.example/a%20b/", "https://cdn.example/~x/.y/", "https://cdn.example//",
    "https://cdn.example/a/../b/",
])  # fmt: skip
_NAMINGS = st.builds(
    Naming,
    _URL_PREFIXES,
    st.sampled_from(["", "images/", "imäges/", "no-slash-", "p" * 900]),
    st.booleans(),
    st.sampled_from(["", "auctionimages/", "a", "/"]),
)


def _address(naming: Naming, url: str) -> Address | None:
    try:
        return KeyMaker(naming).address(url)
    except InvalidUrl:
        return None


@examples(300)
@given(_NAMINGS, st.text())
def test_address_of_any_text_is_an_address_or_malformed(naming: Naming, text: str) -> None:
    address = _address(naming, text)
    assert address is None or text.startswith(naming.url_prefix)


@examples(500)
@given(_NAMINGS, _PATHS)
def test_address_can_be_sent_and_stored(naming: Naming, path: str) -> None:
    address = _address(naming, naming.url_prefix + path)
    assume(address is not None)
    assert address is not None
    encoded = address.key.encode("utf-8")  # raises on a surrogate
    assert len(address.key) > len(naming.destination_prefix)
    assert address.key.startswith(naming.destination_prefix)
    assert len(encoded) <= KEY_BYTES
    assert not re.search("[\x00-\x1f\x7f-\x9f]", address.key)
    assert re.fullmatch(r"/[\x21-\x7e]*", address.target)
    assert "#" not in address.target


@examples(500)
@given(_NAMINGS, _PATHS)
def test_target_asks_the_same_host_for_the_same_octets(naming: Naming, path: str) -> None:
    url = naming.url_prefix + path
    address = _address(naming, url)
    assume(address is not None)
    assert address is not None
    wanted = urlsplit(naming.url_prefix)
    sent = f"{wanted.scheme}://{wanted.netloc}{address.target}"
    assert urlsplit(sent).netloc == wanted.netloc
    assert parse_url(sent).host == parse_url(naming.url_prefix).host
    line = url.partition("#")[0][len(f"{wanted.scheme}://{wanted.netloc}") :]
    assert unquote_to_bytes(address.target) == unquote_to_bytes(line)
    octets = unquote_to_bytes(address.target.partition("?")[0])
    assert b".." not in octets.split(b"/")
    assert octets.startswith(unquote_to_bytes(wanted.path))


@examples(500)
@given(
    _NAMINGS,
    st.lists(st.sampled_from(["a", "Z9", "/", ".", "..", "-", "_", "~", "auctionimages/", "a" * 400])).map(
        "".join
    ),
)
def test_address_of_a_plain_url_is_the_same_both_ways(naming: Naming, path: str) -> None:
    careful = KeyMaker(naming)
    careful.are_plain = lambda lines: False  # type: ignore[method-assign]
    outcomes = []
    for keys in (KeyMaker(naming), careful):
        try:
            outcomes.append(repr(keys.address(naming.url_prefix + path)))
        except InvalidUrl as error:
            outcomes.append(f"malformed: {error}")
    assert outcomes[0] == outcomes[1]


@examples(500)
@given(
    _NAMINGS,
    st.lists(st.one_of(_PATHS, st.sampled_from(["a.jpg", "b/c.jpg", "\n", "a\nb"])), min_size=1, max_size=4),
)
def test_lines_are_plain_together_where_each_is_so(naming: Naming, paths: list[str]) -> None:
    keys = KeyMaker(naming)
    lines = [(naming.url_prefix + path).encode("utf-8", "surrogateescape") for path in paths]
    lines += [line.replace(b"\n", b"\n" + naming.url_prefix.encode()) for line in lines]
    assert keys.are_plain(lines) is all(keys.are_plain([line]) for line in lines)
    for line in lines:
        if keys.are_plain([line]):
            assert b"\n" not in line


@examples(500)
@given(
    _NAMINGS,
    st.lists(
        st.sampled_from(["a", "Z9", "/", ".", "..", "-", "%41", "?", "#", "ü", "auctionimages/", "a" * 400])
    ).map("".join),
)
def test_what_is_known_of_a_line_is_what_its_address_says(naming: Naming, path: str) -> None:
    keys = KeyMaker(naming)
    line = (naming.url_prefix + path).encode()
    try:
        address = keys.address(line.decode())
    except InvalidUrl:
        with pytest.raises(InvalidUrl):
            keys.known(line)
        return
    key, stripped, reversible, identity = keys.known(line)
    assert identity == keys.identity(line)
    assert (key.decode(), stripped) == (address.key, address.stripped)
    base = urlsplit(naming.url_prefix)
    beginning = f"{base.scheme}://{base.netloc}/{naming.strip}".encode()
    assert reversible is (
        naming.preserve and identity == beginning + key[len(naming.destination_prefix.encode()) :]
    )


# Few pieces, so that two paths are often two spellings of one, or nearly so.
_SPELLINGS = st.lists(
    st.sampled_from(
        ["a", "%61", "%2561", "A", "/", "%2f", "%2F", "%", "%25", "ü", "%c3%bc", "u\u0308", "%ff", "x/"]
    ),
    max_size=3,
).map(lambda pieces: "".join(pieces) + ".jpg")


@examples(600)
@given(st.sampled_from(["", "x/"]), _SPELLINGS, _SPELLINGS)
def test_two_paths_share_a_key_only_where_they_are_one_or_strip_explains_it(
    strip: str, one: str, other: str
) -> None:
    keys = KeyMaker(Naming(PREFIX, "images/", True, strip))
    first, second = keys.address(PREFIX + one), keys.address(PREFIX + other)
    if first.key == second.key and _is_utf8(one) and _is_utf8(other):  # see the next test for the rest
        assert unquote_to_bytes(one) == unquote_to_bytes(other) or first.stripped != second.stripped


def test_a_path_that_stays_encoded_may_share_its_key_with_one_that_was_encoded_twice() -> None:
    keys = KeyMaker(WHOLE_PATH)
    assert keys.address(PREFIX + "%ff.jpg").key == keys.address(PREFIX + "%25ff.jpg").key  # a collision


def _is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
