"""Bytes, seconds and numbers of things are said as a person does."""

from __future__ import annotations

import pytest

from cdn2s3.text import bytes_text, duration, percentage, pluralize, redact, span


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (390_000, "390 KB"),
        (12_345_678, "12.3 MB"),
        (999_700_000, "1 GB"),
        (1.56e12, "1.56 TB"),
        (1.56e15, "1.56 PB"),
    ],
)
def test_bytes_as_text(size: float, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        pytest.param(1, "100%", id="all"),
        pytest.param(0.9999999, "99.99%", id="all but one of millions"),
        pytest.param(0.999, "99.9%", id="the target"),
        pytest.param(1986 / 1997, "99.44%", id="rounded down"),
        pytest.param(0, "0%", id="none"),
    ],
)
def test_share_is_never_rounded_up(share: float, text: str) -> None:
    assert percentage(share) == text


@pytest.mark.parametrize(
    ("seconds", "about", "exactly"),
    [
        pytest.param(0, "0 s", "0.0 s", id="none"),
        pytest.param(45.4, "45 s", "45.4 s", id="seconds"),
        pytest.param(59.97, "60 s", "60.0 s", id="nearly a minute"),
        pytest.param(725, "12 min", "12 min 5 s", id="minutes"),
        pytest.param(11_100, "3 h 05 min", "3 h 05 min", id="hours"),
    ],
)
def test_length_of_time_as_text(seconds: float, about: str, exactly: str) -> None:
    assert (duration(seconds), span(seconds)) == (about, exactly)


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 URLs"), (1, "1 URL"), (2, "2 URLs"), (1_005, "1,005 URLs")], ids=str
)
def test_plural_is_of_all_numbers_but_one(number: int, said: str) -> None:
    assert pluralize(number, "URL") == said


def test_plural_that_is_not_one_with_an_s() -> None:
    assert pluralize(1, "object gone", "objects gone") == "1 object gone"
    assert pluralize(100, "object gone", "objects gone") == "100 objects gone"


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?>',
        '/sitemap.xml begins with <?xml version="1.0"?>',
        "the API at https://h/v1 sent <?php echo 1;",
        '<a href="/x"/><?pi ?>',
        "https://h:9 does not speak TLS: http instead of https?. Check it",
        "is https://h/a right (really?), or https://h/b?! See 'http://h/c?'",
    ],
)
def test_what_is_no_url_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
