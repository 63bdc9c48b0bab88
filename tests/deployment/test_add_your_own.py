"""A function is a folder and one entry: a build adds all of it, as the page says, and the next removes it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import builds
from builds import FEW
from project import CHECKOUT, DEFAULTS, TLS, Project, Stack
from stack.definition import DEFINITION
from stack.deploy import loading, package
from stack.deploy.build import warnings
from stack.deploy.loading import Source
from stack.errors import PackageError
from stack.model import Function, Route, Table
from stack.packages import install, own
from stack.settings import Settings

# Under another name, for a user may have followed the page in this checkout.
PAGE = (CHECKOUT / "docs/add-your-own.md").read_text().replace("notes", "jottings")
PAGES_HANDLER, PAGES_ENTRY, PAGES_TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PAGES_REQUIREMENTS,) = re.findall(r"\n```\n(\w+==.*?)```", PAGE, re.DOTALL)
PAGES_CALL, PAGES_TEST_RUN = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
# One test needs no workers and no plugins, which take longer to load than it takes to run.
ONE_TEST = {"PYTEST_ADDOPTS": "-p xdist.plugin --numprocesses=0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
JOTTINGS = """import os, uuid, boto3

def handler(event, context):
    boto3.resource("dynamodb").Table(os.environ["TABLE"]).put_item(Item={"id": uuid.uuid4().hex})
    return {"statusCode": 201}
"""
HANDLER = '''"""``GET /recipe/{code}``: how often a link was followed."""

import json
import os
import boto3

dynamodb = boto3.client("dynamodb")

def handler(event, context):
    key = {"code": {"S": event["pathParameters"]["code"]}}
    link = dynamodb.get_item(TableName=os.environ["TABLE"], Key=key, ConsistentRead=True).get("Item")
    if link is None:
        return {"statusCode": 404}
    return {"statusCode": 200, "body": json.dumps({"clicks": int(link["click_count"]["N"])})}
'''
KEY = "GET /recipe/{code}"
LINK = {"long_url": "https://example.com/", "code": "counted"}


def seen(stack: Stack) -> tuple[set[str], set[str], set[str]]:
    """Return the routes, the functions that they lead to, and all functions."""
    gateway, api = stack.client("apigatewayv2"), {"ApiId": stack.api_id}
    return (
        {one["RouteKey"] for one in gateway.get_routes(**api)["Items"]},
        {one["IntegrationUri"].rsplit(":")[-1] for one in gateway.get_integrations(**api)["Items"]},
        {one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]},
    )


def policy(stack: Stack, function: str) -> list[Any]:
    """Return the statements of a function's policy."""
    client = stack.client("lambda")
    try:
        statements: list[Any] = json.loads(client.get_policy(FunctionName=function)["Policy"])["Statement"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return statements


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"{stack.url}{path}", verify=TLS)


def write(folder: Path, name: str, source: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "handler.py").write_text(source)


