"""Set up a world on this machine, and run the three scripts in its folder as a user would, each command shown."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from demo.api import TOKEN
from demo.children import ROOT, Children
from demo.envfiles import CREDENTIALS, collection_env, migration_env
from demo.world import NEAREST_REGION, World

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class UnexpectedEndError(Exception):
    """A script ended otherwise than it must in this world; the text says how."""


@dataclass(frozen=True)
class Stage:
    """One world: its servers, its bucket and the folder in which the scripts run."""

    children: Children = field(repr=False)
    folder: Path
    cdn_url: str  # without a slash at the end
    bucket: str
    s3: S3Client = field(repr=False)

    def run(self, command: str) -> int:
        """Show a command, such as `python migrate.py --redo missing.txt`, run it, and return its exit code."""
        python, script, *arguments = shlex.split(command)
        words = [os.path.relpath(ROOT / script, self.folder), *arguments]
        print(f"$ cd {shlex.quote(shown(self.folder))} && {python} {shlex.join(words)}\n")
        code = self.children.run([sys.executable, *words], self.folder)
        print(f"\nExit code {code}", end="")
        return code

    def step(self, command: str, code: int, meaning: str) -> None:
        """Run a command under a heading and say what its exit code means here; raise UnexpectedEndError for another."""
        title(command)
        ended = self.run(command)
        print(f": {meaning}." if ended == code else "")
        if ended != code:
            raise UnexpectedEndError(
                f"{command} must end with exit code {code} in this world. See {shown(self.folder)}/"
            )


def build(children: Children, folder: Path, world: World, bucket: str, s3_url: str) -> Stage:
    """Start the CDN and the API of world (those of a small world with --small), and write the settings.

    folder has a subfolder `servers` for their logs; the bucket is created in the S3 that listens at s3_url.
    """
    logs, kind = folder / "servers", ["--small"] if len(world.lots) < 100 else []
    cdn_url = f"http://127.0.0.1:{children.serve('demo.cdn', *kind, '--log', str(logs / 'cdn.log'))}"
    api = children.serve("demo.api", *kind, "--cdn-url", cdn_url, "--log", str(logs / "api.log"))
    stage = Stage(children, folder, cdn_url, bucket, client(s3_url))
    set_up(stage, f"http://127.0.0.1:{api}/v1/page/lots", len(world.images), s3_url)
    return stage


def set_up(stage: Stage, api_url: str, urls: int, s3_url: str) -> None:
    """Create the bucket of stage, and write the settings for an API that gives so many URLs."""
    folder, cdn_url, bucket = stage.folder, stage.cdn_url, stage.bucket
    print(f"CDN  {cdn_url}")
    print(f"API  {api_url}")
    stage.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": NEAREST_REGION})
    print(f"S3   {s3_url} (moto), bucket {bucket}")
    settings = collection_env(api_url, TOKEN, cdn_url, urls)
    (folder / "collection.env").write_text(settings, encoding="utf-8")
    settings = migration_env(cdn_url, s3_url, NEAREST_REGION, bucket)
    (folder / "migration.env").write_text(settings, encoding="utf-8")
    print(f"Written: {shown(folder)}/collection.env and migration.env, as you would edit them")


def client(s3_url: str) -> S3Client:
    """Return a client of the S3 that listens at s3_url."""
    access_key, secret_key = CREDENTIALS
    return boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name=NEAREST_REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def shown(path: Path) -> str:
    """Return a path as one would type it in the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n=== {text} {'=' * (74 - len(text))}", flush=True)
