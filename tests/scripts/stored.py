"""A migration that has ended: a bucket with objects, completed.txt, and validate.py to run on them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests import ROOT
from tests.fakes.s3 import S3Server
from tests.processes import Process
from tests.running import environment

PATIENCE = 60  # seconds that the script may take before its test fails
OLD = "https://old.example/auctionimages/"
NEW_FIELDS = ("stored", '"abc"', "Wed, 21 Oct 2015 07:28:00 GMT", "s3")  # how, validators, place
_WITH_PORTS = """\
import json, sys
from cdn2s3.validation import new_base
new_base.HTTP_PORTS.update({int(https): http for https, http in json.loads(sys.argv.pop(1)).items()})
import validate
if __name__ == "__main__":
    sys.exit(validate.main(sys.argv[1:]))
"""


class Ended(NamedTuple):
    """A run of validate.py that has ended."""

    code: int
    out: str
    err: str


class Stored:
    """A folder with the state of a migration, and its bucket."""

    def __init__(self, folder: Path, s3: S3Server, **settings: str) -> None:
        self.folder = folder
        self.s3 = s3
        self.http_ports: dict[int, int] = {}  # of an https port, the port at which its host answers http
        self.settings = {
            "DESTINATION_BUCKET": "bucket",
            "PRESERVE_PATH_STRUCTURE": "true",
            "STRIP_PATH_PREFIX": "auctionimages/",
            "URL_PREFIX": OLD,
            "AWS_ENDPOINT_URL": s3.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "CONCURRENCY": "8",
            "MAX_RETRIES": "0",
            "DOWNLOAD_TIMEOUT": "5",
            **settings,
        }
        (folder / "urls.txt").write_text(f"{OLD}a.jpg\n")

    def add(
        self,
        name: str,
        key: str = "",
        media_type: str = "image/jpeg",
        more: tuple[str, ...] = NEW_FIELDS,
        size: int = 900,
    ) -> str:
        """Store an image and record it; name is what its URL ends with. Return its key."""
        key = key or "images/" + unquote(name.partition("?")[0])
        body = hashlib.sha512(name.encode()).digest() * (size // 64 + 1)
        self.s3.put("bucket", key, body, content_type=media_type)
        md5 = hashlib.md5(body).hexdigest()
        self.record(f"{OLD}{name}", key, str(len(body)), md5, md5, media_type, "2026-11-20T10:15:00Z", *more)
        return key

    def record(self, *fields: str) -> None:
        """Append a row to completed.txt."""
        with (self.folder / "completed.txt").open("a", encoding="utf-8") as file:
            file.write("\t".join(fields) + "\n")

    def half_undone(self, key: str) -> None:
        """Let an undo be stopped after it has deleted the object of key, which the last row is of."""
        fields = self.rows("completed.txt")[-1]
        assert fields[1] == key
        self.s3.store.delete("bucket", key)
        (self.folder / "undone.txt").write_text("\t".join([*fields[:4], "-", "2026-11-20T10:15:01Z"]) + "\n")
        asked = {"file": "", "since": None, "began_at": 1_700_000_000, "newest": 1_900_000_000}
        (self.folder / "unfinished_undo.txt").write_text(json.dumps(asked) + "\n")

    def start(self, *arguments: str, **settings: str) -> Process:
        """Start validate.py."""
        lines = (f"{name}={value}\n" for name, value in {**self.settings, **settings}.items())
        (self.folder / "migration.env").write_text("".join(lines))
        command = [sys.executable, str(ROOT / "validate.py")]
        if self.http_ports:
            command = [sys.executable, "-c", _WITH_PORTS, json.dumps(self.http_ports)]
        return Process([*command, *arguments], self.folder, environment(self.folder))

    def validate(self, *arguments: str, **settings: str) -> Ended:
        """Run validate.py to its end."""
        with self.start(*arguments, **settings) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            assert "Traceback" not in err, err
            return Ended(process.wait(), out, err)

    def rows(self, name: str) -> list[list[str]]:
        """Return the lines of a state file, divided."""
        return [line.split("\t") for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (self.folder / "validation_report.json").read_text(encoding="utf-8")
        )
        return found

    def page(self) -> str:
        return (self.folder / "validation_report.html").read_text(encoding="utf-8")
