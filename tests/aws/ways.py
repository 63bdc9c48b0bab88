"""The ways of AWS that no engine has, each for a proxy before an engine to imitate.

Sources: AWS's documentation, and the retries of terraform-provider-aws, chalice and botocore.
"""

import contextlib
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx

from engine_proxy import Reply, Request, proxy
from project import TLS

DEPLOYER = "deployer"  # the access key of who builds; functions have another
UNASSUMED = (
    "The role defined for the function cannot be assumed by Lambda.",
    "The provided execution role does not have permissions to call CreateNetworkInterface on EC2",
    "Lambda was unable to configure access to your environment variables because the KMS key is invalid for "
    "CreateGrant. Please check your KMS key settings. KMS Exception: InvalidArnException KMS Message: ARN does not "
    "refer to a valid principal",
)
FUNCTIONS = "/2015-03-31/functions"


class Way:
    """Something that AWS does and an engine does not. The engine is asked in between."""

    def __init__(self) -> None:
        self.engine = ""
        self.lock = threading.Lock()
        self.met = 0  # how often it made a difference

    def before(self, request: Request) -> Reply | Request | None:  # noqa: ARG002
        """Reply in AWS's place, or return the request that the engine is to have instead, or None."""
        return None

    def after(self, request: Request, body: bytes) -> bytes:  # noqa: ARG002
        """Return the body of the engine's answer as AWS would give it."""
        return body

    def refuse(self, status: int, code: str, message: str) -> Reply:
        self.met += 1
        return Reply(status, code, message)


class Turns(Way):
    """One way after another, behind the same URL."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Way()

    def before(self, request: Request) -> Reply | Request | None:
        return self.now.before(request)

    def after(self, request: Request, body: bytes) -> bytes:
        return self.now.after(request, body)


class SlowRoles(Way):
    """A new role cannot be assumed for a while, and at least once. CreateFunction is told in several wordings."""

    def __init__(self, seconds: float, wordings: tuple[str, ...] = UNASSUMED) -> None:
        super().__init__()
        self.seconds = seconds
        self._wording = itertools.cycle(wordings)
        self._made: dict[str, float] = {}

    def before(self, request: Request) -> Reply | Request | None:
        if request.operation == "CreateRole":
            name = re.search(rb"RoleName=([^&]+)", request.body)
            assert name
            self._made[name[1].decode()] = time.monotonic()
        names_role = request.operation == f"POST {FUNCTIONS}" or request.operation.endswith("/configuration")
        if names_role and request.method in ("POST", "PUT"):
            role = json.loads(request.body).get("Role", "").rpartition("/")[2]
            if role in self._made:
                if time.monotonic() > self._made[role] + self.seconds:
                    del self._made[role]
                return self.refuse(400, "InvalidParameterValueException", next(self._wording))
        return None


class SlowRights(Way):
    """What a role may do reaches its function later. Until then its calls are denied, and at least the first one."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._granted: float | None = None

    def before(self, request: Request) -> Reply | Request | None:
        if request.operation == "PutRolePolicy":
            self._granted = time.monotonic()
        of_function = f"Credential={DEPLOYER}/" not in request.headers.get("authorization", "")
        if of_function and request.headers.get("x-amz-target") and self._granted is not None:
            if time.monotonic() > self._granted + self.seconds:
                self._granted = None
            text = f"User: arn:aws:sts::000000000000:assumed-role/r/f is not authorized to perform: {request.operation}"
            return self.refuse(400, "AccessDeniedException", text)
        return _with_variable(request, f"http://{request.headers['host']}")

    def after(self, request: Request, body: bytes) -> bytes:
        if not request.path.startswith(FUNCTIONS):
            return body
        # The function's calls come this way because of a variable, which nobody set.
        return re.sub(rb'(, )?"AWS_ENDPOINT_URL": ?"[^"]*"', b"", body).replace(b"{, ", b"{")


def _with_variable(request: Request, url: str) -> Request | None:
    made = request.operation == f"POST {FUNCTIONS}"
    if not made and not (request.method == "PUT" and request.path.endswith("/configuration")):
        return None
    asked = json.loads(request.body)
    asked.setdefault("Environment", {}).setdefault("Variables", {})["AWS_ENDPOINT_URL"] = url
    return _rewritten(request, json.dumps(asked).encode())


def _rewritten(request: Request, body: bytes) -> Request:
    return replace(request, body=body, headers={**request.headers, "content-length": str(len(body))})


