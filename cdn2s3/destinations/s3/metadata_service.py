"""Why the instance metadata service (IMDS) gives no role: found out only when there are no credentials.

botocore says nothing about it. The case that costs people an afternoon is a container on EC2: the response to the
request for a token may pass only as many hops as the instance's metadata options allow, by default one, and the
container's network is one more (Amazon EC2 User Guide, "Configure the Instance Metadata Service options").
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session

from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.connection import Connection
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import ConnectionPool, host_header, origin_of, request_head

_ADDRESS = "http://169.254.169.254"
_SECONDS = 2.0  # for the answer of a service on this very machine
_DMI = Path("/sys/class/dmi/id")  # what the machine says of itself; containers see it too
_HOP_LIMIT = (
    "The instance metadata service does not answer the request for a token, as in a container on EC2 with a hop limit "
    "of 1: raise it (`aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id …` on "
    "the host), or run the container with the host's network."
)


def why_no_role(session: botocore.session.Session) -> str:
    """Return why the metadata service gives no role, as a sentence; "" where there is none, or nothing shows."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    url = str(session.get_config_variable("ec2_metadata_service_endpoint") or _ADDRESS)
    try:
        return _asked(url)
    except (
        FatalError,
        ValueError,
        KeyError,
    ):  # an endpoint that is no URL, no file left: not what is to be told here
        return ""


def _asked(url: str) -> str:
    origin = origin_of(url)
    try:
        Connection(origin, None, Deadline(_SECONDS)).close()
    except TransientError as error:
        return _HOP_LIMIT if error.cause == "timeout" and _is_on_ec2() else ""
    headers = {
        "Host": host_header(origin),
        "X-aws-ec2-metadata-token-ttl-seconds": "60",
        "Content-Length": "0",
        "Connection": "close",
    }
    head = request_head("PUT", f"{urlsplit(url).path.rstrip('/')}/latest/api/token", headers)
    try:
        with ConnectionPool(origin, None, 0).request("PUT", (head,), Deadline(_SECONDS)) as answer:
            if answer.status == 200:
                return "The instance metadata service answers, but no role is attached to the instance."
            return f"The instance metadata service answers {answer.status} to the request for a token."
    except TransientError as error:
        return _HOP_LIMIT if error.cause == "timeout" else ""


def _is_on_ec2() -> bool:
    try:
        return (_DMI / "sys_vendor").read_text(encoding="utf-8").startswith("Amazon")
    except (OSError, UnicodeDecodeError):
        return False
