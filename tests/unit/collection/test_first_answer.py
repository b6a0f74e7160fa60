"""What a CDN answers to one URL, and what that says against a list."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.collection.first_answer import CdnAnswer, are_wrong, ask, doubt
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.source import SourceServer
from tests.fakes.wire import Connection, Listener, response

URL = "https://cdn.test/a.jpg?Signature=s3cret"


def settings(**values: str) -> CollectionSettings:
    return build(CollectionSettings, {"SOURCE": "lots", **values}, {}, Path("collection.env"))


@pytest.mark.parametrize(
    ("fault", "status", "is_there"), [("", 200, True), ("404", 404, False), ("403", 403, False)]
)
def test_answer_is_that_of_a_head(
    source_server: Callable[..., SourceServer], fault: str, status: int, is_there: bool
) -> None:
    answer = ask(source_server().url_of("a.jpg", *filter(None, [fault])), settings())
    assert (answer.status, answer.is_there) == (status, is_there)


@pytest.mark.parametrize("refused", [403, 405, 501])
def test_where_head_is_refused_one_byte_is_asked_for(refused: int) -> None:
    asked: list[str] = []

    def serve(connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            asked.append(f"{request.method} {request.headers.get('range', '')}".strip())
            is_head = request.method == "HEAD"
            head = [("Content-Type", "image/png"), ("Content-Length", "0" if is_head else "1")]
            connection.send(response(refused if is_head else 206, head, b"" if is_head else b"x"))

    listener = Listener(serve)
    try:
        answer = ask(f"http://127.0.0.1:{listener.port}/a.png", settings())
    finally:
        listener.stop()
    assert (answer.is_there, str(answer)) == (True, "206, image/png")
    assert asked == ["HEAD", "GET bytes=0-0"]


def test_server_that_is_away_is_no_doubt() -> None:
    answer = ask("http://127.0.0.1:1/a.jpg", settings())
    assert "no answer" in str(answer)
    assert doubt(answer, settings()) == ""


@pytest.mark.parametrize(
    ("answer", "values", "said"),
    [
        pytest.param(CdnAnswer(URL, 404), {}, "correct where the URLs are found", id="as-found"),
        pytest.param(
            CdnAnswer(URL, 404), {"API_URL_BASE": "https://cdn.test/"}, "correct API_URL_BASE,", id="joined"
        ),
        pytest.param(
            CdnAnswer(URL, 410), {"API_URL_TEMPLATE": "https://cdn.test/{id}"}, "correct API_URL_TEMPLATE,", id="built"
        ),
        pytest.param(CdnAnswer(URL, 403), {}, "ask the CDN's owner", id="forbidden"),
        pytest.param(CdnAnswer(URL, 200, "text/html"), {}, "answered 200, text/html to", id="a-page"),
    ],
)  # fmt: skip
def test_answer_that_is_no_image_says_what_to_correct(
    answer: CdnAnswer, values: dict[str, str], said: str
) -> None:
    words = doubt(answer, settings(**values))
    assert said in words
    assert "https://cdn.test/a.jpg?***, the first URL" in words
    assert doubt(answer._replace(status=206, content_type="image/png"), settings(**values)) == ""


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ([CdnAnswer(URL, 404), CdnAnswer(URL, 200, "application/json")], True),
        ([CdnAnswer(URL, 404), CdnAnswer(URL, 200, "image/jpeg")], False),
        ([CdnAnswer(URL, 403)], False),
        ([CdnAnswer(URL, None)], False),
    ],
    ids=["gone-and-a-page", "one-is-there", "forbidden", "no-answer"],
)
def test_list_that_our_settings_build_is_wrong_where_nothing_is_there(
    answers: list[CdnAnswer], wrong: bool
) -> None:
    assert are_wrong(answers, settings(API_URL_BASE="https://cdn.test/")) == wrong
    assert not are_wrong(answers, settings())
