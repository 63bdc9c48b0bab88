"""The AWS clients of the stack, and the account and region that they speak to."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from stack.errors import DeployError

# "standard" retries what AWS says may be retried: throttling, 5xx and dropped connections.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
OPTIONS = {"retries": {"mode": "standard", "max_attempts": 5}, "connect_timeout": 5, "read_timeout": 30}

# What explain() puts into words. The SDK's errors have no other base in common.
EXPLAINED = (DeployError, ClientError, BotoCoreError, ResponseParserError)


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
        clients = {
            name: session.create_client(
                name,
                region_name=self.region,
                endpoint_url=self.url,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 # the engines take any
                verify=True,  # otherwise REQUESTS_CA_BUNDLE is read
                config=Config(**OPTIONS, proxies={}),
            )
            for name in services
        }
        for client in clients.values():
            client.meta.events.register_first("needs-retry", self._give_up_if_refused)
        return clients

    def _give_up_if_refused(self, caught_exception: Exception | None, **_: object) -> None:
        """Raise DeployError at once when nothing listens: another attempt on this machine would not help."""
        if isinstance(caught_exception, EndpointConnectionError):
            raise DeployError(f"nothing answers at {self.url}: start the engine first (scripts/up.sh)")


@dataclass(frozen=True)
class Remote:
    """AWS or another endpoint, with the region and credentials that the SDK finds."""

    endpoint_url: str | None = None  # None: the endpoint, too, is the one that the SDK finds

    def clients(self, services: tuple[str, ...]) -> dict[str, Any]:
        """Return a client for each service."""
        session = Session()
        config = Config(**OPTIONS)
        return {name: session.create_client(name, endpoint_url=self.endpoint_url, config=config) for name in services}


class Aws:
    """Clients made once each. They are safe to share between threads; making them is not.

    https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    """

    def __init__(self, services: tuple[str, ...], target: Local | Remote) -> None:
        """``services``: those that will be used."""
        self.target = target
        self._clients = target.clients(services)

    def __getitem__(self, service: str) -> Any:
        return self._clients[service]

    @cached_property
    def identity(self) -> str:
        """The ARN of the caller, whose partition and account the stack's own ARNs share."""
        arn: str = self["sts"].get_caller_identity()["Arn"]
        return arn

    @property
    def account(self) -> str:
        return self.identity.split(":")[4]

    @property
    def region(self) -> str:
        region: str = self["sts"].meta.region_name
        return region

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a regional resource of this account."""
        partition = self.identity.split(":")[1]
        return f"arn:{partition}:{service}:{self.region}:{self.account}:{resource}"


def _isolated_session() -> Session:
    """Return a session that reads no environment variable and no file outside of the SDK's package."""
    variables = {name: (None, None, default, kind) for name, (_, _, default, kind) in Session.SESSION_VARIABLES.items()}
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    session = Session(session_vars=variables)
    session.register_component("data_loader", Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False))
    return session


def explain(error: Exception) -> str:
    """One plain line for an error of ours or of the AWS SDK."""
    match error:
        case DeployError():
            return str(error)
        case ClientError() if error.response["ResponseMetadata"].get("HTTPStatusCode") == 501:
            return (
                "this engine has no API Gateway HTTP APIs: LocalStack includes them from its Base plan up. "
                "Set LOCALSTACK_AUTH_TOKEN to a token of such a plan in .env, or leave it empty to run MiniStack. "
                f"({error.operation_name}: {error.response['Error'].get('Code')})"
            )
        case ClientError():
            details = error.response["Error"]
            return f"{error.operation_name} was refused: {details.get('Code')}: {details.get('Message')}"
        case EndpointConnectionError():
            return f"nothing answers at {error.kwargs['endpoint_url']}: start the engine first (scripts/up.sh)"
        case NoCredentialsError():
            return "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        case NoRegionError():
            return "no AWS region: set AWS_DEFAULT_REGION"
        case BotoCoreError() | ResponseParserError():
            return f"the AWS SDK gave up: {' '.join(str(error).split())}"
    raise error
