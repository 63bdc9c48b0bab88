"""Requests: how long each takes over a number of connections, and beside two functions on a plain engine.

The floor does nothing but log a line and answer. The other is a redirect as a tutorial writes it.
"""

import asyncio
import io
import itertools
import os
import ssl
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.setting import Failed, Rows, Setting, say
from project import Stack, aws

CONNECTIONS = (1, 8, 32)
REQUESTS = {1: 200, 8: 400, 32: 640}  # in each round
ROUNDS = 3  # so that a drift of the machine meets all requests alike
TIMEOUT = 60  # seconds
FOLDER = Path(__file__).parent / "references"
FLOOR, TUTORIAL = "floor", "tutorial"  # folders of references/
TABLE = "shortlinks"  # as the tutorial's handler has it
LINK = {"long_url": "https://example.com/", "code": "bench"}
OWNER, OWNED, PAGE = "bench-list", 10_000, 100  # the owner, how many links are theirs, how many are listed
BATCH = 25  # items that BatchWriteItem takes


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
    """Collect the times of one shot over one number of connections, in all rounds together."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0  # of the clock, in all rounds
    wrong: int = 0  # other statuses than expected, and no answers

    def percentile(self, percent: int) -> float:
        """Return a percentile in milliseconds."""
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


def measure_requests(setting: Setting) -> Rows:
    """Measure each request, in turns. Raise Failed at a wrong answer."""
    stack = setting.stack
    stack.shorten(LINK)
    measured: dict[tuple[int, str], Times] = {}
    base = deploy_references(setting.plain_engine)
    for connections in CONNECTIONS:
        count = connections * 4 if setting.quick else REQUESTS[connections]
        for number in range(1 if setting.quick else ROUNDS):
            say(f"{connections} connections, round {number + 1}")
            for shot in shots(stack, base):
                fire(shot, connections, 4 * connections, Times())  # to warm up
                times = measured.setdefault((connections, shot.name), Times())
                fire(shot, connections, count, times)
                if times.wrong:
                    raise Failed(f"{times.wrong} answers to {shot.name} were not {shot.status}")
    return [
        {
            "request": name,
            "connections": connections,
            **{f"p{percent} ms": round(times.percentile(percent), 1) for percent in (50, 90, 99)},
            "per s": round(len(times.milliseconds) / times.seconds),
            "p50 / floor": round(times.percentile(50) / measured[connections, FLOOR].percentile(50), 2),
            "tutorial / p50": round(measured[connections, TUTORIAL].percentile(50) / times.percentile(50), 2),
        }
        for (connections, name), times in measured.items()
    ]


def shots(stack: Stack, base: str) -> Iterator[Shot]:
    """List what is measured, the references at ``base`` first."""
    number = itertools.count()
    token = {"Authorization": f"Bearer {stack.token('bench')}"}

    def link() -> dict[str, Any]:
        return {"headers": token, "json": {"long_url": f"https://example.com/{os.getpid()}/{next(number)}"}}

    yield Shot(FLOOR, "GET", f"{base}/{FLOOR}/x", 204)
    yield Shot(TUTORIAL, "GET", f"{base}/{TUTORIAL}/{LINK['code']}", 302)
    yield Shot("GET /r/{code}", "GET", f"{stack.url}/r/{LINK['code']}", 302)
    yield Shot("HEAD /r/{code}", "HEAD", f"{stack.url}/r/{LINK['code']}", 302)
    yield Shot("GET /r/unknown", "GET", f"{stack.url}/r/bench-unknown", 404)
    yield Shot("POST /shorten", "POST", f"{stack.url}/shorten", 201, link)


def measure_lists(setting: Setting) -> Rows:
    """Measure a page of many own links, the first and one in the middle, and a link. Raise Failed at a wrong answer."""
    stack = setting.stack
    codes = [f"{OWNER}-{number:05}" for number in range(OWNED)]
    say(f"{OWNED} links")
    for start in range(0, OWNED, BATCH):
        items = [
            {
                "code": {"S": code},
                "long_url": {"S": LINK["long_url"]},
                "owner_id": {"S": OWNER},
                "click_count": {"N": "0"},
            }
            for code in codes[start : start + BATCH]
        ]
        writes = [{"PutRequest": {"Item": item}} for item in items]
        stack.client("dynamodb").batch_write_item(RequestItems={TABLE: writes})
    token = {"Authorization": f"Bearer {stack.token(OWNER)}"}
    following = ""
    with stack.http(headers=token) as client:
        for _ in range(OWNED // PAGE // 2):
            following = f"&next={client.get(f'/links?limit={PAGE}{following}').json()['next']}"
    rows: Rows = []
    for name, path in (
        (f"GET /links, {PAGE} of {OWNED}", f"links?limit={PAGE}"),
        ("… from the middle", f"links?limit={PAGE}{following}"),
        ("GET /links/{code}", f"links/{codes[0]}"),
    ):
        shot = Shot(name, "GET", f"{stack.url}/{path}", 200, lambda: {"headers": token})
        fire(shot, 1, 4, Times())  # to warm up
        fire(shot, 1, 8 if setting.quick else REQUESTS[1], times := Times())
        if times.wrong:
            raise Failed(f"{times.wrong} answers to {name} were not {shot.status}")
        rows.append(
            {"request": name, **{f"p{percent} ms": round(times.percentile(percent), 1) for percent in (50, 90)}}
        )
    return rows


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


def deploy_references(engine: str) -> str:
    """Deploy the two references and the tutorial's table, and return the URL of their API."""
    dynamodb, functions, gateway = (aws(engine, service) for service in ("dynamodb", "lambda", "apigatewayv2"))
    httpx.post(f"{engine}/_ministack/reset", timeout=TIMEOUT).raise_for_status()
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "code", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "code", "KeyType": "HASH"}],
    )
    item = {"code": {"S": LINK["code"]}, "long_url": {"S": LINK["long_url"]}, "click_count": {"N": "0"}}
    dynamodb.put_item(TableName=TABLE, Item=item)
    api = gateway.create_api(Name="references", ProtocolType="HTTP")["ApiId"]
    for name in (FLOOR, TUTORIAL):
        function = functions.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="handler.handler",
            Role="arn:aws:iam::000000000000:role/references",
            Timeout=10,
            Code={"ZipFile": zipped(FOLDER / name / "handler.py")},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        integration = gateway.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=function["FunctionArn"],
            PayloadFormatVersion="2.0",
        )
        target = f"integrations/{integration['IntegrationId']}"
        gateway.create_route(ApiId=api, RouteKey=f"GET /{name}/{{code}}", Target=target)
    gateway.create_stage(ApiId=api, StageName="dev", AutoDeploy=True)
    return f"{engine}/_aws/execute-api/{api}/dev"


def zipped(file: Path) -> bytes:
    """Return an archive with this file alone."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.write(file, file.name)
    return archive.getvalue()
