"""Resolve docker-compose.yml with Compose: which engine it starts, and what that engine is given."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from containers import SERVICE, Containers

pytestmark = pytest.mark.compose
SOCKET = "/var/run/docker.sock"


def service(tmp_path: Path, **changes: str) -> dict[str, Any]:
    """Return the one service, as Compose would run it."""
    resolved = json.loads(Containers.fresh(tmp_path).compose("config", "--format", "json", **changes))
    assert list(resolved["services"]) == [SERVICE]
    found: dict[str, Any] = resolved["services"][SERVICE]
    return found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def volumes(found: dict[str, Any]) -> dict[str, str]:
    return {volume["target"]: volume["source"] for volume in found["volumes"]}


def test_without_a_token_it_is_ministack_and_has_no_docker_socket(tmp_path: Path) -> None:
    found = service(tmp_path)
    assert found["image"].startswith("ministackorg/ministack:")
    assert "docker.sock" not in json.dumps(found)
    assert not [name for name in found["environment"] if name.startswith("LOCALSTACK_")]
    assert found["environment"]["PERSIST_STATE"] == "1"
    assert volumes(found)["/state"] == "state"
    assert found["read_only"] is True
    assert (found["cap_drop"], found["cap_add"]) == (["ALL"], ["DAC_OVERRIDE"])


def test_with_a_token_it_is_localstack_and_has_what_that_needs(tmp_path: Path) -> None:
    found = service(tmp_path, LOCALSTACK_AUTH_TOKEN="ls-token", DOCKER_SOCK="/run/user/1000/docker.sock")
    assert found["image"].startswith("localstack/localstack:")
    assert found["environment"]["LOCALSTACK_AUTH_TOKEN"] == "ls-token"
    assert found["environment"]["PERSISTENCE"] == "1"
    assert volumes(found)[SOCKET] == "/run/user/1000/docker.sock"
    assert volumes(found)["/var/lib/localstack"] == "state"


@pytest.mark.parametrize("token", ["", "ls-token"])
def test_with_either_engine_the_rest_is_the_same(tmp_path: Path, token: str) -> None:
    found = service(tmp_path, LOCALSTACK_AUTH_TOKEN=token, HOST_PORT="4599", JWT_ISSUER="me", PERSIST="0")
    assert found["image"].partition(":")[2][:1].isdigit()  # it is pinned
    (port,) = found["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "4599", 4566)
    assert (
        found["environment"] | {"HOST_PORT": "4599", "JWT_ISSUER": "me", "OUTPUTS_DIR": "/outputs"}
        == found["environment"]
    )
    assert found["environment"]["PERSISTENCE" if token else "PERSIST_STATE"] == "0"
    code = {v["target"]: v.get("read_only") for v in found["volumes"] if v["target"].startswith("/etc/localstack/")}
    assert code == {f"/etc/localstack/{name}": True for name in ("init", "stack", "lambdas")}
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "stack.engine.health" in found["healthcheck"]["test"][-1]


def test_env_local_overrides_env_where_compose_is_told_to_read_it(tmp_path: Path) -> None:
    containers = Containers.fresh(tmp_path)
    (containers.folder / ".env.local").write_text("JWT_ISSUER=local\nJWT_AUDIENCE=local\n")
    told = {"COMPOSE_ENV_FILES": ".env,.env.local", "JWT_AUDIENCE": "environment"}
    resolved = json.loads(containers.compose("config", "--format", "json", **told))
    environment = resolved["services"][SERVICE]["environment"]
    assert (environment["JWT_ISSUER"], environment["JWT_AUDIENCE"]) == ("local", "environment")


def test_localstack_accepts_the_file_as_compose_resolves_it(tmp_path: Path) -> None:
    containers = Containers.fresh(tmp_path)
    resolved = json.loads(
        containers.compose("config", "--format", "json", LOCALSTACK_AUTH_TOKEN="ls", HOST_PORT="4566")
    )
    found = resolved["services"][SERVICE]
    # LocalStack's CLI reads the file as text, and knows only the short forms of these, and port 4566.
    found["ports"] = [f"{port['host_ip']}:{port['published']}:{port['target']}" for port in found["ports"]]
    found["environment"] = [f"{name}={value}" for name, value in found["environment"].items()]
    file = tmp_path / "docker-compose.yml"
    file.write_text(json.dumps(resolved))
    done = subprocess.run(
        [containers.folder / ".venv/bin/localstack", "config", "validate", "--file", file],
        env={**containers.environment, "DISABLE_EVENTS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "config valid" in done.stdout


def test_localstack_is_told_the_name_of_its_container(tmp_path: Path) -> None:
    containers = Containers.fresh(tmp_path)
    name = service(_made(tmp_path / "localstack"), LOCALSTACK_AUTH_TOKEN="x", HOST_PORT="4599")["environment"][
        "MAIN_CONTAINER_NAME"
    ]
    containers.compose("create", HOST_PORT="4599")
    names = containers.compose("ps", "--all", "--format", "{{.Names}}", HOST_PORT="4599")
    containers.compose("down", "--volumes", HOST_PORT="4599")
    assert names.strip() == name
