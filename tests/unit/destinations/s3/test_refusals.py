"""The store's own words: one line, without secrets, and advice for what they name and for nothing else."""

from __future__ import annotations

import pytest

from cdn2s3.destinations.s3.errors import meaning
from cdn2s3.destinations.s3.refusals import denial_in, sentence_in
from cdn2s3.errors import FatalError

WHO = "User: arn:aws:sts::111122223333:assumed-role/mover/i-0 is not authorized to perform: "
OBJECT = ' on resource: "arn:aws:s3:::bucket/images/a.jpg" '


def body(message: str) -> bytes:
    return f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param("Access Denied", "Access Denied", id="plain"),
        pytest.param("two\n  lines\tand &quot;quotes&quot;", 'two lines and "quotes"', id="lines"),
        pytest.param(
            "see https://u:p@s3.example/a?X-Amz-Signature=abc", "see https://***@s3.example/a?***", id="URL"
        ),
        pytest.param("the key AKIAIOSFODNN7EXAMPLE is off", "the key …MPLE is off", id="access key"),
        pytest.param("\x1b[31mred", "\\x1b[31mred", id="terminal"),
        pytest.param("x" * 1000, "x" * 400 + "…", id="endless"),
    ],
)
def test_sentence_is_one_line_without_secrets(message: str, shown: str) -> None:
    assert sentence_in(body(message)) == shown


@pytest.mark.parametrize("text", [b"", b"<html>no</html>", b"<Message></Message>"])
def test_response_without_a_sentence(text: bytes) -> None:
    assert sentence_in(text) == ""


# Sentences as the IAM User Guide ("Troubleshoot access denied error messages") and S3's own responses have them.
@pytest.mark.parametrize(
    ("sentence", "advice", "lacks_grant"),
    [
        (WHO + "s3:PutObject", "grant the missing permission s3:PutObject", True),
        (
            WHO + "s3:PutObject" + OBJECT + "because no identity-based policy allows the s3:PutObject action",
            "add the missing permission s3:PutObject to the role's policy",
            True,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "because no resource-based policy allows the s3:PutObject action",
            "add the missing permission s3:PutObject to the policy of the bucket",
            True,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "because no VPC endpoint policy allows the s3:PutObject action",
            "to the policy of the VPC endpoint",
            False,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "because no permissions boundary allows the s3:PutObject action",
            "to the role's permissions boundary",
            False,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "because no session policy allows the s3:PutObject action",
            "to the session policy",
            False,
        ),
        (
            WHO
            + "s3:PutObject"
            + OBJECT
            + "because no service control policy allows the s3:PutObject action",
            "to the organization's service control policy",
            False,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "with an explicit deny in a resource-based policy",
            "an explicit deny in a resource-based policy refuses s3:PutObject",
            False,
        ),
        (
            WHO + "s3:PutObject" + OBJECT + "with an explicit deny in a VPC endpoint policy",
            "an explicit deny in a VPC endpoint policy refuses s3:PutObject",
            False,
        ),
        (
            WHO + "kms:GenerateDataKey on resource: arn:aws:kms:us-west-2:111122223333:key/1 because no "
            "identity-based policy allows the kms:GenerateDataKey action",
            "add the missing permission kms:GenerateDataKey to the role's policy",
            False,
        ),
        (
            WHO
            + "kms:GenerateDataKey on resource: arn:aws:kms:us-west-2:111122223333:key/1 with an explicit deny in "
            "a service control policy",
            "an explicit deny in a service control policy refuses kms:GenerateDataKey",
            False,
        ),
        (
            "The ciphertext refers to a key that kms:Decrypt may not use.",
            "allow kms:Decrypt on the KMS key",
            False,
        ),
        ("Access is blocked by S3 Block Public Access settings", "leave OBJECT_ACL empty", False),
        ("public ACLs are prevented by the BlockPublicAcls setting", "leave OBJECT_ACL empty", False),
        ("The bucket is Requester Pays", "Requester Pays", False),
        ("x-amz-content-sha256 must not be UNSIGNED-PAYLOAD", "forbids bodies without a signature", False),
    ],
    ids=lambda value: value[-40:] if isinstance(value, str) else "",
)
def test_advice_is_for_what_the_sentence_names(sentence: str, advice: str, lacks_grant: bool) -> None:
    denial = denial_in(sentence)
    assert denial is not None
    assert advice in denial.advice
    assert denial.lacks_grant == lacks_grant
    error = meaning(403, "AccessDenied", "PUT", sentence=sentence)
    assert isinstance(error, FatalError)
    assert sentence in str(error) and advice in str(error)
    assert "PutObject" in sentence or "PutObject" not in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("sentence", ["", "Access Denied", "Access Denied."])
def test_sentence_that_says_nothing_gets_all_the_reasons(sentence: str) -> None:
    assert denial_in(sentence) is None
    said = str(meaning(403, "AccessDenied", "PUT", sentence=sentence))
    for reason in ("permission", "EXPECTED_BUCKET_OWNER", "policy", "Requester Pays"):
        assert reason in said
