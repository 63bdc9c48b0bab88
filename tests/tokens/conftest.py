"""Provide identity providers, and the authorizer that asks them, at a time that a test sets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lambdas.events import authorize
from lambdas.functions import Function, load

from .provider import AUDIENCE, Provider, running

NOW = 1_800_000_000  # Unix time


@dataclass
class Authorizer:
    """The authorizer Lambda with an identity provider, and the time that it takes it to be."""

    function: Function
    now: float = NOW

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.function.stop_clock(self.now)

    def user(self, token: str) -> str | None:
        """Return the user whom a token lets in, or None."""
        answer: dict[str, Any] = self.function(authorize(f"Bearer {token}"))
        return answer["context"]["userId"] if answer["isAuthorized"] else None


def authorizer_of(provider: Provider, **variables: str) -> Authorizer:
    environment = {"IDENTITY_PROVIDER": provider.issuer, "JWT_AUDIENCE": AUDIENCE, "JWKS_TTL": "300", **variables}
    function = load("authorizer", **environment)
    function.stop_clock(NOW)
    return Authorizer(function)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Yield a provider that listens."""
    with running() as provider:
        yield provider


@pytest.fixture
def authorizer(provider: Provider) -> Authorizer:
    """Return the authorizer of the provider, at NOW."""
    return authorizer_of(provider)
