"""scripts/deploy.sh: the plan and the question, its settings, secret and outputs, and what it says of failures."""

import contextlib
import functools
import io
import os
import pty
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import httpx
import pytest

import builds
import wheels
from engine_proxy import Drop, Reply, Request, proxy
from listener import listener
from project import CHECKOUT, TLS, Project, Stack, aws, free_port
from stack import dotenv
from stack.aws import OPTIONS, Aws, Local, Remote
from stack.commands import deploy
from stack.deploy.steps import Steps
from stack.errors import DeployError
from stack.model import Function, Route
from stack.settings import Settings

SECRET = secrets.token_hex(32)
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "somebodys",
    "AWS_SECRET_ACCESS_KEY": "somebody's",
    "AWS_EC2_METADATA_DISABLED": "true",
}
COGNITO = {"IDENTITY_PROVIDER": "cognito"}
AWS = ("--aws", "--account", "000000000000", "--region", "us-east-1")


def made_once(services: tuple[str, ...], target: Local | Remote, only_look: bool = False) -> Aws:
    """Return clients that are made once for each environment, for tests of what is done with them."""
    return made(services, target, only_look, frozenset(os.environ.items()))


@functools.cache
def made(services: tuple[str, ...], target: Local | Remote, only_look: bool, _: frozenset[tuple[str, str]]) -> Aws:
    return Aws(services, target, only_look)


