"""A function's packages in Docker: installed on the host, for the Python of the image."""

import subprocess
from pathlib import Path

import pytest

import wheels
from containers import SERVICE, Containers, last_error

pytestmark = pytest.mark.compose

HANDLER = """import json, sys
import measures


def handler(event, context):
    return {"statusCode": 200, "body": json.dumps([measures.SIZE, sys.version_info[:2]])}
"""


def test_plain_compose_up_names_the_command_that_installs_packages(project: Containers, tmp_path: Path) -> None:
    folder = project.folder / "lambdas/probe"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    (folder / "requirements.txt").write_text("measures\n")
    project.define('        Function("probe", (Route("GET /probe"),)),\n')
    wheels.make(tmp_path / "index", "measures", {"measures.py": "SIZE = 1\n"})
    project.settings |= wheels.only(tmp_path / "index")

    assert project.docker("compose", "up", "--wait").returncode != 0
    error = last_error(project.log())
    assert error.startswith("error: lambdas/probe/requirements.txt: the packages are not installed for Python 3.")
    assert error.endswith("; run scripts/up.sh, which installs them")

    printed = project.check("scripts/up.sh")
    python = subprocess.run(
        [
            "docker",
            "compose",
            "exec",
            "-T",
            SERVICE,
            "python3",
            "-c",
            "import sys; print(*sys.version_info[:2], sep='.')",
        ],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert f"==> installing lambdas/probe/requirements.txt for Python {python} (" in printed
    with project.stack.http() as client:
        assert client.get("/probe").json() == [1, [int(part) for part in python.split(".")]]
    assert "function  probe       live" in project.check("scripts/status.sh")
    project.compose("down")
    project.compose_up()
    with project.stack.http() as client:
        assert client.get("/probe").status_code == 200
