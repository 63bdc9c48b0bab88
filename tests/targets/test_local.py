"""The clients of the local engine go there with its own credentials, whatever the caller's shell and ~/.aws say."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import builds
from engine_proxy import Reply, Request, proxy
from listener import Listener
from project import Project, free_port
from session import session
from stack import http_client
from stack.aws import Aws, Local, Remote
from stack.definition import DEFINITION
from stack.errors import DeployError
from targets.homes import HOMES, at_home

SERVICES = ("sts", "iam", "lambda", "apigatewayv2", "dynamodb", "logs")
# A client must not go to {url}; {folder} has the FILES.
VARIABLES = {
    "AWS_ENDPOINT_URL": "{url}",
    **{f"AWS_ENDPOINT_URL_{name}": "{url}" for name in ("STS", "IAM", "LAMBDA", "APIGATEWAYV2", "DYNAMODB")},
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "{url}",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required",
    "AWS_STS_REGIONAL_ENDPOINTS": "nonsense",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_PROFILE": "no-such-profile",
    "AWS_DEFAULT_PROFILE": "no-such-profile",
    "AWS_ACCESS_KEY_ID": "AKIASOMEBODYS",
    "AWS_SECRET_ACCESS_KEY": "somebody's",
    "AWS_SESSION_TOKEN": "somebody's",
    "AWS_SECURITY_TOKEN": "somebody's",
    "AWS_ACCOUNT_ID": "123456789012",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/somebody",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/missing",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}",
    "AWS_METADATA_SERVICE_TIMEOUT": "nonsense",
    "AWS_DEFAULT_REGION": "moon-east-1",
    "AWS_REGION": "moon-east-1",
    "AWS_CA_BUNDLE": "{folder}/missing",
    "REQUESTS_CA_BUNDLE": "{folder}/missing",
    "CURL_CA_BUNDLE": "{folder}/missing",
    "SSL_CERT_FILE": "{folder}/missing",
    "AWS_MAX_ATTEMPTS": "nonsense",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_DEFAULTS_MODE": "nonsense",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "nonsense",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "nonsense",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "nonsense",
    "AWS_AUTH_SCHEME_PREFERENCE": "nonsense",
    "AWS_SDK_UA_APP_ID": "nonsense " * 20,
    "AWS_DATA_PATH": "{folder}/models",
    "AWS_CONFIG_FILE": "{folder}/broken",
    "AWS_SHARED_CREDENTIALS_FILE": "{folder}/broken",
    "BOTO_CONFIG": "{folder}/broken",
    **{name: "{url}" for lower in ("http_proxy", "https_proxy", "all_proxy") for name in (lower, lower.upper())},
}
FILES = {
    "broken": "[default\nregion=\n",
    # A model from which no client can be made.
    "models/dynamodb/2012-08-10/service-2.json": "{}",
    "models/endpoints.json": "{}",
}
# What keeps the SDK from heeding others.
MASKS = ("AWS_CONFIG_FILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE")
SEARCH = pytest.mark.search
SETTINGS = {name: value for name, value in VARIABLES.items() if name != "AWS_DEFAULT_REGION"}  # that one is a setting

TABLE = DEFINITION.table_name("shortlinks")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project whose engine has a stack."""
    with builds.engine_of(Project.copy(tmp_path_factory.mktemp("built"))) as project:
        builds.succeed(project, builds.FEW)
        yield project


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return the folder with FILES."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def seen(built: Project) -> Iterator[tuple[int, list[Request]]]:
    """Yield the port of a real engine, and what it was asked."""
    requests: list[Request] = []

    def record(request: Request) -> Reply | None:
        requests.append(request)
        return None

    with proxy(built.engine, record) as url:
        yield int(url.rsplit(":", 1)[1]), requests


def ask_all(target: Local) -> None:
    """Ask every service something that the engine of the built stack alone can answer."""
    aws = Aws(SERVICES, target)
    assert aws["sts"].get_caller_identity()["Account"] == "000000000000"
    assert aws["dynamodb"].describe_table(TableName=TABLE)["Table"]["TableName"] == TABLE
    assert "FunctionArn" in aws["lambda"].get_function_configuration(FunctionName="redirect")
    assert aws["apigatewayv2"].get_apis()["Items"]
    assert aws["iam"].list_roles()["Roles"]
    assert aws["logs"].describe_log_groups()["logGroups"]


