"""A script that runs on in the background, as in a window of its own."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project import Project, until


@dataclass
class Session:
    """The script and what it has printed."""

    process: "subprocess.Popen[bytes]"
    screen: Path

    @property
    def printed(self) -> str:
        return self.screen.read_text()

    def shows(self, text: str, times: int = 1) -> None:
        """Wait until the text is on the screen so many times."""
        until(f"{text!r} on the screen", lambda: self.printed.count(text) >= times or self._ended())
        assert self.printed.count(text) >= times, self.printed

    def interrupt(self) -> int:
        """Press Ctrl-C, which every process of the window gets; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def _ended(self) -> bool:
        return self.process.poll() is not None


@contextlib.contextmanager
def session(project: Project, *command: str) -> Iterator[Session]:
    """Start a script of the project; whatever is left of it at the end is interrupted."""
    screen = project.folder.parent / f"{Path(command[0]).name}.screen"
    script, *arguments = command
    with screen.open("wb") as file:
        process = subprocess.Popen(
            [project.folder / script, *arguments],
            cwd="/",
            env={**project.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Session(process, screen)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.interrupt()