class Settling(Way):
    """A function is Pending after it was made, and InProgress after an update; meanwhile it takes no other."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._busy: dict[str, tuple[float, str]] = {}

    def _state(self, name: str) -> str:
        until, state = self._busy.get(name, (0.0, ""))
        return state if time.monotonic() < until else ""

    def before(self, request: Request) -> Reply | Request | None:
        if request.path.startswith("/_aws/execute-api/") and "Pending" in map(self._state, [*self._busy]):
            return self.refuse(500, "InternalServerError", "Internal Server Error")
        found = re.match(rf"{FUNCTIONS}/([^/?]+)/(code|configuration|policy)", request.path)
        if found and request.method != "GET" and (state := self._state(found[1])):
            what = (
                f"An update is in progress for resource: {found[1]}"
                if state == "InProgress"
                else f"The function is currently in the following state: {state}"
            )
            said = f"The operation cannot be performed at this time. {what}"
            return self.refuse(409, "ResourceConflictException", said)
        return None

    def after(self, request: Request, body: bytes) -> bytes:
        if not request.path.startswith(FUNCTIONS) or b'"FunctionName"' not in body:
            return body
        told = json.loads(body)
        of = told.get("Configuration", told)
        if request.operation == f"POST {FUNCTIONS}":
            self._busy[of["FunctionName"]] = (time.monotonic() + self.seconds, "Pending")
        elif request.method == "PUT":
            self._busy[of["FunctionName"]] = (time.monotonic() + self.seconds, "InProgress")
        match self._state(of.get("FunctionName", "")):
            case "Pending":
                of |= {"State": "Pending", "StateReason": "The function is being created."}
            case "InProgress":
                of |= {"LastUpdateStatus": "InProgress"}
        return json.dumps(told).encode()


class OneWriteAtATime(Way):
    """A write to an API while another one is under way is refused."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._under_way: dict[str, float] = {}

    def before(self, request: Request) -> Reply | Request | None:
        found = re.match(r"/v2/apis/([^/?]+)", request.path)
        if not found or request.method == "GET":
            return None
        with self.lock:
            now = time.monotonic()
            if now < self._under_way.get(found[1], 0.0):
                return self.refuse(
                    409,
                    "ConflictException",
                    "Unable to complete operation due to concurrent modification. Please try again later.",
                )
            self._under_way[found[1]] = now + self.seconds
        return None


class Throttling(Way):
    """A control plane takes so many requests a second, and a burst of more. API Gateway's counts reads too."""

    def __init__(self, burst: float = 40, rate: float = 10) -> None:
        super().__init__()
        self._gateway = Bucket(rate, burst)
        self._lambda = Bucket(15, 15)
        self._iam = Bucket(10, 20)

    def before(self, request: Request) -> Reply | Request | None:
        with self.lock:
            if request.path.startswith("/v2/") and not self._gateway.take():
                return self.refuse(429, "TooManyRequestsException", "Too Many Requests")
            changes_function = request.path.startswith(FUNCTIONS) and request.method != "GET"
            if changes_function and not self._lambda.take():
                return self.refuse(429, "TooManyRequestsException", "Rate exceeded")
            if "Role" in request.operation and not self._iam.take():
                return self.refuse(400, "Throttling", "Rate exceeded")
        return None


@dataclass
class Bucket:
    """Hold a token for each request that may be made at once; there are ``rate`` more a second."""

    rate: float
    burst: float

    def __post_init__(self) -> None:
        self.left, self.at = self.burst, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class LaggingLists(Way):
    """What was made is in no list for a while."""

    LISTS = re.compile(r"/v2/apis(/[^/]+/(integrations|authorizers|routes))?$")
    IDS = ("integrationId", "authorizerId", "routeId", "apiId", "ClientId", "Id")

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._made: dict[str, float] = {}

    def caught_up(self) -> bool:
        """Tell whether all that was made is listed by now."""
        return time.monotonic() > max(self._made.values(), default=0.0) + self.seconds

    def after(self, request: Request, body: bytes) -> bytes:
        told = json.loads(body) if body.startswith(b"{") else {}
        of_api = self.LISTS.fullmatch(request.path.partition("?")[0])
        if (of_api and request.method == "POST") or request.operation in ("CreateUserPool", "CreateUserPoolClient"):
            self._made[self._id(told.get("UserPool") or told.get("UserPoolClient") or told)] = time.monotonic()
            return body
        list_name = {"ListUserPools": "UserPools", "ListUserPoolClients": "UserPoolClients"}.get(request.operation)
        name = "items" if of_api else list_name
        if name is None or name not in told:
            return body
        kept = [one for one in told[name] if not self._is_new(self._id(one))]
        self.met += len(kept) < len(told[name])
        return json.dumps({**told, name: kept}).encode()

    def _is_new(self, part_id: str) -> bool:
        return time.monotonic() < self._made.get(part_id, -self.seconds) + self.seconds

    def _id(self, part: dict[str, Any]) -> str:
        return str(next((part[name] for name in self.IDS if name in part), ""))


