"""A stack of the benchmark's own, and how long it takes to build, rebuild and change it."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from project import Project, answers, free_port, until
from session import session
from stack import dotenv


@dataclass(frozen=True)
class OwnStack:
    """A copy of the project, on a free port, on the embedded engine."""

    project: Project

    @property
    def url(self) -> str:
        return self.project.stack.url

    def up(self) -> float:
        """The seconds from calling up.sh to its end, which is after the first right answer."""
        return self._timed("scripts/up.sh")

    def down(self) -> None:
        self.project.down("--wipe")

    def restart(self) -> None:
        self.down()
        self.up()

    def first_requests(self) -> float:
        """The seconds of one ``POST /shorten``, which passes the authorizer, and of the first ``GET`` of its link."""
        started = time.perf_counter()
        link = self.project.stack.shorten({"long_url": "https://example.com/"}).raise_for_status().json()
        self.project.stack.follow(link["code"])
        return time.perf_counter() - started

    def bare_engine(self) -> float:
        """The seconds from starting the engine as PyPI has it, with nothing to build, to its first answer."""
        port = str(free_port())
        started = time.perf_counter()
        engine = subprocess.Popen(
            [self.project.folder / ".venv/bin/ministack"],
            env={**self.project.environment, "GATEWAY_PORT": port},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until("the engine answers", lambda: answers(f"http://127.0.0.1:{port}"))
            return time.perf_counter() - started
        finally:
            engine.terminate()
            engine.wait()

    def stop(self) -> float:
        """The seconds that down.sh takes, which saves the table."""
        return self._timed("scripts/down.sh")

    def hooks(self) -> float:
        """The seconds that the ready.d hooks take, one after the other, run from the host."""
        environment = {
            "GATEWAY_PORT": self.project.settings["HOST_PORT"],
            "AWS_DEFAULT_REGION": dotenv.load()["AWS_DEFAULT_REGION"],
            "PATH": f"{self.project.folder / '.venv/bin'}:{self.project.environment['PATH']}",
        }
        hooks = sorted((self.project.folder / "init/ready.d").glob("*.sh"))
        return sum(self._timed(str(hook.relative_to(self.project.folder)), **environment) for hook in hooks)

    def deploy(self) -> float:
        """The seconds that the whole deployment takes in one process. Raises RuntimeError."""
        started = time.perf_counter()
        done = self.project.deploy()
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return time.perf_counter() - started

    def empty(self) -> None:
        """Make the engine forget everything, without building it again."""
        httpx.post(f"{self.project.engine}/_ministack/reset", timeout=60).raise_for_status()

    def edit_to_live(self) -> float:
        """The seconds from saving an edit of the redirect function to its first answer, through up.sh."""
        with self._editing() as saved:
            started = time.perf_counter()
            is_live = saved()
            self._timed("scripts/up.sh")
            until("the edit is live", is_live)
            return time.perf_counter() - started

    def edits_live(self, count: int) -> list[float]:
        """The same of each of so many edits, one after the other, with dev.sh running."""
        seconds = []
        with session(self.project, "scripts/dev.sh") as window, self._editing() as saved:
            window.shows("watching lambdas/")
            for number in range(count):
                started = time.perf_counter()
                until("the edit is live", saved(), look_every=0)
                seconds.append(time.perf_counter() - started)
                window.shows(" updated ", number + 1)
        return seconds

    @contextlib.contextmanager
    def _editing(self) -> Iterator[Callable[[], Callable[[], bool]]]:
        """A function that saves an edit, and returns one that says whether it is live. Edits are undone at the end."""
        handler = self.project.folder / "lambdas/redirect/handler.py"
        before, code = handler.read_text(), "bench-edit"
        self.project.stack.shorten({"long_url": "https://example.com/", "code": code})

        def save() -> Callable[[], bool]:
            mark = f"no-store, edit={time.time_ns()}"
            handler.write_text(before.replace('"no-store"', f'"{mark}"'))
            return lambda: self.project.stack.follow(code).headers.get("cache-control") == mark

        try:
            yield save
        finally:
            handler.write_text(before)

    def cold_start(self, function: str) -> float:
        """The seconds of the first request to a function whose worker is gone."""
        client = self.project.stack.client("lambda")
        variables = client.get_function_configuration(FunctionName=function)["Environment"]
        client.update_function_configuration(FunctionName=function, Environment=variables)
        started = time.perf_counter()
        client.invoke(FunctionName=function, Payload=b'{"headers": {}, "pathParameters": {"code": ""}}')
        return time.perf_counter() - started

    def memory(self) -> tuple[float, float]:
        """MiB that are resident now: the engine's own, and its workers' together."""
        engine = psutil.Process(self.project.pid())
        workers = sum(worker.memory_info().rss for worker in engine.children(recursive=True))
        return engine.memory_info().rss / 2**20, workers / 2**20

    def _timed(self, script: str, **changes: str) -> float:
        started = time.perf_counter()
        self.project.check(script, **changes)
        return time.perf_counter() - started


def by_hand(project: Project, folder: Path) -> float:
    """The seconds that the same build takes as a tutorial has it: one awslocal call after another.

    The engine must be empty. Raises CalledProcessError if a call fails.
    """
    script = Path(__file__).with_name("by-hand.sh")
    started = time.perf_counter()
    subprocess.run(
        [script, project.engine, project.folder, folder],
        env={**project.environment, "PATH": f"{project.folder / '.venv/bin'}:{project.environment['PATH']}"},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started
