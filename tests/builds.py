"""The deployment in the tests' own process, which is ten times as fast as in one of its own."""

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from engine.bare import Engine
from project import DEFAULTS, TLS, Project
from stack.aws import OPTIONS, Aws, Local, Remote
from stack.aws_errors import EXPLAINED, explain
from stack.checks import check
from stack.commands.status import Report, look_at_all
from stack.definition import DEFINITION
from stack.deploy import build, loading
from stack.deploy import remove as removal
from stack.deploy.package import Package
from stack.model import Definition, Function
from stack.settings import Settings

LOAD = loading.check
LOADED: set[tuple[str, ...]] = set()


def load_once(name: str, package: Package, environment: Mapping[str, str]) -> None:
    """Load a function's code once: what has been loaded, with the same environment, can be loaded again."""
    loaded = (name, package.sha256, *(f"{one}={environment[one]}" for one in environment if one != "AWS_ENDPOINT_URL"))
    if loaded not in LOADED:
        LOAD(name, package, environment)
        LOADED.add(loaded)


@dataclass(frozen=True)
class Done:
    """Hold the end of a build: what it printed, and its error, or an empty string."""

    printed: str
    error: str

    def changes(self, change: str) -> set[tuple[str, str]]:
        """Return kind and name of the steps that ended in this change."""
        steps = [(line[2:14].strip(), line[14:].split()) for line in self.printed.splitlines() if line.endswith(" ms")]
        return {(kind, " ".join(words[:-3])) for kind, words in steps if words[-3] == change}


def run(
    project: Project,
    definition: Definition = DEFINITION,
    lambdas: Path | None = None,
    engine: str = "",
    attempts: int = 5,
    settings: Mapping[str, str] | None = None,
    target: Remote | None = None,
) -> Done:
    """Build tables and API of a definition, on the project's engine, on what stands before it at ``engine``, or on
    another target.
    """
    engine = engine or project.engine
    read = Settings.from_environment({**DEFAULTS, **project.settings, **(settings or {})})
    printed = io.StringIO()
    error = ""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(Settings, "lambdas", lambdas or project.folder / "lambdas")
        if loading.check is LOAD:  # and not what loads nothing
            patch.setattr(loading, "check", load_once)
        try:
            definition = definition.prefixed(read.name_prefix)
            check(definition)
            local = Local(int(engine.rsplit(":", 1)[1]), read.aws_default_region)
            aws = clients(target or local, build.api_services(read), attempts)
            build.build_table(aws, definition, read)
            build.build_api(aws, definition, read)
        except EXPLAINED as failure:
            error = explain(failure)
    return Done(printed.getvalue(), error)


@contextlib.contextmanager
def engine_of(project: Project) -> Iterator[Project]:
    """Run an engine without hooks for a project: what the test builds in it, unchecked, is all there is."""
    folder = project.folder.parent / "engine"
    folder.mkdir()
    project.outputs.mkdir()
    engine = Engine.fresh(folder)
    engine.port = int(project.settings["HOST_PORT"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "stack.deploy.loading.check", lambda *_: None
        )  # which imports each function in a process of its own
        try:
            engine.start()
            yield project
        finally:
            engine.kill()


@functools.cache
def clients(target: Local | Remote, services: tuple[str, ...] = build.API_SERVICES, attempts: int = 5) -> Aws:
    """Return the clients of a deployment, made once, for that takes longer than most builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "retries", {"mode": "standard", "max_attempts": attempts})
        return Aws(tuple({*build.TABLE_SERVICES, *services}), target)


def plan(project: Project, definition: Definition = DEFINITION, engine: str = "", **changes: str) -> Done:
    """Plan a build, and fail the test if that fails."""
    target = Local(int((engine or project.engine).rsplit(":", 1)[1]), DEFAULTS["AWS_DEFAULT_REGION"])
    read = Settings.from_environment({**DEFAULTS, **project.settings, **changes})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        build.plan(
            Aws(tuple({*build.TABLE_SERVICES, *build.api_services(read)}), target, only_look=True), definition, read
        )
    return Done(printed.getvalue(), "")


def remove(
    project: Project,
    definition: Definition = DEFINITION,
    with_tables: bool = False,
    plan: bool = False,
    engine: str = "",
) -> Done:
    """Remove the stack, or plan to, and fail the test if that fails."""
    target = Local(int((engine or project.engine).rsplit(":", 1)[1]), DEFAULTS["AWS_DEFAULT_REGION"])
    read = Settings.from_environment({**DEFAULTS, **project.settings})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        services = tuple({*build.TABLE_SERVICES, *build.api_services(read)})
        removal.remove_stack(Aws(services, target, only_look=plan), definition, read, with_tables)
    return Done(printed.getvalue(), "")


def status(project: Project, **changes: str) -> tuple[bool, str]:
    """Return whether scripts/status.sh finds the stack healthy, and what it prints."""
    report = Report()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "lambdas", project.folder / "lambdas")
        patch.setattr("stack.commands.status.Aws", lambda services, target: clients(target, services))
        healthy = look_at_all(Settings.from_environment({**DEFAULTS, **project.settings, **changes}), report)
    return healthy, "".join(f"{line}\n" for line in report.lines)


def succeed(project: Project, definition: Definition = DEFINITION, lambdas: Path | None = None, **changes: str) -> Done:
    """Build, and fail the test if that fails."""
    done = run(project, definition, lambdas, settings=changes)
    assert not done.error, done
    return done


def with_function(function: Function) -> Definition:
    """Return the project's definition with one function more."""
    return replace(DEFINITION, functions=(*DEFINITION.functions, function))


def empty(project: Project) -> None:
    """Make the engine forget everything, and take the outputs away."""
    httpx.post(f"{project.engine}/_ministack/reset", timeout=60, verify=TLS).raise_for_status()
    for file in project.outputs.iterdir():
        file.unlink()
