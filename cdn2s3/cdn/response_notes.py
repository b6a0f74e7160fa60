"""What is odd about a response that was taken all the same: to be counted and shown with an example. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cdn2s3.cdn.content_coding import coding_of

VARIES = "that the CDN answers by the Accept header (Vary: Accept): other clients may get another format"
COMPRESSED = "that the CDN compressed unasked (SOURCE_ENCODING)"


def oddities(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is odd about a response with headers, each as a plural clause; () for nearly every one."""
    vary, coding = headers.get("vary"), headers.get("content-encoding")
    if vary is None and coding is None:
        return ()
    found = []
    if vary is not None and "accept" in (name.strip() for name in vary.lower().split(",")):
        found.append(VARIES)
    if coding is not None and coding_of(headers):
        found.append(COMPRESSED)
    return tuple(found)
