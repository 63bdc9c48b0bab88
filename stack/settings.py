"""The settings of the project: one table, which has everything about each (docs/settings.md).

A new setting is a line of .env, a row of ``Settings``, and its use. The tests name the line of the
page, or of the Compose files, that has to follow.
"""

import enum
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from stack.errors import SettingError

PROJECT = Path(__file__).resolve().parent.parent
DEVELOPMENT_SECRET = "dev-secret-change-me"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ENGINES = ("docker", "embedded")
MAX_AUTHORIZER_TTL = 3600  # seconds; API Gateway's limit
MAX_JWKS_TTL = 86400  # seconds
COGNITO = "cognito"  # the provider that is built with the stack
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")
NAME_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,19}")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
# AWS names every region so, in all of its partitions: us-east-1, us-gov-west-1, eusc-de-east-1.
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)?-(north|south|east|west|central|(north|south)(east|west))-[1-9][0-9]?")
T = TypeVar("T")


class GivenTo(enum.Enum):
    """The readers of a setting."""

    HOST = "the scripts, and Compose where it names the setting"
    ENGINE = "these, and the engine: the hooks that run in it, and the functions that ask for the setting"


@dataclass(frozen=True)
class Setting:
    """A row of the table. ``parse`` raises ValueError, which says what to write instead."""

    name: str
    default: str
    parse: Callable[[str], Any]
    given_to: GivenTo

    @property
    def attribute(self) -> str:
        return self.name.lower()

    def text(self, environment: Mapping[str, str]) -> str:
        """Return the value as it is written. An empty value means the default, in every reader."""
        return environment.get(self.name) or self.default

    def read(self, environment: Mapping[str, str]) -> Any:
        """Return the parsed value. Raise SettingError, which names the setting, for an invalid one."""
        text = self.text(environment)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SettingError(f"{self.name} is not UTF-8: use letters that are") from None
        try:
            return self.parse(text)
        except ValueError as error:
            raise SettingError(f"{self.name} is {text!r}: {error}") from error


def _row(default: str, parse: Callable[[str], T], given_to: GivenTo = GivenTo.HOST) -> T:
    row: T = field(metadata={"default": default, "parse": parse, "given_to": given_to})
    return row


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (re.fullmatch(r"0|[1-9][0-9]{0,9}", text) and least <= int(text) <= most):
            raise ValueError(f"use a whole number from {least} to {most}")
        return int(text)

    return parse


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text and text not in values:
            raise ValueError(f"use {' or '.join(values)}")
        return text

    return parse


def _matching(pattern: re.Pattern[str], advice: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text and pattern.fullmatch(text) is None:
            raise ValueError(advice)
        return text

    return parse


def _retention(text: str) -> int:
    if text not in map(str, RETENTIONS):
        raise ValueError(f"use a number of days that CloudWatch Logs takes: {', '.join(map(str, RETENTIONS))}")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("use 1 or 0")
    return text == "1"


def _folder(text: str) -> Path:
    if text.startswith("~"):  # Compose would expand it, and no other reader
        raise ValueError("write the path in full, without ~")
    return PROJECT / text


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise ValueError("use DEBUG, INFO, WARNING or ERROR")
    return text.upper()


def _identity_provider(text: str) -> str:
    if text in ("", COGNITO):
        return text
    parts = urlsplit(text)
    _ = parts.port  # which raises ValueError for one that cannot be
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s@?#]", text):
        raise ValueError(f"use {COGNITO}, or the issuer's URL, such as https://login.example.com/realm")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("use https; plain http is for an issuer on this machine alone")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(one.strip() for one in text.split(",") if one.strip())
    if not origins:
        raise ValueError("use * or a list of origins with commas between")
    if any(ORIGIN.fullmatch(origin) is None for origin in origins):
        raise ValueError("an origin is *, or like https://example.com:8443")
    return origins


@dataclass(frozen=True)
class Settings:
    """The table: the name, type, default, parser and readers of each setting; as an object, the values."""

    engine: str = _row("", _one_of(*ENGINES))
    host_port: int = _row("4566", _whole_number(1, 65535), GivenTo.ENGINE)
    debug_port: int = _row("5678", _whole_number(1, 65000))
    outputs_dir: Path = _row("./outputs", _folder, GivenTo.ENGINE)
    state_dir: Path = _row("./.state", _folder)
    persist: bool = _row("1", _switch)
    aws_default_region: str = _row(
        "us-east-1", _matching(REGION, "use a region of AWS, such as us-east-1 or eu-central-1"), GivenTo.ENGINE
    )
    name_prefix: str = _row(
        "", _matching(NAME_PREFIX, "use a letter, then at most 19 letters, digits or hyphens"), GivenTo.ENGINE
    )
    localstack_auth_token: str = _row("", str)
    localstack_image: str = _row("localstack/localstack:2026.9.0", str)
    ministack_image: str = _row("ministackorg/ministack:1.5.33", str)
    docker_sock: str = _row("/var/run/docker.sock", str)
    jwt_secret: str = _row(DEVELOPMENT_SECRET, str, GivenTo.ENGINE)
    jwt_issuer: str = _row("", str, GivenTo.ENGINE)
    jwt_audience: str = _row("", str, GivenTo.ENGINE)
    identity_provider: str = _row("", _identity_provider, GivenTo.ENGINE)
    jwks_ttl: int = _row("300", _whole_number(1, MAX_JWKS_TTL), GivenTo.ENGINE)  # seconds
    authorizer_ttl: int = _row("0", _whole_number(0, MAX_AUTHORIZER_TTL), GivenTo.ENGINE)  # seconds
    cors_allow_origins: tuple[str, ...] = _row("*", _origins, GivenTo.ENGINE)
    log_level: str = _row("INFO", _level, GivenTo.ENGINE)
    log_retention_days: int = _row("30", _retention, GivenTo.ENGINE)
    throttle_rate: int = _row("100", _whole_number(1, 10_000), GivenTo.ENGINE)  # requests a second
    protect_tables: bool = _row("1", _switch, GivenTo.ENGINE)
    alarm_topic: str = _row(
        "", _matching(TOPIC, "use the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME"), GivenTo.ENGINE
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings of ``environment``, and the defaults of the rest. Raise SettingError."""
        return cls(**{setting.attribute: setting.read(environment) for setting in SETTINGS})

    @property
    def outputs(self) -> Path:
        return self.outputs_dir

    @property
    def lambdas(self) -> Path:
        return PROJECT / "lambdas"

    def for_engine(self) -> dict[str, str]:
        """Return the environment variables that an engine on this machine, and so its hooks, are given."""
        return {
            setting.name: _text(getattr(self, setting.attribute))
            for setting in SETTINGS
            if setting.given_to is GivenTo.ENGINE
        }

    def warnings(self) -> list[str]:
        """Return a line for each setting that works but should be changed."""
        if self.identity_provider:
            if self.identity_provider != COGNITO and not self.jwt_audience:
                return ["JWT_AUDIENCE is empty: what IDENTITY_PROVIDER issues for any other API opens this one too"]
            return []
        if self.jwt_secret != DEVELOPMENT_SECRET and len(self.jwt_secret.encode()) < 32:
            return ["JWT_SECRET is shorter than the 32 bytes that HS256 asks for (RFC 7518, 3.2)"]
        return []


SETTINGS = tuple(Setting(row.name.upper(), **row.metadata) for row in fields(Settings))


def _text(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case tuple():
            return ",".join(value)
        case _:
            return str(value)
