"""Debug functions: an editor attaches to a port of this machine, and is led to the function's worker in the engine."""

import base64
import contextlib
import functools
import importlib.util
import io
import json
import socket
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stack.commands import dap
from stack.deploy.package import COMMON
from stack.engine import compose
from stack.engine.embedded import Embedded
from stack.errors import DeployError
from stack.ministack import bridge
from stack.model import Definition
from stack.settings import Settings

ALL = "all"
END_TIMEOUT = 10  # seconds
TURN_TIMEOUT = 5  # seconds; the editor before may just be leaving, and if not, the debugger says so
LEFT_OUT = (".pyc", ".c", ".cpp", ".pyx", ".exe", ".dll", ".pdb", ".dylib")  # of debugpy: no worker needs these


class Debugging:
    """The session of a scripts/dev.sh --debug with the engine: the ports that editors attach to.

    While functions are redeployed, editors wait.
    """

    def __init__(self, settings: Settings, definition: Definition, wanted: Sequence[str]) -> None:
        self.settings, self.definition = settings, definition
        known = [function.name for function in definition.functions]
        self.ports = {name: settings.debug_port + number for number, name in enumerate(known)}
        self.functions = known if ALL in wanted else [name for name in known if name in wanted]
        self.missing = sorted({*wanted} - {*known, ALL})
        self.stack = contextlib.ExitStack()
        self.session: socket.socket | None = None
        self.redeployed = threading.Event()
        self.redeployed.set()
        self.turns = {name: threading.Lock() for name in self.functions}

    def open(self) -> None:
        """Start the functions under the debugger, and let editors attach. Raises DeployError."""
        listeners = {name: self.stack.enter_context(self._listen(name)) for name in self.functions}
        lambdas = self.settings.lambdas
        functions = {
            self.definition.function_name(name): {
                "port": self.ports[name],
                "paths": [(str(lambdas / COMMON), COMMON), (str(lambdas / name), "")],
            }
            for name in self.functions
        }
        session = self.stack.enter_context(self._connect())
        ask(session, functions=functions, debugpy=base64.b64encode(_zip_of_debugpy()).decode())
        self.session = session
        for name, listener in listeners.items():
            threading.Thread(target=self._accept, args=(name, listener), daemon=True).start()

    def close(self) -> None:
        """End the session, and wait until the engine runs the functions as before."""
        session, self.session = self.session, None
        if session is not None:
            with contextlib.suppress(OSError):
                session.shutdown(socket.SHUT_WR)
                session.settimeout(END_TIMEOUT)
                session.recv(1)
        self.stack.close()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Have editors that attach meanwhile wait."""
        self.redeployed.clear()
        try:
            yield
        finally:
            self.redeployed.set()

    def _listen(self, name: str) -> socket.socket:
        port = self.ports[name]
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise DeployError(
                f"port {port}, where an editor attaches to {name}, cannot be used ({error.strerror}): "
                "free it, or set DEBUG_PORT to another one"
            ) from error

    def _accept(self, name: str, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._lead, args=(name, client), daemon=True).start()

    def _lead(self, name: str, client: socket.socket) -> None:
        """Join an editor to the debugger of the function. A page in a browser, which speaks HTTP, is sent away."""
        with client, contextlib.suppress(OSError):
            if not dap.HEADER.startswith(client.recv(len(dap.HEADER), socket.MSG_PEEK)):
                return
            self.redeployed.wait()
            turn = self.turns[name].acquire(timeout=TURN_TIMEOUT)
            try:
                with self._connect() as engine:
                    ask(engine, attach=self.definition.function_name(name))
                    dap.join(client, engine, lambda: self.session is not None)
            except DeployError as error:
                print(f"error: {name} cannot be debugged: {error}", flush=True)
            finally:
                if turn:
                    self.turns[name].release()

    def _connect(self) -> socket.socket:
        """Connect to the engine's debugger. Raises DeployError."""
        container = self._container
        if container is None:
            try:
                return bridge.connect(self.settings.host_port)
            except OSError as error:
                raise DeployError(
                    f"the engine takes no debugger ({error.strerror}): start it again with scripts/down.sh and up.sh"
                ) from error
        ours, theirs = socket.socketpair()
        end = theirs.fileno()
        command = ["docker", "exec", "-i", "-w", compose.MOUNTED, container, "python3", "-m", bridge.__name__]
        with theirs:
            subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL, start_new_session=True)
        return ours

    @functools.cached_property
    def _container(self) -> str | None:
        """Return the ID of the engine's container, or None for the embedded engine. Raises DeployError."""
        if Embedded(self.settings, self.settings.state_dir.absolute()).running():
            return None
        if self.settings.localstack_auth_token:
            raise DeployError("LocalStack has no breakpoints: unset LOCALSTACK_AUTH_TOKEN to debug on MiniStack")
        return compose.Compose(self.settings).container("--status", "running")


def ask(connection: socket.socket, **question: Any) -> None:
    """Send the line that a connection begins with, and wait for the answer. Raises DeployError if it is an error."""
    connection.sendall(json.dumps(question).encode() + b"\n")
    with connection.makefile("rb", buffering=0) as answers:
        answer = json.loads(answers.readline() or b'{"error": "the engine does not answer"}')
    if "error" in answer:
        raise DeployError(answer["error"])


def _zip_of_debugpy() -> bytes:
    """Return debugpy without what a worker does not need. Its compiled parts are used where they fit."""
    found = importlib.util.find_spec("debugpy")
    if found is None or found.origin is None:
        raise DeployError("debugpy is not installed: run scripts/dev.sh --debug, which installs it")
    package = Path(found.origin).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in _files(package):
            archive.write(file, file.relative_to(package.parent))
    return buffer.getvalue()


def _files(package: Path) -> Iterator[Path]:
    for file in package.rglob("*"):
        if file.is_file() and file.suffix not in LEFT_OUT:
            yield file
