"""The first PUT of a run, and why a store refuses it: named before anything is moved.

A refusal often says only "Access Denied" or "Not Implemented". So the same object is put with less: the one thing
without which it is taken is what the store refuses.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

from cdn2s3.destinations.base import PROBE_BODY
from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.errors import meaning
from cdn2s3.destinations.s3.iam import Policy, policy_to_put
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.refusals import REQUESTER_PAYS, denial_in
from cdn2s3.errors import FatalError, MigrationError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.settings.declarations import MigrationSettings

# The settings that become headers of each object.
_HEADERS = ("object_acl", "storage_class", "server_side_encryption", "sse_kms_key_id", "cache_control")
# Codes with which a policy, or a store that wants to see the hash of the body, refuses UNSIGNED-PAYLOAD.
_UNSIGNED = frozenset({"AccessDenied", "InvalidArgument", "InvalidRequest", "NotImplemented"})
_WAIT = 10.0  # seconds for a look that only explains a failure

Put = Callable[[Objects], S3Response]


class PutRefused(FatalError):
    """The store refuses what every image would be sent as; remedy is a line to copy, "" if there is none."""

    def __init__(self, message: str, code: str, remedy: str = "") -> None:
        super().__init__(message if not isinstance(remedy, Policy) else f"{message}\n  {remedy}")
        self.said = message
        self.code = code
        self.remedy = remedy


def absent_bucket(settings: MigrationSettings) -> PutRefused:
    """Return the error for a bucket that HEAD does not find: nothing is put, since some stores would create it."""
    error = meaning(404, "NoSuchBucket", "HEAD")
    return PutRefused(
        f"DESTINATION_BUCKET={settings.destination_bucket} does not exist: {error}", "NoSuchBucket"
    )


def first_put(settings: MigrationSettings, objects: Objects, key: str, put: Put) -> S3Response:
    """Return the response to the first PUT that is taken; put sends one to key with the headers of the given Objects.

    Where only a signed body is taken, the client signs bodies from now on. Raise PutRefused with the reason, or what
    else the response means.
    """
    client, reply = objects.client, put(objects)
    if reply.status == 200:
        return reply
    if reply.code in _UNSIGNED:
        client.signs_payload = True
        signed = put(objects)
        if signed.status == 200:
            return signed
        client.signs_payload = False
    raise _refusal(settings, objects, key, put, reply)


def _refusal(
    settings: MigrationSettings, objects: Objects, key: str, put: Put, reply: S3Response
) -> MigrationError:
    """Return the error for a first PUT that was refused with reply."""
    error = reply.error(f"PUT {key}")
    if reply.code == "NoSuchBucket":
        return PutRefused(
            f"DESTINATION_BUCKET={settings.destination_bucket} does not exist: {error}", reply.code
        )
    text = str(error) if isinstance(error, FatalError) else f"{error}."
    denial = denial_in(reply.sentence) if reply.code == "AccessDenied" else None
    if denial is not None:
        return PutRefused(text, reply.code, policy_to_put(settings) if denial.lacks_grant else "")
    refused = _refused_settings(settings, objects.client, put)
    if refused:
        named = " and ".join(f"{name}={value}" for name, value in refused)
        remedy = "; ".join(f"{name}=" for name, _ in refused)
        return PutRefused(f"the store refuses {named}: {text}", reply.code, remedy)
    if isinstance(error, TransientError):
        return error
    if isinstance(error, FatalError) and reply.code != "AccessDenied":
        return PutRefused(text, reply.code)
    hint = style_hint(settings, objects.client)
    if hint:
        return PutRefused(f"{text} {hint}", reply.code, hint.partition("set ")[2].rstrip("."))
    if reply.code != "AccessDenied":
        return PutRefused(text + ("" if reply.code else " Is AWS_ENDPOINT_URL an S3 store?"), reply.code)
    if _takes_it_from_a_payer(objects.client, key):
        return PutRefused(f"{text} {REQUESTER_PAYS[0].upper()}{REQUESTER_PAYS[1:]}.", reply.code)
    return PutRefused(text, reply.code, policy_to_put(settings))


def _refused_settings(settings: MigrationSettings, client: S3Client, put: Put) -> list[tuple[str, str]]:
    """Return the settings that become headers and are refused, each asked for alone: names and values."""
    used = [name for name in _HEADERS if getattr(settings, name)]
    bare = _replaced(settings, dict.fromkeys(_HEADERS, ""))
    if not used or put(Objects(bare, client)).status != 200:
        return []
    refused = []
    for name in used:
        alone = _replaced(bare, {name: getattr(settings, name)})
        if name == "sse_kms_key_id":  # which means nothing without it
            alone = dataclasses.replace(alone, server_side_encryption=settings.server_side_encryption)
        if put(Objects(alone, client)).status != 200:
            refused.append((name.upper(), str(getattr(settings, name))))
    if ("SERVER_SIDE_ENCRYPTION", settings.server_side_encryption) in refused:
        refused = [pair for pair in refused if pair[0] != "SSE_KMS_KEY_ID"]
    return refused


def _replaced(settings: MigrationSettings, changes: dict[str, Any]) -> MigrationSettings:
    return dataclasses.replace(settings, **changes)


def _takes_it_from_a_payer(client: S3Client, key: str) -> bool:
    """Return whether a PUT is taken from one who says that they pay for it (S3 User Guide, "Requester Pays").

    Asked for the probe alone, to name the reason: no image is sent so, since nobody has agreed to pay.
    """
    headers = {"x-amz-request-payer": "requester"}
    try:
        reply = client.request("PUT", key, Deadline(_WAIT), headers=headers, body=(PROBE_BODY,))
        if reply.status == 200:
            client.request("DELETE", key, Deadline(_WAIT), headers=headers)
    except (FatalError, TransientError):
        return False
    return reply.status == 200


def style_hint(settings: MigrationSettings, client: S3Client) -> str:
    """Return what to set where the bucket answers in the other addressing style, and not in this one; else "".

    Only for stores other than AWS, which takes both (for a dotted name, botocore chooses).
    """
    if settings.aws_endpoint_url is None:
        return ""
    other = "virtual" if client.address.path else "path"
    try:
        there = client.in_style(other)
        found = there.address.url != client.address.url and _is_found(there) and not _is_found(client)
    except (FatalError, TransientError):
        return ""
    kind = "virtual-hosted" if other == "virtual" else "path-style"
    return f"The bucket answers at its {kind} address: set S3_ADDRESSING_STYLE={other}." if found else ""


def _is_found(client: S3Client) -> bool:
    """Return whether HEAD finds the bucket; a host that does not exist, or does not answer, does not find it."""
    try:
        return client.request("HEAD", "", Deadline(_WAIT)).status == 200
    except TransientError:
        return False
