"""scripts/status.sh and the health check: what is up, what is stale, and what is wrong."""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import builds
from project import FUNCTION_NAMES, Project
from session import session
from stack.commands import status


def health(project: Project) -> "subprocess.CompletedProcess[str]":
    """Run the container's health check against an embedded engine, as if for the first time."""
    with tempfile.TemporaryDirectory() as temporary:
        return subprocess.run(
            [sys.executable, "-m", "stack.engine.health"],
            cwd=project.folder,
            env={
                **project.environment,
                "TMPDIR": temporary,
                "GATEWAY_PORT": project.settings["HOST_PORT"],
            },
            capture_output=True,
            text=True,
            timeout=120,
        )


def build(project: Project) -> None:
    """Build the stack anew, with two links and three clicks."""
    builds.empty(project)
    builds.succeed(project)
    for code, clicks in (("one", 1), ("two", 2)):
        project.stack.shorten({"long_url": "https://example.com/", "code": code, "expires_at": 2_000_000_000})
        for _ in range(clicks):
            project.stack.follow(code)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack that was built by hand, on an engine of no project."""
    with builds.engine_of(Project.copy(tmp_path_factory.mktemp("status"))) as project:
        build(project)
        yield project


def test_it_says_what_is_up(up: Project) -> None:
    healthy, printed = builds.status(up)
    assert healthy
    place = f"of another STATE_DIR or project, {up.engine}"
    assert re.search(rf"^engine    MiniStack [\d.]+, {place}$", printed, re.MULTILINE)
    assert "state     healthy: the API answers\n" in printed
    assert f"API       {up.stack.api_id}  {up.stack.url}\n" in printed
    for name in FUNCTION_NAMES:
        assert re.search(rf"^function  {name} +live   deployed \d+ (s|min) ago, sha256 ", printed, re.MULTILINE)
    assert "route     POST /shorten         shorten     needs a token\n" in printed
    assert "route     GET /r/{code}         redirect    needs no token\n" in printed
    assert "links     2, with 3 clicks\n" in printed
    assert "errors    none in the last 24 hours\n" in printed


def test_it_says_which_function_is_not_the_working_trees(up: Project) -> None:
    handlers = [up.folder / f"lambdas/{name}/handler.py" for name in ("redirect", "links")]
    before = [handler.read_text() for handler in handlers]
    for handler, text, edit in zip(handlers, before, ("# edited\n", "def f(:\n"), strict=True):
        handler.write_text(text + edit)
    healthy, printed = builds.status(up)
    for handler, text in zip(handlers, before, strict=True):
        handler.write_text(text)
    assert healthy
    edited = r"ago, sha256 \S+, the working tree has \S+ \(scripts/up.sh deploys it\)"
    broken = r"ago, sha256 \S+ \(lambdas/links/handler.py, line \d+: invalid syntax\)"
    assert re.search(rf"^function  redirect    stale  deployed .*{edited}$", printed, re.MULTILINE)
    assert re.search(rf"^function  links       stale  deployed .*{broken}$", printed, re.MULTILINE)
    assert len(re.findall(r"^function .* live ", printed, re.MULTILINE)) == len(FUNCTION_NAMES) - 2


def test_what_is_gone_or_of_somebody_else_is_said_to_be(up: Project) -> None:
    functions = up.stack.client("lambda")
    arn = functions.get_function_configuration(FunctionName="links")["FunctionArn"]
    functions.untag_resource(Resource=arn, TagKeys=[*functions.list_tags(Resource=arn)["Tags"]])
    healthy, printed = builds.status(up)
    assert not healthy
    assert "function  links       foreign: this project did not make it, and does not touch it\n" in printed
    functions.delete_function(FunctionName="shorten")
    up.stack.drop_table("shortlinks")
    healthy, printed = builds.status(up)
    assert not healthy
    assert "state     not healthy: the gateway answers, but a part is missing\n" in printed
    assert "function  shorten     missing: scripts/up.sh deploys it\n" in printed
    assert "links     none: the table shortlinks is missing\n" in printed
    assert health(up).returncode == 0  # for the API answers
    up.stack.client("apigatewayv2").delete_api(ApiId=up.stack.api_id)
    assert health(up).returncode == 1
    said = f"state     not healthy: the API of {up.outputs / 'api_id'} does not answer"
    assert said in builds.status(up)[1]
    build(up)


def test_json_has_all_of_it_and_no_line_that_only_mentions_an_error(up: Project) -> None:
    logs = up.stack.client("logs")
    group, stream = "/aws/lambda/redirect", "by-hand"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    lines = [
        '{"level": "INFO", "message": "ERROR"}',
        "no ERROR",
        "[ERROR] KeyError: 'x'",
        '{"level": "ERROR", "message": "y"}',
    ]
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    status = json.loads(up.check("scripts/status.sh", "--json"))
    logs.delete_log_stream(logGroupName=group, logStreamName=stream)
    assert [error["line"].split("  ")[-1].strip() for error in status["errors"]] == lines[2:]
    assert {error["function"] for error in status["errors"]} == {"redirect"}
    assert (status["healthy"], status["state"]) == (True, "ready")
    assert status["message"] == "healthy: the API answers"
    assert status["engine"]["url"] == up.engine
    assert status["api"] == {"id": up.stack.api_id, "url": up.stack.url}
    functions = {one["name"]: one for one in status["functions"]}
    assert {"shorten", "redirect", "authorizer"} <= functions.keys()
    assert functions["shorten"]["state"] == "live"
    assert {"route": "POST /shorten", "function": "shorten", "token": True} in status["routes"]
    assert {"route": "GET /r/{code}", "function": "redirect", "token": False} in status["routes"]
    assert status["links"] == {"count": 2, "clicks": 3}


def test_json_says_what_is_wrong_too(project: Project) -> None:
    done = project.run("scripts/status.sh", "--json")
    status = json.loads(done.stdout)
    assert (done.returncode, status["healthy"], status["state"]) == (1, False, "starting")
    assert status["message"] == f"down: nothing answers at {project.engine} (scripts/up.sh starts it)"


USE_OF_ENVIRONMENT = """set -eu
eval "$(scripts/status.sh --env)"
curl --silent --show-error --write-out '%{http_code}' --output /dev/null "$API_URL/shorten" \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"long_url": "https://example.com/", "code": "env"}'
.venv/bin/aws dynamodb get-item --table-name shortlinks --key '{"code": {"S": "env"}}' \\
  --query Item.long_url.S --output text
