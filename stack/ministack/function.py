"""What a function's process runs before MiniStack's own worker script; started by path, standard library alone.

``function.py template FD`` imports boto3 once and then forks a process for each worker, which is ready
after a few milliseconds. ``function.py run SCRIPT`` is a worker without a template.
"""

import functools
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO


class Answers:
    """The stdout that MiniStack's script answers on: before each answer, a mark on stderr ends what was printed."""

    def __init__(self, descriptor: int, log: int, mark: str) -> None:
        self.descriptor = descriptor
        self.log = log
        self.mark = f"\0{mark}\n".encode()
        self.text: list[str] = []

    def write(self, text: str) -> None:
        self.text.append(text)

    def flush(self) -> None:
        for stream in (sys.stdout, sys.stderr, sys.__stderr__):
            if stream is not None and stream is not self:
                with suppress(Exception):  # it may be an object of the function's, which may do anything
                    stream.flush()
        answer = "".join(self.text)
        _write(self.log, _first_line(answer) + self.mark)
        _write(self.descriptor, answer.encode())
        self.text.clear()


class Questions(io.TextIOWrapper):
    """The stdin that MiniStack's script is asked on, and the request ID of the last question."""

    request_id = ""

    def readline(self, *size: int) -> str:  # type: ignore[override]
        line = super().readline(*size)
        self.request_id = line.rpartition('"request_id": "')[2].partition('"')[0] if '"request_id": "' in line else ""
        return line


def _first_line(answer: str) -> bytes:
    """Return the line that Lambda's Python logs before the traceback of a handler that raised; for others, nothing.

    It starts on a line of its own, wherever what was printed before it ends.
    """
    if not answer.startswith('{"status": "error"'):
        return b""
    raised = json.loads(answer).get("trace", "").strip().rpartition("\n")[2]
    return f"\n[ERROR] {raised}\n".encode(errors="backslashreplace")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@functools.cache
def _compile(source: bytes) -> types.CodeType:
    """Compile MiniStack's script, once for all workers: it is the same, though each has a file of its own."""
    return compile(source, "_worker.py", "exec")


def run(script: str, mark: str) -> None:
    """Run MiniStack's script on stdin, stdout and stderr as they are, which the function itself does not get.

    Whatever the function, its threads and its child processes print, on stdout or stderr, is its log.
    """
    questions, answers, log = os.dup(0), os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    printed = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stdin = asked = Questions(open(questions, "rb"), encoding="utf-8")  # noqa: SIM115,PTH123
    sys.stderr = sys.__stderr__ = sys.__stdout__ = printed  # type: ignore[misc]
    sys.stdout = Answers(answers, log, mark)
    _keep_from_children(questions, answers, log)
    _mark_requests(mark)
    _log_records(printed, asked)
    _answer_breakpoints(os.environ.pop("_DEBUGGER", None), Path(script))
    sys.path.insert(0, str(Path(script).parent))
    sys.argv = [script]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = script
    exec(_compile(Path(script).read_bytes()), main.__dict__)  # noqa: S102 # MiniStack's own


def _keep_from_children(*descriptors: int) -> None:
    """See to it that no process that the function forks holds these open."""

    def forget() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in descriptors:
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)

    os.register_at_fork(after_in_child=forget)


def _mark_requests(mark: str) -> None:
    """Mark what the function asks the engine for, so that it does not wait behind the function itself."""
    from http.client import HTTPConnection

    engine = int(os.environ.get("GATEWAY_PORT") or 4566)
    plain = HTTPConnection.endheaders

    def endheaders(self: HTTPConnection, *arguments: Any, **options: Any) -> None:
        if self.port == engine and (self.host in ("127.0.0.1", "localhost") or ".localhost" in self.host):
            self.putheader("X-Of-A-Function", mark)
        plain(self, *arguments, **options)

    HTTPConnection.endheaders = endheaders  # type: ignore[method-assign]


