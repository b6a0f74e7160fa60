"""validate.py --url-map as a process: the rule, the exceptions, and each format read back by a strict reader."""

from __future__ import annotations

import csv
import gzip
import hashlib
import http.client
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from urllib.parse import unquote_to_bytes, urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from tests.fakes.front import Front
from tests.fakes.s3 import S3Server
from tests.scripts.stored import OLD, Stored

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

BASE = "https://img.example/"
FILES = ["url_map.csv", "url_map_exceptions.csv"]
# What a URL ends with, and why its new one does not follow the rule.
ODD = {
    "a+b.jpg": "with +",
    "a%2Fb.jpg": "with %2F",
    "caf%c3%a9.jpg": "whose spelling changes",
    "ü.jpg": "whose spelling changes",
    "a(1).jpg": "whose spelling changes",
    "a,b.jpg": "whose spelling changes",
    "q.jpg?v=1": "with a query",
    "f.jpg#top": "with a fragment",
}
EVEN = [
    "3483/i0178-1.jpg",
    "UPPER.JPG",
    "blank%20s.jpg",
    "double//slash.jpg",
    "~tilde_-.jpg",
    "hash%23.jpg",
    "pc%25.jpg",
]


@pytest.fixture
def s3(s3_server: Callable[..., S3Server]) -> S3Server:
    return s3_server()


@pytest.fixture
def stored(tmp_path: Path, s3: S3Server) -> Stored:
    return Stored(tmp_path, s3)


def table(folder: Path, name: str = "url_map.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def strict_csv(raw: bytes) -> list[list[str]]:
    """Read a file as RFC 4180 defines it, and nothing else: CRLF after each record, quotes only where they belong."""
    field = re.compile(rb'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)')
    records: list[list[str]] = [[]]
    at = 0
    while at < len(raw):
        match = field.match(raw, at)
        assert match, raw[at : at + 80]
        quoted, plain, end = match.groups()
        records[-1].append((plain if quoted is None else quoted.replace(b'""', b'"')).decode())
        at = match.end()
        if end == b"\r\n":
            records.append([])
    assert records.pop() == []
    return records


def test_rule_comes_first_then_what_does_not_follow_it(stored: Stored) -> None:
    for name in (*EVEN, *ODD):
        stored.add(name)
    ran = stored.validate("--url-map", "https://img.example")
    assert ran.code == 0, ran.err
    first, second, *_ = ran.out.splitlines()
    assert first == f"7 of 15 follow one rule: {OLD} -> {BASE}images/"
    assert second.startswith("8 do not (4 whose spelling changes, 1 with +, 1 with %2F, ")
    assert second.endswith("): url_map_exceptions.csv")
    assert [row["old_url"] for row in table(stored.folder)] == [OLD + name for name in (*EVEN, *ODD)]
    assert [row["old_url"] for row in table(stored.folder, FILES[1])] == [OLD + name for name in ODD]


def test_rows_say_what_was_proven(stored: Stored) -> None:
    key = stored.add('quo"te, %26 and%3F.jpg', media_type="image/png")
    stored.record(f"{OLD}adopted.jpg", "images/adopted.jpg", "5", "e", "-", "-", "2026-11-20T10:15:00Z")
    assert stored.validate("--url-map", BASE).code == 0
    raw = (stored.folder / "url_map.csv").read_bytes()
    header, row, adopted = strict_csv(raw)
    assert [header, row, adopted] == list(csv.reader(io.StringIO(raw.decode(), newline=""), strict=True))
    assert header == ["old_url", "new_url", "key", "bytes", "md5", "content_type", "percent"]
    body = stored.s3.objects("bucket")[key].read()
    path = '/auctionimages/quo"te, %26 and%3F.jpg'
    share = int(hashlib.md5(path.encode()).hexdigest()[:8], 16) % 100
    assert row == [
        OLD + 'quo"te, %26 and%3F.jpg',
        BASE + "images/quo%22te%2C%20%26%20and%3F.jpg",
        'images/quo"te, & and?.jpg',
        str(len(body)),
        hashlib.md5(body).hexdigest(),
        "image/png",
        str(share),
    ]
    assert adopted[3:6] == ["5", "", ""]


def test_each_new_url_gives_its_object_from_a_server_that_reads_plus_as_a_blank(stored: Stored) -> None:
    for name in (*EVEN, *ODD, "both a+b%2Bc.jpg", "100%25+.jpg", "%26%3F%23.jpg"):
        stored.add(name)
    with Front(stored.s3) as front:
        assert stored.validate("--url-map", front.base).code == 0
        rows = table(stored.folder)
        assert len(rows) == 18
        connection = http.client.HTTPConnection("127.0.0.1", front.network.port, timeout=10)
        for row in rows:
            connection.request("GET", urlsplit(row["new_url"]).path)
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, hashlib.md5(body).hexdigest()) == (200, row["md5"]), row
        connection.close()


