"""A checkout of the project with a stack of its own, as a user would have it."""

import atexit
import contextlib
import fcntl
import functools
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx
from botocore.config import Config

from stack import dotenv, tokens
from stack.definition import DEFINITION

CHECKOUT = Path(__file__).resolve().parent.parent
COPIED = (
    "lambdas",
    "stack",
    "init",
    "scripts",
    "compose",
    "docker-compose.yml",
    ".env",
    "pyproject.toml",
    "openapi.yaml",
)
NOT_COPIED = shutil.ignore_patterns(".packages", "*.pyc.*")  # the latter is being written by a Python, and then gone
DEFAULTS = dotenv.read(CHECKOUT / ".env")  # and no .env.local of whoever runs the tests
FUNCTION_NAMES = [function.name for function in DEFINITION.functions]  # a user's own too
INHERITED = ("PATH", "HOME", "LANG")
PATIENCE = 120  # seconds; a machine may be busy
NO_LIMITS = httpx.Limits(max_connections=None)
TLS = ssl.create_default_context()  # made once: each client would take 50 ms for its own
T = TypeVar("T")


def until(what: str, look: Callable[[], T], patience: float = PATIENCE, look_every: float = 0.05) -> T:
    """Poll until something true is seen, and return it. Fail with ``what`` was missed after a timeout."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(look_every)
    return seen


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> int:
    """Return the first of so many free ports in a row, of those that the system gives to nobody by itself."""
    while True:
        first = random.randrange(10_000, 32_000)
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first


def answers(engine: str) -> bool:
    """Tell whether an engine answers at this URL."""
    try:
        httpx.get(f"{engine}/_localstack/health", timeout=5, verify=TLS)
    except httpx.HTTPError:
        return False
    return True


@functools.cache
def aws(endpoint: str | None, service: str, attempts: int = 5) -> Any:
    """Return a boto3 client of a local engine; with None, of the AWS that the environment names."""
    local = {"endpoint_url": endpoint, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(retries={"total_max_attempts": attempts})
    client = boto3.client(
        service, region_name=DEFAULTS["AWS_DEFAULT_REGION"], config=config, **(local if endpoint else {})
    )
    atexit.register(client.close)
    return client


@dataclass(frozen=True)
class Stack:
    """A stack that is up: its API's URL, and the engine behind it."""

    url: str
    secret: str = field(default_factory=lambda: dotenv.load()["JWT_SECRET"])

    @property
    def engine(self) -> str | None:
        """Return the URL of an engine on this machine; None for AWS itself."""
        engine, local, _ = self.url.partition("/_aws/execute-api/")
        return engine if local else None

    @property
    def api_id(self) -> str:
        return self.url.rsplit("/", 2)[-2]

    def client(self, service: str) -> Any:
        return aws(self.engine, service)

    def token(self, user: str = "user-1", **changes: Any) -> str:
        return tokens.sign(user, **{"secret": self.secret, "now": time.time(), "lifetime": 3600, **changes})

    def http(self, **arguments: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120, verify=TLS, limits=NO_LIMITS, **arguments)

    def shorten(self, body: Any, user: str = "user-1") -> httpx.Response:
        with self.http(headers={"Authorization": f"Bearer {self.token(user)}"}) as client:
            return client.post("/shorten", json=body)

    def follow(self, code: str) -> httpx.Response:
        with self.http() as client:
            return client.get(f"/r/{code}")

    def row(self, code: str) -> dict[str, Any] | None:
        """Return the table's item for a code, as DynamoDB spells it."""
        found = self.client("dynamodb").get_item(
            TableName=DEFINITION.table_name("shortlinks"), Key={"code": {"S": code}}, ConsistentRead=True
        )
        item: dict[str, Any] | None = found.get("Item")
        return item

    def drop_table(self, name: str) -> None:
        """Delete a table as a person does it, who first takes its protection away."""
        dynamodb = self.client("dynamodb")
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=name)

    def clicks(self, code: str) -> int:
        row = self.row(code)
        assert row is not None, f"no link {code}"
        return int(row["click_count"]["N"])


