"""What cannot be built is said in one plain line, and nothing is published."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import builds
from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, Project
from stack.errors import SettingError
from stack.settings import Settings

NOT_LICENSED = (
    "The API for service apigatewayv2 is either not included in your current license plan "
    "or has not yet been emulated by LocalStack."
)
NEEDS_LICENCE = "no API Gateway HTTP APIs: LocalStack includes them from its Base plan up"
OTHER = "the endpoint does not implement "


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the line that says why, checked for what every such line has in common."""
    printed = done.stdout + done.stderr
    assert done.returncode == 1, printed
    assert "Traceback" not in printed
    (line,) = set(re.findall(r"^error: (?!the stack could not be built).*", printed, re.MULTILINE))
    return str(line)


@pytest.fixture
def lambdas(tmp_path: Path) -> Path:
    """Return a copy of the functions' folders, which a test may break."""
    return Path(shutil.copytree(CHECKOUT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__py*")))


def test_a_function_that_answers_wrongly_is_not_published(bare: Project, lambdas: Path) -> None:
    handler = lambdas / "redirect/handler.py"
    handler.write_text(handler.read_text().replace("HTTPStatus.FOUND", "HTTPStatus.OK"))
    error = builds.run(bare, builds.FEW, lambdas).error
    assert "/r/__deployment-probe__ answered 200 instead of 302" in error
    assert list(bare.outputs.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "code", "message", "said"),
    [
        ("/v2/", "InternalFailure", NOT_LICENSED, NEEDS_LICENCE),
        ("/2015-03-31", "InternalFailure", NOT_LICENSED.replace("apigatewayv2", "lambda"), OTHER),
        ("/v2/", "NotImplemented", "not yet", OTHER),
    ],
)
def test_an_engine_without_http_apis_is_said_to_need_a_licence_and_any_other_501_is_what_it_is(
    bare: Project, path: str, code: str, message: str, said: str
) -> None:
    def incomplete(request: Request) -> Reply | None:
        return Reply(501, code, message) if request.path.startswith(path) else None

    with proxy(bare.engine, incomplete) as engine:
        error = builds.run(bare, builds.FEW, engine=engine).error
    assert said in error
    if said == OTHER:
        assert error.startswith(OTHER)
        assert error.endswith(f": {code}: {message}")
        assert "LOCALSTACK_AUTH_TOKEN" not in error
    assert list(bare.outputs.iterdir()) == []


def test_no_engine_is_said_to_be_missing(project: Project) -> None:
    assert "nothing answers at http://127.0.0.1:" in failure(project.deploy())


def test_an_outputs_folder_that_is_none_is_named(project: Project) -> None:
    project.outputs.write_text("a file")
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert str(project.outputs) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_that_dies_while_it_starts_shows_its_last_words(project: Project) -> None:
    hook = project.folder / "init/boot.d/99-die.sh"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert "error: the engine died while it was starting" in done.stderr
    assert "99-die.sh" in done.stderr


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
def test_a_setting_that_cannot_be_used_is_named_with_what_can(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is .*{re.escape(said)}"):
        Settings.from_environment({name: value})


def test_up_says_which_setting_cannot_be_used_in_one_line(project: Project) -> None:
    assert failure(project.run("scripts/up.sh", HOST_PORT="abc")).startswith("error: HOST_PORT is ")


def test_a_syntax_error_leaves_what_is_up_alone(built: Project) -> None:
    handler = built.folder / "lambdas/redirect/handler.py"
    source = handler.read_text()
    handler.write_text("def broken(:\n")
    try:
        done = built.run("scripts/up.sh")
    finally:
        handler.write_text(source)
    assert done.returncode == 1
    assert "lambdas/redirect/handler.py, line 1" in done.stderr
    assert built.stack.follow("unknown").json() == {"error": "not found"}
    assert sorted(path.name for path in built.outputs.iterdir()) == ["api_id", "api_url"]


def test_a_missing_function_is_named(built: Project, lambdas: Path) -> None:
    (lambdas / "shorten/handler.py").unlink()
    assert builds.run(built, lambdas=lambdas).error.startswith("lambdas/shorten/handler.py is missing")


def test_a_disk_that_takes_no_more_leaves_nothing_half_written(built: Project) -> None:
    before = {path.name: path.read_text() for path in built.outputs.iterdir()}
    environment = {**built.environment, "GATEWAY_PORT": built.settings["HOST_PORT"]}
    done = subprocess.run(
        ["bash", "-c", "ulimit -f 0; exec .venv/bin/python -m stack.deploy --local"],  # no file may grow
        cwd=built.folder,
        env={**environment, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"the outputs folder {built.outputs} cannot be written to (File too large)" in failure(done)
    assert {path.name: path.read_text() for path in built.outputs.iterdir()} == before
