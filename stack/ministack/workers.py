"""Functions' workers, as MiniStack sees them: started ahead, asked without a detour, with logs that are complete."""

import asyncio
import contextlib
import contextvars
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stack.ministack import debugger, names
from stack.ministack.gate import FEW
from stack.ministack.logs import log
from stack.ministack.template import LOAD_TIMEOUT, MARK, SCRIPT, Forked, Template, TemplateEnded

AHEAD = FEW  # workers of each function that are started before anybody asks for them
LOOK_EVERY = 0.05  # seconds
LOG_TIMEOUT = 0.25  # seconds; only for the log of a worker that died or was killed
LOG_LIMIT = 1 << 20  # bytes of one invocation, which MiniStack makes an event of each line of
LEFT_OUT = b"\n... some of the log is left out here ...\n"
CHUNK = 1 << 16  # bytes
END = f"\0{MARK}\n".encode()

_under_way: set[Any] = set()  # workers that run an invocation
_threads = ThreadPoolExecutor(1 << 16)  # a bound that is never met, for functions wait for functions


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
        except TemplateEnded as error:
            if self.closed:
                raise EngineStops from error
            log.warning("the process from which functions are forked has gone (%s): another is started", error)
            self.template = Template()
            return None


class Worker(names.lambda_runtime.Worker):  # type: ignore[misc]
    """MiniStack's worker, which knows where a request's log ends, and does not wait a while for more.

    The worker of a debugged function is the only one, and has no time limit: MiniStack never finds it in use, and
    its requests wait for each other.
    """

    def __init__(self, function: str, config: dict[str, Any], code: bytes) -> None:
        self.debugged = debugger.is_debugged(function)
        self.turn = threading.Lock()
        self.guard = threading.Lock()
        self.running = 0
        self.printed = bytearray()
        super().__init__(function, {**config, "Timeout": debugger.NO_LIMIT} if self.debugged else config, code)

    @property
    def in_use(self) -> bool:
        return self._in_use and not self.debugged

    @in_use.setter
    def in_use(self, value: bool) -> None:
        self._in_use = value

    def invoke(self, *arguments: Any, **of_this_one: Any) -> dict[str, Any]:
        """Run one invocation. One that has waited while a debugged function was replaced runs the new code."""
        if not self.debugged:
            return self._invoke(*arguments, **of_this_one)
        with self.turn:
            if debugger.is_current(self):
                try:
                    return self._invoke(*arguments, **of_this_one)
                except RuntimeError:  # the process did not start
                    if debugger.is_current(self):
                        raise
        worker = debugger.acquire(self.func_name)
        try:
            return worker.invoke(*arguments, **of_this_one)  # type: ignore[no-any-return]
        finally:
            names.lambda_runtime.release_worker(worker)

    def _invoke(self, *arguments: Any, **of_this_one: Any) -> dict[str, Any]:
        with self.guard:
            self.running += 1
            _under_way.add(self)
        try:
            return (self._converse if self._is_python else super().invoke)(*arguments, **of_this_one)
        finally:
            with self.guard:
                self.running -= 1
                if not self.running:
                    _under_way.discard(self)
            if not names.keep_if_current(self):
                _kill_at_once([self])

    def hold(self, held: contextlib.ExitStack) -> bool:
        """Let no invocation begin while ``held`` is open; return False if one is under way that is to end, as on AWS.

        One in the debugger may never end.
        """
        self.guard.acquire()
        if self.running and not self.debugged:
            self.guard.release()
            return False
        held.callback(self.guard.release)
        return True

    def _converse(self, event: Any, request_id: str, **of_this_one: Any) -> dict[str, Any]:
        """Do what MiniStack's worker does, without a thread for each answer, and with the whole log."""
        with self._lock:
            is_cold = self._proc is None or self._proc.poll() is not None
            if is_cold:
                self._spawn()
            self._stderr_thread.join()
            if (process := self._proc) is None:
                raise RuntimeError("the function was replaced while it started")
            timeout = self.config.get("Timeout", 30)
            context = {"request_id": request_id, "timeout_ms": int(float(timeout) * 1000), **of_this_one}
            question = json.dumps({"event": event, "ctx": context})
            try:
                answer = self._ask(process, question, timeout)
            except TimeoutError:
                answer = {"status": "error", "error": f"Task timed out after {timeout}.00 seconds"}
            except (OSError, EOFError):
                answer = {"status": "error", "error": "Worker process died"}
            if answer["status"] == "error":
                _kill_at_once([self])
            return {**answer, "cold_start": is_cold, "log": self._take_log(process)}

    @property
    def _is_python(self) -> bool:
        return str(self.config.get("Runtime", "python")).startswith("python")

    def _ask(self, process: Any, question: str, timeout: float) -> dict[str, Any]:
        """Return a process's answer to one question. Raises TimeoutError, and EOFError or OSError if it ends."""
        questions, answers = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(questions, False)
        unasked, answer = f"{question}\n".encode(), bytearray()
        watch = select.poll()
        watch.register(questions, select.POLLOUT)
        watch.register(answers, select.POLLIN)
        watch.register(process.stderr.fileno(), select.POLLIN)
        for descriptor in _ready(watch, timeout):
            if descriptor == questions:
                unasked = unasked[os.write(questions, unasked) :]
                if not unasked:
                    watch.unregister(questions)
            elif descriptor == answers:
                part = os.read(answers, CHUNK)
                answer += part
                if answer.endswith(b"\n"):
                    return dict(json.loads(answer))
                if not part:
                    raise EOFError
            else:
                self._read_log(process)
        raise TimeoutError

    def _read_log(self, process: Any) -> bool:
        """Read some of what is printed; return False if that was all until the mark or the process's end."""
        part = os.read(process.stderr.fileno(), CHUNK)
        self.printed += part
        if len(self.printed) > LOG_LIMIT:
            self.printed[LOG_LIMIT - 4 * CHUNK : -2 * CHUNK] = LEFT_OUT
        return bool(part) and END not in self.printed

    def _take_log(self, process: Any) -> str:
        """Return what was printed up to the mark, which a worker that has answered has printed before."""
        watch = select.poll()
        watch.register(process.stderr.fileno(), select.POLLIN)
        if END not in self.printed:
            for _ in _ready(watch, LOG_TIMEOUT):
                if not self._read_log(process):
                    break
        text, _, self.printed = self.printed.partition(END)
        return text.decode(errors="replace").removesuffix("\n")

    def _read_stderr(self) -> None:
        """Read what is printed while the function is loaded, which is the first request's."""
        if not self._is_python:
            return super()._read_stderr()  # type: ignore[no-any-return]
        self.printed = bytearray()
        if (process := self._proc) is not None:
            while self._read_log(process):
                pass
        self.printed = self.printed.replace(END, b"", 1)
        return None