@dataclass
class Deployer:
    """A user who deploys from a checkout whose outputs folder may have a local stack's."""

    project: Project
    home: Path

    def deploy(self, *arguments: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
        """Run it with ACCOUNT and these changes; None takes a variable away."""
        return subprocess.run(
            [self.project.folder / "scripts/deploy.sh", *arguments],
            cwd="/",
            env=self.environment(changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        environment = {**self.project.environment, "HOME": str(self.home), "JWT_SECRET": SECRET, **ACCOUNT, **changes}
        return {name: value for name, value in environment.items() if value is not None}

    def scripted(self, *arguments: str, **changes: str | None) -> str:
        """Return what the script printed; it must succeed."""
        done = self.deploy(*arguments, **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(
        self,
        arguments: Sequence[str],
        changes: Mapping[str, str | None],
        typed: IO[str] | None = None,
        make_clients: Callable[..., Aws] = Aws,
    ) -> tuple[str, str]:
        """Run it in this process, which takes a tenth of the time; return what it printed, and its error."""
        printed, error = io.StringIO(), ""
        environment = self.environment(changes)
        with contextlib.ExitStack() as entered:
            patch = entered.enter_context(pytest.MonkeyPatch.context())
            for name in {*os.environ} - {*environment}:
                patch.delenv(name)
            for name, value in {**dotenv.load(environment, self.project.folder), **environment}.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["deploy", *arguments])
            patch.setattr("sys.stdin", typed or entered.enter_context(Path(os.devnull).open()))
            patch.setattr(Settings, "lambdas", self.project.folder / "lambdas")
            patch.setattr(Steps, "ended", [])
            patch.setattr(deploy, "Aws", make_clients)
            entered.enter_context(contextlib.redirect_stdout(printed))
            try:
                deploy.main()
            except DeployError as failure:
                error = f"error: {failure}"
        assert "\n" not in error
        return printed.getvalue(), error

    def done(self, *arguments: str, **changes: str | None) -> str:
        """Return what it printed; it must succeed."""
        printed, error = self.run(arguments, changes, make_clients=made_once)
        assert not error, printed + error
        return printed

    def refused(self, *arguments: str, **changes: str | None) -> str:
        """Return the one line that it ends in; without arguments, on the way to AWS as the environment has it."""
        _, error = self.run(arguments or (*AWS, "--yes"), {"IDENTITY_PROVIDER": "cognito", **changes})
        assert error
        return error

    def typed(self, *lines: str, arguments: tuple[str, ...]) -> tuple[str, str]:
        """Run it at a terminal with these lines typed in."""
        user, terminal = pty.openpty()
        with os.fdopen(user, "w") as typing, os.fdopen(terminal) as typed:
            typing.write("".join(f"{line}\n" for line in lines))
            typing.flush()
            return self.run(arguments, {}, typed, made_once)


@pytest.fixture
def deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployer:
    """Return somebody with an empty home folder and nothing running, who deploys a few functions."""
    monkeypatch.setattr("stack.definition.DEFINITION", builds.FEW)
    home = tmp_path / "home"
    home.mkdir()
    project = Project.copy(tmp_path)
    project.outputs.mkdir()
    return Deployer(project, home)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield an engine for others to deploy to, which has a stack of its own."""
    with builds.engine_of(Project.copy(tmp_path_factory.mktemp("engine"))) as project:
        builds.succeed(project, builds.FEW)
        yield project


PROBE = Function("probe", (Route("GET /probe"),))  # with a package


@pytest.mark.long
def test_a_build_elsewhere_with_its_packages_and_its_removal(
    deployer: Deployer, engine: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = deployer.project.folder / "lambdas/probe"
    probe.mkdir()
    (probe / "handler.py").write_text(
        "import measures\nhandler = lambda *_: {'statusCode': 200, 'body': measures.SIZE}\n"
    )
    (probe / "requirements.txt").write_text("measures\n")
    wheels.make(deployer.home / "index", "measures", {"measures.py": "SIZE = '1'\n"})
    builds.shrink(deployer.project, 'Function("probe", (Route("GET /probe"),))')  # for the script; and here:
    functions = (*builds.FEW.functions, PROBE)
    monkeypatch.setattr("stack.definition.DEFINITION", replace(builds.FEW, functions=functions))
    (deployer.project.folder / ".env.local").write_text(f"JWT_SECRET={SECRET}\nNAME_PREFIX=far-\nAUTHORIZER_TTL=7\n")
    local = {"api_id": "local\n", "api_url": "http://127.0.0.1:4566/local\n"}
    for name, text in local.items():
        (deployer.project.outputs / name).write_text(text)
    elsewhere = ("--endpoint-url", engine.engine)
    folder = deployer.project.outputs / engine.engine.removeprefix("http://").replace(":", "-")

    printed = deployer.scripted(*elsewhere, "--yes", JWT_SECRET=None, **wheels.only(deployer.home / "index"))
    assert "==> installing lambdas/probe/requirements.txt for Python 3." in printed
    assert f"build: account 000000000000, us-east-1, {engine.engine}\n" in printed
    assert re.search(r"^==> plan: \d+ to create$", printed, re.MULTILINE)
    stack = Stack((folder / "api_url").read_text().strip(), SECRET)
    assert f"==> ready: {stack.url}" in printed
    assert (folder / "api_id").read_text() == f"{stack.api_id}\n"
    assert stack.shorten({"long_url": "https://example.com/", "code": "far"}).status_code == 201
    assert httpx.get(f"{stack.url}/probe", verify=TLS).text == "1"
    (authorizer,) = stack.client("apigatewayv2").get_authorizers(ApiId=stack.api_id)["Items"]
    assert authorizer["AuthorizerResultTtlInSeconds"] == 7
    assert "==> plan: nothing to change\n" in deployer.done(*elsewhere, "--plan", JWT_SECRET=None)

    assert f"==> plan: {3 * len(functions) + 1} to remove\n" in deployer.done("remove", *elsewhere, "--plan")
    assert stack.follow("far").status_code == 302
    assert "its tables stay" in deployer.done("remove", *elsewhere, "--yes")
    assert stack.follow("far").status_code == 404
    assert not folder.exists()
    assert {path.name: path.read_text() for path in deployer.project.outputs.iterdir()} == local
    assert "==> plan: 1 to remove\n" in deployer.done("remove", *elsewhere, "--with-table", "--yes")
    assert engine.stack.client("dynamodb").list_tables()["TableNames"] == ["shortlinks"]


def test_it_asks_before_it_removes_the_local_stack_and_withdraws_its_outputs(
    deployer: Deployer, engine: Project
) -> None:
    deployer.project.settings |= engine.settings
    removal = ("remove", "--endpoint-url", engine.engine)
    with_table = (*removal, "--with-table")
    for lines, arguments in (
        (("n",), removal),
        (("",), removal),
        (("y", "shortlink"), with_table),
        (("shortlinks", "shortlinks"), with_table),
    ):
        assert deployer.typed(*lines, arguments=arguments)[1] == "error: nothing was changed"
    assert engine.stack.shorten({"long_url": "https://example.com/", "code": "asked"}).status_code == 201
    printed, error = deployer.typed("y", "shortlinks", arguments=with_table)
    assert not error, printed
    assert aws(engine.engine, "dynamodb").list_tables()["TableNames"] == []
    assert not list(engine.outputs.iterdir())
    builds.succeed(engine, builds.FEW)


def test_without_a_terminal_it_does_not_go_ahead(deployer: Deployer) -> None:
    with listener() as endpoint:
        for arguments in (("--endpoint-url", endpoint.url), ("remove", *AWS)):
            assert "there is no terminal to ask at: use --yes" in deployer.refused(
                *arguments, AWS_ENDPOINT_URL=endpoint.url
            )
        assert endpoint.connections == []


USES = {
    (): "one of the arguments --endpoint-url --aws is required: scripts/deploy.sh [remove]",
    ("--aws",): "--aws needs --account with the 12 digits of an account, and --region: ",
    ("--aws", "--account", "1", "--region", "us-east-1"): "--aws needs --account with the 12 digits",
    ("--aws", "--account", "123456789012", "--region", "moon"): "--region 'moon' is not a region of AWS",
    (*AWS, "--endpoint-url", "http://127.0.0.1:1"): "not allowed with argument",
    ("--endpoint-url", "http://127.0.0.1:1", "--account", "1"): "--account and --region belong to --aws",
    ("--endpoint-url", "127.0.0.1:4566", "--plan"): "'127.0.0.1:4566' is not a URL such as",
    ("--endpoint-url", "http://127.0.0.1:port", "--plan"): "is not a URL such as",
    (*AWS, "--with-table"): "--with-table belongs to remove",
    ("delete", *AWS): "argument action: invalid choice: 'delete'",
    ("--plans",): "is required",
}


@pytest.mark.parametrize("page", ["develop.md", "aws.md"])
def test_the_documentation_has_no_wrong_use(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    text = (CHECKOUT / "docs" / page).read_text()
    commands = re.findall(r"scripts/deploy\.sh((?: remove)?(?: --[a-z-]+(?: \w[\w:/.-]*)?)+)", text)
    assert commands
    for command in commands:
        example = command.replace("ID", "1" * 12).replace("REGION", "us-east-1").replace("URL", "http://example.com")
        monkeypatch.setattr("sys.argv", ["deploy", *example.split(), "--yes"])
        assert deploy._arguments().yes


def test_every_wrong_use_is_one_line(deployer: Deployer) -> None:
    for arguments, said in USES.items():
        printed, error = deployer.run(arguments, {})
        assert not printed, arguments
        assert said in error
    done = deployer.deploy("--plans")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: .* is required: .*\n", done.stderr)


def test_aws_needs_the_right_account(deployer: Deployer, engine: Project) -> None:
    line = deployer.refused("--aws", "--account", "1" * 12, *AWS[3:], "--plan", AWS_ENDPOINT_URL=engine.engine)
    assert "the credentials are those of account 000000000000, and --account is 111111111111: " in line


def test_aws_needs_an_identity_provider(deployer: Deployer) -> None:
    with listener() as endpoint:
        line = deployer.refused(*AWS, "--yes", IDENTITY_PROVIDER=None, AWS_ENDPOINT_URL=endpoint.url)
        assert endpoint.connections == []
    assert "set IDENTITY_PROVIDER" in line


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(
            {"IDENTITY_PROVIDER": "https://login.example.com/", "JWT_AUDIENCE": "links"},
            id="another",
            marks=pytest.mark.search,
        ),
        pytest.param(COGNITO, id="cognito"),
    ],
)
def test_a_build_on_aws_has_no_secret_and_outputs_of_its_own(
    deployer: Deployer, engine: Project, provider: dict[str, str]
) -> None:
    variables = {"AWS_ENDPOINT_URL": engine.engine, "NAME_PREFIX": "aws-", **provider}
    deployer.done(*AWS, "--yes", **variables)
    assert "==> plan: nothing to change\n" in deployer.done(*AWS, "--plan", **variables)
    folder = deployer.project.outputs / "000000000000-us-east-1"
    stack = Stack((folder / "api_url").read_text().strip(), SECRET)
    assert stack.follow("none").status_code == 404
    authorizer = stack.client("lambda").get_function_configuration(FunctionName="aws-authorizer")
    assert SECRET not in str(authorizer)
    removed = deployer.done("remove", *AWS, "--yes", "--with-table", **variables)
    assert ("user pool" in removed) is (provider == COGNITO)
    assert not folder.exists()
    assert stack.client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"] == []


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (None, "is the one for development, which everybody knows"),
        ("dev-secret-change-me", "is the one for development, which everybody knows"),
        ("", "JWT_SECRET is "),
        ("x" * 31, "has 31 bytes"),
    ],
)
def test_a_weak_secret_is_refused(deployer: Deployer, secret: str | None, said: str) -> None:
    with listener() as endpoint:
        line = deployer.refused("--endpoint-url", endpoint.url, "--yes", JWT_SECRET=secret, IDENTITY_PROVIDER=None)
        assert endpoint.connections == []
    assert line.startswith("error: JWT_SECRET ")
    assert said in line


def test_a_secret_of_32_bytes_and_not_of_32_letters_is_enough(deployer: Deployer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = deployer.refused("--endpoint-url", url, "--yes", JWT_SECRET="ä" * 16, IDENTITY_PROVIDER=None)
    assert "cannot be reached" in line


def test_a_build_that_fails_leaves_the_local_outputs_alone(deployer: Deployer, engine: Project) -> None:
    local = {"api_id": "local\n", "api_url": "http://127.0.0.1:4566/local\n"}
    for name, text in local.items():
        (deployer.project.outputs / name).write_text(text)

    def unlicensed(request: Request) -> Reply | None:
        return Reply(403, "AccessDeniedException", "no") if "/stages" in request.path else None

    with proxy(engine.engine, unlicensed) as url:
        assert "AccessDeniedException: no" in deployer.refused("--endpoint-url", url, "--yes", IDENTITY_PROVIDER=None)
    for name, text in local.items():
        assert (deployer.project.outputs / name).read_text() == text


def test_which_service_goes_where_is_said(deployer: Deployer, engine: Project) -> None:
    with proxy(engine.engine, lambda _: None) as other:
        variables = {"AWS_ENDPOINT_URL": f"{engine.engine}/", "AWS_ENDPOINT_URL_STS": other}
        printed = deployer.done("remove", *AWS, "--plan", **variables)
    assert f" {engine.engine} for lambda, " in printed
    assert f" {other} for sts\n" in printed


def test_an_endpoint_that_is_not_there_is_not_called_an_engine_to_start(deployer: Deployer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = deployer.refused("--endpoint-url", url, "--plan", IDENTITY_PROVIDER=None)
    assert line == f"error: {url}/ cannot be reached: check the network, AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"


def test_a_dropped_connection_is_tried_again(deployer: Deployer, engine: Project) -> None:
    dropped: list[Request] = []

    def once(request: Request) -> Reply | None:
        if not dropped:
            dropped.append(request)
            raise Drop(done=False)
        return None

    with proxy(engine.engine, once) as url:
        deployer.done("remove", "--endpoint-url", url, "--plan")
    assert len(dropped) == 1


# The lines that a user gets for an environment, with {home} for the home folder.
NO_KEYS: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
ENVIRONMENTS: dict[str, tuple[dict[str, str | None], str]] = {
    "no credentials": (NO_KEYS, "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "half of them": ({"AWS_SECRET_ACCESS_KEY": None}, "half of the AWS credentials is missing"),
    "no such profile": ({"AWS_PROFILE": "work"}, "there is no AWS profile 'work': set AWS_PROFILE"),
    "broken file": (
        {"AWS_CONFIG_FILE": "{home}/broken"},
        "the AWS configuration {home}/broken cannot be parsed: fix it",
    ),
    "impossible endpoint": ({"AWS_ENDPOINT_URL": "localhost:4566"}, "Invalid endpoint: localhost:4566"),
    "impossible port": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, "Port out of range"),
    "impossible mode": (
        {"AWS_DEFAULTS_MODE": "fast"},
        "the AWS SDK gave up: Client configured with invalid",
    ),
    "no such token file": (
        {**NO_KEYS, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/missing"},
        "FileNotFoundError: [Errno 2] No such file or directory: '{home}/missing'",
    ),
    "metadata of another host": (
        {**NO_KEYS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/"},
        "Unsupported host 'example.com'",
    ),
    "line end in a key": (
        {"AWS_ACCESS_KEY_ID": "x\ny", "AWS_ENDPOINT_URL": "{engine}"},
        "the AWS access key or the session token has a line end",
    ),
}
SSO = "sso_account_id = 1\nsso_role_name = r\n"
START = "sso_region = us-east-1\nsso_start_url = https://127.0.0.1:1/start\n"
ROLE = "role_arn = arn:aws:iam::123456789012:role/r\n"
PROFILES = {
    f"sso_session = s\n{SSO}[sso-session s]\n{START}": "the AWS profile needs a sign-in (",
    f"{START}{SSO}": "the AWS profile needs a sign-in (",
    f"sso_session = s\n{SSO}[sso-session s]\n": "is configured to use SSO but is missing required configuration",
    "credential_process = false\n": "the AWS profile gives no credentials (",
    "credential_process = /missing\n": "FileNotFoundError: [Errno 2] No such file or directory: '/missing'",
    "credential_process = echo hello\n": "the AWS SDK cannot use what the environment and ~/.aws say (JSONDecode",
    "credential_process = echo 'hello\n": "ValueError: No closing quotation",
    f"{ROLE}source_profile = missing\n": 'The source_profile "missing" referenced in the profile "default" does not',
    f"{ROLE}credential_source = Moon\n": 'The credential source "Moon" referenced in profile "default" is not valid',
    "aws_access_key_id = x\n": "half of the AWS credentials is missing",
}


def test_every_environment_that_the_sdk_cannot_use_ends_in_one_line(
    deployer: Deployer, engine: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS, "retries", {"total_max_attempts": 1})  # the others take 10 s, and end as the first
    (deployer.home / "broken").write_text("[default\n")
    for case, (changes, said) in ENVIRONMENTS.items():
        filled = {
            name: value and value.format(home=deployer.home, engine=engine.engine) for name, value in changes.items()
        }
        assert said.format(home=deployer.home) in deployer.refused(**filled), case


def test_every_profile_that_the_sdk_cannot_use_ends_in_one_line(deployer: Deployer) -> None:
    config = deployer.home / "config"
    for profile, said in PROFILES.items():
        config.write_text(f"[default]\n{profile}")
        line = deployer.refused(**NO_KEYS, AWS_CONFIG_FILE=str(config))
        assert said in line, profile


def test_a_profile_that_asks_for_a_code_ends_in_one_line_without_a_terminal(deployer: Deployer) -> None:
    config = deployer.home / "config"
    user = "[profile a]\naws_access_key_id = x\naws_secret_access_key = x\n"
    config.write_text(f"[default]\n{ROLE}source_profile = a\nmfa_serial = arn:aws:iam::1:mfa/m\n{user}")
    done = deployer.deploy(*AWS, "--yes", **NO_KEYS, **COGNITO, AWS_CONFIG_FILE=str(config))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search("^(.*: )?error: .*EOFError: ", done.stderr, re.MULTILINE)
