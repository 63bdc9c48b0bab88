"""The queue before the APIs: requests wait in the order in which they came until one of a few before them is done.

AWS's own operations never wait, and neither does what a function asks for: the function holds a
place already, so both would wait for ever. Functions in Python mark what they ask the engine for
(stack/ministack/function.py). What other programs under the engine ask for is known by their connections
(stack/ministack/callers.py). Where even that fails, one more request is let in whenever all that are under
way have been stuck for a while.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from stack.ministack.callers import ports_of_functions

AT_ONCE = max(8, 4 * (os.cpu_count() or 1))
MOST = 8 * AT_ONCE  # however long those under way are stuck
LOOK_EVERY = 0.1  # seconds
STUCK = 1  # second without any request being done

Application = Callable[[Any, Any, Any], Awaitable[None]]
Message = dict[str, Any]


class Mailbox:
    """Receive from a client. A look ahead tells if the client left, and loses nothing that it sent before."""

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self.receive = receive
        self.seen: deque[asyncio.Future[Message]] = deque()

    def look_ahead(self) -> "asyncio.Future[Message]":
        """Return the last message, or the one that is yet to come."""
        if not self.seen or self.seen[-1].done():
            self.seen.append(asyncio.ensure_future(self.receive()))
        return self.seen[-1]

    async def __call__(self) -> Message:
        return await (self.seen.popleft() if self.seen else self.receive())

    def close(self) -> None:
        for message in self.seen:
            message.cancel()


class Gate:
    """An ASGI application that lets AT_ONCE requests to APIs at a time through to another one."""

    def __init__(self, application: Application, mark: bytes) -> None:
        self.application = application
        self.mark = mark
        self.waiting: dict[asyncio.Future[None], int] = {}  # in their order, each with its client's port
        self.under_way = 0
        self.done_at = 0.0
        self.watching: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not is_to_an_api(scope):
            return await self.application(scope, receive, send)
        if self._is_of_a_function(scope):
            headers = [header for header in scope["headers"] if header != (b"x-of-a-function", self.mark)]
            return await self.application({**scope, "headers": headers}, receive, send)
        mailbox = Mailbox(receive)
        try:
            if self.under_way < AT_ONCE and not self.waiting:
                self.under_way += 1
            elif not await self._wait(mailbox, scope):
                return None
            try:
                await self.application(scope, mailbox, send)
            finally:
                self.done_at = time.monotonic()
                self._leave()
        finally:
            mailbox.close()
        return None

    def _is_of_a_function(self, scope: Any) -> bool:
        return (b"x-of-a-function", self.mark) in scope["headers"]

    async def _wait(self, mailbox: "Mailbox", scope: Any) -> bool:
        """Wait for a place; return False if the client left meanwhile."""
        place = asyncio.get_running_loop().create_future()
        self.waiting[place] = scope["client"][1] if scope.get("client") else 0
        if self.watching is None or self.watching.done():
            self.watching = asyncio.create_task(self._watch(scope["server"][1]))
        try:
            while not place.done():
                coming = mailbox.look_ahead()
                await asyncio.wait({place, coming}, return_when=asyncio.FIRST_COMPLETED)
                if coming.done() and coming.result()["type"] == "http.disconnect":
                    self._give_up(place)
                    return False
        except asyncio.CancelledError:
            self._give_up(place)
            raise
        return True

    def _give_up(self, place: "asyncio.Future[None]") -> None:
        if place.done():
            self._leave()
        else:
            del self.waiting[place]

    def _leave(self) -> None:
        self.under_way -= 1
        if self.waiting and self.under_way < AT_ONCE:
            self._let_in(next(iter(self.waiting)))

    def _let_in(self, place: "asyncio.Future[None]") -> None:
        del self.waiting[place]
        self.under_way += 1
        place.set_result(None)

    async def _watch(self, server: int) -> None:
        """Let in at once what functions ask for, and one more whenever nothing has been done for a while."""
        looked_at: set[asyncio.Future[None]] = set()
        self.done_at = time.monotonic()
        while self.waiting:
            await asyncio.sleep(LOOK_EVERY)
            new = {place: port for place, port in self.waiting.items() if place not in looked_at}
            looked_at.update(new)
            of_functions = await asyncio.to_thread(ports_of_functions, new.values(), server) if new else set()
            for place, port in new.items():
                if port in of_functions and place in self.waiting:
                    self._let_in(place)
            if self.waiting and self.under_way < MOST and time.monotonic() - self.done_at > STUCK:
                self.done_at = time.monotonic()
                self._let_in(next(iter(self.waiting)))


def is_to_an_api(scope: Any) -> bool:
    """Return whether a request is for an API that the engine serves, by its path or by its host name."""
    hosts = (value for name, value in scope["headers"] if name == b"host")
    return scope["path"].startswith("/_aws/execute-api/") or any(b".execute-api." in host for host in hosts)
