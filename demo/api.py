"""Serve the world's lots as an auction house's API would, in all five ways of paging.

    python -m demo.api --port 8081 --cdn-url http://127.0.0.1:8080 --token secret

`/v1/STYLE/lots` with STYLE page, offset, cursor, next_url or link_header; each gives the same lots in the
same order, `per_page` of them (default 100) or fewer. In tests: `with ApiServer(world, cdn.url) as api:` and
`api.endpoint("cursor")`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from demo.server import DemoHandler, DemoServer, arguments, wait_for_the_end
from demo.world import Lot, World, build_small_world, build_world

STYLES = ("page", "offset", "cursor", "next_url", "link_header")
TOKEN = "demo-token"  # what the demo's API accepts unless told otherwise

# Where things happen, as numbers of lots. No page reaches across SHORT_PAGE_AT: the page before it is a short
# one, and a reader who takes a short page for the last one loses everything behind it.
SHORT_PAGE_AT = 430
ERROR_AT = 250  # the first request that would return this lot gets a 500
THROTTLED_AT = 700  # and the first one for this lot a 429 with Retry-After: 1


class Page(NamedTuple):
    """Which lots a request is answered with."""

    start: int
    stop: int  # the first lot of the next page
    size: int  # what was asked for


class BadRequestError(Exception):
    """A parameter is not what it should be; its text is the answer."""


def page_from(start: int, size: int, total: int) -> Page:
    """Return the page of at most `size` lots that begins at `start`, out of `total`."""
    end = SHORT_PAGE_AT if start < SHORT_PAGE_AT else total
    return Page(min(start, total), min(start + size, max(end, start), total), size)


def start_of(number: int, size: int, total: int) -> int:
    """Return where page `number`, from 1, begins."""
    start = 0
    for _ in range(number - 1):
        start = max(page_from(start, size, total).stop, start)
    return start


class ApiServer(DemoServer):
    """The API. Errors are planted once per server, whoever asks first gets them."""

    def __init__(
        self,
        world: World,
        cdn_url: str,
        port: int = 0,
        *,
        token: str = TOKEN,
        faults: bool = True,
        log: Path | None = None,
    ) -> None:
        super().__init__(ApiHandler, port, log)
        self.world = world
        self.cdn_url = cdn_url
        self.token = token
        self.faults = faults

    def __enter__(self) -> ApiServer:
        super().__enter__()
        return self

    def endpoint(self, style: str) -> str:
        """Return the URL that pages in `style`, one of STYLES."""
        return f"{self.url}/v1/{style}/lots"


class ApiHandler(DemoHandler):
    """Answer GET."""

    server: ApiServer

    def reply(self) -> None:
        """Serve one page, an error if one is planted there, 401 without the token."""
        url = urlsplit(self.request.target)
        self.server.count("GET", url.path)
        style = url.path[len("/v1/") : -len("/lots")]
        if self.request.headers.get("authorization") != f"Bearer {self.server.token}":
            self._send(401, {"error": "a valid bearer token is required"}, {"WWW-Authenticate": "Bearer"})
        elif url.path != f"/v1/{style}/lots" or style not in STYLES:
            self._send(404, {"error": f"no such endpoint: {url.path}"})
        else:
            try:
                page = self._asked_for(style, parse_qs(url.query))
            except BadRequestError as problem:
                self._send(400, {"error": str(problem)})
                return
            self._send_page(style, page)

    def _asked_for(self, style: str, query: dict[str, list[str]]) -> Page:
        """Read the parameters; `cursor`, `next_url` and `link_header` begin at the beginning without one."""
        total = len(self.server.world.lots)
        size = _number(query, "per_page", 100, least=1)
        if style == "page":
            return page_from(start_of(_number(query, "page", 1, least=1), size, total), size, total)
        if style == "offset":
            return page_from(_number(query, "offset", 0, least=0), size, total)
        cursor = query.get("cursor", [""])[0]
        try:
            start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        except ValueError:
            raise BadRequestError(f"unknown cursor:  {cursor!r}") from None
        return page_from(start, size, total)

    def _send_page(self, style: str, page: Page) -> None:
        """Send a page and, where there is one, the way to the next."""
        if self._planted(ERROR_AT, page, "error"):
            self._send(500, {"error": "internal error"})
            return
        if self._planted(THROTTLED_AT, page, "throttled"):
            self._send(429, {"error": "too many requests"}, {"Retry-After": "1"})
            return
        lots = self.server.world.lots
        answer: dict[str, Any] = {
            "total": len(lots),
            "items": [self._item(lot) for lot in lots[page.start : page.stop]],
        }
        headers = {}
        cursor = base64.urlsafe_b64encode(b"%06d" % page.stop).decode() if page.stop < len(lots) else None
        following = cursor and f"{self.server.endpoint(style)}?per_page={page.size}&cursor={cursor}"
        if style == "cursor":
            answer["next_cursor"] = cursor
        elif style == "next_url":
            answer["next"] = following
        elif style == "link_header" and following:
            headers["Link"] = f'<{following}>; rel="next"'
        self._send(200, answer, headers)

    def _planted(self, place: int, page: Page, name: str) -> bool:
        """Say whether an error strikes: the first time that a page holds the lot at `place`."""
        inside = page.start <= place < page.stop
        return self.server.faults and inside and self.server.count(name, "") == 1

    def _item(self, lot: Lot) -> dict[str, Any]:
        """Write one lot as the API gives it."""
        return {
            "auction_id": lot.auction,
            "lot_number": lot.number,
            "image_url": self._absolute(lot.image),
            "thumb_url": self._absolute(lot.thumb),
        }

    def _absolute(self, path: str) -> str:
        """Put the CDN before a path; another host's URL stays as it is."""
        return self.server.cdn_url + path if path.startswith("/") else path

    def _send(self, status: int, contents: Any, headers: dict[str, str] | None = None) -> None:
        """Send JSON, as raw UTF-8."""
        body = json.dumps(contents, ensure_ascii=False).encode("utf-8")
        self.answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def _number(query: dict[str, list[str]], name: str, default: int, least: int) -> int:
    """Return a whole number from the query. Raises BadRequestError."""
    text = query.get(name, [str(default)])[0]
    if not text.isdigit() or int(text) < least:
        raise BadRequestError(f"{name} must be a whole number of at least {least}, not {text!r}")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = arguments("Serve the demo's lots as an API would; the port is printed.")
    parser.add_argument("--cdn-url", required=True, help="base URL of the images, without a trailing slash")
    parser.add_argument("--token", default=TOKEN, help="the bearer token to require (%(default)s)")
    options = parser.parse_args(argv)
    world = build_small_world() if options.small else build_world()
    server = ApiServer(world, options.cdn_url, options.port, token=options.token, log=options.log)
    with server as api:
        wait_for_the_end(api.port, options.until_stdin_closes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
