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
from project import CHECKOUT, TLS, Project, Stack
from session import session
from stack.definition import DEFINITION
from stack.model import Function, Route, Table

# Under another name, for a user may have followed the page in this checkout.
PAGE = (CHECKOUT / "docs/add-your-own.md").read_text().replace("notes", "jottings")
PAGES_HANDLER, PAGES_ENTRY, PAGES_TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PAGES_REQUIREMENTS,) = re.findall(r"\n```\n(\w+==.*?)```", PAGE, re.DOTALL)
PAGES_CALL, PAGES_TEST_RUN = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
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
ENTRY = '        Function("recipe", (Route("GET /recipe/{code}"),), reads=("shortlinks",)),\n'
KEY = "GET /recipe/{code}"
LINK = {"long_url": "https://example.com/", "code": "counted"}


def edit_definition(project: Project, old: str, new: str) -> None:
    path = project.folder / "stack/definition.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def add(project: Project) -> None:
    """Add the function ``recipe``."""
    folder = project.folder / "lambdas/recipe"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    project.define(ENTRY)


def seen(stack: Stack) -> tuple[set[str], set[str], set[str]]:
    """The routes, the functions that they lead to, and all functions."""
    gateway, api = stack.client("apigatewayv2"), {"ApiId": stack.api_id}
    return (
        {one["RouteKey"] for one in gateway.get_routes(**api)["Items"]},
        {one["IntegrationUri"].rsplit(":")[-1] for one in gateway.get_integrations(**api)["Items"]},
        {one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]},
    )


def policy(stack: Stack, function: str) -> list[Any]:
    """The statements of a function's policy."""
    client = stack.client("lambda")
    try:
        statements: list[Any] = json.loads(client.get_policy(FunctionName=function)["Policy"])["Statement"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return statements


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"{stack.url}{path}", verify=TLS)


def test_the_recipe_adds_a_function_and_taking_it_back_removes_all_of_it(project: Project) -> None:
    before = seen(project.up())
    stack = project.stack
    stack.shorten(LINK)
    stack.follow("counted")
    by_hand = {"ApiId": stack.api_id, "RouteKey": "GET /by-hand"}
    stack.client("apigatewayv2").create_route(**by_hand)

    add(project)
    printed = project.check("scripts/up.sh")
    assert re.search(rf"route +{re.escape(KEY)} +created", printed)
    answer = get(stack, "/recipe/counted")
    assert (answer.status_code, answer.json()) == (200, {"clicks": 1})
    assert get(stack, "/recipe/unknown").status_code == 404
    routes, integrated, functions = seen(stack)
    assert (routes, integrated, functions) == (
        before[0] | {KEY, "GET /by-hand"},
        before[1] | {"recipe"},
        before[2] | {"recipe"},
    )
    assert len(policy(stack, "recipe")) == 1
    assert "removed" not in project.check("scripts/up.sh")

    edit_definition(project, ENTRY, "")
    printed = project.check("scripts/up.sh")
    assert "warning: lambdas/recipe is not deployed: it has no Function in stack/definition.py" in printed
    removed = [line.split()[:2] for line in printed.splitlines() if " removed " in line]
    assert removed == [
        ["route", "GET"],
        ["integration", "recipe"],
        ["function", "recipe"],
        ["role", "shortener-recipe-us-east-1"],
    ]
    assert seen(stack) == (before[0] | {"GET /by-hand"}, *before[1:])
    assert get(stack, "/recipe/counted").json() == {"message": "Not Found"}
    assert policy(stack, "recipe") == []
    assert stack.follow("counted").status_code == 302


def write(folder: Path, name: str, source: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "handler.py").write_text(source)


