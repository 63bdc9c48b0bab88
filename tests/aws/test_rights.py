"""The policy of docs/aws.md is all that a deployer needs, and the functions' roles are all that they need."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import builds
from aws.rights import ACCOUNT, REGION, UNBOUND, Needed, Policy, Rights, needed
from aws.ways import FUNCTIONS, Way, aws
from engine.bare import Engine
from engine_proxy import Reply, Request
from project import CHECKOUT, DEFAULTS, Project
from stack.aws import Remote
from stack.aws_errors import EXPLAINED, explain
from stack.definition import DEFINITION
from stack.deploy.build import api_services
from stack.deploy.remove import remove_stack
from stack.model import Definition, Function, Route
from stack.settings import Settings

LONGEST = 6144  # characters of a managed policy, spaces not counted
EXTRA = Function("recipe", (Route("GET /recipe"),), reads=("shortlinks",))
WITH_EXTRA = replace(DEFINITION, functions=(*DEFINITION.functions, EXTRA))


def documented() -> Policy:
    """Return the policy of docs/aws.md for the tests' account, with the ARNs of one function more.

    What a user pool takes, which docs/tokens.md says, is a statement more.
    """
    page = (CHECKOUT / "docs/aws.md").read_text()
    section = page.partition("## The policy a deployer needs\n")[2]
    (text,) = re.findall(r"```json\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert len(re.sub(r"\s", "", text)) <= LONGEST
    policy: Policy = json.loads(text.replace("REGION", REGION).replace("ACCOUNT", ACCOUNT))
    for statement in policy["Statement"]:
        if isinstance(statement["Resource"], list):
            others = [arn for arn in statement["Resource"] if re.search(r"[:/]shorten(:\*)?$", arn)]
            statement["Resource"] += [arn.replace("shorten", EXTRA.name) for arn in others]
    page = (CHECKOUT / "docs/tokens.md").read_text().partition("To sign in:")[0]
    actions = set(re.findall(r"`(cognito-idp:\w+)`", page))
    pools = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/*"
    for name, some, resource in (("Pools", actions - ON_ANY, pools), ("AnyPool", actions & ON_ANY, "*")):
        policy["Statement"].append({"Sid": name, "Effect": "Allow", "Action": sorted(some), "Resource": resource})
    return policy


READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ON_ANY = {"cognito-idp:CreateUserPool", "cognito-idp:ListUserPools"}
LOOKS = re.compile(r"\w+:(GET|(Describe|Get|List)\w+)")
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
PROVIDER = {"IDENTITY_PROVIDER": "cognito"}  # as on AWS, where a shared secret is refused

Right = tuple[str, str]  # a statement's name, and one of its actions


def rights(policy: Policy) -> set[Right]:
    return {(one["Sid"], action) for one in policy["Statement"] for action in _actions(one)}


def without(policy: Policy, right: Right) -> Policy:
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        if statement["Sid"] == right[0]:
            statement["Action"] = [action for action in _actions(statement) if action != right[1]]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    return less


def _actions(statement: dict[str, Any]) -> list[str]:
    actions = statement["Action"]
    return [actions] if isinstance(actions, str) else actions


@dataclass
class Deployer:
    """A user of an engine that evaluates policies."""

    engine: Engine
    project: Project
    policy: Policy = field(default_factory=documented)

    def may(self, policy: Policy) -> None:
        """Give the user this policy, and no other."""
        self.policy = policy
        unbound = {"Effect": "Allow", "Action": list(UNBOUND), "Resource": "*"}  # the proxy evaluates them
        document = json.dumps({**policy, "Statement": [*policy["Statement"], unbound]})
        self.engine.client("iam").put_user_policy(UserName="deployer", PolicyName="deployer", PolicyDocument=document)


@pytest.fixture
def deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployer]:
    """Yield a deployer who has no policy yet, before an engine in which nothing is built."""
    (tmp_path / "engine").mkdir()
    engine = Engine.fresh(tmp_path / "engine", AUTH="true").start()
    project = Project.copy(tmp_path, HOST_PORT=str(engine.port))
    project.outputs.mkdir()
    iam = engine.client("iam")
    iam.create_user(UserName="deployer")
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr("stack.deploy.loading.check", lambda *_: None)  # which asks AWS nothing, and takes long
    yield Deployer(engine, project)
    engine.kill()


class Taking(Way):
    """Each right is taken away when it is first needed, one a build, which changes nothing more."""

    def __init__(self, deployer: Deployer) -> None:
        super().__init__()
        self._deployer = deployer
        self._whole = deployer.policy
        self.taken: Right | None = None
        self._made: set[str] = set()
        self._made_before: set[str] = set()  # functions, of whose tags the next build wants to know
        self.left = rights(self._whole)

    def give_back(self) -> None:
        """Give the deployer all rights again, before another build."""
        self._deployer.may(self._whole)
        self.taken = None
        self._made_before |= self._made

    def before(self, request: Request) -> Reply | Request | None:
        found = next(self._used(request), None)
        if self.taken:
            looks = all(LOOKS.fullmatch(one.action) for one in needed(request))
            if found or not looks:
                return Reply(403, "AccessDeniedException", "another right was taken away before")
        elif found:
            self.left.remove(found)
            self.taken = found
            self._deployer.may(without(self._whole, found))
        return None

    def _used(self, request: Request) -> Iterator[Right]:
        wanted = [*needed(request), *self._listed(request)]
        for right in [one for one in self.left if any(one[1] == need.action for need in wanted)]:
            (alone,) = [one for one in self._whole["Statement"] if one["Sid"] == right[0]]
            for one in wanted:
                if one.action == right[1] and one.allowed_by({**self._whole, "Statement": [alone]}):
                    yield right

    def after(self, request: Request, body: bytes) -> bytes:
        if request.operation == f"POST {FUNCTIONS}" and b'"FunctionName"' in body:
            self._made.add(json.loads(body)["FunctionName"])
        return body

    def _listed(self, request: Request) -> Iterator[Needed]:
        name = request.operation.removeprefix(f"GET {FUNCTIONS}/")
        if name in self._made_before:
            yield Needed("lambda:ListTags", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")


@dataclass(frozen=True)
class Stage:
    """A build or a removal, and what makes it one that has something to do."""

    definition: Definition
    before: Callable[[Deployer], object] = lambda _: None
    settings: dict[str, str] = field(default_factory=dict)
    remove: bool = False


def change_by_hand(deployer: Deployer) -> None:
    """Change, as somebody with all rights, what a build sets back."""
    client = deployer.engine.client
    role = DEFINITION.role_name(DEFINITION.functions[0], REGION)
    client("iam").attach_role_policy(RoleName=DEFINITION.role_name(EXTRA, REGION), PolicyArn=READ_ONLY)
    nobody = '{"Version": "2012-10-17", "Statement": []}'
    client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=nobody)
    client("dynamodb").update_table(
        TableName="shortlinks",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    cognito = client("cognito-idp")
    (pool,) = cognito.list_user_pools(MaxResults=2)["UserPools"]
    cognito.update_user_pool(UserPoolId=pool["Id"], AdminCreateUserConfig={"AllowAdminCreateUserOnly": False})
    (one,) = cognito.list_user_pool_clients(UserPoolId=pool["Id"])["UserPoolClients"]
    cognito.update_user_pool_client(UserPoolId=pool["Id"], ClientId=one["ClientId"], AccessTokenValidity=5)
    client("lambda").remove_permission(FunctionName="shorten", StatementId="api-gateway")
    client("lambda").add_permission(
        FunctionName="shorten",
        StatementId="api-gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )


def change_code(deployer: Deployer) -> None:
    for handler in (deployer.project.folder / "lambdas").glob("*/handler.py"):
        handler.write_text(handler.read_text() + "\n# changed\n")


def change_both(deployer: Deployer) -> None:
    change_by_hand(deployer)
    change_code(deployer)


STAGES = (
    Stage(WITH_EXTRA),
    Stage(WITH_EXTRA),
    Stage(WITH_EXTRA, change_by_hand),
    Stage(WITH_EXTRA, change_code, {"CORS_ALLOW_ORIGINS": "https://example.com", "ALARM_TOPIC": TOPIC}),
    Stage(DEFINITION, settings={"CORS_ALLOW_ORIGINS": "https://example.com"}),
    Stage(WITH_EXTRA, remove=True),
)
FEWER_STAGES = (  # with as much to do
    Stage(WITH_EXTRA),
    Stage(
        DEFINITION,
        change_both,
        {"CORS_ALLOW_ORIGINS": "https://example.com", "ALARM_TOPIC": TOPIC},
    ),
    Stage(WITH_EXTRA, remove=True),
)


def run(deployer: Deployer, stage: Stage, url: str) -> builds.Done:
    settings = {**PROVIDER, **stage.settings}
    if not stage.remove:
        return builds.run(deployer.project, stage.definition, target=Remote(url), settings=settings)
    read = Settings.from_environment({**DEFAULTS, **settings})
    try:
        remove_stack(builds.clients(Remote(url), api_services(read)), stage.definition, read, with_tables=True)
    except EXPLAINED as error:
        return builds.Done("", explain(error))
    return builds.Done("", "")


def add_extra(deployer: Deployer) -> None:
    folder = deployer.project.folder / "lambdas" / EXTRA.name
    folder.mkdir()
    (folder / "handler.py").write_text("def handler(event, context):\n    return {}\n")


@pytest.mark.long
def test_builds_succeed_with_the_documented_policy(deployer: Deployer) -> None:
    add_extra(deployer)
    deployer.may(deployer.policy)
    with aws(deployer.engine.url, Rights(lambda: deployer.policy)) as url:
        for stage in FEWER_STAGES:
            stage.before(deployer)
            done = run(deployer, stage, url)
            assert not done.error, done


@pytest.mark.search  # it takes minutes
def test_each_action_of_the_documented_policy_is_needed(deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is taken away where a build first needs it. That build fails and names it, and the next goes on."""
    monkeypatch.setattr("stack.deploy.steps.AT_ONCE", 1)
    add_extra(deployer)
    deployer.may(deployer.policy)
    taking = Taking(deployer)
    with aws(deployer.engine.url, taking, Rights(lambda: deployer.policy)) as url:
        for stage in STAGES:
            stage.before(deployer)
            while (done := run(deployer, stage, url)).error:
                assert taking.taken, done
                assert taking.taken[1] in done.error, (taking.taken, done)
                assert "\n" not in done.error
                taking.give_back()
            assert taking.taken is None, (taking.taken, done)
            taking.give_back()
    assert taking.left == set()


def test_the_documented_policy_names_each_function_and_table_of_the_definition() -> None:
    named = json.dumps(documented())
    for function in DEFINITION.functions:
        assert f':function:{function.name}"' in named
        assert f'/aws/lambda/{function.name}"' in named
    for table in DEFINITION.tables:
        assert f':table/{table.name}"' in named
