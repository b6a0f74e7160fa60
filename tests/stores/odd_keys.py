"""Keys that AWS takes and file-backed stores refuse or fold: each is stored as it is, or fails with a cause."""

from __future__ import annotations

from tests.fakes.source import SourceServer
from tests.stores.book import equal
from tests.stores.scene import Scene
from tests.stores.world import World, add

_PREFIX = "odd"  # of the job
_ODD = {
    "two slashes": "a//b.jpg",
    "a segment that is a dot": "./a.jpg",
    "a slash at the start": "/a.jpg",
    "an object": "o.jpg",
    "a name under that object": "o.jpg/b.jpg",
    "a segment of 256 bytes": "n" * 252 + ".jpg",
    "a backslash": "a\\b.jpg",
    "a blank at the end of a segment": "blank /a.jpg",
    "a dot at the end of a segment": "dot./a.jpg",
}


def check(scene: Scene) -> None:
    """Check what becomes of each odd key, and that no script stumbles over one."""
    book, planned, named = scene.book, World(), {}
    for what, name in {**_ODD, "1,024 bytes": _longest(scene.source)}.items():
        named[what] = add(planned, scene.source, name)
    job = scene.job(_PREFIX, planned)
    with book.check("odd keys: migrate.py comes to its end"):
        ran = job.migrate()
        assert ran.code in (0, 1), f"exit code {ran.code}: {ran.said}"
    completed, failed = {row.url for row in job.completed()}, job.causes()
    for what, url in named.items():
        with book.check(f"odd keys: {what}, is stored"):
            assert url in completed, (
                f"{failed.get(url)}: {job.failed()[url].message if url in failed else 'no record'}"
            )
    with book.check("odd keys: each is completed or has failed"):
        equal(completed | set(failed), set(planned.urls), "URLs with a record")
    with book.check("odd keys: what is recorded as completed is at its key"):
        scene.judge.assert_bytes(
            scene.bucket, {job.prefix + planned.names[url]: planned.bodies[url] for url in completed}
        )
    with book.check("odd keys: validate.py has a verdict"):
        ran = job.validate("--spot-check", "100")
        assert ran.code in (0, 1), f"exit code {ran.code}: {ran.said}"
        expected = {True: {"complete"}, False: {"incomplete", "complete_except_known"}}[not failed]
        verdict = job.validated()["verdict"]
        assert verdict in expected, f"{verdict}: {ran.said}"


def _longest(source: SourceServer) -> str:
    """Return the name whose key has 1,024 bytes, the most that S3 takes."""
    left = 1024 - len(f"{_PREFIX}/{source.prefix[1:]}")
    name = ("d" * 199 + "/") * (left // 200)
    return name + "n" * (left - len(name))
