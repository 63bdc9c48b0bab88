"""What cannot be built is said in one plain line, and nothing is published."""

import re
import socket
import subprocess
from pathlib import Path

import pytest

from engine_proxy import Reply, Request, proxy
from project import Project

LINK = {"long_url": "https://example.com/", "code": "kept"}
NOT_LICENSED = (
    "The API for service apigatewayv2 is either not included in your current license plan "
    "or has not yet been emulated by LocalStack."
)


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    """The line that says why, checked for what every such line has in common."""
    printed = done.stdout + done.stderr
    assert done.returncode == 1, printed
    assert "Traceback" not in printed
    (line,) = set(re.findall(r"^error: (?!the stack could not be built).*", printed, re.MULTILINE))
    return str(line)


def published(project: Project) -> list[str]:
    return sorted(path.name for path in project.outputs.iterdir())


def test_a_syntax_error_is_shown_with_file_and_line(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text(handler.read_text() + "\ndef broken(:\n")
    lines = handler.read_text().count("\n")
    line = failure(project.run("scripts/up.sh"))
    assert line == f"error: lambdas/redirect/handler.py, line {lines}: invalid syntax"
    assert published(project) == []


def test_a_syntax_error_leaves_what_is_up_alone(project: Project) -> None:
    stack = project.up()
    stack.shorten(LINK)
    (project.folder / "lambdas/redirect/handler.py").write_text("def broken(:\n")
    assert "lambdas/redirect/handler.py, line 1" in failure_of_redeploy(project)
    assert stack.follow("kept").status_code == 302
    assert published(project) == ["api_id", "api_url"]


def failure_of_redeploy(project: Project) -> str:
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    return done.stderr


def test_a_function_that_cannot_be_loaded_is_named_with_its_line(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text("import no_such_module\n" + handler.read_text())
    line = failure(project.run("scripts/up.sh"))
    assert line == (
        "error: lambdas/redirect/handler.py, line 1: function redirect cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module'; name its package in lambdas/redirect/requirements.txt"
    )
    assert published(project) == []


def test_a_function_that_answers_wrongly_is_not_published(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text(handler.read_text().replace("HTTPStatus.FOUND", "HTTPStatus.OK"))
    line = failure(project.run("scripts/up.sh"))
    assert "/r/__deployment-probe__ answered 200 instead of 302" in line
    assert published(project) == []


def test_a_missing_function_is_named(project: Project) -> None:
    (project.folder / "lambdas/shorten/handler.py").unlink()
    assert failure(project.run("scripts/up.sh")).startswith("error: lambdas/shorten/handler.py is missing")


def test_an_engine_without_http_apis_is_said_to_need_a_licence(shared: Project, tmp_path: Path) -> None:
    def unlicensed(request: Request) -> Reply | None:
        return Reply(501, "InternalFailure", NOT_LICENSED) if request.path.startswith("/v2/") else None

    project = Project.at(shared.folder, tmp_path)
    project.outputs.mkdir()
    with proxy(shared.engine, unlicensed) as engine:
        project.settings["HOST_PORT"] = engine.rsplit(":", 1)[1]
        line = failure(project.deploy("api"))
    assert "no API Gateway HTTP APIs: LocalStack includes them from its Base plan up" in line
    assert published(project) == []


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/2015-03-31", "InternalFailure", NOT_LICENSED.replace("apigatewayv2", "lambda")),
        ("/v2/", "NotImplemented", "not yet"),
    ],
)
def test_any_other_501_is_reported_as_what_it_is(
    shared: Project, tmp_path: Path, path: str, code: str, message: str
) -> None:
    def incomplete(request: Request) -> Reply | None:
        return Reply(501, code, message) if request.path.startswith(path) else None

    project = Project.at(shared.folder, tmp_path)
    project.outputs.mkdir()
    with proxy(shared.engine, incomplete) as engine:
        project.settings["HOST_PORT"] = engine.rsplit(":", 1)[1]
        line = failure(project.deploy("api"))
    assert line.startswith("error: the endpoint does not implement ")
    assert line.endswith(f": {code}: {message}")
    assert "LOCALSTACK_AUTH_TOKEN" not in line


def test_no_engine_is_said_to_be_missing(project: Project) -> None:
    assert "nothing answers at http://127.0.0.1:" in failure(project.deploy())


def test_an_outputs_folder_that_is_none_is_named(project: Project) -> None:
    project.outputs.write_text("a file")
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert str(project.outputs) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_busy_port_is_named_with_a_way_out(project: Project) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(project.settings["HOST_PORT"])))
        busy.listen()
        line = failure(project.run("scripts/up.sh"))
    assert f"port {project.settings['HOST_PORT']} cannot be used" in line
    assert "HOST_PORT=" in line


def test_an_engine_that_dies_while_it_starts_shows_its_last_words(project: Project) -> None:
    hook = project.folder / "init/boot.d/99-die.sh"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert "error: the engine died while it was starting" in done.stderr
    assert "99-die.sh" in done.stderr


def test_a_second_engine_on_the_same_state_is_refused(project: Project) -> None:
    project.up()
    done = project.run("scripts/up.sh", HOST_PORT="1")
    assert done.returncode == 1
    assert "is running on port" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOST_PORT", "abc", "use a whole number from 1 to 65535"),
        ("HOST_PORT", "70000", "use a whole number from 1 to 65535"),
        ("AUTHORIZER_TTL", "-1", "use a whole number from 0 to 3600"),
        ("AUTHORIZER_TTL", "3601", "use a whole number from 0 to 3600"),
        ("LOG_LEVEL", "LOUD", "use DEBUG, INFO, WARNING or ERROR"),
        ("PERSIST", "yes", "use 1 or 0"),
        ("AWS_DEFAULT_REGION", "us-esat-1", "use a region of AWS"),
        ("NAME_PREFIX", "9lives", "use a letter, then"),
        ("CORS_ALLOW_ORIGINS", "example.com", "an origin is *, or like https://example.com:8443"),
        ("CORS_ALLOW_ORIGINS", "https://example.com/app", "an origin is *, or like https://example.com:8443"),
        ("CORS_ALLOW_ORIGINS", " , ", "use * or a list of origins with commas between"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(project: Project, name: str, value: str, said: str) -> None:
    line = failure(project.run("scripts/up.sh", **{name: value}))
    assert line.startswith(f"error: {name} is ")
    assert said in line


def test_a_disk_that_takes_no_more_leaves_nothing_half_written(project: Project) -> None:
    project.up()
    before = {path.name: path.read_text() for path in project.outputs.iterdir()}
    environment = {**project.environment, "GATEWAY_PORT": project.settings["HOST_PORT"]}
    done = subprocess.run(
        ["bash", "-c", "ulimit -f 0; exec .venv/bin/python -m stack.deploy --local"],  # no file may grow
        cwd=project.folder,
        env={**environment, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"the outputs folder {project.outputs} cannot be written to (File too large)" in failure(done)
    assert {path.name: path.read_text() for path in project.outputs.iterdir()} == before