.venv/bin/python -c 'import boto3
links = boto3.resource("dynamodb").Table("shortlinks")
print(links.delete_item(Key={"code": "env"})["ResponseMetadata"]["HTTPStatusCode"])'
"""


@pytest.mark.parametrize("shell", [pytest.param("bash", marks=pytest.mark.search), "sh"])
def test_the_environment_leads_to_the_local_stack_whatever_the_shell_had(
    up: Project, tmp_path: Path, shell: str
) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:9\n")
    foreign = {
        "AWS_PROFILE": "mine",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SESSION_TOKEN": "another account's",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9",
        "AWS_REGION": "eu-west-1",
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [shell, "-c", USE_OF_ENVIRONMENT],
        cwd=up.folder,
        env={**up.environment, **foreign},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "201https://example.com/\n200\n", "")


def test_the_environment_of_a_stack_that_is_not_up_is_empty(project: Project) -> None:
    done = project.run("scripts/status.sh", "--env")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: the stack at {project.engine} is not up (the engine does not answer yet): "
        "scripts/status.sh says more, scripts/up.sh starts it\n"
    )
    assert "unknown argument '--jsno'" in project.run("scripts/status.sh", "--jsno").stderr


def test_a_definition_with_a_slip_hides_nothing_else(up: Project) -> None:
    path = up.folder / "stack/definition.py"
    before = path.read_text()
    path.write_text(before.replace("Route(", "Rout(", 1))
    printed = up.check("scripts/status.sh")
    path.write_text(before)
    assert re.search(r"^definition stack/definition.py, line \d+: .*$", printed, re.MULTILINE)
    assert "state     healthy: the API answers\n" in printed
    assert "function  shorten     live" in printed
    assert "route     POST /shorten         shorten     needs a token\n" in printed
    assert "links     2, with 3 clicks\n" in printed


def test_another_region_is_the_reason_and_no_function_is_called_missing(up: Project) -> None:
    healthy, printed = builds.status(up, AWS_DEFAULT_REGION="eu-west-1")
    reason = "not healthy: the engine has the stack in us-east-1, and AWS_DEFAULT_REGION is eu-west-1"
    assert not healthy
    assert f"state     {reason}: set it back to us-east-1" in printed
    assert "missing" not in printed


def test_looking_follows_no_link_and_runs_no_function(up: Project) -> None:
    stack = up.stack
    assert stack.shorten({"long_url": "https://example.com/", "code": "-"}).status_code == 201

    def logged() -> dict[str, list[str]]:
        pages = stack.client("logs").get_paginator("filter_log_events")
        return {
            name: [
                event["message"]
                for page in pages.paginate(logGroupName=f"/aws/lambda/{name}")
                for event in page["events"]
            ]
            for name in FUNCTION_NAMES
        }

    before = logged()
    assert health(up).stdout == "the API answers\n"
    assert builds.status(up)[0]
    assert stack.clicks("-") == 0
    assert logged() == before
    stack.client("dynamodb").delete_item(TableName="shortlinks", Key={"code": {"S": "-"}})


def test_clicks_of_many_links_are_not_added_up(up: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "COUNTED", 1)
    _, printed = builds.status(up)
    assert re.search(r"^links     \d at most \(clicks are added up for 1 links at most\)$", printed, re.MULTILINE)


def test_a_stack_that_is_being_built_is_not_healthy_yet_nor_is_one_whose_build_fails(project: Project) -> None:
    hook = project.folder / "init/ready.d/04-part4-api.sh"
    go = project.folder / "go"
    hook.write_text(hook.read_text().replace("exec", f"until [ -e {go} ]; do sleep 0.1; done\nexec"))
    (project.folder / "lambdas/redirect/handler.py").write_text("def handler(:\n")
    with session(project, "scripts/up.sh") as window:
        window.shows("table       shortlinks")
        healthy, printed = builds.status(project)
        assert not healthy
        place = f"embedded, process {project.pid()}, {project.engine}"
        assert re.search(rf"^engine    MiniStack [\d.]+, {place}$", printed, re.MULTILINE)
        assert "state     not healthy: the stack is being built\n" in printed
        go.touch()
        assert window.process.wait(60) == 1
    healthy, printed = builds.status(project)
    assert not healthy
    assert f"not healthy: {project.outputs / 'api_id'} is missing: the last build failed" in printed
    assert "function  redirect    missing" in printed
    port = project.settings["HOST_PORT"]
    assert builds.status(project, HOST_PORT="1") == (
        False,
        "state     down: nothing answers at http://127.0.0.1:1; the engine of this STATE_DIR is on port "
        f"{port} (HOST_PORT={port} scripts/status.sh)\n",
    )


@pytest.mark.parametrize("body", [b"hello", b"[]", b"{}", b"3"])
def test_another_program_on_the_port_is_not_taken_for_an_engine(tmp_path: Path, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    bare = Project.at(tmp_path, tmp_path)
    with HTTPServer(("127.0.0.1", int(bare.settings["HOST_PORT"])), Other) as server:
        threading.Thread(target=server.serve_forever).start()
        found = builds.status(bare)
        server.shutdown()
    said = f"state     down: another program answers at {bare.engine}: stop it, or choose another HOST_PORT\n"
    assert found == (False, said)


def test_without_a_stack_it_says_so_and_how_to_get_one(tmp_path: Path) -> None:
    bare = Project.at(tmp_path, tmp_path)
    assert builds.status(bare) == (
        False,
        f"state     down: nothing answers at {bare.engine} (scripts/up.sh starts it)\n",
    )


@pytest.fixture
def prefixed(up: Project, tmp_path: Path) -> Project:
    """Return a stack with a prefix, beside the other one."""
    team = replace(up, settings={**up.settings, "NAME_PREFIX": "team-", "OUTPUTS_DIR": str(tmp_path)})
    builds.succeed(team)
    return team


def test_a_stack_with_a_prefix_is_shown_and_its_requests_are_found(prefixed: Project) -> None:
    healthy, printed = builds.status(prefixed)
    assert healthy
    assert "state     healthy: the API answers" in printed
    assert "function  redirect    live" in printed
    request_id = prefixed.stack.follow("unknown").headers["apigw-requestid"]
    assert "GET /r/{code}" in prefixed.check("scripts/logs.sh", request_id)


@pytest.mark.search
def test_a_stack_with_a_prefix_is_smoke_tested(prefixed: Project) -> None:
    assert prefixed.check("scripts/smoke.sh").endswith("==> all as it should be\n")
