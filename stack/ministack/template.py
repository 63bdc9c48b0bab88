"""The process that has boto3 loaded, and the workers that are forked from it in a few milliseconds."""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = str(Path(__file__).with_name("function.py"))
NOTICED = ("PYTHON", "LD_", "AWS_DATA_PATH")  # variables that count when Python starts, or boto3 is loaded
LOAD_TIMEOUT = 10  # seconds
MARK = secrets.token_hex(16)  # in the log after each request, and in what functions ask the engine for


class TemplateEnded(Exception):
    """The process from which workers are forked does not answer, and why."""


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
        """Fork a worker, unless it might notice: then it must be started as a new Python. Raises TemplateEnded."""
        if any(name.startswith(NOTICED) and os.environ.get(name) != environment[name] for name in environment):
            return None
        modules = _modules_of(folder, environment)
        with self.lock:
            if self.loaded is None:
                self.loaded = set(json.loads(self._answer()))
            if self.loaded & modules:
                return None
            pipes = [os.pipe() for _ in range(4)]
            request = {"script": script, "folder": folder, "environment": dict(environment), "mark": MARK}
            theirs = [pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]]
            ours = [pipes[0][1], pipes[1][0], pipes[2][0], pipes[3][0]]
            try:
                return Forked(self, int(self._ask(request, theirs)), ours)
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
                self._ask({"kill": worker, "signal": number}, [])
        except TemplateEnded:  # and its workers go on
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> bytes:
        line = json.dumps(request).encode() + b"\n"
        try:
            sent = socket.send_fds(self.control, [line], descriptors)
            self.control.sendall(line[sent:])
        except OSError as error:
            raise TemplateEnded(repr(error)) from error
        return self._answer()

    def _answer(self) -> bytes:
        try:
            line = self.answers.readline()
        except OSError as error:
            raise TemplateEnded(repr(error)) from error
        if not line:
            raise TemplateEnded("no answer")
        return line


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