def _log_records(log: TextIO, asked: Questions) -> None:
    """Write the records of ``logging`` as Lambda's Python does, from the level in LOG_LEVEL on.

    https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
    """
    import logging

    def add_request_id(record: logging.LogRecord) -> bool:
        record.aws_request_id = asked.request_id
        return True

    handler = logging.StreamHandler(log)
    handler.addFilter(add_request_id)
    form = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    handler.setFormatter(form)
    level = logging.getLevelNamesMapping().get(os.environ.get("LOG_LEVEL", "").upper(), logging.WARNING)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(level)
    for chatty in ("boto3", "botocore", "urllib3"):  # which say where credentials are, and at DEBUG what they are
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _answer_breakpoints(debugger: str | None, script: Path) -> None:
    """Have ``breakpoint()`` stop in the client that is attached, or say in the log how to attach one."""
    how = f"run scripts/dev.sh --debug {os.environ['AWS_LAMBDA_FUNCTION_NAME']}, then attach your editor"
    stop = None
    if debugger is not None:
        settings = json.loads(debugger)
        how = f"attach your editor to port {settings['port']}"
        stop = _start_debugger(settings, script)

    def hook(*arguments: Any, **named: Any) -> None:
        frame = sys._getframe(1)
        if stop is None or not stop(frame):
            file = os.path.relpath(frame.f_code.co_filename, script.parent / "code")
            print(f"breakpoint() in {file}, line {frame.f_lineno}, was passed: {how}", file=sys.__stderr__)

    sys.breakpointhook = hook


def _start_debugger(settings: dict[str, Any], script: Path) -> Callable[[types.FrameType], bool]:
    """Start debugpy, and write the port that it listens on beside the script; return what stops at a frame."""
    plain = dict(os.environ)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    sys.path.insert(0, settings["debugpy"])
    import debugpy  # noqa: T100
    import debugpy.server
    import pydevd
    import pydevd_file_utils

    sys.path.remove(settings["debugpy"])
    # The files of this worker are the user's, whatever else the client maps.
    paths = [(host, str(script.parent / "code" / folder)) for host, folder in settings["paths"]]
    set_up = pydevd_file_utils.setup_client_server_paths
    pydevd_file_utils.setup_client_server_paths = lambda others: set_up(
        paths + [pair for pair in others if pair not in paths]
    )
    debugpy.configure(subProcess=False)
    _, port = debugpy.listen(("127.0.0.1", 0))  # noqa: T100
    pydevd_file_utils.setup_client_server_paths([])
    os.environ.clear()
    os.environ.update(plain)
    script.with_name("debugger-port").write_text(str(port))

    def stop(frame: types.FrameType) -> bool:
        attached = bool(debugpy.is_client_connected())
        if attached:
            pydevd.settrace(
                suspend=True, trace_only_current_thread=True, patch_multiprocessing=False, stop_at_frame=frame
            )
        return attached

    return stop


def serve(control: socket.socket) -> None:
    """Fork a worker for each line of JSON with four descriptors, until the engine closes the socket.

    The workers of an engine that was killed must not go on: what they ask for again, the next engine would do again.
    """
    children: set[int] = set()
    template = os.getpid()
    try:
        _fork_workers(control, children)
    finally:
        for child in children if os.getpid() == template else ():
            os.kill(child, signal.SIGKILL)


def _fork_workers(control: socket.socket, children: set[int]) -> None:
    _load_boto3()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    control.sendall(json.dumps(loaded).encode() + b"\n")
    while True:
        ready = select.select([control], [], [], 1 if children else None)[0]
        while children and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            children.remove(ended)
        if not ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 4)
        while message and not message.endswith(b"\n"):
            message += control.recv(1 << 20)
        if not message:
            return
        request = json.loads(message)
        if "kill" in request:
            if request["kill"] in children:
                os.kill(request["kill"], request["signal"])
            control.sendall(b"done\n")  # without which the next request could be in the same message
            continue
        with suppress(OSError):  # a script that is gone is its own worker's failure alone
            _compile(Path(request["script"]).read_bytes())
        child = os.fork()
        if child == 0:
            control.close()
            start(request, descriptors)
            return
        children.add(child)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"%d\n" % child)


def _load_boto3() -> None:
    """Make boto3's default session, and read what its first client of DynamoDB will read.

    A session looks at the environment and at ~/.aws when it makes a client, and so in the worker alone.
    """
    import boto3.session
    from botocore.loaders import Loader
    from botocore.session import get_session

    loader = Loader()

    def session(*keys: str) -> boto3.session.Session:
        core = get_session()
        core.register_component("data_loader", loader)
        return boto3.session.Session(*keys, botocore_session=core)

    session("none", "none").client("dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1")
    boto3.DEFAULT_SESSION = session()


def start(request: dict[str, Any], descriptors: list[int]) -> None:
    """Become the worker, with nothing of the template but its modules."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.set_inheritable(descriptors[3], False)
    _keep_from_children(descriptors[3])  # open as long as this process lives, which the engine watches
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    run(request["script"], request["mark"])


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    runpy.run_path(str(Path(__file__).with_name("site_packages.py")))
    if sys.argv[1] == "template":
        with suppress(ConnectionError):  # the engine has ended
            serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        run(sys.argv[2], os.environ.pop("_END_MARK"))
