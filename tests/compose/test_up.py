"""One command, and the API answers: docker compose up."""

import re
import subprocess
from http import HTTPStatus

import pytest

from containers import LOOK_EVERY, Containers
from project import until

pytestmark = pytest.mark.compose


def test_in_the_foreground_the_build_is_read_on_the_terminal(project: Containers) -> None:
    terminal = project.folder.parent / "terminal"
    with terminal.open("w") as output:
        process = subprocess.Popen(
            ["docker", "compose", "up", "--no-color", "--no-log-prefix"],
            cwd=project.folder,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until("the build is over", lambda: "==> ready in " in terminal.read_text() or process.poll() is not None)
        until("the health check agrees", lambda: project.health == "healthy", look_every=LOOK_EVERY)
        with project.stack.http() as client:
            assert client.head("/r/unknown").status_code == HTTPStatus.NOT_FOUND
        lines = terminal.read_text().splitlines()
        url = project.stack.url
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert not project.published
    build = [line for line in lines if re.fullmatch(r"==> (?!running).*|  \S.* ms", line)]
    steps = [line.split()[0] for line in build if not line.startswith("==>")]
    assert re.fullmatch(
        rf"==> table: account \d{{12}}, us-east-1, http://127.0.0.1:{project.settings['HOST_PORT']}", build[0]
    )
    assert steps[0] == "table"
    assert steps[-1] == "probe"
    assert {"API", "role", "function", "integration", "authorizer", "route", "stage", "permission"} <= {*steps}
    assert re.fullmatch(r"==> ready in \d+\.\d s: (\S+)", build[-1])
    assert build[-1].endswith(url)
    after = lines[lines.index(build[-1]) + 1 :]
    assert any("curl " in line and url in line for line in after), after


def test_the_first_request_to_try_works_as_it_is_printed(shared: Containers) -> None:
    printed = shared.check("scripts/up.sh")
    found = re.search(r"^    try: (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)
    assert found, printed
    answer = subprocess.run(
        ["bash", "-c", found[1]], cwd=shared.folder, env=shared.environment, capture_output=True, text=True
    )
    assert '"code"' in answer.stdout, f"{found[1]}\n{answer}"


def test_the_smoke_test_passes(shared: Containers) -> None:
    assert shared.check("scripts/smoke.sh").endswith("==> all as it should be\n")
