"""One command, and the API answers: docker compose up."""

import json
import re
import subprocess
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from containers import SERVICE, Containers
from project import Stack, until

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "first"}


def test_the_first_request_is_answered_right(project: Containers) -> None:
    project.compose_up()
    answer = project.stack.shorten(LINK)
    assert (answer.status_code, answer.json()) == (HTTPStatus.CREATED, {**LINK, "owner_id": "user-1"})


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
        until("the health check agrees", lambda: project.health == "healthy")
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
    assert re.match(r"==> table: account \d{12}, us-east-1, http://127\.0\.0\.1:4566", build[0])
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


def test_the_api_id_is_read_on_the_host_and_in_another_container(shared: Containers, stack: Stack) -> None:
    image = shared.inspect("{{.Config.Image}}")
    volume = f"{shared.outputs}:/outputs:ro"
    seen = shared.docker(
        "run", "--rm", "--user", "65534", "--volume", volume, "--entrypoint", "cat", image, "/outputs/api_id"
    )
    assert seen.stdout == (shared.outputs / "api_id").read_text() == f"{stack.api_id}\n"


def test_another_service_can_wait_for_the_stack(project: Containers) -> None:
    (project.folder / "docker-compose.override.yml").write_text(f"""
services:
  reader:
    image: ${{MINISTACK_IMAGE}}
    depends_on: {{{SERVICE}: {{condition: service_healthy}}}}
    volumes: ["${{OUTPUTS_DIR}}:/outputs:ro"]
    entrypoint: [cat, /outputs/api_url]
    healthcheck: {{disable: true}}
""")
    project.compose("up", "--detach")
    printed = until("the reader has read", lambda: project.compose("logs", "--no-log-prefix", "reader"))
    assert printed.strip() == project.stack.url
    assert project.stack.follow("unknown").json() == {"error": "not found"}


def test_the_stack_is_built_whatever_proxy_the_docker_cli_passes_on(project: Containers, tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"
    config = {"proxies": {"default": {"httpProxy": dead, "httpsProxy": dead, "noProxy": "example.com"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    project.compose("up", "--wait", DOCKER_CONFIG=str(tmp_path))
    assert f"http_proxy={dead}" in project.shell("env").stdout
    assert project.stack.shorten(LINK).status_code == HTTPStatus.CREATED


def test_the_smoke_test_passes(shared: Containers) -> None:
    assert shared.check("scripts/smoke.sh").endswith("==> all as it should be\n")


def test_up_and_down_are_the_stack_in_docker(project: Containers) -> None:
    project.outputs.rmdir()  # up.sh makes it
    stack = project.up()
    assert stack.shorten(LINK).status_code == HTTPStatus.CREATED
    project.down()
    assert project.container == ""
    assert not project.published
    assert project.up().follow("first").status_code == HTTPStatus.FOUND
    project.down("--wipe")
    assert project.docker("volume", "ls", "--quiet", "--filter", f"name={volume(project)}").stdout == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(project.engine)


def volume(project: Containers) -> str:
    return f"shortener-{project.settings['HOST_PORT']}_state"
