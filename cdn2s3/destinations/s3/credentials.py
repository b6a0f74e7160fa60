"""The credentials of a run: the AWS chain finds and renews them, and each way in which it fails has its remedy.

A provider of the chain runs the user's command, reads the user's files or asks a service, and lets through whatever
that raises: an OSError for a token file that is gone, a ValueError for a command that prints a sentence. All of it
means that there are no credentials, so that every object would fail: exit 3, and nothing is recorded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import botocore.exceptions
import botocore.session

from cdn2s3.destinations.s3.metadata_service import why_no_role
from cdn2s3.destinations.s3.sdk_transport import sender
from cdn2s3.errors import FatalError, MigrationError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.text import printable, redact

NO_CREDENTIALS = (
    "no AWS credentials were found. On EC2 attach an instance role; elsewhere run `aws configure`, or set "
    "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)
_IMDS_SECONDS = 5
_IMDS_ATTEMPTS = 5
_SAID = 240  # characters of another program's own words


class _Provider(NamedTuple):
    """A place where botocore finds credentials."""

    name: str  # in plain words
    remedy: str  # what to do when it fails, as an imperative clause


# By botocore's METHOD, all providers of its chain (credentials.create_credential_resolver); a test finds a new one.
PROVIDERS = {
    "env": _Provider(
        "the environment or the settings file",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, with AWS_SESSION_TOKEN if they are temporary",
    ),
    "assume-role": _Provider(
        "an assumed role (role_arn of the profile)",
        "check the profile's role_arn and source_profile or credential_source, and the role's trust policy",
    ),
    "assume-role-with-web-identity": _Provider(
        "a role by web identity",
        "check the token file (AWS_WEB_IDENTITY_TOKEN_FILE or the profile's web_identity_token_file), the role "
        "(AWS_ROLE_ARN or role_arn) and its trust policy",
    ),
    "sso": _Provider(
        "a single sign-on session", "run `aws sso login` for the profile, and check its sso_ settings"
    ),
    "login": _Provider("a login session", "run `aws login` for the profile"),
    "shared-credentials-file": _Provider(
        "the shared credentials file",
        "give the profile both aws_access_key_id and aws_secret_access_key there",
    ),
    "custom-process": _Provider(
        "the profile's credential_process",
        "run that command by hand: it must end with exit code 0 and print JSON with Version 1, AccessKeyId and "
        "SecretAccessKey, and nothing else",
    ),
    "config-file": _Provider(
        "the AWS config file", "give the profile both aws_access_key_id and aws_secret_access_key there"
    ),
    "ec2-credentials-file": _Provider(
        "the file in AWS_CREDENTIAL_FILE", "correct the file, or unset the variable"
    ),
    "boto-config": _Provider(
        "the configuration file of boto 2", "correct BOTO_CONFIG, /etc/boto.cfg or ~/.boto"
    ),
    "container-role": _Provider(
        "the container's role",
        "check the task's role or the pod's identity, and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI",
    ),
    "iam-role": _Provider("the instance role", "check the role that is attached to the instance"),
}
# Their errors may hold what the user's command printed, which may be a key.
_SILENT = frozenset({"custom-process"})
_BAD_SHAPE = re.compile(
    "ersion '.{0,40}' (?:not supported )?for cred|Missing required key"
)  # botocore's own words


def provider_name(method: str) -> str:
    """Return where credentials with botocore's method were found, in plain words."""
    return PROVIDERS[method].name if method in PROVIDERS else method


def aws_session(
    settings: MigrationSettings, adapter: PooledAdapter | None = None
) -> botocore.session.Session:
    """Return the session of the AWS SDK that credentials and client come from.

    Its requests are sent over adapter; None is for a session that sends none. Raise FatalError.
    """
    with sdk_errors():
        core = botocore.session.Session()
        core.set_config_variable("metadata_service_timeout", _IMDS_SECONDS)
        core.set_config_variable("metadata_service_num_attempts", _IMDS_ATTEMPTS)
        core.set_config_variable("ignore_configured_endpoint_urls", True)  # only AWS_ENDPOINT_URL counts
        if core.get_config_variable("region") is None:  # STS has one address a region
            core.set_config_variable("region", settings.aws_region)
        if adapter is not None:
            core.register("before-send", sender(adapter))
        with _no_proxy():
            chain = core.get_component("credential_provider")
        core.register_component("credential_provider", _Chain(chain.providers))
        return core


def credentials_of(session: botocore.session.Session) -> Any:
    """Return the credentials that the AWS chain finds, which renew themselves; raise FatalError if there are none."""
    with sdk_errors():
        found = session.get_credentials()
    if found is None:
        raise FatalError(_none_found(session))
    return found


