"""Shells that are set up for other work: no variable, rc file or folder name changes what the scripts do."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest

from project import CHECKOUT, DEFAULTS, Project, answers
from session import session

pytestmark = pytest.mark.long

README = (CHECKOUT / "README.md").read_text()
DEVELOP = (CHECKOUT / "docs/develop.md").read_text()
INTERACTIVE = shutil.which("zsh") or "bash"
DEAD = "http://127.0.0.1:9"  # nothing listens there
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), DEAD)
SHELLS: dict[str, dict[str, str | None]] = {  # None: not set
    "a company's": {
        **PROXIES,
        "all_proxy": "socks5://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "AWS_PROFILE": "no-such-profile",
        "AWS_SESSION_TOKEN": "expired",
        "AWS_CA_BUNDLE": "/nonexistent/ca.pem",
        "CURL_HOME": "{home}",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_USER": "1",
        "PIP_TARGET": "/nonexistent",
        "TMPDIR": "{home}/tmp",
        "VIRTUAL_ENV": "/nonexistent/venv",
        # … of somebody who likes to tinker.
        "BASH_ENV": "{home}/bash_env",
        "ENV": "{home}/bash_env",
        "BASH_FUNC_curl%%": "() { echo hijacked; }",
        "CDPATH": "/:{home}",
        "GREP_OPTIONS": "--invert-match",
        "LC_ALL": "C",
        "POSIXLY_CORRECT": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONPATH": "{home}/modules",
        "PYTHONSAFEPATH": "1",
        "PYTHONSTARTUP": "/nonexistent/startup.py",
        "PYTHONWARNINGS": "error",
        "SHELLOPTS": "noclobber:noglob",
    },
    "a cloud engineer's": {
        "HOME": None,
        "LANG": None,
        "no_proxy": "example.com",
        "http_proxy": "not a proxy",
        "AWS_PROFILE": "work",  # needs SSO
        "AWS_CONFIG_FILE": "{home}/.aws/config",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL": DEAD,
        "AWS_ENDPOINT_URL_DYNAMODB": DEAD,
        "AWS_ENDPOINT_URL_LAMBDA": DEAD,
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_DEFAULT_OUTPUT": "table",
        "AWS_PAGER": "/nonexistent/pager",
        "LC_ALL": "tr_TR.UTF-8",
    },
}
PASTED_INTO = {"curl --noproxy": "a company's", "httpx": "a company's", "status.sh --env": "a cloud engineer's"}
FILES = {
    "tmp/.keep": "",
    ".curlrc": f"fail\ninclude\nproxy = {DEAD}\n",
    ".aws/config": """[default]
region = eu-central-1
output = yaml
endpoint_url = http://127.0.0.1:9
ca_bundle = /nonexistent/ca.pem
[profile work]
sso_session = work
sso_account_id = 123456789012
sso_role_name = developer
services = work
[sso-session work]
sso_region = eu-central-1
sso_start_url = https://work.awsapps.com/start
[services work]
dynamodb =
  endpoint_url = http://127.0.0.1:9
""",
    "bash_env": 'set -o noclobber\nIFS=/\ncd() { echo hijacked; builtin cd "$@"; }\n',
    "modules/stack/__init__.py": "raise ImportError('another project')\n",
    "modules/boto3.py": "raise ImportError('another project')\n",
    "scripts/lib/common.sh": "echo hijacked\n",  # where CDPATH leads
    ".config/pip/pip.conf": "[install]\nuser = true\ntarget = /nonexistent\n",
}


@dataclass
class Hostile(Project):
    """A project whose commands run in somebody's own shell."""

    shell: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder.parents[1] / "my home"

    @property
    def environment(self) -> dict[str, str]:
        mixed = {**super().environment, "HOME": str(self.home), **self.shell}
        return {name: value.replace("{home}", str(self.home)) for name, value in mixed.items() if value is not None}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """Yield a stack that was started from all of the shells at once, in a folder whose name has all that needs care."""
    folder = tmp_path_factory.mktemp("hostile") / 'it\'s a "wörk" $HOME'
    for name, text in FILES.items():
        path = folder.parent / "my home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir()
    copy = Project.copy(folder)
    everything = {name: value for shell in SHELLS.values() for name, value in shell.items() if value is not None}
    project = Hostile(copy.folder, {**copy.settings, "OUTPUTS_DIR": str(copy.folder / "outputs")}, everything)
    umask = os.umask(0o077)
    try:
        project.up()
        yield project
    finally:
        project.shell = everything
        project.down("--wipe")
        os.umask(umask)
    assert not (project.state / "data").exists()