@dataclass
class Project:
    """The scripts of a checkout, with settings that keep its stack apart from any other."""

    folder: Path
    settings: dict[str, str]

    @classmethod
    def at(cls, folder: Path, state: Path, **changes: str) -> "Project":
        """Return the project in ``folder``, with a port, outputs and a state that no other stack has."""
        own = {"HOST_PORT": str(free_port()), "OUTPUTS_DIR": str(state / "outputs"), "STATE_DIR": str(state / "state")}
        return cls(folder, {"ENGINE": "embedded", **own, **changes})

    @classmethod
    def copy(cls, folder: Path, **changes: str) -> "Project":
        """Return a project in a fresh copy of this checkout, which a test may edit."""
        checkout = folder / "checkout"
        checkout.mkdir()
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                shutil.copytree(source, checkout / name, ignore=NOT_COPIED)
            else:
                shutil.copy(source, checkout / name)
        (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
        return cls.at(checkout, folder, **changes)

    @classmethod
    @contextlib.contextmanager
    def standing(cls, folder: Path) -> "Iterator[Project]":
        """Yield a fresh copy whose stack is up."""
        project = cls.copy(folder)
        try:
            project.up()
            yield project
        finally:
            project.discard()

    @property
    def environment(self) -> dict[str, str]:
        return {**{name: os.environ[name] for name in INHERITED if name in os.environ}, **self.settings}

    @property
    def outputs(self) -> Path:
        return Path(self.settings["OUTPUTS_DIR"])

    @property
    def state(self) -> Path:
        return Path(self.settings["STATE_DIR"])

    @property
    def engine(self) -> str:
        return f"http://127.0.0.1:{self.settings['HOST_PORT']}"

    @property
    def stack(self) -> Stack:
        secret = self.settings.get("JWT_SECRET") or DEFAULTS["JWT_SECRET"]
        return Stack((self.outputs / "api_url").read_text().strip(), secret)

    def run(self, *command: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the project from another folder, and return its result."""
        script, *arguments = command
        return subprocess.run(
            [self.folder / script, *arguments],
            cwd="/",
            env={**self.environment, **changes},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def check(self, *command: str, **changes: str) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.run(*command, **changes)
        assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self) -> Stack:
        self.check("scripts/up.sh")
        return self.stack

    def down(self, *arguments: str) -> None:
        self.check("scripts/down.sh", *arguments)

    def deploy(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the deployment alone, from the host, against the project's engine."""
        return subprocess.run(
            [self.folder / ".venv/bin/python", "-m", "stack.deploy", "--local", *arguments],
            cwd=self.folder,
            env={
                **self.environment,
                "GATEWAY_PORT": self.settings["HOST_PORT"],
                "AWS_DEFAULT_REGION": DEFAULTS["AWS_DEFAULT_REGION"],
            },
            capture_output=True,
            text=True,
            timeout=300,
        )

    def define(self, entry: str) -> None:
        """Add a function's entry to the definition, whatever else a user has added to it."""
        path = self.folder / "stack/definition.py"
        text, added = re.subn(r"^    functions=\(\n", lambda start: f"{start[0]}{entry}", path.read_text(), flags=re.M)
        assert added == 1
        path.write_text(text)

    def reset(self) -> None:
        """Have the engine forget everything, which takes no time beside a new engine."""
        httpx.post(f"{self.engine}/_ministack/reset", timeout=PATIENCE, verify=TLS).raise_for_status()

    def pid(self) -> int:
        """Return the process ID of the engine."""
        return int((self.state / "engine.lock").read_text().split()[0])

    def discard(self) -> None:
        """Leave no engine running. Nobody looks at its data any more, so it is killed instead of stopped."""
        with contextlib.suppress(FileNotFoundError), (self.state / "engine.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # an engine holds it
                os.kill(int(until("the engine says who it is", lock.readline).split()[0]), signal.SIGKILL)

    def kill(self) -> None:
        """Kill the engine, which has no time to save anything."""
        os.kill(self.pid(), signal.SIGKILL)
        until("the engine is gone", lambda: not answers(self.engine))