def assert_alone(requests: list[Request], elsewhere: Listener) -> None:
    """Assert that the engine was asked by its own credentials, in the stack's region, and nobody else was."""
    signed = [one.headers["authorization"] for one in requests if "authorization" in one.headers]
    assert len(signed) >= len(SERVICES)
    assert all(re.search(r"Credential=test/\d+/us-east-1/", one) for one in signed)
    assert not [one for one in requests if "x-amz-security-token" in one.headers]
    assert elsewhere.connections == []


@pytest.mark.parametrize(
    "names",
    [
        *(pytest.param([name], id=name, marks=SEARCH) for name in VARIABLES),
        pytest.param([*VARIABLES], id="all"),
        pytest.param([name for name in VARIABLES if name not in MASKS], id="all that mask no other"),
    ],
)
def test_no_variable_leads_away(
    monkeypatch: pytest.MonkeyPatch,
    seen: tuple[int, list[Request]],
    elsewhere: Listener,
    filled: Path,
    names: list[str],
) -> None:
    port, requests = seen
    for name in names:
        monkeypatch.setenv(name, VARIABLES[name].format(url=elsewhere.url, folder=filled))
    for name in ("no_proxy", "NO_PROXY"):  # which would spare the engine by chance
        monkeypatch.setenv(name, "example.com")
    ask_all(Local(port, "us-east-1"))
    assert_alone(requests, elsewhere)


# Of the files that are read at all, those with a syntax error are noticed; models are found in another way.
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in ("syntax error", "models") else SEARCH) for kind in HOMES]
)
def test_nothing_in_the_home_folder_leads_away(
    seen: tuple[int, list[Request]], elsewhere: Listener, built: Project, tmp_path: Path, kind: str
) -> None:
    port, requests = seen
    home = at_home(tmp_path, HOMES[kind], elsewhere)
    done = subprocess.run(  # a new process, for some of the SDK's paths are those of the moment it is imported
        [
            built.folder / ".venv/bin/python",
            "-c",
            f"from stack.aws import Aws, Local\n"
            f"aws = Aws({SERVICES!r}, Local({port}, 'us-east-1'))\n"
            f"print(aws.account)\n"
            f"aws['dynamodb'].describe_table(TableName={TABLE!r})\n"
            f"aws['lambda'].list_functions(); aws['iam'].list_roles()\n"
            f"aws['apigatewayv2'].get_apis(); aws['logs'].describe_log_groups()\n",
        ],
        cwd=built.folder,
        env={**built.environment, **home},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("000000000000\n", "")
    assert not (tmp_path / "was-run").exists()
    assert_alone(requests, elsewhere)


def test_the_listener_is_found_by_whoever_heeds_the_environment(
    monkeypatch: pytest.MonkeyPatch, elsewhere: Listener
) -> None:
    for name, value in (("DEFAULT_REGION", "us-east-1"), ("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", elsewhere.url)
    with pytest.raises(ClientError):
        Aws(("dynamodb",), Remote())["dynamodb"].list_tables()
    assert len(elsewhere.connections) == 1


def test_no_plain_request_goes_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, built: Project, elsewhere: Listener
) -> None:
    for name in VARIABLES:
        if name.lower().endswith("_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
    assert http_client.request("GET", f"{built.engine}/_localstack/health").status == 200
    assert elsewhere.connections == []


@pytest.mark.search  # test_hostile_shell has environments of this kind, which lead nowhere
def test_every_command_and_function_stays_on_the_engine(project: Project, elsewhere: Listener, filled: Path) -> None:
    project.settings |= {name: value.format(url=elsewhere.url, folder=filled) for name, value in SETTINGS.items()}
    project.settings |= at_home(filled, HOMES["syntax error"], elsewhere)
    builds.shrink(project)
    stack = project.up()
    code = stack.shorten({"long_url": "https://example.com/"}).json()["code"]
    assert stack.follow(code).status_code == 302
    assert "state     healthy" in project.check("scripts/status.sh")
    with session(project, "scripts/logs.sh") as window:
        window.shows("POST /shorten")
    with session(project, "scripts/dev.sh") as window:  # which deploys again
        window.shows("watching lambdas/")
    assert elsewhere.connections == []


def test_a_dead_engine_is_named_at_the_first_call() -> None:
    target = Local(free_port(), "us-east-1")
    attempts: list[int] = []
    aws = Aws(("sts",), target)
    aws["sts"].meta.events.register("before-send", lambda **_: attempts.append(1))
    with pytest.raises(DeployError, match=f"nothing answers at {re.escape(target.url)}: start the engine first"):
        _ = aws.identity
    assert attempts == [1]
