"""scripts/open.sh, and what up.sh says of a stack that is up."""

import base64
import json
import subprocess
from pathlib import Path

import httpx
import jwt
import pytest

from project import Project


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Return a browser that writes down what it is to open."""
    path = tmp_path / "browser"
    path.write_text('#!/bin/sh\necho "$1" >"$0.opened"\n')
    path.chmod(0o755)
    return path


def test_open_opens_the_page_signed_in(shared: Project, browser: Path) -> None:
    printed = shared.check("scripts/open.sh", "Ünï code", BROWSER=str(browser))
    assert printed == f"==> opened {shared.stack.url}/\n"
    page, _, token = browser.with_suffix(".opened").read_text().strip().partition("#token=")
    assert httpx.get(page).text.startswith("<!doctype html>")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "Ünï code"


def test_open_without_a_browser_says_where_the_page_is_and_no_token(shared: Project) -> None:
    done = shared.run("scripts/open.sh", BROWSER="false")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: no browser opens here: open {shared.stack.url}/ and paste the token of scripts/sign-token.py\n"
    )


def test_open_without_a_stack_says_how_to_get_one(tmp_path: Path) -> None:
    done = Project.copy(tmp_path).run("scripts/open.sh", BROWSER="true")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no stack is up, or its last build failed (")
    assert done.stderr.endswith("): run scripts/up.sh first\n")


def test_open_takes_one_user(shared: Project) -> None:
    done = shared.run("scripts/open.sh", "ada", "eve")
    assert done.returncode == 1
    assert done.stderr == "error: unknown argument 'eve': scripts/open.sh [USER]\n"


def test_up_says_in_eight_lines_what_is_up_and_how_to_call_it(shared: Project) -> None:
    printed = shared.check("scripts/up.sh", LOCALSTACK_AUTH_TOKEN="ls-token")
    assert printed.splitlines()[0].endswith(", embedded (ENGINE=embedded)")
    assert "warning: LocalStack needs Docker, so LOCALSTACK_AUTH_TOKEN is not used" in printed
    assert "warning: JWT_SECRET" not in printed
    said = printed[printed.index("\nThe page is up") :].strip().splitlines()
    assert said[:3] == [
        f"The page is up: {shared.stack.url}/",
        "scripts/open.sh opens it, signed in",
        f"The API is up: {shared.stack.url}",
    ]
    assert jwt.decode(said[4], shared.stack.secret, algorithms=["HS256"])["sub"] == "user-1"
    assert len(said) <= 8
    for script in ("smoke.sh", "dev.sh", "down.sh"):
        assert f"scripts/{script}" in said[-1]
    command = printed[printed.index("curl ") :].partition("\n\n")[0]
    answer = subprocess.run(
        ["bash", "-c", command], cwd=shared.folder, env=shared.environment, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["long_url"] == "https://example.com/"
