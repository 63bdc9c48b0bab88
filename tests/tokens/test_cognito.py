"""IDENTITY_PROVIDER=cognito: the pool and its client are built with the stack, and their tokens open the API."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

import builds
from builds import FEW
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, DEFAULTS, TLS, Project, Stack
from stack.aws import Aws, Local
from stack.commands.pool import access_token
from stack.definition import DEFINITION
from stack.deploy.resources import user_pool
from stack.deploy.steps import Change
from stack.settings import Settings

NAME = DEFINITION.stack_name
COGNITO = {"IDENTITY_PROVIDER": "cognito"}
STEPS = {("user pool", NAME), ("pool client", NAME)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack that is up, of a few functions and a user pool."""
    with builds.standing(tmp_path_factory.mktemp("cognito"), FEW, **COGNITO) as project:
        yield project


@pytest.fixture
def cognito(project: Project) -> Any:
    """Return a client of the engine's Cognito."""
    return project.stack.client("cognito-idp")


def sign_in(project: Project, user: str = "user-1") -> str:
    return access_token(Settings.from_environment({**DEFAULTS, **project.settings}), user)


def post(stack: Stack, token: str) -> httpx.Response:
    with stack.http(headers={"Authorization": f"Bearer {token}"}) as client:
        return client.post("/shorten", json={"long_url": "https://example.com/"})


def pool_of(cognito: Any, name: str = NAME) -> dict[str, Any]:
    """Return the one pool of a name."""
    (found,) = [one for one in cognito.list_user_pools(MaxResults=60)["UserPools"] if one["Name"] == name]
    described: dict[str, Any] = cognito.describe_user_pool(UserPoolId=found["Id"])["UserPool"]
    return described


def client_of(cognito: Any, pool_id: str) -> dict[str, Any]:
    """Return the one client of a pool."""
    (found,) = cognito.list_user_pool_clients(UserPoolId=pool_id, MaxResults=60)["UserPoolClients"]
    described: dict[str, Any] = cognito.describe_user_pool_client(UserPoolId=pool_id, ClientId=found["ClientId"])
    return dict(described["UserPoolClient"])


def aws(project: Project) -> Aws:
    return Aws((user_pool.SERVICE, "sts"), Local(int(project.settings["HOST_PORT"]), "us-east-1"))


def test_a_user_of_the_pool_shortens_links_which_are_the_users(project: Project) -> None:
    token = project.check("scripts/sign-token.py", "größer@example.com").strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    answer = post(project.stack, token)
    assert (answer.status_code, answer.json()["owner_id"]) == (201, claims["sub"])
    again = jwt.decode(sign_in(project, "größer@example.com"), options={"verify_signature": False})
    assert (again["sub"], again["token_use"]) == (claims["sub"], "access")
    assert again["exp"] - again["iat"] == 3600


def test_the_pool_is_found_again_by_its_mark_and_a_second_build_changes_nothing(project: Project, cognito: Any) -> None:
    pool = pool_of(cognito)
    assert pool["UserPoolTags"] == {"shortener:stack": f"{NAME}/us-east-1"}
    done = builds.run(project, FEW, settings=COGNITO)
    assert (done.error, done.changes("unchanged") & STEPS) == ("", STEPS)
    assert not done.changes("created") | done.changes("updated")
    assert pool_of(cognito) == pool


def test_what_somebody_changed_is_restored_and_the_rest_is_kept(project: Project, cognito: Any) -> None:
    pool_id = pool_of(cognito)["Id"]
    client_id = client_of(cognito, pool_id)["ClientId"]
    cognito.update_user_pool(
        UserPoolId=pool_id,
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": False},
        AutoVerifiedAttributes=["email"],
    )
    cognito.update_user_pool_client(
        UserPoolId=pool_id,
        ClientId=client_id,
        AccessTokenValidity=5,
        TokenValidityUnits={"AccessToken": "hours"},
        CallbackURLs=["https://example.com/"],
    )
    done = builds.run(project, FEW, settings=COGNITO)
    assert (done.error, done.changes("updated")) == ("", STEPS)
    pool, client = pool_of(cognito), client_of(cognito, pool_id)
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["AutoVerifiedAttributes"] == ["email"]
    assert (client["AccessTokenValidity"], client["TokenValidityUnits"]) == (60, {"AccessToken": "minutes"})
    assert client["CallbackURLs"] == ["https://example.com/"]
    assert post(project.stack, sign_in(project)).status_code == 201


