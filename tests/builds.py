"""The deployment in the tests' own process, which is ten times as fast as in one of its own."""

import contextlib
import functools
import io
import runpy
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from engine.bare import Engine
from project import CHECKOUT, DEFAULTS, TLS, Project, Stack, until
from stack.aws import OPTIONS, Aws, Local, Remote
from stack.aws_errors import EXPLAINED, explain
from stack.checks import check
from stack.commands.status import Report, look_at_all
from stack.definition import DEFINITION
from stack.deploy import build, loading, package
from stack.deploy import remove as removal
from stack.deploy.loading import Source
from stack.engine import health
from stack.engine.embedded import Embedded
from stack.errors import PackageError
from stack.model import Definition, Function
from stack.settings import Settings

LOAD = loading.check
LOADED: set[tuple[str, ...]] = set()


# The fewest functions that are a stack which a build finds to answer, for tests of what happens to each alike.
FEW = replace(
    DEFINITION,
    functions=tuple(one for one in DEFINITION.functions if one.name in ("shorten", "redirect", "authorizer")),
)
SHRUNK = """
from dataclasses import replace

FEW = tuple(one for one in DEFINITION.functions if one.name in {names})
DEFINITION = replace(DEFINITION, functions=(*FEW, {more}))
"""
ENGINES: "dict[Path, subprocess.Popen[bytes]]" = {}  # by their folders


def shrink(project: Project, more: str = "") -> None:
    """Have the scripts of a project build FEW, and more entries."""
    with (project.folder / "stack/definition.py").open("a") as definition:
        definition.write(SHRUNK.format(names=[one.name for one in FEW.functions], more=more))


def defined(project: Project) -> Definition:
    """Return the definition that a project has, whatever the test has made of it."""
    definition: Definition = runpy.run_path(str(project.folder / "stack/definition.py"))["DEFINITION"]
    return definition


@functools.cache
def own(name: str) -> str:
    """Return the hash of a function's code in the checkout, which every scripts/up.sh of the tests loads."""
    try:
        return package.build(CHECKOUT / "lambdas", name).sha256
    except PackageError:  # a test's function, or one with packages
        return ""


def load_once(sources: Sequence[Source]) -> None:
    """Load the code of functions once: what has been loaded, with the same environment, can be loaded again."""
    new = {
        (
            one.function.name,
            one.package.sha256,
            *(f"{name}={one.environment[name]}" for name in sorted(one.environment) if name != "AWS_ENDPOINT_URL"),
        ): one
        for one in sources
        if one.package.sha256 != own(one.function.name)
    }
    if wanted := [one for key, one in new.items() if key not in LOADED]:
        LOAD(wanted)
    LOADED.update(new)


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
            vars(aws).pop("identity", None)  # which each build asks for
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


def start(project: Project) -> None:
    """Start the engine as scripts/up.sh does, with its lock in its folder, but have no hook build anything."""
    hooks, aside = project.folder / "init/ready.d", project.folder / "init/later.d"
    embedded = Embedded(Settings.from_environment({**DEFAULTS, **project.settings}), project.state)
    hooks.rename(aside)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stack.engine.embedded.PROJECT", project.folder)
            embedded.state.claim()
            engine = embedded._start()
        if before := ENGINES.pop(project.state, None):
            before.wait(timeout=60)
        ENGINES[project.state] = engine
        over = (health.State.FAILED, health.State.READY)
        until("the engine is up", lambda: engine.poll() or health.look(project.engine, project.outputs) in over)
        assert engine.poll() is None, (project.state / "engine.log").read_text()
    finally:
        aside.rename(hooks)


def stop(project: Project) -> None:
    """Stop the engine that was started here, which saves its state."""
    engine = ENGINES[project.state]
    engine.terminate()
    engine.wait(timeout=60)


def discard(project: Project) -> None:
    """Leave nothing running of a project whose engine was started here."""
    project.discard()
    if engine := ENGINES.pop(project.state, None):
        engine.wait(timeout=60)


@contextlib.contextmanager
def standing(folder: Path, definition: Definition = DEFINITION, **changes: str) -> Iterator[Project]:
    """Yield a fresh copy whose stack is up as after scripts/up.sh, which takes more than twice as long."""
    project = Project.copy(folder, **changes)
    try:
        start(project)
        succeed(project, definition)
        yield project
    finally:
        discard(project)


@functools.cache
def clients(
    target: Local | Remote,
    services: tuple[str, ...] = build.API_SERVICES,
    attempts: int = 5,
    only_look: bool = False,
) -> Aws:
    """Return the clients of a deployment, made once, for that takes longer than most builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "retries", {"mode": "standard", "max_attempts": attempts})
        return Aws(tuple({*build.TABLE_SERVICES, *services}), target, only_look)


def plan(project: Project, definition: Definition = DEFINITION, engine: str = "", **changes: str) -> Done:
    """Plan a build, and fail the test if that fails."""
    target = Local(int((engine or project.engine).rsplit(":", 1)[1]), DEFAULTS["AWS_DEFAULT_REGION"])
    read = Settings.from_environment({**DEFAULTS, **project.settings, **changes})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        build.plan(clients(target, build.api_services(read), only_look=True), definition, read)
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
        removal.remove_stack(clients(target, build.api_services(read), only_look=plan), definition, read, with_tables)
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


def with_function(function: Function, to: Definition = DEFINITION) -> Definition:
    """Return the project's definition, or another, with one function more."""
    return replace(to, functions=(*to.functions, function))


def put_alarm(stack: Stack, name: str) -> None:
    """Make an alarm by hand, or set one to what nobody asked for."""
    stack.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )


def empty(project: Project) -> None:
    """Make the engine forget everything, and take the outputs away."""
    httpx.post(f"{project.engine}/_ministack/reset", timeout=60, verify=TLS).raise_for_status()
    for file in project.outputs.iterdir():
        file.unlink()
