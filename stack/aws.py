"""The AWS clients of the stack, and the account and region that they speak to."""

import contextlib
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions as sdk
from botocore.config import Config
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.session import Session

from stack.errors import DeployError

# "standard" retries what AWS says may be retried: throttling, 5xx and dropped connections.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
OPTIONS = {"retries": {"mode": "standard", "max_attempts": 5}, "connect_timeout": 5, "read_timeout": 30}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TURN_ATTEMPTS = 12  # of a request that API Gateway refuses because of others
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0  # seconds, between them


@dataclass(frozen=True)
class Local:
    """The engine on this machine. No environment variable and no file in ~/.aws leads away from it."""

    port: int
    region: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clients(self, services: tuple[str, ...]) -> dict[str, Any]:
        """Return a client for each service."""
        session = _isolated_session()
        return {name: self._client(session, name, self.region) for name in services}

    def clients_elsewhere(self, service: str) -> Iterator[tuple[str, Any]]:
        """Yield every other region of AWS with a client of the service for it."""
        session = _isolated_session()
        for region in session.get_available_regions(service):
            if region != self.region:
                yield region, self._client(session, service, region)

    def _client(self, session: Session, service: str, region: str) -> Any:
        client = session.create_client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 # the engines take any
            verify=True,  # otherwise REQUESTS_CA_BUNDLE is read
            config=Config(**OPTIONS, proxies={}),
        )
        client.meta.events.register_first("needs-retry", self._give_up_if_refused)
        return client

    def _give_up_if_refused(self, caught_exception: Exception | None, **_: object) -> None:
        """Raise DeployError at once when nothing listens: another attempt on this machine would not help."""
        if isinstance(caught_exception, sdk.EndpointConnectionError):
            raise DeployError(f"nothing answers at {self.url}: start the engine first (scripts/up.sh)")


@dataclass(frozen=True)
class Remote:
    """AWS or another endpoint, with the credentials that the SDK finds."""

    endpoint_url: str | None = None  # None: the endpoint, too, is the one that the SDK finds
    region: str | None = None  # … and the region

    def clients(self, services: tuple[str, ...]) -> dict[str, Any]:
        """Return a client for each service. Raises DeployError and the SDK's errors."""
        try:
            session = _session()
            credentials = session.get_credentials()
            if credentials is None:
                raise sdk.NoCredentialsError
            frozen = credentials.get_frozen_credentials()  # a role is assumed here, not at the first call
            if not f"{frozen.access_key}{frozen.token or ''}".isprintable():  # which the SDK would try to send 5 times
                raise DeployError(
                    "the AWS access key or the session token has a line end or the like in it: set it again"
                )
            clients = {
                name: session.create_client(
                    name, region_name=self.region, endpoint_url=self.endpoint_url, config=Config(**OPTIONS)
                )
                for name in services
            }
            for client in clients.values():
                address = urlsplit(client.meta.endpoint_url)
                _ = address.port  # the SDK itself looks at it in the first call
                if address.hostname in LOOPBACK:
                    client.meta.events.register_first("needs-retry", _give_up_if_refused)
            return clients
        except sdk.BotoCoreError:
            raise
        except (OSError, ValueError, EOFError) as error:  # the SDK lets these of its configuration through
            raise DeployError(
                f"the AWS SDK cannot use what the environment and ~/.aws say ({type(error).__name__}: {error}): "
                "fix the AWS_... variable or the profile that this is about"
            ) from error

    def own_endpoints(self, services: Iterable[str]) -> dict[str, str]:
        """Return AWS's own endpoint of each service, which an endpoint that somebody configured replaces."""
        session = Session()
        config = Config(ignore_configured_endpoint_urls=True)
        return {
            name: session.create_client(name, region_name=self.region, config=config).meta.endpoint_url
            for name in services
        }


