"""A deployment to anything but the local engine: its settings, secret and outputs, and what it says of failures."""

import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine_proxy import Drop, Reply, Request, proxy
from listener import listener
from project import Project, Stack, free_port

SECRET = secrets.token_hex(32)
ACCOUNT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "somebodys",
    "AWS_SECRET_ACCESS_KEY": "somebody's",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Deployer:
    """A user who runs the deployment by hand, from a checkout whose outputs folder may have a local stack's."""

    project: Project
    home: Path

    def deploy(self, *arguments: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
        """Run it with ACCOUNT and these changes; None takes a variable away."""
        environment = {**self.project.environment, "HOME": str(self.home), **ACCOUNT, **changes}
        return subprocess.run(
            [self.project.folder / ".venv/bin/python", "-m", "stack.deploy", *arguments],
            cwd=self.project.folder,
            env={name: value for name, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def refused(self, **changes: str | None) -> str:
        """The one line that it ends in."""
        done = self.deploy(**{"JWT_SECRET": SECRET, **changes})
        printed = done.stdout + done.stderr
        assert done.returncode == 1, printed
        assert "Traceback" not in printed
        (line,) = re.findall("^error: .*", printed, re.MULTILINE)
        return str(line)


@pytest.fixture
def deployer(tmp_path: Path) -> Deployer:
    """Somebody with an empty home folder and nothing running."""
    home = tmp_path / "home"
    home.mkdir()
    project = Project.copy(tmp_path)
    project.outputs.mkdir()
    return Deployer(project, home)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An engine for others to deploy to, which has a stack of its own."""
    with Project.standing(tmp_path_factory.mktemp("engine")) as project:
        yield project


def test_the_settings_are_those_of_env_local(deployer: Deployer, engine: Project) -> None:
    (deployer.project.folder / ".env.local").write_text(f"JWT_SECRET={SECRET}\nAUTHORIZER_TTL=7\n")
    done = deployer.deploy(AWS_ENDPOINT_URL=engine.engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"account 000000000000, us-east-1, {engine.engine}\n" in done.stdout
    published = deployer.project.outputs / "000000000000-us-east-1"
    stack = Stack((published / "api_url").read_text().strip(), SECRET)
    assert stack.url == f"{engine.engine}/_aws/execute-api/5407c0de/dev"
    assert (published / "api_id").read_text() == "5407c0de\n"
    assert stack.shorten({"long_url": "https://example.com/"}).status_code == 201
    (authorizer,) = stack.client("apigatewayv2").get_authorizers(ApiId="5407c0de")["Items"]
    assert authorizer["AuthorizerResultTtlInSeconds"] == 7
    assert sorted(path.name for path in deployer.project.outputs.iterdir()) == [published.name]


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
        line = deployer.refused(JWT_SECRET=secret, AWS_ENDPOINT_URL=endpoint.url)
        assert endpoint.connections == []
    assert line.startswith("error: JWT_SECRET ")
    assert said in line


def test_a_secret_of_32_bytes_and_not_of_32_letters_is_enough(deployer: Deployer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert "JWT_SECRET" not in deployer.refused(JWT_SECRET="ä" * 16, AWS_ENDPOINT_URL=url, AWS_PROFILE="none")


def test_the_local_outputs_are_left_alone(deployer: Deployer, engine: Project) -> None:
    local = {"api_id": "local\n", "api_url": "http://127.0.0.1:4566/local\n"}
    for name, text in local.items():
        (deployer.project.outputs / name).write_text(text)

    def unlicensed(request: Request) -> Reply | None:
        return Reply(403, "AccessDeniedException", "no") if "/stages" in request.path else None

    with proxy(engine.engine, unlicensed) as url:
        assert "AccessDeniedException: no" in deployer.refused(AWS_ENDPOINT_URL=url)
    for name, text in local.items():
        assert (deployer.project.outputs / name).read_text() == text


def test_which_service_goes_where_is_said(deployer: Deployer, engine: Project) -> None:
    with proxy(engine.engine, lambda _: None) as other:
        endpoints = {"DYNAMODB": engine.engine, "LAMBDA": f"{engine.engine}/", "STS": engine.engine}
        for changes, said in (
            ({}, engine.engine),
            ({"STS": other}, f"{engine.engine} for dynamodb, {engine.engine} for lambda, {other} for sts"),
        ):
            variables = {f"AWS_ENDPOINT_URL_{name}": url for name, url in {**endpoints, **changes}.items()}
            done = deployer.deploy("table", JWT_SECRET=SECRET, **variables)
            assert f"us-east-1, {said}\n" in done.stdout


def test_an_endpoint_that_is_not_there_is_not_called_an_engine_to_start(deployer: Deployer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = deployer.refused(AWS_ENDPOINT_URL=url)
    assert line == f"error: {url}/ cannot be reached: check the network, AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"


def test_a_dropped_connection_is_tried_again(deployer: Deployer, engine: Project) -> None:
    dropped: list[Request] = []

    def once(request: Request) -> Reply | None:
        if not dropped:
            dropped.append(request)
            raise Drop(done=False)
        return None

    with proxy(engine.engine, once) as url:
        done = deployer.deploy("table", JWT_SECRET=SECRET, AWS_ENDPOINT_URL=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(dropped) == 1


# The lines that a user gets for an environment, with {home} for the home folder.
NO_KEYS: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
ENVIRONMENTS: dict[str, tuple[dict[str, str | None], str]] = {
    "no credentials": (NO_KEYS, "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "half of them": ({"AWS_SECRET_ACCESS_KEY": None}, "half of the AWS credentials is missing"),
    "no region": ({"AWS_DEFAULT_REGION": None}, "no AWS region: set AWS_DEFAULT_REGION"),
    "an impossible region": (
        {"AWS_DEFAULT_REGION": "the moon"},
        "AWS_DEFAULT_REGION is 'the moon': use a region of AWS",
    ),
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
        "the request cannot be sent",
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
    f"{ROLE}source_profile = a\nmfa_serial = arn:aws:iam::1:mfa/m\n"
    "[profile a]\naws_access_key_id = x\naws_secret_access_key = x\n": "EOFError: ",
    "aws_access_key_id = x\n": "half of the AWS credentials is missing",
}


def test_every_environment_that_the_sdk_cannot_use_ends_in_one_line(deployer: Deployer, engine: Project) -> None:
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
