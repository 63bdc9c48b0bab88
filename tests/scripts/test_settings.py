"""The settings: one table, which .env, Compose and the README follow, and one rule for an empty value."""

import re
from pathlib import Path

import pytest
import yaml

from project import CHECKOUT, DEFAULTS
from stack import dotenv
from stack.errors import SettingError
from stack.settings import SETTINGS, GivenTo, Setting, Settings

COMPOSE_FILES = [CHECKOUT / "docker-compose.yml", *sorted((CHECKOUT / "compose").glob("*.yml"))]
# What only a container has in a place of its own.
IN_CONTAINER = {"OUTPUTS_DIR": "/outputs"}


def test_env_has_a_line_for_every_setting_with_its_default() -> None:
    assert {setting.name: setting.default for setting in SETTINGS} == DEFAULTS


@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS if setting.given_to is GivenTo.ENGINE], ids=lambda setting: setting.name
)
def test_compose_gives_the_engine_its_settings(setting: Setting) -> None:
    environment = yaml.safe_load(COMPOSE_FILES[0].read_text())["services"]["localstack"]["environment"]
    value = IN_CONTAINER.get(setting.name, f"${{{setting.name}:-{setting.default}}}")
    assert environment.get(setting.name) == value, (
        f"docker-compose.yml lacks this line under environment: {setting.name}: {value}"
    )


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_compose_has_the_default_of_every_setting_that_it_reads(file: Path) -> None:
    read = set(re.findall(r"\$\{[^}]*\}", file.read_text())) - {"${LOCALSTACK_AUTH_TOKEN:+-localstack}"}
    assert read
    assert read <= {f"${{{setting.name}:-{setting.default}}}" for setting in SETTINGS}


def test_every_setting_that_is_empty_has_its_default() -> None:
    empty = {setting.name: "" for setting in SETTINGS}
    assert Settings.from_environment(empty) == Settings.from_environment({}) == Settings.from_environment(DEFAULTS)


def test_an_empty_variable_means_the_default_whatever_the_files_say(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOST_PORT=5000\nSTATE_DIR=./mine\nLOG_LEVEL=DEBUG\nJWT_ISSUER=me\n")
    (tmp_path / ".env.local").write_text("LOG_LEVEL=\n")
    loaded = dotenv.load({"HOST_PORT": "", "STATE_DIR": ""}, tmp_path)
    assert loaded == DEFAULTS | {"JWT_ISSUER": "me"}


def test_a_value_of_the_environment_wins_over_env_local_and_that_over_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JWT_ISSUER=a\nJWT_AUDIENCE=a\nJWT_SECRET=a\n")
    (tmp_path / ".env.local").write_text("# mine\nJWT_SECRET='another one'  # of 11 bytes\n\nJWT_ISSUER=b\n")
    loaded = dotenv.load({"JWT_ISSUER": "c"}, tmp_path)
    assert loaded == DEFAULTS | {"JWT_ISSUER": "c", "JWT_AUDIENCE": "a", "JWT_SECRET": "another one"}


def test_no_env_at_all_means_the_defaults(tmp_path: Path) -> None:
    assert dotenv.load({}, tmp_path) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST_PORT", "04566"),  # Compose would name another project by it
        ("HOST_PORT", "٤٥٦٦"),
        ("HOST_PORT", "0"),
        ("PERSIST", "yes"),
        ("ENGINE", "podman"),
        ("OUTPUTS_DIR", "~/outputs"),
        ("LOG_LEVEL", "NOTSET"),
        ("JWT_SECRET", "\udcff"),
        *[("AWS_DEFAULT_REGION", one) for one in ("us-esat-1", "us-east", "us-east-1a", "useast1", "us_east_1", "-")],
        *[("NAME_PREFIX", one) for one in ("-a", "1a", "a_b", "a" * 21, "ä")],
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is "):
        Settings.from_environment({name: value})


@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-7", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1"])
def test_a_region_of_any_partition_is_taken(region: str) -> None:
    assert Settings.from_environment({"AWS_DEFAULT_REGION": region}).aws_default_region == region


