"""What docs/cutover.md shows of Python, of JavaScript at the edge, and of shares, does what the page says."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.model import StructureShape
from botocore.validate import ParamValidator

from demo.new_cdn import FUNCTION
from tests import ROOT
from tests.docs.commands import blocks

PAGE = ROOT / "docs" / "cutover.md"
PLUS, SHARE, REDIRECT = blocks(PAGE, "js")
PATHS = [f"/auctionimages/{auction}/i{lot:04}-1.jpg" for auction in (3483, 3484) for lot in range(100)]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")

# What CloudFront gives a function besides the language: its module, and the old way to Node's own.
RUNTIME = """
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const chosen = [];
const stored = EXCEPTIONS;
const cf = {
  selectRequestOriginById: (id) => chosen.push(id),
  kvs: () => ({ exists: async (key) => key in stored, get: async (key) => stored[key] }),
};
FUNCTION
const answers = [];
for (const uri of PATHS) {
  chosen.length = 0;
  const answer = await handler({ request: { method: 'GET', uri, headers: {} } });
  answers.push({ answer, origin: chosen[0] || 'bucket' });
}
console.log(JSON.stringify(answers));
"""


def at_the_edge(
    function: str, paths: list[str], folder: Path, exceptions: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run a CloudFront Function for a request of each path; return what it answers and the origin that it chose."""
    code = RUNTIME.replace("FUNCTION", function.replace("import cf from 'cloudfront';\n", ""))
    code = code.replace("EXCEPTIONS", json.dumps(exceptions or {})).replace("PATHS", json.dumps(paths))
    (folder / "function.mjs").write_text(code, encoding="utf-8")
    ran = subprocess.run(
        ["node", "function.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answers: list[dict[str, Any]] = json.loads(ran.stdout)
    return answers


def percent(path: str) -> int:
    """Return at which share of the URLs the one with this path moves."""
    return int(hashlib.md5(path.encode()).hexdigest()[:8], 16) % 100


@needs_node
def test_function_for_plus_keeps_it_for_s3(tmp_path: Path) -> None:
    (told, plain) = at_the_edge(PLUS, ["/images/a+b+c%20d.jpg", "/images/a.jpg"], tmp_path)
    assert told["answer"]["uri"] == "/images/a%2Bb%2Bc%20d.jpg"
    assert plain["answer"]["uri"] == "/images/a.jpg"


def test_demo_shows_the_function_of_the_page() -> None:
    assert PLUS.strip() == FUNCTION


@needs_node
@pytest.mark.parametrize("limit", [0, 10, 100])
def test_function_sends_the_share_to_the_bucket(limit: int, tmp_path: Path) -> None:
    function = SHARE.replace("PERCENT = 10", f"PERCENT = {limit}")
    answers = at_the_edge(function, PATHS, tmp_path)
    expected = ["bucket" if percent(path) < limit else "old" for path in PATHS]
    assert [told["origin"] for told in answers] == expected
    assert [told["answer"]["uri"] for told in answers] == PATHS


@needs_node
def test_function_changes_a_plus_for_the_bucket_alone(tmp_path: Path) -> None:
    paths = [f"/auctionimages/a+{number}.jpg" for number in range(100)]
    for path, told in zip(paths, at_the_edge(SHARE, paths, tmp_path)):
        is_new = told["origin"] == "bucket"
        assert told["answer"]["uri"] == (path.replace("+", "%2B") if is_new else path)


def test_application_shows_new_urls_for_the_share() -> None:
    (code,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(code, names)  # the page's own
    shown = [names["image_url"]("https://old.example" + path + "?w=1", "new") == "new" for path in PATHS]
    assert shown == [percent(path) < 10 for path in PATHS]
    assert 0 < sum(shown) < 60


@needs_node
def test_redirect_follows_the_rule_and_the_exceptions(tmp_path: Path) -> None:
    exceptions = exceptions_from(
        [
            (
                "https://old.example/auctionimages/a+b (1).jpg",
                "https://img.example.com/images/a%2Bb%20%281%29.jpg",
            )
        ],
        tmp_path,
    )
    paths = ["/auctionimages/a+b%20(1).jpg", "/auctionimages/3483/a.jpg"]
    answers = [told["answer"] for told in at_the_edge(REDIRECT, paths, tmp_path, exceptions)]
    assert [answer["statusCode"] for answer in answers] == [302, 302]
    assert [answer["headers"]["location"]["value"] for answer in answers] == [
        "https://img.example.com/images/a%2Bb%20%281%29.jpg",
        "https://img.example.com/images/3483/a.jpg",
    ]


def exceptions_from(rows: list[tuple[str, str]], folder: Path) -> dict[str, str]:
    """Return what the page's command makes of a url_map_exceptions.csv with these rows: values by key."""
    (command,) = blocks(PAGE, "sh")
    with (folder / "url_map_exceptions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("old_url", "new_url"), *rows])
    command = re.sub(r"^python ", f"{sys.executable} ", command)
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, timeout=60)
    told = json.loads((folder / "exceptions.json").read_text(encoding="utf-8"))
    assert told.keys() == {"data"}
    return {pair["key"]: pair["value"] for pair in told["data"]}


def test_origin_group_is_one_that_a_distribution_takes() -> None:
    (group,) = (block for block in map(json.loads, blocks(PAGE, "json")) if "OriginGroups" in block)
    model = botocore.session.get_session().get_service_model("cloudfront")
    shape = model.shape_for("DistributionConfig")
    assert isinstance(shape, StructureShape)
    told = ParamValidator().validate(group["OriginGroups"], shape.members["OriginGroups"])
    assert told.generate_report() == ""
    assert {403, 404} < set(group["OriginGroups"]["Items"][0]["FailoverCriteria"]["StatusCodes"]["Items"])


def test_exceptions_have_the_paths_that_browsers_ask_for(tmp_path: Path) -> None:
    rows = [
        ("https://old.example/auctionimages/i0178-花瓶 2.jpg", "https://img.example.com/images/i0178-%E8%8A%B1%E7%93%B6%202.jpg"),
        ("https://old.example/auctionimages/a%2Fb.jpg", "https://img.example.com/images/a/b.jpg"),
    ]  # fmt: skip
    assert exceptions_from(rows, tmp_path) == {
        "/auctionimages/i0178-%E8%8A%B1%E7%93%B6%202.jpg": "/images/i0178-%E8%8A%B1%E7%93%B6%202.jpg",
        "/auctionimages/a%2Fb.jpg": "/images/a/b.jpg",
    }