def test_old_url_with_plus_unchanged_would_miss_its_object(stored: Stored) -> None:
    stored.add("a+b.jpg")
    with Front(stored.s3) as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.network.port, timeout=10)
        connection.request("GET", "/images/a+b.jpg")  # what the test above rests on
        assert connection.getresponse().status == 404
        connection.close()


def test_last_row_of_a_url_and_key_counts_in_both_forms(stored: Stored) -> None:
    stored.add("a.jpg", more=())
    stored.record(f"{OLD}a.jpg", "images/a.jpg", "7", "e2", "f" * 32, "image/gif", "2026-11-21T00:00:00Z")
    stored.record(f"{OLD}b.jpg", "images/b.jpg", "8", "e3", "e" * 32, "image/gif", "2026-11-21T00:00:00Z",
                  "renewed", "-", "-", "-")  # fmt: skip
    stored.record("HTTP://OLD.example/auctionimages/b.jpg", "images/b.jpg", "9", "e3", "d" * 32, "image/gif", "x",
                  "renewed", "-", "-", "s3")  # fmt: skip
    stored.record(f"{OLD}a.jpg", "images/named.jpg", "3", "e4", "c" * 32, "image/gif", "2026-11-21T00:00:00Z")
    ran = stored.validate("--url-map", BASE)
    assert ran.code == 0
    found = [(row["old_url"], row["key"], row["bytes"]) for row in table(stored.folder)]
    assert found == [
        (f"{OLD}a.jpg", "images/a.jpg", "7"),
        ("HTTP://OLD.example/auctionimages/b.jpg", "images/b.jpg", "9"),
        (f"{OLD}a.jpg", "images/named.jpg", "3"),
    ]
    assert "1 with a name of their own (key=)" in ran.out


def test_rows_of_a_folder_are_counted_and_not_mapped(stored: Stored) -> None:
    stored.add("a.jpg")
    stored.add("b.jpg", more=("stored", "-", "-", "local"))
    ran = stored.validate("--url-map", BASE)
    assert (ran.code, len(table(stored.folder))) == (0, 1)
    assert "not in the bucket, and not in the map: 1 row of completed.txt" in ran.out


def test_what_is_undone_is_in_no_map_and_an_open_undo_is_said(stored: Stored) -> None:
    stored.add("kept.jpg")
    stored.half_undone(stored.add("undone.jpg"))
    ran = stored.validate("--url-map", BASE)
    assert ran.code == 1 and "the undo of all that was stored is not finished" in ran.err
    assert [row["key"] for row in table(stored.folder)] == ["images/kept.jpg"]


def test_lines_that_are_no_records_are_said_and_make_it_1(stored: Stored) -> None:
    stored.add("a.jpg")
    stored.record("torn", "in", "the middle")
    ran = stored.validate("--url-map", BASE)
    assert (ran.code, len(table(stored.folder))) == (1, 1)
    assert "not in the map: 1 line of completed.txt" in ran.out


def test_nothing_moved_is_2_and_leaves_no_map(stored: Stored) -> None:
    ran = stored.validate("--url-map", BASE)
    assert ran.code == 2
    assert "names no object in a bucket" in ran.err
    assert not any((stored.folder / name).exists() for name in FILES)