def test_the_engine_is_given_a_setting_as_it_is_written() -> None:
    settings = Settings.from_environment({"CORS_ALLOW_ORIGINS": "https://a.example, https://b.example"})
    given = settings.for_engine()
    assert (given["CORS_ALLOW_ORIGINS"], given["HOST_PORT"]) == ("https://a.example,https://b.example", "4566")
    assert "LOCALSTACK_AUTH_TOKEN" not in given


def test_a_secret_of_ones_own_that_is_short_is_warned_of() -> None:
    (warning,) = Settings.from_environment({"JWT_SECRET": "short"}).warnings()
    assert warning.startswith("JWT_SECRET is shorter than the 32 bytes")
    assert Settings.from_environment({}).warnings() == []


# JWT_SECRET is J here. Compose reads most of these, but not as a person would who wrote them.
REFUSED = [
    b"J=pa$word", b'J="pa$word"', b"J=${HOST_PORT}", b"J=a$", b"J=a#$", b"J=a\\$b", b"J=#c", b"J= #c", b"J= a", b"J =a",
    b"J : a", b"J:a", b"J", b'J="a\\nb"', b'J="a\\"b"', b"J='a\\'b'", b"J='a\\'", b"J='it''s'", b"J='a'b", b"J='a' b",
    b"J='a'#c", b"J=\"a\"'b'", b"J='open", b'J="open', b"J='multi\nline'", b'J="multi\nline"', b"J=a\rb", b"J=a\t#b",
    b"J=a\tb", b"J=a\xc2\xa0", b"J=a\xe2\x80\xa8b", b"J=a\x0bb", b"J=a\x0c", b"J=a\x1cb", b"J=\xff", b"J='\xff'",
    b"J=a\x85b", b"J=a\x00b", b"1J=a", b"J.x=a", b"J-x=a",
]  # fmt: skip


@pytest.mark.parametrize("line", REFUSED, ids=repr)
def test_a_line_that_compose_might_read_otherwise_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / ".env").write_bytes(b"# a comment\n" + line.replace(b"J", b"JWT_SECRET") + b"\n")
    with pytest.raises(SettingError, match=r"^\.env, line 2: .*\w"):
        dotenv.load({}, tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("JWT_SECRET=pa$word", "the value of JWT_SECRET has a $, which Compose would replace: put it in single quotes"),
        ('JWT_SECRET="a\\b"', "the value of JWT_SECRET has a \\ in double quotes: put it in single quotes"),
        ('JWT_SECRET="it\'s $5"', "has both ' and one of $ and \\, which .env cannot express"),
        ("JWT_SECRET='it''s'", "must end where its quotes end, on the same line"),
        ("JWT_SECRET= x", "begins with a space: write it without spaces around the ="),
        ("JWT_SECRET = x", "expected NAME=VALUE, found 'JWT_SECRET = x': write it without spaces around the ="),
        ("HOSTPORT=4567", "HOSTPORT is no setting: did you mean HOST_PORT?"),
        ("JWT_SECERT=x", "JWT_SECERT is no setting: did you mean JWT_SECRET?"),
        ("log_level=DEBUG", "log_level is no setting: did you mean LOG_LEVEL?"),
        (
            "POSTGRES_DB=x",
            "What a Compose file of your own needs belongs in another file, which COMPOSE_ENV_FILES names",
        ),
    ],
)
def test_a_refused_line_is_named_with_how_to_write_it(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / ".env").write_text("HOST_PORT=4566\n")
    (tmp_path / ".env.local").write_text(f"\n{line}\n")
    with pytest.raises(SettingError) as refused:
        dotenv.load({}, tmp_path)
    assert str(refused.value).startswith(".env.local, line 2: ")
    assert says in str(refused.value)


def test_what_compose_reads_for_itself_may_be_in_the_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=mine\nDOCKER_HOST=unix:///run/docker.sock\n")
    loaded = dotenv.load({"COMPOSE_PROJECT_NAME": "theirs"}, tmp_path)
    own = {"COMPOSE_PROJECT_NAME": "theirs", "DOCKER_HOST": "unix:///run/docker.sock"}
    assert loaded == DEFAULTS | own


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingError, match=r"^\.env cannot be read \(Is a directory\): make it a file"):
        dotenv.load({}, tmp_path)
