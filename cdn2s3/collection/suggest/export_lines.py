"""The settings that the head of an export suggests: its format, and the columns that have image URLs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from cdn2s3.collection.suggest.proposal import Line, Proposal


def propose(path: Path) -> Proposal:
    return Proposal([], [])


def propose_body(url: str, body: bytes) -> Proposal:
    """Return what an answer suggests that is no JSON: a sitemap, or an export to be downloaded first."""
    head = body[:4096].decode("utf-8", "replace")
    if re.search(r"<(\w+:)?(urlset|sitemapindex)\b", head):
        origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
        hosts = re.findall(r"<image:loc>\s*(https?://[^/\s<]+/)", body.decode("utf-8", "replace"))
        prefix = " ".join(dict.fromkeys(hosts)) or origin
        return Proposal(
            [
                Line("SOURCE", "sitemap", "it is a sitemap"),
                Line("SITEMAP_URL", url, ""),
                Line(
                    "URL_PREFIX",
                    prefix,
                    "the host of the images" if hosts else "the sitemap's host",
                    not hosts,
                ),
            ],
            [],
        )
    return Proposal([], ["the answer is no JSON. If it is an export, download it, then --suggest the file"])
