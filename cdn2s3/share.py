"""The share of a URL, 0 to 99, by which some of all URLs are chosen: the same for ever, and in any language. Pure.

It is the MD5 of the path, which languages, databases and CloudFront Functions all have: docs/cutover.md.
"""

from __future__ import annotations

from hashlib import md5

from cdn2s3.url_prefixes import located

SHARES = 100


def share_of(url: str) -> int:
    """Return the share of url: `int(md5(path)[:8], 16) % 100`.

    path is what url says between its host and its query or fragment, as it stands, with its leading slash.
    """
    parts = located(url)
    path = (parts.rest if parts else url).partition("#")[0].partition("?")[0]
    return int(md5(path.encode(), usedforsecurity=False).hexdigest()[:8], 16) % SHARES
