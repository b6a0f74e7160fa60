"""The demo of the cutover: its site, its new CDN, its comparison of planted and found, and the whole of it."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from demo import check_cutover
from demo.cdn import CdnServer
from demo.changing_site import WRONG_TYPE, Site, build_site, expected, objects_before
from demo.children import ROOT
from demo.new_cdn import NewCdn
from demo.planted import write_planted

OLD, NEW = "http://old.example", "http://new.example/"
JUST_NOW = "Fri, 27 Nov 2026 10:00:00 GMT"


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site()


@pytest.fixture(scope="module")
def plan(site: Site) -> dict[str, Any]:
    return expected(site, OLD, NEW)


# The site


def test_each_thing_that_is_looked_for_is_planted(site: Site, plan: dict[str, Any]) -> None:
    assert {name: len(plan[name]) for name in ("replaced", "changed_not_ours", "added", "gone", "removed")} == {
        "replaced": 3, "changed_not_ours": 1, "added": 2, "gone": 2, "removed": 1
    }  # fmt: skip
    assert len(plan["plus"]) > 1
    assert len(plan["wrong_type"]) > 1
    assert set(plan["plus"]) < set(plan["exceptions"])
    assert set(plan["found"]) == {OLD + path for path in site.not_ours}
    assert {"removed", "stays"} == {"removed" if url in plan["removed"] else "stays" for url in plan["gone"]}


def test_what_is_replaced_has_other_bytes_and_a_later_date(site: Site) -> None:
    after = site.changed_at(JUST_NOW)
    changed = {
        image.path
        for key, image in site.before.images.items()
        if site.before.body(image) != after.body(after.images[key])
    }
    assert changed == set(site.replaced)
    assert {image.path for image in after.images.values() if image.modified == JUST_NOW} == {
        *site.replaced,
        *site.added,
    }


def test_fewer_images_change_than_a_delta_takes_for_an_accident(site: Site) -> None:
    assert len(site.replaced) / len(site.before.images) < 0.05  # MAX_CHANGE_RATE


# The CDNs


def get(url: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and body of one GET, the path sent as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_old_cdn_answers_304_to_the_etag_of_what_it_has(site: Site) -> None:
    with CdnServer(site.before) as cdn:
        url = cdn.url + site.replaced[0]
        etag = get(url)[1]["ETag"]
        assert get(url, **{"If-None-Match": etag})[0] == 304
        assert get(url, **{"If-None-Match": '"another"'})[0] == 200
        cdn.world = site.changed_at(JUST_NOW)
        status, headers, _ = get(url, **{"If-None-Match": etag})
        assert (status, headers["Last-Modified"]) == (200, JUST_NOW)


class Bucket:
    """A bucket with two objects, as far as the new CDN reads it."""

    objects = {"images/a+b.jpg": (b"plus", "image/jpeg"), "images/c.webp": (b"webp", "image/webp")}  # noqa: RUF012

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            answer: Any = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "GetObject")
        body, media_type = self.objects[Key]
        return {"Body": io.BytesIO(body), "ContentType": media_type, "ETag": '"e"'}


def test_new_cdn_reads_a_plus_as_s3_does_until_it_is_mended() -> None:
    with NewCdn(Bucket(), "bucket") as cdn:  # type: ignore[arg-type]
        spellings = [cdn.base + "images/a%2Bb.jpg", cdn.base + "images/a+b.jpg"]
        assert [get(url)[0] for url in spellings] == [404, 404]
        assert get(cdn.base + "images/c.webp")[1]["Content-Type"] == WRONG_TYPE
        cdn.mend()
        assert [get(url)[2] for url in spellings] == [b"plus", b"plus"]
        assert get(cdn.base + "images/c.webp")[1]["Content-Type"] == "image/webp"
        assert get(spellings[0], Range="bytes=0-0")[::2] == (206, b"p")
        assert get(spellings[0], **{"If-None-Match": '"e"'})[::2] == (304, b"")
        assert get(cdn.base + "images/d.jpg")[0] == 404


def test_what_others_have_put_there_is_what_the_site_has(site: Site, plan: dict[str, Any]) -> None:
    assert sorted(objects_before(site)) == sorted(plan["objects"][url]["key"] for url in plan["found"])


# The comparison, on the files of a tool without fault


def write_found(folder: Path, plan: dict[str, Any]) -> None:
    """Write what the scripts leave, and the demo notes, when they find everything that is planted."""

    def write(name: str, records: list[list[str]]) -> None:
        (folder / name).write_text("".join("\t".join(record) + "\n" for record in records), encoding="utf-8")

    write_planted(folder / "planted.json", plan)
    write("gone.txt", [[url, "seen"] for url in plan["gone"]])
    not_ours = [[url, "k", "changed, not ours", "-", "-", "-", "-"] for url in plan["changed_not_ours"]]
    write(
        "changes.txt.bak",
        [*([url, "k", "renewed", "-", "-", "-", "-"] for url in plan["replaced"]), *not_ours],
    )
    write("changes.txt", not_ours)
    hows = {**dict.fromkeys(plan["replaced"], "renewed"), **dict.fromkeys(plan["found"], "found")}
    records = [
        [url, told["key"], "1", "e", told["md5"], "t", "at", hows.get(url, "stored"), "-", "-", "s3"]
        for url, told in plan["objects"].items()
        if url not in plan["removed"]
    ]
    write("completed.txt", records)
    write("through.first.txt", [*([url, "n", "status", "200", "404"] for url in plan["plus"]),
                                *([url, "n", "content type", "t", "u"] for url in plan["wrong_type"])])  # fmt: skip
    write("through.txt", [["-", "n", "public bucket (warning)", "403", "200"]])
    write("undone.txt", [[url, "k", "1", "e", "-", "at"] for url in plan["removed"]])
    for name, urls in (("url_map.csv", plan["objects"]), ("url_map_exceptions.csv", plan["exceptions"])):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["old_url", "new_url", "percent"])
            table.writeheader()
            for url in urls:
                table.writerow(
                    {"old_url": url, "new_url": plan["new_urls"][url], "percent": plan["percent"][url]}
                )
    fetched = {
        "raw_plus_before": [404 for _ in plan["plus"]],
        "raw_plus_after": [200 for _ in plan["plus"]],
        "after": {plan["new_urls"][url]: told["md5"] for url, told in plan["objects"].items()},
    }
    notes = {"fetched": fetched, "bucket": plan["bucket"], "validation_report": {"verdict": "complete"}}
    for name, contents in notes.items():
        (folder / f"{name}.json").write_text(json.dumps(contents), encoding="utf-8")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, plan: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("found")
    write_found(folder, plan)
    return folder


def test_check_of_what_was_planted_is_ok(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_cutover.main([str(found)]) == 0
    assert "WRONG" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "row"),
    [
        ("gone.txt", r"^.*\n", "", "URLs that the API dropped"),
        ("changes.txt.bak", r"\trenewed\t", "\tfailed:timeout\t", "images replaced at the source"),
        ("changes.txt.bak", r"\tchanged, not ours\t", "\treplaced\t", "changed, but put there by others"),
        ("changes.txt", r"\tchanged, not ours\t", "\trenewed\t", "left for the last delta"),
        ("completed.txt", r"\tfound\t", "\tstored\t", "records that are left"),
        ("url_map_exceptions.csv", r"\n[^\n]*\n$", "\n", "URLs that do not follow the rule"),
        ("url_map.csv", r"%2B", "+", "new URLs with the right bytes"),
        ("url_map.csv", r",(\d+)\r\n$", ",100\r\n", "share at which each URL moves"),
        ("fetched.json", r'"raw_plus_after": \[200', '"raw_plus_after": [404', "old spelling with a raw +"),
        ("through.first.txt", r"\tstatus\t", "\trange\t", "names with +, lost at the new CDN"),
        ("through.first.txt", r"^.*\tcontent type\t.*\n", "", "content types replaced"),
        ("through.txt", r" \(warning\)", "", "findings after the repair"),
        ("undone.txt", r"^.*\n", "", "images taken back"),
        ("bucket.json", r'": "\w', '": "x', "bucket"),
        ("validation_report.json", "complete", "incomplete", "verdict"),
    ],
)
def test_check_finds_what_is_wrong(
    name: str,
    pattern: str,
    replacement: str,
    row: str,
    found: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(found, tmp_path / "found")
    text = (folder / name).read_bytes().decode("utf-8")
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text
    (folder / name).write_bytes(changed.encode("utf-8"))
    assert check_cutover.main([str(folder)]) == 1
    assert re.search(rf"^{re.escape(row)} .*WRONG", capsys.readouterr().out, re.MULTILINE)


def test_check_without_a_plan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_cutover.main([str(tmp_path)])
    assert "python -m demo.cutover writes it" in capsys.readouterr().err


# The whole, with the real scripts


@pytest.mark.slow
def test_demo_of_the_cutover_finds_all_that_was_planted(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "demo.cutover", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "WRONG" not in ran.stdout
    assert "Traceback" not in ran.stdout
    codes = [int(code) for code in re.findall(r"^Exit code (\d+)", ran.stdout, re.M)]
    assert codes == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0]
    assert "Everything planted was found" in ran.stdout
    pages = re.findall(r"^  file://(\S+)$", ran.stdout, re.M)
    assert [Path(page).name for page in pages] == [
        "certificate.html", "migration_report.html", "validation_report.html"
    ]  # fmt: skip
    assert all(Path(page).is_file() for page in pages)
