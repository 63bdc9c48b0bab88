"""The settings of a deployment, read from the environment (README, "Settings")."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.errors import SettingError

PROJECT = Path(__file__).resolve().parent.parent
DEVELOPMENT_SECRET = "dev-secret-change-me"
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")
MAX_AUTHORIZER_TTL = 3600  # seconds; API Gateway's limit


@dataclass(frozen=True)
class Settings:
    """Everything that a person may choose; ``from_environment`` says what each is by default."""

    jwt_secret: str
    jwt_issuer: str
    jwt_audience: str
    authorizer_ttl: int  # seconds
    cors_allow_origins: tuple[str, ...]
    log_level: str
    persist: bool
    host_port: int
    outputs: Path
    lambdas: Path
    name_prefix: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingError, naming the setting, for a value that cannot be used."""
        secret = environment.get("JWT_SECRET", DEVELOPMENT_SECRET)
        if not secret:
            raise SettingError("JWT_SECRET is empty: set it to the secret that tokens are signed with")
        level = environment.get("LOG_LEVEL", "INFO").upper()
        if level not in logging.getLevelNamesMapping():
            raise SettingError(f"LOG_LEVEL is {level!r}: use DEBUG, INFO, WARNING or ERROR")
        origins = tuple(one.strip() for one in environment.get("CORS_ALLOW_ORIGINS", "*").split(",") if one.strip())
        if not origins:
            raise SettingError("CORS_ALLOW_ORIGINS is empty: use * or a list of origins with commas between")
        for origin in origins:
            if ORIGIN.fullmatch(origin) is None:
                raise SettingError(
                    f"CORS_ALLOW_ORIGINS is {origin!r}: an origin is *, or like https://example.com:8443"
                )
        return cls(
            jwt_secret=secret,
            jwt_issuer=environment.get("JWT_ISSUER", ""),
            jwt_audience=environment.get("JWT_AUDIENCE", ""),
            authorizer_ttl=_whole_number(environment, "AUTHORIZER_TTL", 0, 0, MAX_AUTHORIZER_TTL),
            cors_allow_origins=origins,
            log_level=level,
            persist=bool(_whole_number(environment, "PERSIST", 1, 0, 1)),
            host_port=_whole_number(environment, "HOST_PORT", 4566, 1, 65535),
            outputs=PROJECT / environment.get("OUTPUTS_DIR", "outputs"),
            lambdas=PROJECT / "lambdas",
            name_prefix=_prefix(environment.get("NAME_PREFIX", "")),
        )

    def warnings(self) -> list[str]:
        """What works but should not stay as it is."""
        if self.jwt_secret != DEVELOPMENT_SECRET and len(self.jwt_secret.encode()) < 32:
            return ["JWT_SECRET is shorter than the 32 bytes that HS256 asks for (RFC 7518, 3.2)"]
        return []


def _whole_number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise SettingError(f"{name} is {text!r}: use a whole number from {least} to {most}")
    return int(text)


def _prefix(text: str) -> str:
    if text and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,19}", text) is None:
        raise SettingError(f"NAME_PREFIX is {text!r}: use 1 to 20 of A-Z a-z 0-9 -, a letter first")
    return text
