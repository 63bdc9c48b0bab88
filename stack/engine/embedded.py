"""The embedded engine: MiniStack as a process of this machine, without Docker.

``python -m stack.engine.embedded DESCRIPTOR`` is that process. Whoever starts it has locked
STATE_DIR's engine.lock, and hands the lock over with its descriptor. So there is never a second
engine in one folder, and a killed engine is never taken for a running one.
"""

import contextlib
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stack import outputs, packages
from stack.engine import health, neighbours
from stack.engine.folder import Running, StateDir
from stack.errors import DeployError
from stack.ministack import shutdown
from stack.settings import PROJECT, Settings

START_TIMEOUT = 300  # seconds; the engine gives a hook as long
STOP_TIMEOUT = 180  # seconds; the engine writes its state to disk meanwhile
POLL_EVERY = 0.05  # seconds
LOG_TAIL = 15  # lines
INHERITED = ("HOME", "LANG", "LC_ALL")
# Of the engine's log, the lines that the deployment prints.
BUILD_LINE = re.compile(r"==> .*|  \S.*\d ms|  warning: .*|    try: .*|         -H .*|error: .*")


def say(line: str) -> None:
    print(f"==> {line}", flush=True)


@dataclass(frozen=True)
class Embedded:
    """The engine of one STATE_DIR."""

    settings: Settings
    state_dir: Path

    @property
    def state(self) -> StateDir:
        return StateDir(self.state_dir)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.host_port}"

    def running(self) -> Running | None:
        """Return the process that runs the engine, or None. Never disturbs an engine that is starting."""
        return self.state.running()

    def up(self) -> None:
        """Start the engine and wait for the stack, or redeploy if it is running. Raises DeployError.

        If it is interrupted before the stack is up, it stops the engine that it was starting.
        """
        packages.install(self.settings.lambdas, packages.own())
        self.state.claim()
        starting = False
        try:
            while True:
                with self._turn():
                    running = self.running()
                    if running is None:
                        starting = True
                        engine = self._start()
                if running is None:
                    return self._follow(engine)
                if running.port != self.settings.host_port:
                    raise DeployError(
                        f"the engine of {self.state_dir} is running on port {running.port}: stop it with "
                        f"HOST_PORT={running.port} scripts/down.sh, or give the second stack a STATE_DIR and an "
                        "OUTPUTS_DIR of its own"
                    )
                if self._wait_for_hooks() and self._redeploy():
                    return None
                say("the engine that was running has stopped: starting it again")
        except KeyboardInterrupt:
            if starting:
                say("interrupted: the engine is being stopped")
                self.down()
            raise

    def down(self) -> bool:
        """Stop the engine, which saves its state; return False if none is running.

        Raises DeployError if the engine is another stack's, or has stopped and could not save everything.
        """
        if not self.state.is_ours():
            return False
        self.state.claim()
        with self._turn():
            stopped = self._stop()
        if stopped and (unsaved := self.state.unsaved()):
            raise DeployError(unsaved)
        return stopped

    def wipe(self) -> bool:
        """Stop the engine and delete what it saved; return False if it saved nothing. Raises DeployError."""
        self.state.check()
        if not self.state.is_ours():
            return False
        self.state.claim()
        with self._turn():
            self._stop()
            return self.state.wipe()

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        return self.state.turn(lambda: say(f"waiting: another script starts or stops the engine of {self.state_dir}"))

    def _start(self) -> "subprocess.Popen[bytes]":
        neighbours.check_port(self.settings.host_port)
        neighbours.check_outputs(self.settings)
        outputs.withdraw(self.settings.outputs)  # of an engine that was killed
        self.state.check_space()
        make_outputs(self.settings.outputs)
        temporary = self.state.new_temporary()
        log = self.state.new_log()
        try:
            with self.state.lock() as descriptor:
                return subprocess.Popen(
                    [sys.executable, "-m", "stack.engine.embedded", str(descriptor)],
                    cwd=PROJECT,
                    env=self._environment(temporary),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[descriptor],
                )
        finally:
            os.close(log)

    def _follow(self, engine: "subprocess.Popen[bytes]") -> None:
        """Print the build as the log tells it, until it is over. Raises DeployError unless the stack is up."""
        deadline = time.monotonic() + START_TIMEOUT
        with self.state.log.open(errors="replace") as log:
            while True:
                ended = engine.poll()
                state = health.look(self.url, self.settings.outputs)
                for line in log:
                    if BUILD_LINE.fullmatch(line.rstrip()):
                        print(line.rstrip(), flush=True)
                if ended == 0:
                    raise DeployError("the engine was stopped while it was starting: run scripts/up.sh again")
                if ended is not None:
                    log.seek(0)
                    lines = log.readlines()
                    if any(line.startswith("error: ") for line in lines):
                        raise DeployError(f"the engine did not start (see above; its log is {self.state.log})")
                    tail = "".join(lines[-LOG_TAIL:])
                    raise DeployError(
                        f"the engine died while it was starting. Its last words ({self.state.log}):\n{tail}"
                    )
                if state is health.State.READY:
                    return
                if state is health.State.FAILED or time.monotonic() > deadline:
                    raise DeployError(
                        f"{state.value} ({self.state.log}). "
                        "The engine is still running: fix it and run scripts/up.sh again"
                    )
                time.sleep(POLL_EVERY)

    def _wait_for_hooks(self) -> bool:
        """Wait until the engine that somebody else has started has built what it will; return False if it stops.

        Raises DeployError.
        """
        deadline = time.monotonic() + START_TIMEOUT
        said = False
        while health.look(self.url, self.settings.outputs) in (health.State.STARTING, health.State.BUILDING):
            if self.running() is None:
                return False
            if time.monotonic() > deadline:
                raise DeployError(f"the engine is running but does not finish its build: see {self.state.log}")
            if not said:
                said = True
                say("the engine is starting or stopping already: waiting for it")
            time.sleep(POLL_EVERY)
        return True

    def _redeploy(self) -> bool:
        """Bring the stack up to date; return False if the engine has stopped meanwhile. Raises DeployError."""
        command = [sys.executable, "-m", "stack.deploy", "--local"]
        if subprocess.run(command, cwd=PROJECT, env=self._environment()).returncode == 0:
            return True
        if self.running() is None:
            return False
        raise DeployError("the stack is not up to date (see above)")

    def _stop(self) -> bool:
        running = self.running()
        if running is None:
            return False
        if running.port != self.settings.host_port:
            raise DeployError(
                f"the engine of {self.state_dir} is running on port {running.port}, and HOST_PORT is "
                f"{self.settings.host_port}: HOST_PORT={running.port} scripts/down.sh stops it"
            )
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while self.running() is not None:
            if time.monotonic() > deadline:
                raise DeployError(f"the engine (process {running.pid}) does not stop: see {self.state.log}")
            time.sleep(POLL_EVERY)
        return True

    def _environment(self, temporary: Path | None = None) -> dict[str, str]:
        """Return the engine's whole environment: nothing of the caller's but what it needs.

        The functions see all of it, and the caller may have credentials of a real account there.
        """
        settings = self.settings
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **settings.for_engine(),
            **({"TMPDIR": str(temporary)} if temporary else {}),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            # The user's ~/.aws is not for the hooks and the functions; AWS_ENDPOINT_URL the engine adds by itself.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            # At its start and end MiniStack removes every container that any MiniStack has made. It needs none here.
            "DOCKER_HOST": f"unix://{self.state_dir / 'no-docker.sock'}",
            "GATEWAY_PORT": str(settings.host_port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "localhost.localstack.cloud",
            "MINISTACK_REGION": settings.aws_default_region,
            "PERSIST_STATE": str(int(settings.persist)),
            "STATE_DIR": str(self.state.data),
        }


def make_outputs(folder: Path) -> None:
    """Make the outputs folder where there is none. Raises DeployError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(
            f"OUTPUTS_DIR {folder} cannot be made ({error.strerror}): name a folder that you may write to"
        ) from error


def serve(lock: int) -> None:
    """Be the engine until SIGTERM or SIGINT; then leave no process and no outputs behind."""
    os.set_inheritable(lock, False)  # a process that outlives the engine must not keep its lock
    os.register_at_fork(after_in_child=lambda: os.close(lock))
    for request in (signal.SIGTERM, signal.SIGINT):  # until the server has handlers for them
        signal.signal(request, lambda *_: sys.exit(0))
    settings = Settings.from_environment(os.environ)
    holder = f"{os.getpid()} {settings.host_port}\n".encode()
    os.pwrite(lock, holder, 0)
    shutdown.reports.append(lambda why: os.pwrite(lock, why.encode(), len(holder)))  # it takes no space on a full disk
    sys.argv = ["stack.ministack"]
    try:
        runpy.run_module("stack.ministack", run_name="__main__", alter_sys=True)
    finally:
        shutdown.leave_nothing_behind(settings.outputs, settings.host_port)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
