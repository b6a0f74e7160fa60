"""What a store can prove and what it lets us do, as the probe has found it out, and what that means for a run.

S3-compatible stores differ in all of this, and a store that ignores a check answers 200 to it: so nothing is
assumed (probe.py asks).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import IN_PARTS, WHOLE, Note
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.errors import FatalError
from cdn2s3.settings.declarations import MigrationSettings

NOT_ATOMIC = "not atomic"  # what a HEAD before a write is: the object may appear between the two
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})  # classes whose objects are restored before they are read


class Condition(Enum):
    """A conditional write that a run may rely on; its value is the name of its probe object.

    Another one is an entry here and one in probe.QUESTIONS, or in probe_renewal.QUESTIONS where a delta alone uses it.
    """

    NEW_BY_PUT = "new"  # If-None-Match: * on PutObject
    NEW_BY_PARTS = "parts"  # If-None-Match: * on CompleteMultipartUpload
    RENEW_BY_PUT = "renew"  # If-Match on PutObject
    RENEW_BY_PARTS = "renew-parts"  # If-Match on CompleteMultipartUpload


class Support(Enum):
    """What a store makes of a condition."""

    HONORED = "honored"  # the wrong condition is refused and changes nothing, the right one does its work
    IGNORED = "ignored"  # it may be sent, and protects nothing
    REFUSED = "refused"  # no request that has it does its work: it must not be sent
    UNKNOWN = "unknown"  # we could not find out: it is sent, and not relied on


CREATING = (
    Condition.NEW_BY_PUT,
    Condition.NEW_BY_PARTS,
)  # what every run uses; a delta alone asks for the others
ALL_HONORED: Mapping[Condition, Support] = dict.fromkeys(CREATING, Support.HONORED)
ALL_IGNORED: Mapping[Condition, Support] = dict.fromkeys(CREATING, Support.IGNORED)


class Capabilities(NamedTuple):
    """What the store checks and allows, as found out by the probe; picklable, for other processes of the run."""

    etag_is_md5: bool  # the ETag of a PUT is the MD5 of its body
    checksum_refused: bool  # a body that does not fit the checksum that the run sends is refused
    can_read: bool  # s3:GetObject is granted: HEAD and GET work
    conditions: Mapping[Condition, Support] = ALL_HONORED
    md5_refused: bool = True  # a body that does not fit its Content-MD5 is refused: parts always have one
    encrypted_by_kms: bool = False  # the store says that it encrypts with KMS
    can_delete: bool = True  # s3:DeleteObject is granted
    signs_payload: bool = False  # a policy forbids UNSIGNED-PAYLOAD, so the signature covers the body
    takes_parts: bool = True  # it has multipart uploads
    listing_repeats_etag: bool | None = (
        True  # the listing has the ETag of the PUT; None: it may not be listed
    )
    not_kept: tuple[
        str, ...
    ] = ()  # what was sent with the probe and HEAD does not show: Content-Type, settings
    left: tuple[str, ...] = ()  # keys of probe objects that could not be deleted
    crc32_refused: bool = False  # not asked under md5: a body that does not fit its CRC-32 is refused
    answers_md5: bool = (
        False  # asked under auto: a PUT with a CRC-32 and no Content-MD5 is answered with the MD5
    )

    def honors(self, condition: Condition) -> bool:
        return self.conditions.get(condition) is Support.HONORED

    def takes(self, condition: Condition) -> bool:
        """Return whether the condition may be sent: it costs nothing, and the probe may be mistaken."""
        return self.conditions.get(condition) is not Support.REFUSED


def integrity(found: Capabilities, settings: MigrationSettings) -> str:
    """Return what the run goes by: auto, md5 or crc32; md5 if the store does not show what INTEGRITY needs."""
    if settings.integrity == "auto":
        return "auto" if found.crc32_refused and found.answers_md5 else "md5"
    return settings.integrity if found.checksum_refused else "md5"


def without_answers(found: Capabilities) -> Capabilities:
    """Return found for a run under auto that goes on with md5, since the store answers MD5s no more."""
    return found._replace(answers_md5=False, etag_is_md5=False, checksum_refused=found.md5_refused)


def checksum_sent(found: Capabilities, settings: MigrationSettings) -> str:
    """Return which checksum goes with each PUT, and was asked about: md5 or crc32."""
    if settings.integrity == "auto":
        return "crc32" if integrity(found, settings) == "auto" else "md5"
    return settings.integrity


def integrity_text(found: Capabilities, settings: MigrationSettings) -> str:
    """Return in a sentence what INTEGRITY means with this store."""
    mode = integrity(found, settings)
    if settings.integrity != "auto":
        return f"INTEGRITY={settings.integrity}" + (
            "" if mode == settings.integrity else ": md5, since the store checks no CRC-32"
        )
    if mode == "auto":
        return f"INTEGRITY=auto: {CHECKED_ANSWERS}"
    if not found.crc32_refused:
        return "INTEGRITY=auto: md5, since the store does not refuse a wrong CRC-32"
    return "INTEGRITY=auto: md5, since the store does not answer a PUT with the MD5" + (
        " (KMS encryption)" if found.encrypted_by_kms else ""
    )


CHECKED_ANSWERS = "the store checks the CRC-32 of each body and answers with its MD5, which is recorded"


# --- what it means ---


_WAYS = {
    Condition.NEW_BY_PUT: "If-None-Match on PUT",
    Condition.NEW_BY_PARTS: "If-None-Match on the completion of uploads in parts",
    Condition.RENEW_BY_PUT: "If-Match on PUT",
    Condition.RENEW_BY_PARTS: "If-Match on the completion of uploads in parts",
}
_LOOKS = {
    Condition.NEW_BY_PUT: "sends a HEAD before each PUT (slower)",
    Condition.NEW_BY_PARTS: "sends a HEAD before each completion",
    Condition.RENEW_BY_PUT: "sends a HEAD before it replaces an object",
    Condition.RENEW_BY_PARTS: "sends a HEAD before it replaces an object in parts",
}


def unprotected(found: Capabilities, condition: Condition) -> str:
    """Return in one clause how an existing object is at risk where the store does not honor condition."""
    ignores = "refuses" if found.conditions[condition] is Support.REFUSED else "ignores"
    return (
        f"the store {ignores} {_WAYS[condition]}: the run {_LOOKS[condition]}, compares, then writes, "
        f"which is {NOT_ATOMIC}"
    )


def at_risk(found: Capabilities, settings: MigrationSettings) -> list[Condition]:
    """Return the ways of writing that a run uses and the store does not protect; [] where the user replaces anyway."""
    if settings.on_existing != "verify":
        return []
    used = [Condition.NEW_BY_PUT, *([Condition.NEW_BY_PARTS] if found.takes_parts else [])]
    return [condition for condition in used if not found.honors(condition)]


def refuse_blind_overwriting(found: Capabilities, settings: MigrationSettings) -> None:
    """Raise FatalError where an existing object could be overwritten unseen."""
    if at_risk(found, settings) and not found.can_read:
        raise FatalError(
            "the store ignores If-None-Match and refuses s3:GetObject, so an existing object could be "
            f"overwritten unseen: set ON_EXISTING=overwrite, or grant\n  {policy(settings, 'GetObject')}"
        )


def renewing_notes(found: Capabilities, settings: MigrationSettings) -> Iterator[Note]:
    """Yield what the store lacks to renew objects; raise FatalError where another one could be replaced unseen."""
    used = [Condition.RENEW_BY_PUT, *([Condition.RENEW_BY_PARTS] if found.takes_parts else [])]
    lacking = [condition for condition in used if not found.honors(condition)]
    if lacking and not found.can_read:
        raise FatalError(
            "s3:GetObject is not granted, and --delta needs it: If-Match, with which S3 replaces an object only while "
            "it is the recorded one, and the comparison elsewhere. Nothing was replaced. Grant\n  "
            f"{policy(settings, 'GetObject')}"
        )
    for condition in lacking:
        way = IN_PARTS if condition is Condition.RENEW_BY_PARTS else WHOLE
        yield Note(logging.WARNING, f"{unprotected(found, condition)}. {ALONE_IN_DELTA}.", way)


def notes(found: Capabilities, settings: MigrationSettings) -> Iterator[Note]:
    """Yield what the store lacks and what that means for the run."""
    for condition in at_risk(found, settings):
        yield Note(logging.WARNING, f"{unprotected(found, condition)}. {ALONE}.")
    if found.signs_payload:
        yield Note(logging.WARNING, SIGNED)
    if not found.takes_parts:
        yield Note(logging.WARNING, NO_PARTS)
    yield from _proof_notes(found, settings)
    if not found.can_read:
        yield Note(
            logging.WARNING,
            "s3:GetObject is not granted: an existing object cannot be compared, so its URL fails as "
            f"`unverified`. To change that, grant {policy(settings, 'GetObject')}",
        )
    if not found.can_delete:
        yield Note(logging.INFO, "s3:DeleteObject is not granted: the probe objects stay")
    yield from _kept_notes(found, settings)


ALONE_IN_DELTA = "Let nothing else write under the prefix during a delta"
ALONE = "Let nothing else write under the prefix during the migration"
SIGNED = "a policy forbids UNSIGNED-PAYLOAD, so every body is signed: one more digest (SHA-256) of each costs CPU time"
NO_PARTS = "the store takes no uploads in parts: larger bodies than MAX_BUFFER_MB fail: raise it"


def _proof_notes(found: Capabilities, settings: MigrationSettings) -> Iterator[Note]:
    if not found.etag_is_md5:
        why = " (KMS encryption)" if found.encrypted_by_kms else ""
        yield Note(logging.WARNING, f"the store's ETag is not an MD5{why}")
    sent = checksum_sent(found, settings)
    if not found.checksum_refused and found.etag_is_md5 and sent == "md5":
        yield Note(
            logging.INFO,
            "the store does not check the MD5 of an upload; its ETag is compared instead, which proves the same",
        )
    elif not found.checksum_refused:
        yield Note(logging.WARNING, f"the store does not refuse a wrong {sent} checksum")
        instead = "set INTEGRITY=crc32, which it checks; or " if found.crc32_refused else ""
        yield Note(
            logging.WARNING,
            f"nothing in the store proves the bytes: a HEAD compares the size after each PUT; {instead}run "
            f"`{command('validate.py', '--spot-check', '1000')}` afterwards",
        )
    if found.listing_repeats_etag is False:
        yield Note(logging.WARNING, OTHER_ETAGS)


OTHER_ETAGS = (
    "the store's listing has other ETags than its responses to PUT: validate.py asks for those by HEAD"
)


def _kept_notes(found: Capabilities, settings: MigrationSettings) -> Iterator[Note]:
    if found.not_kept:
        yield Note(logging.WARNING, not_kept(found))
    if settings.storage_class in ARCHIVES:
        yield Note(logging.WARNING, archived(settings))


def not_kept(found: Capabilities) -> str:
    return f"the store does not keep {' and '.join(found.not_kept)}: its responses for an image lack that"


def archived(settings: MigrationSettings) -> str:
    return (
        f"STORAGE_CLASS={settings.storage_class} is an archive: objects cannot be read before they are restored, so "
        "--sample and the spot check of validate.py cannot compare bytes"
    )
