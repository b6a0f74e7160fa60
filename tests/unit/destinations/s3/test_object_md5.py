"""What a run under INTEGRITY=auto takes for the MD5 of an object, answer by answer, and when it ends."""

from __future__ import annotations

import logging
from hashlib import md5

import pytest

from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.object_md5 import MOST_WITHOUT, Md5Source
from cdn2s3.records import ANSWERED, COMPUTED, UNANSWERED, UNKNOWN, Image

BODY = b"\xff\xd8\xff an image"
TRUE, ANOTHER = md5(BODY).hexdigest(), "0" * 32
WITH_CRC = Image(memoryview(BODY), "image/jpeg", b"", 1)


def answer(etag: str, encryption: str = "") -> S3Response:
    more = {"x-amz-server-side-encryption": encryption} if encryption else {}
    return S3Response(200, {"etag": etag, **more}, b"")


@pytest.mark.parametrize(
    ("reply", "text", "source"),
    [
        pytest.param(answer(f'"{ANOTHER}"'), ANOTHER, ANSWERED, id="not said how it is encrypted"),
        pytest.param(answer(f'"{ANOTHER}"', "AES256"), ANOTHER, ANSWERED, id="AES256"),
        pytest.param(answer(f'"{ANOTHER}"', "aws:kms"), TRUE, UNANSWERED, id="KMS that looks like an MD5"),
        pytest.param(answer(f'"{ANOTHER}"', "aws:kms:dsse"), TRUE, UNANSWERED, id="KMS twice"),
        pytest.param(answer(f'"{ANOTHER}"', "aws:fsx"), TRUE, UNANSWERED, id="another encryption"),
        pytest.param(answer(f'"{ANOTHER}-2"'), TRUE, UNANSWERED, id="parts"),
        pytest.param(answer(f'W/"{ANOTHER}"'), TRUE, UNANSWERED, id="weak"),
        pytest.param(answer(f'"{TRUE.upper()}"'), TRUE, UNANSWERED, id="capitals"),
        pytest.param(answer('"opaque"'), TRUE, UNANSWERED, id="opaque"),
    ],
)
def test_only_an_etag_that_is_an_md5_by_form_and_encryption_counts(
    reply: S3Response, text: str, source: str
) -> None:
    assert Md5Source(True, lambda: True).of(WITH_CRC, reply) == (text, source)


def test_md5_that_was_sent_is_recorded_and_none_is_made_up() -> None:
    sent = WITH_CRC._replace(md5=md5(BODY).digest())
    assert Md5Source(True, lambda: True).of(sent, answer(ANOTHER)) == (TRUE, COMPUTED)
    assert Md5Source(False, lambda: True).of(WITH_CRC, answer(ANOTHER)) == (UNKNOWN, COMPUTED)


@pytest.mark.parametrize("goes_on", [True, False])
def test_auto_ends_once_after_so_many_answers_in_a_row(
    goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[bool] = []

    def end() -> bool:
        ends.append(goes_on)
        return goes_on

    source, kms = Md5Source(True, end), answer(f'"{ANOTHER}"', "aws:kms")
    with caplog.at_level(logging.WARNING):
        for _ in range(MOST_WITHOUT - 1):
            source.of(WITH_CRC, kms)
        source.of(WITH_CRC, answer(f'"{TRUE}"'))  # one that has an MD5 begins the count anew
        for _ in range(MOST_WITHOUT - 1):
            source.of(WITH_CRC, kms)
        assert ends == []
        for _ in range(MOST_WITHOUT):
            assert source.of(WITH_CRC, kms) == (TRUE, UNANSWERED)
    assert ends == [goes_on]
    [said] = caplog.messages
    assert "encryption aws:kms" in said
    assert ("goes on with INTEGRITY=md5" in said) is goes_on
