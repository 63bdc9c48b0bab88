"""A definition that cannot be built is refused with one line that names the file, the line and the fix."""

import json
import re
import subprocess
from dataclasses import replace

import pytest

from project import CHECKOUT, DEFAULTS, Project
from stack.checks import check, load
from stack.definition import DEFINITION
from stack.errors import DeployError
from stack.model import Function
from stack.settings import Settings

SOURCE = (CHECKOUT / "stack/definition.py").read_text()
LAST = next(line for line in SOURCE.splitlines(keepends=True) if line.startswith('        Function("authorizer", '))
LINE = SOURCE[: SOURCE.index(LAST)].count("\n") + 2  # of an entry after the last function
# Loads each of the definitions that come as JSON, and prints what that says.
LOAD = """
import json, sys
import stack
from stack import checks, model
from stack.errors import DeployError
from stack.model import Function

said = []
for source in json.load(sys.stdin):
    model.PATH.write_text(source)
    sys.modules.pop("stack.definition", None)
    vars(stack).pop("definition", None)
    try:
        checks.load()
        said.append("loaded")
    except DeployError as error:
        said.append(str(error))
print(json.dumps(said))
"""

SLIPS = {
    'Function("stats", (Route("GET /x")))': "routes of 'stats' must be a tuple; add a trailing comma",
    'Function("stats", [Route("GET /x")])': "routes of 'stats' must be a tuple; use ( ) in place of [ ]",
    'Function("stats", settings=("LOG_LEVEL"))': "settings of 'stats' must be a tuple; add a trailing comma",
    'Function("stats", settings=["LOG_LEVEL"])': "settings of 'stats' must be a tuple; use ( ) in place of [ ]",
    'Function("stats", settings=True)': "settings of 'stats' must be a tuple; write () for none",
    'Function("stats", settings=(True,))': "each of settings of 'stats' must be text, not True; put it in quotes",
    'Function("stats", reads="shortlinks")': "reads of 'stats' must be a tuple; add a trailing comma",
    'Function("stats", reads=("notes",))': (
        "reads of 'stats' names the table 'notes', which is not among the tables; add it"
    ),
    'Function("stats", writes=(Table("notes", key="id"),))': "each of writes of 'stats' must be text, not Table(",
    'Function("stats", ("GET /x",))': ("routes of 'stats' has 'GET /x', which is not a Route; write Route(\"GET /x\")"),
    'Function("stats", (..., Route("GET /x")))': "routes of 'stats' has Ellipsis, which is not a Route; write Route(…)",
    'Function("stats", (Route("get stats"),))': "'get stats' cannot be a route; write a method and a path, such as",
    f'Function("stats", (Route("GET /{"x" * 61}"),))': "cannot be a route; write a method and a path, such as",
    'Function("stats", (Route("GET /r/{code}"),))': "duplicate route 'GET /r/{code}' (the first is on line 20)",
    'Function("stats", (Route("GET /r/{id}"),))': "duplicate route 'GET /r/{…}' (the first is on line 18)",
    'Function("shorten")': "duplicate function 'shorten' (the first is on line 13); remove one of the two",
    'Function("st ats")': "'st ats' cannot be a function name; use 1 to 64 of A-Z a-z 0-9 _ -",
    f'Function("{"x" * 65}")': "cannot be a function name; use 1 to 64 of A-Z a-z 0-9 _ -",
    "Function(3)": "the name of a function must be text, not 3; put it in quotes",
    'Function("stats", variables={"LIMIT": 3})': "LIMIT in variables of 'stats' must be text, not 3; put it in quotes",
    'Function("stats", variables={"A-B": "c"})': "'A-B' in variables of 'stats' cannot be the name of an environment",
    'Function("stats", variables={"AWS_REGION": "c"})': "'AWS_REGION' in variables of 'stats' is a name that Lambda",
    'Function("stats", variables=("A", "b"))': "variables of 'stats' must be a dictionary; write {'NAME': 'value'}",
    "...": "functions has ..., which is not a Function; remove it",
    '"stats"': "functions has 'stats', which is not a Function; write Function(…)",
    "Function(stats)": "name 'stats' is not defined",
    'Function("stats", route=())': "Function.__init__() got an unexpected keyword argument 'route'",
    'Function("stats" ())': "'str' object is not callable",
}
SYNTAX = {'Function("stats", (': "was never closed|invalid syntax|forgot a comma|does not match"}
ELSEWHERE = [
    (
        'ttl="expires_at"),\n    ),',
        'ttl="expires_at")\n    ),',
        "tables must be a tuple; add a trailing comma",
    ),
    ('Table("shortlinks",', 'Table("s",', "'s' cannot be a table name"),
    ('"owner_id", sort="code"),)', '"owner_id", sort="code"))', "indexes of 'shortlinks' must be a tuple"),
    ('Index("by-owner", key="owner_id", sort="code"),', '"by-owner",', "has 'by-owner', which is not an Index; write"),
    ('key="owner_id"', 'key=""', "key of an index of 'shortlinks' must be text, not ''"),
    ('"by-owner"', '"by owner"', "'by owner' cannot be an index name; use 3 to 255 of A-Z a-z 0-9 _ . -"),
    ('ttl="expires_at"', "ttl=True", "ttl of 'shortlinks' must be text, not True; put it in quotes"),
    (
        'ttl="expires_at"),',
        'ttl="expires_at"), Table("shortlinks", key="id"),',
        "duplicate table 'shortlinks' (the first is on line 10); remove one of the two",
    ),
    ('function="authorizer"', 'function="gate"', "the authorizer's function 'gate' is not among the functions; add it"),
    ('key="code"', f'key="{"x" * 256}"', "key of 'shortlinks' is too long; use at most 255 characters"),
    ('api="shortener"', f'api="{"x" * 129}"', "cannot be an API's name; use 1 to 128 of A-Z a-z 0-9 _ . -"),
    ('api="shortener"', 'api="my links"', "'my links' cannot be an API's name"),
    ('stage="dev"', 'stage="v1.0"', "'v1.0' cannot be a stage name; use 1 to 128 of A-Z a-z 0-9 _ -"),
    ('"jwt-auth"', f'"{"x" * 129}"', "cannot be an authorizer's name; use 1 to 128 of A-Z a-z 0-9 _ . -"),
    ("DEFINITION =", "STACK =", "DEFINITION is missing; write DEFINITION = Definition(…)"),
]


