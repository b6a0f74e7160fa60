"""Reading an env file: what is accepted is taken to the letter, everything doubtful is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import UsageError
from cdn2s3.settings.env_file import read_env_file
from tests.properties import examples


def _read(folder: Path, content: bytes) -> dict[str, str]:
    file = folder / "migration.env"
    file.write_bytes(content)
    return read_env_file(file)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("A=b", "b", id="plain"),
        pytest.param("A=", "", id="empty"),
        pytest.param("A=''", "", id="empty, quoted"),
        pytest.param("A = b  ", "b", id="blanks around"),
        pytest.param("export A=b", "b", id="export"),
        pytest.param("A=${HOME}/x", "${HOME}/x", id="interpolation is not done"),
        pytest.param('A="a${b}c$d"', "a${b}c$d", id="interpolation in double quotes is not done"),
        pytest.param("A='${X}'", "${X}", id="interpolation in single quotes is not done"),
        pytest.param("A=a#b", "a#b", id="hash inside a value"),
        pytest.param("A=abc #def", "abc", id="comment after a value"),
        pytest.param('A="abc #def"', "abc #def", id="hash in quotes"),
        pytest.param("A='it is' # so", "it is", id="comment after quotes"),
        pytest.param("A=b=c==", "b=c==", id="equals signs"),
        pytest.param("A=a\\tb", "a\\tb", id="backslash, bare"),
        pytest.param('A="a\\tb"', "a\tb", id="escape in double quotes"),
        pytest.param("A='a\\tb'", "a\\tb", id="no escape in single quotes"),
        pytest.param('A="a\\"b"', 'a"b', id="escaped double quote"),
        pytest.param("A='a\\'b'", "a'b", id="escaped single quote"),
        pytest.param('A=a"b"c', 'a"b"c', id="quotes inside a value"),
        pytest.param("A=items[].[image_url, thumb_url][]", "items[].[image_url, thumb_url][]", id="JMESPath"),
        pytest.param("A=ümläut", "ümläut", id="UTF-8"),
        pytest.param("A=a\u2028b\x85c\x0bd", "a\u2028b\x85c\x0bd", id="what only Unicode calls a line break"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no newline", "LF", "CRLF"])
def test_env_file_value(tmp_path: Path, line: str, value: str, end: str) -> None:
    assert _read(tmp_path, (line + end).encode()) == {"A": value}


def test_env_file_of_a_windows_editor(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf# settings\r\n\r\nA=1\r\n  \r\nB='2'\r\n# end"
    assert _read(tmp_path, content) == {"A": "1", "B": "2"}


def test_env_file_without_settings(tmp_path: Path) -> None:
    assert _read(tmp_path, b"") == {}
    assert _read(tmp_path, b"\n# nothing\n\n") == {}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b'A=1\n\n \nB="2\nC=3\n', "line 4: not a NAME=value line", id="open double quote"),
        pytest.param(b"A=1\nB='2\nC=3\n", "line 2: not a NAME=value line", id="open single quote"),
        pytest.param(
            b'A="1\nB=2 #"\nC=3\n', "line 1: not a NAME=value line", id="quote closed on a later line"
        ),
        pytest.param(b'A="1" 2\n', "line 1: not a NAME=value line", id="text after the quote"),
        pytest.param(b"\n# c\nA\n", "line 3: not a NAME=value line", id="name alone"),
        pytest.param(b"A=1\n=2\n", "line 2: not a NAME=value line", id="no name"),
        pytest.param(b"A B=1\n", "line 1: not a NAME=value line", id="blank in the name"),
        pytest.param(b"A: 1\n", "line 1: not a NAME=value line", id="YAML"),
        pytest.param(b"A=1\nB=2\n\nA=1\n", "line 4: A is set twice", id="twice the same"),
        pytest.param(b"A=1\nB=\xe9\n", "line 2: not UTF-8", id="latin-1"),
        pytest.param(b"\xef\xbb\xbfA=1\nB=\xe9\n", "line 2: not UTF-8", id="BOM and latin-1"),
        pytest.param(b"A=1\nB=a\0b\n", "line 2: contains a NUL", id="NUL"),
        pytest.param("A=1\n".encode("utf-16"), "line 1: not UTF-8", id="UTF-16"),
    ],
)
def test_env_file_refused(tmp_path: Path, content: bytes, complaint: str, newline: bytes) -> None:
    with pytest.raises(UsageError, match=re.escape("migration.env, " + complaint)):
        _read(tmp_path, content.replace(b"\n", newline))


def test_env_file_refused_does_not_show_the_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        _read(tmp_path, b'API_AUTH_TOKEN="CANARY\n')
    assert "CANARY" not in str(refused.value)


@pytest.mark.parametrize("kind", ["missing", "a folder", "below a file"])
def test_env_file_that_cannot_be_read_names_the_option(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    path = {"missing": tmp_path / "no.env", "a folder": tmp_path, "below a file": tmp_path / "file/x.env"}[
        kind
    ]
    with pytest.raises(UsageError, match=r"cannot read the settings file .*--env-file") as refused:
        read_env_file(path)
    assert str(path) in str(refused.value)


_VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))


@examples(300)
@given(_VALUE)
def test_env_file_gives_back_any_double_quoted_value(tmp_path: Path, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert _read(tmp_path, f'A="{quoted}"\nB=1\n'.encode()) == {"A": value, "B": "1"}


@examples(300)
@given(_VALUE)
def test_env_file_gives_back_any_single_quoted_value(tmp_path: Path, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    assert _read(tmp_path, f"A='{quoted}'\nB=1\n".encode()) == {"A": value, "B": "1"}


@examples(300)
@given(_VALUE.filter(lambda value: value == value.strip() and not re.search(r"^['\"#]|\s#", value)))
def test_env_file_gives_back_any_bare_value(tmp_path: Path, value: str) -> None:
    assert _read(tmp_path, f"A={value}\r\nB=1\r\n".encode()) == {"A": value, "B": "1"}


_PIECES = st.sampled_from([
    b"A", b"B=", b"=", b"\n", b"\r\n", b"\r", b" ", b"\t", b"'", b'"', b"\\", b"#", b" #", b"${A}", b"$",
    b"export ", b"\xef\xbb\xbf", b"\xe9", b"\xc3\xa9", b"\0", b"\x1c", b"\xe2\x80\xa8", b"\xc2\x85", b"x",
])  # fmt: skip


@examples(700)
@given(st.one_of(st.lists(_PIECES, max_size=25).map(b"".join), st.binary()))
def test_env_file_of_any_bytes_is_understood_line_by_line_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        values = _read(tmp_path, content)
    except UsageError:
        return
    text = content.decode("utf-8")
    lines = [line.strip() for line in re.split("\r\n|\n|\r", text.lstrip("\ufeff"))]
    assert len(values) == len([line for line in lines if line and not re.match(r"(export\s+)?#", line)])
    assert all(name in text for name in values)
