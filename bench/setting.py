"""What the sections measure on: a stack of the benchmark's own, and a plain engine beside it."""

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from project import Project, Stack, answers, free_port, until

Rows = list[dict[str, str | float]]


class Failed(Exception):
    """A step failed, or an answer was wrong, so that its time means nothing."""


class Setting:
    """A copy of the project on the embedded engine, or the stack that was asked for, and a plain engine."""

    def __init__(self, project: Project, stack: Stack | None, quick: bool) -> None:
        self.project, self.asked, self.quick = project, stack, quick
        self._opened = contextlib.ExitStack()

    @functools.cached_property
    def stack(self) -> Stack:
        """Return the stack to ask, brought up at the first use."""
        if self.asked:
            return self.asked
        self._opened.callback(self.project.down, "--wipe")
        return self.project.up()

    @functools.cached_property
    def plain_engine(self) -> str:
        """Return the URL of MiniStack as PyPI has it, with nothing built in it, started at the first use."""
        port = str(free_port())
        url = f"http://127.0.0.1:{port}"
        engine = subprocess.Popen(
            [self.project.folder / ".venv/bin/ministack"],
            env={**self.project.environment, "GATEWAY_PORT": port, "IOT_MTLS_ENABLED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._opened.callback(engine.wait)
        self._opened.callback(engine.terminate)
        until("the engine answers", lambda: answers(url))
        return url

    def close(self) -> None:
        """Stop what was started."""
        self._opened.close()

    def repeat(
        self, what: str, times: int, measured: Callable[[], object], before: Callable[[], object] | None = None
    ) -> dict[str, str | float]:
        """Return a row with the seconds that ``measured`` took, once with --quick."""
        seconds = []
        for number in range(1 if self.quick else times):
            say(f"{what}, {number + 1}")
            if before:
                before()
            started = time.perf_counter()
            measured()
            seconds.append(time.perf_counter() - started)
        figures = {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)}
        return {"what": what, **{name: round(value, 2) for name, value in figures.items()}}


Section = Callable[[Setting], Rows]


def run(project: Project, *command: str | Path, **changes: str) -> str:
    """Return what a command printed. Raise Failed if it exits with another code than 0."""
    environment = {**project.environment, "PATH": f"{project.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=project.folder, env={**environment, **changes}, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name} exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def say(text: str) -> None:
    """Show on stderr what is being measured."""
    print(f"    {text}", file=sys.stderr, flush=True)
