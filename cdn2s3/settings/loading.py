"""Loading of settings from an env file and the environment: every bad value is reported at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cdn2s3.errors import UsageError
from cdn2s3.file_names import COLLECTION_ENV, MIGRATION_ENV
from cdn2s3.records import S3
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.contradictions import contradictions
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.declaring import REQUIRED
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.parsers import Secret, body, command, headers, secret, source_headers
from cdn2s3.settings.placement import Placement
from cdn2s3.settings.regions import unknown_region
from cdn2s3.settings.spelling import misspelled, nearest, suggestion
from cdn2s3.text import pluralize, printable, redact

_SECRETS = (secret, headers, source_headers, command, body)  # parsers of what may not be shown

Settings = TypeVar("Settings", CollectionSettings, MigrationSettings)


# What the AWS SDK itself reads, and an env file may carry for an S3-compatible store.
AWS_NAMES = frozenset({
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS", "AWS_CA_BUNDLE",
})  # fmt: skip


_ONE_IDENTITY = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def build(
    kind: type[Settings], file: Mapping[str, str], environment: Mapping[str, str], where: Path
) -> Settings:
    """Build settings of kind from the file's values; the environment overrides them.

    where is the file's path, for messages. Raise one UsageError that names every bad value.
    """
    specs = _declared(kind)
    problems = [_unknown(name, kind) for name in file if name not in specs and name not in AWS_NAMES]
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for name, spec in specs.items():
        given = environment.get(name, file.get(name))
        is_needed = (
            spec.metadata["default"] is REQUIRED and Placement(values.get("destination", S3)).uses_bucket
        )
        if given is None or (given == "" and spec.metadata["default"] is REQUIRED):
            if is_needed:
                problems.append(f"{name} is not set: {spec.metadata['meaning']}")
                bad.add(name)
            continue
        try:
            values[spec.name] = spec.metadata["parse"](given)
        except ValueError as error:
            origin = "" if name not in environment else " (from the environment)"
            text_given = "***" if spec.metadata["parse"] in _SECRETS else redact(repr(given))
            problems.append(f"{name}={text_given}{origin}: must be {error}")
            bad.add(name)
    if kind is MigrationSettings:
        problems += _half_a_key_pair(environment if not _ONE_IDENTITY.isdisjoint(environment) else file)
    settings = kind(**values)
    problems += [text for names, text in contradictions(settings) if bad.isdisjoint(names)]
    if not problems:
        return settings
    raise UsageError(
        f"{where}: {pluralize(len(problems), 'setting')} to correct:\n"
        + "\n".join(f"  - {p}" for p in problems)
    )


def _half_a_key_pair(given: Mapping[str, str]) -> list[str]:
    pair = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    is_set = [name for name in pair if given.get(name)]
    if len(is_set) != 1:
        return []
    lacking = next(name for name in pair if name not in is_set)
    return [f"{is_set[0]} is set, but {lacking} is not: set both or neither"]


def _declared(kind: type[CollectionSettings | MigrationSettings]) -> dict[str, dataclasses.Field[Any]]:
    """Return the settings of kind, by the names that they have in the file."""
    return {field.name.upper(): field for field in dataclasses.fields(kind)}


_FILES = {CollectionSettings: COLLECTION_ENV, MigrationSettings: MIGRATION_ENV}


def _unknown(name: str, kind: type[CollectionSettings | MigrationSettings]) -> str:
    """Return the message for a name that isn't a setting of kind."""
    for other, file in _FILES.items():
        if name in _declared(other):
            return f"{name} isn't a setting in this file; move it to {file}"
    return f"{printable(name)} isn't a setting; {suggestion(nearest(name.upper(), _known(kind)))}"


def _known(kind: type[CollectionSettings | MigrationSettings]) -> list[str]:
    return [*_declared(kind), *sorted(AWS_NAMES)]


def without_secrets(settings: MigrationSettings) -> MigrationSettings:
    """Return settings with each secret as if it were not set: what may travel to another machine."""
    fields = dataclasses.fields(settings)
    unset: dict[str, Any] = {
        field.name: field.default for field in fields if field.metadata["parse"] in _SECRETS
    }
    return dataclasses.replace(settings, **unset)


def with_own_headers(settings: MigrationSettings, environment: Mapping[str, str]) -> MigrationSettings:
    """Return settings of another machine with SOURCE_HEADERS as this one's environment has it.

    Raise UsageError if that is no value for it.
    """
    try:
        own = source_headers(environment.get("SOURCE_HEADERS", ""))
    except ValueError as error:
        raise UsageError(f"SOURCE_HEADERS in the environment of this machine: must be {error}") from None
    return dataclasses.replace(settings, source_headers=own)


class StartNotes(NamedTuple):
    """What a run's log begins with, kept until the log is open."""

    effective: str  # the settings that differ from their defaults, one per line
    warnings: tuple[str, ...]
    private: frozenset[str] = frozenset()  # variables of the environment that no program of the user's gets


def load(
    kind: type[Settings], env_file: Path, environment: MutableMapping[str, str] = os.environ
) -> tuple[Settings, StartNotes]:
    """Read env_file and the environment into settings, and hand the file's AWS_* names to the AWS SDK.

    Raise UsageError for everything that is wrong with them.
    """
    file = read_env_file(env_file)
    settings = build(kind, file, environment, env_file)
    others = {name for other in _FILES for name in _declared(other)}
    prefix = "API_" if kind is CollectionSettings else None
    warnings = tuple(misspelled(environment, _known(kind), others, prefix))
    handed_over: set[str] = set()
    # Keys and token belong together: a mix of file and environment would make a signature that no store accepts.
    kept = frozenset() if _ONE_IDENTITY.isdisjoint(environment) else _ONE_IDENTITY
    for name in (AWS_NAMES - kept) & file.keys():
        if file[name] and name not in environment:
            environment[name] = file[name]
            handed_over.add(name)
    private = frozenset(handed_over) | _secret_names()
    return settings, StartNotes(_effective(settings, env_file, environment), warnings, private)


def _secret_names() -> frozenset[str]:
    """Return the names of the settings whose values are secret."""
    declared = {name: field for kind in _FILES for name, field in _declared(kind).items()}
    return frozenset(name for name, field in declared.items() if field.metadata["parse"] in _SECRETS)


def _effective(
    settings: CollectionSettings | MigrationSettings, env_file: Path, environment: Mapping[str, str]
) -> str:
    """Return the settings that differ from their defaults and where each came from, secrets redacted."""
    lines = []
    for name, field in _declared(type(settings)).items():
        value = _as_text(getattr(settings, field.name))
        if value != _as_text(field.default):
            lines.append(f"{name}={value} ({'environment' if name in environment else env_file})")
    if (
        isinstance(settings, MigrationSettings)
        and settings.aws_endpoint_url
        and unknown_region(settings.aws_region)
    ):
        lines.append(
            f"{settings.aws_region} isn't an AWS region; the store at AWS_ENDPOINT_URL must recognize it"
        )
    return "\n".join(["Settings that differ from the defaults:", *lines])


def redacted_values(settings: CollectionSettings | MigrationSettings) -> dict[str, str]:
    """Return each setting's name and value as text that may be shown: secrets redacted."""
    return {
        field.name.upper(): _as_text(getattr(settings, field.name)) for field in dataclasses.fields(settings)
    }


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return repr(value) if isinstance(value, Secret) else redact(str(value))
