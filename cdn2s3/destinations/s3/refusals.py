"""The store's own words in an error response, and what they call for.

A code is a table's business (errors.py). AccessDenied is one code for a dozen different things, and only its sentence
tells them apart: the advice is for what it names, and for nothing else. What is fatal never depends on a sentence.

Source: Amazon S3 User Guide, "Troubleshoot access denied (403 Forbidden) errors"; IAM User Guide, "Troubleshoot access
denied error messages".
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from cdn2s3.text import printable, redact

REQUESTER_PAYS = "the bucket is Requester Pays: ask its owner to turn that off, or use a bucket of your own"

_MOST = 400  # characters of a sentence that are shown
_MESSAGE = re.compile(rb"<Message>(.{1,4000}?)</Message>", re.DOTALL)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}([A-Z0-9]{4})\b")

_ACTION = re.compile(r"perform:? ([a-z0-9-]+:[A-Za-z]+)|policy allows the ([a-z0-9-]+:[A-Za-z]+) action")
_KMS = re.compile(r"\bkms:[A-Z][A-Za-z]+")
_DENIED_BY = re.compile(r"explicit deny(?: in an? ([A-Za-z -]+?)(?: policy|[.,;\n]|$))?", re.IGNORECASE)
_NOT_ALLOWED_BY = re.compile(r"no ([A-Za-z -]+?) (?:policy )?allows", re.IGNORECASE)
_PUBLIC = re.compile(r"Block Public Access|BlockPublic(?:Acls|Policy)|public (?:ACLs|access)", re.IGNORECASE)
_PAYER = re.compile(r"requester.?pays|request.?payer", re.IGNORECASE)
_UNSIGNED = re.compile(r"UNSIGNED-PAYLOAD|x-amz-content-sha256|unsigned (?:payload|content)", re.IGNORECASE)
_GRANTS = {  # where an allow is missing: where to add it
    "identity-based": "the role's policy",
    "resource-based": "the policy of the bucket (or of the key)",
    "vpc endpoint": "the policy of the VPC endpoint",
    "session": "the session policy of the assumed role",
    "permissions boundary": "the role's permissions boundary",
    "service control": "the organization's service control policy",
    "resource control": "the organization's resource control policy",
}


class Denial(NamedTuple):
    """What a sentence says about why access was denied."""

    advice: str  # one imperative clause
    lacks_grant: bool  # True: a statement in the role's policy that grants the action is what is missing


def sentence_in(body: bytes) -> str:
    """Return the store's own sentence in the XML body of a response: one line, redacted; "" if it has none."""
    found = _MESSAGE.search(body)
    if found is None:
        return ""
    text = " ".join(html.unescape(found[1].decode("utf-8", "replace")).split())
    text = _KEY_ID.sub(r"…\1", redact(printable(text)))
    return text if len(text) <= _MOST else text[:_MOST] + "…"


def denial_in(sentence: str) -> Denial | None:
    """Return what the sentence of an AccessDenied names; None where it does not say why."""
    action = _action_in(sentence)
    denied = _DENIED_BY.search(sentence)
    if denied:
        where = f"a {denied[1].strip()} policy" if denied[1] else "a policy"
        return Denial(
            f"an explicit deny in {where} refuses {action or 'it'}, whatever else is granted: change that policy",
            lacks_grant=False,
        )
    missing = _NOT_ALLOWED_BY.search(sentence)
    if missing:
        kind = missing[1].strip().lower()
        place = _GRANTS.get(kind, f"the {missing[1].strip()} policy")
        is_of_the_role = kind in ("identity-based", "resource-based") and action.startswith("s3:")
        return Denial(
            f"add the missing permission {action or ''} to {place}".replace("  ", " "), is_of_the_role
        )
    for names, advice in _NAMED:
        if names.search(sentence):
            return Denial(advice.format(action=action), lacks_grant=False)
    if action:
        return Denial(f"grant the missing permission {action}", lacks_grant=action.startswith("s3:"))
    return None


def _action_in(sentence: str) -> str:
    found = _ACTION.search(sentence)
    if found:
        return found[1] or found[2]
    kms = _KMS.search(sentence)
    return kms[0] if kms else ""


_NAMED = (
    (_KMS, "allow {action} on the KMS key, in the key's policy and in the role's"),
    (_UNSIGNED, "a policy forbids bodies without a signature (UNSIGNED-PAYLOAD): change that policy"),
    (
        _PUBLIC,
        "S3 Block Public Access refuses it: leave OBJECT_ACL empty, or change the bucket's public access block",
    ),
    (_PAYER, REQUESTER_PAYS),
)
