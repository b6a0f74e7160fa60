"""Keys that S3 takes and many other stores do not: those that are files in folders refuse them, or fold them. Pure.

Source: Amazon S3 User Guide, "Naming Amazon S3 objects"; MinIO, SeaweedFS, rclone serve s3 and s3rver answer 400 to
some of these, or store `a//b` as `a/b`; file systems take 255 bytes in a name (NAME_MAX).
"""

from __future__ import annotations

LONGEST_SEGMENT = 255  # bytes
_SLASH = ord("/")


def oddity(key: str) -> str:
    """Return what is odd about a key, "" where nothing is."""
    return oddity_of(key.encode("utf-8", "surrogateescape"))


def oddity_of(key: bytes) -> str:
    """Return the same for the bytes of a key, which is not empty; that takes less than a microsecond."""
    if b"//" in key or b"/." in key or len(key) > LONGEST_SEGMENT or key[-1] == _SLASH or key[0] in b"/.":
        return _named(key)
    return ""


def _named(key: bytes) -> str:
    segments = key.split(b"/")
    if b"" in segments[:-1]:
        return "an empty segment (//)"
    if b"." in segments or b".." in segments:
        return "a segment that is a dot (/./)"
    if not segments[-1]:
        return "a / at its end"
    if max(map(len, segments)) > LONGEST_SEGMENT:
        return f"a segment over {LONGEST_SEGMENT} bytes"
    return ""
