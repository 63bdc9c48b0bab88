"""Builds and edits: how long until the stack answers, and until a save does."""

import time
from pathlib import Path

import httpx

from bench.setting import Rows, Setting, run
from project import until
from session import session

BY_HAND = Path(__file__).with_name("by-hand.sh")
REPEATS = 5
EDITS = 20


def measure_builds(setting: Setting) -> Rows:
    """Compare the deployment with the calls that it replaces, made one after another, as a tutorial has them."""
    project, stack, plain_engine = setting.project, setting.stack, setting.plain_engine
    local = {"GATEWAY_PORT": project.settings["HOST_PORT"], "AWS_DEFAULT_REGION": "us-east-1"}

    def up() -> None:
        run(project, "scripts/up.sh")

    def deploy() -> None:
        run(project, project.folder / ".venv/bin/python", "-m", "stack.deploy", "--local", **local)

    def by_hand() -> None:
        run(project, BY_HAND, plain_engine, project.folder, project.folder.parent)

    def empty(engine: str | None) -> None:
        httpx.post(f"{engine}/_ministack/reset", timeout=60).raise_for_status()

    return [
        setting.repeat("scripts/up.sh, from nothing", REPEATS, up, lambda: project.down("--wipe")),
        setting.repeat("scripts/up.sh, nothing to change", REPEATS, up),
        setting.repeat("the deployment alone, from nothing", REPEATS, deploy, lambda: empty(stack.engine)),
        setting.repeat(
            "the same by hand, an awslocal call after another", REPEATS, by_hand, lambda: empty(plain_engine)
        ),
    ]


def measure_edits(setting: Setting) -> Rows:
    """Measure from saving the redirect function to its first answer, with dev.sh running and through up.sh."""
    stack, project = setting.stack, setting.project
    handler = project.folder / "lambdas/redirect/handler.py"
    source = handler.read_text()
    stack.shorten({"long_url": "https://example.com/", "code": "bench-edit"})

    def save_and_see(*through: str) -> None:
        mark = f"no-store, edit={time.time_ns()}"
        handler.write_text(source.replace('"no-store"', f'"{mark}"'))
        if through:
            run(project, *through)
        until("the edit is live", lambda: stack.follow("bench-edit").headers.get("cache-control") == mark, look_every=0)

    try:
        with session(project, "scripts/dev.sh") as window:
            window.shows("watching lambdas/")
            saves = setting.repeat("save to live, with scripts/dev.sh", EDITS, save_and_see)
        return [
            saves,
            setting.repeat("save to live, with scripts/up.sh", REPEATS, lambda: save_and_see("scripts/up.sh")),
        ]
    finally:
        handler.write_text(source)
