"""The errors of the AWS SDK in one plain line each."""

from collections import defaultdict

import botocore.exceptions as sdk
from botocore.parsers import ResponseParserError

from stack.errors import DeployError

# What explain() puts into words. The SDK's errors have no other base in common.
EXPLAINED = (DeployError, sdk.ClientError, sdk.BotoCoreError, ResponseParserError)

# What the SDK raises for a user's circumstances, with what to do then; the first that fits is said.
# The names in braces are the SDK's, and {what} is its own message, which for HTTPClientError may quote a token.
ADVICE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (sdk.NoCredentialsError, "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    (
        sdk.PartialCredentialsError,
        "half of the AWS credentials is missing ({what}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (sdk.NoRegionError, "no AWS region: set AWS_DEFAULT_REGION"),
    (
        sdk.InvalidRegionError,
        "{region_name!r} cannot be an AWS region: set AWS_DEFAULT_REGION to one like us-east-1",
    ),
    (sdk.ProfileNotFound, "there is no AWS profile {profile!r}: set AWS_PROFILE to one that ~/.aws has, or unset it"),
    (
        (sdk.ConfigParseError, sdk.ConfigNotFound),
        "the AWS configuration {path} cannot be parsed: fix it, or name another in AWS_CONFIG_FILE",
    ),
    (
        (sdk.SSOError, sdk.UnauthorizedSSOTokenError, sdk.TokenRetrievalError),
        "the AWS profile needs a sign-in ({what}): run aws sso login",
    ),
    (sdk.CredentialRetrievalError, "the AWS profile gives no credentials ({what}): fix it, or set another AWS_PROFILE"),
    (
        sdk.MissingDependencyException,
        "the AWS profile needs a package ({what}): install it, or set AWS_PROFILE",
    ),
    (sdk.ProxyConnectionError, "the proxy {proxy_url} does not answer: fix or unset HTTPS_PROXY and HTTP_PROXY"),
    (sdk.SSLError, "the certificate of {endpoint_url} is not accepted ({error}): name its issuer in AWS_CA_BUNDLE"),
    (
        (sdk.EndpointConnectionError, sdk.ConnectTimeoutError),
        "{endpoint_url} cannot be reached: check the network, AWS_ENDPOINT_URL and AWS_DEFAULT_REGION",
    ),
    (sdk.ReadTimeoutError, "{endpoint_url} takes requests but does not answer: see its log, or try again"),
    (sdk.ConnectionClosedError, "{endpoint_url} closes connections without an answer: see its log, or try again"),
    (sdk.HTTPClientError, "the request cannot be sent: check AWS_ENDPOINT_URL, the AWS credentials and HTTPS_PROXY"),
    (ResponseParserError, "what answers is not AWS ({what}): check what listens at the endpoint"),
    (sdk.WaiterError, "what was made did not become ready ({what}): run the build again"),
)


def explain(error: Exception) -> str:
    """Return one plain line for an error of ours or of the AWS SDK."""
    match error:
        case DeployError():
            text = str(error)
        case sdk.ClientError():
            text = _explain_answer(error)
        case sdk.BotoCoreError() | ResponseParserError():
            advice = next((text for kind, text in ADVICE if isinstance(error, kind)), "the AWS SDK gave up: {what}")
            text = advice.format_map(defaultdict(str, getattr(error, "kwargs", {}), what=error))
        case _:
            raise error
    return " ".join(text.split())


def _explain_answer(error: sdk.ClientError) -> str:
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 501:
        return f"{error.operation_name} was refused: {code}: {message}"
    if code == "InternalFailure" and "apigatewayv2" in message and "license plan" in message:
        return (
            "this engine has no API Gateway HTTP APIs: LocalStack includes them from its Base plan up. "
            "Set LOCALSTACK_AUTH_TOKEN to a token of such a plan in .env, or leave it empty to run MiniStack. "
            f"({error.operation_name}: {code})"
        )
    if error.operation_name == "ListUserPools":
        return (
            "this engine has no Cognito (LocalStack includes it in some plans): "
            f"leave IDENTITY_PROVIDER empty, or set it to another issuer. ({error.operation_name}: {code})"
        )
    return f"the endpoint does not implement {error.operation_name}: {code}: {message}"
