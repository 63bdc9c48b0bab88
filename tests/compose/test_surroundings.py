"""The stack works in surroundings of the user: an own folder, proxies, a service beside it, a small disk."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import SERVICE, Containers
from project import until

pytestmark = pytest.mark.compose
LINK = {"long_url": "https://example.com/", "code": "kept"}
USER = 1000  # an ordinary one
PROXY = "http://127.0.0.1:9"  # which leads nowhere
OVERRIDE = f"""
services:
  reader:
    image: ${{MINISTACK_IMAGE}}
    user: "65534"
    depends_on: {{{SERVICE}: {{condition: service_healthy}}}}
    volumes: ["${{OUTPUTS_DIR}}:/outputs:ro"]
    entrypoint: [cat, /outputs/api_url, /outputs/api_id]
    healthcheck: {{disable: true}}
volumes:
  state: {{driver_opts: {{type: tmpfs, device: tmpfs, o: size=32m}}}}
"""


@pytest.fixture
def surrounded(project: Containers, tmp_path: Path) -> Iterator[Containers]:
    """Yield a stack that is up in all of these surroundings."""
    config = {"proxies": {"default": {"httpProxy": PROXY, "httpsProxy": PROXY, "noProxy": "example.com"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (project.folder / "docker-compose.override.yml").write_text(OVERRIDE)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        if os.getuid() == 0:
            os.chown(folder, USER, USER)
        project.settings["OUTPUTS_DIR"] = folder
        project.compose("up", "--detach", DOCKER_CONFIG=str(tmp_path))
        yield project
        project.discard()


def test_the_stack_is_built_in_a_users_own_surroundings(surrounded: Containers) -> None:
    stack = surrounded.stack
    assert stack.shorten(LINK).status_code == 201
    assert stack.follow("unknown").json() == {"error": "not found"}
    assert f"http_proxy={PROXY}" in surrounded.shell("env").stdout
    read = until("the reader has read", lambda: surrounded.compose("logs", "--no-log-prefix", "reader"))
    assert read.split() == [stack.url, stack.api_id]
    says_that_a_full_disk_is_one(surrounded)
    takes_the_outputs_and_stays_theirs(surrounded)
    done = surrounded.run("scripts/down.sh")
    assert done.returncode == 1
    assert "error: the engine has stopped, but not everything could be saved" in done.stderr


def says_that_a_full_disk_is_one(project: Containers) -> None:
    stack = project.stack
    project.shell("cat /dev/zero > /state/filler")
    for _ in range(20):  # the last block of the journal has room for some
        assert stack.follow("kept").status_code == 302
    assert stack.shorten({**LINK, "code": "new"}).status_code == 500
    assert "cannot be written to (No space left on device)" in project.run("scripts/status.sh").stdout


def takes_the_outputs_and_stays_theirs(project: Containers) -> None:
    """Assert that the user whose folder the outputs are in can read and remove them."""
    left = sorted(project.outputs.iterdir())
    assert [path.name for path in left] == ["api_id", "api_url"]
    identity = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
    for command in (["cat", *left], ["rm", "-f", *left]):
        done = subprocess.run(command, capture_output=True, text=True, **identity)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
    assert not project.published
