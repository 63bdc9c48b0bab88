"""The queue before the APIs: requests wait in the order in which they came until one of a few before them is done.

AWS's own operations never wait, and neither does what a function asks for: the function holds a
place already, so both would wait for ever. Functions in Python mark what they ask the engine for
(stack/ministack/function.py). What other programs under the engine ask for is known by their connections
(stack/ministack/callers.py).

Few requests that compute are done sooner than many, which need more workers and share the same cores. So there are
FEW places at first, and one more whenever no request has been done for a moment, as when functions wait for
something. Beyond AT_ONCE that takes longer: there it is the way out where functions wait for each other.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from stack.ministack.callers import ports_of_functions

FEW = 2 * (os.cpu_count() or 1)
AT_ONCE = max(8, 2 * FEW)
MOST = 8 * AT_ONCE  # however long those under way are stuck
LOOK_EVERY = 0.05  # seconds
WAITING = 0.05  # seconds without any request being done, after which there is one place more
UNAVAILABLE = b'{"message": "Service Unavailable"}'
STUCK = 1  # second, the same beyond AT_ONCE

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
    """An ASGI application that lets a few requests to APIs at a time through to another one."""

    def __init__(self, application: Application, mark: bytes) -> None:
        self.application = application
        self.mark = mark
        self.waiting: dict[asyncio.Future[None], int] = {}  # in their order, each with its client's port
        self.under_way = 0
        self.places = FEW
        self.done_at = 0.0
        self.watching: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def idle(self) -> bool:
        """Return whether no request is under way."""
        return not self.under_way and not self.waiting

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not is_to_an_api(scope):
            return await self.application(scope, receive, send)
        if self._is_of_a_function(scope):
            headers = [header for header in scope["headers"] if header != (b"x-of-a-function", self.mark)]
            return await self.application({**scope, "headers": headers}, receive, send)
        mailbox = Mailbox(receive)
        try:
            if self.under_way < self.places and not self.waiting:
                self.under_way += 1
            elif not await self._wait(mailbox, scope):
                return None
            try:
                await (_refuse(send) if self.closed else self.application(scope, mailbox, send))
            finally:
                self.done_at = time.monotonic()
                self._leave()
        finally:
            mailbox.close()
        return None

    def close(self) -> None:
        """Refuse every request that is not under way yet."""
        self.closed = True
        for place in [*self.waiting]:
            self._let_in(place)

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
        if not self.waiting:  # a place is kept beside the requests that needed more than a few
            self.places = max(FEW, min(self.places, self.under_way + 1))
        elif self.under_way < self.places:
            self._let_in(next(iter(self.waiting)))

    def _let_in(self, place: "asyncio.Future[None]") -> None:
        del self.waiting[place]
        self.under_way += 1
        place.set_result(None)

    async def _watch(self, server: int) -> None:
        """While requests wait, let in at once what functions ask for, and make a place whenever nothing is done."""
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
            idle = time.monotonic() - self.done_at
            if self.waiting and self.under_way < MOST and idle > (WAITING if self.under_way < AT_ONCE else STUCK):
                self.done_at = time.monotonic()
                self.places = min(AT_ONCE, self.places + 1)
                self._let_in(next(iter(self.waiting)))


def is_to_an_api(scope: Any) -> bool:
    """Return whether a request is for an API that the engine serves, by its path or by its host name."""
    hosts = (value for name, value in scope["headers"] if name == b"host")
    return scope["path"].startswith("/_aws/execute-api/") or any(b".execute-api." in host for host in hosts)


async def _refuse(send: Any) -> None:
    """Answer as API Gateway does when it cannot serve."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(UNAVAILABLE))]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": UNAVAILABLE})