def test_a_client_that_is_gone_is_made_again(project: Project, cognito: Any) -> None:
    pool_id = pool_of(cognito)["Id"]
    before = sign_in(project)
    cognito.delete_user_pool_client(UserPoolId=pool_id, ClientId=client_of(cognito, pool_id)["ClientId"])
    assert "run scripts/up.sh first" in project.run("scripts/sign-token.py").stderr
    done = builds.run(project, FEW, settings=COGNITO)
    assert (done.error, ("pool client", NAME) in done.changes("created")) == ("", True)
    assert post(project.stack, before).status_code == 403  # the audience is another
    assert post(project.stack, sign_in(project)).status_code == 201


def test_only_access_tokens_of_this_client_are_taken(project: Project, cognito: Any) -> None:
    pool_id = pool_of(cognito)["Id"]
    own = client_of(cognito, pool_id)["ClientId"]
    other = cognito.create_user_pool_client(UserPoolId=pool_id, ClientName="another")["UserPoolClient"]["ClientId"]
    stranger = cognito.create_user_pool(PoolName="another")["UserPool"]["Id"]
    theirs = cognito.create_user_pool_client(UserPoolId=stranger, ClientName=NAME)["UserPoolClient"]["ClientId"]
    try:
        for pool, client, name in ((pool_id, own, "own"), (pool_id, other, "other"), (stranger, theirs, "stranger")):
            cognito.admin_create_user(UserPoolId=pool, Username=name, MessageAction="SUPPRESS")
            cognito.admin_set_user_password(UserPoolId=pool, Username=name, Password="aA1!aA1!", Permanent=True)
            tokens = cognito.admin_initiate_auth(
                UserPoolId=pool,
                ClientId=client,
                AuthFlow="ADMIN_USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": name, "PASSWORD": "aA1!aA1!"},
            )["AuthenticationResult"]
            taken = [
                kind
                for kind in ("AccessToken", "IdToken", "RefreshToken")
                if post(project.stack, tokens[kind]).status_code == 201
            ]
            assert taken == (["AccessToken"] if name == "own" else [])
    finally:
        cognito.delete_user_pool(UserPoolId=stranger)
        cognito.delete_user_pool_client(UserPoolId=pool_id, ClientId=other)


def test_the_password_of_a_user_who_was_not_made_here_is_left_alone(project: Project, cognito: Any) -> None:
    pool_id = pool_of(cognito)["Id"]
    cognito.admin_create_user(UserPoolId=pool_id, Username="jane", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool_id, Username="jane", Password="aA1!aA1!", Permanent=True)
    done = project.run("scripts/sign-token.py", "jane")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: user jane was not made by this script")
    assert done.stderr.count("\n") == 1


def test_several_sign_ins_of_one_user_at_once_all_work(project: Project) -> None:
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(lambda _: sign_in(project, "at-once"), range(4)))
    assert {post(project.stack, token).status_code for token in tokens} == {201}


@pytest.mark.search
def test_the_smoke_test_passes(project: Project) -> None:
    builds.succeed(project)  # all of it
    assert "all as it should be" in project.check("scripts/smoke.sh")


