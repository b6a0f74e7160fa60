"""Every error code of S3 is classified on purpose: stop the run, try again, or this object's own failure."""

from __future__ import annotations

import re

import botocore.loaders
import pytest

from cdn2s3.destinations.s3.errors import FATAL, meaning, region_in
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.resilience.throttling import code_in
from tests.fakes.s3_errors import ERRORS

# S3 API Reference, "Error responses", and what botocore's model of S3 lists; by what they mean for an upload.
STOP = {
    301: ["PermanentRedirect"],
    307: ["Redirect", "TemporaryRedirect"],
    400: [
        "AccessControlListNotSupported", "AuthorizationHeaderMalformed", "CredentialsNotSupported",
        "EndpointNotFound", "ExpiredToken", "ExpiredTokenException", "IllegalLocationConstraintException",
        "IncorrectEndpoint", "InvalidBucketName", "InvalidBucketOwnerAWSAccountID",
        "InvalidEncryptionAlgorithmError", "InvalidPathAccess", "InvalidStorageClass", "InvalidToken",
        "KMS.DisabledException",
        "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException", "KMS.NotFoundException",
        "KMS.AccessDeniedException", "MissingSecurityHeader", "TokenRefreshRequired",
    ],
    403: [
        "AccessDenied", "AccessKeyDisabled", "AccountProblem", "AllAccessDisabled", "InvalidAccessKeyId",
        "InvalidPayer", "InvalidSecurity", "MissingAuthenticationToken", "NotSignedUp", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        # of other stores: a full quota, an address in the wrong style, Requester Pays
        "QuotaExceeded", "BucketQuotaExceeded", "InsufficientStorageSpace", "SecondLevelDomainForbidden",
        "PathStyleDomainForbidden", "VirtualHostDomainRequired", "RequestPayerDenied",
    ],
    404: ["NoSuchBucket"],
    409: ["InvalidBucketState"],
    507: ["InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"],
}  # fmt: skip
AGAIN = {
    400: [
        "BadDigest", "IncompleteBody", "InvalidPart", "RequestTimeout", "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    ],
    404: ["NoSuchUpload"],
    409: ["ConditionalRequestConflict", "OperationAborted"],
    500: ["InternalError"],
    501: ["NotImplemented"],
    503: ["ServiceUnavailable"],
}  # fmt: skip
SLOWER = {
    429: ["TooManyRequests"],
    400: ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"],
    503: ["Busy", "SlowDown"],
}
# The object's own, or never an answer to what this tool asks for.
ITS_OWN = {
    400: [
        "AmbiguousGrantByEmailAddress", "AuthorizationQueryParametersError", "EntityTooLarge", "EntityTooSmall",
        "IllegalVersioningConfigurationException", "IncorrectNumberOfFilesInPostRequest", "InlineDataTooLarge",
        "InvalidAddressingHeader", "InvalidArgument", "InvalidDigest", "InvalidLocationConstraint",
        "InvalidPartOrder", "InvalidPolicyDocument", "InvalidSOAPRequest", "MissingAttachment",
        "MissingSecurityElement", "InvalidRequest", "InvalidTargetBucketForLogging",
        "InvalidURI", "KeyTooLongError", "MalformedACLError", "MalformedPOSTRequest", "MalformedTrailerError",
        "MalformedXML", "MaxMessageLengthExceeded", "MaxPostPreDataLengthExceededError", "MetadataTooLarge",
        "MissingRequestBodyError", "NoLoggingStatusForKey", "RequestIsNotMultiPartContent",
        "RequestTorrentOfBucketError", "TooManyBuckets", "UnexpectedContent", "UnresolvableGrantByEmailAddress",
        "UserKeyMustBeSpecified",
    ],
    403: ["CrossLocationLoggingProhibited"],
    404: ["NoSuchBucketPolicy", "NoSuchKey", "NoSuchLifecycleConfiguration", "NoSuchVersion"],
    405: ["MethodNotAllowed"],
    409: ["BucketAlreadyExists", "BucketAlreadyOwnedByYou", "BucketNotEmpty", "RestoreAlreadyInProgress"],
    411: ["MissingContentLength"],
    412: ["PreconditionFailed"],
    416: ["InvalidRange"],
}  # fmt: skip
ARCHIVED = {403: ["InvalidObjectState"]}  # it is there, and cannot be compared
KINDS = {"stop": STOP, "again": AGAIN, "slower": SLOWER, "its-own": ITS_OWN, "archived": ARCHIVED}
ROWS = [
    pytest.param(kind, status, code, id=f"{kind}-{code}")
    for kind, table in KINDS.items()
    for status, codes in table.items()
    for code in codes
]


def kind_of(error: Exception) -> str:
    if isinstance(error, TransientError):
        assert error.cause in {"throttled", "server_error"}
        return "slower" if error.cause == "throttled" else "again"
    if isinstance(error, PermanentError) and error.cause == "unverified":
        assert not error.doubtful and "restored" in str(error) and "GetObject" not in str(error)
        return "archived"
    if isinstance(error, PermanentError):
        assert error.cause == "destination"
        return "its-own"
    assert type(error) is FatalError
    return "stop"


@pytest.mark.parametrize(("kind", "status", "code"), ROWS)
def test_meaning_of_a_code(kind: str, status: int, code: str) -> None:
    asked = None if code == "ServiceUnavailable" else 7.0  # a 503 with it is throttled, whatever its code
    error = meaning(status, code, "PUT", asked)
    assert kind_of(error) == kind
    assert str(status) in str(error) and code in str(error) and "PUT" in str(error)
    if isinstance(error, TransientError):
        assert error.retry_after == asked


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, "stop"), (302, "stop"), (307, "stop"), (308, "stop"), (400, "again"), (401, "its-own"), (403, "again"),
     (404, "its-own"), (408, "again"), (409, "its-own"), (413, "its-own"), (429, "slower"), (500, "again"),
     (502, "again"), (503, "again"), (504, "again"), (507, "stop"), (599, "again")],
)  # fmt: skip
def test_meaning_of_a_status_without_a_code(status: int, kind: str) -> None:
    assert kind_of(meaning(status, "", "HEAD")) == kind


