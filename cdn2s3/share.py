"""The share of a URL, 0 to 99, by which some of all URLs are chosen: the same for ever, and in any language. Pure.

It is the MD5 of the path, which languages, databases and CloudFront Functions all have: docs/share.md.
"""

from __future__ import annotations

from hashlib import md5

from cdn2s3.keys import url_of

SHARES = 100


def path_of(line: bytes) -> bytes:
    """Return the path of a line's URL as the list has it: raw, from its first slash, without query and fragment."""
    url = url_of(line).partition(b"#")[0].partition(b"?")[0]
    host_and_path = url.partition(b"://")[2]
    return host_and_path[host_and_path.find(b"/") :] if b"/" in host_and_path else b""


def share_in(line: bytes) -> int:
    """Return the share of the URL of a line of the input: `int(md5(path)[:8], 16) % 100`."""
    return int(md5(path_of(line), usedforsecurity=False).hexdigest()[:8], 16) % SHARES


def share_of(url: str) -> int:
    """Return the share of url, undecodable bytes as surrogates (errors="surrogateescape")."""
    return share_in(url.encode("utf-8", "surrogateescape"))
