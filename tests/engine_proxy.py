"""An HTTP proxy before an engine, which can answer in its place."""

import contextlib
import http.client
import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """Hold a client's request to the engine."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """Return the AWS operation, as far as the request names it: a target, an action, or method and path."""
        if target := self.headers.get("x-amz-target"):
            return target.partition(".")[2]
        if named := re.fullmatch(r"/service/\w+/operation/(\w+)", self.path):
            return named[1]
        if action := re.match(rb"Action=(\w+)", self.body):
            return action[1].decode()
        return f"{self.method} {self.path.partition('?')[0]}"


@dataclass(frozen=True)
class Reply:
    """Hold an error in the engine's place."""

    status: int
    error_type: str
    message: str

    def encode(self, request: Request) -> tuple[list[tuple[str, str]], bytes]:
        """Return headers and body, as the request's protocol has them: XML for IAM and STS, JSON for the others."""
        if request.body.startswith(b"Action="):
            error = f"<Error><Code>{self.error_type}</Code><Message>{self.message}</Message></Error>"
            return [("Content-Type", "text/xml")], f"<ErrorResponse>{error}</ErrorResponse>".encode()
        body = {"__type": self.error_type, "message": self.message}
        return [("Content-Type", "application/json"), ("x-amzn-errortype", self.error_type)], json.dumps(body).encode()


class Drop(Exception):
    """Close the connection without an answer, before or after the engine has done what was asked."""

    def __init__(self, done: bool) -> None:
        self.done = done


Fault = Callable[[Request], Reply | Request | None]
After = Callable[[Request, bytes], bytes]


class Handler(BaseHTTPRequestHandler):
    """Ask the engine, or answer in its place."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        fault, after = self.server.fault, self.server.after
        try:
            reply = fault(request)
        except Drop as drop:
            if drop.done:
                self._ask_engine(body, headers)
            self.close_connection = True
            return
        if isinstance(reply, Reply):
            self._send(reply.status, *reply.encode(request))
        else:
            asked = reply or request
            status, kept, text = self._ask_engine(asked.body, asked.headers)
            self._send(status, kept, after(asked, text))

    def setup(self) -> None:
        super().setup()
        self.upstream = http.client.HTTPConnection(self.server.engine, timeout=60)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def _ask_engine(self, body: bytes, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask on the connection that goes with the client's, for that takes the least time."""
        try:
            self.upstream.request(self.command, self.path, body, headers)
            answer = self.upstream.getresponse()
            skipped = ("content-length", "transfer-encoding", "connection")
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in skipped]
            return answer.status, kept, answer.read()
        except BaseException:
            self.upstream.close()
            raise

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing: the tests say what went wrong."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815


def hang_up(_: Request) -> Reply | None:
    """Answer nobody, as long as no test uses the proxy."""
    raise Drop(done=False)


class Server(ThreadingHTTPServer):
    """A proxy that one test after another uses, so that clients of its URL are made once."""

    daemon_threads = True
    fault: Fault = staticmethod(hang_up)
    after: After = staticmethod(lambda _, body: body)

    def __init__(self, engine: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = engine
        self._open: set[Any] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection: the next test has others."""
        self.fault = hang_up
        for connection in [*self._open]:
            with contextlib.suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


IDLE: defaultdict[str, list[Server]] = defaultdict(list)  # by the engine that they stand before


@contextlib.contextmanager
def proxy(engine: str, fault: Fault, after: After = lambda _, body: body) -> Iterator[str]:
    """Yield a proxy's URL. ``fault`` may reply to a request, raise Drop, or return None to let the engine answer.

    A request that it returns is what the engine is asked instead.

    ``after`` is called with the body that the engine has answered, and returns the one that the client gets.
    """
    address = urlsplit(engine).netloc
    server = IDLE[address].pop() if IDLE[address] else Server(address)
    server.fault, server.after = fault, after
    try:
        yield server.url
    finally:
        server.hang_up()
        IDLE[address].append(server)
