"""The scripts, as a person runs them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import builds
from project import CHECKOUT, DEFAULTS, Project

SCRIPTS = sorted(path.name for path in (CHECKOUT / "scripts").iterdir() if path.is_file())


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """Return a copy of the checkout with nothing running."""
    return Project.copy(tmp_path)


def test_every_script_prints_its_use_for_help(bare: Project) -> None:
    for script in SCRIPTS:
        use = bare.check(f"scripts/{script}", "--help").partition("\n\n")[0]
        assert re.search(rf": scripts/{re.escape(script)}\b", use), script


def test_what_people_and_engines_run_is_executable() -> None:
    paths = [CHECKOUT / "scripts" / name for name in SCRIPTS] + [*(CHECKOUT / "init").glob("*/*"), CHECKOUT / ".ci/run"]
    assert [path for path in paths if not os.access(path, os.X_OK)] == []


def test_every_hook_is_posix_sh() -> None:
    for hook in (CHECKOUT / "init").rglob("*.sh"):
        assert hook.read_text().startswith("#!/bin/sh\n")
        subprocess.run(["dash", "-n", hook], check=True)


def test_smoke_stops_at_the_first_wrong_answer(bare: Project) -> None:
    handler = bare.folder / "lambdas/redirect/handler.py"
    handler.write_text(handler.read_text().replace('"Cache-Control": "no-store"', '"Cache-Control": "public"'))
    with builds.engine_of(bare):
        builds.succeed(bare)
        done = bare.run("scripts/smoke.sh")
    assert done.returncode == 1
    assert "WRONG 302  HEAD /r/{code}: expected cache-control: no-store" in done.stderr
    assert "GET /r/{code}" not in done.stdout


def test_smoke_without_a_stack_says_how_to_get_one(bare: Project) -> None:
    done = bare.run("scripts/smoke.sh")
    assert done.returncode == 1
    assert "no stack is up, or its last build failed" in done.stderr
    assert "run scripts/up.sh first" in done.stderr


def test_down_rejects_an_unknown_argument(bare: Project) -> None:
    done = bare.run("scripts/down.sh", "--whipe")
    assert done.returncode == 1
    assert done.stderr == "error: unknown argument '--whipe': scripts/down.sh [--wipe]\n"


def test_scripts_refuse_arguments_that_they_do_not_take(bare: Project) -> None:
    for script in ("up.sh", "smoke.sh", "check.sh"):
        done = bare.run(f"scripts/{script}", "--wipe")
        assert (done.returncode, done.stderr) == (
            1,
            f"error: unknown argument '--wipe': {script} takes none (--help)\n",
        )


def test_up_rejects_an_unknown_engine(bare: Project) -> None:
    done = bare.run("scripts/up.sh", ENGINE="podman")
    assert done.returncode == 1
    assert done.stderr == "error: ENGINE is 'podman': use docker or embedded\n"


def test_up_without_python_says_what_is_needed(bare: Project, tmp_path: Path) -> None:
    for tool in ("bash", "env", "dirname", "cat", "sed"):
        (tmp_path / tool).symlink_to(
            Path("/usr/bin") / tool if Path("/usr/bin", tool).exists() else Path("/bin") / tool
        )
    (bare.folder / ".venv").unlink()
    done = bare.run("scripts/up.sh", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "error: Python 3.11 or newer is needed: install it, or name it in PYTHON\n"


def test_a_settings_file_that_cannot_be_read_is_named_with_the_line(bare: Project) -> None:
    (bare.folder / ".env.local").write_text("\nJWT_SECRET: x\n")
    done = bare.run("scripts/up.sh")
    assert done.returncode == 1
    assert done.stderr == (
        "error: .env.local, line 2: expected NAME=VALUE, found 'JWT_SECRET: x': write it without spaces around the =\n"
    )


def test_the_dev_container_and_the_workflow_run_what_is_there() -> None:
    container = json.loads((CHECKOUT / ".devcontainer/devcontainer.json").read_text())
    assert container["forwardPorts"] == [int(DEFAULTS["HOST_PORT"])]
    workflow = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["ci"]["steps"] if "run" in step]
    for command in [container["postStartCommand"], *commands]:
        assert os.access(CHECKOUT / command.split()[0], os.X_OK)
