"""A MiniStack that the wrapper was not made for is refused."""

import subprocess
import sys

import pytest

from project import CHECKOUT


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ministack.services.dynamodb", "_set_item"),
        ("ministack.core.lambda_runtime.Worker", "_read_stderr"),
        ("hypercorn.asyncio.tcp_server.TCPServer", "_idle_timeout"),
    ],
)
def test_a_ministack_that_lacks_a_name_is_refused_in_one_line(module: str, name: str) -> None:
    package, _, owner = module.rpartition(".")
    remove = f"from {package} import {owner} as owner; delattr(owner, {name!r})"
    start = (
        "import runpy, sys; sys.argv = ['stack.ministack']; runpy.run_module('stack.ministack', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", f"{remove}\n{start}"], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(
        f"error: this MiniStack lacks {module}: {name}; stack/ministack was made for MiniStack 1.5.33"
    )
