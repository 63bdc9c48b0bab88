"""How a stack behaves as its table grows: the same measurements with ever more links in it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.load import Shot, Times, fire
from bench.stack import OwnStack
from stack.definition import DEFINITION

ROWS = (10**2, 10**4, 10**6)
QUICK_ROWS = (10, 100)
REQUESTS = 300
BATCH = 25  # the most that BatchWriteItem takes
WRITERS = 4
LINK = {"long_url": {"S": "https://example.com/"}, "owner_id": {"S": "bench"}, "click_count": {"N": "0"}}


@dataclass(frozen=True)
class Measured:
    """With so many rows: milliseconds of a request (medians), seconds of a stop and a start, MiB."""

    rows: int
    follow: float
    unknown: float
    shorten: float
    stop: float
    start: float
    engine: float
    file: float


def measure(own: OwnStack, rows: tuple[int, ...], say: Callable[[str], None]) -> Iterator[Measured]:
    """Start the stack, and measure it with each number of rows. They must ascend."""
    own.up()
    there = 0
    for wanted in rows:
        say(f"writing {wanted:,} links")
        fill(own, there, wanted)
        there = wanted
        say(f"{wanted:,} links: requests")
        follow, unknown, shorten = (median(own, *request) for request in requests(own))
        engine, _ = own.memory()
        say(f"{wanted:,} links: stop and start")
        stop, start = own.stop(), own.up()
        file = sum(one.stat().st_size for one in (own.project.state / "data").glob("dynamodb*")) / 2**20
        yield Measured(wanted, follow, unknown, shorten, stop, start, engine, file)


def fill(own: OwnStack, there: int, wanted: int) -> None:
    """Put links ``there`` to ``wanted`` into the table, past the API."""
    client = own.project.stack.client("dynamodb")

    def write(first: int) -> None:
        codes = range(first, min(first + BATCH, wanted))
        puts = [{"PutRequest": {"Item": {"code": {"S": f"row-{code}"}, **LINK}}} for code in codes]
        client.batch_write_item(RequestItems={DEFINITION.table_name("shortlinks"): puts})

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write, range(there, wanted, BATCH)):
            pass


def requests(own: OwnStack) -> Iterator[tuple[str, str, int, dict[str, object]]]:
    """Method, path, status and arguments of the requests that are measured."""
    yield "GET", "/r/row-1", 302, {}
    yield "GET", "/r/unknown", 404, {}
    token = own.project.stack.token("bench")
    body = {"long_url": "https://example.com/"}
    yield "POST", "/shorten", 201, {"headers": {"Authorization": f"Bearer {token}"}, "json": body}


def median(own: OwnStack, method: str, path: str, status: int, arguments: dict[str, object]) -> float:
    """In milliseconds, over one connection. Raises RuntimeError at a wrong answer."""
    shot = Shot(path, method, f"{own.url}{path}", status, lambda: arguments)
    fire(shot, 1, 10, Times())
    times = Times()
    fire(shot, 1, REQUESTS, times)
    if times.wrong:
        raise RuntimeError(f"{times.wrong} wrong answers to {method} {path}")
    return times.percentile(50)


def table(measured: list[Measured]) -> str:
    """The figures for a terminal."""
    console = Console(width=120, force_terminal=False)
    shown = Table(title="As the table grows")
    for heading in ("links", "GET ms", "404 ms", "POST ms", "stop s", "start s", "engine MiB", "saved MiB"):
        shown.add_column(heading, justify="right")
    for one in measured:
        requests_ms = (f"{value:.1f}" for value in (one.follow, one.unknown, one.shorten))
        seconds = (f"{value:.1f}" for value in (one.stop, one.start))
        shown.add_row(f"{one.rows:,}", *requests_ms, *seconds, f"{one.engine:.0f}", f"{one.file:.1f}")
    with console.capture() as captured:
        console.print(shown)
    return captured.get()
