"""The hooks as LocalStack runs them: its own runner, before an engine that has nothing yet."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_proxy import Reply, Request, proxy
from project import CHECKOUT, Project
from stack import dotenv

# The engine that runs these hooks by default tests what they run; --localstack tests them under LocalStack's runner.
LOCALSTACK = pytest.mark.localstack
# Part of the image that .env pins. Apart from the tests' own packages, for it pins some of them.
RUNNER = "localstack-core==4.14.0"
HOME = CHECKOUT / ".venv/localstack"
# What LocalStack's container does at each stage, with an account of how each script ended.
RUN_STAGE = """
import json, sys
from localstack.runtime.init import InitScriptManager, Stage
scripts = InitScriptManager(script_root=sys.argv[1]).run_stage(Stage[sys.argv[2]])
print(json.dumps({script.path.removeprefix(sys.argv[1]): script.state.name for script in scripts}))
"""
NOT_LICENSED = (
    "The API for service apigatewayv2 is either not included in your current license plan "
    "or has not yet been emulated by LocalStack."
)


@pytest.fixture(scope="session")
def runner() -> Path:
    """Return the Python of an environment with LocalStack's runner, which is made when it is first needed."""
    python, done = HOME / "bin/python", HOME / "installed"
    if not done.exists() or done.read_text() != RUNNER:
        subprocess.run([sys.executable, "-m", "venv", "--clear", HOME], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", RUNNER], check=True)
        done.write_text(RUNNER)
    return python


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Project.standing(tmp_path_factory.mktemp("localstack")) as project:
        yield project


@pytest.fixture
def emptied(running: Project) -> Project:
    """Return a project whose engine runs and has nothing, behind outputs that say otherwise."""
    running.reset()
    (running.outputs / "api_id").write_text("gone\n")
    (running.outputs / "api_url").write_text(f"{running.engine}/_aws/execute-api/gone/dev\n")
    return running


def run_stage(runner: Path, project: Project, stage: str, port: str) -> tuple[dict[str, str], str]:
    """Return the state of each script of a stage, and what they printed. LocalStack sets no AWS_ variable for them."""
    done = subprocess.run(
        [runner, "-c", RUN_STAGE, project.folder / "init", stage],
        cwd="/",
        env={
            "PATH": f"{project.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
            "GATEWAY_PORT": port,
            "HOST_PORT": project.settings["HOST_PORT"],
            "OUTPUTS_DIR": project.settings["OUTPUTS_DIR"],
            "AWS_DEFAULT_REGION": dotenv.load()["AWS_DEFAULT_REGION"],  # docker-compose.yml does
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    *printed, states = done.stdout.splitlines()
    return json.loads(states), "\n".join([*printed, done.stderr])


@LOCALSTACK
def test_the_hooks_build_a_stack_that_answers_and_a_second_run_changes_nothing(runner: Path, emptied: Project) -> None:
    port = emptied.settings["HOST_PORT"]
    states, _ = run_stage(runner, emptied, "BOOT", port)
    assert states == {"/boot.d/01-withdraw-outputs.sh": "SUCCESSFUL"}
    assert list(emptied.outputs.iterdir()) == []
    for changes in ({"created", "loads", "active", "answered"}, {"unchanged", "active", "answered"}):
        states, printed = run_stage(runner, emptied, "READY", port)
        assert states == {"/ready.d/02-part2-dynamodb.sh": "SUCCESSFUL", "/ready.d/04-part4-api.sh": "SUCCESSFUL"}
        steps = [line.split() for line in printed.splitlines() if line.endswith(" ms")]
        assert {step[-3] for step in steps} == changes, printed
        assert emptied.stack.shorten({"long_url": "https://example.com/"}).status_code == 201


def test_a_stop_withdraws_the_outputs_but_not_those_of_another_stack(tmp_path: Path) -> None:
    """LocalStack alone runs this hook, and runs it as a program."""
    published = {"api_id": "ours\n", "api_url": "http://127.0.0.1:4567/_aws/execute-api/ours/dev\n", ".api_id.4711": ""}
    for name, text in published.items():
        (tmp_path / name).write_text(text)
    hook = CHECKOUT / "init/shutdown.d/01-withdraw-outputs.sh"
    for port, left in (("4566", {*published}), ("4567", set()), ("4567", set())):
        environment = {"PATH": os.environ["PATH"], "HOST_PORT": port, "OUTPUTS_DIR": str(tmp_path)}
        subprocess.run([hook], cwd="/", env=environment, check=True)
        assert {path.name for path in tmp_path.iterdir()} == left


@LOCALSTACK
def test_a_stop_runs_the_hook(runner: Path, emptied: Project) -> None:
    states, _ = run_stage(runner, emptied, "SHUTDOWN", emptied.settings["HOST_PORT"])
    assert states == {"/shutdown.d/01-withdraw-outputs.sh": "SUCCESSFUL"}
    assert list(emptied.outputs.iterdir()) == []


@LOCALSTACK
def test_without_http_apis_the_hook_ends_in_error_and_says_which_plan_has_them(runner: Path, emptied: Project) -> None:
    def unlicensed(request: Request) -> Reply | None:
        return Reply(501, "InternalFailure", NOT_LICENSED) if request.path.startswith("/v2/") else None

    run_stage(runner, emptied, "BOOT", emptied.settings["HOST_PORT"])
    with proxy(emptied.engine, unlicensed) as engine:
        states, printed = run_stage(runner, emptied, "READY", engine.rsplit(":", 1)[1])
    assert states == {"/ready.d/02-part2-dynamodb.sh": "SUCCESSFUL", "/ready.d/04-part4-api.sh": "ERROR"}
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "no API Gateway HTTP APIs: LocalStack includes them from its Base plan up" in line
    assert "Traceback" not in printed
    assert list(emptied.outputs.iterdir()) == []