def test_the_engine_listens_where_it_should_and_nowhere_else(project: Project) -> None:
    folder = f"/proc/{project.pid()}"
    if not os.path.isdir(folder):  # noqa: PTH112
        pytest.skip("only Linux tells")
    own = {os.readlink(f"{folder}/fd/{one}") for one in os.listdir(f"{folder}/fd")}  # noqa: PTH115,PTH208
    listening = []
    for table in ("tcp", "tcp6"):
        with open(f"{folder}/net/{table}") as lines:  # noqa: PTH123
            rows = [line.split() for line in lines][1:]
        listening += [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]
    assert listening == [int(project.settings["HOST_PORT"])]


@pytest.mark.parametrize("end", [Project.kill, pytest.param(builds.stop, marks=pytest.mark.search)])
def test_users_and_tokens_outlive_the_engine(project: Project, cognito: Any, end: Callable[[Project], None]) -> None:
    token = sign_in(project, f"user of {end.__name__}".replace(" ", "-"))
    pool_id, owner = pool_of(cognito)["Id"], post(project.stack, token).json()["owner_id"]
    end(project)
    builds.start(project)
    builds.succeed(project, FEW)
    stack = project.stack
    assert pool_of(cognito)["Id"] == pool_id
    assert post(stack, token).json()["owner_id"] == owner
    again = sign_in(project, f"user of {end.__name__}".replace(" ", "-"))
    assert post(stack, again).json()["owner_id"] == owner


def test_a_pool_of_a_stranger_stops_the_build_and_is_left_alone(project: Project, cognito: Any) -> None:
    settings = {**COGNITO, "NAME_PREFIX": "their-"}
    stranger = cognito.create_user_pool(PoolName="their-shortener", UserPoolTags={"owner": "somebody"})["UserPool"]
    done = builds.run(project, FEW, settings=settings)
    assert done.error.startswith("user pool their-shortener exists, and this stack did not make it")
    assert pool_of(cognito, "their-shortener")["UserPoolTags"] == stranger["UserPoolTags"]
    cognito.delete_user_pool(UserPoolId=stranger["Id"])


def test_of_two_pools_that_two_builds_made_at_once_the_older_counts(project: Project, cognito: Any) -> None:
    pool = pool_of(cognito)
    newer = cognito.create_user_pool(PoolName=NAME, UserPoolTags=pool["UserPoolTags"])["UserPool"]["Id"]
    found = user_pool.find(aws(project), DEFINITION)
    assert found is not None
    assert found["Id"] == pool["Id"]
    removals = dict(user_pool.removals(aws(project), DEFINITION))
    assert list(removals) == [NAME]
    cognito.delete_user_pool(UserPoolId=newer)


def test_what_makes_the_pool_removes_it(project: Project, cognito: Any) -> None:
    """Remove the pool of another stack, and of no other."""
    other = DEFINITION.prefixed("other-")
    made = user_pool.ensure(aws(project), other)
    assert made.change is Change.CREATED
    removals = list(user_pool.removals(aws(project), other))
    assert [(name, remove().change) for name, remove in removals] == [("other-shortener", Change.REMOVED)]
    assert [remove().change for _, remove in removals] == [Change.UNCHANGED]
    assert pool_of(cognito)["Name"] == NAME


def test_back_to_the_secret_and_to_the_pool_again(project: Project, cognito: Any) -> None:
    pool_id = pool_of(cognito)["Id"]
    token = sign_in(project)
    assert builds.run(project, FEW, settings={"IDENTITY_PROVIDER": ""}).error == ""
    assert post(project.stack, token).status_code == 403
    assert post(project.stack, project.stack.token()).status_code == 201
    assert builds.run(project, FEW, settings=COGNITO).error == ""
    assert post(project.stack, project.stack.token()).status_code == 403
    assert (post(project.stack, token).status_code, pool_of(cognito)["Id"]) == (201, pool_id)


def test_the_tokens_verify_as_the_pool_publishes_them(project: Project, cognito: Any) -> None:
    """Ask PyJWT, with the keys that everybody can fetch."""
    token = sign_in(project)
    keys = httpx.get(f"{project.engine}/{pool_of(cognito)['Id']}/.well-known/jwks.json", verify=TLS).json()
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = [one for one in keys["keys"] if one["kid"] == kid]
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"])
    assert claims["iss"] == f"https://cognito-idp.us-east-1.amazonaws.com/{pool_of(cognito)['Id']}"
    assert claims["client_id"] == client_of(cognito, pool_of(cognito)["Id"])["ClientId"]


