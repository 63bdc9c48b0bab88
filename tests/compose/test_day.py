"""A day's work in Docker on a function with a package, which the host installs for the Python of the image."""

import re
from collections.abc import Iterator

import pytest

import wheels
from containers import Containers, last_error
from project import answers, until
from session import session
from stack import packages

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "mine"}
HANDLER = """import importlib.util, json, sys
import native


def handler(event, context):
    hidden = [name for name in ("cryptography", "hypercorn", "ministack") if importlib.util.find_spec(name)]
    return {"statusCode": 200, "body": json.dumps(["first", sys.version_info[:2], hidden])}
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Yield a project whose function probe asks for a package, with nothing running and nothing installed."""
    containers = Containers.fresh(tmp_path_factory.mktemp("probe"))
    folder = containers.folder / "lambdas/probe"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    (folder / "requirements.txt").write_text("native\n")
    containers.define('        Function("probe", (Route("GET /probe"),)),\n')
    index = containers.folder.parent / "index"
    for minor in range(11, 16):  # as native code would be, these are for one Python each
        module = f"import sys\nif sys.version_info[1] != {minor}:\n    raise ImportError('for Python 3.{minor}')\n"
        tag = f"cp3{minor}-cp3{minor}-manylinux_2_17_{packages.own().machine}"
        wheels.make(index, "native", {"native.py": module}, tag=tag)
    containers.settings |= wheels.only(index)
    try:
        yield containers
    finally:
        containers.discard()


def test_plain_compose_up_names_the_command_that_installs_packages(probe: Containers) -> None:
    assert probe.docker("compose", "up", "--wait").returncode != 0
    error = last_error(probe.log())
    assert error.startswith("error: lambdas/probe/requirements.txt: the packages are not installed for Python 3.")
    assert error.endswith("; run scripts/up.sh, which installs them")

    printed = probe.check("scripts/up.sh")
    python = probe.shell("python3 -c \"import sys; print(*sys.version_info[:2], sep='.')\"").stdout.strip()
    assert f"==> installing lambdas/probe/requirements.txt for Python {python} (" in printed
    with probe.stack.http() as client:
        assert client.get("/probe").json() == ["first", [int(part) for part in python.split(".")], []]
    assert "function  probe       live" in probe.check("scripts/status.sh")
    probe.compose("down", "--volumes")


def test_a_save_is_live_what_is_up_is_told_and_ctrl_c_stops_what_was_started(probe: Containers) -> None:
    handler = probe.folder / "lambdas/redirect/handler.py"
    before = handler.read_text()
    own = probe.folder / "lambdas/probe/handler.py"
    with session(probe, "scripts/dev.sh") as window:
        window.shows("watching lambdas/, stack/ and .env")
        stack = probe.stack
        assert stack.shorten(LINK).status_code == 201
        stack.follow("mine")
        tells_what_is_up(probe)

        handler.write_text(before.replace('"no-store"', '"no-store, edited"'))
        until("the edit is live", lambda: stack.follow("mine").headers.get("cache-control") == "no-store, edited")
        handler.write_text(before.replace("    find = peek", "    find = = peek"))
        window.shows("error: lambdas/redirect/handler.py, line 15: invalid syntax")
        assert stack.follow("mine").headers["cache-control"] == "no-store, edited"
        window.shows("redirect   GET /r/{code}     302")
        handler.write_text(before)
        until("the fix is live", lambda: stack.follow("mine").headers.get("cache-control") == "no-store")

        # The container has another Python than the host.
        own.write_text(f"{HANDLER}\nmissing\n")
        window.shows("lambdas/probe/handler.py, line 9: function probe cannot be loaded: NameError")
        with stack.http() as client:
            assert client.get("/probe").json()[0] == "first"
            own.write_text(HANDLER.replace("first", "second"))
            window.shows("function    probe                  updated")
            assert client.get("/probe").json()[0] == "second"
        assert window.interrupt() == 0
    assert "Traceback" not in window.printed
    assert window.printed.endswith("==> down\n")
    assert not answers(probe.engine)
    assert not probe.published


def tells_what_is_up(probe: Containers) -> None:
    """Assert that scripts/status.sh and scripts/logs.sh say what there is, after one click on one link."""
    printed = probe.check("scripts/status.sh")
    assert re.search(rf"^engine    MiniStack [\d.]+, in Docker, {probe.engine}$", printed, re.MULTILINE)
    assert "state     healthy: the API answers\n" in printed
    states = dict(re.findall(r"^function  (\S+) +(\w+) ", printed, re.MULTILINE))
    assert {"shorten", "redirect", "links", "authorizer", "probe"} <= {*states}
    assert {*states.values()} == {"live"}
    assert "links     1, with 1 click\n" in printed
    with session(probe, "scripts/logs.sh", "redirect") as window:
        window.shows("redirect   GET /r/{code}     302")
        assert window.interrupt() == 0
