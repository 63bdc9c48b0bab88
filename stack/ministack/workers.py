"""Functions' processes: forked from one that has boto3 loaded, with logs that are complete when the answer is."""

import contextlib
import json
import os
import queue
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stack.ministack import debugger, names
from stack.ministack.gate import FEW
from stack.ministack.logs import log

SCRIPT = str(Path(__file__).with_name("function.py"))
NOTICED = ("PYTHON", "LD_", "AWS_DATA_PATH")  # variables that count when Python starts, or boto3 is loaded
AHEAD = FEW  # workers of each function that are started before anybody asks for them
LOOK_EVERY = 0.05  # seconds
LOAD_TIMEOUT = 10  # seconds
LOG_TIMEOUT = 0.25  # seconds; only for the log of a worker that died or was killed

MARK = secrets.token_hex(16)
END = "\0" + MARK


class Template:
    """The process from which workers are forked; it ends when the engine does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loaded: set[str] | None = None
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, "template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.control.settimeout(LOAD_TIMEOUT)
        self.answers = self.control.makefile("rb")

    def start(self, script: str, folder: str, environment: Mapping[str, str]) -> "Forked | None":
        """Fork a worker, unless it might notice: then it must be started as a new Python."""
        if any(name.startswith(NOTICED) and os.environ.get(name) != environment[name] for name in environment):
            return None
        with self.lock:
            if self.loaded is None:
                self.loaded = set(json.loads(self.answers.readline()))
            if self.loaded & _modules_of(folder, environment):
                return None
            pipes = [os.pipe() for _ in range(4)]
            request = {"script": script, "folder": folder, "environment": dict(environment), "mark": MARK}
            theirs = [pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]]
            ours = [pipes[0][1], pipes[1][0], pipes[2][0], pipes[3][0]]
            try:
                self._send(request, theirs)
                return Forked(self, int(self.answers.readline()), ours)
            except BaseException:
                for descriptor in ours:
                    os.close(descriptor)
                raise
            finally:
                for descriptor in theirs:
                    os.close(descriptor)

    def kill(self, worker: int, number: int) -> None:
        """Send a signal to a worker, if it has not ended."""
        try:
            with self.lock:
                self._send({"kill": worker, "signal": number}, [])
                if self.answers.readline():
                    return
        except OSError:
            pass  # the template has ended, and its workers go on
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)

    def _send(self, request: dict[str, Any], descriptors: list[int]) -> None:
        line = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self.control, [line], descriptors)
        self.control.sendall(line[sent:])


def _modules_of(folder: str, environment: Mapping[str, str]) -> set[str]:
    """Return the names that the function's code and layers can import."""
    layers = [Path(one) for one in environment.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if one]
    folders = [Path(folder), *layers, *(one / "python" for one in layers)]
    for layer in layers:
        folders += layer.glob("python/lib/*/site-packages")
    return {entry.name.partition(".")[0] for one in folders if one.is_dir() for entry in one.iterdir()}


class Forked:
    """A forked worker, as MiniStack sees a subprocess.Popen."""

    def __init__(self, template: Template, pid: int, descriptors: list[int]) -> None:
        self.template = template
        self.pid = pid
        self.returncode: int | None = None
        questions, answers, log, self.alive = descriptors
        self.stdin = open(questions, "w", buffering=1, encoding="utf-8")  # noqa: SIM115,PTH123
        self.stdout = open(answers, encoding="utf-8")  # noqa: SIM115,PTH123
        self.stderr = open(log, encoding="utf-8", errors="replace")  # noqa: SIM115,PTH123

    def poll(self) -> int | None:
        """Return None while the worker lives. How it ended is not known here, and nobody asks."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        if (code := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired("a function's worker", timeout or 0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            watch = select.poll()
            watch.register(self.alive, 0)
            if watch.poll(None if timeout is None else timeout * 1000):
                os.close(self.alive)
                self.returncode = -1
        return self.returncode

    def terminate(self) -> None:
        self.template.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        self.template.kill(self.pid, signal.SIGKILL)


class EngineStops(OSError):
    """Raised for a worker that is asked for while the engine stops."""


class Subprocess:
    """The module subprocess, as MiniStack's workers see it: Python workers start in a way of ours."""

    def __init__(self) -> None:
        # Elsewhere than on Linux a process that has loaded the system's libraries must not fork.
        self.template = Template() if sys.platform == "linux" else None
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: Sequence[str], **options: Any) -> Any:  # noqa: N802
        if self.closed:
            raise EngineStops
        if command[0] != sys.executable:
            return subprocess.Popen(command, **options)
        options["env"] = debugger.environment(options["env"])
        if self.template is not None and (forked := self._fork(command[1], options)):
            return forked
        environment = {**options.pop("env"), "_END_MARK": MARK}
        return subprocess.Popen(
            [sys.executable, SCRIPT, "run", command[1]], env=environment, errors="replace", **options
        )

    def close(self) -> None:
        """End the workers, and the process from which they are forked. No other starts after that."""
        if self.closed:
            return
        self.closed = True
        for worker in _all_workers():
            if isinstance(process := worker._proc, subprocess.Popen):  # another thread may take it away
                process.kill()
        if self.template is not None:
            self.template.control.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.template.process.wait(LOAD_TIMEOUT)

    def _fork(self, script: str, options: Mapping[str, Any]) -> Forked | None:
        try:
            return self.template.start(script, options["cwd"], options["env"]) if self.template else None
        except (OSError, ValueError) as error:
            if self.closed:
                raise EngineStops from error
            log.warning("the process from which functions are forked has gone (%r): another is started", error)
            self.template = Template()
            return None


