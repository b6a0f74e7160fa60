"""What a torture is made of: the URLs that a seed draws, and the faults that they and the servers meet."""

from __future__ import annotations

import random
import zlib
from typing import NamedTuple

from tests.fakes.api import Answer, Fault
from tests.fakes.rules import Rule
from tests.fakes.source import SourceServer
from tests.running import key_of

FAULTY = 0.05  # share of URLs that meet a fault of the CDN, and of uploads that meet one of the bucket
STAYING = 0.01  # share of URLs whose fault stays: each run tries them all again, which takes time
CONFLICTING = 0.002  # share of URLs whose key holds something else before
LARGE = 0.001  # share of URLs whose image goes in parts: MAX_BUFFER_MB is 1
LARGE_BYTES = 1_200_000
FOR_EVER = {  # fault -> causes it may end as
    "short_body": "truncated", "chunked_cut": "truncated", "no_length_cut": "truncated",
    "stall_body": "timeout", "stall_headers": "timeout", "drip_body": "timeout", "drip_headers": "timeout",
    "gzip_cut": "truncated", "html": "not_an_image", "empty": "empty",
    "204": "empty", "206": "server_error", "redirect_host": "forbidden", "redirect_loop": "forbidden",
    "403": "forbidden", "404": "not_found", "410": "not_found", "garbage": "server_error",
    "lengths_differ": "server_error", "500": "server_error", "close": "connection",
}  # fmt: skip
PASSING = [
    "short_body.1", "chunked_cut.1", "no_length_cut.1", "500.1", "503.1", "reset.1", "close.1", "stall_body.1",
    "garbage.1", "chunked", "no_length", "http10", "surplus", "close_after", "gzip_mislabelled", "gzip",
    "redirect_fine", "early_hints", "cookies",
]  # fmt: skip
OF_THE_BUCKET = [
    "SlowDown", "InternalError", "BadDigest", "RequestTimeout", "500_after_store", "drop_after_store",
    "drop_before", "reset_mid_body", "200_empty", "200_html", "200_without_etag", "corrupt_body",
    "cut_answer", "garbage_answer", "close_after",
]  # fmt: skip
OF_THE_API = [  # what it says in place of a page
    Answer(500), Answer(503, b"", (("Retry-After", "1"),)), Answer(429), Answer(200, b'{"items": [{'),
    Answer(0, hang_up=True),
]  # fmt: skip
FAULTY_PAGES = 0.01  # share of requests for a page; each costs the collection a second


class Plan(NamedTuple):
    """What a seed makes of a number of URLs."""

    urls: list[str]  # distinct, well-formed
    causes: dict[str, str]  # the URLs that can only fail, and how
    listed: list[str]  # what the API says: the URLs, and foreign and repeated ones among them
    foreign: dict[str, bytes]  # key -> what it held before, which is not its image

    @property
    def rejected(self) -> list[str]:
        """What the API says and the collection refuses."""
        return [url for url in self.listed if _is_elsewhere(url)]


def plan(source: SourceServer, draw: random.Random, urls: int) -> Plan:
    """Draw URLs with their faults, odd ones between them, and objects that are there before."""
    made, causes, foreign = [], {}, {}
    for number in range(urls):
        fault, size, name = "", None, f"{number % 97}/i{number:06}.jpg"
        chance = draw.random()
        if chance < STAYING:
            fault = draw.choice(sorted(FOR_EVER))
        elif chance < FAULTY:
            fault = draw.choice(PASSING)
        elif chance < FAULTY + LARGE:
            size = LARGE_BYTES
        url = source.url_of(name, fault, size)
        made.append(url)
        if fault in FOR_EVER:
            causes[url] = FOR_EVER[fault]
        elif chance > 1 - CONFLICTING:
            foreign[key_of(source, url)] = b"somebody else's " + name.encode()
            causes[url] = "conflict"
    return Plan(made, causes, _with_odd_ones(made, draw), foreign)


def _with_odd_ones(urls: list[str], draw: random.Random) -> list[str]:
    listed = list(urls)
    for number in range(max(3, len(urls) // 500)):
        at = draw.randrange(1, len(listed) + 1)
        odd = f"https://elsewhere.example/{number}.jpg", draw.choice(listed[:at])
        listed.insert(at, odd[number % 4 > 0])
    return listed


def _is_elsewhere(url: str) -> bool:
    return url.startswith("https://elsewhere.example/")


def edited(lines: list[str], draw: random.Random) -> tuple[list[str], set[str]]:
    """Return lines as a careless hand leaves them, and those among them that are of another host."""
    lines = list(lines)
    elsewhere = set()
    for number in range(max(3, len(lines) // 500)):
        odd = "", f"https://elsewhere.example/by-hand-{number}.jpg", draw.choice(lines)
        lines.insert(draw.randrange(len(lines)), odd[number % 3])
        elsewhere |= {odd[1]} if number % 3 == 1 else set()
    return lines, elsewhere


def bucket_rules() -> list[Rule]:
    """Return the faults of the bucket; a large image's upload takes long to begin, so that kills fall into it."""
    share = FAULTY / len(OF_THE_BUCKET)
    of_puts = [
        Rule(fault, operation="PutObject", pattern=r"\.jpg$", probability=share) for fault in OF_THE_BUCKET
    ]
    return [*of_puts, Rule("slow_answer", operation="CreateMultipartUpload", seconds=0.7)]


def api_fault(seed: int) -> Fault:
    """Return what makes the API fail now and then; which request is struck follows from seed."""

    def fault(number: int, query: dict[str, str]) -> Answer | None:
        chance = zlib.crc32(f"{seed} {number}".encode()) / 2**32
        return OF_THE_API[number % len(OF_THE_API)] if chance < FAULTY_PAGES else None

    return fault


def size_of(target: str) -> int:
    """Return how many bytes the image at target has, unless its path says."""
    return 2_000 + zlib.crc32(target.encode()) % 6_000
