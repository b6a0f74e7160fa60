"""From the env file and the environment to settings: precedence, messages, and secrets that stay so."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.declaring import REQUIRED
from cdn2s3.settings.loading import (
    AWS_NAMES,
    StartNotes,
    build,
    load,
    redacted_values,
    with_own_headers,
    without_secrets,
)
from tests.properties import examples

WHERE = Path("migration.env")
BUCKET = {"DESTINATION_BUCKET": "my-images"}
API = {"API_BASE_URL": "https://api.example/v1/images"}
CANARY = "CANARY7f3a"


def _migration(file: dict[str, str], environment: dict[str, str] | None = None) -> MigrationSettings:
    return build(MigrationSettings, {**BUCKET, **file}, environment or {}, WHERE)


def _problems(kind: type, file: dict[str, str], environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(UsageError) as refused:
        build(kind, file, environment or {}, WHERE)
    first, *problems = str(refused.value).split("\n")
    noun = "setting" if len(problems) == 1 else "settings"
    assert first == f"migration.env: {len(problems)} {noun} to correct:"
    return problems


# The documented names and defaults, as they stand in the two files; `!` marks the one without a default.
COLLECTION = """SOURCE=api API_BASE_URL= API_METHOD=GET API_BODY= API_AUTH_TOKEN=
API_AUTH_HEADER=Authorization API_AUTH_SCHEME=Bearer
API_AUTH_PARAM= API_TOKEN_COMMAND= API_HEADERS= API_RATE_LIMIT=10 API_WAIT_LIMIT=3600
RESULTS_PER_PAGE=100 OUTPUT_FILE=urls.txt CHECKPOINT_FILE=checkpoint.json
CHECKPOINT_INTERVAL=10000 API_PAGINATION=page API_PAGE_PARAM=page API_FIRST_PAGE=1
API_PER_PAGE_PARAM=per_page API_OFFSET_PARAM=offset API_CURSOR_PARAM=cursor API_CURSOR_FIELD=next_cursor
API_NEXT_FIELD=next API_URLS_FIELD= API_ITEMS_FIELD= API_TOTAL_FIELD= API_TOTAL_HEADER= API_HAS_MORE_FIELD=
API_END_STATUS= API_URL_BASE= API_URL_TEMPLATE= API_DETAIL_URL=
API_DETAIL_IDS= API_DETAIL_PAGINATION= API_TIMEOUT=30 MAX_RETRIES=3
LOT_FILES=data/lots/**/lot_*_images.json LOT_URL_KEYS=image_url,thumb_url
FILES= FILE_FORMAT=auto URL_COLUMNS= KEY_COLUMN= SITEMAP_URL= SOURCE_BUCKET=
AWS_REGION=us-west-2 AWS_ENDPOINT_URL=
URL_PREFIX=https://d278yjzsv5tla9.cloudfront.net/ IGNORED_QUERY_PARAMS= EXPECTED_TOTAL= DEFAULT_REGION=us-west-2
CA_BUNDLE= NOTIFY_COMMAND= LOG_LEVEL=INFO"""
MIGRATION = """SOURCE_URLS_FILE=urls.txt DESTINATION=s3 PERCENT=100 LOCAL_ROOT= DESTINATION_BUCKET=!
DESTINATION_BUCKET_FALLBACK=
EXPECTED_BUCKET_OWNER= DESTINATION_PREFIX=images/ PRESERVE_PATH_STRUCTURE=false STRIP_PATH_PREFIX=
ON_COLLISION=refuse
URL_PREFIX=https://d278yjzsv5tla9.cloudfront.net/ IGNORED_QUERY_PARAMS= KEY_QUERY_PARAMS=
SOURCE_HEADERS= SOURCE_REDIRECTS=prefix SOURCE_ENCODING=decode
AWS_REGION=us-west-2 AWS_ENDPOINT_URL= S3_ADDRESSING_STYLE=auto CONCURRENCY=150
PROCESSES=1 DASK_SCHEDULER= MAX_RETRIES=3 DOWNLOAD_TIMEOUT=30 UPLOAD_TIMEOUT=60 OUTAGE_LIMIT=1800 MAX_BUFFER_MB=10
MAX_ERROR_RATE=0.5 MAX_CHANGE_RATE=0.05 BANDWIDTH_LIMIT_MBPS=0 CONTENT_CHECK=image ON_EXISTING=verify INTEGRITY=auto
UPLOAD_METHOD=signed OBJECT_ACL= STORAGE_CLASS= SERVER_SIDE_ENCRYPTION= SSE_KMS_KEY_ID= CACHE_CONTROL=
VARIANTS_PREFIX=variants/ VARIANT_SIZES=thumbnail:300,medium:800,large:1200 MAX_PIXELS=50
NEW_CDN_HEADERS= CORS_ORIGIN= CA_BUNDLE= STATE_DIR=. NOTIFY_COMMAND= LOG_LEVEL=INFO"""


@pytest.mark.parametrize(
    ("kind", "documented"),
    [(CollectionSettings, COLLECTION), (MigrationSettings, MIGRATION)],
    ids=["collection", "migration"],
)
def test_settings_are_the_documented_ones_with_their_defaults(kind: type, documented: str) -> None:
    expected = dict(pair.split("=", 1) for pair in documented.split())
    in_code = {
        field.name.upper(): "!" if field.metadata["default"] == REQUIRED else field.metadata["default"]
        for field in dataclasses.fields(kind)
    }
    assert in_code == expected


@pytest.mark.parametrize("kind", [CollectionSettings, MigrationSettings], ids=["collection", "migration"])
def test_settings_examples_are_accepted(kind: type) -> None:
    for field in dataclasses.fields(kind):
        if field.metadata["example"]:
            field.metadata["parse"](field.metadata["example"])


def test_settings_from_the_shortest_files() -> None:
    assert _migration({}).destination_bucket == "my-images"
    assert build(CollectionSettings, API, {}, WHERE).api_base_url == API["API_BASE_URL"]
    assert build(CollectionSettings, {"SOURCE": "lots"}, {}, WHERE).api_base_url is None


def test_environment_wins_over_the_file() -> None:
    settings = _migration(
        {"CONCURRENCY": "10", "PROCESSES": "2"}, {"CONCURRENCY": "20", "LOG_LEVEL": "DEBUG"}
    )
    assert (settings.concurrency, settings.processes, settings.log_level) == (20, 2, "DEBUG")


def test_environment_with_other_names_is_no_error() -> None:
    assert _migration({}, {"PATH": "/bin", "CONCURENCY": "x"}).concurrency == 150


def test_bad_value_from_the_environment_says_so() -> None:
    problems = _problems(MigrationSettings, {**BUCKET, "CONCURRENCY": "10"}, {"CONCURRENCY": "many"})
    assert problems == [
        "  - CONCURRENCY='many' (from the environment): must be a whole number from 1 to 2000"
    ]


@pytest.mark.parametrize("bucket", [{}, {"DESTINATION_BUCKET": ""}], ids=["absent", "empty"])
def test_required_setting_that_is_missing(bucket: dict[str, str]) -> None:
    (problem,) = _problems(MigrationSettings, bucket)
    assert problem.startswith("  - DESTINATION_BUCKET is not set: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPECTED_TOTAL", None),
        ("API_AUTH_SCHEME", ""),
        ("API_PER_PAGE_PARAM", ""),
        ("API_TOTAL_FIELD", ""),
        ("CA_BUNDLE", None),
    ],
)
def test_empty_value_that_means_none(name: str, value: object) -> None:
    settings = build(CollectionSettings, {**API, name: ""}, {}, WHERE)
    assert getattr(settings, name.lower()) == value


@pytest.mark.parametrize(
    "name", ["DESTINATION_PREFIX", "OBJECT_ACL", "AWS_ENDPOINT_URL", "EXPECTED_BUCKET_OWNER"]
)
def test_empty_value_that_is_legal(name: str) -> None:
    assert not getattr(_migration({name: ""}), name.lower())


@pytest.mark.parametrize(
    "name", ["CONCURRENCY", "LOG_LEVEL", "URL_PREFIX", "STATE_DIR", "MAX_ERROR_RATE", "AWS_REGION"]
)
def test_empty_value_that_says_nothing_is_refused(name: str) -> None:
    (problem,) = _problems(MigrationSettings, {**BUCKET, name: ""})
    assert problem.startswith(f"  - {name}='': must be ")


def test_all_bad_settings_are_reported_together(tmp_path: Path) -> None:
    problems = _problems(
        MigrationSettings,
        {
            "CONCURENCY": "5",
            "PROCESSES": "0",
            "URL_PREFIX": "https://cdn.example",
            "CA_BUNDLE": str(tmp_path / "no.pem"),
            "SSE_KMS_KEY_ID": "alias/x",
        },
    )
    assert [re.split("[ =]", problem.strip(" -"))[0] for problem in problems] == [
        "CONCURENCY", "DESTINATION_BUCKET", "URL_PREFIX", "PROCESSES", "CA_BUNDLE", "SSE_KMS_KEY_ID",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "named"),
    [
        pytest.param({"SOURCE": "api"}, "API_BASE_URL", id="api without a URL"),
        pytest.param(
            {**API, "API_PAGINATION": "cursor", "API_CURSOR_FIELD": ""}, "API_CURSOR_FIELD", id="cursor"
        ),
        pytest.param(
            {**API, "API_PAGINATION": "next_url", "API_NEXT_FIELD": ""}, "API_NEXT_FIELD", id="next_url"
        ),
        pytest.param({**API, "CA_BUNDLE": "/no/such.pem"}, "CA_BUNDLE", id="CA bundle that is not there"),
        pytest.param({**API, "CA_BUNDLE": "/"}, "CA_BUNDLE", id="CA bundle that is a folder"),
    ],
)
def test_settings_that_do_not_go_together(file: dict[str, str], named: str) -> None:
    (problem,) = _problems(CollectionSettings, file)
    assert problem.startswith(f"  - {named}")


@pytest.mark.parametrize("name", ["completed.txt", "./run.json", "migration.log"])
def test_list_of_urls_that_the_scripts_write_themselves(name: str) -> None:
    (problem,) = _problems(MigrationSettings, {"DESTINATION_BUCKET": "bucket", "SOURCE_URLS_FILE": name})
    assert problem.startswith("  - SOURCE_URLS_FILE")
    build(
        MigrationSettings,
        {"DESTINATION_BUCKET": "bucket", "SOURCE_URLS_FILE": name, "STATE_DIR": "/elsewhere"},
        {},
        WHERE,
    )


def test_bad_value_draws_no_second_complaint_about_what_it_decides() -> None:
    (problem,) = _problems(CollectionSettings, {"SOURCE": "lot"})
    assert problem == "  - SOURCE='lot': must be one of api, lots, files, sitemap, s3"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONCURENCY", "CONCURRENCY"),
        ("concurrency", "CONCURRENCY"),
        ("BUCKET", "DESTINATION_BUCKET"),
        ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        ("ZZZ", None),
        ("FOO", None),
        ("Z" * 100_000, None),
    ],
    ids=lambda text: str(text)[:20],
)
def test_unknown_setting_is_refused_with_the_name_that_was_meant(name: str, meant: str | None) -> None:
    (problem,) = _problems(MigrationSettings, {**BUCKET, name: "1"})
    hint = f"did you mean {meant}?" if meant else "see docs/settings.md for the list"
    assert problem == f"  - {name} isn't a setting; {hint}"


@pytest.mark.parametrize(
    ("kind", "name", "file"),
    [
        (CollectionSettings, "CONCURRENCY", "migration.env"),
        (CollectionSettings, "DESTINATION_BUCKET", "migration.env"),
        (MigrationSettings, "API_RATE_LIMIT", "collection.env"),
    ],
)
def test_setting_of_the_other_file_is_told_where_it_belongs(kind: type, name: str, file: str) -> None:
    values = {"API_BASE_URL": "https://api.test/"} if kind is CollectionSettings else BUCKET
    (problem,) = _problems(kind, {**values, name: "1"})
    assert problem == f"  - {name} isn't a setting in this file; move it to {file}"


def test_unknown_setting_with_control_characters_is_shown_escaped() -> None:
    (problem,) = _problems(MigrationSettings, {**BUCKET, "A\x1b[2J": "1"})
    assert problem.isprintable()


def test_secrets_stay_out_of_repr_and_shown() -> None:
    file = {
        "API_BASE_URL": f"https://api.example/v1?key={CANARY}",
        "API_AUTH_TOKEN": CANARY,
    }
    settings = build(CollectionSettings, file, {}, WHERE)
    assert settings.api_auth_token.reveal() == CANARY
    assert settings.api_base_url.endswith(CANARY)
    assert CANARY not in str(redacted_values(settings))
    assert redacted_values(settings)["API_AUTH_TOKEN"] == "***"
    assert f"Secret({CANARY}" not in repr(settings) and "api_auth_token=***" in repr(settings)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param({"API_AUTH_TOKEN": f" {CANARY}"}, id="token with a blank"),
        pytest.param({"API_BASE_URL": f"https://user:{CANARY}@api.example/"}, id="password in the URL"),
        pytest.param({"API_BASE_URL": f"ftp://api.example/?key={CANARY}"}, id="key in the query"),
    ],
)
def test_secrets_stay_out_of_complaints(file: dict[str, str]) -> None:
    (problem,) = _problems(CollectionSettings, {**API, **file})
    assert CANARY not in problem
    assert next(iter(file)) in problem


def test_shown_is_what_the_file_would_say() -> None:
    file = {"PRESERVE_PATH_STRUCTURE": "true", "MAX_ERROR_RATE": "0.25", "BANDWIDTH_LIMIT_MBPS": "1000000"}
    text = redacted_values(_migration(file))
    assert {name: text[name] for name in file} == file
    assert (text["OUTAGE_LIMIT"], text["CA_BUNDLE"], text["STATE_DIR"]) == ("1800", "", ".")


_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "1", "16", "0.5", "true", "auto", "a", "a,b", "images/", "https://h.example/", "nan"]
    ),
    st.text("0123456789.,/:aehtps", max_size=20),
)


@pytest.mark.parametrize("kind", [CollectionSettings, MigrationSettings], ids=["collection", "migration"])
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # jmespath's, for `literals` without quotes
def test_settings_of_any_text_are_reproduced_or_refused(kind: type) -> None:
    names = [field.name.upper() for field in dataclasses.fields(kind)]
    base = {**API} if kind is CollectionSettings else {**BUCKET}

    @examples(400)
    @given(
        st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=5)), _TEXTS, max_size=3),
        st.dictionaries(st.sampled_from(names), _TEXTS, max_size=1),
    )
    def check(file: dict[str, str], environment: dict[str, str]) -> None:
        try:
            settings = build(kind, {**base, **file}, environment, WHERE)
        except UsageError as error:
            assert str(error).count("\n") == int(re.findall(r": (\d+) setting", str(error))[0])
            return
        text = redacted_values(settings)
        if "***" not in text.values():
            again = build(kind, {n: t for n, t in text.items() if t != "(not set)"}, {}, WHERE)
            assert redacted_values(again) == text

    check()


# load: the file, the process's environment and the AWS SDK


def _load(folder: Path, content: str, environment: dict[str, str]) -> MigrationSettings:
    file = folder / "migration.env"
    file.write_text("DESTINATION_BUCKET=my-images\n" + content)
    return load(MigrationSettings, file, environment)[0]


def test_load_hands_the_aws_names_to_the_sdk(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    content = "AWS_PROFILE=mover\nAWS_REGION=eu-west-1\nAWS_ROLE_ARN=\nCONCURRENCY=7\n"
    settings = _load(tmp_path, content, environment)
    assert environment == {"AWS_PROFILE": "mover"}
    assert (settings.aws_region, settings.concurrency) == ("eu-west-1", 7)


def test_load_leaves_what_the_environment_says(tmp_path: Path) -> None:
    environment = {"AWS_PROFILE": "mine"}
    _load(tmp_path, "AWS_PROFILE=mover\n", environment)
    assert environment["AWS_PROFILE"] == "mine"


def test_load_never_mixes_two_identities(tmp_path: Path) -> None:
    mine = {"AWS_ACCESS_KEY_ID": "MINE", "AWS_SECRET_ACCESS_KEY": "mine"}
    environment = dict(mine)
    content = "AWS_ACCESS_KEY_ID=FILE\nAWS_SECRET_ACCESS_KEY=file\nAWS_SESSION_TOKEN=file\n"
    _load(tmp_path, content, environment)
    assert environment == mine


def test_load_refused_hands_nothing_over(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    with pytest.raises(UsageError, match="CONCURRENCY='x'"):
        _load(tmp_path, "AWS_PROFILE=mover\nCONCURRENCY=x\n", environment)
    assert environment == {}


def _notes(folder: Path, kind: type, content: str, environment: dict[str, str]) -> StartNotes:
    file = folder / "my.env"
    file.write_text(content)
    return load(kind, file, environment)[1]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("CONCURENCY", "CONCURRENCY", id="left out"),
        pytest.param("CONCURRRENCY", "CONCURRENCY", id="once too often"),
        pytest.param("CONCURRANCY", "CONCURRENCY", id="another letter"),
        pytest.param("CONCURRENYC", "CONCURRENCY", id="swapped"),
        pytest.param("concurency", "CONCURRENCY", id="small letters"),
        pytest.param("BANDWITH_LIMIT_MBPS", "BANDWIDTH_LIMIT_MBPS", id="in the middle"),
        pytest.param("AWS_ACESS_KEY_ID", "AWS_ACCESS_KEY_ID", id="a name of the SDK"),
    ],
)
def test_misspelled_variable_of_the_environment_is_a_warning(name: str, meant: str, tmp_path: Path) -> None:
    notes = _notes(tmp_path, MigrationSettings, "DESTINATION_BUCKET=my-images\n", {name: CANARY})
    assert notes.warnings == (
        f"{name} is set in the environment, but isn't a setting and has no effect; did you mean {meant}?",
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("API_TOKEN", "did you mean API_AUTH_TOKEN?"),
        ("API_RATELIMIT", "did you mean API_RATE_LIMIT?"),
        ("API_QQQQQQ123", "see docs/settings.md for the list"),
    ],
)
def test_variable_that_begins_with_api_is_a_warning_where_the_api_is_asked(
    name: str, hint: str, tmp_path: Path
) -> None:
    notes = _notes(tmp_path, CollectionSettings, "SOURCE=lots\n", {name: CANARY})
    assert [warning.partition("; ")[2] for warning in notes.warnings] == [hint]


def test_variables_of_others_are_no_warning(tmp_path: Path) -> None:
    others = {"PATH": "/bin", "CONCURRENT": "1", "API_TOKEN": "x", "API_TIMEOUT": "3", "AWS_REGIONS_": "x"}
    assert _notes(tmp_path, MigrationSettings, "DESTINATION_BUCKET=my-images\n", others).warnings == ()


def test_effective_settings_are_those_that_differ_with_where_each_came_from(tmp_path: Path) -> None:
    content = (
        f"API_BASE_URL=https://api.test/v1?key={CANARY}\nAPI_AUTH_TOKEN={CANARY}\nMAX_RETRIES=3\n"
        "API_RATE_LIMIT=5\nRESULTS_PER_PAGE=50\n"
    )
    notes = _notes(tmp_path, CollectionSettings, content, {"API_RATE_LIMIT": "7"})
    assert notes.effective.splitlines() == [
        "Settings that differ from the defaults:",
        f"API_BASE_URL=https://api.test/v1?*** ({tmp_path}/my.env)",
        f"API_AUTH_TOKEN=*** ({tmp_path}/my.env)",
        "API_RATE_LIMIT=7 (environment)",
        f"RESULTS_PER_PAGE=50 ({tmp_path}/my.env)",
    ]


@pytest.mark.parametrize("region", ["us-west-2", "cn-north-1", "us-gov-east-1", "eu-central-2"])
def test_region_that_aws_has_is_taken(region: str) -> None:
    assert _migration({"AWS_REGION": region}).aws_region == region


@pytest.mark.parametrize(
    ("region", "hint"), [("us-wset-2", "; did you mean us-west-2? A newer region"), ("aws-global", "; ")]
)
def test_region_that_aws_does_not_have_is_refused(region: str, hint: str) -> None:
    (problem,) = _problems(MigrationSettings, {**BUCKET, "AWS_REGION": region})
    assert problem.startswith(f"  - AWS_REGION={region!r} isn't a region that botocore ")
    assert hint in problem


def test_region_is_of_no_matter_to_a_folder(tmp_path: Path) -> None:
    content = f"DESTINATION=local\nLOCAL_ROOT={tmp_path}/images\nAWS_REGION=us-wset-2\n"
    assert "isn't an AWS region" not in _notes(tmp_path, MigrationSettings, content, {}).effective


def test_region_that_aws_does_not_have_is_only_noted_for_another_store(tmp_path: Path) -> None:
    content = "DESTINATION_BUCKET=my-images\nAWS_REGION=auto\nAWS_ENDPOINT_URL=https://store.test\n"
    notes = _notes(tmp_path, MigrationSettings, content, {})
    assert "auto isn't an AWS region; the store at AWS_ENDPOINT_URL must recognize it" in notes.effective


@pytest.mark.parametrize(
    ("values", "is_refused"),
    [
        pytest.param({"API_AUTH_TOKEN": f"Bearer {CANARY}"}, True, id="the default"),
        pytest.param({"API_AUTH_TOKEN": f"bearer {CANARY}"}, True, id="small letters"),
        pytest.param({"API_AUTH_TOKEN": f"Token {CANARY}", "API_AUTH_SCHEME": "Token"}, True, id="another"),
        pytest.param({"API_AUTH_TOKEN": f"Bearer {CANARY}", "API_AUTH_SCHEME": ""}, False, id="no scheme"),
        pytest.param({"API_AUTH_TOKEN": f"Bearer{CANARY}"}, False, id="part of the token"),
    ],
)
def test_scheme_pasted_with_the_token_is_refused(values: dict[str, str], is_refused: bool) -> None:
    if not is_refused:
        build(CollectionSettings, {**API, **values}, {}, WHERE)
        return
    (problem,) = _problems(CollectionSettings, {**API, **values})
    assert "remove that word from API_AUTH_TOKEN" in problem
    assert CANARY not in problem


def test_aws_names_are_no_settings_of_ours() -> None:
    assert AWS_NAMES.isdisjoint(field.name.upper() for field in dataclasses.fields(MigrationSettings))


@pytest.mark.parametrize(
    ("content", "environment", "said"),
    [
        ("AWS_ACCESS_KEY_ID=A\n", {}, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"),
        (
            "AWS_ACCESS_KEY_ID=\nAWS_SECRET_ACCESS_KEY=s\n",
            {},
            "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
        ),
        (
            "AWS_SECRET_ACCESS_KEY=s\n",
            {"AWS_ACCESS_KEY_ID": "A"},
            "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
        ),
    ],
    ids=["no secret", "no key", "half from each"],
)
def test_half_a_key_pair_is_refused(
    tmp_path: Path, content: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=f"{said}: set both or neither"):
        _load(tmp_path, content, environment)


# --- a folder as the destination


def test_folder_needs_nothing_of_a_bucket() -> None:
    file = {"DESTINATION": "local", "LOCAL_ROOT": "/mnt/images", "AWS_REGION": "nowhere-at-all-9"}
    settings = build(MigrationSettings, file, {}, WHERE)
    assert settings.destination_bucket == ""
    assert settings.destination_text == "/mnt/images/images/"
    assert build(MigrationSettings, {**file, "DESTINATION_BUCKET": ""}, {}, WHERE).destination == "local"


def test_folder_has_to_be_named() -> None:
    [problem] = _problems(MigrationSettings, {"DESTINATION": "local"})
    assert "LOCAL_ROOT is not set" in problem
    [problem] = _problems(MigrationSettings, {"LOCAL_ROOT": "/mnt/images"})
    assert "DESTINATION_BUCKET is not set" in problem


@pytest.mark.parametrize(
    ("root", "state_dir", "urls", "named"),
    [
        (".", ".", "elsewhere/urls.txt", ["STATE_DIR"]),
        (".", "state", "../urls.txt", ["STATE_DIR"]),
        ("images", "images/state", "urls.txt", ["STATE_DIR"]),
        ("link", "images", "urls.txt", ["STATE_DIR"]),
        ("images", ".", "images/urls.txt", ["SOURCE_URLS_FILE"]),
        ("images", ".", "urls.txt", []),
        ("images", "images-state", "urls.txt", []),
    ],
)
def test_images_and_state_files_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, state_dir: str, urls: str, named: list[str]
) -> None:
    (tmp_path / "work" / "images").mkdir(parents=True)
    (tmp_path / "work" / "link").symlink_to(tmp_path / "work" / "images")
    monkeypatch.chdir(tmp_path / "work")
    file = {"DESTINATION": "local", "LOCAL_ROOT": root, "STATE_DIR": state_dir, "SOURCE_URLS_FILE": urls}
    if urls == "elsewhere/urls.txt":
        file["SOURCE_URLS_FILE"] = str(tmp_path / "urls.txt")
    if not named:
        assert build(MigrationSettings, file, {}, WHERE)
        return
    problems = _problems(MigrationSettings, file)
    assert [name for name in named if any(f"contains {name}=" in problem for problem in problems)] == named


@pytest.mark.parametrize("prefix", ["/", "/images/", "a//", "../", "a/../b/", "./"])
def test_prefix_that_no_folder_has_is_refused(prefix: str) -> None:
    file = {"DESTINATION": "local", "LOCAL_ROOT": "/mnt/images", "DESTINATION_PREFIX": prefix}
    [problem] = _problems(MigrationSettings, file)
    assert "which no folder has" in problem
    assert build(MigrationSettings, {**BUCKET, "DESTINATION_PREFIX": prefix}, {}, WHERE)


@pytest.mark.parametrize("prefix", ["", "a/", "a/b/", "a/b-", "..a/"])
def test_prefix_that_a_folder_has_is_taken(prefix: str) -> None:
    file = {"DESTINATION": "local", "LOCAL_ROOT": "/mnt/images", "DESTINATION_PREFIX": prefix}
    assert build(MigrationSettings, file, {}, WHERE).destination_prefix == prefix


def test_template_without_a_host_needs_the_base() -> None:
    file = {**API, "API_URL_TEMPLATE": "/media/{id}.jpg"}
    (problem,) = _problems(CollectionSettings, file)
    assert "must begin with https://" in problem and "API_URL_BASE" in problem
    build(CollectionSettings, {**file, "API_URL_BASE": "https://cdn.example/"}, {}, WHERE)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"API_TOKEN_COMMAND": "echo t"}, "are both set", id="token and command"),
        pytest.param(
            {"API_HEADERS": "authorization: x"}, "API_HEADERS has Authorization", id="the token's header"
        ),
        pytest.param(
            {"API_HEADERS": "authorization: x", "API_AUTH_PARAM": "key"}, "", id="token in the query"
        ),
        pytest.param(
            {"API_HEADERS": "authorization: x", "API_AUTH_HEADER": "X-Key"}, "", id="another header"
        ),
    ],
)
def test_credentials_that_contradict_each_other_are_refused(values: dict[str, str], said: str) -> None:
    file = {**API, "API_AUTH_TOKEN": CANARY, **values}
    if not said:
        build(CollectionSettings, file, {}, WHERE)
        return
    (problem,) = _problems(CollectionSettings, file)
    assert said in problem
    assert CANARY not in problem


@pytest.mark.parametrize(
    ("name", "value"), [("API_HEADERS", f"X-Key {CANARY}"), ("API_TOKEN_COMMAND", f"curl -u 'me:{CANARY}")]
)
def test_secret_settings_stay_out_of_complaints_and_of_the_log(name: str, value: str) -> None:
    (problem,) = _problems(CollectionSettings, {**API, name: value})
    assert CANARY not in problem
    good = {"API_HEADERS": f"X-Key: {CANARY}", "API_TOKEN_COMMAND": f"curl -u me:{CANARY}"}
    shown = redacted_values(build(CollectionSettings, {**API, **good}, {}, WHERE))
    assert (shown["API_HEADERS"], shown["API_TOKEN_COMMAND"]) == ("X-Key: ***", "***")


DETAIL = {"API_DETAIL_URL": "https://api.example/items/{id}", "API_DETAIL_IDS": "items[].id"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({**DETAIL, "API_DETAIL_IDS": ""}, "API_DETAIL_IDS is not set", id="no IDs"),
        pytest.param({**DETAIL, "API_DETAIL_URL": ""}, "API_DETAIL_URL is not set", id="no URL"),
        pytest.param({"API_DETAIL_PAGINATION": "none"}, "API_DETAIL_URL is not set", id="no second step"),
        pytest.param(
            {**DETAIL, "API_DETAIL_URL": "https://other.example/{id}", "API_AUTH_TOKEN": "t"},
            "the token and API_HEADERS go to one server alone",
            id="token to another host",
        ),
        pytest.param({**DETAIL, "API_DETAIL_URL": "https://other.example/{id}"}, "", id="another host"),
        pytest.param({**DETAIL, "API_DETAIL_URL": "{id}", "API_AUTH_TOKEN": "t"}, "", id="URLs"),
    ],
)
def test_second_step_is_whole(values: dict[str, str], said: str) -> None:
    file = {"API_BASE_URL": "https://api.example/items", **values}
    if not said:
        build(CollectionSettings, file, {}, WHERE)
        return
    (problem,) = _problems(CollectionSettings, file)
    assert said in problem


CLUSTER = {"DASK_SCHEDULER": "tls://10.0.0.5:8786"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"PROCESSES": "2"}, "  - PROCESSES=2 and DASK_SCHEDULER are both set"),
        ({"PROCESSES": "auto"}, "  - PROCESSES=auto and DASK_SCHEDULER are both set"),
        (
            {"DESTINATION": "local", "LOCAL_ROOT": "/"},
            "  - DESTINATION=local and DASK_SCHEDULER are both set",
        ),
        (
            {"DESTINATION": "hybrid", "LOCAL_ROOT": "/mnt"},
            "  - DESTINATION=hybrid and DASK_SCHEDULER are both set",
        ),
    ],
    ids=str,
)
def test_dask_scheduler_goes_with_neither_processes_nor_a_folder(other: dict[str, str], said: str) -> None:
    problems = _problems(MigrationSettings, {**BUCKET, **CLUSTER, **other})
    assert len([problem for problem in problems if problem.startswith(said)]) == 1


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5:8786",
        "tls://10.0.0.5",
        "http://10.0.0.5:8786",
        "tls://10.0.0.5:x",
        "tls://10.0.0.5:8786/",
        "tls://u@h:1",
    ],
)
def test_address_of_a_scheduler_has_a_scheme_a_host_and_a_port(address: str) -> None:
    (problem,) = _problems(MigrationSettings, {**BUCKET, "DASK_SCHEDULER": address})
    assert problem.endswith("must be tls:// or tcp://, a host and a port, for example tls://10.0.0.5:8786")


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tls://[fd00::5]:8786"])
def test_name_or_ipv6_address_of_a_scheduler_is_taken(address: str) -> None:
    assert _migration({"DASK_SCHEDULER": address}).dask_scheduler == address


def test_settings_for_another_machine_have_no_secrets_and_get_its_own_headers() -> None:
    settings = _migration(
        {"SOURCE_HEADERS": f"Cookie: {CANARY}", "NOTIFY_COMMAND": f"curl {CANARY}", "CONCURRENCY": "7"}
    )
    shared = without_secrets(settings)
    assert (shared.source_headers.pairs, shared.notify_command.reveal()) == ((), "")
    assert shared.concurrency == 7
    there = with_own_headers(shared, {"SOURCE_HEADERS": f"Cookie: {CANARY}", "CONCURRENCY": "9"})
    assert there.source_headers.pairs == (("Cookie", CANARY),)
    assert there.concurrency == 7
    with pytest.raises(
        UsageError, match="SOURCE_HEADERS in the environment of this machine: must be headers"
    ):
        with_own_headers(shared, {"SOURCE_HEADERS": "nonsense"})
