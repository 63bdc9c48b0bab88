"""Functions under debugpy, for as long as scripts/dev.sh --debug is connected.

A debugged function has one worker, without a time limit, so that requests wait for each other and a breakpoint
holds them for as long as the user likes. The worker starts debugpy (stack/ministack/function.py); the deployed package
stays what it is. Each connection begins with a line of JSON, which is answered by one: ``functions`` opens the
session, which ends with its connection, and ``attach`` leads to the debugger of a function.
"""

import base64
import contextlib
import io
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.ministack import bridge, names
from stack.ministack.logs import log

START_TIMEOUT = 30  # seconds
POLL_EVERY = 0.02  # seconds
NO_LIMIT = 7 * 24 * 3600  # seconds
PORT_FILE = "debugger-port"  # beside a worker's script: the port that its debugger listens on

_lock = threading.Lock()
_functions: dict[str, dict[str, Any]] = {}  # those of the session, by their names in AWS


def is_debugged(function: str) -> bool:
    """Return whether the workers of a function start with the debugger."""
    return function in _functions


def environment(plain: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment, with what the debugger needs to know if the function is debugged."""
    debugged = _functions.get(plain.get("AWS_LAMBDA_FUNCTION_NAME", ""))
    return {**plain, "_DEBUGGER": json.dumps(debugged)} if debugged else dict(plain)


def listen(port: int) -> None:
    """Answer at the socket of the engine on this port, until the engine ends."""
    path = bridge.path(port)
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)  # of an engine that was killed
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen()
    except OSError as error:
        log.warning("no function can be debugged: %s: %s", path, error.strerror)
        return
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()


def close(port: int) -> None:
    """Remove the socket."""
    bridge.path(port).unlink(missing_ok=True)


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionError), connection.makefile("rb") as lines:
        request = json.loads(lines.readline())
        if "attach" in request:
            _attach(request["attach"], connection)
        elif not _lock.acquire(blocking=False):
            _answer(connection, error="another scripts/dev.sh --debug is connected to this engine")
        else:
            try:
                _hold(request, connection)
            finally:
                _lock.release()


def _answer(connection: socket.socket, **answer: Any) -> None:
    connection.sendall(json.dumps(answer).encode() + b"\n")


def _hold(request: dict[str, Any], connection: socket.socket) -> None:
    """Debug the functions of a session until its connection ends, and then start them as before."""
    folder = tempfile.mkdtemp(prefix="debugger-")
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(request["debugpy"]))) as archive:
            archive.extractall(folder)
        _functions.update({name: {**one, "debugpy": folder} for name, one in request["functions"].items()})
        for name in _functions:
            names.lambda_runtime.invalidate_worker(name)
        _answer(connection, ready=True)
        connection.recv(1)
    finally:
        debugged = list(_functions)
        _functions.clear()
        for name in debugged:
            names.lambda_runtime.invalidate_worker(name)
        shutil.rmtree(folder, ignore_errors=True)


def _attach(function: str, connection: socket.socket) -> None:
    """Join a client to the debugger of a function, whose worker is started if none is there."""
    try:
        target = socket.create_connection(("127.0.0.1", _port(function)))
    except (OSError, RuntimeError) as error:
        _answer(connection, error=str(error))
        return
    with target:
        _answer(connection, ready=True)
        bridge.join(connection, target)


def _port(function: str) -> int:
    """Return the port of the debugger in a function's worker. Raises RuntimeError."""
    deadline = time.monotonic() + START_TIMEOUT
    while is_debugged(function):
        worker = acquire(function)
        if worker is None:
            raise RuntimeError(f"there is no function {function}")
        try:
            if worker._proc is None or worker._proc.poll() is not None:
                names.lambda_runtime.ensure_spawned(worker)
        except (OSError, RuntimeError):
            if is_current(worker):
                raise
        with contextlib.suppress(OSError, TypeError, ValueError):  # another thread is starting it
            return int(Path(worker._tmpdir, PORT_FILE).read_text())
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker of {function} does not start")
        time.sleep(POLL_EVERY)
    raise RuntimeError(f"{function} is not debugged")


def acquire(function: str) -> Any:
    """Lease a worker that has the function's present code, or return None if there is no such function."""
    found = names.function(function)
    return found and names.lambda_runtime.acquire_worker(function, *found)[0]


def is_current(worker: Any) -> bool:
    """Return whether a worker has not been replaced."""
    with names.lambda_runtime._lock:
        return any(worker in workers for workers in names.lambda_runtime._workers.values())