@pytest.mark.parametrize(
    ("code", "is_doubtful"), [("InvalidRequest", True), ("", True), ("KeyTooLongError", False)]
)
def test_refusal_that_other_objects_may_meet_is_doubtful(code: str, is_doubtful: bool) -> None:
    error = meaning(401, code, "PUT")
    assert isinstance(error, PermanentError)
    assert error.doubtful == is_doubtful


def classified() -> set[str]:
    return {code for table in KINDS.values() for codes in table.values() for code in codes}


def test_each_code_is_in_one_table() -> None:
    listed = [code for table in KINDS.values() for codes in table.values() for code in codes]
    assert len(listed) == len(set(listed))
    assert set(FATAL) == {code for codes in STOP.values() for code in codes}


def test_codes_of_botocores_model_are_all_classified() -> None:
    model = botocore.loaders.Loader().load_service_model("s3", "service-2")
    text = re.sub(r"<[^>]+>", " ", model["shapes"]["Error"]["members"]["Code"]["documentation"])
    codes = set(re.findall(r"Code:\s*([A-Za-z.]+)\s", text)) - {"N", "Status", "Code"}
    assert len(codes) > 70
    assert codes - classified() == set()


def test_codes_of_the_strict_server_are_all_classified() -> None:
    assert set(ERRORS) - classified() == set()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<Error><Code>SlowDown</Code></Error>", "SlowDown", id="code"),
        pytest.param(b"<Error><Code>KMS.DisabledException</Code></Error>", "KMS.DisabledException", id="dot"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"<html><code>SlowDown</code></html>", "", id="page"),
        pytest.param(b"<Code></Code>", "", id="empty code"),
        pytest.param(b"<Code>two words</Code>", "", id="words"),
        pytest.param(b"\xff\x00<Code>A</Code>", "A", id="junk before"),
        pytest.param(b"<Code>" + b"A" * 100 + b"</Code>", "", id="endless"),
    ],
)
def test_code_in_a_body(body: bytes, code: str) -> None:
    assert code_in(body) == code


@pytest.mark.parametrize("code", sorted(FATAL))
def test_fatal_code_names_its_remedy(code: str) -> None:
    message = str(meaning(400, code, "PUT"))
    assert message.endswith(".") and FATAL[code] in message and ".." not in message


@pytest.mark.parametrize(
    ("code", "region", "said"),
    [
        ("PermanentRedirect", "eu-west-1", "the bucket is in eu-west-1: set AWS_REGION=eu-west-1 ("),
        ("", "eu-west-1", "set AWS_REGION=eu-west-1 ("),
        ("PermanentRedirect", "", "set AWS_REGION to the bucket's own region"),
        ("PermanentRedirect", "x\ny", "set AWS_REGION to the bucket's own region"),
        ("ExpiredToken", "eu-west-1", "renew the credentials"),
    ],
    ids=["told", "status alone", "not told", "no region", "another matter"],
)
def test_wrong_region_names_the_right_one(code: str, region: str, said: str) -> None:
    assert said in str(meaning(301, code, "PUT", region=region))


def test_region_in_a_body() -> None:
    assert (
        region_in(b"<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>") == "eu-west-1"
    )
    assert region_in(b"<Region>two words</Region>") == ""


@pytest.mark.parametrize(("code", "names_it"), [("", True), ("InternalError", False)])
def test_page_without_a_code_may_be_the_proxy_s(code: str, names_it: bool) -> None:
    proxy = "http://p:3128 (HTTP_PROXY)"
    said = str(meaning(500, code, "PUT", proxy=proxy))
    assert (proxy in said) is names_it
