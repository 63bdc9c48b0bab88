"""The engine in Docker Compose, as scripts/up.sh and scripts/down.sh drive it."""

import contextlib
import fcntl
import functools
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stack import packages
from stack.engine import neighbours
from stack.engine.embedded import make_outputs, say
from stack.errors import DeployError
from stack.ministack.shutdown import UNSAVED
from stack.settings import PROJECT, Settings

SERVICE = "localstack"
VOLUME = "state"
OLDEST = (2, 20)  # of Compose
ANSWER_TIMEOUT = 20  # seconds
LOG_TAIL = "15"  # lines
MOUNTED = "/etc/localstack"
READY_HOOKS = f"{MOUNTED}/init/ready.d"
# Of the engine's log, the lines that the deployment prints.
BUILD_LINE = re.compile(r"==> .*|  \S.* ms|  warning: .*|    try: .*|         -H .*")


def problem() -> str | None:
    """Return what keeps the stack from Docker Compose on this machine, or None."""
    try:
        engine = _docker("version", "--format", "{{.Server.Version}}", timeout=ANSWER_TIMEOUT)
        if engine.returncode != 0:
            if "permission denied" in engine.stderr.lower():
                return "you may not use the Docker engine (permission denied on its socket)"
            return "no Docker engine answers"
        compose = _docker("compose", "version", "--short", timeout=ANSWER_TIMEOUT)
    except FileNotFoundError:
        return "Docker is not installed"
    except OSError as error:
        return f"docker cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"the Docker engine does not answer within {ANSWER_TIMEOUT} s"
    version = re.search(r"(\d+)\.(\d+)", compose.stdout)
    if compose.returncode != 0 or version is None:
        return "Docker has no Compose v2"
    if (int(version[1]), int(version[2])) < OLDEST:
        return f"Docker Compose {compose.stdout.strip()} is too old ({'.'.join(map(str, OLDEST))} or newer is needed)"
    return None


@dataclass(frozen=True)
class Compose:
    """The Compose project of one HOST_PORT."""

    settings: Settings

    @functools.cached_property
    def _config(self) -> Any:
        done = _docker("compose", "config", "--format", "json")
        if done.returncode != 0:
            raise DeployError(f"Docker Compose does not accept docker-compose.yml: {' '.join(done.stderr.split())}")
        return json.loads(done.stdout)

    @property
    def image(self) -> str:
        return str(self._config["services"][SERVICE]["image"])

    @property
    def volume(self) -> str:
        return str(self._config["volumes"][VOLUME]["name"])

    def up(self) -> None:
        """Start the engine's container and wait for the stack, or redeploy if it is running. Raises DeployError."""
        make_outputs(self.settings.outputs)
        with _turn():
            before, after = self._start()
        if before == after:
            for hook in sorted((PROJECT / "init/ready.d").glob("*.sh")):
                if not _run("compose", "exec", "-T", SERVICE, "sh", f"{READY_HOOKS}/{hook.name}"):
                    raise DeployError("the stack is not up to date (see above)")
            return
        for line in _docker("compose", "logs", "--no-log-prefix", SERVICE).stdout.splitlines():
            if BUILD_LINE.fullmatch(line):
                print(line)

    def _start(self) -> tuple[str, str]:
        """Start the engine's container and wait for its build; return the container before and after."""
        before = self.container("--status", "running")
        if not before:
            neighbours.check_port(self.settings.host_port)
            neighbours.check_outputs(self.settings)
            self._pull()
        self._install_packages()
        started = _run("compose", "up", "--detach", "--wait")
        after = self.container()
        if not started and not (before and before == after):
            # What was up and unhealthy may have been fixed since: then the redeployment below heals it.
            if after:
                _run("compose", "logs", "--no-log-prefix", "--tail", LOG_TAIL, SERVICE)
            raise DeployError("the stack could not be built (see above): fix it and run scripts/up.sh again")
        return before, after

    def down(self) -> bool:
        """Remove the engine's container; return False if there is none.

        Raises DeployError, also if the engine has stopped and could not save everything.
        """
        if not self.container():
            return False
        stopped = _run("compose", "stop", SERVICE)
        log = _docker("compose", "logs", "--no-log-prefix", "--tail", LOG_TAIL, SERVICE).stdout
        if not stopped or not _run("compose", "down"):
            raise DeployError("Docker Compose could not stop the stack (see above)")
        for line in log.splitlines():
            if line.startswith(f"error: {UNSAVED}"):
                raise DeployError(line.removeprefix("error: "))
        return True

    def wipe(self) -> bool:
        """Remove the engine's container and its volume; return False if there is no volume. Raises DeployError."""
        there = self._has_volume()
        if (there or self.container()) and not _run("compose", "down", "--volumes"):
            raise DeployError("Docker Compose could not remove the stack and its data (see above)")
        if self._has_volume():
            raise DeployError(f"the Docker volume {self.volume} is still there: remove the containers that use it")
        return there

    def container(self, *filters: str) -> str:
        """Return the ID of the engine's container, or nothing if there is none. Raises DeployError."""
        done = _docker("compose", "ps", "--all", "--quiet", *filters, SERVICE)
        if done.returncode != 0:
            raise DeployError(f"docker compose ps failed: {' '.join(done.stderr.split())}")
        return done.stdout.strip()

    def _has_volume(self) -> bool:
        return _docker("volume", "inspect", self.volume).returncode == 0

    def _install_packages(self) -> None:
        """Install what the functions' requirements name, for the Python of the image. Raises DeployError."""
        if not packages.wanted(self.settings.lambdas):
            return
        target = packages.LAMBDA  # LocalStack runs functions in images like AWS's
        if not self.settings.localstack_auth_token:
            mount = ("--volume", f"{PROJECT}/stack:/etc/localstack/stack:ro", "--workdir", "/etc/localstack")
            python = ("--entrypoint", "python3", self.image, "-m", "stack.packages")
            done = _docker("run", "--rm", "--network", "none", *mount, *python)
            if done.returncode != 0:
                raise DeployError(f"{self.image} does not say which Python it has: {' '.join(done.stderr.split())}")
            target = packages.parse(done.stdout)
        packages.install(self.settings.lambdas, target)

    def _pull(self) -> None:
        """Pull the engine's image where it is missing. Raises DeployError."""
        if _docker("image", "inspect", self.image).returncode != 0:
            say(f"pulling {self.image}, this once")
            if not _run("compose", "pull", SERVICE):
                raise DeployError(
                    f"the image {self.image} could not be pulled (Docker says why above): "
                    "try again when that is fixed, or use ENGINE=embedded scripts/up.sh, which needs no image"
                )


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Let one process at a time start a container of this checkout: Compose does not."""
    with (PROJECT / "docker-compose.yml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting: another scripts/up.sh starts an engine in Docker")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _docker(*arguments: str, timeout: float | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a docker command, and return what it said."""
    return subprocess.run(
        ("docker", *arguments),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def _run(*arguments: str) -> bool:
    """Run a docker command that speaks to the user; return True if it succeeded."""
    return subprocess.run(("docker", *arguments), cwd=PROJECT, stdin=subprocess.DEVNULL).returncode == 0
