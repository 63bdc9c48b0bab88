"""scripts/open.sh, and where up.sh says that the page is."""

import base64
import json
from pathlib import Path

import httpx
import pytest

from project import Project


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Return a browser that writes down what it is to open."""
    path = tmp_path / "browser"
    path.write_text('#!/bin/sh\necho "$1" >"$0.opened"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("arguments", "user"), [((), "user-1"), (("Ünï code",), "Ünï code")])
def test_open_opens_the_page_signed_in(shared: Project, browser: Path, arguments: tuple[str, ...], user: str) -> None:
    printed = shared.check("scripts/open.sh", *arguments, BROWSER=str(browser))
    assert printed == f"==> opened {shared.stack.url}/\n"
    page, _, token = browser.with_suffix(".opened").read_text().strip().partition("#token=")
    assert httpx.get(page).text.startswith("<!doctype html>")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == user


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


def test_up_names_the_page_first_and_then_what_opens_it(shared: Project) -> None:
    printed = shared.check("scripts/up.sh")
    said = printed[printed.index("\nThe page is up") :].strip().splitlines()
    assert said[:3] == [
        f"The page is up: {shared.stack.url}/",
        "scripts/open.sh opens it, signed in",
        f"The API is up: {shared.stack.url}",
    ]
    assert len(said) <= 8
