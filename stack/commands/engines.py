"""Which engine to use, and the errors that up.sh and down.sh end with."""

import io
import signal
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stack.engine import compose
from stack.engine.compose import Compose
from stack.engine.embedded import Embedded
from stack.errors import INTERRUPTED, DeployError
from stack.settings import PROJECT, Settings


@dataclass(frozen=True)
class Engines:
    """Both engines of the stack that the environment names."""

    docker: Compose
    embedded: Embedded
    wanted: str  # docker, embedded or empty
    image: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Engines":
        """Raise SettingError for a setting that cannot be used."""
        settings = Settings.from_environment(environment)
        return cls(
            Compose(settings),
            Embedded(settings, settings.state_dir.absolute()),
            settings.engine,
            settings.localstack_image if settings.localstack_auth_token else settings.ministack_image,
        )

    def choose(self) -> tuple[str, str]:
        """Return the engine to start, and a line that says which that is, and why. Raises DeployError."""
        docker = f"{self.image} in Docker"
        embedded = f"MiniStack {_ministack_version()}, embedded"
        if self.wanted == "embedded":
            return "embedded", f"{embedded} (ENGINE=embedded)"
        problem = compose.problem()
        if self.wanted == "docker":
            if problem:
                raise DeployError(f"{problem}: fix that, or use ENGINE=embedded scripts/up.sh")
            return "docker", f"{docker} (ENGINE=docker)"
        if problem:
            return "embedded", f"{embedded} ({problem})"
        if self.embedded.running():
            return "embedded", f"{embedded} (it is running)"
        return "docker", f"{docker} (a Docker engine answers)"


class Unbroken(io.FileIO):
    """Write for as long as somebody reads: after ``| head -1`` a command still goes on to its end."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(memoryview(data))


def run(command: Callable[[], None]) -> int:
    """Run a command: return 0, or 1 after one line on stderr that says what is wrong."""
    written = io.BufferedWriter(Unbroken(sys.stdout.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(written, "utf-8", line_buffering=True)
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.default_int_handler)
    try:
        command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _ministack_version() -> str:
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    pins = dict(requirement.split("==") for requirement in groups["embedded"] if "==" in requirement)
    return str(pins["ministack"])
