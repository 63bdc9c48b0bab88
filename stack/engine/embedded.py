"""Start, stop and redeploy to the embedded engine: ``python -m stack.engine.embedded up|down|running|check-port``.

The settings come from the environment (scripts/lib/common.sh puts them there). Everything that
the engine keeps is in STATE_DIR: ``data``, ``engine.log``, and ``engine.lock``, which the engine
holds for as long as it lives, so that a killed engine is never taken for a running one.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stack import outputs
from stack.engine import health
from stack.errors import DeployError
from stack.settings import PROJECT, Settings

START_TIMEOUT = 300  # seconds; the engine gives a hook as long
STOP_TIMEOUT = 180  # seconds; it writes its state to disk meanwhile
LOOK_EVERY = 0.05  # seconds
LOG_TAIL = 15  # lines
INHERITED = ("HOME", "LANG", "LC_ALL")
# Of the engine's log, the lines that the deployment prints.
BUILD_LINE = re.compile(r"==> .*|  \S.*\d ms|  warning: .*|    try: .*|         -H .*|error: .*")


class Failure(Exception):
    """What went wrong, and what to do about it, in one line."""


@dataclass(frozen=True)
class Running:
    """The engine that holds the lock."""

    pid: int
    port: int


@dataclass(frozen=True)
class Embedded:
    """The engine of one STATE_DIR."""

    settings: Settings
    state_dir: Path

    @property
    def lock_file(self) -> Path:
        return self.state_dir / "engine.lock"

    @property
    def log_file(self) -> Path:
        return self.state_dir / "engine.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.host_port}"

    def running(self) -> Running | None:
        """The process that runs the engine, or None."""
        with contextlib.suppress(FileNotFoundError), self.lock_file.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                while not (line := lock.read()).endswith("\n"):  # it is being written
                    lock.seek(0)
                pid, port = line.split()
                return Running(int(pid), int(port))
        return None

    def up(self) -> None:
        """Start the engine and wait for the stack, or redeploy if it is running; raises Failure."""
        running = self.running()
        if running is None:
            self._start()
        elif running.port == self.settings.host_port:
            self._redeploy()
        else:
            raise Failure(
                f"the engine of {self.state_dir} is running on port {running.port}: stop it with scripts/down.sh, "
                "or give the second stack a STATE_DIR and an OUTPUTS_DIR of its own"
            )

    def down(self) -> bool:
        """Stop the engine, which saves its state; whether there was one. Raises Failure."""
        running = self.running()
        if running is None:
            return False
        os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while self.running() is not None:
            if time.monotonic() > deadline:
                raise Failure(f"the engine (process {running.pid}) does not stop: see {self.log_file}")
            time.sleep(LOOK_EVERY)
        return True

    def check_port(self) -> None:
        """Raise Failure, with a way out, if HOST_PORT cannot be listened on."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.settings.host_port))
            except OSError as error:
                raise Failure(
                    f"port {self.settings.host_port} cannot be used ({error.strerror}): stop what uses it, "
                    f"or take another: HOST_PORT={self.settings.host_port % 65535 + 1} scripts/up.sh"
                ) from error

    def _start(self) -> None:
        self.check_port()
        self.settings.outputs.mkdir(parents=True, exist_ok=True)
        temporary = self.state_dir / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # what the functions of a killed engine left
        temporary.mkdir(parents=True)
        self.lock_file.touch()
        with self.log_file.open("w") as log:
            engine = subprocess.Popen(
                [sys.executable, "-m", "stack.engine", self.lock_file],
                cwd=PROJECT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        state = self._follow(engine)
        if state is not health.State.READY:
            raise Failure(
                f"{state.value} ({self.log_file}). The engine is still running: mend it and run scripts/up.sh again"
            )

    def _follow(self, engine: "subprocess.Popen[bytes]") -> health.State:
        """Print the build as the log tells it, until it is over; raises Failure if the engine dies."""
        deadline = time.monotonic() + START_TIMEOUT
        with self.log_file.open(errors="replace") as log:
            while True:
                state = health.look(self.url, self.settings.outputs)
                for line in log:
                    if BUILD_LINE.fullmatch(line.rstrip()):
                        print(line.rstrip(), flush=True)
                if engine.poll() is not None:
                    log.seek(0)
                    tail = "".join(log.readlines()[-LOG_TAIL:])
                    raise Failure(f"the engine died while it was starting. Its last words ({self.log_file}):\n{tail}")
                if state in (health.State.READY, health.State.FAILED) or time.monotonic() > deadline:
                    return state
                time.sleep(LOOK_EVERY)

    def _redeploy(self) -> None:
        command = [sys.executable, "-m", "stack.deploy", "--local"]
        if subprocess.run(command, cwd=PROJECT, env=self._environment()).returncode != 0:
            raise Failure("the stack is not up to date (see above)")

    def _environment(self) -> dict[str, str]:
        """The engine's whole environment: nothing of the caller's but what it needs.

        The functions see all of it, and the caller may have credentials of a real account there.
        """
        settings = self.settings
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **settings.for_engine(),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            "TMPDIR": str(self.state_dir / "tmp"),
            # The user's ~/.aws is not for the hooks and the functions; AWS_ENDPOINT_URL the engine adds by itself.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GATEWAY_PORT": str(settings.host_port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "localhost.localstack.cloud",
            "MINISTACK_REGION": settings.aws_default_region,
            "PERSIST_STATE": str(int(settings.persist)),
            "STATE_DIR": str(self.state_dir / "data"),
        }


def main(command: str) -> int:
    """Run one command: 0, or 1 with one line on stderr; ``running`` says by its exit code whether it is."""
    try:
        settings = Settings.from_environment(os.environ)
        embedded = Embedded(settings, settings.state_dir.resolve())
        match command:
            case "up":
                embedded.up()
            case "check-port":
                embedded.check_port()
            case "running":
                return 0 if embedded.running() else 1
            case "down":
                if embedded.down():
                    print("==> the engine has stopped")
                outputs.withdraw(embedded.settings.outputs)
    except (DeployError, Failure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}: STATE_DIR and OUTPUTS_DIR must be folders that you may write to", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
