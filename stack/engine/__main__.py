"""The embedded engine: MiniStack from PyPI, with the hooks of this checkout, and with a queue.

MiniStack looks for hooks where an image has them, under /etc/localstack/init. Without Docker
that folder is not ours to write, so the one function that lists hooks is pointed at init/.

MiniStack starts a worker process for each request that finds none idle, and each start takes a
third of a second of a core: 200 requests at once would keep a small machine busy for a minute.
Here requests to an API wait until one of a few before them is done.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ministack import app as ministack

from stack.engine import request_ids

IN_IMAGE = "/etc/localstack/init"
HERE = str(Path(__file__).resolve().parent.parent.parent / "init")
AT_ONCE = max(8, 4 * (os.cpu_count() or 1))

Application = Callable[[Any, Any, Any], Awaitable[None]]


def main() -> None:
    """Serve until SIGTERM."""
    list_hooks = ministack._collect_scripts
    ministack._collect_scripts = lambda *folders: list_hooks(*(one.replace(IN_IMAGE, HERE) for one in folders))
    request_ids.unite()
    ministack.app = queued(ministack.app)
    ministack.main()


def queued(application: Application) -> Application:
    """The ASGI application, with at most AT_ONCE requests to APIs under way; AWS's own operations never wait."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and is_to_an_api(scope):
            async with slots:
                await application(scope, receive, send)
        else:
            await application(scope, receive, send)

    return serve


def is_to_an_api(scope: Any) -> bool:
    """Whether a request is for an API that the engine serves, by its path or by its host name."""
    hosts = (value for name, value in scope["headers"] if name == b"host")
    return scope["path"].startswith("/_aws/execute-api/") or any(b".execute-api." in host for host in hosts)


if __name__ == "__main__":
    main()
