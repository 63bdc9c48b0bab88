"""scripts/sign-token.py, as it is called in somebody's ``$(…)``: a token, or an exit code and one line on stderr."""

import ast
import shutil
import subprocess
import time
from pathlib import Path

import jwt
import pytest

from project import CHECKOUT, DEFAULTS, Project

SCRIPT = "scripts/sign-token.py"
SECRET = DEFAULTS["JWT_SECRET"]


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """Return a copy of the checkout, with nothing running, in a folder with a space and a letter beyond ASCII."""
    folder = tmp_path / "wörk in progress"
    folder.mkdir()
    return Project.copy(folder)


def shell(project: Project, command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command line that calls the script as $1; stdout and stderr are what is not redirected."""
    return subprocess.run(
        ["bash", "-c", command, "bash", project.folder / SCRIPT],
        cwd="/",
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one line of a call that failed."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ('"$1" user-1 ""', "USER and SECRET must not be empty"),
        ('"$1" a b c', "unrecognized arguments: c"),
        ("\"$1\" $'\\xff'", "USER and SECRET must be UTF-8"),
        ('"$1" >&-', "the token cannot be written to stdout (Bad file descriptor)"),
        ("JWT_SECRET=$'\\xff' \"$1\"", "JWT_SECRET is not UTF-8"),
        ('LOG_LEVEL=LOUD "$1"', "LOG_LEVEL is 'LOUD'"),
    ],
)
def test_what_cannot_be_signed_is_an_error(bare: Project, command: str, says: str) -> None:
    assert says in failure(shell(bare, command))


def test_settings_that_cannot_be_read_are_an_error(bare: Project) -> None:
    (bare.folder / ".env").write_text("JWT_SECRET=pa$word\n")
    assert ".env, line 1: the value of JWT_SECRET has a $" in failure(bare.run(SCRIPT))


def test_a_token_is_for_the_user_and_good_for_an_hour(bare: Project) -> None:
    secret = "a-secret-of-our-own-that-is-long-enough"
    printed = bare.check(SCRIPT, "user-7", secret, JWT_ISSUER="me", JWT_AUDIENCE="you")
    claims = jwt.decode(printed.strip(), secret, algorithms=["HS256"], audience="you")
    assert (claims["sub"], claims["iss"]) == ("user-7", "me")
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_without_env_the_defaults_sign(bare: Project) -> None:
    (bare.folder / ".env").unlink()
    assert jwt.decode(bare.check(SCRIPT, JWT_SECRET="").strip(), SECRET, algorithms=["HS256"])["sub"] == "user-1"


def test_a_secret_in_single_quotes_is_taken_to_the_letter(bare: Project) -> None:
    (bare.folder / ".env.local").write_text("JWT_SECRET='pa$word #1'  # mine\n")
    assert jwt.decode(bare.check(SCRIPT).strip(), "pa$word #1", algorithms=["HS256"])["sub"] == "user-1"


def test_it_works_through_a_link_from_any_folder(bare: Project, tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(bare.folder / SCRIPT)
    done = subprocess.run(["./token"], cwd=tmp_path, env=bare.environment, capture_output=True, text=True, check=True)
    assert jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])["sub"] == "user-1"


def old_python() -> str | None:
    """Return a Python 3 of this machine that is too old for the project, if there is one."""
    candidates = [shutil.which(f"python3.{minor}") for minor in range(6, 11)]
    candidates += [str(path) for path in Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python")]
    return next((path for path in candidates if path and _runs(path)), None)


def _runs(path: str) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


def test_an_old_python_finds_a_newer_one_or_says_what_is_needed(bare: Project) -> None:
    python = old_python()
    if python is None:
        pytest.skip("needs a Python 3.6 to 3.10")
    command = [python, str(bare.folder / SCRIPT)]
    done = subprocess.run(command, env=bare.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (bare.folder / ".venv").unlink()
    done = subprocess.run(command, env={"PATH": "/nonexistent"}, capture_output=True, text=True)
    assert failure(done) == "error: Python 3.11 or newer is needed: install it\n"


def test_any_python_3_can_read_it() -> None:
    ast.parse((CHECKOUT / SCRIPT).read_text(), feature_version=(3, 6))
