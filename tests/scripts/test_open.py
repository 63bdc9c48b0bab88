"""scripts/open.sh: the page, signed in."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import builds
from project import TLS, Project


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a stack that was built by hand."""
    with builds.engine_of(Project.copy(tmp_path_factory.mktemp("open"))) as project:
        builds.succeed(project)
        yield project


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Return a browser that writes down what it is to open."""
    path = tmp_path / "browser"
    path.write_text('#!/bin/sh\necho "$1" >"$0.opened"\n')
    path.chmod(0o755)
    return path


def test_open_opens_the_page_signed_in(up: Project, browser: Path) -> None:
    printed = up.check("scripts/open.sh", "Ünï code", BROWSER=str(browser))
    assert printed == f"==> opened {up.stack.url}/\n"
    page, _, token = browser.with_suffix(".opened").read_text().strip().partition("#token=")
    assert httpx.get(page, verify=TLS).text.startswith("<!doctype html>")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "Ünï code"


def test_open_without_a_browser_says_where_the_page_is_and_no_token(up: Project) -> None:
    done = up.run("scripts/open.sh", BROWSER="false")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: no browser opens here: open {up.stack.url}/ and paste the token of scripts/sign-token.py\n"
    )


def test_open_without_a_stack_says_how_to_get_one(tmp_path: Path) -> None:
    done = Project.copy(tmp_path).run("scripts/open.sh", BROWSER="true")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no stack is up, or its last build failed (")
    assert done.stderr.endswith("): run scripts/up.sh first\n")


def test_open_takes_one_user(up: Project) -> None:
    done = up.run("scripts/open.sh", "ada", "eve")
    assert done.returncode == 1
    assert done.stderr == "error: unknown argument 'eve': scripts/open.sh [USER]\n"
