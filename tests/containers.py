"""A checkout of the project whose stack runs in Docker Compose."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from project import Project, until
from stack.outputs import API_ID_FILE

SERVICE = "localstack"
# Chooses LocalStack; its stand-in takes any token.
LOCALSTACK = {"LOCALSTACK_AUTH_TOKEN": os.environ.get("LOCALSTACK_AUTH_TOKEN") or "for-a-stand-in"}
LOOK_EVERY = 0.2  # seconds between questions to Docker, which take time from the engine
PROMPT = 60  # seconds; far less than the health check's own timeout, so nothing waited for that


@dataclass
class Containers(Project):
    """The project as ``docker compose`` sees it; each has a Compose project, port and volume of its own."""

    @classmethod
    def fresh(cls, folder: Path, **changes: str) -> "Containers":
        """Return a project in a fresh copy of this checkout, with nothing running yet."""
        project = Project.copy(folder, ENGINE="docker", **changes)
        project.outputs.mkdir()
        return cls(project.folder, project.settings)

    @classmethod
    @contextlib.contextmanager
    def standing(cls, folder: Path, **changes: str) -> "Iterator[Containers]":
        """Yield a fresh copy whose stack is up."""
        containers = cls.fresh(folder, **changes)
        try:
            containers.up()
            yield containers
        finally:
            containers.discard()

    @property
    def environment(self) -> dict[str, str]:
        """Add the developer's choice of a Docker engine."""
        docker = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
        return {**docker, **super().environment}

    def docker(
        self, *arguments: str, patience: float = 300, changes: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a docker command in the checkout, and return its result."""
        return subprocess.run(
            ["docker", *arguments],
            cwd=self.folder,
            env={**self.environment, **(changes or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
        )

    def compose(self, *arguments: str, **changes: str) -> str:
        """Run a docker compose command that must succeed, and return its stdout."""
        done = self.docker("compose", *arguments, changes=changes)
        assert done.returncode == 0, f"compose {arguments} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def compose_up(self) -> None:
        """Run the one command of the README."""
        self.compose("up", "--wait")

    def discard(self) -> None:
        """Leave no container and no volume behind."""
        self.docker("compose", "down", "--volumes", "--remove-orphans", "--timeout", "1")

    @property
    def container(self) -> str:
        """Return the ID of the engine's container, running or not."""
        return self.compose("ps", "--all", "--quiet", SERVICE).strip()

    @property
    def container_name(self) -> str:
        """Return the name that Compose gives the engine's container, which costs no question."""
        return f"shortener-{self.settings['HOST_PORT']}-{SERVICE}-1"

    def inspect(self, template: str) -> str:
        done = self.docker("inspect", "--format", template, self.container_name)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def health(self) -> str:
        """Return starting, healthy or unhealthy."""
        return self.inspect("{{.State.Health.Status}}")

    @property
    def published(self) -> bool:
        return (self.outputs / API_ID_FILE).exists()

    def log(self) -> str:
        """Return what the container has printed; nothing if there is none yet."""
        done = self.docker("logs", self.container_name)
        return done.stdout + done.stderr

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside the engine's container, and return its result."""
        return self.docker("compose", "exec", "-T", SERVICE, "sh", "-c", command)

    def kill_container(self) -> None:
        """Kill the engine, which has no time to save anything."""
        assert self.docker("kill", self.container).returncode == 0
        until("the container is gone", lambda: self.inspect("{{.State.Running}}") == "false")

    def wait_until_judged(self) -> str:
        """Return the health check's first verdict; assert that healthy always means published."""

        def verdict() -> str:
            health = self.health
            assert health != "healthy" or self.published
            return "" if health == "starting" else health

        return until("the health check has a verdict", verdict, look_every=LOOK_EVERY)


def last_error(printed: str) -> str:
    """Return the last error line; assert that there is no traceback."""
    assert "Traceback" not in printed
    errors = re.findall(r"^.*?(error: .*)", printed, re.MULTILINE)
    assert errors, printed
    return str(errors[-1])
