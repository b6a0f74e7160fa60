"""The address of the bucket: the one that botocore would use, until a 307 names a regional host.

Region, FIPS, dual-stack, accelerate, virtual-hosted or path style: botocore's rules decide, not this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
from botocore.awsrequest import AWSPreparedRequest

from cdn2s3.destinations.s3.credentials import NO_CREDENTIALS, not_renewed
from cdn2s3.errors import FatalError, UsageError

_KEY = "key"
_BEFORE_SEND = "before-send.s3"
_SCOPE = re.compile(r"Credential=[^,]*/\d{8}/([^/,]+)/s3/aws4_request")
_ENDPOINT = re.compile(rb"<Endpoint>([A-Za-z0-9.-]{1,255})</Endpoint>")
_AWS_HOST = re.compile(
    r"(?P<host>s3(?P<fips>-fips)?(-accelerate)?(\.dualstack)?([.-](?P<region>[a-z]{2}(-[a-z]+)+-\d))?"
    r"\.(?P<suffix>amazonaws\.com(\.cn)?))"
)


class Address(NamedTuple):
    """Where a bucket is reached; picklable, for other processes of the run."""

    url: str  # of the bucket, virtual-hosted or path style, without a slash at its end
    region: str  # that requests are signed for
    left: str = ""  # the host that a 307 has led away from

    @property
    def host(self) -> str:
        """The host, with its port where the URL has one."""
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """What comes before the slash and the key: "" for a virtual-hosted address."""
        return urlsplit(self.url).path


class _Caught(Exception):
    """Carry a request that botocore was about to send."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def address_of(client: Any, bucket: str) -> Address:
    """Return where client, a boto3 client that nobody else uses yet, would send a PutObject; send nothing.

    Raise UsageError with botocore's reason where it refuses to (accelerate with a dotted name, FIPS in China);
    FatalError without credentials.
    """
    client.meta.events.register_first(_BEFORE_SEND, _catch)
    try:
        client.put_object(Bucket=bucket, Key=_KEY, Body=b"")
    except _Caught as caught:
        return _address(caught.request)
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        raise FatalError(NO_CREDENTIALS) from error
    except (botocore.exceptions.CredentialRetrievalError, botocore.exceptions.ClientError) as error:
        raise not_renewed(error) from error
    except RuntimeError as error:  # botocore's word for new credentials that are expired already
        raise not_renewed(error) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise UsageError(
            f"the bucket has no usable address: {error}. Check DESTINATION_BUCKET, AWS_REGION, AWS_ENDPOINT_URL, and "
            "what the AWS configuration says about FIPS, dual-stack and accelerate endpoints."
        ) from error
    finally:
        client.meta.events.unregister(_BEFORE_SEND, _catch)
    raise AssertionError("botocore has sent a request past its before-send handlers")


def _catch(request: AWSPreparedRequest, **unused: Any) -> None:
    raise _Caught(request)


def _address(request: AWSPreparedRequest) -> Address:
    authorization = request.headers["Authorization"]
    if isinstance(authorization, bytes):
        authorization = authorization.decode("latin-1")
    scope = _SCOPE.search(authorization)
    if scope is None:
        raise AssertionError("botocore signed differently from the client's configuration")
    return Address(request.url[: -len(f"/{_KEY}")], scope[1])


def ignored(session: botocore.session.Session) -> list[str]:
    """Return what the AWS configuration asks for and botocore ignores where AWS_ENDPOINT_URL is set."""
    found = []
    if session.get_config_variable("use_fips_endpoint"):
        found.append("FIPS")
    of_s3 = session.get_scoped_config().get("s3")
    asked = of_s3.get("use_dualstack_endpoint") if isinstance(of_s3, Mapping) else None
    if session.get_config_variable("use_dualstack_endpoint") or str(asked).lower() == "true":
        found.append("dual-stack")
    return found


def named_in(location: str, body: bytes) -> str:
    """Return the host that a redirect names, in its Location header or else in its XML body; "" for none."""
    if location:
        try:
            parts = urlsplit(location)
            return (parts.hostname or "") if parts.port in (None, 443) else ""
        except ValueError:
            return ""
    found = _ENDPOINT.search(body)
    return found[1].decode("ascii").lower() if found else ""


def moved(address: Address, bucket: str, named: str) -> Address | None:
    """Return address at the host that a 307 names; None unless that is a regional host of the same bucket at AWS.

    Only from one of AWS's own hosts to another of the same partition, never from a FIPS host to one that is
    none, and once: not from an address that is moved already. The addressing style stays.
    """
    here, there = _at_aws(address.host, bucket), _at_aws(named, bucket)
    if address.left or here is None or there is None or named == address.host:
        return None
    if (
        not there["region"]
        or _is_gov(there["region"]) != _is_gov(address.region)
        or here["suffix"] != there["suffix"]
        or (here["fips"] and not there["fips"])
    ):
        return None
    if not address.path and not named.startswith(f"{bucket}."):
        return None
    host = there["host"] if address.path else f"{bucket}.{there['host']}"
    return Address(f"https://{host}{address.path}", there["region"], left=address.host)


def _is_gov(region: str) -> bool:
    return region.startswith("us-gov-")


def _at_aws(host: str, bucket: str) -> re.Match[str] | None:
    """Return the parts of host where it is one of S3's at AWS, the bucket's label before it or not."""
    return _AWS_HOST.fullmatch(host[len(bucket) + 1 :] if host.startswith(f"{bucket}.") else host)
