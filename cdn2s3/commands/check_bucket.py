"""The checks of `migrate.py --check` that write: permissions in the bucket, and what the store proves.

A missing permission that only one feature needs is a warning that names the feature.
"""

from __future__ import annotations

import dataclasses

from cdn2s3.commands.check_context import FAILED, NTP, OK, STS, WARNING, CheckContext, CheckResult, failure
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.s3 import capabilities as judging
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Response
from cdn2s3.destinations.s3.first_put import PutRefused
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe_requests import ACL, probe_image, probe_key
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.settings.declarations import MigrationSettings

_RENEW = "aws sso login   (or renew the keys; an instance role renews itself)"
_WRONG_REGION = "set AWS_REGION to the bucket's own region"
_REMEDIES = {
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


def check_permissions(context: CheckContext) -> list[CheckResult]:
    if not context.can_sign:
        return []
    try:
        probed = context.probed
    except PutRefused as refused:
        return [CheckResult(FAILED, "put", refused.said, refused.remedy or _remedy(refused.code))]
    except (TransientError, FatalError) as error:
        return [failure("put", error, f"curl -I {context.client.endpoint}")]
    findings = [CheckResult(OK, "put", "a probe was stored, with all the headers of an image")]
    return findings + _get(context, probed) + _delete(context, probed) + _list(context)


def _remedy(code: str) -> str:
    if code == "NoSuchBucket":
        return command("migrate.py", "--create-bucket")
    return _REMEDIES.get(code, "see docs/ec2-setup.md")


def _get(context: CheckContext, probed: Capabilities) -> list[CheckResult]:
    if probed.can_read:
        return [CheckResult(OK, "get", "the probe was read back")]
    said = (
        "s3:GetObject is refused: an existing object cannot be compared, so its URL fails as `unverified`; "
        "--sample and the spot check of validate.py need it"
    )
    return [CheckResult(WARNING, "get", said, policy(context.settings, "GetObject"))]


def _delete(context: CheckContext, probed: Capabilities) -> list[CheckResult]:
    if probed.can_delete:
        return [CheckResult(OK, "delete", "the probe was deleted")]
    said = f"s3:DeleteObject is refused: {' '.join(probed.left)} stay, and --sample and --undo remove nothing"
    return [CheckResult(WARNING, "delete", said, policy(context.settings, "DeleteObject"))]


def _list(context: CheckContext) -> list[CheckResult]:
    query = {"list-type": "2", "max-keys": "1", "prefix": context.settings.destination_prefix}
    try:
        status = context.client.request("GET", "", context.deadline(), query=query).status
    except (TransientError, FatalError) as error:
        return [failure("list", error, "try again")]
    if status == 200:
        return [CheckResult(OK, "list", "the bucket was listed")]
    said = f"s3:ListBucket is refused ({status}): validate.py and --adopt need it"
    return [CheckResult(WARNING, "list", said, policy(context.settings, "ListBucket"))]


def check_capabilities(context: CheckContext) -> list[CheckResult]:
    probed = context.probed_or_none
    if probed is None:
        return []
    settings = context.settings
    return [_overwrite(settings, probed), _checksum(settings, probed), *_peculiarities(settings, probed)]


def _overwrite(settings: MigrationSettings, probed: Capabilities) -> CheckResult:
    if settings.on_existing == "overwrite":
        return CheckResult(OK, "overwrite", "ON_EXISTING=overwrite: existing objects are replaced")
    at_risk = judging.at_risk(probed, settings)
    if not at_risk:
        return CheckResult(OK, "overwrite", "If-None-Match is honored: no existing object is replaced")
    if probed.can_read:
        said = ". ".join(judging.unprotected(probed, condition) for condition in at_risk)
        return CheckResult(WARNING, "overwrite", said, judging.ALONE.lower())
    said = "the store ignores If-None-Match and refuses s3:GetObject: a run cannot start"
    return CheckResult(FAILED, "overwrite", said, policy(settings, "GetObject"))


def _peculiarities(settings: MigrationSettings, probed: Capabilities) -> list[CheckResult]:
    """Return what else the probe has shown that differs from AWS, or costs something."""
    found = []
    if probed.signs_payload:
        found.append(CheckResult(OK, "signature", judging.SIGNED))
    if not probed.takes_parts:
        found.append(CheckResult(WARNING, "parts", judging.NO_PARTS))
    if probed.listing_repeats_etag is False:
        found.append(CheckResult(OK, "listing", judging.OTHER_ETAGS))
    if probed.not_kept:
        found.append(CheckResult(WARNING, "kept", judging.not_kept(probed)))
    if settings.storage_class in judging.ARCHIVES:
        found.append(CheckResult(WARNING, "archive", judging.archived(settings)))
    return found


def _checksum(settings: MigrationSettings, probed: Capabilities) -> CheckResult:
    found = probed
    etag = "the ETag is the MD5" if found.etag_is_md5 else "the ETag is not the MD5"
    if probed.encrypted_by_kms:
        etag += " (KMS)"
    sent, mode = judging.checksum_sent(found, settings), judging.integrity_text(found, settings)
    if found.checksum_refused:
        return CheckResult(OK, "checksum", f"a wrong {sent} is refused; {etag}. {mode}")
    if found.etag_is_md5:
        said = f"a wrong {sent} is not refused; {etag}, so the ETag of each response is compared. {mode}"
        return CheckResult(OK if sent == "md5" else WARNING, "checksum", said, "INTEGRITY=md5")
    said = f"a wrong {sent} is not refused and {etag}: only the size is compared after each PUT"
    return CheckResult(
        WARNING, "checksum", said, f"afterwards: {command('validate.py', '--spot-check', '1000')}"
    )


def check_acl(context: CheckContext) -> list[CheckResult]:
    """Check whether OBJECT_ACL is needed, accepted, or refused (check_permissions reports a refusal)."""
    settings = context.settings
    if context.probed_or_none is None:
        return []
    if settings.object_acl:
        return [CheckResult(OK, "ACL", f"OBJECT_ACL={settings.object_acl} is accepted")]
    private = Objects(dataclasses.replace(settings, object_acl="private"), context.client)
    try:
        reply = private.put(probe_key(settings, ACL), probe_image(), context.deadline(), guarded=False)
    except (TransientError, FatalError):
        return []
    return [_acl(context, reply), *_left_by_acl(context)]


def _left_by_acl(context: CheckContext) -> list[CheckResult]:
    """Delete the probe object once more; return a warning if a failure leaves it (a refusal is reported elsewhere)."""
    key = probe_key(context.settings, ACL)
    try:
        context.objects.delete(key, context.deadline())
    except (TransientError, FatalError, PermanentError) as error:
        remedy = f"aws s3 rm s3://{context.settings.destination_bucket}/{key}"
        return [CheckResult(WARNING, "delete", f"the probe stays at {key}: {error}", remedy)]
    return []


def _acl(context: CheckContext, reply: S3Response) -> CheckResult:
    if reply.code == "AccessControlListNotSupported":
        return CheckResult(OK, "ACL", "ACLs are disabled in the bucket; none is needed")
    if reply.status != 200:
        said = "could not find out whether the bucket accepts ACLs; none is sent, which is right for your own bucket"
        return CheckResult(OK, "ACL", said)
    account = context.account
    if account and not context.is_ours(account):
        said = "ACLs are enabled and another account owns the bucket: without an ACL, its owner cannot read the objects"
        return CheckResult(WARNING, "ACL", said, "OBJECT_ACL=bucket-owner-full-control")
    return CheckResult(OK, "ACL", "ACLs are enabled, but none is sent: this account owns the objects")
