"""The IAM actions that a request needs, and a proxy that evaluates those that MiniStack leaves out."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ministack.core import iam_evaluator
from ministack.core.iam_actions import extract_iam_action, extract_resource_arn

from aws.ways import FUNCTIONS, Way
from engine_proxy import Reply, Request

ACCOUNT, REGION = "000000000000", "us-east-1"
Policy = dict[str, Any]
# What MiniStack evaluates on everything, and AWS on the one resource.
UNBOUND = (
    "cloudwatch:DeleteAlarms",
    "cloudwatch:ListTagsForResource",
    "cloudwatch:PutMetricAlarm",
    "dynamodb:ListTagsOfResource",
    "lambda:CreateFunction",
)


@dataclass(frozen=True)
class Needed:
    """An action on a resource."""

    action: str
    resource: str
    passed_to: str = ""

    def allowed_by(self, policy: Policy) -> bool:
        context = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:iam::{ACCOUNT}:user/deployer",
            principal_type="User",
            principal_account=ACCOUNT,
            action=self.action,
            resource_arn=self.resource,
            region=REGION,
            service_context={"iam:passedtoservice": self.passed_to} if self.passed_to else {},
            principal_keys={},
        )
        decision: str = iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document(policy)]).decision
        return decision == "Allow"


def needed(request: Request) -> Iterator[Needed]:
    """Yield what a request needs on AWS, the action of its own name first, as the engine names it."""
    service = _service(request)
    if service is None:
        return
    query = parse_qs(urlsplit(request.path).query)
    if request.body.startswith(b"Action="):
        query |= parse_qs(request.body.decode())
    path = urlsplit(request.path).path
    arguments = (service, request.method, path, request.headers, request.body, query)
    action = extract_iam_action(*arguments)
    if action and action not in ("sts:GetCallerIdentity", *UNBOUND):  # the first needs no right
        yield Needed(action, extract_resource_arn(*arguments, REGION, ACCOUNT))
    yield from beyond_the_engine(request)


def beyond_the_engine(request: Request) -> Iterator[Needed]:
    """Yield what AWS evaluates beside the action itself, or on another resource, and MiniStack does not."""
    asked: Any = json.loads(request.body) if request.body.startswith(b"{") else {}
    query = parse_qs(request.body.decode()) if request.body.startswith(b"Action=") else {}
    match request.operation:
        case "CreateTable":
            yield Needed("dynamodb:TagResource", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{asked['TableName']}")
        case "ListTagsOfResource":
            yield Needed("dynamodb:ListTagsOfResource", asked["ResourceArn"])
        case "PutMetricAlarm":
            yield from (Needed(f"cloudwatch:{action}", _alarm(request)) for action in ("PutMetricAlarm", "TagResource"))
        case "DeleteAlarms":
            yield Needed("cloudwatch:DeleteAlarms", _alarm(request))
        case "ListTagsForResource" if _service(request) == "monitoring":
            yield Needed("cloudwatch:ListTagsForResource", _alarm(request))
        case "CreateUserPool":
            yield Needed("cognito-idp:TagResource", f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/new")
        case "CreateLogGroup":
            yield Needed("logs:TagResource", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{asked['logGroupName']}")
        case "CreateRole":
            yield Needed("iam:TagRole", f"arn:aws:iam::{ACCOUNT}:role/{query['RoleName'][0]}")
        case "POST /v2/apis":
            yield Needed("apigateway:TagResource", f"arn:aws:apigateway:{REGION}::/apis")
        case operation if operation == f"POST {FUNCTIONS}":
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{asked['FunctionName']}"
            yield Needed("lambda:CreateFunction", arn)
            yield Needed("lambda:TagResource", arn)
            yield Needed("iam:PassRole", asked["Role"], "lambda.amazonaws.com")
        case operation if re.fullmatch(r"POST /v2/apis/\w+/stages", operation):
            path = operation.removeprefix("POST /v2")
            yield Needed("apigateway:TagResource", f"arn:aws:apigateway:{REGION}::{path}")
        case operation if re.fullmatch(rf"PUT {FUNCTIONS}/[^/]+/configuration", operation):
            yield Needed("iam:PassRole", asked["Role"], "lambda.amazonaws.com")


def _alarm(request: Request) -> str:
    """Return the ARN of the alarm that a request names, whatever its encoding."""
    found = re.search(rb"[\w-]+-(errors|throttles)", request.body)
    assert found, request
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{found[0].decode()}"


def _service(request: Request) -> str | None:
    """Return the service that a request is signed for, or None for one of a client of the API."""
    found = re.search(r"Credential=[^/]+/\d+/[^/]+/([\w-]+)/", request.headers.get("authorization", ""))
    return found[1] if found else None


class Rights(Way):
    """What AWS evaluates and the engine does not, by the deployer's policy of the moment."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        super().__init__()
        self._policy = policy

    def before(self, request: Request) -> Reply | Request | None:
        if _service(request) is None:
            return None
        for one in beyond_the_engine(request):
            if not one.allowed_by(self._policy()):
                text = f"User: deployer is not authorized to perform: {one.action} on resource: {one.resource}"
                return self.refuse(403, "AccessDeniedException", text)
        return None

    def after(self, request: Request, body: bytes) -> bytes:
        found = re.fullmatch(rf"GET {FUNCTIONS}/([^/]+)", request.operation)
        if not found or _service(request) is None or b'"Configuration"' not in body:
            return body
        listing = Needed("lambda:ListTags", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{found[1]}")
        if listing.allowed_by(self._policy()):
            return body
        told = json.loads(body)
        told.pop("Tags", None)
        said = f"User: deployer is not authorized to perform: {listing.action} on resource: {listing.resource}"
        told["TagsError"] = {"ErrorCode": "AccessDeniedException", "Message": said}
        return json.dumps(told).encode()
