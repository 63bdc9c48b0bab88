"""The scripts, as a person runs them."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import jwt
import pytest
import yaml

from project import CHECKOUT, DEFAULTS, Project

DEVELOP = (CHECKOUT / "docs/develop.md").read_text()
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


def test_smoke_passes_twice_on_the_same_stack(shared: Project) -> None:
    for _ in range(2):
        printed = shared.check("scripts/smoke.sh")
        assert "WRONG" not in printed
        assert printed.endswith("==> all as it should be\n")


def test_smoke_stops_at_the_first_wrong_answer(project: Project) -> None:
    handler = project.folder / "lambdas/redirect/handler.py"
    handler.write_text(handler.read_text().replace('"Cache-Control": "no-store"', '"Cache-Control": "public"'))
    project.up()
    done = project.run("scripts/smoke.sh")
    assert done.returncode == 1
    assert "WRONG 302  HEAD /r/{code}: expected cache-control: no-store" in done.stderr
    assert "GET /r/{code}" not in done.stdout


def test_smoke_without_a_stack_says_how_to_get_one(bare: Project) -> None:
    done = bare.run("scripts/smoke.sh")
    assert done.returncode == 1
    assert "no stack is up, or its last build failed" in done.stderr
    assert "run scripts/up.sh first" in done.stderr


def test_up_prints_the_url_a_token_and_a_first_request_that_works(project: Project) -> None:
    printed = project.check("scripts/up.sh", LOCALSTACK_AUTH_TOKEN="ls-token")
    assert "warning: LocalStack needs Docker, so LOCALSTACK_AUTH_TOKEN is not used" in printed
    assert "warning: JWT_SECRET" not in printed
    assert project.stack.url in printed
    token = next(line for line in printed.splitlines() if line.count(".") == 2 and " " not in line)
    assert jwt.decode(token, project.stack.secret, algorithms=["HS256"])["sub"] == "user-1"
    command = printed[printed.index("curl ") :].partition("\n\n")[0]
    answer = subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=project.environment, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["long_url"] == "https://example.com/"
    assert project.check("scripts/up.sh", JWT_SECRET="short").count("warning: JWT_SECRET is shorter") == 1


def test_down_without_a_stack_is_no_error(bare: Project) -> None:
    assert bare.check("scripts/down.sh") == "==> down\n"


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


def test_a_token_is_for_the_user_and_good_for_an_hour(bare: Project) -> None:
    token = bare.check("scripts/sign-token.py", "user-7", "a-secret-of-our-own-that-is-long-enough").strip()
    claims = jwt.decode(token, "a-secret-of-our-own-that-is-long-enough", algorithms=["HS256"])
    assert claims["sub"] == "user-7"
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_a_token_has_the_issuer_and_audience_of_the_settings(bare: Project) -> None:
    token = bare.check("scripts/sign-token.py", JWT_ISSUER="me", JWT_AUDIENCE="you")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["sub"], claims["iss"], claims["aud"]) == ("user-1", "me", "you")


def test_settings_are_read_from_env_local_after_env(project: Project) -> None:
    (project.folder / ".env.local").write_text("# mine\nJWT_SECRET='another secret'  # of 14 bytes\n\nJWT_ISSUER=me\n")
    signed = project.check("scripts/sign-token.py").strip()
    assert jwt.decode(signed, "another secret", algorithms=["HS256"])["iss"] == "me"
    signed = project.check("scripts/sign-token.py", JWT_SECRET="of the environment").strip()
    assert jwt.decode(signed, "of the environment", algorithms=["HS256"])["sub"] == "user-1"


def test_a_settings_file_that_cannot_be_read_is_named_with_the_line(project: Project) -> None:
    (project.folder / ".env.local").write_text("\nJWT_SECRET: x\n")
    for script in ("scripts/up.sh", "scripts/sign-token.py"):
        done = project.run(script)
        assert done.returncode == 1
        assert done.stderr == (
            "error: .env.local, line 2: expected NAME=VALUE, found 'JWT_SECRET: x': "
            "write it without spaces around the =\n"
        )


def test_an_install_that_fails_says_so_and_is_tried_again(bare: Project, tmp_path: Path) -> None:
    (bare.folder / ".venv").unlink()
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    for _ in range(2):
        done = bare.run("scripts/status.sh", **nowhere)
        assert done.returncode == 1
        assert "No matching distribution found" in done.stderr
        assert done.stderr.endswith("error: pip could not install these packages: is PyPI reachable?\n")


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh") if shutil.which(shell)])
def test_the_documented_aws_commands_work_as_they_are(shared: Project, shell: str) -> None:
    section = DEVELOP[DEVELOP.index("The engine is an AWS endpoint like any other") :]
    commands = section.partition("```sh\n")[2].partition("```")[0]
    commands = commands.replace("http://127.0.0.1:4566", shared.engine)
    commands = commands.replace("outputs/api_id", str(shared.outputs / "api_id"))
    shared.stack.shorten({"long_url": "https://example.com/", "code": "aws-cli"})
    done = subprocess.run(
        [shell, "-c", commands], cwd=shared.folder, env=shared.environment, capture_output=True, text=True, check=True
    )
    assert re.search(r"^aws-cli\t\d+$", done.stdout, re.MULTILINE)
    assert "GET /r/{code}" in done.stdout
    assert "['shortlinks']" in done.stdout


def test_the_dev_container_and_the_workflow_run_what_is_there() -> None:
    container = json.loads((CHECKOUT / ".devcontainer/devcontainer.json").read_text())
    assert container["forwardPorts"] == [int(DEFAULTS["HOST_PORT"])]
    workflow = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["ci"]["steps"] if "run" in step]
    for command in [container["postStartCommand"], *commands]:
        assert os.access(CHECKOUT / command.split()[0], os.X_OK)
