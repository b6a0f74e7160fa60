"""The checks of `migrate.py --check` that write: what we may do in the bucket, and what the store proves.

Each permission that only a feature needs is a warning that names the feature.
"""

from __future__ import annotations

from cdn2s3.commands.check_context import FAILED, NTP, OK, STS, WARNING, Finding, Visit, failure
from cdn2s3.destinations.s3 import capabilities
from cdn2s3.destinations.s3.client import Reply
from cdn2s3.destinations.s3.destination import probe_image, probe_key
from cdn2s3.destinations.s3.iam import policy, policy_to_put
from cdn2s3.errors import CannotGoOn, TryAgain, UrlFailed
from cdn2s3.settings.declarations import MigrationSettings

_RENEW = "aws sso login   (or renew the keys; an instance role renews itself)"
_WRONG_REGION = "set AWS_REGION to the bucket's own region"
_REMEDIES = {
    "NoSuchBucket": "python migrate.py --create-bucket",
    "InvalidAccessKeyId": STS,
    "SignatureDoesNotMatch": STS,
    "ExpiredToken": _RENEW,
    "InvalidToken": _RENEW,
    "RequestTimeTooSkewed": NTP,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "AccessControlListNotSupported": "OBJECT_ACL=",
    "InvalidStorageClass": "STORAGE_CLASS=",
    "KMS.NotFoundException": "SSE_KMS_KEY_ID=<a key in AWS_REGION>",
}


def check_permissions(visit: Visit) -> list[Finding]:
    if not visit.can_sign:
        return []
    try:
        first = visit.first_put
        if first.status != 200:
            return [_refused_put(visit, first)]
        probed = visit.probed
    except (TryAgain, CannotGoOn) as error:
        return [failure("put", error, f"curl -I {visit.client.endpoint}")]
    findings = [Finding(OK, "put", f"{probe_key(visit.settings)} was stored")]
    return findings + _get(visit, probed) + _delete(visit, probed) + _list(visit)


def _refused_put(visit: Visit, reply: Reply) -> Finding:
    said = f"the bucket answered {reply.status} {reply.code} to PUT {probe_key(visit.settings)}"
    if reply.code == "AccessDenied":
        return Finding(FAILED, "put", said, policy_to_put(visit.settings))
    error = reply.error(f"PUT {probe_key(visit.settings)}")
    return failure("put", error, _REMEDIES.get(reply.code, "see docs/ec2-setup.md"))


def _get(visit: Visit, probed: capabilities.Probed) -> list[Finding]:
    if probed.guard.can_read:
        return [Finding(OK, "get", "the probe was read back")]
    said = (
        "s3:GetObject is refused: what is already there cannot be compared and ends as `unverified`; "
        "--sample and the spot check of validate.py need it"
    )
    return [Finding(WARNING, "get", said, policy(visit.settings, "GetObject"))]


def _delete(visit: Visit, probed: capabilities.Probed) -> list[Finding]:
    if probed.can_delete:
        return [Finding(OK, "delete", "the probe was deleted")]
    said = f"s3:DeleteObject is refused: the probe stays at {probe_key(visit.settings)}; --sample leaves its files"
    return [Finding(WARNING, "delete", said, policy(visit.settings, "DeleteObject"))]


def _list(visit: Visit) -> list[Finding]:
    query = {"list-type": "2", "max-keys": "1", "prefix": visit.settings.destination_prefix}
    try:
        status = visit.client.request("GET", "", visit.limit(), query=query).status
    except (TryAgain, CannotGoOn) as error:
        return [failure("list", error, "try again")]
    if status == 200:
        return [Finding(OK, "list", "the bucket was listed")]
    said = f"s3:ListBucket is refused ({status}): validate.py and --adopt need it"
    return [Finding(WARNING, "list", said, policy(visit.settings, "ListBucket"))]


def check_guard(visit: Visit) -> list[Finding]:
    probed = visit.probed_or_none
    if probed is None:
        return []
    found, settings = probed.guard, visit.settings
    if found.if_none_match:
        overwrite = Finding(OK, "overwrite", "If-None-Match is honoured: no existing object is replaced")
    elif settings.on_existing == "overwrite":
        overwrite = Finding(OK, "overwrite", "ON_EXISTING=overwrite: existing objects are replaced")
    elif found.can_read:
        said = "the store ignores If-None-Match: a HEAD comes before each PUT instead, which is slower"
        overwrite = Finding(WARNING, "overwrite", said, "nothing else may write under the prefix meanwhile")
    else:
        said = "the store ignores If-None-Match and refuses s3:GetObject: a run would not start"
        overwrite = Finding(FAILED, "overwrite", said, policy(settings, "GetObject"))
    return [overwrite, _checksum(settings, probed)]


def _checksum(settings: MigrationSettings, probed: capabilities.Probed) -> Finding:
    found = probed.guard
    etag = "the ETag is the MD5" if found.etag_is_md5 else "the ETag is no MD5"
    if probed.encrypted_by_kms:
        etag += " (KMS)"
    if found.checksum_refused:
        return Finding(OK, "checksum", f"a wrong {settings.integrity} is refused; {etag}")
    if found.etag_is_md5:
        said = f"a wrong {settings.integrity} is not refused; {etag}, so each answer is compared with it"
        return Finding(OK if settings.integrity == "md5" else WARNING, "checksum", said, "INTEGRITY=md5")
    said = f"a wrong {settings.integrity} is not refused and {etag}: only the size is compared after each PUT"
    return Finding(WARNING, "checksum", said, "afterwards: python validate.py --spot-check 1000")


def check_acl(visit: Visit) -> list[Finding]:
    """Tell whether OBJECT_ACL is needed, taken, or refused (check_permissions has named a refusal)."""
    settings = visit.settings
    if visit.probed_or_none is None:
        return []
    if settings.object_acl:
        return [Finding(OK, "ACL", f"OBJECT_ACL={settings.object_acl} is taken")]
    try:
        reply = visit.client.request(
            "PUT",
            probe_key(settings),
            visit.limit(),
            headers={"content-type": "text/plain", "x-amz-acl": "private"},
            body=(probe_image().body,),
        )
    except (TryAgain, CannotGoOn):
        return []
    return [_acl(visit, reply), *_left_by_acl(visit)]


def _left_by_acl(visit: Visit) -> list[Finding]:
    """Delete the probe object once more; return a warning where a failure leaves it (not a refusal: that is said)."""
    key = probe_key(visit.settings)
    try:
        visit.bucket.delete(key, visit.limit())
    except (TryAgain, CannotGoOn, UrlFailed) as error:
        why = error.message if isinstance(error, (TryAgain, UrlFailed)) else str(error)
        remedy = f"aws s3 rm s3://{visit.settings.destination_bucket}/{key}"
        return [Finding(WARNING, "delete", f"the probe stays at {key}: {why}", remedy)]
    return []


def _acl(visit: Visit, reply: Reply) -> Finding:
    if reply.code == "AccessControlListNotSupported":
        return Finding(OK, "ACL", "ACLs are disabled in the bucket: none is needed")
    if reply.status != 200:
        said = "whether the bucket takes ACLs could not be learned; none is sent, which suits a bucket of one's own"
        return Finding(OK, "ACL", said)
    account = visit.account
    if account and not visit.is_ours(account):
        said = (
            "ACLs are enabled, the bucket is another account's: without one its owner cannot read the objects"
        )
        return Finding(WARNING, "ACL", said, "OBJECT_ACL=bucket-owner-full-control")
    return Finding(OK, "ACL", "ACLs are enabled, none is sent: the objects belong to this account")
