"""Minutes of mixed load, with a kill every 20 s: at the end every link is there, and every click is counted once."""

import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from project import Project

SECONDS = 600
KILL_EVERY = 20  # seconds
CLIENTS = 4


@pytest.mark.search
@pytest.mark.parametrize("signal", ["kill", "down"])
def test_nothing_is_lost_or_counted_twice_under_load(tmp_path: Path, signal: str) -> None:
    project = Project.copy(tmp_path)
    stack = project.up()
    links: set[str] = set()
    clicks: Counter[str] = Counter()  # that were answered
    unanswered: Counter[str] = Counter()  # that may have been counted: the answer was lost with the engine
    guard = threading.Lock()
    over = threading.Event()

    def load(client: int) -> None:
        number = 0
        with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as http:
            while not over.is_set():
                code = f"{client}-{number // 5}"
                number += 1
                try:
                    if number % 5 == 1:
                        answer = http.post("/shorten", json={"long_url": "https://example.com/", "code": code})
                        if answer.status_code == 201:
                            links.add(code)
                        continue
                    answer = http.get(f"/r/{code}", follow_redirects=False)
                    with guard:  # before the stack is built again, the gateway answers something else
                        (clicks if answer.status_code == 302 else unanswered)[code] += 1
                except httpx.HTTPError:
                    with guard:
                        unanswered[code] += 1
                    time.sleep(0.1)

    threads = [threading.Thread(target=load, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            time.sleep(KILL_EVERY)
            if signal == "kill":
                project.kill()
            else:
                project.down()
            project.up()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    project.kill()
    after = project.up()
    assert links
    for code in links:
        counted = after.clicks(code)
        assert clicks[code] <= counted <= clicks[code] + unanswered[code], code
    project.down()