class Worker(names.lambda_runtime.Worker):  # type: ignore[misc]
    """MiniStack's worker, which waits for the end of a request's log instead of for a while.

    The worker of a debugged function is the only one, and has no time limit: MiniStack never finds it in use, and
    its requests wait for each other.
    """

    def __init__(self, function: str, config: dict[str, Any], code: bytes) -> None:
        self.debugged = debugger.is_debugged(function)
        self.turn = threading.Lock()
        super().__init__(function, {**config, "Timeout": debugger.NO_LIMIT} if self.debugged else config, code)

    @property
    def in_use(self) -> bool:
        return self._in_use and not self.debugged

    @in_use.setter
    def in_use(self, value: bool) -> None:
        self._in_use = value

    def invoke(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Run one invocation. One that has waited while the function was replaced runs the new code."""
        if not self.debugged:
            return super().invoke(*arguments, **named)  # type: ignore[no-any-return]
        with self.turn:
            if debugger.is_current(self):
                try:
                    return super().invoke(*arguments, **named)  # type: ignore[no-any-return]
                except RuntimeError:  # the process did not start
                    if debugger.is_current(self):
                        raise
        worker = debugger.acquire(self.func_name)
        try:
            return worker.invoke(*arguments, **named)  # type: ignore[no-any-return]
        finally:
            names.lambda_runtime.release_worker(worker)

    @property
    def _marks(self) -> bool:
        return str(self.config.get("Runtime", "python")).startswith("python")

    def _read_stderr(self) -> None:
        if not self._marks:
            return super()._read_stderr()  # type: ignore[no-any-return]
        lines, stream = self._stderr_queue, self._proc.stderr
        for line in stream:
            text = line.rstrip("\n")
            if text.endswith(END):
                text = text.removesuffix(END)
                for put in [text, None] if text else [None]:
                    lines.put(put)
            else:
                lines.put(text)
        lines.put(None)
        return None

    def _drain_stderr(self) -> str:
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._stderr_queue.get_nowait())
        return "\n".join(line for line in lines if line is not None)

    def _drain_stderr_bounded(self, *limits: float, **options: float) -> str:
        if not self._marks:
            return super()._drain_stderr_bounded(*limits, **options)  # type: ignore[no-any-return]
        lines = []
        with contextlib.suppress(queue.Empty):  # of a worker that died, while a process that it started still prints
            while (
                line := self._stderr_queue.get(timeout=LOG_TIMEOUT if self._proc is None else LOAD_TIMEOUT)
            ) is not None:
                lines.append(line)
        return "\n".join(lines)


def start_ahead(idle: Callable[[], bool]) -> None:
    """Start more workers of each function that has one, for the first requests that come at once.

    They are started in turns, one after another, while the engine is idle: a request that is there needs the cores.
    """
    runtime = names.lambda_runtime
    with runtime._lock:
        first_ones = [(key, workers[0]) for key, workers in runtime._workers.items() if workers]
    failed = set()
    for key, first in (AHEAD - 1) * first_ones:
        while not idle():
            time.sleep(LOOK_EVERY)
        with runtime._lock:
            enough = len(runtime._workers.get(key, [])) >= AHEAD
        if enough or first.debugged or key in failed:
            continue
        worker = Worker(first.func_name, first.config, first.code_zip)
        try:
            runtime.ensure_spawned(worker)
        except (OSError, RuntimeError) as error:
            if runtime.subprocess.closed:
                return
            log.warning("no worker of %s can be started ahead: %s", first.func_name, error)
            failed.add(key)
            continue
        with runtime._lock:
            workers = runtime._workers.get(key, [])
            if first in workers:  # the function is the same as it was
                workers.append(worker)
                continue
        worker.kill()


def idle() -> bool:
    """Return whether no function runs."""
    return not any(worker._in_use for worker in _all_workers())


def _all_workers() -> list[Any]:
    with names.lambda_runtime._lock:
        return [worker for workers in names.lambda_runtime._workers.values() for worker in workers]


def set_up() -> Subprocess:
    """Make MiniStack start its workers in this way; return what starts them."""
    starter = names.lambda_runtime.subprocess = Subprocess()
    names.lambda_runtime.Worker = Worker
    return starter
