"""A function's packages in Docker: installed on the host, for the Python of the image."""

import subprocess
from pathlib import Path

import pytest

import wheels
from containers import SERVICE, Containers, last_error
from session import session
from stack import packages

pytestmark = pytest.mark.compose

HANDLER = """import importlib.util, json, sys
import measures


def handler(event, context):
    hidden = [name for name in ("cryptography", "hypercorn", "ministack") if importlib.util.find_spec(name)]
    return {"statusCode": 200, "body": json.dumps([measures.SIZE, sys.version_info[:2], hidden])}
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
        assert client.get("/probe").json() == [1, [int(part) for part in python.split(".")], []]
    assert "function  probe       live" in project.check("scripts/status.sh")
    project.compose("down")
    project.compose_up()
    with project.stack.http() as client:
        assert client.get("/probe").status_code == 200


def test_dev_finds_code_that_cannot_be_loaded_though_the_container_has_another_python(
    project: Containers, tmp_path: Path
) -> None:
    folder = project.folder / "lambdas/probe"
    folder.mkdir()
    source = "import native\ndef handler(event, context):\n    return {'statusCode': 200, 'body': 'first'}\n"
    (folder / "handler.py").write_text(source)
    (folder / "requirements.txt").write_text("native\n")
    project.define('        Function("probe", (Route("GET /probe"),)),\n')
    for minor in range(11, 16):  # as native code would be, these are for one Python each
        module = f"import sys\nif sys.version_info[1] != {minor}:\n    raise ImportError('for Python 3.{minor}')\n"
        tag = f"cp3{minor}-cp3{minor}-manylinux_2_17_{packages.own().machine}"
        wheels.make(tmp_path / "index", "native", {"native.py": module}, tag=tag)
    project.settings |= wheels.only(tmp_path / "index")
    with session(project, "scripts/dev.sh") as window:
        window.shows("watching lambdas/")
        (folder / "handler.py").write_text(f"{source}\nmissing\n")
        window.shows("lambdas/probe/handler.py, line 5: function probe cannot be loaded: NameError")
        with project.stack.http() as client:
            assert client.get("/probe").text == "first"
            (folder / "handler.py").write_text(source.replace("first", "second"))
            window.shows("function    probe                  updated")
            assert client.get("/probe").text == "second"
        assert window.interrupt() == 0


def test_native_code_of_a_package_runs_in_the_container(project: Containers) -> None:
    folder = project.folder / "lambdas/probe"
    folder.mkdir()
    source = "import pydantic_core\ndef handler(event, context):\n    return {'statusCode': 200, 'body': 'loaded'}\n"
    (folder / "handler.py").write_text(source)
    (folder / "requirements.txt").write_text("pydantic-core\n")
    project.define('        Function("probe", (Route("GET /probe"),)),\n')
    project.up()
    with project.stack.http() as client:
        assert client.get("/probe").text == "loaded"