@pytest.mark.parametrize(
    "base",
    [
        "img.example",
        "https://img.example/?a=1",
        "https://u@img.example/",
        "https://ü.example/",
        "https://img.example:0/",
    ],
)
def test_base_that_cannot_begin_a_url_is_2(stored: Stored, base: str) -> None:
    stored.add("a.jpg")
    ran = stored.validate("--url-map", base)
    assert (ran.code, "--url-map" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        (
            {"PRESERVE_PATH_STRUCTURE": "false", "STRIP_PATH_PREFIX": ""},
            [f"2 of 2 follow one rule: {OLD}…/ -> {BASE}images/"],
        ),
        ({"STRIP_PATH_PREFIX": ""}, [f"2 of 2 follow one rule: {OLD} -> {BASE}images/auctionimages/"]),
        (
            {"STRIP_PATH_PREFIX": "auctionimages/x/"},
            [
                f"1 of 2 follow the rule: {OLD}x/ -> {BASE}images/",
                f"1 of 2 follow the rule: {OLD} -> {BASE}images/auctionimages/",
            ],
        ),
        ({"URL_PREFIX": "https://old.example/=shop1/"}, [f"2 of 2 follow one rule: {OLD} -> {BASE}images/shop1/"]),
        ({"DESTINATION_PREFIX": ""}, [f"2 of 2 follow one rule: {OLD} -> {BASE}"]),
    ],
)  # fmt: skip
def test_rules_follow_the_settings_of_the_keys(
    tmp_path: Path, s3: S3Server, settings: dict[str, str], rules: list[str]
) -> None:
    stored = Stored(tmp_path, s3, **settings)
    keys = key_maker(build(MigrationSettings, stored.settings, {}, tmp_path / "migration.env"))
    for name in ("x/i1.jpg", "y/i2.jpg"):
        stored.add(name, key=keys.address(OLD + name).key)
    ran = stored.validate("--url-map", BASE)
    assert ran.out.splitlines()[: len(rules)] == rules
    assert len(table(stored.folder, FILES[1])) == 0


# --- DynamoDB ---


def dynamo_items(folder: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Read the files as the developer guide describes an import's input, and accept nothing else."""
    for path in sorted((folder / "url_map_dynamodb").iterdir()):
        assert path.name.endswith(".json.gz")
        for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]:
            document = json.loads(line)
            assert list(document) == ["Item"]
            for value in document["Item"].values():
                ((kind, text),) = value.items()
                assert kind in ("S", "N") and isinstance(text, str)
                assert kind == "S" or re.fullmatch(r"\d+", text)
            assert 0 < len(document["Item"]["url"]["S"].encode()) <= 2048
            yield document["Item"]


def test_dynamodb_items_have_all_rows(stored: Stored) -> None:
    for name in (*EVEN, *ODD):
        stored.add(name)
    assert stored.validate("--url-map", BASE, "--map-format", "dynamodb").code == 0
    rows = {row["old_url"]: row for row in table(stored.folder)}
    items = list(dynamo_items(stored.folder))
    assert len(items) == len(rows) == 15
    for item in items:
        row = rows[item["url"]["S"]]
        found = {name: text for name, value in item.items() for text in value.values()}
        assert found == {"url": row.pop("old_url"), **row}


def test_dynamodb_leaves_out_what_an_import_would_lose_and_says_so(stored: Stored) -> None:
    stored.add("a.jpg")
    stored.add("a.jpg", key="images/second name.jpg")
    long = "x" * 900 + ".jpg?" + "y" * 1200
    stored.add(long)
    ran = stored.validate("--url-map", BASE, "--map-format", "dynamodb")
    assert ran.code == 1
    assert [item["key"]["S"] for item in dynamo_items(stored.folder)] == ["images/a.jpg"]
    assert "1 URL over 2,048 bytes" in ran.out
    assert "yyyy" not in ran.out  # a query may be a secret
    assert "1 row of URLs with more than one object" in ran.out
    assert len(table(stored.folder)) == 3


def test_a_shorter_map_leaves_no_file_of_a_longer_one(stored: Stored) -> None:
    stored.add("a.jpg")
    folder = stored.folder / "url_map_dynamodb"
    folder.mkdir()
    (folder / "part-00007.json.gz").write_bytes(b"stale")
    assert stored.validate("--url-map", BASE, "--map-format", "dynamodb").code == 0
    assert [path.name for path in folder.iterdir()] == ["part-00000.json.gz"]
    assert not {".tmp", ".bak"} & {path.suffix for path in stored.folder.iterdir()}


