"""The queue before the APIs: requests wait in the order in which they came until one of a few before them is done.

AWS's own operations never wait, and neither does what a function asks for: the function holds a
place already, so both would wait for ever. Functions in Python mark what they ask the engine for
(stack/engine/function.py). What other programs ask for cannot be told from a client's request, so
one more request is let in whenever all that are under way have been stuck for a moment.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

AT_ONCE = max(8, 4 * (os.cpu_count() or 1))
MOST = 8 * AT_ONCE  # however long those under way are stuck
STUCK = 0.25  # seconds without any request being done

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
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.under_way = 0
        self.done = 0
        self.watched = False

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
            elif not await self._wait(mailbox):
                return None
            try:
                await self.application(scope, mailbox, send)
            finally:
                self.done += 1
                self._leave()
        finally:
            mailbox.close()
        return None

    def _is_of_a_function(self, scope: Any) -> bool:
        return (b"x-of-a-function", self.mark) in scope["headers"]

    async def _wait(self, mailbox: "Mailbox") -> bool:
        """Wait for a place; return False if the client left meanwhile."""
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self.waiting.append(place)
        if not self.watched:
            self.watched = True
            loop.call_later(STUCK, self._let_one_in_if_stuck, self.done)
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
            self.waiting.remove(place)

    def _leave(self) -> None:
        self.under_way -= 1
        if self.waiting and self.under_way < AT_ONCE:
            self._let_one_in()

    def _let_one_in(self) -> None:
        self.under_way += 1
        self.waiting.popleft().set_result(None)

    def _let_one_in_if_stuck(self, done_before: int) -> None:
        self.watched = bool(self.waiting)
        if not self.watched:
            return
        if self.done == done_before and self.under_way < MOST:
            self._let_one_in()
        asyncio.get_running_loop().call_later(STUCK, self._let_one_in_if_stuck, self.done)


def is_to_an_api(scope: Any) -> bool:
    """Return whether a request is for an API that the engine serves, by its path or by its host name."""
    hosts = (value for name, value in scope["headers"] if name == b"host")
    return scope["path"].startswith("/_aws/execute-api/") or any(b".execute-api." in host for host in hosts)