class LaggingTags(Way):
    """The tags of a table that was just made are not told yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._made: float | None = None

    def after(self, request: Request, body: bytes) -> bytes:
        if request.operation == "CreateTable" and b'"TableDescription"' in body:
            self._made = time.monotonic()
        if request.operation == "ListTagsOfResource" and self._made is not None:
            if time.monotonic() > self._made + self.seconds:
                self._made = None
            self.met += 1
            return b'{"Tags": []}'
        return body


class OwnIds(Way):
    """AWS chooses an API's ID. The tags by which engines are asked for one are tags like any other."""

    def before(self, request: Request) -> Reply | Request | None:
        if b'"ms-custom-id"' not in request.body:
            return None
        self.met += 1
        return _rewritten(request, request.body.replace(b'"ms-custom-id"', b'"ms-custom-id-kept"'))

    def after(self, request: Request, body: bytes) -> bytes:  # noqa: ARG002
        return body.replace(b'"ms-custom-id-kept"', b'"ms-custom-id"')


class Defaults(Way):
    """AWS answers with settings that nobody gave it."""

    def after(self, request: Request, body: bytes) -> bytes:
        if not request.path.startswith(("/v2/apis", FUNCTIONS)) or not body.startswith(b"{"):
            return body
        told = json.loads(body)
        for one in told.get("items", [told]):
            if "corsConfiguration" in one:
                one["corsConfiguration"].setdefault("allowCredentials", False)
            if "routeKey" in one:
                one.setdefault("apiKeyRequired", False)
            if "integrationType" in one:
                one.setdefault("connectionType", "INTERNET")
            if "stageName" in one:
                one.setdefault("defaultRouteSettings", {}).setdefault("detailedMetricsEnabled", False)
                one.setdefault("lastDeploymentStatusMessage", "Successfully deployed stage with deployment ID 'x'")
        self.met += 1
        return json.dumps(told).encode()


class OneRouteAShape(Way):
    """Two routes that differ only in the name of a path variable conflict."""

    def before(self, request: Request) -> Reply | Request | None:
        found = re.match(r"/v2/apis/([^/]+)/routes(/([^/]+))?$", request.path)
        if not found or request.method not in ("POST", "PATCH"):
            return None
        key = json.loads(request.body).get("routeKey")
        if key is None:
            return None
        for one in _routes(self.engine, found[1]):
            if one["routeId"] != found[3] and _shape(one["routeKey"]) == _shape(key):
                return self.refuse(409, "ConflictException", f"Route with key {key} already exists for this API")
        return None


class References(Way):
    """What a route leads to, or through, cannot be deleted."""

    def before(self, request: Request) -> Reply | Request | None:
        found = re.match(r"/v2/apis/([^/]+)/(integration|authorizer)s/([^/]+)$", request.path)
        if not found or request.method != "DELETE":
            return None
        api, kind, part = found.groups()
        for one in _routes(self.engine, api):
            if part in (one.get("target", "").removeprefix("integrations/"), one.get("authorizerId")):
                said = f"Cannot delete {kind.title()} '{part}'. Route '{one['routeId']}' is referencing this {kind}."
                return self.refuse(409, "ConflictException", said)
        return None


class Deleting(Way):
    """Another build takes what a route is to lead to, or through, for a duplicate, and deletes it just before."""

    def __init__(self, part: str, times: int) -> None:
        super().__init__()
        self._part = part  # as a route names it
        self._times = times

    def before(self, request: Request) -> Reply | Request | None:
        found = re.match(r"(/v2/apis/[^/]+/)routes", request.path)
        if found and request.method in ("POST", "PATCH") and (part := json.loads(request.body).get(self._part)):
            with self.lock:
                self.met += 1
                if self.met <= self._times:
                    path = part if self._part == "target" else f"authorizers/{part}"
                    httpx.delete(f"{self.engine}{found[1]}{path}", verify=TLS, headers=_as_api_gateway())
        return None


def _routes(engine: str, api: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{engine}/v2/apis/{api}/routes", verify=TLS, headers=_as_api_gateway())
    routes: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return routes


def _shape(key: str) -> str:
    return re.sub(r"{[^}+]*", "{", key)


def _as_api_gateway() -> dict[str, str]:
    credential = f"Credential={DEPLOYER}/20260101/us-east-1/apigateway/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}


@contextlib.contextmanager
def aws(engine: str, *ways: Way) -> Iterator[str]:
    """Yield the URL of an AWS that has these ways, and ``engine`` behind it."""

    def before(request: Request) -> Reply | Request | None:
        for way in ways:
            match way.before(request):
                case Reply() as reply:
                    return reply
                case Request() as rewritten:
                    request = rewritten
        return request

    def after(request: Request, body: bytes) -> bytes:
        for way in ways:
            body = way.after(request, body)
        return body

    for way in ways:
        way.engine = engine
    with proxy(engine, before, after) as url:
        yield url