class NotSent(Exception):
    """Raised in the place of an operation that would change something, by clients that only look."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.creates = operation.startswith(("Add", "Create"))
        self.id = ""  # of the resource that would be changed, where it is known

    @classmethod
    @contextlib.contextmanager
    def known_as(cls, resource_id: str) -> Iterator[None]:
        """Give the ID of a resource that exists to whoever plans a change of it."""
        try:
            yield
        except cls as planned:
            planned.id = resource_id
            raise


class Aws:
    """Clients made once each. They are safe to share between threads; making them is not.

    https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    """

    def __init__(self, services: tuple[str, ...], target: Local | Remote, only_look: bool = False) -> None:
        """``services``: those that will be used. With ``only_look``, what would change something raises NotSent."""
        self.target = target
        self.only_looks = only_look
        self._clients = target.clients(services)
        if gateway := self._clients.get("apigatewayv2"):
            gateway.meta.events.register_first("needs-retry", _wait_for_turn)
        if only_look:
            for client in self._clients.values():
                client.meta.events.register_first("provide-client-params", _refuse_changes)

    def __getitem__(self, service: str) -> Any:
        return self._clients[service]

    @cached_property
    def endpoints(self) -> dict[str, str]:
        """Return the URL of each service that is not at AWS itself."""
        urls = {name: client.meta.endpoint_url.rstrip("/") for name, client in self._clients.items()}
        if isinstance(self.target, Local):
            return urls
        own = self.target.own_endpoints(urls)
        return {name: url for name, url in urls.items() if url != own[name].rstrip("/")}

    def __str__(self) -> str:
        """Say where the calls go: to AWS, to one endpoint, or which service's to which endpoint."""
        if not self.endpoints:
            return "AWS"
        if len(self.endpoints) == len(self._clients) and len(set(self.endpoints.values())) == 1:
            return next(iter(self.endpoints.values()))
        aws = [] if len(self.endpoints) == len(self._clients) else ["AWS"]
        return ", ".join([*aws, *(f"{url} for {name}" for name, url in sorted(self.endpoints.items()))])

    @cached_property
    def identity(self) -> str:
        """Return the ARN of the caller, whose partition and account the stack's own ARNs share."""
        arn: str = self["sts"].get_caller_identity()["Arn"]
        return arn

    @property
    def account(self) -> str:
        return self.identity.split(":")[4]

    @property
    def region(self) -> str:
        client = next(iter(self._clients.values()))
        region: str = client.meta.region_name
        return region

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a regional resource of this account."""
        partition = self.identity.split(":")[1]
        return f"arn:{partition}:{service}:{self.region}:{self.account}:{resource}"


def _give_up_if_refused(caught_exception: Exception | None, **_: object) -> None:
    """Raise the error at once when nothing listens on this machine: another attempt would not help."""
    if isinstance(caught_exception, sdk.EndpointConnectionError):
        raise caught_exception


def _refuse_changes(model: Any, **_: object) -> None:
    """Raise NotSent for an operation that changes something, before its parameters are looked at."""
    if not model.name.startswith(("Describe", "Get", "List")):
        raise NotSent(model.name)


def _wait_for_turn(response: tuple[Any, dict[str, Any]] | None, attempts: int, **_: object) -> float | None:
    """Return the seconds to wait if API Gateway is busy with another write to the API, or asked too often, or None.

    It takes one write to an API at a time, which the SDK does not try again by itself, and 10 requests a
    second, for which the SDK's attempts are too few where steps run side by side.
    """
    error = response[1].get("Error", {}) if response else {}
    busy = error.get("Code") == "ConflictException" and "concurrent modification" in error.get("Message", "")
    if not (busy or error.get("Code") == "TooManyRequestsException") or attempts >= TURN_ATTEMPTS:
        return None
    return random.uniform(0, min(FIRST_PAUSE * 2**attempts, LONGEST_PAUSE))  # noqa: S311 # so that they meet no more


class _Parsers(ResponseParserFactory):  # type: ignore[misc]
    """The SDK's parsers, which raise ResponseParserError, and nothing else, for what is not an answer of AWS."""

    def create_parser(self, protocol_name: str) -> Any:
        parser = super().create_parser(protocol_name)
        parse = parser.parse

        def parse_or_refuse(response: dict[str, Any], shape: Any) -> Any:
            try:
                parsed = parse(response, shape)
                if response["status_code"] < 300:
                    _ = parsed["ResponseMetadata"]["RequestId"]  # AWS and the engines give every answer one
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise ResponseParserError(f"{type(error).__name__}: {error}") from error
            return parsed

        parser.parse = parse_or_refuse
        return parser


def _session(**variables: Any) -> Session:
    session = Session(**variables)
    session.register_component("response_parser_factory", _Parsers())
    return session


@cache
def _isolated_session() -> Session:
    """Return the session that reads no environment variable and no file outside of the SDK's package, once each."""
    variables = {name: (None, None, default, kind) for name, (_, _, default, kind) in Session.SESSION_VARIABLES.items()}
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    session = _session(session_vars=variables)
    session.register_component("data_loader", Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False))
    return session
