"""Load: the same request again and again, over a number of connections, and how long each took."""

import asyncio
import ssl
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class Shot:
    """A request to measure; ``arguments`` is called for each one, so that bodies can differ."""

    name: str
    method: str
    url: str
    status: int
    arguments: Callable[[], dict[str, Any]] = dict


@dataclass
class Times:
    """What was seen of one shot over one number of connections, in all rounds together."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0  # of the clock, in all rounds
    wrong: int = 0  # other statuses than expected, and no answers

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds


def fire(shot: Shot, connections: int, count: int, times: Times) -> None:
    """Send ``count`` requests over ``connections`` connections, and add what was seen to ``times``."""
    asyncio.run(_fire(shot, connections, count, times))


async def _fire(shot: Shot, connections: int, count: int, times: Times) -> None:
    context = ssl.create_default_context()  # made once for all clients: it takes as long as several requests
    left = iter(range(count))

    async def one_connection() -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT, verify=context) as client:
            for _ in left:
                started = time.perf_counter()
                try:
                    status = (await client.request(shot.method, shot.url, **shot.arguments())).status_code
                except httpx.HTTPError:
                    status = None
                times.milliseconds.append((time.perf_counter() - started) * 1000)
                times.wrong += status != shot.status

    started = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    times.seconds += time.perf_counter() - started
