"""Serve the world's images as CloudFront would, faults included.

    python -m demo.cdn --port 8080

In tests: `with CdnServer(build_world()) as cdn:` and then `cdn.url`, `cdn.requests["GET", path]`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote

from demo.server import DemoHandler, DemoServer, arguments, wait_for_the_end
from demo.world import EDGE_LOCATION, Fault, Image, World, build_small_world, build_world

DRIP_BYTES = 64  # at a time
DRIP_EVERY = 0.25  # seconds; a picture of 20 KB takes more than a minute

LOGIN_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
)
NO_SUCH_KEY = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'
ACCESS_DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
UNAVAILABLE = b"<html><head><title>503 Service Unavailable</title></head></html>"


class CdnServer(DemoServer):
    """The CDN. `requests` counts GET and HEAD per percent-decoded path, good and bad ones."""

    def __init__(self, world: World, port: int = 0, log: Path | None = None) -> None:
        super().__init__(CdnHandler, port, log)
        self.world = world

    def __enter__(self) -> CdnServer:
        super().__enter__()
        return self


class CdnHandler(DemoHandler):
    """Answer GET and HEAD."""

    server: CdnServer

    def reply(self) -> None:
        """Serve an image, or the fault that is planted in it."""
        path = unquote(self.request.path)
        number = self.server.count(self.request.method, path)
        image = self.server.world.images.get(path)
        if image is None:
            self._refuse(404, NO_SUCH_KEY)
        elif image.fault and self._hits(image.fault, number):
            self._fail(image, image.fault.name)
        else:
            self._serve(image, number)

    def _hits(self, fault: Fault, number: int) -> bool:
        """Say whether the fault acts on the `number`-th request; one that heals acts on downloads only."""
        return fault.first is None or (self.request.method == "GET" and number <= fault.first)

    def _serve(self, image: Image, number: int) -> None:
        """Send the true bytes, or 304 to who has them."""
        body = self.server.world.body(image)
        headers = self._headers(image, "Miss" if number == 1 else "Hit", body)
        if self.request.headers.get("if-none-match") == headers["ETag"]:
            self.answer_head(304, headers, len(body))
        else:
            self.answer(200, headers, body)

    def _refuse(self, status: int, body: bytes, **headers: str) -> None:
        """Send an error with CloudFront's headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        edge = {"x-cache": "Error from cloudfront", "x-amz-cf-pop": EDGE_LOCATION}
        self.answer(status, {"Content-Type": "application/xml", **edge, **named}, body)

    def _fail(self, image: Image, fault: str) -> None:
        """Send what is planted instead of the image."""
        if fault == "not_found":
            self._refuse(404, NO_SUCH_KEY)
        elif fault == "forbidden":
            self._refuse(403, ACCESS_DENIED)
        elif fault == "burst":
            self._refuse(503, UNAVAILABLE, Retry_After="1")
        elif fault == "html":
            self.answer(200, self._headers(image, "Hit", LOGIN_PAGE), LOGIN_PAGE)
        elif fault == "empty":
            self.answer(200, self._headers(image, "Hit", b""), b"")
        else:
            self._spoil(image, fault)

    def _spoil(self, image: Image, fault: str) -> None:
        """Promise the whole image, and cut its body short or let it drip."""
        body = self.server.world.body(image)
        self.close_connection = True
        self.answer_head(200, self._headers(image, "Miss", body), len(body))
        if fault == "truncated":
            self.connection.send(body[: len(body) * 6 // 10])
        else:
            self.connection.drip(body, DRIP_EVERY, DRIP_BYTES)

    def _headers(self, image: Image, cache: str, body: bytes) -> dict[str, str]:
        """Return the headers of an answer with status 200."""
        return {
            "Content-Type": image.label,
            "ETag": f'"{hashlib.md5(body).hexdigest()}"',
            "Last-Modified": image.modified,
            "Accept-Ranges": "bytes",
            "x-cache": f"{cache} from cloudfront",
            "via": "1.1 0f2c5e1a9b7d4c3e8f60.cloudfront.net (CloudFront)",
            "x-amz-cf-pop": EDGE_LOCATION,
        }


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop."""
    options = arguments("Serve the demo's images as CloudFront would; the port is printed.").parse_args(argv)
    world = build_small_world() if options.small else build_world()
    with CdnServer(world, options.port, options.log) as cdn:
        wait_for_the_end(cdn.port, options.until_stdin_closes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
