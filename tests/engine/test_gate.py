"""Few requests are let in at once, more while nothing is done, and none once the gate is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stack.ministack import gate
from stack.ministack.gate import AT_ONCE, FEW, Gate

MANY = 2 * AT_ONCE
SCOPE = {
    "type": "http",
    "path": "/_aws/execute-api/abc/dev/",
    "headers": [],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
}


class Functions:
    """The application behind the gate: each request lasts for as long as a test says."""

    def __init__(self, last: Callable[[], Awaitable[object]]) -> None:
        self.last = last
        self.running = self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        self.running += 1
        self.most = max(self.most, self.running)
        await self.last()
        self.running -= 1
        await send({"type": "http.response.start", "status": 200})


async def never() -> None:
    await asyncio.Event().wait()


async def ask(asked: Gate) -> int:
    """Send a request, and return the status of its answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await asked(SCOPE, never, send)
    status: int = sent[0]["status"]
    return status


async def seen(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gate take no request for stuck while a test runs."""
    monkeypatch.setattr(gate, "STUCK", 60)


def test_requests_that_are_soon_done_have_few_places(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WAITING", 60)
    functions = Functions(lambda: asyncio.sleep(0.01))

    async def ask_at_once() -> list[int]:
        asked = Gate(functions, b"")
        return await asyncio.gather(*(ask(asked) for _ in range(MANY)))

    assert asyncio.run(ask_at_once()) == [200] * MANY
    assert functions.most == FEW


def test_requests_that_last_have_more_places_one_after_the_other(patient: None) -> None:
    async def ask_at_once() -> list[int]:
        done = asyncio.Event()
        functions = Functions(done.wait)
        asked = Gate(functions, b"")
        requests = [asyncio.create_task(ask(asked)) for _ in range(MANY)]
        await asyncio.sleep(0)
        assert functions.running == FEW
        await seen(lambda: functions.running == AT_ONCE)
        await asyncio.sleep(4 * gate.WAITING)
        assert functions.most == AT_ONCE
        done.set()
        return await asyncio.gather(*requests)

    assert asyncio.run(ask_at_once()) == [200] * MANY


def test_a_gate_that_closes_answers_what_is_under_way_and_refuses_the_rest(patient: None) -> None:
    async def ask_and_close() -> tuple[list[int], int]:
        done = asyncio.Event()
        functions = Functions(done.wait)
        asked = Gate(functions, b"")
        requests = [asyncio.create_task(ask(asked)) for _ in range(FEW + 1)]
        await asyncio.sleep(0)
        asked.close()
        late = await ask(asked)
        assert not asked.idle
        done.set()
        return await asyncio.gather(*requests), late

    answered, late = asyncio.run(ask_and_close())
    assert (answered, late) == ([200] * FEW + [503], 503)


def test_a_request_that_is_soon_done_waits_once_beside_those_that_last(patient: None) -> None:
    async def ask_beside() -> list[float]:
        done = asyncio.Event()
        first = Functions(done.wait)
        asked = Gate(first, b"")
        requests = [asyncio.create_task(ask(asked)) for _ in range(FEW + 1)]
        await seen(lambda: first.running == FEW + 1)
        asked.application = Functions(lambda: asyncio.sleep(0))
        places = []
        for _ in range(3):
            await ask(asked)
            places.append(asked.places)
        done.set()
        await asyncio.gather(*requests)
        return [*places, asked.places]

    assert asyncio.run(ask_beside()) == [FEW + 2] * 3 + [FEW]
