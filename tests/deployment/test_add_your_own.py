"""A function is a folder and one entry: the README's recipe adds all of it, and the next build removes all of it."""

import json
import re
import shutil
from typing import Any

import httpx
import pytest

from project import CHECKOUT, TLS, Project, Stack
from stack.settings import Settings

README = (CHECKOUT / "README.md").read_text()
RECIPE = README[README.index("## Add your own") : README.index("## See it")]
# The recipe under another name, for somebody may have followed it in this checkout.
HANDLER, DEFINITION = re.findall(r"```python\n(.*?)```", RECIPE.replace("stats", "recipe"), re.DOTALL)
(ENTRY,) = re.findall(r" *Function\(.*\n", DEFINITION)
KEY = "GET /recipe/{code}"
GIVEN = Settings.from_environment({}).for_engine()
LINK = {"long_url": "https://example.com/", "code": "counted"}


def edit_definition(project: Project, old: str, new: str) -> None:
    path = project.folder / "stack/definition.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def add(project: Project) -> None:
    """What the recipe says."""
    folder = project.folder / "lambdas/recipe"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    project.define(ENTRY)


def remove(project: Project) -> None:
    shutil.rmtree(project.folder / "lambdas/recipe")
    edit_definition(project, ENTRY, "")


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

    remove(project)
    printed = project.check("scripts/up.sh")
    removed = [line.split()[:2] for line in printed.splitlines() if " removed " in line]
    assert removed == [["route", "GET"], ["integration", "recipe"], ["function", "recipe"]]
    assert seen(stack) == (before[0] | {"GET /by-hand"}, *before[1:])
    assert get(stack, "/recipe/counted").json() == {"message": "Not Found"}
    assert policy(stack, "recipe") == []
    assert stack.follow("counted").status_code == 302


def test_a_route_that_is_taken_from_a_function_goes_with_its_integration_and_permission(project: Project) -> None:
    add(project)
    stack = project.up()
    edit_definition(project, f'(Route("{KEY}"),)', "()")
    project.up()
    routes, integrated, functions = seen(stack)
    assert KEY not in routes
    assert "recipe" not in integrated
    assert "recipe" in functions
    assert policy(stack, "recipe") == []


def test_a_function_under_a_new_name_takes_its_routes_along(project: Project) -> None:
    add(project)
    stack = project.up()
    stack.shorten(LINK)
    (project.folder / "lambdas/recipe").rename(project.folder / "lambdas/figures")
    edit_definition(project, 'Function("recipe"', 'Function("figures"')
    project.up()
    routes, integrated, functions = seen(stack)
    assert KEY in routes
    assert ("recipe" in integrated, "recipe" in functions) == (False, False)
    assert get(stack, "/recipe/counted").json() == {"clicks": 0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            f'(Route("{KEY}"),)',
            f'(Route("{KEY}"))',
            "the routes of recipe are no tuple: one alone needs a comma after it",
        ),
        (KEY, "GET /r/{code}", "the route 'GET /r/{code}' is there twice"),
        (KEY, "get recipe", "'get recipe' cannot be a route"),
        ('Function("recipe"', 'Function("shorten"', "the function name 'shorten' is there twice"),
        ('Function("recipe"', 'Function("st ats"', "'st ats' cannot be a function name"),
        (
            '{"TABLE": TABLE}',
            '{}, ("COLOUR",)',
            f"a function asks for COLOUR, which is no setting that the engine is given: use {', '.join(GIVEN)}",
        ),
    ],
)
def test_a_definition_that_cannot_be_is_refused_and_what_is_up_stays_up(
    built: Project, old: str, new: str, said: str
) -> None:
    before = seen(built.stack)
    definition = built.folder / "stack/definition.py"
    original = definition.read_text()
    add(built)
    recipe = ENTRY.replace(old, new)
    assert recipe != ENTRY
    edit_definition(built, ENTRY, recipe)
    try:
        done = built.deploy("api")
        assert (done.returncode, done.stderr) == (1, f"\nerror: stack/definition.py: {said}\n")
        assert built.stack.follow("unknown").json() == {"error": "not found"}
        assert seen(built.stack) == before
    finally:
        shutil.rmtree(built.folder / "lambdas/recipe")
        definition.write_text(original)


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ("    Function(recipe),\n", "name 'recipe' is not defined"),
        ('    Function("recipe", route=()),\n', "unexpected keyword argument 'route'"),
        ('    Function("recipe" ()\n', "was never closed|invalid syntax|forgot a comma"),
    ],
)
def test_a_slip_in_the_definition_is_one_line_and_what_is_up_stays_up(built: Project, slip: str, said: str) -> None:
    definition = built.folder / "stack/definition.py"
    original = definition.read_text()
    built.define(slip)
    try:
        done = built.deploy()
        assert done.returncode == 1
        assert re.fullmatch(rf"\nerror: stack/definition.py, line \d+: .*({said}).*\n", done.stderr)
        assert built.stack.follow("unknown").json() == {"error": "not found"}
    finally:
        definition.write_text(original)