class _Chain:
    """botocore's chain of providers, in which a failure has its provider's remedy."""

    def __init__(self, providers: list[Any]) -> None:
        self.providers = providers
        for provider in providers:
            if hasattr(
                provider, "_prompter"
            ):  # botocore's own one asks at each renewal, in the middle of a night
                provider._prompter = _no_code

    def load_credentials(self) -> Any:
        """Return what the first provider gives that has something, None if none has; called by botocore, once."""
        for provider in self.providers:
            try:
                found = provider.load()
                if found is not None:
                    odd = _oddity(found.get_frozen_credentials())  # some providers ask only now
                    if odd:
                        raise _failed("cannot be used as they come", str(provider.METHOD), odd)
                    return found
            except MigrationError:
                raise
            except Exception as error:
                method = str(provider.METHOD)
                raise _failed("could not be obtained", method, _said(method, error)) from error
        return None


def _no_code(prompt: str) -> str:
    """Stop instead of asking for an MFA code; called by botocore."""
    raise FatalError(
        "the profile's role wants an MFA code (mfa_serial), which nobody is there to type at each renewal. Use a role "
        'without MFA, or put temporary credentials into the environment (`eval "$(aws configure export-credentials '
        '--format env)"`), which end after some hours; then run the same command again (a migration resumes).'
    )


def _oddity(frozen: Any) -> str:
    """Return what no credentials have in them, such as the line break of a file that was pasted; "" if nothing.

    Stores answer it with anything but its cause. A secret key is only hashed, so that its inside may be anything.
    """
    for name, value in (("access key ID", frozen.access_key), ("session token", frozen.token)):
        if value and not re.fullmatch(r"[!-~]+", value):
            return f"the {name} has a blank, a line break or a character other than ASCII in it"
    secret = frozen.secret_key
    return (
        "the secret access key begins or ends with a blank or a line break"
        if secret != secret.strip()
        else ""
    )


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Let what botocore sets up in the block use no proxy: the metadata service answers only this very machine."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before


@contextmanager
def sdk_errors() -> Iterator[None]:
    """Raise FatalError for a configuration that the SDK cannot use."""
    try:
        yield
    except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
        raise FatalError(
            f"the AWS SDK cannot be set up: {_one_line(error)}. Check AWS_PROFILE, AWS_REGION and the AWS config file."
        ) from error


def not_renewed(error: Exception, credentials: Any = None) -> FatalError:
    """Return what an error in renewing credentials means; its text, which may hold secrets, is not shown."""
    said = type(error).__name__
    if isinstance(error, botocore.exceptions.ClientError):
        said = f"{error.response.get('Error', {}).get('Code', 'an error')} to {error.operation_name}"
    return _failed("could not be renewed", str(getattr(credentials, "method", "")), said)


def _failed(what: str, method: str, said: str) -> FatalError:
    provider = PROVIDERS.get(method, _Provider("their source", "check the instance role or the profile"))
    return FatalError(
        f"the AWS credentials {what} from {provider.name} ({said}). "
        f"{provider.remedy[0].upper()}{provider.remedy[1:]}; then run the same command again (a migration resumes)."
    )


def _said(method: str, error: Exception) -> str:
    """Return what went wrong, without what may be a secret."""
    if isinstance(error, FileNotFoundError):
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}"
    if method in _SILENT and isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
        return "its output is not JSON"
    if method in _SILENT and isinstance(error, botocore.exceptions.CredentialRetrievalError):
        shape = _BAD_SHAPE.search(str(error))
        return "its JSON lacks Version 1 or a key" if shape else "it ended with another exit code than 0"
    if (
        method == "container-role"
        and isinstance(error, ValueError)
        and not isinstance(error, json.JSONDecodeError)
    ):
        return _one_line(error)  # of botocore's check of the address and of the token's form
    shows = isinstance(
        error, (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, RuntimeError)
    )
    if not shows or method in _SILENT:
        return type(error).__name__
    said = _one_line(error)
    cause = error.__cause__
    return f"{said}: {_one_line(cause)}" if isinstance(cause, MigrationError) else said


def _one_line(error: BaseException) -> str:
    words = redact(printable(" ".join(str(error).split()))).rstrip(".")
    return words if len(words) <= _SAID else f"{words[:_SAID]}…"


def _none_found(session: botocore.session.Session) -> str:
    """Return why the chain has found nothing, as far as that shows."""
    notes = [NO_CREDENTIALS]
    for variable in ("credentials_file", "config_file"):
        path = Path(str(session.get_config_variable(variable))).expanduser()
        if path.exists() and not os.access(path, os.R_OK):  # botocore reads it as if it were empty
            notes.append(f"{path} may not be read by this user: correct its owner or permissions.")
    notes.append(why_no_role(session))
    return " ".join(filter(None, notes))