@pytest.fixture
def lambdas(tmp_path: Path) -> Path:
    """Return a copy of the functions' folders, to which a test may add its own."""
    return Path(shutil.copytree(CHECKOUT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__py*")))


RECIPE = Function("recipe", (Route(KEY),), reads=("shortlinks",))


def test_an_entry_adds_a_function_and_taking_it_back_or_its_routes_removes_all_that_belongs_to_them(
    few: Project, lambdas: Path
) -> None:
    stack = few.stack
    before = seen(stack)
    stack.shorten(LINK)
    stack.follow("counted")
    stack.client("apigatewayv2").create_route(ApiId=stack.api_id, RouteKey="GET /by-hand")
    for name in ("recipe", "figures"):
        write(lambdas, name, HANDLER)
    assert ("route", KEY) in builds.succeed(few, builds.with_function(RECIPE, FEW), lambdas).changes("created")
    answer = get(stack, "/recipe/counted")
    assert (answer.status_code, answer.json()) == (200, {"clicks": 1})
    assert get(stack, "/recipe/unknown").status_code == 404
    assert seen(stack) == (before[0] | {KEY, "GET /by-hand"}, before[1] | {"recipe"}, before[2] | {"recipe"})
    assert len(policy(stack, "recipe")) == 1

    done = builds.succeed(few, builds.with_function(replace(RECIPE, name="figures"), FEW), lambdas)  # takes the route
    removed = [line.split()[:2] for line in done.printed.splitlines() if " removed " in line]
    role = ["role", "shortener-recipe-us-east-1"]
    assert removed == [["integration", "recipe"], ["function", "recipe"], role]
    assert seen(stack) == (before[0] | {KEY, "GET /by-hand"}, before[1] | {"figures"}, before[2] | {"figures"})
    assert get(stack, "/recipe/counted").json() == {"clicks": 1}

    done = builds.succeed(few, builds.with_function(replace(RECIPE, name="figures", routes=()), FEW), lambdas)
    assert done.changes("removed") == {("route", KEY), ("integration", "figures"), ("permission", "figures")}
    assert "figures" in seen(stack)[2]
    assert policy(stack, "figures") == []

    builds.succeed(few, FEW)
    assert seen(stack) == (before[0] | {"GET /by-hand"}, *before[1:])
    assert get(stack, "/recipe/counted").json() == {"message": "Not Found"}
    assert stack.follow("counted").status_code == 302


def test_a_folder_without_an_entry_is_warned_of(lambdas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lambdas, "recipe", HANDLER)
    monkeypatch.setattr(Settings, "lambdas", lambdas)
    warning = "lambdas/recipe is not deployed: it has no Function in stack/definition.py"
    assert warning in warnings(DEFINITION, Settings.from_environment(DEFAULTS))


@pytest.mark.long
def test_the_pages_function_works_as_it_is_written(desk: Project) -> None:
    folder = desk.folder / "lambdas/jottings"
    folder.mkdir()
    (folder / "handler.py").write_text(PAGES_HANDLER)
    (folder / "requirements.txt").write_text(PAGES_REQUIREMENTS)
    desk.define(f"{PAGES_ENTRY.strip()},\n")
    definition = desk.folder / "stack/definition.py"
    text, tables = definition.read_text(), "    tables=("
    assert text.count(tables) == 1
    definition.write_text(text.replace(tables, f'{tables}Table("jottings", key="id"), '))
    builds.shrink(desk, 'next(one for one in DEFINITION.functions if one.name == "jottings")')
    install(desk.folder / "lambdas", own())
    builds.succeed(desk, builds.defined(desk))
    stack = desk.stack

    def shell(commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=desk.folder,
            env={**desk.environment, **ONE_TEST},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    note = json.loads(shell(PAGES_CALL))
    assert (note["text"], note["owner"]) == ("hello", "user-1")
    with stack.http() as client:
        assert client.get(f"/jottings/{note['id']}").json() == note
        assert client.get("/jottings/unknown").status_code == 404
        assert client.post("/jottings", json={"text": "hello"}).status_code == 401
        token = {"Authorization": f"Bearer {stack.token('user-7')}"}
        assert client.post("/jottings", json={"text": ""}, headers=token).status_code == 400
        assert client.post("/jottings", content=b'{"text": "raw"}', headers=token).json()["owner"] == "user-7"
    events = stack.client("logs").filter_log_events(logGroupName="/aws/lambda/jottings")["events"]
    assert any(f"user-1 stored {note['id']}" in event["message"] for event in events)

    shutil.copytree(CHECKOUT / "tests", desk.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (desk.folder / "tests/lambdas/test_jottings.py").write_text(PAGES_TEST)
    assert " passed" in shell(PAGES_TEST_RUN)
    shutil.rmtree(desk.folder / "tests")


def test_a_table_stays_when_its_entry_and_function_go(bare: Project, lambdas: Path) -> None:
    write(lambdas, "jottings", JOTTINGS)
    routes = (Route("POST /jottings", authorized=True), Route("GET /jottings/{id}"))
    jottings = Function("jottings", routes, reads=("jottings",), writes=("jottings",))
    definition = replace(builds.with_function(jottings, FEW), tables=(*DEFINITION.tables, Table("jottings", key="id")))
    done = builds.succeed(bare, definition, lambdas, NAME_PREFIX="team-")
    assert ("table", "team-jottings") in done.changes("created")
    stack = bare.stack
    with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
        assert client.post("/jottings", json={"text": "hello"}).status_code == 201
    removed = builds.succeed(bare, FEW, NAME_PREFIX="team-").changes("removed")
    assert ("function", "team-jottings") in removed
    assert not {kind for kind, _ in removed} & {"table"}
    assert stack.client("dynamodb").scan(TableName="team-jottings")["Count"] == 1


# A handler's own code is run by real requests alone, so none of these fails a build.
HARMLESS = {
    "reads": """import json, os
def handler(event, context):
    seen = {**os.environ, "stage": event["requestContext"]["stage"]}
    return {"statusCode": 200, "body": json.dumps(seen)}
""",
    "writes": """import os, boto3
print("loading")
def handler(event, context):
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE_SHORTLINKS"], Item={"code": {"S": "written"}})
    os._exit(3)
""",
}


def test_no_function_is_called_by_the_deployment_and_each_finds_its_tables_and_variables(
    bare: Project, lambdas: Path
) -> None:
    both, colour = ("shortlinks", "my.notes"), {"COLOUR": "red"}
    functions = tuple(Function(name, (Route(f"GET /{name}"),), writes=both, variables=colour) for name in HARMLESS)
    for name, source in HARMLESS.items():
        write(lambdas, name, source)
    definition = replace(
        FEW,
        functions=(*FEW.functions, *functions),
        tables=(*DEFINITION.tables, Table("my.notes", key="id")),
    )
    for _ in range(2):
        builds.succeed(bare, definition, lambdas)
    stack = bare.stack
    assert stack.row("written") is None
    logs = stack.client("logs")
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    invoked = [
        name
        for name in HARMLESS
        if f"/aws/lambda/{name}" in groups and logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    ]
    assert invoked == []
    found = get(stack, "/reads").json()
    assert (found["TABLE_SHORTLINKS"], found["TABLE_MY_NOTES"], found["COLOUR"]) == ("shortlinks", "my.notes", "red")
    assert "TABLE" not in found
    assert found["stage"] == "dev"


# What each of these says, after the name of its file.
UNLOADABLE = {
    "import no_such_module\n": ", line 1: function broken cannot be loaded: ModuleNotFoundError: No module named "
    "'no_such_module'; name its package in lambdas/broken/requirements.txt",
    "import yaml  # which is in the .venv\n": ", line 1: function broken cannot be loaded: ModuleNotFoundError: No "
    "module named 'yaml'; name its package in lambdas/broken/requirements.txt",
    "import os\n\nX = os.environ['NO_SUCH']\n": ", line 3: function broken cannot be loaded: KeyError: 'NO_SUCH'",
    "def handle(event, context):\n    pass\n": ", line 1: function broken cannot be loaded: there is no function named",
    "raise SystemExit('bye')\n": ", line 1: function broken cannot be loaded: SystemExit: bye",
    "import os\nos._exit(3)\n": " cannot be loaded: importing it ended Python, with exit code 3",
    "import helper\n": "/helper.py, line 2: function broken cannot be loaded: ZeroDivisionError: division by zero",
}


def test_code_that_cannot_be_loaded_is_named_with_its_line(lambdas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> str:
        with pytest.raises(PackageError) as raised:
            loading.check([Source(Function("broken"), package.build(lambdas, "broken"), {})])
        return str(raised.value)

    write(lambdas, "broken", "")
    (lambdas / "broken/helper.py").write_text("# divides\n1 / 0\n")
    for source, text in UNLOADABLE.items():
        write(lambdas, "broken", source)
        file = "lambdas/broken" if "helper" in source else "lambdas/broken/handler.py"
        assert said().startswith(f"{file}{text}"), source
    write(lambdas, "broken", "import os\nos.kill(os.getppid(), 9)\n")
    assert said() == "the functions' code cannot be loaded: the Python that imports it ended (exit code -9)"
    write(lambdas, "broken", "raise ValueError('\\x1b[31m' + 10_000 * 'x')\n")
    assert said().endswith("line 1: function broken cannot be loaded: ValueError: ?[31m" + 483 * "x")
    monkeypatch.setattr(loading, "TIMEOUT", 1)
    write(lambdas, "broken", "import time\ntime.sleep(60)\n")
    assert said() == "lambdas/broken/handler.py cannot be loaded: importing it takes over 1 s"


def test_modules_that_a_function_brings_are_its_own_and_no_other_functions(lambdas: Path) -> None:
    """What boto3 is made of is loaded before, where the handlers are imported from."""
    write(lambdas, "own", "import queue, six\nOWN = queue.OWN + six.OWN\nhandler = print\n")
    for name in ("queue", "six"):
        (lambdas / f"own/{name}.py").write_text("OWN = 1\n")
    write(lambdas, "plain", "import boto3, queue, six\nqueue.Queue, six.moves\nhandler = boto3.client\n")
    loading.check([Source(Function(one), package.build(lambdas, one), {}) for one in ("own", "plain")])


def test_code_that_cannot_be_loaded_or_parsed_ends_a_build_before_anything_is_touched(
    few: Project, lambdas: Path
) -> None:
    before = seen(few.stack)
    for source, text in {"raise OSError\n": ", line 1: function broken cannot", "def x(:\n": ", line 1: inv"}.items():
        write(lambdas, "broken", source)
        done = builds.run(few, builds.with_function(Function("broken", (Route("GET /broken"),)), FEW), lambdas)
        assert done.error.startswith(f"lambdas/broken/handler.py{text}"), done
    assert seen(few.stack) == before
    assert sorted(path.name for path in few.outputs.iterdir()) == ["api_id", "api_url"]
    assert few.stack.follow("unknown").status_code == 404
