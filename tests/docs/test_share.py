"""docs/share.md: its one-liners find the share that the tool moves."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest

from cdn2s3.share import share_in
from tests import ROOT

PAGE = (ROOT / "docs/share.md").read_text(encoding="utf-8")
PATHS = [
    *(f"/images/{number}/i{number:04}-1.jpg" for number in range(150)),
    "/a%20b.jpg",
    "/a b.jpg",
    "/größe/ü.jpg",
    "//double/%2F;x=1/a+b&c.jpg",
]


def block(language: str, number: int = 0) -> str:
    """Return a code block of the page, the first of its language or a later one."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number].strip()  # type: ignore[no-any-return]


def parts() -> list[int]:
    return [share_in(f"https://cdn.example{path}".encode()) for path in PATHS]


def test_the_parts_are_the_first_32_bits_of_the_digest_modulo_100() -> None:
    assert len(set(parts())) > 50
    digest = hashlib.md5(PATHS[0].encode(), usedforsecurity=False).digest()
    assert parts()[0] == int.from_bytes(digest[:4], "big") % 100


def test_python_finds_the_same_share() -> None:
    rule = compile(block("python"), "share.md", "eval")
    for percent in (0, 1, 10, 50, 99, 100):
        found = [eval(rule, {"hashlib": hashlib, "path": path, "percent": percent}) for path in PATHS]
        assert found == [part < percent for part in parts()]


def with_node(script: str) -> list[bool]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    ran = subprocess.run([node, "-e", script], capture_output=True, text=True, timeout=60, check=True)
    found: list[bool] = json.loads(ran.stdout)
    return found


def test_javascript_finds_the_same_share() -> None:
    found = with_node(
        f"const found = (path, percent) => {block('javascript')};\n"
        f"console.log(JSON.stringify({json.dumps(PATHS)}.map((path) => found(path, 10))))"
    )
    assert found == [part < 10 for part in parts()]


def test_cloudfront_function_finds_the_same_share() -> None:
    code = block("javascript", 1)
    assert code.startswith('import cf from "cloudfront";'), "AWS wants that line to be the first"
    for module in ("cloudfront", "crypto"):  # what the edge provides
        code = re.sub(rf'import (\w+) from "{module}";', "", code)
    found = with_node(
        "const crypto = require('crypto'); let chosen; const cf = {selectRequestOriginById: (id) => (chosen = id)};\n"
        f"{code}\nconsole.log(JSON.stringify({json.dumps(PATHS)}.map((uri) => {{chosen = ''; "
        "const sent = handler({request: {uri}}); return chosen === 'bucket' && sent.uri === uri})))"
    )
    assert found == [part < 10 for part in parts()]


def test_the_others_hash_the_same_digits() -> None:
    """PHP, MySQL and PostgreSQL are not here to be asked: each takes eight hexadecimal digits, modulo 100."""
    assert block("php") == "hexdec(substr(md5($path), 0, 8)) % 100 < $percent"
    assert "CONV(LEFT(MD5(path), 8), 16, 10)" in block("sql")
    # bit(32) is read as a positive number only as a bigint: half of all digests begin with 8 to f.
    assert "('x' || left(md5(path), 8))::bit(32)::bigint % 100" in block("sql", 1)


def test_the_example_is_in_its_part() -> None:
    path, part = re.findall(r"`(/auctionimages/\S+)` is in part\n(\d+),", PAGE)[0]
    assert share_in(f"https://cdn.example{path}".encode()) == int(part)


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("awk") is None, reason="there is no awk")
def test_awk_counts_the_rows_of_each_place() -> None:
    command = re.findall(r"^    awk -F'\\t' '(.*)' completed.txt$", PAGE, re.MULTILINE)[0]
    rows = [("u", "k", "local"), ("u", "k", "local"), ("u", "k", "s3"), ("v", "l", "local")]
    text = "".join("\t".join((url, key, *"34567890", place)) + "\n" for url, key, place in rows)
    ran = subprocess.run(
        ["awk", "-F", "\t", command], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(ran.stdout.splitlines()) == ["local 2", "s3 1"]
