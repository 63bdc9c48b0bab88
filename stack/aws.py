"""The AWS clients of a deployment, and the account and region that they speak to."""

import os
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from botocore.parsers import ResponseParserError

from stack.errors import DeployError

# "standard" retries what AWS says may be retried: throttling, 5xx and dropped connections.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 5

# What explain() puts into words. The SDK's errors have no other base in common.
EXPLAINED = (DeployError, ClientError, BotoCoreError, ResponseParserError)


def use_local_engine(port: int) -> str:
    """From here on speak to the engine on this machine, whatever endpoint the environment names; its URL."""
    url = f"http://127.0.0.1:{port}"
    os.environ["AWS_ENDPOINT_URL"] = url
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    return url


class Aws:
    """Clients made once each. They are safe to share between threads; making them is not.

    https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    """

    def __init__(self, services: tuple[str, ...], attempts: int = ATTEMPTS) -> None:
        """``services``: those that will be used; each call is tried ``attempts`` times at most.

        Endpoint, region and credentials are the environment's.
        """
        session = boto3.Session()
        config = Config(retries={"mode": "standard", "max_attempts": attempts}, connect_timeout=5, read_timeout=30)
        self._clients: dict[str, Any] = {name: session.client(name, config=config) for name in services}

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
