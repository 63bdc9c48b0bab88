"""The scripts' own packages: where they go, and what happens to a .venv that is there already."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from project import Project

pytestmark = pytest.mark.long

PROBE = """#!/usr/bin/env bash
source "$(dirname "$0")/lib/common.sh"
find_python
need dev
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a copy whose one package comes from a folder, and which has no .venv."""
    wheel = tmp_path / "wheels/probe-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("probe.py", "")
        program = zipfile.ZipInfo("probe-1.0.data/scripts/probe")
        program.external_attr = 0o100755 << 16  # an executable file
        file.writestr(program, "#!python\nimport sys\nprint('started', sys.argv[1:])\n")
        file.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        file.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("probe-1.0.dist-info/RECORD", "probe.py,,\nprobe-1.0.dist-info/METADATA,,\n")
    (tmp_path / "with a space").mkdir()
    project = Project.copy(tmp_path / "with a space")
    (project.folder / "pyproject.toml").write_text('[dependency-groups]\ndev = ["probe"]\n')
    (project.folder / "scripts/probe.sh").write_text(PROBE)
    (project.folder / "scripts/probe.sh").chmod(0o755)
    venv(project).unlink()
    project.settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    return project


def venv(project: Project) -> Path:
    return project.folder / ".venv"


def forget_probe(project: Project) -> None:
    for path in venv(project).glob("lib/python*/site-packages/probe*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (venv(project) / "installed-dev").unlink(missing_ok=True)


def has_probe(project: Project) -> bool:
    done = subprocess.run([venv(project) / "bin/python", "-c", "import probe"], capture_output=True)
    return done.returncode == 0


def test_packages_go_into_the_scripts_own_venv_whatever_pip_is_told_elsewhere(project: Project, tmp_path: Path) -> None:
    pipless = tmp_path / "python"  # whose venvs have no pip, as those that uv makes
    pipless.write_text(f'#!/bin/sh\n[ "$2" != venv ] || set -- "$@" --without-pip\nexec {sys.executable} "$@"\n')
    pipless.chmod(0o755)
    venv(project).mkdir()
    for name in ("made-by-these-scripts", "half"):  # … and were interrupted
        (venv(project) / name).touch()
    done = project.run("scripts/probe.sh", PYTHON=str(pipless), PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 1
    assert "making .venv" in done.stdout
    assert "adding pip to .venv" in done.stdout
    assert "No matching distribution found" in done.stderr
    assert done.stderr.endswith("error: pip could not install these packages: is PyPI reachable?\n")
    assert not (venv(project) / "half").exists()
    (venv(project) / "made-by-these-scripts").rename(venv(project) / "mine")  # from here on it is the user's
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\ntarget = /nonexistent/target\n")
    everywhere_else = (
        {
            "PIP_USER": "1",
            "PIP_REQUIRE_VIRTUALENV": "1",
            "PYTHONHOME": "/nonexistent/home",
            **{f"PIP_{name}": f"/nonexistent/{name.lower()}" for name in ("TARGET", "PREFIX", "ROOT")},
        },
        {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")},
    )
    for own in everywhere_else:
        forget_probe(project)
        project.check("scripts/probe.sh", **own)
        assert has_probe(project), own
        done = subprocess.run([venv(project) / "bin/probe", "an argument"], capture_output=True, text=True)
        assert done.stdout == "started ['an argument']\n"
    assert project.check("scripts/probe.sh") == ""  # nothing is left to do
    assert (venv(project) / "mine").exists()
    assert not Path("/nonexistent").exists()


def test_a_venv_that_cannot_be_used_is_left_as_it_is_unless_the_scripts_made_it(project: Project) -> None:
    venv(project).mkdir()
    (venv(project) / "mine").touch()
    done = project.run("scripts/probe.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: .venv was not made by these scripts")
    assert "move it away" in done.stderr
    assert [path.name for path in venv(project).iterdir()] == ["mine"]


def test_a_dangling_link_is_left_as_it_is(project: Project) -> None:
    venv(project).symlink_to("/nonexistent/venv")
    done = project.run("scripts/probe.sh")
    assert done.returncode == 1
    assert done.stderr.startswith("error: .venv was not made by these scripts")
    assert venv(project).is_symlink()
