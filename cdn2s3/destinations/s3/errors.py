"""The meaning of S3 error responses for the run: one table, by error code, then by status.

Source: S3 API Reference, "Error responses"; botocore's own list of what is worth another attempt is shorter.
"""

from __future__ import annotations

import re

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.s3.refusals import REQUESTER_PAYS, denial_in
from cdn2s3.errors import FatalError, MigrationError, PermanentError, TransientError
from cdn2s3.resilience.throttling import is_throttled

_CREDENTIALS = "check the credentials (`aws sts get-caller-identity` shows the identity), then run it again"
_RENEW = "renew the credentials (an instance role renews itself), then run it again (a migration resumes)"
_BUCKET = "check DESTINATION_BUCKET, or create it"  # the command comes after it
_REGION = "set AWS_REGION to the bucket's own region (and check AWS_ENDPOINT_URL)"
_KMS = "check SSE_KMS_KEY_ID and the key's policy (kms:GenerateDataKey, and kms:Decrypt for parts)"
_ACL = "the bucket has ACLs disabled: leave OBJECT_ACL empty"
_SETTING = "the store refuses a setting: check STORAGE_CLASS, OBJECT_ACL, SERVER_SIDE_ENCRYPTION"
_FULL = "the bucket is full: free space or raise its quota, then run it again (a migration resumes)"
_VIRTUAL = "the store takes virtual-hosted addresses only: set S3_ADDRESSING_STYLE=virtual"

# Codes that every other object would get too, with the remedy.
FATAL = {
    "AccessDenied": "the store does not say why. Look for a missing permission (docs/ec2-setup.md has the policy), "
    "another EXPECTED_BUCKET_OWNER, a bucket policy, or Requester Pays, then run it again",
    "AllAccessDisabled": _CREDENTIALS,
    "AccountProblem": "the AWS account has a problem: ask AWS Support",
    "NotSignedUp": "the AWS account is not signed up for S3",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: " + _CREDENTIALS,
    "InvalidToken": _RENEW,
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidSecurity": _CREDENTIALS,
    "AccessKeyDisabled": _CREDENTIALS,
    "CredentialsNotSupported": _CREDENTIALS,
    "MissingSecurityHeader": _CREDENTIALS,
    "MissingAuthenticationToken": _CREDENTIALS,
    "InvalidPayer": _CREDENTIALS,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (`chronyc makestep`), then run it again",
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "Redirect": _REGION,
    "EndpointNotFound": _REGION,
    "IncorrectEndpoint": _REGION,
    "TemporaryRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessControlListNotSupported": _ACL,
    "InvalidBucketState": _BUCKET,
    "InvalidBucketOwnerAWSAccountID": "EXPECTED_BUCKET_OWNER must be a 12-digit account ID",
    # Quotas: Ceph and Versity, MinIO, Huawei OBS, Tencent COS. Every further object would meet them too.
    "QuotaExceeded": _FULL,
    "BucketQuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "InsufficientStorageSpace": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    # Addressing: Alibaba OSS, Tencent COS, Huawei OBS ("Virtual host domain is required"), Volcano TOS.
    "SecondLevelDomainForbidden": _VIRTUAL,
    "PathStyleDomainForbidden": _VIRTUAL,
    "VirtualHostDomainRequired": _VIRTUAL,
    "InvalidPathAccess": _VIRTUAL,
    "RequestPayerDenied": REQUESTER_PAYS,
    "InvalidStorageClass": _SETTING,
    "InvalidEncryptionAlgorithmError": _SETTING,
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.AccessDeniedException": _KMS,
    "KMS.InvalidKeyUsageException": _KMS,
}

# Codes with a 4xx status after which another attempt may succeed (a multipart upload starts over). A response
# to HEAD has no code: 400 and 403 may then be expired credentials, which the next PUT reveals.
_AGAIN = frozenset({
    "BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
    "ConditionalRequestConflict", "OperationAborted", "NoSuchUpload", "InvalidPart",
    "RequestTimeout",
})  # fmt: skip

# Codes that are about the object's own key or size.
_OF_ITS_KEY = frozenset({
    "EntityTooLarge", "EntityTooSmall", "InvalidObjectName", "InvalidURI", "KeyTooLongError", "NoSuchKey",
    "XMinioInvalidObjectName",
})  # fmt: skip
_ARCHIVED = "the object is in an archive storage class and cannot be read before it is restored"
INSUFFICIENT_STORAGE = 507  # RFC 4918; some stores answer it without a code

_BUCKETS_REGION = re.compile(rb"<Region>([a-z0-9-]{1,40})</Region>")


def region_in(body: bytes) -> str:
    """Return the bucket's region in the XML body of a response from the wrong region, or ""."""
    found = _BUCKETS_REGION.search(body)
    return found[1].decode("ascii") if found else ""


def meaning(
    status: int,
    code: str,
    action: str,
    retry_after: float | None = None,
    region: str = "",
    sentence: str = "",
    proxy: str = "",
) -> MigrationError:
    """Return the error that an S3 response means for the run.

    action is the request, for the message; region is the bucket's, sentence the store's own, "" if the response does
    not have them; proxy has forwarded the response, "" for none. cause "throttled" limits the rate at the bucket;
    every other transient failure is "server_error", which ends as `destination` in failed_transfers.txt. What other
    objects may meet too is doubtful: if all of them do, it is the bucket's fault, and none of them is recorded.
    """
    # A store's error has a code, but for a HEAD's; a proxy's page has none.
    by = f"the bucket, or the proxy {proxy} before it," if proxy and not code else "the bucket"
    said = f"{by} answered {status}{' ' + code if code else ''} to {action}"
    if sentence:
        said += f' ("{sentence}")'
    if code in FATAL:
        return FatalError(f"{said}: {_remedy(code, region, sentence)}.")
    if status == INSUFFICIENT_STORAGE:
        return FatalError(f"{said}: {_FULL}.")
    if 300 <= status < 400:
        return FatalError(f"{said}: {_named(_REGION, region)}.")
    if is_throttled(status, code, retry_after):
        return TransientError("throttled", said, retry_after, status, code)
    if code in _AGAIN or status >= 500 or status == 408 or (status in (400, 403) and not code):
        return TransientError("server_error", said, retry_after, status, code)
    if code == "InvalidObjectState":
        return PermanentError("unverified", f"{said}: {_ARCHIVED}", status=status)
    return PermanentError("destination", said, doubtful=code not in _OF_ITS_KEY, status=status)


def _remedy(code: str, region: str, sentence: str) -> str:
    """Return what to do about a fatal code; where access is denied, what the store's sentence names."""
    denial = denial_in(sentence) if code == "AccessDenied" else None
    return f"{denial.advice}, then run it again" if denial else _named(FATAL[code], region)


def _named(remedy: str, region: str) -> str:
    """Return remedy with its command, or with the region to set if that is the problem and the response has it."""
    if remedy == _BUCKET:
        return f"{remedy} with `{command('migrate.py', '--create-bucket')}`"
    if remedy != _REGION or not re.fullmatch(r"[a-z0-9-]+", region):
        return remedy
    return f"the bucket is in {region}: set AWS_REGION={region} (and check AWS_ENDPOINT_URL)"