def _ready(watch: select.poll, seconds: float) -> Iterator[int]:
    """Yield, again and again until the time is over, each descriptor that is ready."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        yield from (descriptor for descriptor, _ in watch.poll(left * 1000))


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
    return not _under_way and not any(worker._in_use for worker in _all_workers())


def _all_workers() -> list[Any]:
    """Return the workers in the pools, and those under way that have been replaced."""
    with names.lambda_runtime._lock:
        return [*_under_way.copy(), *(one for workers in names.lambda_runtime._workers.values() for one in workers)]


async def _run(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    """Run what blocks in a thread that is free, or else in a new one. If cancelled, wait for it to end all the same.

    MiniStack starts a thread for each request, and a redirect takes 4 % longer.
    """
    context = contextvars.copy_context()
    running = asyncio.get_running_loop().run_in_executor(_threads, context.run, function, *arguments)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


_kill_at_once = names.lambda_runtime.kill_workers


def _kill(workers: Sequence[Any]) -> None:
    """Kill workers that have been taken out of their pools: one that is under way ends with its invocation.

    One that is leased, and whose invocation is about to begin, starts anew for it.
    """
    with contextlib.ExitStack() as held:
        _kill_at_once([one for one in workers if not isinstance(one, Worker) or one.hold(held)])


def set_up() -> Subprocess:
    """Make MiniStack start its workers in this way; return what starts them."""
    starter = names.lambda_runtime.subprocess = Subprocess()
    names.lambda_runtime.Worker = Worker
    names.lambda_runtime.kill_workers = _kill
    names.run_functions_with(_run)
    return starter