@pytest.fixture
def lambdas(tmp_path: Path) -> Path:
    """A copy of the functions' folders, to which a test may add its own."""
    return Path(shutil.copytree(CHECKOUT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__py*")))


RECIPE_ENTRY = Function("recipe", (Route(KEY),), reads=("shortlinks",))


def test_a_route_that_is_taken_from_a_function_goes_with_its_integration_and_permission(
    built: Project, lambdas: Path
) -> None:
    write(lambdas, "recipe", HANDLER)
    builds.succeed(built, builds.with_function(RECIPE_ENTRY), lambdas)
    stack = built.stack
    assert len(policy(stack, "recipe")) == 1
    done = builds.succeed(built, builds.with_function(replace(RECIPE_ENTRY, routes=())), lambdas)
    assert done.changes("removed") == {("route", KEY), ("integration", "recipe"), ("permission", "recipe")}
    assert "recipe" in seen(stack)[2]
    assert policy(stack, "recipe") == []
    builds.succeed(built)


def test_a_function_under_a_new_name_takes_its_routes_along(built: Project, lambdas: Path) -> None:
    write(lambdas, "recipe", HANDLER)
    write(lambdas, "figures", HANDLER)
    builds.succeed(built, builds.with_function(RECIPE_ENTRY), lambdas)
    stack = built.stack
    stack.shorten(LINK)
    builds.succeed(built, builds.with_function(replace(RECIPE_ENTRY, name="figures")), lambdas)
    routes, integrated, functions = seen(stack)
    assert KEY in routes
    assert ("recipe" in integrated, "recipe" in functions) == (False, False)
    assert get(stack, "/recipe/counted").json() == {"clicks": 0}
    builds.succeed(built)


def test_the_pages_function_works_as_it_is_written(project: Project) -> None:
    folder = project.folder / "lambdas/jottings"
    folder.mkdir()
    (folder / "handler.py").write_text(PAGES_HANDLER)
    (folder / "requirements.txt").write_text(PAGES_REQUIREMENTS)
    project.define(f"{PAGES_ENTRY.strip()},\n")
    tables = "    tables=("
    edit_definition(project, tables, f'{tables}Table("jottings", key="id"), ')
    stack = project.up()

    def shell(commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=project.folder, env=project.environment, capture_output=True, text=True
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
    with session(project, "scripts/logs.sh", "jottings") as window:
        window.shows(f"user-1 stored {note['id']}")
    assert re.search(r"^route +POST /jottings +jottings +needs a token$", project.check("scripts/status.sh"), re.M)

    shutil.copytree(CHECKOUT / "tests", project.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (project.folder / "tests/lambdas/test_jottings.py").write_text(PAGES_TEST)
    assert " passed" in shell(PAGES_TEST_RUN)


def test_tables_stay_when_their_entry_and_function_go(built: Project, lambdas: Path) -> None:
    write(lambdas, "jottings", JOTTINGS)
    routes = (Route("POST /jottings", authorized=True), Route("GET /jottings/{id}"))
    jottings = Function("jottings", routes, reads=("jottings",), writes=("jottings",))
    definition = replace(builds.with_function(jottings), tables=(*DEFINITION.tables, Table("jottings", key="id")))
    for prefix in ("", "team-"):
        done = builds.succeed(built, definition, lambdas, NAME_PREFIX=prefix)
        assert ("table", f"{prefix}jottings") in done.changes("created")
        stack = built.stack
        with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
            assert client.post("/jottings", json={"text": "hello"}).status_code == 201
        assert stack.client("dynamodb").scan(TableName=f"{prefix}jottings")["Count"] == 1
    removed = builds.succeed(built).changes("removed")
    assert ("function", "jottings") in removed
    assert not {kind for kind, _ in removed} & {"table"}
    assert built.stack.client("dynamodb").scan(TableName="jottings")["Count"] == 1
    builds.empty(built)
    builds.succeed(built)


def test_a_function_of_several_tables_finds_each_under_its_name(built: Project, lambdas: Path) -> None:
    source = "import json, os\n"
    source += "def handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(dict(os.environ))}\n"
    write(lambdas, "names", source)
    names = Function("names", (Route("GET /names"),), reads=("shortlinks", "my.notes"), variables={"COLOUR": "red"})
    definition = replace(builds.with_function(names), tables=(*DEFINITION.tables, Table("my.notes", key="id")))
    builds.succeed(built, definition, lambdas)
    found = get(built.stack, "/names").json()
    assert (found["TABLE_SHORTLINKS"], found["TABLE_MY_NOTES"], found["COLOUR"]) == ("shortlinks", "my.notes", "red")
    assert "TABLE" not in found
    builds.succeed(built)


# A handler's own code is run by real requests alone, so none of these fails a build.
HARMLESS = {
    "reads": "def handler(event, context):\n    return {'statusCode': 200, 'body': event['requestContext']['stage']}\n",
    "raises": "def handler(event, context):\n    raise ValueError('always')\n",
    "exits": "import sys\ndef handler(event, context):\n    sys.exit(3)\n",
    "writes": "import os, boto3\ndef handler(event, context):\n"
    "    boto3.client('dynamodb').put_item(TableName=os.environ['TABLE'], Item={'code': {'S': 'written'}})\n",
    "prints": "print('loading')\nhandler = lambda event, context: {'statusCode': 200}\n",
}


def test_no_function_is_called_by_the_deployment(built: Project, lambdas: Path) -> None:
    functions = tuple(Function(name, (Route(f"GET /{name}"),), writes=("shortlinks",)) for name in HARMLESS)
    for name, source in HARMLESS.items():
        write(lambdas, name, source)
    definition = replace(DEFINITION, functions=(*DEFINITION.functions, *functions))
    builds.succeed(built, definition, lambdas)
    builds.succeed(built, definition, lambdas)
    assert built.stack.row("written") is None
    logs = built.stack.client("logs")
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    invoked = [
        name
        for name in HARMLESS
        if f"/aws/lambda/{name}" in groups and logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    ]
    assert invoked == []
    assert get(built.stack, "/reads").text == "dev"
    builds.succeed(built)


# What each of these says, after the name of its file.
UNLOADABLE = {
    "import no_such_module\n": ", line 1: function broken cannot be loaded: ModuleNotFoundError: No module named",
    "import os\n\nX = os.environ['NO_SUCH']\n": ", line 3: function broken cannot be loaded: KeyError: 'NO_SUCH'",
    "def handle(event, context):\n    pass\n": ", line 1: function broken cannot be loaded: there is no function named",
    "def handler(:\n": ", line 1: invalid syntax",
    "raise SystemExit('bye')\n": ", line 1: function broken cannot be loaded: SystemExit: bye",
    "import os\nos._exit(3)\n": " cannot be loaded: importing it ended Python, with exit code 3",
    "while True:\n    pass\n": " cannot be loaded: importing it takes over 5 s",
    "import helper\n": "/helper.py, line 2: function broken cannot be loaded: ZeroDivisionError: division by zero",
}


def test_code_that_cannot_be_loaded_is_named_with_its_line_and_nothing_is_touched(
    built: Project, lambdas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.deploy.loading.TIMEOUT", 5)
    definition = builds.with_function(Function("broken", (Route("GET /broken"),)))
    before = seen(built.stack)
    write(lambdas, "broken", "")
    (lambdas / "broken/helper.py").write_text("# divides\n1 / 0\n")
    for source, said in UNLOADABLE.items():
        write(lambdas, "broken", source)
        done = builds.run(built, definition, lambdas=lambdas)
        file = "lambdas/broken" if "helper" in source else "lambdas/broken/handler.py"
        assert done.error.startswith(f"{file}{said}"), (source, done)
    assert seen(built.stack) == before
    assert sorted(path.name for path in built.outputs.iterdir()) == ["api_id", "api_url"]
    assert built.stack.follow("unknown").status_code == 404