@pytest.fixture
def shell(hostile: Hostile, request: pytest.FixtureRequest) -> Hostile:
    """Return the stack, from one of the shells."""
    hostile.shell = SHELLS[request.param]
    return hostile


def from_shell(name: str) -> pytest.MarkDecorator:
    """Run a test from this shell, and from the others only in a search."""
    shells = [one if one == name else pytest.param(one, marks=pytest.mark.search) for one in SHELLS]
    return pytest.mark.parametrize("shell", shells, indirect=True)


@pytest.mark.search
@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_up_redeploys(shell: Hostile) -> None:
    done = shell.run("scripts/up.sh")
    assert done.returncode == 0, done.stderr
    assert f"The API is up: {shell.stack.url}" in done.stdout
    assert "hijacked" not in done.stdout + done.stderr


@pytest.mark.search  # as status.sh --env does, which the README has
@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_status_says_that_the_api_answers(shell: Hostile) -> None:
    printed = shell.check("scripts/status.sh")
    assert "healthy: the API answers" in printed
    assert f"{shell.engine}\n" in printed


@from_shell("a company's")
def test_smoke_passes(shell: Hostile) -> None:
    printed = shell.check("scripts/smoke.sh")
    assert printed.startswith(f"==> {shell.stack.url}\n")
    assert printed.endswith("==> all as it should be\n")


@from_shell("a cloud engineer's")
def test_logs_show_a_request(shell: Hostile) -> None:
    shell.stack.follow("hostile")
    with session(shell, "scripts/logs.sh", "redirect") as follower:
        follower.shows("GET /r/{code}")


@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_sign_token_prints_a_token_and_nothing_else(shell: Hostile) -> None:
    done = shell.run("scripts/sign-token.py", "user-7")
    said = [line for line in done.stderr.splitlines() if "setlocale" not in line]  # which pyenv's own python3 says
    assert (done.returncode, said) == (0, [])
    assert jwt.decode(done.stdout.strip(), DEFAULTS["JWT_SECRET"], algorithms=["HS256"])["sub"] == "user-7"


@pytest.mark.search
@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_dev_redeploys_what_is_saved(shell: Hostile) -> None:
    handler = shell.folder / "lambdas/redirect/handler.py"
    with session(shell, "scripts/dev.sh") as developer:
        developer.shows("watching lambdas/")
        handler.write_text(f"{handler.read_text()}\n# saved\n")
        developer.shows("saved: lambdas/redirect/handler.py")
        developer.shows("updated")
        assert developer.interrupt() == 0
    assert answers(shell.engine)


@from_shell("a company's")
def test_test_starts_pytest(shell: Hostile) -> None:
    """The suite itself drops what is hostile from its own environment."""
    done = subprocess.run(
        [CHECKOUT / "scripts/test.sh", "--version"], env=shell.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).startswith("pytest ")


@pytest.mark.parametrize(
    ("block", "shell"),
    [
        pytest.param(block, shell, marks=[] if shell == PASTED_INTO[block] else pytest.mark.search)
        for block in PASTED_INTO
        for shell in SHELLS
    ],
    indirect=["shell"],
)
def test_the_readmes_commands_work_as_they_are_pasted(shell: Hostile, block: str) -> None:
    section = README[README.index("## Call it") : README.index("## Change a function")]
    section += DEVELOP[DEVELOP.index("## Call the API") : DEVELOP.index("## Deploy to another")]
    (found,) = [
        part for part in section.split("```")[1::2] if block in part and ("import httpx" in part) == (block == "httpx")
    ]
    language, _, code = found.partition("\n")
    code = code.replace("http://127.0.0.1:4566", shell.engine)
    shell.stack.shorten({"long_url": "https://example.com/", "code": "mine"})
    python = [str(shell.folder / ".venv/bin/python"), "-c"]
    interactive = {name: value for name, value in shell.environment.items() if not name.startswith(("PYTHON", "BASH"))}
    done = subprocess.run(
        [*(python if language == "python" else [INTERACTIVE, "-c"]), code],
        cwd=shell.folder,
        env=interactive,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for wanted in {
        "curl --noproxy": ("302", "https://example.com/"),
        "httpx": ("https://example.com/",),
        "status.sh --env": ("mine\t", "GET /r/{code}", "['shortlinks']"),
    }[block]:
        assert wanted in done.stdout
