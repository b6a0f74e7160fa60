"""Serve the demo's bucket as a new CDN in front of S3 would, set up wrongly at first.

S3 reads a raw `+` in a path as a blank. Two things are planted: a function of the CDN decodes %2B, and a policy
replaces one content type. `mend()` puts them right.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from demo.changing_site import CONVERTED, WRONG_TYPE
from demo.server import DemoHandler, DemoServer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FUNCTION = (  # as docs/cutover.md has it
    "function handler(e) { var r = e.request; r.uri = r.uri.replace(/\\+/g, '%2B'); return r; }"
)


class NewCdn(DemoServer):
    """The new CDN of one bucket. Its base URL ends in a slash."""

    def __init__(self, s3: S3Client, bucket: str, log: Path | None = None) -> None:
        super().__init__(NewCdnHandler, log=log)
        self.s3 = s3
        self.bucket = bucket
        self.base = f"{self.url}/"
        self.is_mended = False

    def __enter__(self) -> NewCdn:
        super().__enter__()
        return self

    def mend(self) -> None:
        """Replace the function by the right one, and let the bucket's content types through."""
        self.is_mended = True

    def origin_path(self, path: str) -> str:
        """Return what the CDN asks the bucket for: path as its function at the viewer's request changes it."""
        return path.replace("+", "%2B") if self.is_mended else path.replace("%2B", "+")

    def type_of(self, key: str, own: str) -> str:
        """Return the content type that visitors get."""
        return own if self.is_mended or not key.endswith("." + CONVERTED) else WRONG_TYPE


class NewCdnHandler(DemoHandler):
    """Answer GET and HEAD."""

    server: NewCdn

    def reply(self) -> None:
        """Serve an object of the bucket: whole, its first byte, or 304."""
        server = self.server
        key = unquote_plus(server.origin_path(self.request.path))[1:]
        try:
            found = server.s3.get_object(Bucket=server.bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            body = f"<Error><Code>{code}</Code></Error>".encode()
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.answer(status, {"Content-Type": "application/xml", "x-cache": "Error"}, body)
            return
        body = found["Body"].read()
        headers = {
            "Content-Type": server.type_of(key, found["ContentType"]),
            "ETag": found["ETag"],
            "Accept-Ranges": "bytes",
            "x-cache": "Miss",
        }
        if self.request.headers.get("if-none-match") == found["ETag"]:
            self.answer_head(304, headers, len(body))
        elif self.request.headers.get("range") == "bytes=0-0":
            self.answer(206, {**headers, "Content-Range": f"bytes 0-0/{len(body)}"}, body[:1])
        else:
            self.answer(200, headers, body)