def test_moto_imports_the_items_as_a_table(stored: Stored) -> None:
    for name in (*EVEN, *ODD):
        stored.add(name)
    assert stored.validate("--url-map", BASE, "--map-format", "dynamodb").code == 0
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        clients: list[Any] = [
            boto3.client(name, endpoint_url=f"http://{host}:{port}", region_name="us-west-2",
                         aws_access_key_id="a", aws_secret_access_key="b")
            for name in ("s3", "dynamodb")
        ]  # fmt: skip
        s3, dynamodb = clients
        s3.create_bucket(Bucket="maps", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        for path in (stored.folder / "url_map_dynamodb").iterdir():
            s3.put_object(Bucket="maps", Key=f"map/{path.name}", Body=path.read_bytes())
        started = dynamodb.import_table(
            S3BucketSource={"S3Bucket": "maps", "S3KeyPrefix": "map/"},
            InputFormat="DYNAMODB_JSON",
            InputCompressionType="GZIP",
            TableCreationParameters={
                "TableName": "url_map",
                "AttributeDefinitions": [{"AttributeName": "url", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "url", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        )
        arn = started["ImportTableDescription"]["ImportArn"]
        deadline = time.monotonic() + 20
        while (found := dynamodb.describe_import(ImportArn=arn)["ImportTableDescription"])[
            "ImportStatus"
        ] == "IN_PROGRESS":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (found["ImportStatus"], found["ImportedItemCount"], found["ErrorCount"]) == (
            "COMPLETED",
            15,
            0,
        )
        item = dynamodb.get_item(TableName="url_map", Key={"url": {"S": OLD + "a+b.jpg"}})["Item"]
        assert item["new_url"] == {"S": BASE + "images/a%2Bb.jpg"}
        for client in clients:
            client.close()
    finally:
        server.stop()


# --- S3 Batch Operations ---


def test_manifest_names_each_object_as_s3_batch_operations_reads_it(stored: Stored) -> None:
    keys = [stored.add(name) for name in (*EVEN, *ODD, "comma%2C%22quote.jpg")]
    ran = stored.validate("--url-map", BASE, "--map-format", "manifest")
    assert ran.code == 0
    raw = (stored.folder / "url_map_manifest.csv").read_bytes()
    assert re.fullmatch(rb"(?:bucket,[A-Za-z0-9._~/%-]+\n)+", raw)  # no header, nothing to quote, no raw +
    found = [unquote_to_bytes(line.partition(b",")[2]).decode() for line in raw.splitlines()]
    assert found == keys
    assert "SSE-KMS" in ran.out


# --- what holds for everything that is written ---


def test_map_contacts_nothing(stored: Stored) -> None:
    stored.add("a.jpg")
    assert stored.validate("--url-map", BASE, AWS_ENDPOINT_URL="http://127.0.0.1:1").code == 0
    assert not stored.s3.log


@pytest.mark.slow
def test_a_killed_map_leaves_the_old_files(stored: Stored) -> None:
    for number in range(3):
        stored.add(f"{number}.jpg")
    assert stored.validate("--url-map", BASE, "--map-format", "dynamodb").code == 0
    before = {name: (stored.folder / name).read_bytes() for name in FILES}
    items = list(dynamo_items(stored.folder))
    row = (f"{OLD}n.jpg", "images/n.jpg", "1", "e", "f" * 32, "image/gif", "2026-11-21T00:00:00Z")
    with (stored.folder / "completed.txt").open("a") as file:
        file.write(
            "".join("\t".join((row[0] + str(n), row[1] + str(n), *row[2:])) + "\n" for n in range(12_000))
        )
    with stored.start("--url-map", "https://other.example/", "--map-format", "dynamodb") as process:
        deadline = time.monotonic() + 30
        while not (stored.folder / "url_map.csv.tmp").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.communicate()
    assert {name: (stored.folder / name).read_bytes() for name in FILES} == before
    assert list(dynamo_items(stored.folder)) == items
    assert stored.validate("--url-map", BASE, "--map-format", "dynamodb").code == 0
    assert len(table(stored.folder)) == 12_003
    assert ".tmp" not in {path.suffix for path in stored.folder.iterdir()}
