"""The source of a migration and what is planted in it: names of all kinds, large bodies, answers that are no image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.fakes.source import SourceServer

LARGE = 12_000_000  # bytes; over MAX_BUFFER_MB, so it is moved in parts of 8 MiB
_LATENCY = 0.01  # seconds of the source before each answer, so that a kill falls into the run
_AS_IT_STANDS = "/+&=~'(),;:@!*$"  # legal in a path, and seen there
NAMES = [
    "with blank/a b.jpg",
    "plus/a+b.jpg",
    "ampersand/a&b=c.jpg",
    "hash/a#b.jpg",
    "percent/100%.jpg",
    "percent/%41.jpg",
    "question/what?.jpg",
    "umlaut/grün.jpg",
    "ünï/日本 写真.jpg",
    "emoji/\U0001f600.jpg",
    "forms/\u00e9.jpg",  # the same letter composed …
    "forms/e\u0301.jpg",  # … and decomposed: two keys
    "case/A.jpg",
    "case/a.jpg",
    "quotes/it's (1).jpg",
    "marks/a=b;c,d@e!$*:f~g.jpg",
    "dots/.hidden.jpg",
    "dots/a..b.jpg",
    "deep/1/2/3/4/5/6/7/8/9/a.jpg",
    "long/" + "n" * 200 + ".jpg",
]


@dataclass
class World:
    """What urls.txt lists, and what has to come of it."""

    urls: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # URL -> its key after the prefix
    bodies: dict[str, bytes] = field(default_factory=dict)  # URL -> the bytes at the source
    causes: dict[str, str] = field(default_factory=dict)  # URL that has to fail -> its cause
    before: dict[str, bytes] = field(
        default_factory=dict
    )  # URL -> what somebody else has put at its key before

    @property
    def plain(self) -> list[str]:
        """The URLs that nothing is planted at."""
        return [url for url in self.urls if url not in self.causes and url not in self.before]

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Return what the bucket has to hold in the end."""
        stored = {url: body for url, body in self.bodies.items() if url not in self.causes}
        return {prefix + self.names[url]: body for url, body in {**stored, **self.before}.items()}


def open_source() -> SourceServer:
    """Return the CDN: small images, each known from its URL."""
    return SourceServer(latency=_LATENCY)


def world(source: SourceServer, urls: int) -> World:
    """Plan a migration of so many URLs, faults among them."""
    made = World()
    for name in ("before/equal.jpg", "before/other.jpg", f"size-{LARGE}/before/other.jpg"):
        add(made, source, name)
    equal, other, other_large = made.urls
    made.before = {
        equal: made.bodies[equal],
        other: b"\xff\xd8\xff somebody else's",
        other_large: b"\xff\xd8\xff theirs",
    }
    made.causes = {other: "conflict", other_large: "conflict"}
    for name in (
        f"size-{LARGE}/large.jpg",
        f"size-{LARGE}/grün/large 2.jpg",
        "fault-short_body.1/cut once.jpg",
    ):
        add(made, source, name)
    for name, cause in (
        ("404/gone.jpg", "not_found"),
        ("html/page.jpg", "not_an_image"),
        ("empty/e.jpg", "empty"),
    ):
        made.causes[add(made, source, f"fault-{name}")] = cause
    for name in NAMES:
        add(made, source, name)
    add(made, source, "raw/ä b.jpg", as_it_stands=_AS_IT_STANDS + "ä ")
    for number in range(urls - len(made.urls)):
        add(made, source, f"auctions/{number % 7}/i{number:04}.jpg")
    return made


def small_world(source: SourceServer, urls: int) -> World:
    """Plan a migration of so many URLs without faults: names of all kinds, and one body in parts."""
    made = World()
    for name in (f"size-{LARGE}/large.jpg", *NAMES, *(f"plain/{number}.jpg" for number in range(urls))):
        if len(made.urls) < urls:
            add(made, source, name)
    return made


def add(world: World, source: SourceServer, name: str, as_it_stands: str = _AS_IT_STANDS) -> str:
    """Let urls.txt list the image with this name under the source's prefix; return its URL."""
    url = source.url_prefix + "".join(c if c in as_it_stands else quote(c) for c in name)
    world.urls.append(url)
    world.names[url] = "images/" + name
    world.bodies[url] = source.body(url)
    return url


def lines(urls: Iterable[str]) -> str:
    """Return urls as a file of lines."""
    return "".join(f"{url}\n" for url in urls)
