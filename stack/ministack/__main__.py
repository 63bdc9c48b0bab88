"""The engine, in Docker and without: MiniStack with a queue, a journal and workers that start fast.

``python -m stack.ministack`` is the container's entry point; without Docker stack/engine/embedded.py runs it.
``python -m stack.ministack restore`` keeps what can be of a state that cannot be read.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.pop("PYTHONPATH", None)  # by which the container finds this package; it is no business of the functions
os.environ.setdefault("IOT_MTLS_ENABLED", "0")  # MiniStack would listen on all addresses

if sys.argv[1:] == ["restore"]:
    os.environ["PERSIST_STATE"] = "1"  # which MiniStack reads when it is imported

from stack import outputs, packages
from stack.errors import DeployError
from stack.ministack import STORAGE, debugger, gate, logs, names, shutdown, state, template, users, workers
from stack.ministack.journal import FullError
from stack.ministack.tables import Tables
from stack.settings import PROJECT, Settings

HOOKS_IN_IMAGE = "/etc/localstack/init"
LOOK_EVERY = 0.1  # seconds
TIDY_EVERY = 1  # second
KEPT = 500  # invocations of each function in CloudWatch Logs, points of each metric
POLL_EVERY = 0.02  # seconds
GRACE = 3  # seconds for the requests that are under way at a stop


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # which a container's first process has to ask for
    for other in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(other, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    logs.set_up()
    folder = Path(os.environ.get("STATE_DIR", "/tmp/ministack-state"))  # noqa: S108 # MiniStack's
    if arguments == ["restore"]:
        state.restore(folder)
        sys.stdout.flush()
        os._exit(0)  # whatever the services started
    settings = Settings.from_environment(os.environ)
    tables = None
    if os.environ.get("PERSIST_STATE") == "1":
        tables = state.open_tables(folder, lambda: _withdraw(settings))
        tables.follow()
        names.restore_services_with(lambda: state.restore_services(folder))
    starter = workers.set_up()
    names.find_hooks_in(str(PROJECT / "init"), HOOKS_IN_IMAGE)
    names.give_each_request_one_id()
    unsaved: list[str] = []
    names.save_with(unsaved.append)

    def wrapped(application: gate.Application) -> Lifespan:
        queue = gate.Gate(users.Saved(application), template.MARK.encode())
        return Lifespan(queue, tables, settings, starter, unsaved)

    debugger.listen(settings.host_port)
    names.serve_with(wrapped)
    debugger.close(settings.host_port)
    starter.close()
    shutdown.leave_nothing_behind(settings.outputs, settings.host_port)
    if unsaved:
        shutdown.report_unsaved(
            f"{shutdown.UNSAVED} ({unsaved[0]}): "
            "what DynamoDB acknowledged is kept, the rest is as the last stop left it. Free some space"
        )
    sys.stdout.flush()
    os._exit(1 if unsaved else 0)  # a million links need not be freed one by one


def _withdraw(settings: Settings) -> None:
    with contextlib.suppress(DeployError):  # the build says so
        outputs.withdraw(settings.outputs, settings.host_port)


class Lifespan:
    """The ASGI application, with what is to be done while it runs and when it stops."""

    def __init__(
        self,
        application: gate.Gate,
        tables: Tables | None,
        settings: Settings,
        starter: workers.Subprocess,
        unsaved: list[str],
    ) -> None:
        self.application = application
        self.tables = tables
        self.settings = settings
        self.starter = starter
        self.unsaved = unsaved
        self.stop = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == packages.PATH:
            return await _answer(send, packages.described().encode())
        if scope["type"] == "http" and scope["path"] == STORAGE:
            why = state.problem(self.tables.journal.folder) if self.tables else ""
            return await _answer(send, why.encode())
        if scope["type"] != "lifespan":
            return await self.application(scope, receive, send)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)
        beside = [asyncio.create_task(one) for one in (self._start_workers(), self._tidy())]
        try:
            await self.application(scope, receive, send)
        finally:
            for task in beside:
                task.cancel()
            if self.tables:
                try:
                    self.tables.close()
                except (FullError, OSError) as error:
                    self.unsaved.append(str(error))
        return None

    async def stopped(self) -> None:
        """Return when the engine may end: after a signal, and once nobody waits for a function any more.

        The functions have some time to answer, while the engine still answers them; it would not later.
        """
        await self.stop.wait()
        outputs.withdraw(self.settings.outputs, self.settings.host_port)
        self.application.close()
        deadline = time.monotonic() + GRACE
        while not (self.application.idle and workers.idle()) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_EVERY)
        await asyncio.to_thread(self.starter.close)

    async def _start_workers(self) -> None:
        """Start workers ahead once the stack is up."""
        while not names.hooks_are_done():
            await asyncio.sleep(LOOK_EVERY)
        threading.Thread(target=workers.start_ahead, args=(lambda: self.application.idle,), daemon=True).start()

    async def _tidy(self) -> None:
        """Write down tables that were made without a request to DynamoDB, as CloudFormation does; forget old logs."""
        while True:
            await asyncio.sleep(TIDY_EVERY)
            names.forget_old(KEPT)
            if self.tables:
                with contextlib.suppress(FullError):  # which is in the log
                    self.tables.write_entries(["_tables"])


async def _answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main(sys.argv[1:])
