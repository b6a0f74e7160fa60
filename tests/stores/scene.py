"""Where the checks of one store happen: its endpoint, the judge, the source, a folder; and the scripts, run there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.fakes.source import SourceServer
from tests.running import Migration, Ran, Running
from tests.stores.book import Book
from tests.stores.judge import Judge
from tests.stores.store import Endpoint
from tests.stores.world import World, lines

PATIENCE = 300.0  # seconds; a script that takes longer hangs


class Scene:
    """One store with what the checks need."""

    def __init__(
        self, endpoint: Endpoint, source: SourceServer, book: Book, folder: Path, bucket: str
    ) -> None:
        self.endpoint = endpoint
        self.source = source
        self.book = book
        self.bucket = bucket
        self.judge = Judge(endpoint, endpoint.region)
        self._folder = folder

    def job(self, name: str, world: World, **settings: object) -> Job:
        """Return a migration of world in a folder of its own, under a prefix of its own."""
        folder = self._folder / name
        folder.mkdir()
        (folder / "urls.txt").write_text(lines(world.urls), encoding="utf-8")
        chosen = {
            "URL_PREFIX": self.source.url_prefix,
            "AWS_ENDPOINT_URL": self.endpoint.url,
            "AWS_ACCESS_KEY_ID": self.endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": self.endpoint.secret_key,
            "AWS_REGION": self.endpoint.region,
            "DESTINATION_BUCKET": self.bucket,
            "DESTINATION_PREFIX": f"{name}/",
            "DOWNLOAD_TIMEOUT": 30,
            "UPLOAD_TIMEOUT": 60,
            **settings,
        }
        return Job(folder, chosen)


class Job(Migration):
    """A migration, with the scripts as a user runs them: no wait is shortened."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        super().__init__(folder, **settings)

    @property
    def prefix(self) -> str:
        return str(self.settings["DESTINATION_PREFIX"])

    def migrate(self, *arguments: str, **settings: object) -> Ran:
        """Run migrate.py to its end."""
        return self.run(*arguments, patience=PATIENCE, quick={}, **settings)

    def validate(self, *arguments: str) -> Ran:
        """Run validate.py to its end, on the settings of the last migrate.py."""
        running = Running([sys.executable, str(ROOT / "validate.py"), *arguments], self.folder, {})
        with running:
            return running.end(PATIENCE)

    def validated(self) -> dict[str, Any]:
        """Return the report of the last validation."""
        report: dict[str, Any] = json.loads(self.text("validation_report.json"))
        return report

    def first_fields(self, name: str) -> set[str]:
        """Return the URLs or keys that a state file begins its lines with."""
        return {line.split("\t")[0] for line in self.text(name).splitlines()}