def load_each(project: Project, sources: list[str]) -> list[str]:
    """Return what loading each definition says."""
    done = subprocess.run(
        [project.folder / ".venv/bin/python", "-B", "-c", LOAD],
        cwd=project.folder,
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        check=True,
    )
    said: list[str] = json.loads(done.stdout)
    return said


def test_each_slip_in_an_entry_is_one_line_with_file_line_and_fix(project: Project) -> None:
    entries = [*SLIPS, *SYNTAX]
    said = load_each(project, [SOURCE, *(SOURCE.replace(LAST, f"{LAST}        {slip},\n") for slip in entries)])
    assert said.pop(0) == "loaded"
    lines = dict(zip(entries, said, strict=True))
    assert not [line for line in lines.values() if "\n" in line]
    for slip, text in SLIPS.items():
        assert lines[slip].startswith(f"stack/definition.py, line {LINE}: "), (slip, lines[slip])
        assert text in lines[slip], (slip, lines[slip])
    for slip, pattern in SYNTAX.items():
        assert re.fullmatch(rf"stack/definition.py, line \d+: .*({pattern}).*", lines[slip]), lines[slip]


def test_each_slip_elsewhere_is_one_line_too(project: Project) -> None:
    said = load_each(project, [SOURCE.replace(old, new) for old, new, _ in ELSEWHERE])
    for (_, new, text), line in zip(ELSEWHERE, said, strict=True):
        assert re.fullmatch(rf"stack/definition.py(, line \d+)?: .*{re.escape(text)}.*", line), (new, line)


def test_a_bad_definition_is_refused_and_what_is_up_stays_up(built: Project) -> None:
    definition = built.folder / "stack/definition.py"
    definition.write_text(SOURCE.replace(LAST, f"{LAST}        Function(stats),\n"))
    try:
        done = built.deploy()
    finally:
        definition.write_text(SOURCE)
    assert done.returncode == 1
    assert re.fullmatch(r"\nerror: stack/definition.py, line \d+: .+\n", done.stderr), done.stderr
    assert built.stack.follow("unknown").json() == {"error": "not found"}


@pytest.mark.parametrize("name", ["CORS_ALLOW_ORIGINS", "PERSIST", "COLOUR", "log_level", "LAMBDAS"])
def test_a_setting_that_no_environment_can_hold_is_refused(name: str) -> None:
    redirect2 = Function("redirect2", settings=(name,))
    with pytest.raises(DeployError, match=f"settings of 'redirect2' name {name}, "):
        replace(DEFINITION, functions=(*DEFINITION.functions, redirect2)).environment(
            redirect2, Settings.from_environment(DEFAULTS)
        )


def test_a_prefix_goes_before_every_name_and_makes_another_api_id() -> None:
    prefixed = load("team-")
    function = prefixed.functions[0]
    assert prefixed.table_name("shortlinks") == "team-shortlinks"
    assert prefixed.function_name(function) == "team-shorten"
    assert prefixed.stack_name == "team-shortener"
    assert prefixed.role_name(function, "us-east-1") == "team-shortener-shorten-us-east-1"
    assert re.fullmatch("[0-9a-f]{8}", prefixed.api_id)
    assert prefixed.api_id != DEFINITION.api_id


def test_names_over_the_limits_of_aws_are_refused_with_their_prefix() -> None:
    with pytest.raises(Exception, match=r"'x{60}-shorten' cannot be a function name"):
        check(DEFINITION.prefixed("x" * 60 + "-"))
    long = DEFINITION.prefixed("x" * 40)
    check(long)
    assert len(long.role_name(DEFINITION.functions[0], "ap-southeast-2")) == 64


def test_an_environment_over_the_limit_of_lambda_is_refused() -> None:
    settings = Settings.from_environment({**DEFAULTS, "JWT_SECRET": "x" * 4096})
    with pytest.raises(DeployError, match=r"the environment of 'authorizer' has \d+ bytes, and Lambda takes 4096: "):
        DEFINITION.environment(DEFINITION.authorizer_function, settings)
