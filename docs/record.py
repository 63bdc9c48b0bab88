"""Record scripts/up.sh and scripts/dev.sh as they really look, into docs/up.svg and docs/dev.svg: see pictures.sh."""

import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from project import Project, until
from session import session

FOLDER = Path(__file__).resolve().parent
WIDTH = 118
TOKEN = re.compile(r"(eyJ\w+\.\w{20})\S+")
WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # of a server that the picture would ask
LINK = {"long_url": "https://example.com/", "code": "mine"}
HANDLER = "lambdas/redirect/handler.py"


def save(name: str, command: str, printed: str, port: str) -> None:
    """Draw a terminal window, with the usual port and no whole token in it."""
    console = Console(record=True, width=WIDTH, file=Path("/dev/null").open("w"))  # noqa: SIM115
    shown = TOKEN.sub(r"\1…", printed.replace(port, "4566")).strip("\n")
    console.print(Text(f"$ {command}\n{shown}"), highlight=False)
    drawn = console.export_svg(title=command, unique_id=name.removesuffix(".svg"))
    (FOLDER / name).write_text(WEB_FONT.sub("", drawn))


def edited(project: Project, old: str, new: str) -> None:
    path = project.folder / HANDLER
    path.write_text(path.read_text().replace(old, new))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project.copy(Path(folder))
        port = project.settings["HOST_PORT"]
        save("up.svg", "scripts/up.sh", project.check("scripts/up.sh"), port)
        with session(project, "scripts/dev.sh") as window:
            window.shows("watching lambdas/ and stack/")
            start = len(window.printed.partition("==> watching")[0])
            stack = project.stack
            stack.shorten(LINK)
            stack.follow("mine")
            window.shows("GET /r/{code}     302")
            edited(project, '"no-store"', '"no-store, private"')
            window.shows("redirect               updated")
            stack.follow("mine")
            window.shows("GET /r/{code}     302", times=2)
            edited(project, "    if long_url is None:", "    if long_url is None")
            window.shows("error: ")
            stack.follow("mine")
            window.shows("GET /r/{code}     302", times=3)
            edited(project, "    if long_url is None\n", "    if long_url is None:\n")
            window.shows("nothing to redeploy")
            until("the last line", lambda: window.printed.endswith("\n"))
            save("dev.svg", "scripts/dev.sh", window.printed[start:], port)
        project.down("--wipe")


if __name__ == "__main__":
    main()
