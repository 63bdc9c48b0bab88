"""A client of the Debug Adapter Protocol, as an editor is one.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

import json
import queue
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from project import PATIENCE


class Editor:
    """An editor that is attached to a port, with breakpoints set."""

    def __init__(self, port: int, breakpoints: dict[Path, Sequence[int]] | None = None, **options: Any) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.number = 0
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.waiting: list[dict[str, Any]] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.ask("initialize", clientID="test", adapterID="debugpy", pathFormat="path", linesStartAt1=True)
        attach = self.send("attach", **{"justMyCode": True, **options})
        self.event("initialized")
        for file, lines in (breakpoints or {}).items():
            answer = self.ask(
                "setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line} for line in lines]
            )
            assert all(one["verified"] for one in answer["breakpoints"]), answer
        self.ask("configurationDone")
        self.answer(attach)

    def __enter__(self) -> "Editor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go without a word, as an editor that was killed."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.socket.close()

    def _read(self) -> None:
        with self.socket.makefile("rb") as stream:
            try:
                while header := stream.readline():
                    stream.readline()
                    self.messages.put(json.loads(stream.read(int(header.split(b":")[1]))))
            except OSError:  # closed by this test
                pass
        self.messages.put(None)

    def send(self, command: str, **arguments: Any) -> int:
        self.number += 1
        request = {"seq": self.number, "type": "request", "command": command, "arguments": arguments}
        text = json.dumps(request).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        return self.number

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a request, and return the body of its answer."""
        return self.answer(self.send(command, **arguments))

    def answer(self, number: int) -> Any:
        answer = self._next(lambda one: one["type"] == "response" and one["request_seq"] == number)
        assert answer["success"], answer
        return answer.get("body")

    def event(self, name: str, **body: Any) -> Any:
        """Wait for an event, and return its body."""
        return self._next(
            lambda one: one["type"] == "event" and one["event"] == name and body.items() <= one.get("body", {}).items()
        ).get("body")

    def _next(self, wanted: Any) -> dict[str, Any]:
        for one in self.waiting:
            if wanted(one):
                self.waiting.remove(one)
                return one
        while (message := self.messages.get(timeout=PATIENCE)) is not None:
            if wanted(message):
                return message
            self.waiting.append(message)
        raise AssertionError(f"the connection has ended; unused: {self.waiting}")

    def asked_to_attach_again(self) -> bool:
        """Wait for the end of the debugged worker; return whether the editor is asked to attach again."""
        ended = self.event("terminated")
        return bool((ended or {}).get("restart"))

    def stopped(self, reason: str = "breakpoint") -> "Stop":
        """Wait until the function stops."""
        thread = self.event("stopped", reason=reason)["threadId"]
        return Stop(self, thread, self.ask("stackTrace", threadId=thread)["stackFrames"][0])


class Stop:
    """A function that stands still."""

    def __init__(self, editor: Editor, thread: int, frame: dict[str, Any]) -> None:
        self.editor, self.thread, self.frame = editor, thread, frame

    @property
    def place(self) -> tuple[Path, int]:
        return Path(self.frame["source"]["path"]), self.frame["line"]

    def locals(self) -> dict[str, str]:
        scopes = self.editor.ask("scopes", frameId=self.frame["id"])["scopes"]
        reference = next(one["variablesReference"] for one in scopes if one["name"] == "Locals")
        variables = self.editor.ask("variables", variablesReference=reference)["variables"]
        return {one["name"]: one["value"] for one in variables}

    def step(self) -> "Stop":
        self.editor.ask("next", threadId=self.thread)
        return self.editor.stopped("step")

    def go_on(self) -> None:
        self.editor.ask("continue", threadId=self.thread)
