"""The checks of migrate.py --check: what each says of a healthy and of a sick set-up, and with which remedy."""

from __future__ import annotations

import dataclasses
import json
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.commands import check_bucket, check_cdn, check_context, check_machine, check_s3
from cdn2s3.commands.check_context import FAILED, OK, WARNING, CheckContext, CheckResult
from cdn2s3.destinations.s3.iam import Identity, policy
from cdn2s3.settings.declarations import MigrationSettings
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.scripted_cdn import ScriptedCdn
from tests.fakes.source import SourceServer
from tests.fakes.wire import response
from tests.running import Migration

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

NOWHERE = "http://127.0.0.1:1"
KEY = Identity("the environment", "TEST", "", "", "", False, None, False)
Visits = Callable[..., CheckContext]


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visits]:
    """Return a factory of visits: `visits(server, object_acl="private")`; server None: nobody answers."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with ExitStack() as stack:

        def make(server: S3Server | None = None, **changed: Any) -> CheckContext:
            settings = MigrationSettings(
                destination_bucket="bucket",
                aws_endpoint_url=server.url if server else NOWHERE,
                source_urls_file=tmp_path / "urls.txt",
                state_dir=tmp_path,
                concurrency=4,
                max_retries=0,
                upload_timeout=5.0,
            )
            made = CheckContext(dataclasses.replace(settings, **changed))
            stack.callback(made.close)
            return made

        yield make


def by_name(findings: list[CheckResult]) -> dict[str, CheckResult]:
    return {finding.what: finding for finding in findings}


def levels(findings: list[CheckResult]) -> dict[str, str]:
    return {finding.what: finding.level for finding in findings}


# --- this machine ---


def test_versions_name_python_and_the_libraries(contexts: Visits) -> None:
    (finding,) = check_machine.check_versions(contexts())
    assert finding.level == OK
    assert "Python 3." in finding.detail
    assert "boto3 " in finding.detail


def test_open_files_beyond_the_hard_limit_fail(contexts: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (64, 70))
    (finding,) = check_machine.check_open_files(contexts())
    assert finding.level == FAILED
    assert "72 needed, 70 allowed" in finding.detail
    assert finding.remedy.startswith("ulimit -n 72")


def test_open_files_below_the_hard_limit_are_raised(
    contexts: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (64, 1024))
    (finding,) = check_machine.check_open_files(contexts())
    assert finding.level == OK
    assert "raised from 64" in finding.detail


@pytest.mark.parametrize(
    ("free", "level"), [(4_000, FAILED), (6_000, WARNING), (100_000, OK)], ids=["full", "close", "ample"]
)
def test_disk_is_measured_against_the_pending_urls(
    free: int, level: str, contexts: Visits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "urls.txt").write_text("x\n" * 12)
    (tmp_path / "completed.txt").write_text("x\n" * 2)

    class Usage:
        def __init__(self, path: object) -> None:
            self.free = free

    monkeypatch.setattr(check_machine.shutil, "disk_usage", Usage)
    (finding,) = check_machine.check_disk(contexts())
    assert finding.level == level
    assert "about 5 KB needed" in finding.detail


@pytest.mark.parametrize("content", [None, "", "\n\n"], ids=["absent", "empty", "blank"])
def test_input_missing_is_a_warning_with_the_command(
    content: str | None, contexts: Visits, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "urls.txt").write_text(content)
    (finding,) = check_machine.check_input(contexts())
    assert (finding.level, finding.remedy) == (WARNING, "python collect_urls.py")


# --- who we are ---


def test_credentials_found_say_from_where_and_hold_no_secret(contexts: Visits) -> None:
    found = by_name(check_s3.check_credentials(contexts()))
    assert found["credentials"].level == OK
    assert "from the environment" in found["credentials"].detail
    assert "secret" not in found["credentials"].detail
    assert found["expiry"].detail == "a long-lived access key"


def test_credentials_missing_fail_once(contexts: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    patient = contexts()
    checks = (
        check_s3.check_credentials,
        check_s3.check_clock,
        check_s3.check_bucket,
        check_bucket.check_permissions,
        check_bucket.check_capabilities,
        check_bucket.check_acl,
    )
    findings = [finding for one in checks for finding in one(patient)]
    assert levels(findings) == {"credentials": FAILED}
    assert "no AWS credentials were found" in findings[0].detail


@pytest.mark.parametrize(
    ("changed", "ends_in", "level", "said"),
    [
        ({"renews": True}, -600, OK, "renew themselves"),
        ({"has_token": True}, None, WARNING, "does not renew itself"),
        ({}, 600, WARNING, "they expire in 10 min"),
        ({}, 90_000, OK, "they expire in 25 h"),
        ({}, None, OK, "long-lived"),
    ],
    ids=["role", "static-token", "too-short", "long-enough", "key"],
)
def test_expiry_is_compared_with_the_hours_needed(
    changed: dict[str, Any], ends_in: float | None, level: str, said: str, contexts: Visits
) -> None:
    patient = contexts(concurrency=150)  # 4 million files: about 3 h
    ends_at = None if ends_in is None else time.time() + ends_in
    patient.identity = KEY._replace(ends_at=ends_at, **changed)
    finding = by_name(check_s3.check_credentials(patient))["expiry"]
    assert finding.level == level
    assert said in finding.detail


def test_credentials_that_sts_refuses_fail(contexts: Visits) -> None:
    patient = contexts()
    patient.identity = KEY._replace(refused="STS refuses them (ExpiredToken)")
    (finding,) = check_s3.check_credentials(patient)
    assert finding.level == FAILED
    assert "ExpiredToken" in finding.detail


# --- the bucket ---


@pytest.mark.parametrize(
    ("server", "changed", "level", "said", "remedy"),
    [
        ({}, {}, OK, "bucket in us-west-2", ""),
        ({"allow": frozenset({"PutObject"})}, {}, OK, "not an error in itself; region us-west-2", ""),
        ({}, {"aws_region": "eu-west-1"}, FAILED, "is in us-west-2, AWS_REGION is eu-west-1", "AWS_REGION=us-west-2"),
        ({}, {"destination_bucket": "absent"}, FAILED, "absent does not exist", "python migrate.py --create-bucket"),
    ],
    ids=["there", "refused", "region", "absent"],
)  # fmt: skip
def test_bucket_is_where_the_settings_say(
    server: dict[str, Any], changed: dict[str, Any], level: str, said: str, remedy: str,
    contexts: Visits, s3_server: Callable[..., S3Server],
) -> None:  # fmt: skip
    finding = check_s3.check_bucket(contexts(s3_server(**server), **changed))[0]
    assert finding.level == level
    assert said in finding.detail
    assert finding.remedy == remedy


def test_bucket_that_cannot_be_reached_fails(contexts: Visits) -> None:
    (finding,) = check_s3.check_bucket(contexts())
    assert finding.level == FAILED
    assert "127.0.0.1:1" in finding.detail


@pytest.mark.parametrize(
    ("account", "level"), [("111122223333", OK), ("999999999999", WARNING)], ids=["ours", "another"]
)
def test_owner_of_the_bucket_is_compared_with_the_credentials(
    account: str, level: str, contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    patient = contexts(s3_server())
    patient.identity = KEY._replace(account=account)
    found = by_name(check_s3.check_bucket(patient))
    assert found["owner"].level == level
    assert account in found["owner"].detail


@pytest.mark.parametrize("checks", [True, False])
def test_owner_that_the_store_does_not_check_proves_nothing(
    checks: bool, contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server(checks_owner=checks)
    found = by_name(check_s3.check_bucket(contexts(server, expected_bucket_owner=server.settings.owner)))
    assert found["owner"].level == (OK if checks else WARNING)
    assert ("does not check owners" in found["owner"].detail) == (not checks)
    asked = [entry.headers.get("x-amz-expected-bucket-owner") for entry in server.requests("HeadBucket")]
    assert asked.count("000000000000") == 1


@pytest.mark.parametrize(
    ("offset", "level"), [(0, OK), (120, WARNING), (-120, WARNING), (1000, FAILED)], ids=str
)
def test_clock_is_compared_with_the_stores(
    offset: float, level: str, contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    (finding,) = check_s3.check_clock(contexts(s3_server(clock_offset=offset)))
    assert finding.level == level
    assert finding.remedy == ("" if level == OK else "sudo chronyc makestep")


def test_clock_of_a_store_that_does_not_answer_is_no_matter(
    contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    server.network.refuse()
    assert check_s3.check_clock(contexts(server)) == []


def test_permissions_all_granted_are_ok_and_leave_nothing(
    contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    patient = contexts(server)
    findings = [
        finding
        for check in (check_bucket.check_permissions, check_bucket.check_capabilities, check_bucket.check_acl)
        for finding in check(patient)
    ]
    assert levels(findings) == dict.fromkeys(
        ("put", "get", "delete", "list", "overwrite", "checksum", "ACL"), OK
    )
    assert server.objects("bucket") == {}


def test_permissions_with_put_alone_warn_and_name_what_needs_more(
    contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    patient = contexts(s3_server(allow=frozenset({"PutObject"})))
    found = by_name(check_bucket.check_permissions(patient))
    assert levels(list(found.values())) == {"put": OK, "get": WARNING, "delete": WARNING, "list": WARNING}
    assert "--sample" in found["get"].detail
    assert '"s3:GetObject"' in found["get"].remedy
    assert "--sample" in found["delete"].detail
    assert "--adopt" in found["list"].detail
    assert found["list"].remedy.endswith('"Resource": "arn:aws:s3:::bucket"}')


@pytest.mark.parametrize(
    ("server", "changed", "said", "remedy"),
    [
        ({"allow": frozenset({"GetObject"})}, {}, "403 AccessDenied",
         '{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::bucket/images/*"}'),
        ({"allow": frozenset({"PutObject"}), "acls": True}, {"object_acl": "public-read"}, "403 AccessDenied",
         '{"Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectAcl"], '
         '"Resource": "arn:aws:s3:::bucket/images/*"}'),
        ({"makes_buckets": True}, {"destination_bucket": "absent"}, "404 NoSuchBucket",
         "python migrate.py --create-bucket"),
        ({}, {"object_acl": "public-read"}, "ACLs disabled", "OBJECT_ACL="),
        ({"refused_headers": {"x-amz-storage-class": "NotImplemented"}}, {"storage_class": "ONEZONE_IA"},
         "the store refuses STORAGE_CLASS=ONEZONE_IA", "STORAGE_CLASS="),
        ({"credentials": {"AKIATEST": "other"}}, {}, "SignatureDoesNotMatch", "aws sts get-caller-identity"),
        ({"clock_offset": 1000.0}, {}, "RequestTimeTooSkewed", "sudo chronyc makestep"),
    ],
    ids=["no-put", "no-put-acl", "no-bucket", "acl-forbidden", "class", "secret", "clock"],
)  # fmt: skip
def test_put_refused_fails_with_its_remedy(
    server: dict[str, Any], changed: dict[str, Any], said: str, remedy: str,
    contexts: Visits, s3_server: Callable[..., S3Server],
) -> None:  # fmt: skip
    patient = contexts(s3_server(**server), **changed)
    (finding,) = check_bucket.check_permissions(patient)
    assert (finding.level, finding.remedy) == (FAILED, remedy)
    assert said in finding.detail
    assert check_bucket.check_capabilities(patient) == check_bucket.check_acl(patient) == []


LESSER = {"ignore_if_none_match": True, "ignore_content_md5": True, "ignore_checksums": True}


@pytest.mark.parametrize(
    ("server", "changed", "overwrite", "checksum"),
    [
        ({}, {}, OK, OK),
        ({}, {"integrity": "crc32"}, OK, OK),
        ({"kms_default": True}, {}, OK, OK),
        ({"ignore_if_none_match": True}, {}, WARNING, OK),
        ({"ignore_if_none_match": True}, {"on_existing": "overwrite"}, OK, OK),
        ({"ignore_if_none_match": True, "allow": frozenset({"PutObject"})}, {}, FAILED, OK),
        ({"ignore_content_md5": True}, {}, OK, OK),
        ({"ignore_content_md5": True}, {"integrity": "md5"}, OK, OK),
        ({"ignore_checksums": True}, {"integrity": "crc32"}, OK, WARNING),
        ({**LESSER, "etag_mode": "opaque"}, {}, WARNING, WARNING),
        ({"complete_ignores_if_none_match": True}, {}, WARNING, OK),
    ],
    ids=["s3", "crc32", "kms", "no-condition", "overwrite", "no-condition-no-get", "no-md5-check-crc",
         "no-md5-check",
         "no-crc-check", "nothing", "parts"],
)  # fmt: skip
def test_guard_says_what_the_store_proves(
    server: dict[str, Any], changed: dict[str, Any], overwrite: str, checksum: str,
    contexts: Visits, s3_server: Callable[..., S3Server],
) -> None:  # fmt: skip
    found = levels(check_bucket.check_capabilities(contexts(s3_server(**server), **changed)))
    assert found == {"overwrite": overwrite, "checksum": checksum}


@pytest.mark.parametrize(
    ("server", "changed", "what", "level", "said"),
    [
        ({"complete_ignores_if_none_match": True}, {}, "overwrite", WARNING, "not atomic"),
        ({"takes_parts": False}, {}, "parts", WARNING, "no uploads in parts"),
        ({"signed_bodies_only": True}, {}, "signature", OK, "every body is signed"),
        ({"listing_etag": "other"}, {}, "listing", OK, "other ETags"),
        ({"not_kept": frozenset({"content-type"})}, {}, "kept", WARNING, "does not keep Content-Type"),
        ({}, {"storage_class": "GLACIER"}, "archive", WARNING, "cannot be read before they are restored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_differs_from_aws_is_said(
    server: dict[str, Any], changed: dict[str, Any], what: str, level: str, said: str,
    contexts: Visits, s3_server: Callable[..., S3Server],
) -> None:  # fmt: skip
    found = by_name(check_bucket.check_capabilities(contexts(s3_server(**server), **changed)))
    assert found[what].level == level
    assert said in found[what].detail


@pytest.mark.parametrize(
    ("server", "account", "changed", "level", "said"),
    [
        ({}, "", {}, OK, "disabled"),
        ({"acls": True}, "111122223333", {}, OK, "this account owns the objects"),
        ({"acls": True}, "999999999999", {}, WARNING, "another account owns"),
        ({"acls": True}, "", {"object_acl": "public-read"}, OK, "public-read is accepted"),
        ({"acls": True, "allow": frozenset({"PutObject"})}, "", {}, OK, "could not find out whether"),
    ],
    ids=["disabled", "ours", "needed", "taken", "unknown"],
)
def test_acl_needed_or_not(
    server: dict[str, Any], account: str, changed: dict[str, Any], level: str, said: str,
    contexts: Visits, s3_server: Callable[..., S3Server],
) -> None:  # fmt: skip
    patient = contexts(s3_server(**server), **changed)
    patient.identity = KEY._replace(account=account)
    (finding,) = check_bucket.check_acl(patient)
    assert finding.level == level
    assert said in finding.detail
    assert (finding.remedy == "OBJECT_ACL=bucket-owner-full-control") == (level == WARNING)


def test_acl_check_names_the_probe_that_a_failed_delete_leaves(
    contexts: Visits, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server(acls=True)
    patient = contexts(server)
    patient.identity = KEY._replace(account="")
    assert patient.probed.can_delete
    server.rules.add(Rule("InternalError", operation="DeleteObject"))
    found = by_name(check_bucket.check_acl(patient))
    assert set(found) == {"ACL", "delete"}
    assert found["delete"].remedy == "aws s3 rm s3://bucket/images/.cdn2s3-probe-acl"


# --- the CDN ---


def test_source_that_answers_is_ok_and_its_edge_compared(
    contexts: Visits, tmp_path: Path, source_server: Callable[..., SourceServer]
) -> None:
    source = source_server()
    (tmp_path / "urls.txt").write_text(
        f"ftp://x\n{source.url_of('a.jpg', '404')}\n{source.url_of('b.jpg')}\n"
    )
    near = contexts(url_prefix=source.url_prefix)
    assert levels(check_cdn.check_source(near) + check_cdn.check_edge(near)) == {
        "source": OK,
        "edge": OK,
    }
    far = contexts(url_prefix=source.url_prefix, aws_region="eu-west-1", aws_endpoint_url=None)
    (finding,) = check_cdn.check_edge(far)
    assert finding.level == WARNING
    assert "SEA19-C2 responds here; the nearest region is us-west-2" in finding.detail


def test_source_that_cannot_be_reached_fails(contexts: Visits, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text(f"{NOWHERE}/a.jpg\n")
    patient = contexts(url_prefix=f"{NOWHERE}/")
    (finding,) = check_cdn.check_source(patient)
    assert finding.level == FAILED
    assert "cannot be reached" in finding.detail
    assert check_cdn.check_edge(patient) == []


def test_source_without_a_url_under_the_prefix_fails(contexts: Visits, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("https://elsewhere.example/a.jpg\n")
    (finding,) = check_cdn.check_source(contexts())
    assert (finding.level, finding.remedy) == (FAILED, "correct URL_PREFIX")


def test_source_that_lacks_the_first_files_is_a_warning(
    contexts: Visits, tmp_path: Path, source_server: Callable[..., SourceServer]
) -> None:
    source = source_server()
    (tmp_path / "urls.txt").write_text("".join(source.url_of(f"{n}.jpg", "404") + "\n" for n in range(9)))
    (finding,) = check_cdn.check_source(contexts(url_prefix=source.url_prefix))
    assert finding.level == WARNING


def test_source_that_refuses_all_fails(
    contexts: Visits, tmp_path: Path, source_server: Callable[..., SourceServer]
) -> None:
    source = source_server()
    (tmp_path / "urls.txt").write_text("".join(source.url_of(f"{n}.jpg", "403") + "\n" for n in range(9)))
    (finding,) = check_cdn.check_source(contexts(url_prefix=source.url_prefix))
    assert finding.level == FAILED
    assert "403, 403, 403, 403, 403 for its first URLs" in finding.detail


def test_source_that_redirects_away_says_where_and_what_follows_it(
    contexts: Visits, tmp_path: Path, source_server: Callable[..., SourceServer]
) -> None:
    source = source_server()
    source.rules.add(Rule("redirect_login_outside", value="https://127.0.0.1/images/a.jpg"))
    (tmp_path / "urls.txt").write_text("".join(source.url_of(f"{n}.jpg") + "\n" for n in range(9)))
    (finding,) = check_cdn.check_source(contexts(url_prefix=source.url_prefix))
    assert finding.level == FAILED
    assert "a redirect to https://127.0.0.1/images/a.jpg" in finding.detail
    assert "SOURCE_REDIRECTS=same-host" in finding.remedy


def test_source_that_answers_with_a_page_is_a_warning(contexts: Visits, tmp_path: Path) -> None:
    page = response(200, [("Content-Type", "text/html; charset=utf-8")], b"<html>Please log in")
    with ScriptedCdn(lambda request: page) as cdn:
        (tmp_path / "urls.txt").write_text(f"{cdn.url_prefix}a.jpg\n")
        (finding,) = check_cdn.check_source(contexts(url_prefix=cdn.url_prefix))
    assert finding.level == WARNING
    assert "a web page (text/html)" in finding.detail


def test_each_host_of_the_prefix_is_asked(
    contexts: Visits,
    tmp_path: Path,
    source_server: Callable[..., SourceServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_context, "_SOURCE_LINES", 40)
    good, bad = source_server(), source_server()
    lines = [*(good.url_of(f"{n}.jpg") for n in range(30)), bad.url_of("a.jpg", "404"), f"{NOWHERE}/a.jpg"]
    late = [*(good.url_of(f"{n}.jpg") for n in range(30, 60)), "http://late.test/a.jpg"]
    (tmp_path / "urls.txt").write_text("".join(f"{line}\n" for line in [*lines, *late]))
    prefixes = f"{good.url_prefix} {bad.url_prefix} {NOWHERE}/ http://late.test/"
    found = check_cdn.check_source(contexts(url_prefix=prefixes))
    assert [finding.level for finding in found] == [OK, WARNING, FAILED, OK]
    assert "404 for its first URLs" in found[1].detail
    assert "http://late.test was not asked" in found[3].detail


# --- the whole command ---


@pytest.mark.parametrize(
    ("server", "settings", "code", "worst"),
    [
        ({}, {}, 0, "ok"),
        ({"allow": frozenset({"PutObject"})}, {}, 1, "warning"),
        ({}, {"DESTINATION_BUCKET": "absent"}, 3, "failed"),
        ({}, {"CONCURRENCY": "many"}, 2, ""),
    ],
    ids=["well", "warnings", "failure", "settings"],
)
def test_check_exits_by_the_gravest_finding(
    server: dict[str, Any], settings: dict[str, Any], code: int, worst: str, tmp_path: Path,
    s3_server: Callable[..., S3Server], source_server: Callable[..., SourceServer],
) -> None:  # fmt: skip
    source, store = source_server(), s3_server(**server)
    job = Migration(tmp_path, URL_PREFIX=source.url_prefix, AWS_ENDPOINT_URL=store.url)
    job.urls([source.url_of("a.jpg")])
    ran = job.run("--check", quick={}, **settings)
    assert ran.code == code, ran.said
    if worst:
        levels_seen = {line.split(" ")[0] for line in ran.out.splitlines() if line[:1].isalpha()}
        assert worst in levels_seen
        assert "next: " in ran.out
    assert "Traceback" not in ran.said
    # A path is never broken, and may be longer.
    assert all(len(line) <= 100 for line in ran.out.splitlines() if str(tmp_path) not in line)


def test_finding_as_text_wraps_words_and_keeps_commands_whole() -> None:
    command = "python some_long_command.py --with a-great-many --options that go beyond the width"
    lines = check_context.text(CheckResult(FAILED, "thing", "word " * 40, command)).splitlines()
    assert lines[0].startswith("failed   thing        word word")
    assert all(len(line) <= 79 for line in lines[:-1])
    assert lines[-1].strip() == f"-> {command}"


def test_finding_as_text_wraps_a_policy_between_words() -> None:
    statement = policy(
        MigrationSettings(destination_bucket="bucket"), "PutObject", "GetObject", "DeleteObject"
    )
    lines = check_context.text(CheckResult(FAILED, "put", "refused", statement)).splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 79 for line in lines)
    assert json.loads(" ".join(lines[1:]).replace("-> ", "", 1)) == json.loads(statement)
