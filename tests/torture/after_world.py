"""The world of a life after the move: a site, a bucket and a folder, somebody else who writes there, and a watch.

The watch sees each write and each deletion of the tool at the moment at which it happens, whatever the tool says of it.
"""

from __future__ import annotations

import hashlib
import random
import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.images import jpeg
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.store import Bucket, Store, StoredObject
from tests.fakes.tls import make_tls
from tests.running import Migration, key_of, migration
from tests.torture.after_model import Thing

BUCKET, FOLDER = "bucket", "local"
PERCENT = 60  # with two places: what goes to the bucket
LARGE_BYTES = 1_200_000  # over MAX_BUFFER_MB=1: in parts
_THEIRS = "x-amz-meta-owner"  # a header that only somebody else's objects have


class Touch(NamedTuple):
    """A write or a deletion of the tool."""

    key: str
    before: StoredObject | None  # what was at the key, or the version that is deleted
    after: StoredObject | None  # None: deleted, or a marker


class WatchedStore(Store):
    """A store that notes what the tool does in it."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: list[Touch] = []

    def put(self, bucket: str, item: StoredObject, *arguments: Any, **options: Any) -> None:
        with self._lock:
            before = self.get(bucket, item.key)
            super().put(bucket, item, *arguments, **options)
            if not is_theirs(item):
                self._note(Touch(item.key, before, item))

    def delete(self, bucket: str, key: str, *arguments: Any, **options: Any) -> StoredObject | None:
        with self._lock:
            before = self.get(bucket, key)
            marker = super().delete(bucket, key, *arguments, **options)
            self._note(Touch(key, before, None))
            return marker

    def delete_version(self, bucket: str, key: str, version: str) -> None:
        with self._lock:
            found = [item for item in self.bucket(bucket).history(key) if item.version == version]
            super().delete_version(bucket, key, version)
            self._note(Touch(key, found[0] if found else None, None))

    def delete_as_somebody_else(self, bucket: str, key: str) -> None:
        super().delete(bucket, key)

    def _note(self, touch: Touch) -> None:
        if ".cdn2s3-probe" not in touch.key:
            self.touched.append(touch)


def is_theirs(item: StoredObject) -> bool:
    """Whether somebody else has stored an object."""
    return _THEIRS in item.headers


class World:
    """Site, bucket, folder and the job between them; a context manager. Nothing in it is the tool's own code."""

    def __init__(self, folder: Path, seed: int, urls: int, settings: dict[str, object]) -> None:
        """Draw a world: two places or one, versions or none, what the store makes of If-Match."""
        self.draw = random.Random(seed)
        self._stack = ExitStack()
        tls = make_tls(folder)
        self.source = self._stack.enter_context(SourceServer(tls=tls.context, seed=seed))
        self.s3 = self._stack.enter_context(S3Server(tls=tls.context))
        self.is_versioned = self.draw.random() < 0.5
        self.is_atomic = (
            self.draw.random() < 0.7
        )  # the store honors If-Match: somebody else may write meanwhile
        self.is_hybrid = self.draw.random() < 0.4
        self.has_faults = self.draw.random() < 0.5
        self.store = self.s3.store = WatchedStore()
        self.store.add_bucket(
            Bucket(BUCKET, "us-west-2", self.s3.settings.owner, versioned=self.is_versioned)
        )
        self.s3.change(min_part=1, **self._lesser())
        if self.has_faults:
            self._add_faults()
        hybrid = {"DESTINATION": "hybrid", "LOCAL_ROOT": FOLDER, "PERCENT": PERCENT} if self.is_hybrid else {}
        (folder / FOLDER).mkdir()
        method = self.draw.choice(("signed", "put_object"))
        mine = {"MAX_BUFFER_MB": 1, "MAX_RETRIES": 3, "MAX_CHANGE_RATE": 1, "UPLOAD_METHOD": method}
        self.job: Migration = migration(folder, self.source, self.s3, tls, **{**mine, **hybrid, **settings})
        self.root = folder / FOLDER
        self.theirs: dict[str, tuple[bytes, int]] = {}  # file of somebody else -> its bytes and inode
        self.gone: set[str] = set()  # URLs that the site answers 404 to
        self.sent: dict[str, list[bytes]] = {}  # all bodies that the site has had for a URL
        self.urls: list[str] = []
        self._serial = 0
        for _ in range(urls):
            self.add_url()

    def _lesser(self) -> dict[str, Any]:
        """Draw what this store cannot do."""
        if self.is_atomic:
            return {"etag_mode": self.draw.choice(("md5", "md5", "random"))}
        lesser = self.draw.choice(("put_if_match", "complete_if_match", "delete_if_match"))
        return {lesser: self.draw.choice(("ignore", "refuse"))}

    def _add_faults(self) -> None:
        for fault in ("InternalError", "drop_after_store", "500_after_store", "cut_answer"):
            for operation in ("PutObject", "CompleteMultipartUpload", "DeleteObject", "DeleteObjectVersion"):
                self.s3.rules.add(Rule(fault, operation=operation, pattern=r"\.jpg$", probability=0.01))
        for fault in ("500", "close", "short_body"):
            self.source.rules.add(Rule(fault, probability=0.005))

    def __enter__(self) -> World:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def __str__(self) -> str:
        kinds = (
            "versions" if self.is_versioned else "no versions",
            "two places" if self.is_hybrid else "a bucket",
        )
        return ", ".join(kinds)

    # --- the site

    def add_url(self) -> str:
        """Let the list have one more URL; return it."""
        number = len(self.urls)
        large = LARGE_BYTES if self.draw.random() < 0.05 else None
        url = self.source.url_of(f"{number % 7}/i{number:04}.jpg", size=large)
        self.urls.append(url)
        self.sent[url] = [self.source.body(url)]
        self.job.urls(self.urls)
        return url

    def change(self, url: str) -> None:
        """Let the site have other bytes for a URL: new ones, or ones that it had before."""
        if len(self.sent[url]) > 1 and self.draw.random() < 0.2:
            self.source.change(url, self.draw.choice(self.sent[url]))
            return
        self._serial += 1
        self.sent[url].append(
            self.source.change(url, jpeg(f"{url} {self._serial}", 3_000 + self._serial % 97))
        )

    def take_away(self, url: str) -> None:
        """Let the site answer 404 from now on."""
        self.gone.add(url)
        self.source.rules.add(Rule("404", name=url, pattern=re.escape(url[len(self.source.url) :]) + "$"))

    def bring_back(self, url: str) -> None:
        self.gone.discard(url)
        self.source.rules.remove(url)

    def at_site(self, url: str) -> str:
        """Return the MD5 of what the site sends; "" for a 404."""
        return "" if url in self.gone else md5(self.source.body(url))

    # --- where things lie

    def key(self, url: str) -> str:
        return key_of(self.source, url)

    def place(self, url: str) -> str:
        """Return where a URL belongs, by docs/share.md."""
        path = url[len(self.source.url) :]
        is_local = self.is_hybrid and int(hashlib.md5(path.encode()).hexdigest()[:8], 16) % 100 >= PERCENT
        return "local" if is_local else "s3"

    def stack(self, url: str) -> tuple[Thing, ...]:
        """Return what is at the place of a URL, the newest first."""
        key = self.key(url)
        if self.place(url) == "local":
            path = self.root / key
            if not path.exists():
                return ()
            digest = md5(path.read_bytes())
            return (Thing(digest, digest, int(path.stat().st_mtime)),)
        items = next((list(found) for found in self.store.history(BUCKET, key) if found[0].key == key), [])
        return tuple(Thing(item.md5, item.etag.strip('"'), int(item.modified)) for item in items)

    # --- somebody else

    def put_theirs(self, url: str, body: bytes = b"") -> str:
        """Let somebody else put something at a URL's place, other bytes unless they are given; return their MD5."""
        self._serial += 1
        body = body or b"somebody else's %d" % self._serial
        key = self.key(url)
        if self.place(url) == "local":
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name("theirs.tmp")
            new.write_bytes(body)
            new.rename(path)
            self.theirs[key] = body, path.stat().st_ino
        else:
            self.s3.put(BUCKET, key, body, x_amz_meta_owner="somebody else")
        return md5(body)

    def delete_as_somebody_else(self, url: str) -> None:
        key = self.key(url)
        if self.place(url) == "local":
            with suppress(FileNotFoundError):
                (self.root / key).unlink()
            self.theirs.pop(key, None)
        else:
            self.store.delete_as_somebody_else(BUCKET, key)

    def assert_theirs_untouched(self) -> None:
        """Assert that nothing of somebody else's was written over or deleted since the last look; forget the look."""
        touched, self.store.touched = self.store.touched, []
        for touch in touched:
            assert touch.before is None or not is_theirs(touch.before), f"{touch.key} was somebody else's"
        for key, (body, inode) in self.theirs.items():
            path = self.root / key
            assert path.exists() and path.read_bytes() == body, f"the file {key} was somebody else's"
            assert path.stat().st_ino == inode, f"the file {key} of somebody else was written anew"


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()