def test_a_plan_says_what_a_build_then_does_and_the_page_names_every_right_on_cognito(
    project: Project, cognito: Any
) -> None:
    """Build, repair, sign in and remove, and see what is asked of Cognito. Tags at the creation take a right too."""
    prefix = "AWSCognitoIdentityProviderService."
    asked = {"TagResource"}

    def note(request: Request) -> None:
        name = request.headers.get("x-amz-target", "")
        if name.startswith(prefix):
            asked.add(name.removeprefix(prefix))

    other = {**COGNITO, "NAME_PREFIX": "rights-"}
    definition = FEW.prefixed("rights-")
    planned = builds.plan(project, definition, **other)
    assert planned.changes("create") >= {("user pool", definition.stack_name), ("pool client", definition.stack_name)}
    assert [one for one in cognito.list_user_pools(MaxResults=60)["UserPools"] if "rights" in one["Name"]] == []
    with proxy(project.engine, note) as engine:
        done = builds.run(project, FEW, engine=engine, settings=other)
        assert (done.error, done.changes("created")) == ("", planned.changes("create"))
        again = builds.plan(project, definition, **other)
        assert (again.changes("create"), again.changes("update")) == (set(), set())
        pool_id = pool_of(cognito, definition.stack_name)["Id"]
        client_id = client_of(cognito, pool_id)["ClientId"]
        cognito.update_user_pool(UserPoolId=pool_id, AdminCreateUserConfig={"AllowAdminCreateUserOnly": False})
        cognito.update_user_pool_client(UserPoolId=pool_id, ClientId=client_id, AccessTokenValidity=5)
        assert builds.run(project, FEW, engine=engine, settings=other).error == ""
        settings = Settings.from_environment({**DEFAULTS, **project.settings, **other})
        target = Local(int(engine.rsplit(":", 1)[1]), "us-east-1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stack.commands.pool._target", lambda _: target)
            assert access_token(settings, "jane") != access_token(settings, "jane")
        for _, remove in list(user_pool.removals(Aws((user_pool.SERVICE, "sts"), target), definition)):
            assert remove().change is Change.REMOVED
    page = (CHECKOUT / "docs/tokens.md").read_text()
    assert set(re.findall(r"`cognito-idp:(\w+)`", page)) == asked


def test_an_engine_without_cognito_is_one_line(project: Project) -> None:
    """Answer as LocalStack does below the plan that has Cognito."""
    message = "The API for service cognito-idp is either not included in your current license plan or has not yet"

    def fault(request: Request) -> Reply | None:
        target = request.headers.get("x-amz-target", "")
        return Reply(501, "InternalFailure", message) if target.startswith("AWSCognitoIdentityProvider") else None

    with proxy(project.engine, fault) as engine:
        error = builds.run(project, FEW, engine=engine, attempts=1, settings=COGNITO).error
    assert error.startswith("this engine has no Cognito")
    assert "leave IDENTITY_PROVIDER empty" in error


def test_an_engine_that_cannot_sign_is_one_line(project: Project) -> None:
    """Publish what MiniStack does without the package cryptography: a key that is none."""

    def without_keys(request: Request, body: bytes) -> bytes:
        return b'{"keys": [{"kty": "RSA", "n": "wJUEhGbA", "e": "AQAB"}]}' if "jwks.json" in request.path else body

    with proxy(project.engine, lambda _: None, without_keys) as engine:
        error = builds.run(project, FEW, engine=engine, settings=COGNITO).error
    assert error.startswith("the engine signs no tokens")
    assert "run scripts/down.sh, then scripts/up.sh" in error
    assert builds.run(project, FEW, settings=COGNITO).error == ""
